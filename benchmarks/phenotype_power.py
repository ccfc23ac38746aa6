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


def population(
    seed: int, n: int, p: int, strength: float, name: str, columns: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw patients: correlated blocks of ten features, of which three blocks drive the target.

    With `columns` only these features are drawn, which is all that a fitted model reads.
    """
    rng = generator(seed, name)
    columns = np.arange(p) if columns is None else columns
    factors = rng.normal(size=(n, -(-p // 10)))
    X = np.sqrt(0.5) * factors[:, columns // 10] + np.sqrt(0.5) * rng.normal(size=(n, len(columns)))
    return X, strength * factors[:, :3].sum(axis=1) + rng.normal(size=n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--tested", type=int, help="draws that are also put to the permutation test; all")
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
    tested = options.draws if options.tested is None else options.tested
    names = tuple(options.classifiers.split(","))
    with single_thread():
        for strength in (float(part) for part in options.strengths.split(",")):
            nested, new, p, start = [], [], [], time.perf_counter()
            for draw in range(options.draws):
                values, y = population(draw, options.patients, options.features, strength, f"cohort {strength}")
                X = pd.DataFrame(values, index=[f"P{number:03d}" for number in range(len(values))]).add_prefix("f")
                splits = draw_splits(list(X.index), generator(draw, "event").integers(0, 2, len(X)), seed=draw)
                result = PhenotypeGrid(
                    classifiers=names,
                    engine=options.engine,
                    permutations="auto" if draw < tested else 0,
                    controls=False,
                    ablation=False,
                    bundles=False,
                    seed=draw,
                ).run(X, pd.DataFrame({"planted": y}, index=X.index), splits)
                best = result.grid.loc[result.grid["auc"].idxmax()]
                high = (y > np.median(y)).astype(int)
                kept = make_selector(best["selector"]).fit(values, high).get_support(indices=True)
                model = make_pipeline(StandardScaler(), make_classifier(best["classifier"], random_state=0))
                far, y_far = population(draw, options.new_patients, options.features, strength, f"new {strength}", kept)
                score = model.fit(values[:, kept], high).predict_proba(far)[:, 1]
                # The population's median is zero.
                new.append(roc_auc_score(y_far > 0, score))
                nested.append(result.summary["auc"].iloc[0])
                p += list(result.summary["p_permutation"].dropna())
            own, there = np.array(nested), np.array(new)
            error = own.std(ddof=1) / np.sqrt(len(own))
            print(
                f"strength {strength}: nested AUC {own.mean():.4f} (standard error {error:.4f}), "
                f"on {options.new_patients} new patients {there.mean():.4f}, "
                f"difference {own.mean() - there.mean():+.4f}; "
                f"p < 0.05 in {np.mean(np.array(p) < 0.05) if p else np.nan:.3f} of {len(p)} draws; "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
