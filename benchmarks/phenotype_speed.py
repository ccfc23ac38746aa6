"""The grid against the plain scikit-learn loop, in one run on one core, with equal predictions.

The plain loop is what a careful user writes: a Pipeline for every cell (scaling, selection,
classifier) and StackingClassifier over the seven, fitted in every outer fold. The grid does that
and chooses the cell in inner folds besides (selection again in every inner fold). Seconds are of the
processor, on one thread, so that other work on the machine does not count.
`python benchmarks/phenotype_speed.py` takes about two minutes, with `--engine sklearn` three.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imrad.evaluation import SplitTable, draw_splits
from imrad.execution import single_thread
from imrad.phenotype import MRMRSelector, PhenotypeGrid, make_classifier, make_selector
from imrad.phenotype.classifiers import BASE_CLASSIFIERS
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.folds import Task, fit_fold
from imrad.phenotype.measures import concordance
from imrad.phenotype.scores import ContingencyScores
from imrad.phenotype.targets import Target
from imrad.seeds import child_seed

SELECTORS = ("information_gain", "gain_ratio", "gini_decrease", "fcbf")


def plain_loop(
    X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], splits: SplitTable
) -> tuple[dict[Any, Any], dict[str, float]]:
    """Fit every cell in every outer fold, each from scratch."""
    spent: dict[str, float] = defaultdict(float)
    predictions = {}
    for fold in splits.outer():
        seed = child_seed(0, "classifier", fold.name)
        for selector in SELECTORS:
            for name in (*BASE_CLASSIFIERS, "stacking"):
                start = time.process_time()
                if name == "stacking":
                    bases = [(one, make_classifier(one, random_state=seed)) for one in BASE_CLASSIFIERS]
                    model: Any = StackingClassifier(bases, LogisticRegression(), cv=5)
                else:
                    model = make_classifier(name, random_state=seed)
                pipeline = make_pipeline(StandardScaler(), make_selector(selector, 20), model)
                pipeline.fit(X[fold.train], y[fold.train])
                predictions[fold.name, selector, name] = pipeline.predict_proba(X[fold.test])[:, 1]
                spent[name] += time.process_time() - start
    return predictions, spent


def loop_selection(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    """Time the four selections of one training part as one loop over features for each selector."""

    def entropy(share: np.ndarray[Any, Any]) -> float:
        share = share[share > 0]
        return float(-(share * np.log2(share)).sum())

    def table(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        counts = np.zeros((a.max() + 1, b.max() + 1))
        np.add.at(counts, (a, b), 1)
        return counts / counts.sum()

    def gain(share: np.ndarray[Any, Any]) -> float:
        return entropy(share.sum(axis=1)) + entropy(share.sum(axis=0)) - entropy(share.ravel())

    def uncertainty(share: np.ndarray[Any, Any]) -> float:
        both = entropy(share.sum(axis=1)) + entropy(share.sum(axis=0))
        return 2 * gain(share) / max(both, 1e-12)

    def gini(share: np.ndarray[Any, Any]) -> float:
        inside = share.sum(axis=1, keepdims=True)
        return float((share**2 / np.maximum(inside, 1e-12)).sum() - (share.sum(axis=0) ** 2).sum())

    def binned() -> list[np.ndarray[Any, Any]]:
        return [np.searchsorted(np.quantile(column, [0.25, 0.5, 0.75]), column) for column in X.T]

    start = time.process_time()
    for score in (gain, lambda share: gain(share) / max(entropy(share.sum(axis=1)), 1e-12), gini):
        np.argsort([-score(table(codes, y)) for codes in binned()])
    codes = binned()
    relevance = np.array([uncertainty(table(one, y)) for one in codes])
    left = list(np.argsort(-relevance))
    while left:
        best = left.pop(0)
        left = [one for one in left if uncertainty(table(codes[best], codes[one])) < relevance[one]]
    return time.process_time() - start


def fast_grid(
    grid: PhenotypeGrid, X: pd.DataFrame, targets: list[Target], splits: SplitTable
) -> tuple[float, dict[Any, Any]]:
    """Run the nested grid's folds, as PhenotypeGrid does, and time them."""
    start = time.process_time()
    plan = grid._plan(X, splits)
    out = {}
    for fold in splits.outer():
        for target in targets:
            out[target.name, fold.name] = fit_fold(plan, Task(target, fold))
    return time.process_time() - start, out


def agreement(
    plain: dict[Any, Any], found: dict[Any, Any], grid: PhenotypeGrid, target: str, X: Any, splits: Any
) -> float:
    """Return the largest difference of the base learners' outer predictions."""
    worst = 0.0
    for (fold, selector, name), values in plain.items():
        if name != "stacking":
            cell = grid._plan(X, splits).cells.index((selector, name))
            worst = max(worst, float(np.abs(found[target, fold]["test"][cell] - values).max()))
    return worst


def auc_differences(
    plain: dict[Any, Any], found: dict[Any, Any], grid: PhenotypeGrid, target: Target, X: Any, splits: Any
) -> dict[str, list[float]]:
    """Return, by base learner, its outer AUC less the plain loop's, over folds and selectors."""
    cells, rows = grid._plan(X, splits).cells, {fold.name: fold.test for fold in splits.outer()}
    out: dict[str, list[float]] = defaultdict(list)
    for (fold, selector, name), values in plain.items():
        truth = (target.values[rows[fold]] > 0.5).astype(int)
        if name != "stacking" and 0 < truth.sum() < len(truth):
            own = found[target.name, fold]["test"][cells.index((selector, name))]
            pair = concordance(np.stack([own, values]), truth)
            out[name].append(float(pair[0] - pair[1]))
    return out


def scores_of_all(X: np.ndarray[Any, Any], Y: np.ndarray[Any, Any], splits: SplitTable) -> float:
    """Time the three entropy scores of all features, targets and outer folds."""
    folds = [fold.train for fold in splits.outer()]
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        for rows in folds:
            scorer = ContingencyScores(bin_codes(X[rows], equal_frequency_cuts(X[rows])))
            scorer.information_gain(Y[rows])
            scorer.gain_ratio(Y[rows])
            scorer.gini_decrease(Y[rows])
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, help="targets of the grid; 30, or 4 with scikit-learn's models")
    parser.add_argument("--plain-targets", type=int, default=1, help="targets of the plain loop")
    parser.add_argument("--rounds", type=int, default=1, help="interleaved rounds; the best of each counts")
    parser.add_argument("--engine", default="imrad", choices=["sklearn", "imrad"], help="whose models the grid fits")
    options = parser.parse_args()
    options.targets = options.targets or (30 if options.engine == "imrad" else 4)
    n, p = 113, 851
    features, _ = make_classification(
        n, p, n_informative=20, n_redundant=200, n_clusters_per_class=1, class_sep=0.8, random_state=0
    )
    rng = np.random.default_rng(0)
    labels = (features[:, :40] @ rng.normal(size=(40, 30)) + 8 * rng.normal(size=(n, 30)) > 0).astype(float)
    X = pd.DataFrame(features, index=[f"P{number:03d}" for number in range(n)])
    splits = draw_splits(list(X.index), rng.integers(0, 2, n), seed=0)
    targets = [Target(f"t{number:02d}", labels[:, number], 0.5) for number in range(options.targets)]
    warnings.filterwarnings("ignore", category=UserWarning)
    grid = PhenotypeGrid(engine=options.engine, seed=0)
    plain_seconds, grid_seconds, worst, spent = np.inf, np.inf, 0.0, {}
    away: dict[str, list[float]] = defaultdict(list)
    with single_thread():
        fast_grid(grid, X, targets[:1], splits)
        for _ in range(options.rounds):
            seconds, found = fast_grid(grid, X, targets, splits)
            grid_seconds = min(grid_seconds, seconds / options.targets)
            start = time.process_time()
            for number in range(options.plain_targets):
                plain, spent = plain_loop(features, labels[:, number].astype(int), splits)
                if options.engine == "sklearn":
                    worst = max(worst, agreement(plain, found, grid, targets[number].name, X, splits))
                for name, values in auc_differences(plain, found, grid, targets[number], X, splits).items():
                    away[name] += values
            plain_seconds = min(plain_seconds, (time.process_time() - start) / options.plain_targets)
        rows = next(iter(splits.outer())).train
        # Four selectors, each selected anew for eight classifiers in five folds.
        slow = 8 * 5 * loop_selection(features[rows], labels[rows, 0].astype(int))
        entropy = scores_of_all(features, labels, splits)
        start = time.process_time()
        package = MRMRSelector(k=30, engine="mrmr-selection").fit(features, labels[:, 0].astype(int))
        package_seconds = time.process_time() - start
        own_seconds = np.inf
        for _ in range(5):
            start = time.process_time()
            own = MRMRSelector(k=30).fit(features, labels[:, 0].astype(int))
            own_seconds = min(own_seconds, time.process_time() - start)
    parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items())
    print(f"plain scikit-learn loop: {plain_seconds:.1f} s a target ({parts})")
    print(f"imrad ({options.engine} models), inner choice included: {grid_seconds:.1f} s a target")
    print(f"ratio {plain_seconds / grid_seconds:.1f} with imrad's own selectors in the plain loop")
    whole = plain_seconds + slow
    print(
        f"with selection as a loop over features, {slow:.1f} s more a target: {whole:.1f} s, "
        f"ratio {whole / grid_seconds:.1f}"
    )
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if options.engine == "sklearn":
        print(f"largest difference of a base learner's prediction: {worst:.1e}")
    print("mean difference of outer AUC: " + ", ".join(f"{name} {np.mean(one):+.4f}" for name, one in away.items()))
    print(f"three entropy scores, {p} features x 30 targets x 5 folds: {entropy * 1e3:.0f} ms")
    print(
        f"mRMR, 30 of {p}: mrmr-selection {package_seconds:.2f} s, imrad {own_seconds * 1e3:.1f} ms; ratio "
        f"{package_seconds / own_seconds:.0f}; same order: {bool(np.array_equal(package.ranking_, own.ranking_))}"
    )


if __name__ == "__main__":
    main()
