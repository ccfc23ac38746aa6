"""ssGSEA of 500 samples x 20,000 genes x 2 sets against gseapy, interleaved; values compared.

Run: OMP_NUM_THREADS=1 python benchmarks/immune_ssgsea.py (needs gseapy, not a dependency of imrad)
"""

from __future__ import annotations

import argparse
import time

import gseapy
import numpy as np
import pandas as pd

from imrad.immune import prepare_expression, ssgsea


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    names = [f"g{number}" for number in range(args.genes)]
    values = rng.lognormal(3, 1.5, (args.genes, args.samples))
    matrix = pd.DataFrame(values, index=names, columns=[f"s{number}" for number in range(args.samples)])
    sets = {key: list(rng.choice(names, 141, replace=False)) for key in ("stromal", "immune")}
    ours, theirs = [], []
    for _ in range(args.rounds):
        start = time.perf_counter()
        result = gseapy.ssgsea(
            data=matrix,
            gene_sets=sets,
            sample_norm_method="rank",
            outdir=None,
            min_size=5,
            max_size=2000,
            threads=1,
            no_plot=True,
            seed=0,
        )
        theirs.append(time.perf_counter() - start)
        start = time.perf_counter()
        scores = ssgsea(matrix, sets)
        ours.append(time.perf_counter() - start)
    ready = prepare_expression(matrix)
    start = time.perf_counter()
    ssgsea(ready, sets)
    alone = time.perf_counter() - start
    wanted = result.res2d.pivot(index="Name", columns="Term", values="ES").astype(float).loc[matrix.columns, list(sets)]
    difference = np.abs(scores.to_numpy() / wanted.to_numpy() - 1).max()
    print(f"gseapy {min(theirs):.2f} s   imrad {min(ours):.2f} s (scoring alone {alone:.2f} s)")
    print(f"ratio {min(theirs) / min(ours):.1f} x (at least 4); largest relative difference {difference:.1e} (1e-10)")


if __name__ == "__main__":
    main()
