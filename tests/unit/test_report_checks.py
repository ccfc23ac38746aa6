"""Every check fires where it should, stays quiet where it should, and says where it does not apply."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from imrad.report.checks import CHECKS, run_checks
from imrad.report.tables import RunTables

SERVICES = Path(__file__).parents[1] / "services"
_spec = importlib.util.spec_from_file_location("services_report_run", SERVICES / "report_run.py")
drawn = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(drawn)

MODELS = "survival/os/models.csv"
MODEL = {"model": "Clinical", "c_apparent": 0.7, "c_outer": 0.66, "c_outer_low": 0.6, "c_outer_high": 0.72}
MODEL |= {"events_per_candidate": 12.0, "ibs_outer": 0.18, "ibs_without_predictors": 0.2, "reason": ""}
VERDICT = "survival/os/verdict.json"


def summary(*status):
    return pd.DataFrame({"target": [f"t{k}" for k in range(len(status))], "status": status, "auc": 0.8})


def controls(kind, auc, low, n=1):
    return pd.DataFrame({"target": [f"t{k}" for k in range(n)], "control": kind, "auc": auc, "auc_low": low})


# code: tables with which it fires, what the sentence must hold, tables with which it is clear.
CASES = {
    "IMR001": ({MODELS: [MODEL | {"events_per_candidate": 4.26}]}, "4.3", {MODELS: [MODEL]}),
    "IMR002": (
        {
            MODELS: [MODEL],
            "survival/os/folds.csv": [{"fold": "r0/o0", "n_test_events": 0}, {"fold": "r0/o1", "n_test_events": 3}],
        },
        "1 of 2",
        {MODELS: [MODEL], "survival/os/folds.csv": [{"fold": "r0/o0", "n_test_events": 2}]},
    ),
    "IMR003": (
        {"phenotype/feasibility.csv": [{"target": "rare", "n_positive": 9, "n_negative": 60}]},
        "rare",
        {"phenotype/feasibility.csv": [{"target": "rare", "n_positive": 10, "n_negative": 60}]},
    ),
    "IMR004": (
        {"phenotype/stability.csv": [{"target": "t", "selector": "s", "feature": "f", "stability": 0.39}]},
        "1 of 1",
        {"phenotype/stability.csv": [{"target": "t", "selector": "s", "feature": "f", "stability": 0.41}]},
    ),
    "IMR005": ({MODELS: [MODEL | {"c_outer_low": 0.49}]}, "0.490", {MODELS: [MODEL]}),
    "IMR006": (
        {MODELS: [MODEL], VERDICT: {"status": "not_shown", "c_low": -0.021}},
        "-0.021",
        {MODELS: [MODEL], VERDICT: {"status": "adds", "c_low": 0.021}},
    ),
    "IMR007": (
        {
            MODELS: [MODEL],
            "survival/os/ph.csv": [
                {"model": "Clinical", "term": "age", "p": 0.004},
                {"model": "Clinical", "term": "sex", "p": 0.9},
            ],
        },
        "age",
        {
            MODELS: [MODEL],
            "survival/os/ph.csv": [
                {"model": "Clinical", "term": "age", "p": 0.04},
                {"model": "Clinical", "term": "sex", "p": 0.9},
            ],
        },
    ),
    "IMR008": (
        {"cohort/deconvolution.csv": [{"n": 10, "n_above": 8, "share_above": 0.8}]},
        "8 of 10",
        {"cohort/deconvolution.csv": [{"n": 10, "n_above": 1, "share_above": 0.1}]},
    ),
    "IMR009": (
        {"cohort/site_outcome.csv": [{"variable": "site", "endpoint": "os", "log_rank_p": 0.013}]},
        "0.013",
        {"cohort/site_outcome.csv": [{"variable": "site", "endpoint": "os", "log_rank_p": 0.13}]},
    ),
    "IMR010": (
        {"attrition.csv": [{"step": "join", "n_in": 100, "n_out": 69, "reason": ""}]},
        "100 became 69",
        {"attrition.csv": [{"step": "join", "n_in": 100, "n_out": 70, "reason": ""}]},
    ),
    "IMR011": (
        {"cohort/features.csv": [{"feature": "a", "spearman_volume": -0.85}, {"feature": "b", "spearman_volume": 0.1}]},
        "1 of 2",
        {"cohort/features.csv": [{"feature": "a", "spearman_volume": 0.79}, {"feature": "b", "spearman_volume": 0.1}]},
    ),
    "IMR012": (
        {
            MODELS: [MODEL],
            "survival/os/horizons.csv": [{"horizon_days": 1825.0, "status": "refused", "reason": "4 at risk"}],
        },
        "1825 days",
        {MODELS: [MODEL], "survival/os/horizons.csv": [{"horizon_days": 1825.0, "status": "feasible", "reason": ""}]},
    ),
    "IMR013": ({MODELS: [MODEL | {"c_apparent": 0.77}]}, "0.770", {MODELS: [MODEL]}),
    "IMR014": (
        {"phenotype/summary.csv": summary("unresolved", "claimed")},
        "1 of 2",
        {"phenotype/summary.csv": summary("claimed")},
    ),
    "IMR015": (
        {"cohort/missingness.csv": [{"column": "grade", "missing": 4, "share": 0.31}]},
        "grade",
        {"cohort/missingness.csv": [{"column": "grade", "missing": 3, "share": 0.29}]},
    ),
    "IMR016": (
        {"cohort/targets.csv": [{"target": "t", "share_zero": 0.51}]},
        "1 of 1",
        {"cohort/targets.csv": [{"target": "t", "share_zero": 0.5}]},
    ),
    "IMR017": (
        {"phenotype/summary.csv": summary("claimed"), "phenotype/controls.csv": controls("volume", 0.81, 0.7)},
        "0.810",
        {"phenotype/summary.csv": summary("claimed"), "phenotype/controls.csv": controls("volume", 0.6, 0.5)},
    ),
    "IMR018": (
        {"score/coverage.csv": [{"signature": "ESTIMATE immune", "coverage": 0.71}]},
        "71 %",
        {"score/coverage.csv": [{"signature": "ESTIMATE immune", "coverage": 0.81}]},
    ),
    "IMR019": (
        {
            "extract/quality.csv": [{"case": str(k)} for k in range(8)],
            "extract/failures.csv": [{"case": "9", "reason": "empty"}],
        },
        "1 of 9",
        {
            "extract/quality.csv": [{"case": str(k)} for k in range(9)],
            "extract/failures.csv": [{"case": "9", "reason": "empty"}],
        },
    ),
    "IMR020": (
        {MODELS: [MODEL, MODEL | {"model": "ImRad", "c_outer": None, "reason": "no phenotype"}]},
        "no phenotype",
        {MODELS: [MODEL]},
    ),
    "IMR021": ({MODELS: [MODEL | {"ibs_outer": 0.21}]}, "0.210", {MODELS: [MODEL]}),
    "IMR022": (
        {"phenotype/controls.csv": controls("shuffled_features", 0.7, 0.55, n=10)},
        "10 of 10",
        {"phenotype/controls.csv": controls("shuffled_features", 0.5, 0.4, n=10)},
    ),
}


def outcome(folder, code, tables):
    run = drawn.empty_run(folder)
    for path, content in tables.items():
        if path.endswith(".json"):
            (run.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (run.folder / path).write_text(pd.Series(content).to_json())
        else:
            drawn.write(run, path, pd.DataFrame(content))
    return next(item for item in run_checks(RunTables(run)) if item.code == code)


def test_every_check_has_its_case():
    assert [check.code for check in CHECKS] == sorted(CASES)


@pytest.mark.parametrize("code", CASES)
def test_fires(code, tmp_path):
    found = outcome(tmp_path, code, CASES[code][0])
    assert found.status == "fires"
    for language in ("en", "zh"):
        text = found.findings[0].plain(language)
        assert "{" not in text
        assert text.count(". ") == 0
    assert CASES[code][1] in str(found.findings[0])


@pytest.mark.parametrize("code", CASES)
def test_is_clear(code, tmp_path):
    found = outcome(tmp_path, code, CASES[code][2])
    assert (found.status, found.findings) == ("clear", [])


@pytest.mark.parametrize("code", CASES)
def test_does_not_apply_to_an_empty_run(code, tmp_path):
    assert outcome(tmp_path, code, {}).status == "not applicable"
