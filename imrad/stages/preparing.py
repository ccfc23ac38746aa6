"""Preparation of features from the config's words: named steps become transformers, columns their side tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.exceptions import ConfigError
from imrad.stages import blocks
from imrad.stages.prepare_settings import Kind, MRMRStep, PrepareList, check_steps

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.evaluation.preparation import Preparation, Step

__all__ = ["make_preparation", "sides_of"]

OBS = "obs:"
READER = "reader:"


def make_preparation(
    data: AnnData, listed: PrepareList, where: str, kind: Kind, *, seed: int, targets: Sequence[str] = ()
) -> Preparation:
    """Build the steps, and take the side tables they need from the cohort.

    Parameters
    ----------
    data : AnnData
        The cohort.
    listed, where, kind
        As for :func:`check_steps`.
    seed : int
        Of the patients drawn for the ICC.
    targets : sequence of str
        Targets of the grid, none of which may be another outcome's name.

    Raises
    ------
    ConfigError
        If the cohort lacks what a step needs.
    """
    from imrad.evaluation.preparation import Preparation

    sides: dict[str, Any] = {}
    steps: list[Step] = []
    for name, settings in check_steps(listed, where, kind):
        if isinstance(settings, MRMRStep) and settings.against in targets:
            message = f"{where}.prepare.mrmr: against '{settings.against}' is a target itself; leave 'against' out"
            raise ConfigError(message)
        steps.append(_BUILDERS[name](data, settings, sides, _Place(f"{where}.prepare.{name}", kind, seed)))
    return Preparation(steps, sides)


def sides_of(data: AnnData, levels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return all that a fitted preparation may ask of a new cohort: its columns, and no other reader.

    Parameters
    ----------
    data : AnnData
        The new cohort.
    levels : mapping of str to sequence of str
        Ordered categories of the training cohort, whose ranks they become.
    """
    table = data.obs.set_axis(data.obs_names.astype(str), axis=0)
    found: dict[str, Any] = {f"{OBS}{name}": table[name] for name in table.columns}
    for name, known in levels.items():
        if name in table.columns:
            rank = {level: float(number) for number, level in enumerate(known)}
            found[f"{OBS}{name}"] = pd.Series([rank.get(str(item), np.nan) for item in table[name]], index=table.index)
    return found


class _Place:
    def __init__(self, where: str, kind: Kind, seed: int) -> None:
        self.where, self.kind, self.seed = where, kind, seed


def _column(data: AnnData, name: str, place: _Place, *, complete: bool) -> pd.Series[Any]:
    if name not in data.obs:
        near = blocks.nearest(name, data.obs.columns)
        known = ", ".join(map(str, data.obs.columns))
        message = f"{place.where}: the cohort has no column '{name}'{near}; it has {known}"
        raise ConfigError(message)
    column = data.obs[name].set_axis(data.obs_names.astype(str))
    if complete and column.isna().any():
        message = (
            f"{place.where}: {int(column.isna().sum())} of {len(column)} patients have no {name}; "
            "fill it in the clinical table, or leave the column out"
        )
        raise ConfigError(message)
    if isinstance(column.dtype, pd.CategoricalDtype):
        ordered = column.cat.ordered
        ranks = column.cat.codes.astype(float).where(column.notna())
        return pd.Series(ranks if ordered else column.astype(object))
    return pd.Series(column)


def _reader(data: AnnData, name: str, place: _Place) -> pd.DataFrame:
    others = ("immune", "phenotype", "risk", "recorded")
    if name not in data.obsm or name in others:
        known = [key for key in data.obsm if key not in others]
        message = (
            f"{place.where}: the cohort has no second reader's features '{name}'"
            f"{blocks.nearest(name, known)}; give them as assemble.readers: {{{name}: features_of_reader.csv}}"
        )
        raise ConfigError(message)
    table = pd.DataFrame(data.obsm[name])
    table.index = data.obs_names.astype(str)
    names = [str(feature) for feature in data.var_names]
    absent = [feature for feature in names if feature not in table.columns]
    if absent:
        message = f"{place.where}: the table of {name} lacks {len(absent)} of {len(names)} features, as {absent[0]}"
        raise ConfigError(message)
    return table[names].astype(float)


def _readers(data: AnnData, named: str | tuple[str, ...], sides: dict[str, Any], place: _Place) -> tuple[str, ...]:
    names = (named,) if isinstance(named, str) else tuple(named)
    for name in names:
        sides.setdefault(f"{READER}{name}", _reader(data, name, place))
    return tuple(f"{READER}{name}" for name in names)


def _icc(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.preparation import Step
    from imrad.radiomics import ICCFilter
    from imrad.seeds import generator

    keys = _readers(data, settings.readers, sides, place)
    both = np.logical_and.reduce([sides[key].notna().any(axis=1).to_numpy() for key in keys])
    read = np.flatnonzero(both)
    if settings.patients is not None:
        if settings.patients > len(read):
            message = f"{place.where}: {settings.patients} patients were asked for and {len(read)} were read twice"
            raise ConfigError(message)
        drawn = generator(place.seed, "readers' subset").choice(len(read), settings.patients, replace=False)
        kept = np.zeros(len(both), dtype=bool)
        kept[read[np.sort(drawn)]] = True
        subset = []
        for key in keys:
            name = f"{key} of {settings.patients}"
            sides[name] = sides[key].where(pd.Series(kept, index=sides[key].index), np.nan)
            subset.append(name)
        keys = tuple(subset)
    model = ICCFilter(form=settings.kind, threshold=settings.threshold, on=settings.on)
    return Step("icc", model, fit_with={"repeats": keys})


def _mean_of_readers(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.preparation import Step
    from imrad.radiomics import ReaderMean

    keys = _readers(data, settings.readers, sides, place)
    return Step("mean_of_readers", ReaderMean(), transform_with={"repeats": keys})


def _combat(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.preparation import Step
    from imrad.radiomics import ComBat

    site = _column(data, settings.batch, place, complete=True).astype(str)
    known = sorted(set(site))
    if settings.reference is not None and settings.reference not in known:
        message = f"{place.where}: no patient is of the reference site '{settings.reference}'; sites are {known}"
        raise ConfigError(message)
    if settings.unseen == "reference" and settings.reference is None:
        message = f"{place.where}: unseen: reference needs a reference site; name one of {', '.join(known)}"
        raise ConfigError(message)
    sides[f"{OBS}{settings.batch}"] = site
    sources: dict[str, Any] = {"batch": f"{OBS}{settings.batch}"}
    if isinstance(settings.missing, dict):
        for name in settings.missing:
            if name not in settings.covariates:
                near = blocks.nearest(name, settings.covariates)
                message = f"{place.where}: missing names '{name}'{near}, which is not among its covariates"
                raise ConfigError(message)
    if settings.covariates:
        for name in settings.covariates:
            one = settings.missing if isinstance(settings.missing, str) else settings.missing.get(name, "refuse")
            sides[f"{OBS}{name}"] = _covariate(data, name, place, complete=one == "refuse")
        sources["covariates"] = tuple(f"{OBS}{name}" for name in settings.covariates)
    policies = {"refuse": "error", "pooled": "grand_mean", "nearest": "nearest"}
    model = ComBat(
        parametric=settings.parametric,
        mean_only=settings.mean_only,
        reference=settings.reference,
        # The reference site is left as it is, so being treated as it means being left alone.
        unseen=policies.get(settings.unseen, "unadjusted"),
        missing=settings.missing,
    )
    return Step("combat", model, fit_with=sources, transform_with=sources)


def _covariate(data: AnnData, name: str, place: _Place, *, complete: bool) -> pd.Series[Any]:
    column = _column(data, name, place, complete=False)
    if complete and column.isna().any():
        message = (
            f"{place.where}: {int(column.isna().sum())} of {len(column)} patients have no {name}; complete it, leave "
            f"it out, or say what becomes of it: missing: {{{name}: median}} (or indicator)"
        )
        raise ConfigError(message)
    return column


def _zscore(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from sklearn.preprocessing import StandardScaler

    from imrad.evaluation.preparation import Step

    return Step("zscore", StandardScaler())


def _u_test(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.filters import RankSumFilter
    from imrad.evaluation.preparation import Step

    # A fold in which nothing differs keeps the nearest to it: a model needs a feature.
    return Step("u_test", RankSumFilter(settings.p, settings.adjust, at_least=1), outcome=True)


def _univariate_cox(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.preparation import Step
    from imrad.survival import UnivariateCox

    model = UnivariateCox(k=settings.at_most, alpha=settings.p, method=settings.adjust, at_least=1)
    return Step("univariate_cox", model, outcome=True)


def _correlation(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.filters import CorrelationFilter
    from imrad.evaluation.preparation import Step

    return Step("correlation", CorrelationFilter(settings.threshold, settings.method))


def _variance(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.filters import VarianceFilter
    from imrad.evaluation.preparation import Step

    return Step("variance", VarianceFilter(settings.threshold))


def _volume_correlation(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.preparation import Step
    from imrad.radiomics import VolumeFilter

    volume = blocks.volume_block(data, settings.volume)
    if volume.empty:
        message = f"{place.where}: the cohort has no volume feature; name it: volume_correlation: {{volume: FEATURE}}"
        raise ConfigError(message)
    return Step("volume_correlation", VolumeFilter(str(volume.columns[0]), settings.threshold))


def _mrmr(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from imrad.evaluation.filters import ByOtherOutcome
    from imrad.evaluation.preparation import Step
    from imrad.phenotype import MRMRSelector
    from imrad.survival import SurvivalMRMR

    # To mRMRe two classes are an ordered factor, whichever outcome they are of.
    classes, survival = MRMRSelector(settings.k, scheme="mrmre_ordered"), SurvivalMRMR(k=settings.k)
    if settings.against is None:
        return Step("mrmr", classes if place.kind == "classes" else survival, outcome=True)
    pair = (f"{settings.against}_days", f"{settings.against}_event")
    if set(pair) <= set(data.obs.columns):
        for name in pair:
            sides[f"{OBS}{name}"] = _column(data, name, place, complete=False).astype(float)
        keys: str | tuple[str, ...] = (f"{OBS}{pair[0]}", f"{OBS}{pair[1]}")
        return Step("mrmr", ByOtherOutcome(survival), fit_with={"labels": keys})
    labels = pd.to_numeric(_column(data, settings.against, place, complete=False), errors="coerce").astype(float)
    if set(labels.dropna().unique()) != {0.0, 1.0}:
        message = f"{place.where}: against '{settings.against}' must hold 0 and 1, or be a survival endpoint"
        raise ConfigError(message)
    sides[f"{OBS}{settings.against}"] = labels
    return Step("mrmr", ByOtherOutcome(classes), fit_with={"labels": f"{OBS}{settings.against}"})


def _pca(data: AnnData, settings: Any, sides: dict[str, Any], place: _Place) -> Step:
    from sklearn.decomposition import PCA

    from imrad.evaluation.preparation import Step

    return Step("pca", PCA(settings.components, svd_solver="full"))


_BUILDERS: Mapping[str, Callable[[AnnData, Any, dict[str, Any], _Place], Step]] = {
    "icc": _icc,
    "mean_of_readers": _mean_of_readers,
    "combat": _combat,
    "zscore": _zscore,
    "u_test": _u_test,
    "univariate_cox": _univariate_cox,
    "correlation": _correlation,
    "variance": _variance,
    "volume_correlation": _volume_correlation,
    "mrmr": _mrmr,
    "pca": _pca,
}
