"""ComBat as a fitted step: what is learnt of each site is learnt on training rows only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.evaluation.site_effects import SiteEffects, Unseen, code_covariates
from imrad.exceptions import FitError

__all__ = ["ComBat"]

Array = NDArray[np.float64]

MISSING = ("refuse", "median", "indicator")


class ComBat(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Remove site effects from features by empirical Bayes location and scale adjustment.

    Sites and covariates go with the rows: either as columns of `X`, or as arguments of `fit` and
    `transform` (scikit-learn's metadata routing knows them). No outcome is ever used.

    Parameters
    ----------
    batch_column : str or int, optional
        Column of `X` that names the site; it is taken out of the features.
    covariate_columns : sequence of str or int
        Columns of `X` whose effect on the features is kept; taken out of the features too.
    parametric : bool
        Normal and inverse gamma priors; else the empirical distribution over features.
    mean_only : bool
        Adjust means and leave variances.
    reference : object, optional
        A site that is left as it is and to which the others are brought.
    unseen : {"error", "unadjusted", "nearest", "grand_mean"}
        What happens to rows of a site that was not fitted: refuse; leave them as they are; treat
        them as the fitted site whose mean standardised profile is nearest to theirs; or move their
        own mean towards the grand mean, shrunken by the fitted sites' prior, variances left alone.
        The last two look at the unseen site's rows together.
    missing : {"refuse", "median", "indicator"} or mapping
        Covariates with missing values, all or by name (of the column, or of the DataFrame given to `fit`): refuse;
        the training rows' median (of categories the most frequent); or that and a column that tells where they
        are missing, left out where it follows from the others.
    tolerance : float
        Relative change that ends the iteration (sva's 1e-4).

    Attributes
    ----------
    batches_ : ndarray
        The fitted sites.
    n_rows_ : ndarray of int
        Rows of each.
    gamma_, delta_ : ndarray, shape (n_batches, n_features)
        Additive (in pooled standard deviations) and multiplicative (variance) site effects.
    grand_mean_, pooled_sd_ : ndarray, shape (n_features,)
        What values are standardised with.
    mean_only_ : bool
        True too where a site has a single row, as in sva.
    adjusted_ : ndarray of bool, shape (n_features,)
        False for features without variance in some site: they pass unchanged, as in sva.

    References
    ----------
    Johnson, Li and Rabinovic 2007, doi 10.1093/biostatistics/kxj037; for radiomics Orlhac et al.
    2018, doi 10.2967/jnumed.117.199935. Values as R's sva::ComBat.
    """

    def __init__(
        self,
        batch_column: str | int | None = None,
        covariate_columns: tuple[str | int, ...] = (),
        parametric: bool = True,
        mean_only: bool = False,
        reference: Any = None,
        unseen: Unseen = "error",
        tolerance: float = 1e-4,
        missing: str | Mapping[str, str] = "refuse",
    ) -> None:
        self.batch_column = batch_column
        self.covariate_columns = covariate_columns
        self.parametric = parametric
        self.mean_only = mean_only
        self.reference = reference
        self.unseen = unseen
        self.tolerance = tolerance
        self.missing = missing

    def fit(
        self, X: Any, y: Any = None, batch: ArrayLike | None = None, covariates: ArrayLike | pd.DataFrame | None = None
    ) -> Self:
        """Learn the sites' effects.

        Parameters
        ----------
        X : array or DataFrame, shape (n, p)
            Features, and the columns named in the constructor.
        y : ignored
        batch : array, shape (n,), optional
            The site of each row, if no column names it; one site if neither does.
        covariates : array or DataFrame, shape (n, c), optional
            Numbers, or categories in columns of a DataFrame.

        Raises
        ------
        FitError
            If sites and covariates cannot be told apart, or the reference is not among the sites.
        """
        x, sites, kept = self._split(X, batch, covariates, reset=True)
        if self.unseen not in ("error", "unadjusted", "nearest", "grand_mean"):
            message = f"unseen is '{self.unseen}'; choose error, unadjusted, nearest or grand_mean"
            raise ValueError(message)
        self.batches_, which = np.unique(sites, return_inverse=True)
        self.n_rows_ = np.bincount(which)
        if self.reference is not None and self.reference not in self.batches_:
            known = ", ".join(map(str, self.batches_))
            message = f"the reference site {self.reference} is not among the fitted ones: {known}"
            raise FitError(message)
        self.mean_only_ = bool(self.mean_only or self.n_rows_.min() == 1)
        n, n_batches = x.shape[0], len(self.batches_)
        self._learn_levels(kept)
        self._learn_fills(kept)
        design = self._design(np.eye(n_batches)[which], kept)
        if np.linalg.matrix_rank(design) < design.shape[1]:
            message = (
                f"{n_batches} sites and {design.shape[1] - n_batches} covariate columns cannot be told apart in {n} "
                f"rows: a covariate is constant or follows the site; leave it out or join sites"
            )
            raise FitError(message)
        effects = np.linalg.lstsq(design, x, rcond=None)[0]
        residual = x - design @ effects
        reference = None if self.reference is None else int(np.flatnonzero(self.batches_ == self.reference)[0])
        if reference is None:
            self.grand_mean_ = self.n_rows_ @ effects[:n_batches] / n
            variance = (residual**2).mean(axis=0)
        else:
            self.grand_mean_ = effects[reference]
            variance = (residual[which == reference] ** 2).mean(axis=0)
        self.covariate_effects_ = effects[n_batches:]
        spans = np.array([np.ptp(x[which == b], axis=0) for b in range(n_batches) if self.n_rows_[b] > 1])
        self.adjusted_ = (variance > 0) & ((spans > 0).all(axis=0) if spans.size else True)
        if n_batches == 1:
            self.adjusted_ = np.zeros(x.shape[1], dtype=bool)
        self.pooled_sd_ = np.sqrt(np.where(self.adjusted_, variance, 1.0))
        self.gamma_ = np.zeros((n_batches, x.shape[1]))
        self.delta_ = np.ones((n_batches, x.shape[1]))
        self.prior_ = np.zeros((n_batches, 2))
        if self.adjusted_.any():
            scaled = self.frozen().standardise(x, kept)[:, self.adjusted_]
            for b in range(n_batches):
                gamma, delta, self.prior_[b] = self._site_effect(scaled[which == b])
                if b != reference:
                    self.gamma_[b, self.adjusted_], self.delta_[b, self.adjusted_] = gamma, delta
        return self

    def transform(
        self, X: Any, batch: ArrayLike | None = None, covariates: ArrayLike | pd.DataFrame | None = None
    ) -> Array:
        """Return the features without their site's effect, by what was fitted.

        Raises
        ------
        FitError
            If a row's site was not fitted and `unseen` is ``"error"``.
        """
        check_is_fitted(self)
        x, sites, kept = self._split(X, batch, covariates, reset=False)
        return self.frozen().apply(x, sites, kept)

    def frozen(self) -> SiteEffects:
        """Return what was learnt as plain arrays, which is what :meth:`transform` applies."""
        check_is_fitted(self)
        return SiteEffects(
            batches=self.batches_.tolist(),
            gamma=self.gamma_,
            delta=self.delta_,
            grand_mean=self.grand_mean_,
            pooled_sd=self.pooled_sd_,
            adjusted=self.adjusted_,
            covariate_effects=np.asarray(self.covariate_effects_, dtype=float),
            levels=self._levels,
            prior=self.prior_,
            unseen=self.unseen,
            fills=self._fills,
            told=self._told,
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the features that come out."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", input_features)
        if names is None:
            names = [f"x{number}" for number in range(self.n_features_in_)]
        return np.asarray([str(names[i]) for i in self._feature_positions], dtype=object)

    def _site_effect(self, scaled: Array) -> tuple[Array, Array, Array]:
        """Return a site's shrunken additive and multiplicative effect, and the prior of the first."""
        n, p = scaled.shape
        gamma = scaled.mean(axis=0)
        prior_mean = float(gamma.mean())
        prior_variance = float(gamma.var(ddof=1)) if p > 1 else 0.0
        prior = np.array([prior_mean, prior_variance])
        delta = np.ones(p) if self.mean_only_ else scaled.var(axis=0, ddof=1)
        if not self.parametric:
            return (*_empirical(scaled, gamma, delta), prior)
        if self.mean_only_:
            return (prior_variance * gamma + prior_mean) / (prior_variance + 1), delta, prior
        if p == 1:
            return gamma, delta, prior
        mean, variance = float(delta.mean()), float(delta.var(ddof=1))
        shape, rate = (2 * variance + mean**2) / variance, (mean * variance + mean**3) / variance
        squares, sums = (scaled**2).sum(axis=0), scaled.sum(axis=0)
        raw, new_gamma, new_delta = gamma, gamma, delta
        for _ in range(10_000):
            old_gamma, old_delta = new_gamma, new_delta
            new_gamma = (prior_variance * n * raw + old_delta * prior_mean) / (prior_variance * n + old_delta)
            spread = squares - 2 * new_gamma * sums + n * new_gamma**2
            new_delta = (0.5 * spread + rate) / (n / 2 + shape - 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                change = np.nanmax([np.abs(new_gamma / old_gamma - 1), np.abs(new_delta / old_delta - 1)])
            if change <= self.tolerance:
                break
        return new_gamma, new_delta, prior

    def _split(self, X: Any, batch: Any, covariates: Any, *, reset: bool) -> tuple[Array, NDArray[Any], pd.DataFrame]:
        """Return features, sites and covariates of the rows."""
        named = [c for c in (self.batch_column, *self.covariate_columns) if c is not None]
        apart: dict[Any, Any] = {}
        checked = X
        if named:
            columns = list(X.columns) if hasattr(X, "columns") else list(range(np.shape(X)[1]))
            missing = [c for c in named if c not in columns]
            if missing:
                message = f"X has no column {missing[0]!r}, which ComBat was told to use"
                raise ValueError(message)
            for column in named:
                apart[column] = np.asarray(X[column]) if hasattr(X, "columns") else np.asarray(X)[:, column]  # type: ignore[index]
            positions = [i for i, c in enumerate(columns) if c not in named]
            checked = X.iloc[:, positions] if hasattr(X, "iloc") else np.asarray(X)[:, positions]
        x = validate_data(self, checked, reset=reset, dtype=np.float64, ensure_min_samples=2 if reset else 1)
        if reset:
            self._feature_positions = list(range(x.shape[1]))
        if self.batch_column is not None:
            sites = apart[self.batch_column]
        else:
            sites = np.zeros(len(x), dtype=int) if batch is None else np.asarray(batch)
        if sites.shape != (len(x),) or pd.isna(sites).any():
            absent = int(pd.isna(sites).sum())
            message = f"{len(x)} rows need a site each, none missing; got {sites.shape[0]}, {absent} missing"
            raise ValueError(message)
        table = pd.DataFrame({str(c): apart[c] for c in self.covariate_columns}, index=range(len(x)))
        if covariates is not None:
            given = pd.DataFrame(covariates).reset_index(drop=True)
            given.columns = pd.Index([f"covariate {c}" for c in given.columns])
            table = pd.concat([table, given], axis=1)
        if len(table) != len(x):
            message = f"{len(x)} rows need a row of covariates each; got {len(table)}"
            raise ValueError(message)
        return x, sites, table

    def _learn_levels(self, covariates: pd.DataFrame) -> None:
        self._levels: dict[str, list[Any]] = {}
        for name in covariates.columns:
            if not pd.api.types.is_numeric_dtype(covariates[name].infer_objects()):
                self._levels[name] = sorted(set(covariates[name].dropna()))

    def _learn_fills(self, covariates: pd.DataFrame) -> None:
        """Learn what stands for missing values, also of covariates that these rows have whole."""
        self._fills: dict[str, Any] = {}
        self._told: list[str] = []
        for name in covariates.columns:
            policy = self._policy(str(name))
            values, absent = covariates[name], covariates[name].isna()
            if policy == "refuse":
                if absent.any():
                    message = (
                        f"{int(absent.sum())} of {len(values)} rows have no {name.removeprefix('covariate ')}; "
                        "complete it, leave it out, or name what becomes of it with missing: median or indicator"
                    )
                    raise ValueError(message)
                continue
            if absent.all():
                message = f"{name.removeprefix('covariate ')} is missing in all {len(values)} rows; leave it out"
                raise FitError(message)
            known = values[~absent].infer_objects()
            self._fills[name] = known.mode().iloc[0] if name in self._levels else float(known.median())
            if policy == "indicator" and absent.any():
                self._told.append(name)

    def _policy(self, column: str) -> str:
        bare = column.removeprefix("covariate ")
        if isinstance(self.missing, str):
            policy = self.missing
        else:
            policy = self.missing.get(
                column, self.missing.get(bare, self.missing.get(bare.removeprefix("obs:"), "refuse"))
            )
        if policy not in MISSING:
            message = f"missing is '{policy}'; choose {', '.join(MISSING)}"
            raise ValueError(message)
        return policy

    def _design(self, sites: Array, covariates: pd.DataFrame) -> Array:
        """Return sites and coded covariates; what tells of missing values stays only where it tells something new."""
        wanted, self._told = self._told, []
        n = len(sites)
        design = np.column_stack([sites, code_covariates(covariates, self._levels, n, fills=self._fills)])
        for name in wanted:
            longer = np.column_stack([design, covariates[name].isna().to_numpy(dtype=float)])
            if np.linalg.matrix_rank(longer) == longer.shape[1]:
                design = longer
                self._told.append(name)
        return design


def _empirical(scaled: Array, gamma: Array, delta: Array) -> tuple[Array, Array]:
    """Return effects averaged over the other features' effects, weighted by their likelihood here."""
    n, p = scaled.shape
    new_gamma, new_delta = np.empty(p), np.empty(p)
    squares, sums = (scaled**2).sum(axis=0), scaled.sum(axis=0)
    for feature in range(p):
        spread = squares[feature] - 2 * gamma * sums[feature] + n * gamma**2
        log_weight = -0.5 * n * np.log(2 * np.pi * delta) - spread / (2 * delta)
        log_weight[feature] = -np.inf
        weight = np.exp(log_weight - log_weight.max())
        new_gamma[feature] = weight @ gamma / weight.sum()
        new_delta[feature] = weight @ delta / weight.sum()
    return new_gamma, new_delta
