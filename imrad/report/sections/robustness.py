"""What happens when something is changed: a site left out, another cut, perturbed regions."""

from __future__ import annotations

from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return cut-points, leave-one-site-out and ablations."""
    part = Section("robustness", Text(*TITLES["robustness"]))
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, "robustness")
        if table is None:
            continue
        cuts, sites = table[table["kind"] == "cut"], table[table["kind"] == "site left out"]
        if len(cuts):
            columns = {
                "model": Column("Model"),
                "level": Column("Cut"),
                "n": Column("n", ".0f"),
                "n_events": Column("Events", ".0f"),
            }
            columns |= {"chi2": Column("Chi-squared", ".2f"), "p": Column("p", "p"), "note": Column("Note")}
            part.add(
                Shown(
                    f"cuts_{endpoint}", f"Other cut-points, {endpoint.upper()}.", cuts.reset_index(drop=True), columns
                )
            )
        if len(sites):
            columns = {"model": Column("Model"), "level": Column("Site left out"), "n": Column("n", ".0f")}
            columns |= {"n_events": Column("Events", ".0f"), "c": Column("C", ".3f"), "low": Column("95 % low", ".3f")}
            columns |= {"high": Column("95 % high", ".3f"), "note": Column("Note")}
            text = "Fitted on the other sites, tested on the one left out."
            part.add(
                Shown(
                    f"sites_{endpoint}",
                    f"Leave one site out, {endpoint.upper()}.",
                    sites.reset_index(drop=True),
                    columns,
                    text,
                )
            )
        else:
            part.missing(
                "Leave-one-site-out: needs a site column with two sites of enough events.",
                "逐中心留出：需要至少两个事件数足够的中心。",
            )
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
    features = tables.get("cohort/features.csv")
    if features is None or "robustness" not in features or features["robustness"].isna().all():
        part.missing(
            "Perturbation: a robustness extraction (moved, grown and shrunk regions) was not run for these features.",
            "扰动分析：这些特征未做稳健性提取。",
        )
    return part
