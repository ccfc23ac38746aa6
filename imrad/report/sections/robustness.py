"""What happens when something is changed: a site left out, another cut, perturbed regions."""

from __future__ import annotations

import pandas as pd

from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


PERTURBED = "perturbed features"


def section(tables: RunTables) -> Section:
    """Return cut-points, leave-one-site-out, perturbed features and ablations."""
    part = Section("robustness", Text(*TITLES["robustness"]))
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, "robustness")
        if table is None:
            continue
        cuts = table[table["kind"] == "cut"]
        if len(cuts):
            columns = {"model": Column("Model"), "level": Column("Cut"), **_counts("Events")}
            columns |= {"chi2": Column("Chi-squared", ".2f"), "p": Column("p", "p"), "note": Column("Note")}
            title = f"Other cut-points, {endpoint.upper()}."
            part.add(Shown(f"cuts_{endpoint}", title, cuts.reset_index(drop=True), columns))
        _sites(part, table, endpoint, "C", "Events")
        _perturbed(part, table, endpoint, "C", "Events")
    for endpoint in tables.responses:
        table = tables.response(endpoint, "robustness")
        if table is not None:
            _sites(part, table, endpoint, "AUC", "With outcome")
            _perturbed(part, table, endpoint, "AUC", "With outcome")
    ablation = tables.get("phenotype/ablation.csv")
    if ablation is not None:
        mean = ablation.groupby(["part", "name"], sort=False)[["auc", "difference"]].mean().reset_index()
        columns = {
            "part": Column("Part"),
            "name": Column("Kept"),
            "auc": Column("Mean AUC", ".3f"),
            "difference": Column("Difference", "+.3f"),
        }
        part.add(Shown("ablation", "Ablation of the grid.", mean, columns, "Mean over targets, with only this part."))
    return part


def _counts(events: str) -> dict[str, Column]:
    return {"n": Column("n", ".0f"), "n_events": Column(events, ".0f")}


def _sites(part: Section, table: pd.DataFrame, endpoint: str, measure: str, events: str) -> None:
    sites = table[table["kind"] == "site left out"].reset_index(drop=True)
    if not len(sites):
        part.missing(
            "Leave-one-site-out: needs a site column with two sites of enough events.",
            "逐中心留出：需要至少两个事件数足够的中心。",
        )
        return
    columns = {"model": Column("Model"), "level": Column("Site left out"), **_counts(events)}
    columns |= {"c": Column(measure, ".3f"), "low": Column("95 % low", ".3f"), "high": Column("95 % high", ".3f")}
    columns["note"] = Column("Note")
    text = "Fitted on the other sites, tested on the one left out."
    part.add(Shown(f"sites_{endpoint}", f"Leave one site out, {endpoint.upper()}.", sites, columns, text))


def _perturbed(part: Section, table: pd.DataFrame, endpoint: str, measure: str, events: str) -> None:
    rows = table[table["kind"] == PERTURBED].reset_index(drop=True)
    if not len(rows) or rows["level"].fillna("").eq("").all():
        part.missing(
            "Perturbed features: no perturbed table was given. extract writes one where its reading has perturbations; "
            "fuse.perturbed names your own.",
            "扰动特征：未提供扰动特征表。",
        )
        return
    columns = {"model": Column("Model"), "level": Column("Features"), **_counts(events)}
    columns |= {"c": Column(measure, ".3f"), "risk_sd": Column("SD of the risk", ".3f")}
    columns |= {"risk_icc": Column("ICC of the risk", ".3f"), "note": Column("Note")}
    text = "The outer folds' models on features of perturbed images of their test patients; nothing was fitted anew."
    part.add(Shown(f"perturbed_{endpoint}", f"Perturbed features, {endpoint.upper()}.", rows, columns, text))
