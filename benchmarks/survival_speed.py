"""LassoCox with 10-fold choice against cv.glmnet on the same path, interleaved, one core each.

Needs R with glmnet (Debian: r-base-core, r-cran-glmnet, r-cran-survival). Run with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from imrad.survival.lasso_cox import LassoCox

SCRIPT = Path(__file__).with_suffix(".R")


def draw(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eight true effects among p columns, exponential times, uniform censoring."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, p))
    effect = np.zeros(p)
    effect[:8] = [0.8, -0.8, 0.6, -0.6, 0.4, -0.4, 0.3, -0.3]
    died = -np.log(rng.uniform(size=n)) / np.exp(x @ effect) * 30
    left = rng.uniform(1, 86, n)
    return x, np.round(np.minimum(died, left), 6), died <= left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--own", action="store_true", help="glmnet's default path instead of 100 given penalties")
    parser.add_argument("--only", type=int, help="one size: 113 or 1000")
    arguments = parser.parse_args()
    for n, p, ratio in ((113, 60, 0.01), (1000, 2000, 0.05)):
        if arguments.only not in (None, n):
            continue
        x, days, event = draw(n, p)
        folds = np.arange(n) % 10
        model = LassoCox(lambda_min_ratio=None if arguments.own else ratio, n_folds=10)
        LassoCox(n_lambdas=3).fit(x[:100, :20], (days[:100], event[:100]))  # compiles, or reads the compiled kernel
        lambdas = model.fit(x, (days, event), folds=folds).path_.lambdas
        with tempfile.TemporaryDirectory() as folder:
            np.savetxt(Path(folder) / f"x_{n}.csv", x, delimiter=",", fmt="%.17g")
            np.savetxt(Path(folder) / f"y_{n}.csv", np.c_[days, event, folds], delimiter=",", fmt="%.17g")
            np.savetxt(Path(folder) / f"lambda_{n}.csv", lambdas, fmt="%.17g")
            seconds: dict[str, list[float]] = {"imrad": [], "glmnet": []}
            for _ in range(arguments.rounds):
                same = LassoCox(lambdas=None if arguments.own else lambdas)
                start = time.perf_counter()
                same.fit(x, (days, event), folds=folds)
                seconds["imrad"].append(time.perf_counter() - start)
                mode = "own" if arguments.own else "given"
                printed = subprocess.run(
                    ["Rscript", str(SCRIPT), folder, str(n), mode], check=True, capture_output=True, text=True
                ).stdout.split()
                seconds["glmnet"].append(float(printed[0]))
            reference = np.loadtxt(Path(folder) / f"coef_{n}.csv", delimiter=",")
        steps = min(reference.shape[1], same.path_.coef.shape[1])
        gap = np.abs(reference[:, :steps] - same.path_.coef[:, :steps]).max()
        mine, theirs = min(seconds["imrad"]), min(seconds["glmnet"])
        print(f"n={n} p={p}, {mode} path: {len(same.path_.lambdas)} penalties (glmnet {printed[1]})")
        print(f"  imrad {mine:.3f} s, cv.glmnet {theirs:.3f} s: {theirs / mine:.1f} times faster")
        print(f"  largest coefficient difference from glmnet at its default stopping rule {gap:.1e}")
        print(f"  penalty chosen {same.lambda_min_:.5f}, by glmnet {float(printed[2]):.5f}")


if __name__ == "__main__":
    main()
