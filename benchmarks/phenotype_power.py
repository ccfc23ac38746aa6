"""Planted signals: does the nested AUC say what new patients will see, and how often is a signal claimed?

For each draw the grid is run on a small cohort, and the same procedure is applied to many new
patients of the same population: the cell of best cross-validated AUC on the whole cohort (its outer
folds are to the cohort what the inner ones are to a training part), fitted on the whole cohort.
`python benchmarks/phenotype_power.py` takes about ten minutes; `--quick` one.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imrad.evaluation import draw_splits
from imrad.execution import single_thread
from imrad.phenotype import PhenotypeGrid, make_classifier, make_selector
from imrad.seeds import generator


def population(seed: int, n: int, p: int, strength: float, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Draw patients: correlated blocks of features, of which three blocks drive the target."""
    rng = generator(seed, name)
    factors = rng.normal(size=(n, -(-p // 10)))
    X = np.sqrt(0.5) * np.repeat(factors, 10, axis=1)[:, :p] + np.sqrt(0.5) * rng.normal(size=(n, p))
    y = strength * factors[:, :3].sum(axis=1) + rng.normal(size=n)
    names = [f"P{number:05d}" for number in range(n)]
    columns = [f"f{number:03d}" for number in range(p)]
    return pd.DataFrame(X, index=names, columns=columns), pd.Series(y, index=names, name="planted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--patients", type=int, default=113)
    parser.add_argument("--features", type=int, default=300)
    parser.add_argument("--new-patients", type=int, default=20_000)
    parser.add_argument("--strengths", default="0,0.4,0.8")
    parser.add_argument("--classifiers", default="naive_bayes,logistic_regression,knn,svm")
    parser.add_argument("--engine", default="imrad")
    parser.add_argument("--quick", action="store_true", help="20 draws of two strengths")
    options = parser.parse_args()
    if options.quick:
        options.draws, options.strengths, options.features = 20, "0,0.8", 100
    names = tuple(options.classifiers.split(","))
    with single_thread():
        for strength in (float(part) for part in options.strengths.split(",")):
            nested, new, p, start = [], [], [], time.perf_counter()
            for draw in range(options.draws):
                X, y = population(draw, options.patients, options.features, strength, f"cohort {strength}")
                far, y_far = population(draw, options.new_patients, options.features, strength, f"new {strength}")
                splits = draw_splits(list(X.index), generator(draw, "event").integers(0, 2, len(X)), seed=draw)
                result = PhenotypeGrid(
                    classifiers=names, engine=options.engine, controls=False, ablation=False, bundles=False, seed=draw
                ).run(X, y.to_frame(), splits)
                best = result.grid.loc[result.grid["auc"].idxmax()]
                model = make_pipeline(
                    StandardScaler(),
                    make_selector(best["selector"]),
                    make_classifier(best["classifier"], random_state=0),
                ).fit(X.to_numpy(), (y > y.median()).to_numpy().astype(int))
                score = model.predict_proba(far.to_numpy())[:, 1]
                # The population's median is zero.
                new.append(roc_auc_score(y_far > 0, score))
                nested.append(result.summary["auc"].iloc[0])
                p.append(result.summary["p_permutation"].iloc[0])
            own, there = np.array(nested), np.array(new)
            error = own.std(ddof=1) / np.sqrt(len(own))
            print(
                f"strength {strength}: nested AUC {own.mean():.4f} (standard error {error:.4f}), "
                f"on {options.new_patients} new patients {there.mean():.4f}, "
                f"difference {own.mean() - there.mean():+.4f}; "
                f"p < 0.05 in {np.mean(np.array(p) < 0.05):.3f} of {options.draws} draws; "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
