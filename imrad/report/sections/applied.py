"""One other cohort, to which an exported model was applied: who is unlike, C or AUC, calibration, decision curves."""

from __future__ import annotations

import pandas as pd

from imrad.report.page import Column, Section, Shown
from imrad.report.sections.centres import draw_panels
from imrad.report.tables import RunTables, label

__all__ = ["add_applied"]

YEAR = 365.25


def add_applied(part: Section, tables: RunTables) -> None:
    """Add what 'imrad apply' wrote into the run's folder."""
    _likeness(part, tables)
    for endpoint in tables.endpoints:
        found = tables.external(endpoint)
        if found is not None:
            _survival(part, tables, endpoint, found)
    for endpoint in tables.responses:
        found = tables.external(endpoint)
        if found is not None:
            _response(part, tables, endpoint, found)


def _likeness(part: Section, tables: RunTables) -> None:
    summary = tables.get("apply.json")
    if summary is None:
        return
    columns = {
        "n_patients": Column("Patients"),
        "n_out_of_distribution": Column("Unlike the training cohort"),
        "recalibrated": Column("Recalibrated in the large"),
        "aggregate_only": Column("Aggregates only"),
    }
    kept = {name: column for name, column in columns.items() if name in summary}
    text = (
        "A patient is unlike the training cohort where many features lie beyond its range, or where the features that "
        "the models use do not go together as they did there."
    )
    part.add(Shown("applied_patients", "The other cohort.", summary[list(kept)], kept, text))
    shift = tables.get("feature_shift.csv")
    if shift is not None and "shift_sd" in shift:
        order = shift["shift_sd"].abs().sort_values(ascending=False).index
        columns = {
            "feature": Column("Feature"),
            "shift_sd": Column("Shift in training SD", "+.2f"),
            "share_below": Column("Below its range", ".2f"),
            "share_above": Column("Above its range", ".2f"),
            "missing": Column("Missing", ".2f"),
        }
        text = "The ten features whose mean moved most; all are in feature_shift.csv."
        part.add(Shown("applied_shift", "Shift of features.", shift.loc[order[:10]], columns, text, collapsed=True))
    clinical = tables.get("clinical_shift.csv")
    if clinical is not None:
        columns = {
            "column": Column("Column"),
            "median": Column("Median there", ".2f"),
            "median_training": Column("Median in training", ".2f"),
            "share_outside": Column("Beyond range or new class", ".2f"),
            "missing": Column("Missing", ".2f"),
        }
        part.add(Shown("applied_clinical", "Clinical columns.", clinical, columns, "", collapsed=True))


def _survival(part: Section, tables: RunTables, endpoint: str, found: pd.DataFrame) -> None:
    columns = {
        "model": Column("Model"),
        "n": Column("n", ".0f"),
        "n_events": Column("Events", ".0f"),
        "c": Column("C there", ".3f"),
        "c_low": Column("95 % low", ".3f"),
        "c_high": Column("95 % high", ".3f"),
        "c_outer": Column("Outer-fold C here", ".3f"),
    }
    for name in found.columns:
        if name.startswith("auc_") and name[4:-1].replace(".", "").isdigit() and found[name].notna().any():
            columns[name] = Column(f"AUC at {_years(float(name[4:-1]))}", ".3f")
    columns |= {
        "o_over_e": Column("Observed / expected", ".2f"),
        "o_over_e_low": Column("95 % low", ".2f"),
        "o_over_e_high": Column("95 % high", ".2f"),
        "slope": Column("Calibration slope", ".2f"),
        "imputed": Column("Features at the training median"),
        "reason": Column("Reason"),
    }
    models = tables.survival(endpoint, "models")
    if models is not None:
        found = found.merge(models[["model", "c_outer"]], on="model", how="left")
    kept = {name: column for name, column in columns.items() if name in found and found[name].notna().any()}
    text = "The frozen models on patients of another cohort; nothing was fitted there."
    part.add(Shown(f"external_{endpoint}", f"{endpoint.upper()} in the other cohort.", found, kept, text))
    calibration = _by_horizon(tables.get(f"external/{endpoint}/calibration.csv"))
    draw_panels(
        part,
        calibration,
        ("predicted", "observed", "predicted survival", "observed survival"),
        (
            f"applied_calibration_{endpoint}",
            f"{endpoint.upper()}: calibration in the other cohort.",
            "Groups of predicted survival against Kaplan-Meier; on the dotted line they agree.",
        ),
        diagonal=True,
    )
    draw_panels(
        part,
        _by_horizon(tables.get(f"external/{endpoint}/net_benefit.csv")),
        ("threshold", "net_benefit", "threshold probability", "net benefit"),
        (
            f"applied_decision_{endpoint}",
            f"{endpoint.upper()}: decision curves in the other cohort.",
            "Grey: all are treated; dotted: none is.",
        ),
        diagonal=False,
    )


def _response(part: Section, tables: RunTables, endpoint: str, found: pd.DataFrame) -> None:
    from imrad.report.sections.responses import with_shares

    found, shares = with_shares(found)
    columns = {"model": Column("Model"), "n": Column("n", ".0f"), "n_positive": Column("With outcome", ".0f")}
    columns |= {
        "auc": Column("AUC", ".3f"),
        "auc_low": Column("95 % low", ".3f"),
        "auc_high": Column("95 % high", ".3f"),
    }
    columns |= {"o_over_e": Column("Observed / expected", ".2f"), "slope": Column("Calibration slope", ".2f")}
    if "shift" in found and found["shift"].fillna(0).ne(0).any():
        columns["shift"] = Column("Shift of log odds", "+.3f")
    columns |= {"reason": Column("Reason")}
    kept = {name: column for name, column in columns.items() if name in found and found[name].notna().any()}
    text = "The frozen models on patients of another cohort; nothing was fitted there."
    part.add(Shown(f"external_{endpoint}", f"{label(endpoint)} in the other cohort.", found, kept, text))
    at = {"model": Column("Model"), "threshold": Column("Threshold", ".3f")} | shares
    text = "Thresholds are those of training. In brackets Wilson's 95 % intervals."
    if "shift" in columns:
        text = (
            "Thresholds are those of training, moved with the probabilities: the same patients are called positive. In "
            "brackets Wilson's 95 % intervals."
        )
    title = f"{label(endpoint)} at the threshold in the other cohort."
    part.add(Shown(f"external_threshold_{endpoint}", title, found, at, text))
    for name, axes, words, diagonal in (
        (
            *("roc", ("false_positive_share", "sensitivity", "1 - specificity", "sensitivity")),
            ("ROC curves in the other cohort.", "Dotted: chance."),
            True,
        ),
        (
            *("calibration", ("predicted", "observed", "predicted probability", "observed share")),
            ("calibration in the other cohort.", "Smoothed by lowess; on the dotted line they agree."),
            True,
        ),
        (
            *("net_benefit", ("threshold", "net_benefit", "threshold probability", "net benefit")),
            ("decision curves in the other cohort.", "Grey: all are treated; dotted: none is."),
            False,
        ),
    ):
        table = tables.get(f"external/{endpoint}/{name}.csv")
        if table is not None:
            title, text = f"{label(endpoint)}: {words[0]}", words[1]
            table = table.assign(cohort="the other cohort")
            draw_panels(part, table, axes, (f"applied_{name}_{endpoint}", title, text), diagonal=diagonal)


def _by_horizon(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None else table.assign(cohort=[_years(float(days)) for days in table["horizon_days"]])


def _years(days: float) -> str:
    years = round(days / YEAR, 1)
    return "1 year" if years == 1 else f"{years:g} years"
