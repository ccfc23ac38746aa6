"""The seven base learners and the named sets of their settings; the estimators that imrad adds.

:func:`make_classifier` gives plain scikit-learn estimators for anyone's pipeline. The grid reaches
them through :mod:`imrad.phenotype.learners`, where other engines can be plugged in by name.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.exceptions import ConfigError
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts

__all__ = ["BASE_CLASSIFIERS", "CLASSIFIERS", "DEFAULTS", "BinnedNaiveBayes", "SupportVectors", "make_classifier"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

BASE_CLASSIFIERS = (
    "random_forest",
    "gradient_boosting",
    "logistic_regression",
    "svm",
    "naive_bayes",
    "knn",
    "neural_network",
)
CLASSIFIERS = (*BASE_CLASSIFIERS, "stacking")

DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    # The widgets' defaults of Orange, the program of the founding study.
    "founding": {
        "random_forest": {"n_estimators": 10, "min_samples_split": 5},
        "gradient_boosting": {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1},
        "logistic_regression": {"C": 1.0, "max_iter": 1000},
        "svm": {"C": 1.0, "max_iter": 100},
        "naive_bayes": {"n_bins": 4},
        "knn": {"n_neighbors": 5},
        "neural_network": {"hidden_layer_sizes": (100,), "alpha": 1e-4, "max_iter": 200},
    },
    # For a hundred patients: more trees, shallower boosting, more shrinkage everywhere.
    "imrad": {
        "random_forest": {"n_estimators": 100, "min_samples_leaf": 3},
        "gradient_boosting": {"n_estimators": 100, "max_depth": 2, "learning_rate": 0.05},
        "logistic_regression": {"C": 0.1, "max_iter": 1000},
        "svm": {"C": 1.0, "max_iter": -1},
        "naive_bayes": {"n_bins": 4},
        "knn": {"n_neighbors": 11, "weights": "distance"},
        "neural_network": {"hidden_layer_sizes": (32,), "alpha": 1.0, "max_iter": 200},
    },
}


class BinnedNaiveBayes(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Naive Bayes on equal-frequency bins, as in Orange.

    P(class | bin) = (count + 1) / (cases in the bin + classes), P(class) = (count + 1) /
    (cases + classes), and the posterior is P(class) times the product of P(class | bin) / P(class).
    A missing value is left out of both.

    Parameters
    ----------
    n_bins : int
        Bins of each feature, learnt from the training rows.

    Attributes
    ----------
    classes_ : ndarray
        Classes.
    cuts_ : ndarray, features x (n_bins - 1)
        Cut points, +inf where unused.
    log_prior_ : ndarray, classes
        ln P(class).
    log_ratio_ : ndarray, features x bins x classes
        ln P(class | bin) - ln P(class).
    """

    def __init__(self, n_bins: int = 4) -> None:
        self.n_bins = n_bins

    def fit(self, X: Any, y: Any) -> BinnedNaiveBayes:
        """Learn bins and counts."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.cuts_ = equal_frequency_cuts(X, self.n_bins)
        codes = bin_codes(X, self.cuts_)
        self.log_prior_, self.log_ratio_ = bayes_tables(codes, labels, len(self.classes_), self.n_bins)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the posterior, patients x classes."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return bayes_posterior(bin_codes(X, self.cuts_), self.log_prior_, self.log_ratio_)

    def predict(self, X: Any) -> Any:
        """Return the more probable class."""
        check_is_fitted(self)
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def bayes_tables(
    codes: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], n_classes: int, n_bins: int
) -> tuple[Floats, Floats]:
    """Return ln P(class), and ln P(class | bin) - ln P(class) as features x bins x classes."""
    hot_class = (labels[:, None] == np.arange(n_classes)).astype(float)
    prior = (hot_class.sum(axis=0) + 1) / (len(labels) + n_classes)
    hot = (codes[:, :, None] == np.arange(n_bins)).reshape(len(codes), -1).astype(float)
    counts = (hot.T @ hot_class).reshape(codes.shape[1], n_bins, n_classes)
    given = (counts + 1) / (counts.sum(axis=2, keepdims=True) + n_classes)
    return np.log(prior), np.log(given) - np.log(prior)


def bayes_posterior(codes: np.ndarray[Any, Any], log_prior: Floats, log_ratio: Floats) -> Floats:
    """Return P(class | bins), patients x classes."""
    seen = codes >= 0
    parts = log_ratio[np.arange(codes.shape[1]), np.where(seen, codes, 0)]
    joint = log_prior + (parts * seen[:, :, None]).sum(axis=1)
    joint -= joint.max(axis=1, keepdims=True)
    weight = np.exp(joint)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


class SupportVectors(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """RBF support vector machine with a logistic probability that keeps the order of its margin.

    Platt's sigmoid is fitted to out-of-fold margins of the training rows, its slope held
    non-negative: libsvm's own may turn the order around where there is nothing to learn. Folds are
    dealt in row order within each class, so that no random number is used.

    Parameters
    ----------
    C : float
        Cost of a margin violation.
    gamma : float or {"scale", "auto"}
        Kernel width.
    max_iter : int
        libsvm's limit on iterations; -1 for none.
    n_folds : int
        Folds for the sigmoid; fewer where a class is smaller.

    Attributes
    ----------
    classes_ : ndarray
        The two classes.
    svc_ : sklearn.svm.SVC
        The machine fitted to all training rows.
    n_iter_ : int
        libsvm's iterations for it.
    slope_, intercept_ : float
        P(second class) = expit(slope_ * margin + intercept_).

    References
    ----------
    Platt J. Advances in Large Margin Classifiers, 1999:61-74.
    Lin HT, Lin CJ, Weng RC. doi:10.1007/s10994-007-5018-6.
    """

    def __init__(self, C: float = 1.0, gamma: Any = "scale", max_iter: int = -1, n_folds: int = 5) -> None:
        self.C = C
        self.gamma = gamma
        self.max_iter = max_iter
        self.n_folds = n_folds

    def fit(self, X: Any, y: Any) -> SupportVectors:
        """Fit the machine, then the sigmoid."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            message = "Only binary classification is supported. The type of the target is multiclass."
            raise ValueError(message)
        if len(self.classes_) < 2:
            message = "SupportVectors needs two classes in the training rows, found one class"
            raise ValueError(message)
        self.svc_ = self._machine(X, labels)
        self.n_iter_ = int(np.max(self.svc_.n_iter_))
        smallest = int(np.bincount(labels).min())
        n_folds = min(self.n_folds, smallest)
        margins = self.svc_.decision_function(X) if n_folds < 2 else self._held_out(X, labels, n_folds)
        self.slope_, self.intercept_ = _sigmoid(margins, labels)
        return self

    def _machine(self, X: Floats, labels: np.ndarray[Any, Any]) -> Any:
        with warnings.catch_warnings():
            # The founding study's limit of 100 iterations is meant to be reached.
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            return SVC(C=self.C, gamma=self.gamma, max_iter=self.max_iter).fit(X, labels)

    def _held_out(self, X: Floats, labels: np.ndarray[Any, Any], n_folds: int) -> Floats:
        place = np.empty(len(labels), dtype=int)
        for number in range(2):
            inside = np.flatnonzero(labels == number)
            place[inside] = np.arange(len(inside)) % n_folds
        margins = np.empty(len(labels))
        for fold in range(n_folds):
            held = place == fold
            margins[held] = self._machine(X[~held], labels[~held]).decision_function(X[held])
        return margins

    def decision_function(self, X: Any) -> Floats:
        """Return the margin, positive towards the second class."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.svc_.decision_function(X))

    def predict_proba(self, X: Any) -> Floats:
        """Return the probabilities, patients x classes."""
        check_is_fitted(self)
        high = expit(self.slope_ * self.decision_function(X) + self.intercept_)
        return np.column_stack([1 - high, high])

    def predict(self, X: Any) -> Any:
        """Return the class on whose side of the margin a patient lies."""
        check_is_fitted(self)
        return self.classes_[(self.decision_function(X) > 0).astype(int)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _sigmoid(margins: Floats, labels: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return slope >= 0 and intercept of Platt's sigmoid, by Newton steps that never go uphill."""
    n_high = float(labels.sum())
    n_low = len(labels) - n_high
    goal = np.where(labels == 1, (n_high + 1) / (n_high + 2), 1 / (n_low + 2))
    design = np.column_stack([margins, np.ones(len(margins))])
    flat = np.array([0.0, np.log((n_high + 1) / (n_low + 1))])

    def loss(at: Floats) -> float:
        value = design @ at
        return float((np.logaddexp(0, value) - goal * value).sum())

    at = flat.copy()
    for _ in range(100):
        fitted = expit(design @ at)
        slope = design.T @ (fitted - goal)
        if np.abs(slope).max() < 1e-8:
            break
        curve = (design * (fitted * (1 - fitted))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        size, before = 1.0, loss(at)
        while loss(at - size * step) > before - 1e-4 * size * float(slope @ step) and size > 1e-10:
            size /= 2
        at = at - size * step
    if at[0] <= 0:
        # Order kept, but nearly flat: the margins say nothing.
        return 1e-3, float(flat[1])
    return float(at[0]), float(at[1])


class _QuietMLP(MLPClassifier):  # type: ignore[misc]
    """scikit-learn's network without its warning that the iterations asked for were all used."""

    def fit(self, X: Any, y: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            return super().fit(X, y)


_MAKERS: dict[str, Any] = {
    "random_forest": RandomForestClassifier,
    "gradient_boosting": GradientBoostingClassifier,
    "logistic_regression": LogisticRegression,
    "svm": SupportVectors,
    "naive_bayes": BinnedNaiveBayes,
    "knn": KNeighborsClassifier,
    "neural_network": _QuietMLP,
}

_SEEDED = ("random_forest", "gradient_boosting", "neural_network")


def make_classifier(name: str, *, defaults: str = "founding", random_state: int | None = None) -> Any:
    """Return an unfitted base learner by its name, with a named set of settings.

    Parameters
    ----------
    name : str
        One of :data:`BASE_CLASSIFIERS`; stacking belongs to the grid, which has the out-of-fold
        predictions it stands on.
    defaults : str
        ``founding`` (Orange's widgets) or ``imrad``.
    random_state : int, optional
        Seed of the learners that draw random numbers.

    Raises
    ------
    ConfigError
        If the name or the set is unknown.
    """
    if defaults not in DEFAULTS:
        message = f"unknown set of classifier defaults {defaults!r}; the known ones are {', '.join(DEFAULTS)}"
        raise ConfigError(message)
    if name not in _MAKERS:
        message = f"unknown classifier {name!r}; the known ones are {', '.join(CLASSIFIERS)}"
        raise ConfigError(message)
    settings = dict(DEFAULTS[defaults][name])
    if name in _SEEDED:
        settings["random_state"] = random_state
    return _MAKERS[name](**settings)
