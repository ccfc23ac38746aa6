"""From the tables of a run to ticked items: evidence is looked for, never assumed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from imrad.report.checklists.items import Item
from imrad.report.tables import RunTables

__all__ = ["Evidence", "Filled", "fill"]

STATED = 0.9
"""Share of the images whose headers must tell how they were acquired."""


PART = {"RQS-10": 0.5}
"""Share of the points that a run earns: calibration is resampled, but no test of it is reported."""


@dataclass(frozen=True)
class Filled:
    """An item with its status: ``yes``, ``no``, ``stated`` (by the authors), ``not applicable`` or ``unknown``.

    Attributes
    ----------
    item : Item
    status : str
    points : float
        What it earns as it stands.
    evidence : str
        Where the run shows it, or the authors' statement.
    section : str
        Part of the report that shows it.
    """

    item: Item
    status: str
    points: float
    evidence: str
    section: str


def fill(items: tuple[Item, ...], tables: RunTables) -> list[Filled]:
    """Return every item with what the run or the authors' statements say of it."""
    found = Evidence(tables)
    return [_filled(item, found, tables.statements.get(item.id, "")) for item in items]


def _filled(item: Item, evidence: Evidence, statement: str) -> Filled:
    if item.evidence == "author":
        if statement:
            return _stated(item, statement)
        return Filled(item, "unknown", item.otherwise, "for the authors to state", "")
    status, words, section = evidence.look(item.evidence)
    if status in ("no", "unknown") and statement:
        return _stated(item, statement)
    earned = item.earned if status == "yes" else item.otherwise if status != "not applicable" else 0.0
    return Filled(item, status, earned * PART.get(item.id, 1.0) if status == "yes" else earned, words, section)


def _stated(item: Item, statement: str) -> Filled:
    """Return an item that the authors state; ``2: code and features`` claims two of an item's several points."""
    claimed = re.match(r"(\d+) *: *(?=\S)", statement)
    points = item.earned
    if claimed and item.earned > 1:
        points, statement = min(float(claimed[1]), item.earned), statement[claimed.end() :]
    return Filled(item, "stated", points, statement, "")


class Evidence:
    """What the run shows, by name: each is (status, words, section)."""

    def __init__(self, tables: RunTables) -> None:
        self.tables = tables

    def look(self, name: str) -> tuple[str, str, str]:
        """Return status, words and section of a piece of evidence."""
        found: tuple[str, str, str] = getattr(self, f"_{name}")
        return found

    def _survival(
        self, table: str, words: str, section: str, no: str = "no", otherwise: str = ""
    ) -> tuple[str, str, str]:
        have = [name.upper() for name in self.tables.endpoints if self.tables.survival(name, table) is not None]
        return ("yes", f"{words} ({', '.join(have)})", section) if have else (no, otherwise or f"no table {table}", "")

    def _table(self, path: str, words: str, section: str, no: str = "no") -> tuple[str, str, str]:
        return ("yes", words, section) if self.tables.get(path) is not None else (no, f"{path} was not written", "")

    def _settings(self, stage: str) -> dict[str, object]:
        recorded = self.tables.run.record["stages"].get(stage, {})
        return dict(recorded.get("settings", {})) if recorded.get("status") == "done" else {}

    @cached_property
    def _guideline(self) -> tuple[str, str, str]:
        # A checklist that is filled by the report is no evidence that the study was designed by one.
        return (
            "unknown",
            "this report fills CLEAR and TRIPOD+AI; whether the study was planned by one is for the authors",
            "",
        )

    @cached_property
    def _several_sites(self) -> tuple[str, str, str]:
        table = self.tables.get("cohort/table1.csv")
        if table is None:
            return "unknown", "the cohort is not described", ""
        found = [
            str(name)
            for name in table["group"].unique()
            if str(name).split(" ")[0] in ("site", "center", "centre", "institution", "hospital")
        ]
        if len(found) > 1:
            return "yes", f"{len(found)} or more sites in table 1", "cohort"
        return "unknown", "no site column in the cohort", ""

    @cached_property
    def _protocol(self) -> tuple[str, str, str]:
        if self.tables.get("extract/geometry.csv") is None:
            return "unknown", "the run holds features without their images", ""
        headers = self.tables.get("extract/imaging.csv")
        needed = ("manufacturer", "convolution_kernel", "kvp", "slice_thickness_mm")
        if headers is not None and set(needed) <= set(headers.columns):
            told = headers[list(needed)].replace("", None).notna().mean().min()
            if told >= STATED:
                return "yes", "vendor, kernel, tube voltage and slice thickness by the images' headers", "imaging"
        return "unknown", "spacing is recorded; tube, kernel, contrast phase are for the authors", "imaging"

    @cached_property
    def _extraction_settings(self) -> tuple[str, str, str]:
        if self._settings("extract").get("radiomics"):
            return "yes", "settings of the extraction are recorded in the run", "methods"
        return "unknown", "features came without the settings of their extraction", ""

    @cached_property
    def _software(self) -> tuple[str, str, str]:
        if self._settings("extract"):
            return "yes", f"engine {self._settings('extract').get('engine', 'imrad')}, version recorded", "methods"
        return "unknown", "features were extracted elsewhere", ""

    @cached_property
    def _robustness(self) -> tuple[str, str, str]:
        table = self.tables.get("cohort/features.csv")
        if table is not None and "robustness" in table and table["robustness"].notna().any():
            return "yes", "ICC of the features", "features"
        if self.tables.get("features/icc.csv") is not None:
            return "yes", "ICC between readings", "features"
        return "no", "no robustness extraction in this run", "features"

    @cached_property
    def _robust_kept(self) -> tuple[str, str, str]:
        # To know the ICC is not to have acted on it.
        if self.tables.get("features/icc.csv") is not None:
            return "yes", "features below the ICC threshold are dropped in each training fold", "features"
        if self._robustness[0] == "yes":
            return "no", "ICC is known, but no feature was dropped for it", "features"
        return "no", "no robustness extraction in this run", "features"

    @cached_property
    def _redundancy(self) -> tuple[str, str, str]:
        selectors = [str(name) for name in self._settings("phenotype").get("selectors", [])]  # type: ignore[attr-defined]
        if any(name in ("fcbf", "mrmr") for name in selectors):
            return "yes", "selectors that drop redundant features, in the folds", "grid"
        return self._survival("path", "lasso, in the folds", "model")

    @cached_property
    def _reduction(self) -> tuple[str, str, str]:
        if self.tables.get("phenotype/summary.csv") is not None:
            return "yes", "selection in the folds, q over all targets", "grid"
        return self._survival("path", "lasso, in the folds", "model")

    @cached_property
    def _dimensionality(self) -> tuple[str, str, str]:
        worst = []
        for endpoint in self.tables.endpoints:
            models = self.tables.survival(endpoint, "models")
            if models is not None and "events_per_candidate" in models:
                worst.append(float(models["events_per_candidate"].min()))
        if not worst:
            return "unknown", "no survival model", ""
        if min(worst) >= 10:
            return "yes", "ten events and more per candidate predictor", "models"
        return "no", "fewer than ten events per candidate predictor (IMR001)", "models"

    @cached_property
    def _not_deep(self) -> tuple[str, str, str]:
        return "not applicable", "no end-to-end deep learning", ""

    @cached_property
    def _no_leak(self) -> tuple[str, str, str]:
        return self._table("ledger.csv", "the ledger names who was seen by each fit; the checker ran", "methods")

    @cached_property
    def _confounders(self) -> tuple[str, str, str]:
        controls = self.tables.get("phenotype/controls.csv")
        if controls is not None and (controls["control"] == "volume").any():
            return "yes", "volume-only and clinical-only rows beside the grid", "grid"
        return self._survival("pairs", "volume and clinical models beside the radiomic ones", "models")

    @cached_property
    def _discrimination(self) -> tuple[str, str, str]:
        status = self._survival("models", "C in the outer folds", "models")
        return status if status[0] == "yes" else self._table("phenotype/summary.csv", "AUC in the outer folds", "grid")

    @cached_property
    def _uncertainty(self) -> tuple[str, str, str]:
        status = self._survival("models", "intervals corrected for resampling", "models")
        return (
            status if status[0] == "yes" else self._table("phenotype/summary.csv", "intervals and permutations", "grid")
        )

    @cached_property
    def _calibration(self) -> tuple[str, str, str]:
        return self._survival("calibration", "calibration of the outer folds", "curves")

    @cached_property
    def _against_clinical(self) -> tuple[str, str, str]:
        for endpoint in self.tables.endpoints:
            verdict = self.tables.get(f"survival/{endpoint}/verdict.json")
            if verdict is not None and verdict["status"].iloc[0] != "not_answered":
                return "yes", "Clinical+ImRad against Clinical on the same folds", "verdict"
        return "no", "no combined model beside a clinical one", ""

    @cached_property
    def _against_simple(self) -> tuple[str, str, str]:
        for endpoint in self.tables.endpoints:
            models = self.tables.survival(endpoint, "models")
            if models is not None and models.loc[models["c_outer"].notna(), "model"].isin(["Volume", "Clinical"]).any():
                return "yes", "Cox models of volume and of clinical variables", "models"
        return self._table("phenotype/controls.csv", "logistic regression on volume", "grid")

    @cached_property
    def _internal_test(self) -> tuple[str, str, str]:
        return (
            self._survival("folds", "nested outer folds", "models", otherwise="no outer folds")
            if self.tables.endpoints
            else self._table("phenotype/grid.csv", "nested outer folds", "grid")
        )

    @cached_property
    def _external_test(self) -> tuple[str, str, str]:
        have = [name.upper() for name in self.tables.endpoints if self.tables.external(name) is not None]
        return (
            ("yes", f"another cohort ({', '.join(have)})", "external")
            if have
            else ("no", "no other cohort was given", "")
        )

    @cached_property
    def _updating(self) -> tuple[str, str, str]:
        found = [table for name in self.tables.endpoints if (table := self.tables.external(name)) is not None]
        if not found:
            return "not applicable", "no other cohort, so nothing to update", ""
        if any(str(column).startswith("recalibrat") for table in found for column in table.columns):
            return "yes", "recalibration in the other cohort", "external"
        return "unknown", "no recalibration in the tables of the other cohort", "external"

    @cached_property
    def _validation(self) -> tuple[str, str, str]:
        # Outer folds are the same patients and each refits the model: the score asks for a data set of its own.
        outside = self._external_test
        return outside if outside[0] == "yes" else ("no", "outer folds only, no other data set", "models")

    @cached_property
    def _biology(self) -> tuple[str, str, str]:
        table = self.tables.get("phenotype/summary.csv")
        if table is None:
            return "no", "no phenotypes in this run", ""
        if (table["status"] == "claimed").any():
            return "yes", "phenotypes that survive correction", "biology"
        return "no", "phenotypes were tried and none survives correction", "grid"

    @cached_property
    def _cut_points(self) -> tuple[str, str, str]:
        return self._survival("groups", "groups cut at training medians, other cuts beside", "robustness")

    @cached_property
    def _decision_curves(self) -> tuple[str, str, str]:
        return self._survival("net_benefit", "decision curves", "curves")

    @cached_property
    def _sample_size(self) -> tuple[str, str, str]:
        return self._table(
            "phenotype/feasibility.csv", "patients needed for a set precision, by target", "targets", "unknown"
        )

    @cached_property
    def _pipeline(self) -> tuple[str, str, str]:
        return "yes", "stages of the run and methods text", "methods"

    @cached_property
    def _provenance(self) -> tuple[str, str, str]:
        settings = self._settings("assemble")
        if settings.get("dataset") or settings.get("synthetic") or settings.get("standin"):
            return "yes", "data set named in the settings", "methods"
        return "unknown", "files of the user; their origin is for the authors", ""

    @cached_property
    def _clinical_predictors(self) -> tuple[str, str, str]:
        return self._survival("coefficients", "terms of the clinical block", "model", otherwise="no clinical model")

    @cached_property
    def _outcome_defined(self) -> tuple[str, str, str]:
        if self.tables.get("cohort/follow_up.csv") is None:
            return "unknown", "no survival endpoint", ""
        if self._provenance[0] != "yes":
            return "unknown", "follow-up is shown; how events were assessed is for the authors", "cohort"
        return "yes", "endpoints of a named data set, with events and follow-up", "cohort"

    @cached_property
    def _feature_classes(self) -> tuple[str, str, str]:
        return self._table("cohort/features.csv", "number of features by image and class", "features", "unknown")

    @cached_property
    def _missing_data(self) -> tuple[str, str, str]:
        return self._table("cohort/missingness.csv", "missing values, imputed in each fold", "cohort", "unknown")

    @cached_property
    def _imbalance(self) -> tuple[str, str, str]:
        return self._table("phenotype/feasibility.csv", "class sizes by target", "targets", "unknown")

    @cached_property
    def _scaling(self) -> tuple[str, str, str]:
        return self._table("ledger.csv", "scaling learnt in each training fold, in the ledger", "methods", "unknown")

    @cached_property
    def _algorithms(self) -> tuple[str, str, str]:
        return "yes", "methods text with cards and references", "methods"

    @cached_property
    def _model_choice(self) -> tuple[str, str, str]:
        status = self._table("phenotype/summary.csv", "the inner folds choose the cell", "grid")
        return status if status[0] == "yes" else self._survival("path", "the inner folds choose the penalty", "model")

    @cached_property
    def _comparison(self) -> tuple[str, str, str]:
        return self._survival("pairs", "pairwise differences, corrected resampled t", "models")

    @cached_property
    def _explained(self) -> tuple[str, str, str]:
        return self._survival("explanations", "exact contributions", "explanations")

    @cached_property
    def _baseline(self) -> tuple[str, str, str]:
        return self._table("cohort/table1.csv", "table 1", "cohort")

    @cached_property
    def _attrition(self) -> tuple[str, str, str]:
        return self._table("attrition.csv", "flow of cases and patients", "cohort")

    @cached_property
    def _feature_statistics(self) -> tuple[str, str, str]:
        return self._table("phenotype/stability.csv", "selection frequency and stability", "grid", "unknown")

    @cached_property
    def _preparation(self) -> tuple[str, str, str]:
        return self._table("attrition.csv", "every join with its losses; methods text", "methods", "unknown")

    @cached_property
    def _analysis(self) -> tuple[str, str, str]:
        return self._survival("models", "methods text, settings and seed", "methods", "unknown")

    @cached_property
    def _fairness(self) -> tuple[str, str, str]:
        return self._survival("subgroups", "C by subgroup", "subgroups", "no", "no subgroups were evaluated")

    @cached_property
    def _output(self) -> tuple[str, str, str]:
        return self._survival("risk", "linear predictor and predicted survival", "model", "unknown")

    @cached_property
    def _participants(self) -> tuple[str, str, str]:
        both = self._baseline[0] == "yes" and self._attrition[0] == "yes"
        return ("yes", "flow and table 1", "cohort") if both else ("no", "flow or table 1 is missing", "")

    @cached_property
    def _counts(self) -> tuple[str, str, str]:
        return self._survival("folds", "patients and events of every fold", "models")

    @cached_property
    def _specification(self) -> tuple[str, str, str]:
        found = [name.upper() for name in self.tables.endpoints if self.tables.json(f"survival/{name}/nomogram.json")]
        return (
            ("yes", f"formula, nomogram and calculator ({', '.join(found)})", "model")
            if found
            else ("no", "no final model with a term", "")
        )

    @cached_property
    def _performance(self) -> tuple[str, str, str]:
        return self._survival("models", "outer-fold values with intervals", "models")
