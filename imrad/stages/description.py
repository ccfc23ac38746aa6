"""The cohort in numbers: table 1, follow-up, missing values, targets, features, sites; written once for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.stages import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from imrad.run import Run, Stage

__all__ = ["describe", "describe_responses", "describe_scores"]

NOT_DESCRIBED = ("radiomics_case", "immune_sample", "image", "mask", "series", "case")
GROUPS = ("site", "center", "centre", "institution", "hospital")
SCANNER = ("scanner", "manufacturer", "kernel", "phase", "slice_thickness_mm", "spacing_mm")
LEVELS = 12
BINS = 12


def describe(stage: Stage, data: AnnData) -> None:
    """Write the tables of ``cohort/`` that the report's second, fourth and fifth parts draw.

    ``table1`` (variable, level, group, n, value, summary), ``follow_up`` (endpoint, n, events, median
    with interval, latest), ``follow_up_curve``, ``missingness``, ``targets``, ``target_histogram``,
    ``features`` (class, filter, missing, spread, correlation with volume), ``site_outcome``.
    """
    stage.table("cohort/table1.csv", _table_one(data))
    follow, curve = _follow_up(data)
    stage.table("cohort/follow_up.csv", follow)
    stage.table("cohort/follow_up_curve.csv", curve)
    stage.table("cohort/missingness.csv", _missingness(data))
    stage.table("cohort/features.csv", _features(data))
    stage.table("cohort/site_outcome.csv", _site_outcome(data))
    if "cibersort_p" in data.obs:
        p = data.obs["cibersort_p"].dropna().astype(float)
        above = int((p > 0.05).sum())
        row = {"n": len(p), "n_above": above, "share_above": above / max(len(p), 1)}
        stage.table("cohort/deconvolution.csv", pd.DataFrame([row]))
    if "immune" in data.obsm:
        targets, histogram = _targets(data)
        stage.table("cohort/targets.csv", targets)
        stage.table("cohort/target_histogram.csv", histogram)


def describe_responses(stage: Stage, cohorts: Mapping[str, AnnData]) -> None:
    """Write ``cohort/responses.csv``: what was recorded for binary endpoints, what it counts as, and for how many."""
    from imrad.cohort import count_responses

    parts = [count_responses(data).assign(cohort=name) for name, data in cohorts.items()]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    if len(table):
        stage.table("cohort/responses.csv", table)


def _group_column(data: AnnData) -> str | None:
    found = [name for name in GROUPS if name in data.obs and data.obs[name].nunique() > 1]
    return found[0] if found else None


def _described(data: AnnData) -> list[str]:
    endpoints = {f"{name}_{end}" for name in _endpoints(data) for end in ("days", "event")}
    return [
        str(name)
        for name in data.obs.columns
        if name not in endpoints and name not in NOT_DESCRIBED and not str(name).startswith("cibersort_")
    ]


def _endpoints(data: AnnData) -> list[str]:
    names = [str(name) for name in data.obs.columns]
    return [
        name.removesuffix("_event") for name in names if name.endswith("_event") and f"{name[:-6]}_days" in data.obs
    ]


def _table_one(data: AnnData) -> pd.DataFrame:
    """Median and quartiles of numbers, counts of classes; all patients, then each of the largest sites."""
    column = _group_column(data)
    groups: list[tuple[str, np.ndarray[Any, Any]]] = [("all", np.ones(data.n_obs, dtype=bool))]
    if column is not None:
        labels = data.obs[column].astype(object)
        largest = list(labels.value_counts().index[:4])
        # A level such as site_3 says by itself of what it is one.
        titles = [str(level) if str(level).lower().startswith(column) else f"{column} {level}" for level in largest]
        groups += [(title, (labels == level).to_numpy()) for title, level in zip(titles, largest, strict=True)]
        rest = ~labels.isin(largest).to_numpy()
        if rest.any():
            groups.append((f"other {column}", rest))
    rows: list[dict[str, Any]] = []
    for label, inside in groups:
        rows.append({"variable": "patients", "level": "", "group": label, "n": int(inside.sum()), "summary": ""})
        rows[-1]["summary"] = str(int(inside.sum()))
    for name in _described(data):
        if name == column:
            continue
        values = data.obs[name]
        number = pd.api.types.is_numeric_dtype(values.dtype) and values.nunique() > 2
        levels = [""] if number else _levels(values)
        if not number and not levels:
            continue
        for level in levels:
            for label, inside in groups:
                part = values[inside]
                known = part.dropna()
                row: dict[str, Any] = {"variable": name, "level": level, "group": label}
                if number:
                    middle = known.astype(float).quantile([0.25, 0.5, 0.75]).to_numpy() if len(known) else [np.nan] * 3
                    row |= {"n": len(known), "q25": middle[0], "median": middle[1], "q75": middle[2]}
                    row["summary"] = f"{middle[1]:.4g} ({middle[0]:.4g} to {middle[2]:.4g})" if len(known) else ""
                else:
                    n = int((known.astype(str) == level).sum()) if level != "missing" else int(part.isna().sum())
                    share = n / max(len(part), 1)
                    row |= {"n": n, "share": share, "summary": f"{n} ({100 * share:.0f} %)"}
                rows.append(row)
    columns = ["variable", "level", "group", "n", "share", "q25", "median", "q75", "summary"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _levels(values: pd.Series[Any]) -> list[str]:
    known = values.dropna().astype(str)
    if known.nunique() > LEVELS:
        return []
    ordered = isinstance(values.dtype, pd.CategoricalDtype)
    levels = [str(v) for v in values.cat.categories if str(v) in set(known)] if ordered else sorted(known.unique())
    return levels + (["missing"] if values.isna().any() else [])


def _follow_up(data: AnnData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reverse Kaplan-Meier follow-up, and the event curve of the whole cohort."""
    from imrad.evaluation.kaplan_meier import follow_up, kaplan_meier

    rows, curves = [], []
    for name in _endpoints(data):
        table = data.obs[[f"{name}_days", f"{name}_event"]].astype(float)
        known = table.notna().all(axis=1) & (table.iloc[:, 0] > 0)
        if not known.any():
            continue
        time = table.loc[known, f"{name}_days"].to_numpy()
        event = table.loc[known, f"{name}_event"].to_numpy() > 0
        row: dict[str, Any] = {"endpoint": name, "n": int(known.sum()), "events": int(event.sum())}
        median, low, high = follow_up(time, event) if not event.all() else (np.nan,) * 3
        row |= {"follow_up_days": median, "follow_up_low": low, "follow_up_high": high, "latest_days": time.max()}
        if event.any():
            curve = kaplan_meier(time, event)
            row["median_days"], row["median_low"], row["median_high"] = curve.median()
            curves.append(curve.table().assign(endpoint=name))
        rows.append(row)
    columns = ["endpoint", "n", "events", "follow_up_days", "follow_up_low", "follow_up_high", "latest_days"]
    more = ["median_days", "median_low", "median_high"]
    shape = ["endpoint", "time", "n_risk", "n_event", "n_censored", "survival", "low", "high"]
    joined = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=shape)
    return pd.DataFrame(rows).reindex(columns=[*columns, *more]), joined.reindex(columns=shape)


def _missingness(data: AnnData) -> pd.DataFrame:
    parts = [("clinical", name, int(data.obs[name].isna().sum())) for name in data.obs.columns]
    if "immune" in data.obsm:
        table = blocks.targets(data, None)
        parts += [("immune", str(name), int(table[name].isna().sum())) for name in table.columns]
    missing = np.isnan(np.asarray(data.X)).sum(axis=0)
    parts += [("radiomics", str(name), int(n)) for name, n in zip(data.var_names, missing, strict=True) if n]
    out = pd.DataFrame(parts, columns=["table", "column", "missing"])
    out["share"] = out["missing"] / max(data.n_obs, 1)
    return out


def _features(data: AnnData) -> pd.DataFrame:
    table = blocks.features(data)
    volume = blocks.volume_block(data, None)
    out = data.var.reset_index(names="feature")[["feature"]].astype(str)
    for name in ("feature_class", "image_filter", "region", "robustness"):
        if name in data.var:
            out[name] = data.var[name].to_numpy()
    out["missing"] = table.isna().sum().to_numpy()
    out["distinct"] = table.nunique().to_numpy()
    out["spearman_volume"] = np.nan
    if not volume.empty:
        reference = volume.iloc[:, 0].to_numpy(dtype=float)
        for row, name in enumerate(table.columns):
            values = table[name].to_numpy(dtype=float)
            both = np.isfinite(values) & np.isfinite(reference)
            if both.sum() > 3 and len(np.unique(values[both])) > 1 and len(np.unique(reference[both])) > 1:
                out.loc[row, "spearman_volume"] = _spearman(values[both], reference[both])
        out["volume"] = str(volume.columns[0])
    return pd.DataFrame(out)


def _spearman(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    ranks = [pd.Series(values).rank().to_numpy() for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _targets(data: AnnData) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = blocks.targets(data, None)
    rows, bars = [], []
    for name in table.columns:
        values = table[name].dropna().to_numpy(dtype=float)
        row: dict[str, Any] = {"target": str(name), "n": len(values), "missing": data.n_obs - len(values)}
        if len(values):
            low, q25, middle, q75, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
            row |= {"min": low, "q25": q25, "median": middle, "q75": q75, "max": high}
            row["share_zero"] = float(np.mean(values == 0))
            row["distinct"] = len(np.unique(values))
            counts, edges = np.histogram(values, bins=BINS)
            bars += [
                {"target": str(name), "low": edges[k], "high": edges[k + 1], "count": int(counts[k])}
                for k in range(BINS)
            ]
        rows.append(row)
    columns = ["target", "n", "missing", "min", "q25", "median", "q75", "max", "share_zero", "distinct"]
    return pd.DataFrame(rows).reindex(columns=columns), pd.DataFrame(bars, columns=["target", "low", "high", "count"])


def _site_outcome(data: AnnData) -> pd.DataFrame:
    """Compare events and times between sites and scanners: log-rank over levels of at least five patients."""
    from imrad.evaluation.kaplan_meier import log_rank

    rows: list[dict[str, Any]] = []
    for column in [name for name in (*GROUPS, *SCANNER) if name in data.obs]:
        for name in _endpoints(data):
            part = data.obs[[f"{name}_days", f"{name}_event", column]].dropna()
            counts = part[column].astype(str).value_counts()
            large = counts.index[counts >= 5]
            part = part[part[column].astype(str).isin(large)]
            p = chi2 = np.nan
            time, event = part[f"{name}_days"].to_numpy(dtype=float), part[f"{name}_event"].to_numpy(dtype=float) > 0
            if len(large) > 1 and event.any():
                test = log_rank(time, event, part[column].astype(str).to_numpy())
                chi2, p = test.chi2, test.p
            for level in large:
                inside = (part[column].astype(str) == level).to_numpy()
                rows.append(
                    {"variable": column, "level": str(level), "endpoint": name, "n": int(inside.sum())}
                    | {"events": int(event[inside].sum()), "log_rank_chi2": chi2, "log_rank_p": p}
                )
    columns = ["variable", "level", "endpoint", "n", "events", "log_rank_chi2", "log_rank_p"]
    return pd.DataFrame(rows, columns=columns)


def describe_scores(run: Run, stage: Stage, data: AnnData, endpoint: str) -> None:
    """Write the out-of-fold phenotype scores of patients with and without the event, and how far apart they lie.

    Censored patients count as without the event, whatever their follow-up: a picture, not a test of
    prognosis.
    """
    if not run.has("phenotype/predictions.csv"):
        return
    from imrad.evaluation.two_group import ks_two_sample

    table = run.read("phenotype/predictions.csv")
    table = table[table["repeat"] == 0]
    event = data.obs[f"{endpoint}_event"].astype(float)
    event.index = event.index.astype(str)
    rows, bars = [], []
    for target, part in table.groupby("target", sort=False):
        happened = event.reindex(part["patient"].astype(str)).to_numpy()
        score = part["probability"].to_numpy(dtype=float)
        one, two = score[(happened > 0) & np.isfinite(score)], score[(happened == 0) & np.isfinite(score)]
        if min(len(one), len(two)) < 3:
            continue
        statistic, p = ks_two_sample(one, two)
        rows.append({"target": target, "n_event": len(one), "n_none": len(two), "ks": statistic, "p": p})
        for label, values in (("event", one), ("no event", two)):
            counts, edges = np.histogram(values, bins=10, range=(0, 1))
            bars += [
                {"target": target, "group": label, "low": edges[k], "high": edges[k + 1], "count": int(counts[k])}
                for k in range(10)
            ]
    stage.table(
        f"survival/{endpoint}/score_ks.csv", pd.DataFrame(rows, columns=["target", "n_event", "n_none", "ks", "p"])
    )
    shape = ["target", "group", "low", "high", "count"]
    stage.table(f"survival/{endpoint}/score_histogram.csv", pd.DataFrame(bars, columns=shape))
