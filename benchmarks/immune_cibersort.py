"""CIBERSORT: the exact solver against R e1071 and libsvm, on the same mixtures and cores.

Run: OMP_NUM_THREADS=1 python benchmarks/immune_cibersort.py [--mixtures 100] [--rounds 3]
R with e1071 is found on the PATH; R and imrad take turns, each reading the same files. Times are CPU
seconds of one core, which other work on the machine disturbs less than the clock.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from imrad.immune import cibersort, prepare_expression


def problem(folder: Path, mixtures: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    signature = np.exp(rng.normal(4, 1.5, (547, 22)))
    fractions = rng.dirichlet(np.full(22, 0.3), mixtures).T
    mixture = signature @ fractions * np.exp(rng.normal(0, 0.2, (547, mixtures)))
    np.savetxt(folder / "B.csv", signature, delimiter=",", fmt="%.17g")
    np.savetxt(folder / "Y.csv", mixture, delimiter=",", fmt="%.17g")
    genes = [f"G{number:04d}" for number in range(547)]
    return pd.DataFrame(signature, index=genes), pd.DataFrame(mixture, index=genes)


def run_r(folder: Path, mixtures: int, permutations: int) -> dict[str, float]:
    script = Path(__file__).with_suffix(".R")
    command = ["Rscript", str(script), str(folder), str(mixtures), str(permutations)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: float(line.split()[1]) for line in out.splitlines() if line.strip()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mixtures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signature, mixture = problem(folder, args.mixtures)
        ready = prepare_expression(mixture, unit="linear")
        cibersort(ready, signature)
        times: dict[str, list[float]] = {"R": [], "R 50 permutations": [], "exact": [], "exact 1000 permutations": []}
        for _ in range(args.rounds):
            measured = run_r(folder, args.mixtures, 50)
            times["R"].append(measured["mixtures"])
            times["R 50 permutations"].append(measured["permutations"])
            start = time.process_time()
            exact = cibersort(ready, signature)
            times["exact"].append(time.process_time() - start)
            start = time.process_time()
            cibersort(ready, signature, n_permutations=1000)
            times["exact 1000 permutations"].append(time.process_time() - start)
        start = time.process_time()
        libsvm = cibersort(ready, signature, solver="libsvm")
        libsvm_time = time.process_time() - start
        r_fractions = np.loadtxt(folder / "R_fractions.csv", delimiter=",", ndmin=2)[:, :22]
    best = {key: min(values) for key, values in times.items()}
    for key, value in [*best.items(), ("libsvm in imrad", libsvm_time)]:
        print(f"{key:28s} {value:8.3f} s")
    print(f"R / exact                    {best['R'] / best['exact']:8.1f} x  (at least 30)")
    ratio = best["R 50 permutations"] / best["exact 1000 permutations"]
    print(f"R 50 / exact 1000 permut.    {ratio:8.2f} x  (at least 1)")
    print(f"max |R - libsvm|             {np.abs(r_fractions - libsvm.fractions.to_numpy()).max():8.1e}")
    print(f"max |R - exact|              {np.abs(r_fractions - exact.fractions.to_numpy()).max():8.1e}")


if __name__ == "__main__":
    main()
