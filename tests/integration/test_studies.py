"""The field's studies as configs: each is valid for its stand-in, and one goes all the way."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from imrad import stages
from imrad.cohort import read_cohort
from imrad.config import SECTIONS, Config, config_names, load_config
from imrad.datasets import STUDIES
from imrad.run import Run
from imrad.stages import blocks

NAMES = [name for name in config_names() if name.startswith("studies/")]


def small(name):
    config, _ = load_config(name)
    values = config.model_dump(exclude_none=True)
    for part in (values["assemble"], *values["assemble"].get("external", {}).values()):
        part["standin"]["size"] = "small"
    return values


def check_shown(run, *names):
    """Demand that the report holds each of these tables, with numbers in it."""
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for name in names:
        table = pd.read_csv(run.folder / f"report_data/{name}.csv")
        assert table.select_dtypes("number").notna().any(axis=None), name
        assert f'id="f-{name}"' in page or f'id="t-{name}"' in page, name


def test_every_study_has_its_config():
    assert sorted(NAMES) == sorted(f"studies/{name}" for name in STUDIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_asks_for_what_its_cohort_has(name, tmp_path):
    values = small(name)
    run = Run(tmp_path, Config(**values))
    checked = {}
    for section in SECTIONS:
        if values.get(section) is not None:
            checked[section] = stages._module(section).check(run)
    stages.assemble(run)
    data = read_cohort(tmp_path / "cohort.h5ad")
    if "phenotype" in checked:
        wanted = checked["phenotype"].targets
        assert blocks.targets(data, None if wanted == "all" else wanted).notna().any().all()
        blocks.clinical_block(data, checked["phenotype"].clinical)
    if "fuse" in checked:
        binary = set(blocks.binary_endpoints(data))
        assert {name if name in binary else f"{name}_event" for name in checked["fuse"].endpoints} <= set(data.obs)
        blocks.clinical_block(data, checked["fuse"].clinical)
        for columns in checked["fuse"].extra_blocks.values():
            assert not blocks.own_block(data, columns).empty


def test_response_to_checkpoint_inhibitors(tmp_path):
    values = small("studies/nsclc-ici-response")
    values["fuse"]["n_bootstrap"] = 3
    run = stages.run_all(Run(tmp_path, Config(**values)))
    models = run.read("response/response/models.csv").set_index("model")
    assert (models["status"] == "fitted").all()
    assert set(models.index) == {"Clinical", "Volume", "Rad (lasso)", "Rad (logistic)", "Rad (SVM)", "Clinical+Rad"}
    agreement = run.read("cohort/agreement.csv").set_index("variable")
    assert agreement.loc["max_diameter_mm", "measure"] == "ICC(2,1)"
    assert agreement.loc[["lobulation", "cavity"], "value"].gt(0.5).all()
    univariable = run.read("response/response/univariable.csv").set_index("feature")
    assert {"nlr", "plr", "cavity"} <= set(univariable.index)
    multivariable = run.read("response/response/multivariable.csv")
    assert set(multivariable["model"]) == {"Clinical", "Volume"}
    funnel = run.read("response/response/funnel.csv").query("model == 'Rad (SVM)' and fold == 'all'")
    assert list(funnel["step"]) == ["extracted", "icc", "rank sum", "lasso"]
    assert funnel["n_out"].is_monotonic_decreasing
    external = run.read("response/response/external.csv")
    assert set(external["cohort"]) == {"hospital_B"}
    assert external["auc"].between(0, 1).all()
    assert external["sensitivity_low"].le(external["sensitivity"]).all()
    threshold = external.set_index("model")["threshold"]
    operating = run.read("response/response/operating.csv")
    apparent = operating[operating["kind"] == "apparent"].set_index("model")["threshold"]
    assert threshold.to_dict() == apparent.to_dict()
    corrected = run.read("response/response/models.csv").set_index("model")["auc_bootstrap"]
    assert corrected.notna().all()
    shown = ("response_models", "roc", "scores", "operating", "calibration", "indices", "decision", "agreement")
    shown += ("response_funnel", "univariable", "multivariable", "response_nomogram", "contributions_linear")
    shown += ("response_subgroups", "centres", "centres_threshold", "centres_roc", "centres_pairs", "recorded")
    shown += ("cv", "path", "coefficients")
    # The path is of the lasso that the coefficients are of.
    path = run.read("response/response/path.csv").query("model == 'Rad (lasso)'")
    at = path.loc[path["chosen"], "n_selected"].iloc[0]
    kept = run.read("response/response/coefficients.csv").query(
        "model == 'Rad (lasso)' and coef != 0 and kind == 'penalised'"
    )
    assert at == len(kept) == models.loc["Rad (lasso)", "n_selected"]
    # The diameter and the neutrophils are cut by Youden's index, and said where.
    cut = multivariable.set_index("feature")["cut"].dropna()
    assert {"max_diameter_mm", "neutrophils_1e9_per_l"} & set(cut.index)
    recorded = pd.read_csv(run.folder / "report_data/recorded_response.csv").set_index("recorded")
    assert list(recorded.index) == ["CR", "PR", "SD", "PD", "NE", "all"]
    assert recorded.loc["all", "training"] == read_cohort(run.folder / "cohort.h5ad").n_obs
    assert recorded.loc[["CR", "PR"], "training"].sum() == models.loc["Clinical", "n_positive"]
    assert recorded.loc[["CR", "PR"], "hospital_B"].sum() == external["n_positive"].iloc[0]
    check_shown(run, "icc", "feature_funnel", *(f"{name}_response" for name in shown))


def test_pathological_response_from_deep_features(tmp_path, monkeypatch):
    monkeypatch.setattr("imrad.survival.binary_forest.TREES", 20)
    run = stages.run_all(Run(tmp_path, Config(**small("studies/nsclc-deep-pcr"))))
    external = run.read("response/pcr/external.csv")
    assert list(dict.fromkeys(external["cohort"])) == ["holdout", "centre_B", "centre_C", "centre_D", "all external"]
    pooled = external[external["cohort"] == "all external"].set_index("model")
    centres = external[external["cohort"].str.startswith("centre")]
    assert pooled.loc["fCT", "n"] == centres[centres["model"] == "fCT"]["n"].sum()
    held = set(run.read("response/pcr/external_predictions.csv").query("cohort == 'holdout'")["patient"])
    assert held
    sets = json.loads((tmp_path / "ledger_sets.json").read_text())
    assert not held & {patient for names in sets.values() for patient in names}
    explained = run.read("response/pcr/explanations.csv")
    assert set(explained.loc[explained["kind"] == "forest", "feature"]) == {f"PC{number}" for number in range(1, 17)}
    pair = run.read("response/pcr/matched_pair.csv")
    assert list(pair["outcome"]) == [1, 0]
    # A threshold is fixed in training and serves every centre.
    assert (external.groupby("model")["threshold"].nunique() == 1).all()
    limits = external.dropna(subset=["npv"])
    assert (limits["npv_low"].le(limits["npv"]) & limits["npv"].le(limits["npv_high"])).all()
    assert external.loc[external["model"] == "fCT", "ks"].between(0, 1).all()
    assert {"sex", "stage", "smoker", "age"} <= set(run.read("response/pcr/subgroups.csv")["subgroup"])
    shown = ("response_models", "roc", "scores", "operating", "response_funnel", "contributions_forest")
    shown += ("response_subgroups", "centres", "centres_threshold", "centres_roc", "centres_decision")
    # Ranks and classes are read by their names, and nothing was chosen or cut in the clinical model.
    alone = run.read("response/pcr/univariable.csv").set_index("feature")
    assert alone.loc["stage", "summary_1"].startswith("I: ")
    assert run.read("response/pcr/multivariable.csv")["note"].isna().all()
    axes = json.loads((run.folder / "response/pcr/nomogram.json").read_text())["Clinical"]["axes"]
    marks = {name: [item["label"] for item in axes if item["predictor"] == name] for name in ("stage", "smoker=no")}
    assert marks == {"stage": ["I", "II", "III", "IV"], "smoker=no": ["no", "yes"]}
    check_shown(run, "attention", "matched_relevance_pcr", *(f"{name}_pcr" for name in shown))
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="t-matched_pair_pcr"' in page
    assert page.count("No network computed them") == 2
    # Pictures stand beside numbered patients, whose names are nowhere on the page.
    drawn = pd.read_csv(run.folder / "report_data/matched_relevance_pcr.csv")
    assert drawn["patient"].str.fullmatch(r"patient \d+").all()
    assert not any(name in page for name in pair["patient"])


def test_the_oesophageal_study_shows_its_figures_and_their_optimism(tmp_path):
    values = small("studies/escc-pfs")
    values["fuse"] |= {"n_bootstrap": 0, "horizons_days": [365, 730, 3650]}
    run = stages.run_all(Run(tmp_path, Config(**values)))
    lost = run.read("attrition.csv").set_index("step").loc["short follow-up (pfs)"]
    assert lost["n_in"] > lost["n_out"]
    effect = run.read("cohort/exclusion_effect.csv").set_index("patients")
    assert effect.loc["all", "n"] == lost["n_in"]
    assert effect.loc["all", "n_events"] == effect.loc["kept", "n_events"]
    assert {"variable", "kept", "excluded", "p"} <= set(run.read("cohort/excluded.csv"))

    icc = run.read("features/icc.csv")
    assert (icc["kept"] == (icc["icc"] >= 0.8)).all()
    signature = run.read("survival/pfs/signature.csv")
    final = signature[signature["fold"] == "all"]
    learners = final.loc[:, "elastic net":"supervised principal components"]
    assert learners.shape[1] == 6
    assert (final.loc[final["shared"] == 1, "n_learners"] == final["needed"].max()).all()
    assert set(final.loc[final["chosen"] == 1, "feature"]) <= set(final.loc[final["shared"] == 1, "feature"])
    funnel = run.read("survival/pfs/funnel.csv")
    given = funnel[(funnel["model"] == "Radscore") & (funnel["step"] == "icc")]
    assert set(given["fold"]) == {"r0/o0", "r0/o1", "r0/o2", "all"}

    verdict = json.loads((run.folder / "survival/pfs/verdict.json").read_text(encoding="utf-8"))
    assert verdict["model"] == "Clinical+Rad"
    assert verdict["status"] in ("adds", "worse", "not_shown")

    areas = run.read("survival/pfs/time_auc.csv")
    assert set(areas["horizon_days"]) == {365.0, 730.0}
    median = areas[areas["model"] == "Radscore"].groupby("part")["auc"].median()
    assert median["training"] >= median["validation"]
    horizons = run.read("survival/pfs/horizons.csv")
    assert set(horizons.loc[horizons["horizon_days"] == 3650, "status"]) == {"refused"}
    groups = run.read("survival/pfs/cut_groups.csv")
    apparent = groups[(groups["model"] == "Radscore") & (groups["source"] == "apparent")].iloc[0]
    assert apparent["log_rank_p"] < apparent["p_corrected"]
    # A Radscore is coefficients: it travels, and is explained, as any Cox regression.
    assert "Radscore" in set(run.read("survival/pfs/explanations.csv")["model"])

    shown = ("upset", "time_roc", "time_auc", "cut_curves", "cut_groups", "radscore", "km")
    check_shown(run, "icc", "exclusion_effect", "excluded", *(f"{name}_pfs" for name in shown))


def test_the_renal_study_chooses_by_recurrence_and_calibrates_its_boosting(tmp_path):
    values = small("studies/ccrcc-imrad")
    values["phenotype"] |= {
        "targets": ["TMB", "gene:PDCD1", "cell:T_cells_CD8"],
        "selectors": ["information_gain"],
        "classifiers": ["naive_bayes", "logistic_regression"],
        "null_classifiers": ["naive_bayes"],
        "permutations": 10,
        "protocol": "nested",
    }
    values["fuse"] |= {"n_bootstrap": 0}
    run = stages.run_all(Run(tmp_path, Config(**values)))
    funnel = run.read("survival/os/funnel.csv")
    assert set(funnel.loc[funnel["step"] == "mrmr", "n_out"]) == {30}
    ledger = run.read("ledger.csv")
    assert set(ledger.loc[ledger["step"] == "os/Rad/prepare:mrmr", "fold"]) >= {"r0/o0", "r0/o0/i0", "all"}
    models = run.read("survival/os/models.csv").set_index("model")
    wanted = ["Rad", "ImRad", "Clinical+Immune", "Clinical+Immune+ImRad", "Rad (GBM-Cox)"]
    assert (models.loc[wanted, "status"] == "fitted").all()
    calibration = run.read("survival/os/calibration.csv")
    boosting = calibration[calibration["model"] == "Rad (GBM-Cox)"]
    feasible = run.read("survival/os/horizons.csv").query("status == 'feasible'")["horizon_days"]
    assert set(boosting["horizon_days"]) == set(feasible)
    # Five years can be judged, and every predictor that the fullest model keeps has its curves.
    assert 1825.0 in set(boosting["horizon_days"])
    kept = run.read("survival/os/coefficients.csv").query("model == 'Clinical+Immune+ImRad' and coef != 0")
    groups = run.read("survival/os/predictor_groups.csv").query("model == 'Clinical+Immune+ImRad'")
    assert set(groups["predictor"]) == set(kept["feature"])
    assert (groups.groupby("predictor")["n"].sum() == models.loc["Clinical+Immune+ImRad", "n"]).all()
    check_shown(run, "grid_heatmap", "gbm_calibration_os", "lasso_then_cox_os", "km_os", "predictor_curves_os")


def test_mutations_changes_and_own_blocks_go_to_the_report(tmp_path):
    values = small("studies/mutation-therapy")
    values["phenotype"] |= {"selectors": ["gini_decrease"], "classifiers": ["logistic_regression"], "permutations": 0}
    values["fuse"] |= {"endpoints": ["os"], "n_bootstrap": 0}
    run = stages.run_all(Run(tmp_path, Config(**values)))
    data = read_cohort(run.folder / "cohort.h5ad")
    assert {name.split(":")[0] for name in data.var_names} == {"baseline", "delta", "delta_relative", "delta_per_day"}
    assert {name.split(":")[1] for name in data.var_names} == {"T1CE", "DCE"}
    assert "baseline:T1CE:ring:original_firstorder_Mean" in data.var_names
    grid = run.read("phenotype/grid.csv").set_index("target")
    # HER2 is asked for, ERBB2 is its symbol.
    assert set(grid.index) == {"mut:EGFR", "mut:ERBB2", "TMB"}
    models = run.read("survival/os/models.csv").set_index("model")
    own = ["ctDNA", "Laboratory", "Clinical+ctDNA", "Clinical+ImRad+ctDNA+Laboratory"]
    assert models.loc[own, "c_outer"].notna().all()
    assert "Clinical+ImRad+ctDNA+Laboratory" in (run.folder / "report.html").read_text(encoding="utf-8")
    # A site that no fit has seen is treated as the nearest of those that were, and its patients judged by the models.
    external = run.read("survival/os/external.csv")
    assert set(external["cohort"]) == {"hospital_D"}
    judged = external.set_index("model").loc[["Clinical", "Rad", "ImRad", *own]]
    assert judged["c"].between(0, 1).all()
    assert (judged["n"] == 28).all()
    risk = run.read("survival/os/external_risk.csv")
    assert not set(risk["patient"]) & set(data.obs_names)
    assert risk["risk"].notna().all()
    check_shown(
        run, "combat", "grid_heatmap", "models_forest_os", "centres_os", "centres_calibration_os", "centres_decision_os"
    )
