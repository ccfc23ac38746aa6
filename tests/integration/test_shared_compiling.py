"""Compiling shared among workers: a rehearsal must meet every type and layout of arrays that a run meets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imrad.stages import rehearsing

# In a process of its own, where nothing is compiled yet.
PROGRAM = """
import importlib, pkgutil
from imrad import stages
from imrad.config import Config, parse_settings
from imrad.phenotype.classifiers import CLASSIFIERS
from imrad.phenotype.rehearsal import rehearsals
from imrad.run import Run
from imrad.stages.rehearsing import _rehearse
from imrad.survival.rehearsal import REHEARSALS

sections = {
    "name": "small",
    "assemble": {
        "synthetic": {"n_patients": 60, "n_features": 12, "n_targets": 1, "image_effect": 2.0, "event_rate": 0.7},
        "splits": {"repeats": 1},
    },
    "phenotype": {"permutations": 10, "protocol": "published"},
    "fuse": {"endpoints": ["os"], "n_bootstrap": 2},
}
run = Run("run", parse_settings(Config, sections, "settings"))


def compiled():
    rooms = [importlib.import_module(f"imrad.{name}") for name in ("phenotype.kernels", "survival")]
    modules = [one.name for room in rooms for one in pkgutil.iter_modules(room.__path__, room.__name__ + ".")]
    found = [item for name in modules for item in vars(importlib.import_module(name)).values()]
    kernels = [item for item in found if hasattr(item, "signatures")]
    return {(kernel.__module__, kernel.__name__, one) for kernel in kernels for one in kernel.signatures}


for name in rehearsals(CLASSIFIERS):
    _rehearse(("phenotype", name))
for name in REHEARSALS:
    _rehearse(("survival", name))
rehearsed = compiled()
stages.run_all(run)
print(len(rehearsed))
for module, name, signature in sorted(compiled() - rehearsed, key=str):
    print(module, name, signature)
"""


def test_a_run_compiles_nothing_that_was_not_rehearsed(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, *more = done.stdout.splitlines()
    assert int(count) >= 10
    assert not more


@pytest.mark.parametrize(("workers", "kept", "expected"), [(1, True, 0), (2, False, 0), (2, True, 1)])
def test_compiling_is_shared_where_there_are_workers_and_a_place_to_keep_it(monkeypatch, workers, kept, expected):
    mapped = []
    monkeypatch.setattr(rehearsing, "map_tasks", lambda fn, parts, **options: mapped.append(parts))
    monkeypatch.setattr(rehearsing, "keeps", lambda: kept)
    rehearsing.share_compiling(("svm", "stacking"), fusion=True, workers=workers, progress=None)
    assert len(mapped) == expected
    if mapped:
        assert mapped[0][:2] == [("survival", "lasso"), ("phenotype", "logistic_regression")]
