"""What a harmonisation learnt of each site, as plain arrays, and how it is taken off other patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import FitError

__all__ = ["SiteEffects", "Unseen", "code_covariates"]

Unseen = Literal["error", "unadjusted", "nearest", "grand_mean"]

UNKNOWN = "(site not given)"


@dataclass(frozen=True)
class SiteEffects:
    """Additive and multiplicative effects of sites on features.

    Attributes
    ----------
    batches : list
        The fitted sites.
    gamma, delta : ndarray, shape (n_batches, n_features)
        Additive (in pooled standard deviations) and multiplicative (variance) effects.
    grand_mean, pooled_sd : ndarray, shape (n_features,)
        What values are standardised with.
    adjusted : ndarray of bool, shape (n_features,)
        False for features that pass unchanged.
    covariate_effects : ndarray, shape (n_coded, n_features)
        Effects that are kept.
    levels : dict of str to list
        Levels of each categorical covariate; the first is the reference.
    prior : ndarray, shape (n_batches, 2)
        Mean and variance of each site's additive effects over features.
    unseen : {"error", "unadjusted", "nearest", "grand_mean"}
        What happens to rows of a site that was not fitted.
    fills : dict of str to value
        What stands for missing values of a covariate, learnt on the training rows.
    told : list of str
        Covariates of which a further column tells where they are missing.

    References
    ----------
    Johnson, Li and Rabinovic 2007, doi 10.1093/biostatistics/kxj037.
    """

    batches: list[Any]
    gamma: FloatArray
    delta: FloatArray
    grand_mean: FloatArray
    pooled_sd: FloatArray
    adjusted: npt.NDArray[np.bool_]
    covariate_effects: FloatArray
    levels: dict[str, list[Any]]
    prior: FloatArray
    unseen: Unseen
    fills: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def apply(self, x: FloatArray, sites: npt.NDArray[Any], covariates: pd.DataFrame) -> FloatArray:
        """Return the features without their site's effect.

        Raises
        ------
        FitError
            If a row's site was not fitted and `unseen` is ``"error"``.
        """
        gamma, delta = np.zeros_like(x), np.ones_like(x)
        scaled = self.standardise(x, covariates)
        for site in np.unique(sites):
            rows = sites == site
            gamma[rows], delta[rows] = self._effect_of(site, scaled[rows])
        adjusted = (scaled - gamma) / np.sqrt(delta) * self.pooled_sd + (x - scaled * self.pooled_sd)
        same = (gamma == 0) & (delta == 1)
        return np.where(same | ~self.adjusted, x, adjusted)

    def standardise(self, x: FloatArray, covariates: pd.DataFrame) -> FloatArray:
        """Return features less what the grand mean and covariates expect, in pooled standard deviations."""
        coded = code_covariates(covariates, self.levels, len(x), fills=self.fills, told=self.told)
        expected = self.grand_mean + coded @ self.covariate_effects
        return np.asarray((x - expected) / self.pooled_sd)

    def _effect_of(self, site: Any, scaled: FloatArray) -> tuple[FloatArray, FloatArray]:
        known = [number for number, batch in enumerate(self.batches) if str(batch) == str(site)]
        if known:
            return self.gamma[known[0]], self.delta[known[0]]
        if self.unseen == "error":
            message = (
                f"site {site} was not fitted (fitted: {_list(self.batches)}); set unseen to unadjusted, nearest or "
                f"grand_mean to say what shall happen to its {len(scaled)} rows"
            )
            raise FitError(message)
        still = np.ones(scaled.shape[1])
        profile = scaled.mean(axis=0)
        if self.unseen == "nearest":
            near = int(np.argmin(((self.gamma - profile) ** 2)[:, self.adjusted].sum(axis=1)))
            return self.gamma[near], self.delta[near]
        if self.unseen == "grand_mean":
            centre, spread = self.prior.mean(axis=0)
            n = len(scaled)
            return (spread * n * profile + centre) / (spread * n + 1), still
        return np.zeros_like(profile), still

    def subset(self, columns: npt.NDArray[np.intp]) -> Self:
        """Return the effects on some features only."""
        values = vars(self) | {
            "gamma": self.gamma[:, columns],
            "delta": self.delta[:, columns],
            "grand_mean": self.grand_mean[columns],
            "pooled_sd": self.pooled_sd[columns],
            "adjusted": self.adjusted[columns],
            "covariate_effects": self.covariate_effects[:, columns],
        }
        return type(self)(**values)

    def to_plain(self) -> dict[str, Any]:
        """Return plain values and arrays."""
        return dict(vars(self))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild the effects from :meth:`to_plain`, also after a file."""
        arrays = {
            name: np.asarray(plain[name], dtype=float)
            for name in ("gamma", "delta", "grand_mean", "pooled_sd", "covariate_effects", "prior")
        }
        return cls(
            **arrays,
            batches=list(plain["batches"]),
            adjusted=np.asarray(plain["adjusted"], dtype=bool),
            levels={str(name): list(levels) for name, levels in plain["levels"].items()},
            unseen=plain["unseen"],
            fills={str(name): value for name, value in plain.get("fills", {}).items()},
            told=[str(name) for name in plain.get("told", ())],
        )


def code_covariates(
    covariates: pd.DataFrame,
    levels: Mapping[str, list[Any]],
    n: int,
    *,
    fills: Mapping[str, Any] | None = None,
    told: Sequence[str] = (),
) -> FloatArray:
    """Return covariates as numbers: categories as indicators of all levels but the first.

    Parameters
    ----------
    covariates : DataFrame, shape (n, c)
    levels : mapping of str to list
        Of each categorical covariate.
    n : int
        Rows.
    fills : mapping, optional
        What stands for missing values, by covariate.
    told : sequence of str
        Covariates of which a last column tells where they are missing.

    Raises
    ------
    FitError
        If a category was not among the fitted ones, or a value is missing and nothing stands for it.
    """
    columns: list[FloatArray] = [np.empty((n, 0))]
    for name in covariates.columns:
        values = covariates[name].infer_objects()
        absent = values.isna()
        if absent.any():
            if fills is None or name not in fills:
                message = (
                    f"{int(absent.sum())} of {n} rows have no {name.removeprefix('covariate ')}, and none was missing "
                    "where the sites were fitted; complete it, or give the harmonisation a policy for missing values"
                )
                raise FitError(message)
            values = values.where(~absent, fills[name]).infer_objects()
        if name in levels:
            strange = set(values) - set(levels[name])
            if strange:
                message = f"{name} holds {sorted(strange)[0]!r}, which is not among the fitted levels {levels[name]}"
                raise FitError(message)
            columns += [(values == level).to_numpy(dtype=float)[:, None] for level in levels[name][1:]]
        else:
            columns.append(values.to_numpy(dtype=float)[:, None])
    columns += [np.asarray(covariates[name].isna(), dtype=float)[:, None] for name in told]
    return np.hstack(columns)


def _list(sites: list[Any]) -> str:
    shown = ", ".join(str(site) for site in sites[:8])
    return shown + (f" and {len(sites) - 8} more" if len(sites) > 8 else "")
