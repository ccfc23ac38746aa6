"""The tree's own law: lint, types, import contracts, silence and speed of import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    exe = Path(sys.executable).with_name(command[0])
    return subprocess.run([str(exe), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("mypy", "--no-incremental"),
        ("lint-imports", "--no-cache"),
    ],
    ids=["lint", "format", "types", "imports"],
)
def test_tree_obeys(command):
    done = tool(*command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("imrad/phenotype/planted.py", "import anndata"),
        ("imrad/survival/planted.py", "from imrad.cohort import keys"),
        ("imrad/immune/planted.py", "import matplotlib.pyplot"),
        ("data_connectors/planted.py", "import imrad.content"),
        ("imrad/radiomics/planted.py", "from imrad.phenotype import cards"),
    ],
)
def test_forbidden_import_is_refused(tmp_path, module, line):
    for name in ("imrad", "data_connectors"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.gz", "*.nrrd"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / module).write_text(f'"""Planted."""\n\n{line}\n')
    exe = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(exe), "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout
    assert "planted" in done.stdout


def test_import_is_light():
    code = "import sys, imrad; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {
        "pandas",
        "sklearn",
        "sksurv",
        "anndata",
        "lifelines",
        "numba",
        "matplotlib",
        "SimpleITK",
        "logging.config",
    }
    assert not heavy & set(done.stdout.split())


def test_help_is_light():
    code = """
import sys
sys.argv = ["imrad", "--help"]
from imrad import cli
try:
    cli.main()
except SystemExit:
    pass
print("@", *sorted(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"pandas", "numpy", "sklearn", "requests"} & set(done.stdout.split("@")[-1].split())


def test_import_is_silent():
    code = """
import logging, threading, warnings
import numpy, pandas  # they set filters of their own
filters = list(warnings.filters)
import imrad, data_connectors, imrad.radiomics, imrad.phenotype, imrad.survival, imrad.immune, imrad.cohort
assert not logging.getLogger().handlers
assert threading.active_count() == 1
assert [item for item in warnings.filters if item[0] == "ignore" and item not in filters] == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_names_a_registry_or_a_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    words = ["pypi" + ".org", "files.python" + "hosted", "/opt/" + "pypi", "/root/" + ".pyenv"]
    found = []
    for name in filter(None, listed.split("\0")):
        data = (ROOT / name).read_bytes() if (ROOT / name).exists() else b""
        found += [(name, word) for word in words if word.encode() in data]
    assert not found
