"""The packages that imrad is built on are declared, imported and really used; the wheel holds what it should."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Distribution, module, and the test that uses it.
PACKAGES = [
    ("pyradiomics", "radiomics", "tests/reference/test_radiomics_parity.py", "agree_live"),
    ("pandas", "pandas", "tests/unit/test_content.py", "test_tables_and_arrays_return_to_the_bit"),
    ("anndata", "anndata", "tests/unit/test_cohort_schema.py", "test_plain_anndata_opens_it_without_imrad"),
    ("scikit-learn", "sklearn", "tests/contracts/test_phenotype_estimators.py", "def test"),
    ("mrmr-selection", "mrmr", "tests/reference/test_phenotype_mrmr.py", 'engine="mrmr-selection"'),
    ("scikit-survival", "sksurv", "tests/reference/test_survival_learners.py", "def test"),
    ("lifelines", "lifelines", "tests/reference/test_survival_cox.py", "def test"),
    ("requests", "requests", "tests/integration/connectors/test_connectors_faults.py", "def test"),
    ("tcia-utils", "tcia_utils", "tests/integration/connectors/test_connectors_faults.py", "tcia_utils_is_used"),
]


def imported() -> set[str]:
    found = set()
    for path in [*(ROOT / "imrad").rglob("*.py"), *(ROOT / "data_connectors").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                # Lazy imports by name, such as importlib.import_module("tcia_utils.nbia").
                found |= {
                    str(item.value).split(".")[0]
                    for item in node.args
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)
                }
    return found


@pytest.mark.parametrize(("name", "module", "file", "test"), PACKAGES, ids=[row[0] for row in PACKAGES])
def test_package_is_declared_imported_and_tested(name, module, file, test):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(text for extra in extras for text in extra)]
    assert any(re.match(rf"{re.escape(name)}\b", text) for text in declared)
    assert module in imported()
    assert test in (ROOT / file).read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert any(line.lower().startswith(f"{name}==") for line in pins)


def test_wheel_holds_the_packages_and_the_configs(tmp_path):
    # Without build isolation, so that nothing is asked of the network.
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    pytest.importorskip("hatchling")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        "imrad/cli.py",
        "imrad/configs/tcga-blca.yaml",
        "imrad/configs/radiomics/founding-851.yaml",
        "imrad/datasets/tcga_blca/DATA.md",
        "imrad/report/templates/report.html.j2",
        "data_connectors/cohorts.yaml",
    }
    assert expected <= names
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)
    assert wheel.stat().st_size < 5_000_000
