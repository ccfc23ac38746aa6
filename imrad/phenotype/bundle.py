"""A phenotype that travels: feature names, scaler, bins, model and cut as plain arrays, and no patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from imrad import __version__, content
from imrad.evaluation import Ledger
from imrad.evaluation.preparation import FittedPreparation
from imrad.exceptions import BundleError, FitError
from imrad.phenotype.classifiers import bayes_posterior, bayes_tables, make_classifier
from imrad.phenotype.discretise import bin_codes
from imrad.phenotype.learners import EstimatorLearner, NaiveBayesLearner
from imrad.phenotype.parts import make_job
from imrad.phenotype.prepared import Plan, apply_scale, narrow, prepare, select
from imrad.phenotype.targets import Target
from imrad.seeds import child_seed

__all__ = ["SHAREABLE", "PhenotypeModel", "make_bundle"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

SHAREABLE = ("logistic_regression", "naive_bayes", "random_forest", "gradient_boosting", "neural_network")
"""Classifiers whose model holds no patient's row; nearest neighbours and support vectors are rows."""

FORMAT = "imrad phenotype 1"


def make_bundle(
    plan: Plan, features: list[str], defaults: str, job: tuple[Target, list[tuple[str, str]]]
) -> dict[str, Any]:
    """Fit a target's final model on the whole cohort and return it as plain values.

    The cell is the first of the given ones (best mean inner AUC first) whose model can be written
    down without patients; ``note`` says so where it is not the very first.
    """
    target, cells = job
    ledger = Ledger(plan.patients)
    rows = np.flatnonzero(target.measured)
    able = [cell for cell in cells if _shareable(plan, cell)]
    base: dict[str, Any] = {
        "format": FORMAT,
        "target": target.name,
        "chosen_cell": list(cells[0]),
        "n": len(rows),
        "cut_rule": target.rule_name,
        "cohort": content.digest([plan.patients, plan.X, target.values]),
        "versions": _versions(),
    }
    if not able:
        note = f"no cell of this grid can be written down without patients ({cells[0][0]} + {cells[0][1]} was best)"
        return {**base, "model": None, "note": note, "ledger": ledger.to_plain()}
    selector, classifier = able[0]
    stage, name = "phenotype", target.name
    prepared = prepare(plan, rows, ledger, stage=stage, step=name, fold="all")
    (values,) = ledger.rows(rows, target.values, stage=stage, step=f"{name}/cut", fold="all")
    cut = target.cut(values)
    y = (values > cut).astype(np.int64)
    ledger.record(stage=stage, step=f"{name}/selector:{selector}", fold="all", rows=rows)
    chosen = select(plan, prepared, selector, y[:, None])[0]
    prepared = narrow(plan, prepared, y)
    ledger.record(stage=stage, step=f"{name}/classifier:{selector}:{classifier}", fold="all", rows=rows)
    columns = chosen.columns
    task = make_job(plan, chosen, rows, y, rows, "all")
    if classifier == "naive_bayes":
        prior, ratio = bayes_tables(task.codes, y, 2, plan.n_bins)
        model: dict[str, Any] = {"kind": classifier, "log_prior": prior, "log_ratio": ratio}
    else:
        fitted = make_classifier(classifier, defaults=defaults, random_state=child_seed(plan.seed, "classifier", "all"))
        model = _plain_model(classifier, fitted.fit(task.X, y))
    names = [prepared.names[column] for column in columns]
    travelling = prepared.preparation.narrowed(names)
    note = "" if able[0] == cells[0] else f"{cells[0][0]} + {cells[0][1]} was best, but its model would hold patients"
    return {
        **base,
        "selector": selector,
        "classifier": classifier,
        "defaults": defaults,
        # The raw features it needs, and the prepared columns that the model reads.
        "features": list(travelling.inputs) if travelling.steps else names,
        "columns": names,
        "prepare": travelling.to_plain() if travelling.steps else None,
        "funnel": prepared.preparation.funnel(),
        "medians": prepared.medians[columns],
        "means": prepared.means[columns],
        "scales": prepared.scales[columns],
        "bins": prepared.cuts[columns],
        "cut": cut,
        "n_positive": int(y.sum()),
        "model": model,
        "note": note,
        "ledger": ledger.to_plain(),
    }


def _shareable(plan: Plan, cell: tuple[str, str]) -> bool:
    selector, classifier = cell
    learner = plan.learners.get(classifier)
    if (
        plan.scaler is not None
        or not plan.preparation.key
        or not isinstance(plan.selectors[selector], str)
        or classifier not in SHAREABLE
    ):
        return False
    # A user's own estimator under a known name is not the known model.
    own = isinstance(learner, EstimatorLearner) and type(learner.estimator) is not type(make_classifier(classifier))
    return not own or isinstance(learner, NaiveBayesLearner)


def _versions() -> dict[str, str]:
    import sklearn

    return {"imrad": __version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__}


def _plain_model(kind: str, model: Any) -> dict[str, Any]:
    if kind == "logistic_regression":
        return {"kind": kind, "coef": model.coef_[0], "intercept": float(model.intercept_[0])}
    if kind == "neural_network":
        return {"kind": kind, "weights": list(model.coefs_), "biases": list(model.intercepts_)}
    if kind == "random_forest":
        trees = [_plain_tree(one.tree_, leaf=one.tree_.value[:, 0, 1]) for one in model.estimators_]
        return {"kind": kind, "trees": trees}
    trees = [_plain_tree(one.tree_, leaf=one.tree_.value[:, 0, 0]) for one in model.estimators_[:, 0]]
    share = float(model.init_.class_prior_[1])
    return {
        "kind": kind,
        "trees": trees,
        "start": float(np.log(share / (1 - share))),
        "learning_rate": float(model.learning_rate),
    }


def _plain_tree(tree: Any, leaf: Floats) -> dict[str, Any]:
    return {
        "left": tree.children_left.astype(np.int64),
        "right": tree.children_right.astype(np.int64),
        "feature": tree.feature.astype(np.int64),
        "threshold": tree.threshold.astype(np.float64),
        "leaf": np.asarray(leaf, dtype=np.float64),
    }


class PhenotypeModel:
    """A phenotype read back from its bundle, to be applied to other patients.

    Parameters
    ----------
    bundle : mapping
        What :attr:`GridResult.bundles` holds for a target, also after
        :func:`imrad.content.save` and :func:`imrad.content.load`.

    Raises
    ------
    BundleError
        If it is not such a bundle or holds no model.
    """

    def __init__(self, bundle: Mapping[str, Any]) -> None:
        if bundle.get("format") != FORMAT:
            message = (
                f"this is not a phenotype bundle of this version: format {bundle.get('format')!r}, need {FORMAT!r}"
            )
            raise BundleError(message)
        if bundle.get("model") is None:
            message = f"the bundle of {bundle.get('target')} holds no model: {bundle.get('note')}"
            raise BundleError(message)
        self.bundle = dict(bundle)
        self.target = str(bundle["target"])
        self.features = [str(name) for name in bundle["features"]]
        self.columns = [str(name) for name in bundle.get("columns", self.features)]
        plain = bundle.get("prepare")
        self.preparation = FittedPreparation.from_plain(plain) if plain else None

    def predict(self, X: pd.DataFrame, sides: Mapping[str, Any] | None = None) -> pd.Series[float]:
        """Return the probability of being high, patients as in `X`.

        Parameters
        ----------
        X : DataFrame, patients x features
            Raw features.
        sides : mapping, optional
            Side tables of the preparation by name, such as sites, indexed by patient.

        Raises
        ------
        BundleError
            If `X` lacks a feature, or the preparation refuses a site.
        """
        absent = [name for name in self.features if name not in X.columns]
        if absent:
            message = (
                f"the phenotype {self.target} needs {len(self.features)} features; "
                f"{len(absent)} are missing, among them {absent[0]}"
            )
            raise BundleError(message)
        table = X
        if self.preparation is not None:
            try:
                table = self.preparation.transform(X, sides)
            except FitError as error:
                message = f"the phenotype {self.target} cannot be applied: {error}"
                raise BundleError(message) from error
        raw = table[self.columns].to_numpy(dtype=float, na_value=np.nan)
        model = self.bundle["model"]
        if model["kind"] == "naive_bayes":
            codes = bin_codes(raw, np.asarray(self.bundle["bins"]))
            values = bayes_posterior(codes, np.asarray(model["log_prior"]), np.asarray(model["log_ratio"]))[:, 1]
        else:
            scale = (np.asarray(self.bundle[name]) for name in ("medians", "means", "scales"))
            values = _predict(model, apply_scale(raw, *scale))
        return pd.Series(values, index=X.index, name=f"Rad-{self.target}")

    def percentile(self, probability: pd.Series[float]) -> pd.Series[float]:
        """Return where probabilities lie in the training cohort's out-of-fold distribution, 0 .. 1."""
        reference = self.bundle["reference"]
        at = np.interp(probability.to_numpy(dtype=float), reference["probability"], reference["quantile"])
        return pd.Series(at, index=probability.index, name=probability.name)


def _predict(model: Mapping[str, Any], Z: Floats) -> Floats:
    kind = model["kind"]
    if kind == "logistic_regression":
        return np.asarray(expit(Z @ np.asarray(model["coef"]) + model["intercept"]))
    if kind == "neural_network":
        layers = list(zip(model["weights"], model["biases"], strict=True))
        for weights, bias in layers[:-1]:
            Z = np.maximum(Z @ np.asarray(weights) + np.asarray(bias), 0.0)
        weights, bias = layers[-1]
        return np.asarray(expit(Z @ np.asarray(weights) + np.asarray(bias)))[:, 0]
    leaves = np.stack([_leaf(tree, Z) for tree in model["trees"]])
    if kind == "random_forest":
        return np.asarray(leaves.mean(axis=0))
    if kind == "gradient_boosting":
        return np.asarray(expit(model["start"] + model["learning_rate"] * leaves.sum(axis=0)))
    message = f"unknown kind of model in the bundle: {kind!r}"
    raise BundleError(message)


def _leaf(tree: Mapping[str, Any], Z: Floats) -> Floats:
    left, right = np.asarray(tree["left"]), np.asarray(tree["right"])
    feature, threshold = np.asarray(tree["feature"]), np.asarray(tree["threshold"])
    node = np.zeros(len(Z), dtype=np.int64)
    # scikit-learn grows and walks its trees on single-precision features.
    single = Z.astype(np.float32)
    rows = np.arange(len(Z))
    while (inner := left[node] >= 0).any():
        goes_left = single[rows, feature[node]] <= threshold[node]
        node = np.where(inner, np.where(goes_left, left[node], right[node]), node)
    return np.asarray(tree["leaf"])[node]
