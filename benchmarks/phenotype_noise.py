"""What the grid says of pure noise: honest AUC near 0.5, uniform p, and what the published order makes of it.

Gaussian features in correlated blocks, targets independent of them. The full study is
`python benchmarks/phenotype_noise.py`, ten minutes of one core; `--quick` is a small one.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from imrad.evaluation import check_ledger, draw_splits
from imrad.phenotype import PhenotypeGrid
from imrad.seeds import generator

QUICK = ("logistic_regression", "naive_bayes", "knn")


def noise_cohort(seed: int, n: int, p: int, m: int, block: int = 20) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw features with a common factor in each block, and independent targets."""
    rng = generator(seed, "noise cohort")
    names = [f"P{number:03d}" for number in range(n)]
    factors = rng.normal(size=(n, -(-p // block)))
    X = np.sqrt(0.6) * np.repeat(factors, block, axis=1)[:, :p] + np.sqrt(0.4) * rng.normal(size=(n, p))
    Y = rng.normal(size=(n, m))
    return (
        pd.DataFrame(X, index=names, columns=[f"f{number:03d}" for number in range(p)]),
        pd.DataFrame(Y, index=names, columns=[f"t{number:02d}" for number in range(m)]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--patients", type=int, default=113)
    parser.add_argument("--features", type=int, default=851)
    parser.add_argument("--targets", type=int, default=30)
    parser.add_argument("--permutations", type=int, default=99)
    parser.add_argument("--classifiers", default="all", help="all, quick, or names with commas")
    parser.add_argument("--engine", default="imrad")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="4 data sets of 10 targets, 150 features, quick classifiers"
    )
    options = parser.parse_args()
    if options.quick:
        options.datasets, options.features, options.targets, options.permutations = 4, 150, 10, 99
        options.classifiers = "quick"
    classifiers = {"quick": (*QUICK, "stacking")}.get(options.classifiers, tuple(options.classifiers.split(",")))
    if options.classifiers == "all":
        classifiers = PhenotypeGrid().classifiers
    rows, start = [], time.perf_counter()
    for seed in range(options.datasets):
        X, Y = noise_cohort(seed, options.patients, options.features, options.targets)
        splits = draw_splits(list(X.index), generator(seed, "event").integers(0, 2, len(X)), seed=seed)
        result = PhenotypeGrid(
            classifiers=classifiers,
            engine=options.engine,
            permutations=options.permutations,
            # A fixed number of permutations, so that p has its exact distribution.
            exceedances=options.permutations + 1,
            protocol="published",
            controls=False,
            ablation=False,
            bundles=False,
            seed=seed,
            workers=options.workers,
        ).run(X, Y, splits)
        check_ledger(result.ledger.frame(), result.ledger.sets(), splits)
        bayes = result.published[result.published["classifier"] == "naive_bayes"]
        part = result.summary[["target", "auc", "auc_best_cell", "p_permutation"]].assign(dataset=seed)
        part["published_bayes"] = bayes.groupby("target")["auc"].mean().reindex(part["target"]).to_numpy()
        part["inner"] = result.grid.groupby("target")["auc_inner"].mean().reindex(part["target"]).to_numpy()
        stacks = result.grid[result.grid["classifier"] == "stacking"]
        part["stack_inner"] = stacks.groupby("target")["auc_inner"].mean().reindex(part["target"]).to_numpy()
        part["stack_outer"] = stacks.groupby("target")["auc"].mean().reindex(part["target"]).to_numpy()
        rows.append(part)
        print(
            f"data set {seed}: mean AUC {part['auc'].mean():.3f}, "
            f"p <= 0.05: {(part['p_permutation'] <= 0.05).mean():.3f}",
            flush=True,
        )
    table = pd.concat(rows)
    share = table.assign(small=table["p_permutation"] <= 0.05).groupby("dataset")["small"].mean()
    error = share.std(ddof=1) / np.sqrt(len(share)) if len(share) > 1 else float("nan")
    level = np.floor(0.05 * (options.permutations + 1)) / (options.permutations + 1)
    print(f"targets {len(table)}, seconds {time.perf_counter() - start:.0f}")
    means = table.groupby("dataset")["auc"].mean()
    print(
        f"mean outer AUC {table['auc'].mean():.4f} "
        f"(standard error by data set {means.std(ddof=1) / np.sqrt(len(means)):.4f})"
    )
    print(
        f"best cell, mean {table['auc_best_cell'].mean():.3f}, "
        f"95th percentile {table['auc_best_cell'].quantile(0.95):.3f}"
    )
    print(
        f"p <= 0.05: {share.mean():.4f} (exact {level:.4f}); 99 % interval clustered by data set "
        f"{share.mean() - 2.576 * error:.4f} to {share.mean() + 2.576 * error:.4f}"
    )
    print(f"published order, naive Bayes: median AUC {table['published_bayes'].median():.3f}")
    print(f"inner AUC of stacks {table['stack_inner'].mean():.4f}, their outer AUC {table['stack_outer'].mean():.4f}")


if __name__ == "__main__":
    main()
