"""Compiled functions where numba finds no folder to keep them in."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numba.core.caching
import pytest

from imrad.compiled import compiled

PROGRAM = """
import numba.core.caching as caching
for locator in caching.CacheImpl._locator_classes:
    locator.from_function = classmethod(lambda cls, function, path: None)
import numpy as np
from imrad.phenotype.kernels import LEARNERS
from imrad.phenotype.learners import Job
X = np.arange(12.0).reshape(6, 2) % 5
y = np.array([0, 1, 0, 1, 0, 1])
codes = (X > 2).astype(np.int8)
job = Job(X, y, X, codes, codes, 2, 1)
import importlib, numba
try:
    numba.njit(cache=True)(lambda value: value)
    raise SystemExit("numba still finds a folder")
except RuntimeError:
    pass
for name in ("boosting", "forest", "linear", "neighbours", "network", "tree_draws", "vectors", "bayes"):
    importlib.import_module(f"imrad.phenotype.kernels.{name}")
import imrad.immune.nusvr, imrad.radiomics, imrad.survival.partial_likelihood, imrad.survival.path_kernel
for name in ("knn", "naive_bayes"):
    print(LEARNERS[name]("founding").predict_many([job])[0].shape)
"""


def test_without_a_folder_to_write_to_functions_are_compiled_in_memory(monkeypatch):
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(lambda value: value)
    assert compiled(nogil=True)(lambda value: value + 1)(2) == 3


def test_every_kernel_imports_and_runs_where_no_cache_can_be_written():
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "NUMBA_CACHE_DIR")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["(6,)", "(6,)"]


TRAINING = """
import hashlib
import numpy as np
from imrad.phenotype.kernels.network import _train, network_learner
from imrad.phenotype.learners import Job
X = np.random.default_rng(0).normal(size=(60, 20))
y = (X[:, 0] > 0).astype(np.int64)
(found,) = network_learner("founding").predict_many([Job(X, y, X, X, X, 2, 1)])
print(hashlib.sha256(found.tobytes()).hexdigest(), sum(_train.stats.cache_hits.values()))
"""


def test_a_network_trained_by_code_from_disk_is_that_of_code_just_compiled(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (first, read), (second, read_again) = (run.stdout.split() for run in runs)
    assert (read, read_again) == ("0", "1")
    assert first == second
