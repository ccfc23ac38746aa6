"""The feature selectors, as scikit-learn transformers: each keeps the k best features by its score."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.exceptions import ConfigError
from imrad.phenotype.discretise import bin_codes, equal_frequency_cuts
from imrad.phenotype.mrmr import SCHEMES, rank_mrmr, rank_with_mrmr_selection
from imrad.phenotype.scores import ContingencyScores, top_k

__all__ = [
    "FCBF",
    "FixedFeatures",
    "GainRatio",
    "GiniDecrease",
    "InformationGain",
    "LassoSelector",
    "MRMRSelector",
    "UnivariateSelector",
    "make_selector",
]

Floats = np.ndarray[Any, np.dtype[np.float64]]


class _TopK(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Keep the k features of highest ``scores_``; ties go to the lower column."""

    k: int
    _allow_nan: ClassVar[bool] = False

    def fit(self, X: Any, y: Any) -> Any:
        """Score the features of the training rows.

        Parameters
        ----------
        X : array-like, patients x features
            Training rows.
        y : array-like, patients
            Their classes.
        """
        finite: Any = "allow-nan" if self._allow_nan else True
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=finite)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if self.k < 1:
            message = f"{type(self).__name__} keeps k >= 1 features, got k={self.k}"
            raise ConfigError(message)
        self.scores_ = self._scores(X, labels)
        self.selected_ = top_k(self.scores_, self.k)
        return self

    def _scores(self, X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
        raise NotImplementedError

    def _get_support_mask(self) -> Any:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.selected_] = True
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = self._allow_nan
        return tags


class _Binned(_TopK):
    _allow_nan = True
    _method: ClassVar[str]
    n_bins: int

    def __init__(self, k: int = 20, n_bins: int = 4) -> None:
        self.k = k
        self.n_bins = n_bins

    def _scores(self, X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
        self.cuts_ = equal_frequency_cuts(X, self.n_bins)
        scorer = ContingencyScores(bin_codes(X, self.cuts_), self.n_bins)
        scores: Floats = getattr(scorer, self._method)(labels)[:, 0]
        return scores


class InformationGain(_Binned):
    """Keep the features that lower the entropy of the class most (Orange's InfoGain).

    Parameters
    ----------
    k : int
        Features kept.
    n_bins : int
        Equal-frequency bins, learnt from the training rows.

    Attributes
    ----------
    scores_ : ndarray, features
        Scores of the training rows.
    selected_ : ndarray of int
        Columns kept, ascending.
    cuts_ : ndarray, features x (n_bins - 1)
        Cut points, +inf where unused.
    """

    _method = "information_gain"


class GainRatio(_Binned):
    """Keep the features of highest information gain per entropy of their bins.

    On data without ties all features have the same bin sizes and the order is that of
    :class:`InformationGain`.

    Parameters
    ----------
    k : int
        Features kept.
    n_bins : int
        Equal-frequency bins, learnt from the training rows.

    Attributes
    ----------
    scores_ : ndarray, features
        Scores of the training rows.
    selected_ : ndarray of int
        Columns kept, ascending.
    cuts_ : ndarray, features x (n_bins - 1)
        Cut points, +inf where unused.
    """

    _method = "gain_ratio"


class GiniDecrease(_Binned):
    """Keep the features that lower the Gini impurity of the class most (Orange's Gini).

    Parameters
    ----------
    k : int
        Features kept.
    n_bins : int
        Equal-frequency bins, learnt from the training rows.

    Attributes
    ----------
    scores_ : ndarray, features
        Scores of the training rows.
    selected_ : ndarray of int
        Columns kept, ascending.
    cuts_ : ndarray, features x (n_bins - 1)
        Cut points, +inf where unused.
    """

    _method = "gini_decrease"


class FCBF(_Binned):
    """Keep the features that know the class better than any kept feature knows them.

    Fast correlation-based filter without a relevance threshold: removed features fill up the k
    places in the order of their symmetric uncertainty with the class.

    Parameters
    ----------
    k : int
        Features kept.
    n_bins : int
        Equal-frequency bins, learnt from the training rows.

    Attributes
    ----------
    scores_ : ndarray, features
        Scores of the training rows.
    selected_ : ndarray of int
        Columns kept, ascending.
    cuts_ : ndarray, features x (n_bins - 1)
        Cut points, +inf where unused.

    References
    ----------
    Yu L, Liu H. ICML 2003:856-863. Scores on Orange's scale.
    """

    _method = "fcbf"


class MRMRSelector(_TopK):
    """Keep features of high relevance and low redundancy, chosen one after another.

    Parameters
    ----------
    k : int
        Features kept.
    scheme : str
        ``fcq``: F statistic over mean |Pearson r| with the chosen (the mrmr-selection package).
        ``mrmre``: mutual information with the class minus its mean with the chosen, both
        -ln(1 - r^2) / 2 (R's mRMRe, numeric target); ``mrmre_ordered``: r with the class is
        2 AUC - 1 (mRMRe, ordered target). ``mid``, ``miq``: difference and quotient of mutual
        informations on three states cut at mean +- 1 sd.
    engine : str
        ``imrad`` keeps running sums; ``mrmr-selection`` calls that package (``fcq`` only).

    Attributes
    ----------
    ranking_ : ndarray of int
        Columns in the order they were chosen.
    selected_ : ndarray of int
        The same columns, ascending.
    scores_ : ndarray, features
        k for the first choice, k - 1 for the second, ..., 0 for features not chosen.

    References
    ----------
    Peng H, Long F, Ding C. doi:10.1109/TPAMI.2005.159.
    De Jay N et al. mRMRe. doi:10.1093/bioinformatics/btt383.
    Zhao Z, Anand R, Wang M (FCQ). doi:10.1109/DSAA.2019.00059.
    """

    def __init__(self, k: int = 20, scheme: str = "fcq", engine: str = "imrad") -> None:
        self.k = k
        self.scheme = scheme
        self.engine = engine

    def _scores(self, X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
        if self.scheme not in SCHEMES:
            message = f"unknown mRMR scheme {self.scheme!r}; the known ones are {', '.join(SCHEMES)}"
            raise ConfigError(message)
        if self.engine == "mrmr-selection":
            if self.scheme != "fcq":
                message = f"the package mrmr-selection offers the scheme 'fcq', not {self.scheme!r}; use engine='imrad'"
                raise ConfigError(message)
            self.ranking_ = rank_with_mrmr_selection(X, labels, self.k)
        elif self.engine == "imrad":
            self.ranking_ = rank_mrmr(X, labels, self.k, scheme=self.scheme)
        else:
            message = f"unknown mRMR engine {self.engine!r}; use 'imrad' or 'mrmr-selection'"
            raise ConfigError(message)
        scores = np.zeros(X.shape[1])
        scores[self.ranking_] = np.arange(self.k, self.k - len(self.ranking_), -1)
        return scores


class UnivariateSelector(_TopK):
    """Keep the features of smallest p in a test of one feature at a time.

    Parameters
    ----------
    k : int
        Features kept.
    test : str
        ``anova`` (F; for two classes the t test squared) or ``kruskal`` (for two classes the
        Mann-Whitney test without continuity correction).

    Attributes
    ----------
    scores_ : ndarray, features
        The test's statistic: the order of its p.
    """

    def __init__(self, k: int = 20, test: str = "anova") -> None:
        self.k = k
        self.test = test

    def _scores(self, X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
        from imrad.phenotype.mrmr import f_statistic

        if self.test == "anova":
            return f_statistic(X, labels)
        if self.test == "kruskal":
            return _kruskal(X, labels)
        message = f"unknown test {self.test!r}; use 'anova' or 'kruskal'"
        raise ConfigError(message)


def _kruskal(X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
    from scipy.stats import rankdata

    n = len(X)
    ranks = rankdata(X, axis=0)
    spread = ((ranks - (n + 1) / 2) ** 2).sum(axis=0)
    between = np.zeros(X.shape[1])
    for number in np.unique(labels):
        inside = labels == number
        between += inside.sum() * (ranks[inside].mean(axis=0) - (n + 1) / 2) ** 2
    return np.asarray(np.divide((n - 1) * between, spread, out=np.zeros(X.shape[1]), where=spread > 0))


class LassoSelector(_TopK):
    """Keep the features that the lasso holds where its path last has at most k of them.

    The path is that of least squares on standardised features and the centred class (0/1), from
    the largest useful penalty downwards.

    Parameters
    ----------
    k : int
        Most features kept; fewer where the path holds fewer.
    n_alphas : int
        Steps of the path.

    Attributes
    ----------
    alpha_ : float
        Penalty of the chosen step.
    scores_ : ndarray, features
        Absolute coefficients there.

    References
    ----------
    Tibshirani R. doi:10.1111/j.2517-6161.1996.tb02080.x.
    """

    def __init__(self, k: int = 20, n_alphas: int = 100) -> None:
        self.k = k
        self.n_alphas = n_alphas

    def _scores(self, X: Floats, labels: np.ndarray[Any, Any]) -> Floats:
        scale = X.std(axis=0)
        Z = (X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        target = labels - labels.mean()
        largest = np.abs(Z.T @ target).max(initial=0.0) / len(Z)
        if largest <= 1e-12:
            self.alpha_ = 0.0
            return np.zeros(X.shape[1])
        alphas = largest * np.geomspace(1.0, 1e-3, self.n_alphas)
        coefficients = _lasso_path(np.asfortranarray(Z), target, alphas, self.k)
        held = (coefficients != 0).sum(axis=0)
        fitting = np.flatnonzero(np.maximum.accumulate(held) <= self.k)
        step = int(fitting[-1])
        self.alpha_ = float(alphas[step])
        return np.abs(coefficients[:, step])

    def fit(self, X: Any, y: Any) -> Any:
        """Follow the path on the training rows."""
        super().fit(X, y)
        held = self.selected_[self.scores_[self.selected_] > 0]
        # An empty choice would leave a classifier without a column.
        self.selected_ = held if len(held) else self.selected_[:1]
        return self


def _lasso_path(Z: Floats, target: Floats, alphas: Floats, k: int) -> Floats:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import enet_path

    steps = []
    last: Any = None
    with warnings.catch_warnings():
        # Far down the path p > n converges slowly; those steps lie beyond k features.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        for alpha in alphas:
            last = enet_path(Z, target, l1_ratio=1.0, alphas=[alpha], coef_init=last, precompute=False)[1][:, 0]
            steps.append(last)
            if (last != 0).sum() > k:
                break
    out = np.full((Z.shape[1], len(alphas)), np.inf)
    out[:, : len(steps)] = np.column_stack(steps)
    return out


class FixedFeatures(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Keep the features that were named before these data were seen, such as a published list.

    Parameters
    ----------
    columns : sequence of int or str
        Column numbers, or names where the data have names.
    """

    def __init__(self, columns: Any = (0,)) -> None:
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> FixedFeatures:
        """Find the named columns; nothing is learnt."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        names = list(getattr(self, "feature_names_in_", []))
        found = []
        for column in self.columns:
            if isinstance(column, str):
                if column not in names:
                    message = f"FixedFeatures needs the feature {column!r}, which the data do not have"
                    raise ConfigError(message)
                found.append(names.index(column))
            elif 0 <= int(column) < X.shape[1]:
                found.append(int(column))
            else:
                message = f"FixedFeatures needs column {column}; the data have {X.shape[1]} columns"
                raise ConfigError(message)
        self.selected_ = np.array(sorted(set(found)), dtype=np.intp)
        return self

    def _get_support_mask(self) -> Any:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.selected_] = True
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


SELECTORS: dict[str, Any] = {
    "information_gain": InformationGain,
    "gain_ratio": GainRatio,
    "gini_decrease": GiniDecrease,
    "fcbf": FCBF,
    "mrmr": MRMRSelector,
    "mrmre": lambda k: MRMRSelector(k=k, scheme="mrmre_ordered"),
    "univariate": UnivariateSelector,
    "lasso": LassoSelector,
}


def make_selector(name: str, k: int = 20) -> Any:
    """Return an unfitted selector by its name.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if name not in SELECTORS:
        message = f"unknown selector {name!r}; the known ones are {', '.join(SELECTORS)}"
        raise ConfigError(message)
    return SELECTORS[name](k=k)
