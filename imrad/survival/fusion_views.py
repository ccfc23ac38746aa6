"""Further views of a fusion: calibration, net benefit, proportional hazards, robustness, explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.evaluation.calibration import calibration_cuts, calibration_groups
from imrad.evaluation.discrimination import concordance, harrell_c
from imrad.evaluation.kaplan_meier import log_rank
from imrad.evaluation.net_benefit import decision_curve_survival
from imrad.exceptions import FeasibilityError, FitError
from imrad.survival.cox_inference import proportional_hazards
from imrad.survival.coxph import CoxPH
from imrad.survival.cutpoints import maximally_selected
from imrad.survival.groups import learn_cut
from imrad.survival.perturbations import perturbed_rows

if TYPE_CHECKING:
    from imrad.survival.fusion_tables import Finished

__all__ = ["calibration", "explanations", "hazards_over_time", "net_benefit", "robustness", "subgroups"]

_GROUPS = 4


def _first_repeat(done: Finished, risk: pd.DataFrame, name: str) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Test predictions of a model in the first repeat, one row a patient, and their rows."""
    first = f"r{done.data.splits.repeats[0]}/"
    part = risk[(risk["model"] == name) & risk["fold"].str.startswith(first)]
    number = {patient: row for row, patient in enumerate(done.data.patients)}
    return part, np.array([number[str(patient)] for patient in part["patient"]], dtype=int)


def calibration(done: Finished, risk: pd.DataFrame) -> pd.DataFrame:
    """Return observed against predicted survival in groups of similar prediction.

    ``outer folds`` pools the test predictions of the first repeat; ``apparent`` is the model on its
    own patients, with the bootstrap-corrected observation beside it where there is one.
    """
    data, parts = done.data, []
    usable = np.flatnonzero(data.usable)
    for name in done.fitted:
        part, rows = _first_repeat(done, risk, name)
        gaps = [
            np.asarray(found["calibration_optimism"])
            for task, found in done.results.items()
            if task.kind == "bootstrap" and task.model == name and "failed" not in found
        ]
        for column, horizon in enumerate(data.horizons):
            predicted = part[f"survival_{horizon:g}d"].to_numpy(dtype=float)
            table = _groups(data.time[rows], data.event[rows], predicted, horizon)
            parts.append(table.assign(model=name, horizon_days=horizon, source="outer folds", corrected=np.nan))
            own = np.asarray(done.whole(name)["survival"])[:, column]
            table = _groups(data.time[usable], data.event[usable], own, horizon)
            table["corrected"] = np.nan
            if gaps:
                gap = np.concatenate(gaps)[:, column]
                mean = np.array(
                    [item[np.isfinite(item)].mean() if np.isfinite(item).any() else np.nan for item in gap.T]
                )
                table["corrected"] = (table["observed"] - mean[table["group"].to_numpy(dtype=int) - 1]).clip(0, 1)
            parts.append(table.assign(model=name, horizon_days=horizon, source="apparent"))
    columns = ["model", "horizon_days", "source", "group", "n", "events", "predicted", "observed", "low", "high"]
    return pd.concat(parts, ignore_index=True)[[*columns, "corrected"]] if parts else pd.DataFrame(columns=columns)


def _groups(time: Any, event: Any, survival: Any, horizon: float) -> pd.DataFrame:
    cuts = np.asarray(calibration_cuts(survival, _GROUPS))
    table = calibration_groups(time, event, survival, horizon, cuts=cuts)
    present = np.unique(np.searchsorted(cuts, survival, side="right"))
    table["group"] = present + 1 if len(present) == len(table) else np.arange(len(table)) + 1
    return pd.DataFrame(table)


def net_benefit(done: Finished, risk: pd.DataFrame) -> pd.DataFrame:
    """Return decision curves of the outer folds' predicted event probabilities at each horizon."""
    data, parts = done.data, []
    for name in done.fitted:
        part, rows = _first_repeat(done, risk, name)
        for horizon in data.horizons:
            p = 1 - part[f"survival_{horizon:g}d"].to_numpy(dtype=float)
            curve = decision_curve_survival(data.time[rows], data.event[rows], p, horizon)
            parts.append(curve.assign(model=name, horizon_days=horizon))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", "horizon_days"])


def hazards_over_time(done: Finished) -> pd.DataFrame:
    """Test proportional hazards of each model's columns, in a plain Cox regression on those selected."""
    parts = []
    rows = np.flatnonzero(done.data.usable)
    y = (done.data.time[rows], done.data.event[rows])
    for name in done.fitted:
        whole = done.whole(name)
        kept = np.flatnonzero(whole["coef"])
        if not 0 < len(kept) <= int(y[1].sum()) // 2:
            continue
        X = pd.DataFrame(np.asarray(whole["matrix"])[:, kept], columns=[whole["names"][j] for j in kept])
        try:
            parts.append(proportional_hazards(CoxPH().fit(X, y), X, y).assign(model=name))
        except FitError:
            continue
    columns = ["model", "term", "chi2", "df", "p"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def robustness(done: Finished, risk: pd.DataFrame) -> pd.DataFrame:
    """Return models without each site, on perturbed features, and at other cut-points of the outer folds' risks.

    A cut searched on these outcomes carries the p corrected for the search and is marked optimistic.
    """

    def c(at: Any, scores: Any) -> float:
        return harrell_c(done.data.time[at], done.data.event[at], scores)

    rows = done.sites_left_out() + perturbed_rows(done, c, done.data.event, "risk")
    for name in done.fitted:
        tested, number = _first_repeat(done, risk, name)
        score = tested["risk"].to_numpy(dtype=float)
        time, event = done.data.time[number], done.data.event[number]
        base = {"kind": "cut", "model": name, "n": len(score), "n_events": int(event.sum())}
        for how in ("median", "tertiles"):
            try:
                group = learn_cut(score, how).apply(score)
            except FeasibilityError as error:
                rows.append(base | {"level": how, "note": str(error)})
                continue
            test = log_rank(time, event, group)
            rows.append(base | {"level": how, "chi2": test.chi2, "p": test.p, "note": "cut on pooled test risks"})
        try:
            best = maximally_selected(time, event, score)
        except FeasibilityError as error:
            rows.append(base | {"level": "maximally selected", "note": str(error)})
            continue
        note = "optimistic: the cut was chosen on these outcomes; p is corrected for the search"
        rows.append(base | {"level": "maximally selected", "p": best.p_lau92, "note": note})
    columns = ["kind", "model", "level", "n", "n_events", "c", "low", "high", "chi2", "p"]
    return pd.DataFrame(rows, columns=[*columns, "risk_sd", "risk_icc", "note"])


def subgroups(done: Finished, risk: pd.DataFrame) -> pd.DataFrame:
    """Return C of the first repeat's test risks within each category of each subgroup column."""
    rows: list[dict[str, Any]] = []
    table = done.data.subgroups
    if table is not None:
        for name in done.fitted:
            part, number = _first_repeat(done, risk, name)
            score = part["risk"].to_numpy(dtype=float)
            time, event = done.data.time[number], done.data.event[number]
            for column in table.columns:
                values = table[column].iloc[number]
                for level in sorted(values.dropna().astype(str).unique()):
                    inside = (values.astype(str) == level).to_numpy() & values.notna().to_numpy()
                    found = concordance(time[inside], event[inside], score[inside])
                    rows.append(
                        {
                            "model": name,
                            "subgroup": str(column),
                            "level": level,
                            "n": int(inside.sum()),
                            "n_events": int(event[inside].sum()),
                            "c": found.c,
                            "low": found.low,
                            "high": found.high,
                        }
                    )
    return pd.DataFrame(rows, columns=["model", "subgroup", "level", "n", "n_events", "c", "low", "high"])


def explanations(done: Finished) -> pd.DataFrame:
    """Return what each column adds to each patient's log hazard in the final models.

    In a linear model the coefficient times the distance from the mean is the Shapley value; trees
    take Shapley values with their own training patients as background.
    """
    parts = []
    patients = np.asarray(done.data.patients, dtype=object)[done.data.usable]
    for name in done.fitted:
        whole = done.whole(name)
        kept = np.flatnonzero(whole["used"])
        if len(kept) == 0 or whole["kind"] == "other":
            continue
        parts.append(
            pd.DataFrame(
                {
                    "patient": np.repeat(patients, len(kept)),
                    "model": name,
                    "feature": np.tile([whole["names"][j] for j in kept], len(patients)),
                    "value": np.asarray(whole["matrix"])[:, kept].ravel(),
                    "contribution": np.asarray(whole["contributions"])[:, kept].ravel(),
                    "method": "trees, Shapley" if whole["kind"] == "trees" else "linear, exact",
                }
            )
        )
    columns = ["patient", "model", "feature", "value", "contribution", "method"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
