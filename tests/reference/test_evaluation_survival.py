"""Survival metrics against R: every case carries its data set, call and tolerance in data/statistics."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from imrad.evaluation.bootstrap import optimism, resample_indices
from imrad.evaluation.calibration import (
    bootstrap_calibration,
    brier_interval,
    brier_survival,
    calibration_cuts,
    calibration_groups,
    integrated_brier,
)
from imrad.evaluation.discrimination import compare_concordance, concordance, harrell_c, uno_c
from imrad.evaluation.kaplan_meier import follow_up, kaplan_meier, log_rank, pairwise_log_rank
from imrad.evaluation.net_benefit import decision_curve_survival
from imrad.evaluation.paired_concordance import compare_concordance_unbiased
from imrad.evaluation.time_dependent import (
    compare_time_dependent_auc,
    survival_roc_auc,
    time_dependent_auc,
    time_dependent_roc,
)
from imrad.survival.censoring import cox_censoring
from imrad.survival.cox_inference import survival_interval
from imrad.survival.coxph import CoxPH
from imrad.survival.cutpoints import maximally_selected
from imrad.survival.validation import validation_indices

DATA = Path(__file__).parent / "data" / "statistics"


def load(method):
    return json.loads(gzip.decompress((DATA / f"{method}.json.gz").read_bytes()))


def cases(method):
    return pytest.mark.parametrize("case", load(method).values(), ids=list(load(method)))


def numbers(values):
    """R's NA, NaN and Inf are null in the files."""
    return np.array(
        [np.nan if item is None else item for item in np.ravel(np.array(values, dtype=object))], dtype=float
    )


def close(found, expected, *, rtol=0.0, atol=0.0):
    np.testing.assert_allclose(np.ravel(np.asarray(found, dtype=float)), numbers(expected), rtol=rtol, atol=atol)


def outcome(case):
    time, status = (np.array(case["input"][name], dtype=float) for name in ("time", "status"))
    return time, status == status.max()


def column(case, name):
    return np.array(case["input"][name], dtype=float)


@cases("concordance")
@pytest.mark.parametrize("limit", [1500, 0], ids=["pairs", "sorted"])
def test_concordance(case, limit, monkeypatch):
    monkeypatch.setattr("imrad.evaluation.comparable_pairs.PAIR_MATRIX_LIMIT", limit)
    time, event = outcome(case)
    values, risk = case["values"], column(case, "lp1")
    kinds = {
        "harrell": {},
        "harrell_ymax_tau": {"tau": values["tau"]},
        "uno_timewt_nG2": {"time_weight": "n/G2"},
        "uno_timewt_nG2_ymax_tau": {"time_weight": "n/G2", "tau": values["tau"]},
    }
    for name, options in kinds.items():
        found, expected = concordance(time, event, risk, **options), values[name]
        close(found.c, expected["C"], rtol=1e-10)
        close(found.variance, expected["var"], rtol=1e-8)
        close([found.low, found.high], expected["ci_wald"], rtol=1e-8)
        counts = [found.concordant, found.discordant, found.tied_risk, found.tied_time, found.tied_both]
        close(counts, list(expected["counts"].values()), rtol=1e-10)
    assert harrell_c(time, event, risk) == pytest.approx(values["Hmisc_rcorr_cens"]["C Index"], rel=1e-12)
    close(uno_c(time, event, risk, tau=values["tau"]), values["uno_timewt_nG2_ymax_tau"]["C"], rtol=1e-10)
    close(uno_c(time, event, risk, tau=values["tau"], definition="survC1"), values["survC1_uno"]["C"], rtol=1e-5)
    ordered = values["Hmisc_rcorr_cens"]
    assert 2 * harrell_c(time, event, risk) - 1 == pytest.approx(ordered["Dxy"], rel=1e-10)
    pairs = concordance(time, event, risk)
    comparable = pairs.concordant + pairs.discordant + pairs.tied_risk
    assert ordered["Relevant Pairs"] == 2 * comparable
    assert ordered["Concordant"] == 2 * pairs.concordant + pairs.tied_risk
    # survC1 perturbs at random; its interval file holds the lower limit only.
    uno, theirs = concordance(time, event, risk, time_weight="n/G2", tau=values["tau"]), values["survC1_uno"]
    assert uno.se == pytest.approx(theirs["Inf_se"], rel=0.15)
    own = uno_c(time, event, risk, tau=values["tau"], definition="survC1")
    assert own - 1.96 * uno.se == pytest.approx(theirs["Inf_ci"], abs=1.96 * 0.15 * theirs["Inf_se"])
    both = values["Hmisc_rcorrp"]
    close(
        [harrell_c(time, event, column(case, name)) for name in ("lp1", "lp2")], [both["C X1"], both["C X2"]], rtol=1e-8
    )
    paired = compare_concordance(time, event, risk, column(case, "lp2"))
    expected = values["paired"]
    close(paired.c, expected["C"], rtol=1e-10)
    close(paired.covariance, expected["vcov"], rtol=1e-8)
    close(
        [paired.difference, paired.se, paired.z, paired.p], [expected[k] for k in ("diff", "se", "z", "p")], rtol=1e-8
    )


@cases("concordance")
def test_unbiased_comparison_of_two_concordances(case):
    """compareC prints shares of discordant pairs, 1 - C."""
    time, event = outcome(case)
    expected = case["values"]["compareC"]
    found = compare_concordance_unbiased(time, event, column(case, "lp1"), column(case, "lp2"))
    close(found.c, [1 - c for c in expected["est.c"].values()], rtol=1e-10)
    assert found.difference == pytest.approx(-expected["est.diff_c"], rel=1e-10)
    parts = [expected[f"est.{name}"] for name in ("varCxy", "cov", "cov", "varCxz")]
    close(found.covariance, parts, rtol=1e-8)
    close(
        [found.se**2, found.z, found.p], [expected["est.vardiff_c"], -expected["zscore"], expected["pval"]], rtol=1e-8
    )


@cases("km_logrank")
def test_kaplan_meier_and_log_rank(case):
    time, event = outcome(case)
    values = case["values"]
    group = np.array(case["input"][values["group"]])
    names = np.unique(group)
    for rho, name in ((0.0, "logrank"), (1.0, "peto_peto_rho1")):
        found, expected = log_rank(time, event, group, rho=rho), values[name]
        close(found.observed, expected["obs"], rtol=1e-8)
        close(found.expected, expected["exp"], rtol=1e-8)
        close(found.variance, expected["var"], rtol=1e-8, atol=1e-10)
        close([found.chi2, found.df, found.p], [expected["chisq"], expected["df"], expected["p"]], rtol=1e-8)
    curves = [kaplan_meier(time[group == name], event[group == name]) for name in names]
    table = case["tables"]["expected_surv_at_times"]
    for kind, label in (("log", "log"), ("log-log", "loglog"), ("plain", "plain")):
        quantiles = np.array([[curve.quantile(p, kind=kind) for p in (0.25, 0.5, 0.75)] for curve in curves])
        for number, part in enumerate(("quantile", "lower", "upper")):
            close(quantiles[:, :, number], values[f"quantiles_{label}"][part], rtol=1e-12)
        for name, curve in zip(names, curves, strict=True):
            rows = [k for k, strata in enumerate(table["strata"]) if strata == f".g={name}"]
            found = curve.at([table["time"][k] for k in rows], kind=kind)
            for ours, theirs in zip(
                ("n_risk", "survival", "se", "low", "high"),
                ("n_risk", "surv", "se", f"lower_{label}", f"upper_{label}"),
                strict=True,
            ):
                close(found[ours], [table[theirs][k] for k in rows], rtol=1e-8)
    means = [curve.restricted_mean(values["rmst_tau"]) for curve in curves]
    close([mean for mean, _ in means], values["rmst"], rtol=1e-8)
    close([se for _, se in means], values["rmst_se"], rtol=1e-8)
    close(follow_up(time, event), list(values["reverse_km_median_followup"].values()), rtol=1e-12)
    if "pairwise_BH" in values:
        found = pairwise_log_rank(time, event, group).set_index(["group_1", "group_2"])
        for name, part in (("p", "pairwise_none"), ("p_adjusted", "pairwise_BH")):
            block = values[part]
            for row, line in zip(block["rows"], block["data"], strict=True):
                for other, p in zip(block["cols"], line, strict=True):
                    if p is not None:
                        key = tuple(type(names[0].item())(label) for label in (other, row))
                        assert found.loc[key, name] == pytest.approx(p, rel=1e-8)


def _cox(case):
    time, event = outcome(case)
    terms = [term.strip() for term in case["values"]["formula"].split("~")[1].split("+")]
    return time, event, np.column_stack([column(case, term) for term in terms])


@cases("optimism")
def test_optimism_on_given_resamples(case):
    time, event, x = _cox(case)

    def fit(rows):
        return CoxPH().fit(x[rows], (time[rows], event[rows])).coef_

    def score(coef, rows):
        risk = x[rows] @ coef
        slope = CoxPH().fit(risk[:, None], (time[rows], event[rows])).coef_[0]
        return {"c": harrell_c(time[rows], event[rows], risk), "slope": float(slope)}

    indices = [np.array(rows) for rows in case["indices"]]
    found = optimism(fit, score, len(time), indices)
    expected = case["values"]["given_indices"]
    close(
        found.loc["c", ["apparent", "optimism", "corrected"]],
        [expected[k] for k in ("apparent_C", "mean_optimism", "corrected_C")],
        rtol=1e-6,
    )
    assert found.loc["slope", "corrected"] == pytest.approx(expected["mean_slope"], rel=1e-6)
    per = case["per_resample"]
    for rows, train, test in zip(indices[:5], per["C_train"], per["C_test"], strict=False):
        coef = fit(rows)
        everyone = np.arange(len(time))
        assert score(coef, rows)["c"] == pytest.approx(train, rel=1e-6)
        assert score(coef, everyone)["c"] == pytest.approx(test, rel=1e-6)


@cases("optimism")
def test_optimism_of_the_free_bootstrap(case):
    """rms::validate's table: means over five seeds of 1,000 resamples; here one seed of fewer."""
    time, event, x = _cox(case)
    values, n_resamples = case["values"], 500

    def fit(rows):
        return CoxPH().fit(x[rows], (time[rows], event[rows])).coef_

    def score(coef, rows):
        return validation_indices(time[rows], event[rows], x[rows] @ coef)

    found = optimism(fit, score, len(time), resample_indices(len(time), n_resamples, seed=1))
    columns = ["apparent", "training", "test", "optimism", "corrected"]
    for name, means, spread in zip(
        values["rms_rows"], values["rms_mean_over_seeds"], values["rms_sd_over_seeds"], strict=True
    ):
        row = found.loc[name.lower(), columns].to_numpy(dtype=float)
        # rms::cph stops a little early, which shows in the apparent values.
        assert row[0] == pytest.approx(means[0], rel=5e-4, abs=1e-7)
        allowed = 4 * np.sqrt(1000 / n_resamples) * np.array(spread) + 0.001
        # rms leaves the 2 of U's definition out in the test sample, and so in what follows from it.
        compared = slice(1, 2) if name in ("U", "Q") else slice(1, 5)
        assert (np.abs(row - means)[compared] < allowed[compared]).all(), name


@cases("calibration")
def test_calibration_and_brier(case):
    time, event = outcome(case)
    values, predicted = case["values"], column(case, "pred_surv")
    groups = calibration_groups(time, event, predicted, values["t"], n_groups=values["groups"])
    close(groups[["predicted", "n", "events", "observed", "se_log"]], values["groupkm"], rtol=1e-6)
    everyone = kaplan_meier(time, event)
    null, model = values["brier"]
    flat = np.full(len(time), everyone.at(values["t"])["survival"].iloc[0])
    for prediction, expected in ((flat, null), (predicted, model)):
        assert brier_survival(time, event, prediction, [values["t"]])[0] == pytest.approx(expected["Brier"], rel=1e-6)
    for prediction, expected in ((flat, null), (predicted, model)):
        found = brier_interval(time, event, prediction, values["t"])
        close(list(found.values()), [expected[k] for k in ("Brier", "se", "lower", "upper")], rtol=1e-6)
    found = time_dependent_auc(time, event, -predicted, [values["t"]], definition="riskRegression").table()
    close(
        found[["auc", "se", "low", "high"]], [values["auc"][0][k] for k in ("AUC", "se", "lower", "upper")], rtol=1e-6
    )
    moments = np.concatenate(([0.0], values["pec_times"]))[-len(values["pec_reference"]) :]
    flat = np.tile(everyone.at(moments)["survival"].to_numpy(), (len(time), 1))
    curve = brier_survival(time, event, flat, moments)
    close(curve, values["pec_reference"], atol=1e-9)
    # pec predicts by survfit, whose hazard shares tied events out as Efron's likelihood does.
    _, _, x = _cox(case)
    cox = brier_survival(
        time, event, survival_interval(CoxPH().fit(x, (time, event)), x, (time, event), x, moments)[0], moments
    )
    close(cox, values["pec_cox"], rtol=1e-6, atol=1e-12)
    found = [integrated_brier(item, moments) for item in (curve, cox)]
    assert values["ibs_rows"] == ["Reference", "cox"]
    close(found, values["ibs_at_max"], rtol=1e-6)


def test_bootstrap_corrected_calibration_in_groups():
    case = load("calibration")["lung"]
    values = case["values"]
    time, event, x = _cox(case)
    t, cuts = values["t"], calibration_cuts(column(case, "pred_surv"), values["groups"])

    def predict(model, rows):
        return model.predict_survival(x[rows], [t])[:, 0]

    def curve(rows, predicted):
        table = calibration_groups(time[rows], event[rows], predicted, t, cuts=cuts).set_index("group")
        return (table["observed"] - table["predicted"]).reindex(range(len(cuts) + 1)).to_numpy()

    everyone = np.arange(len(time))
    reference = np.array(values["calibrate_KM"], dtype=float)
    expected = {name: reference[:, k] for k, name in enumerate(values["calibrate_KM_cols"])}
    close(curve(everyone, column(case, "pred_surv")), expected["index.orig"], rtol=1e-6)
    resamples = resample_indices(len(time), 150, seed=1)
    found = bootstrap_calibration(
        lambda rows: CoxPH().fit(x[rows], (time[rows], event[rows])), predict, curve, len(time), resamples
    )
    close(found["optimism"], expected["mean.optimism"], atol=0.02)
    close(found["corrected"], expected["mean.corrected"], atol=0.02)


@cases("timeroc")
def test_time_dependent_auc(case):
    time, event = outcome(case)
    values = case["values"]
    times = values["times"]
    first, second = (time_dependent_auc(time, event, column(case, name), times) for name in ("marker", "marker2"))
    close(first.auc, values["AUC"], rtol=1e-8)
    close(first.se, values["se"], rtol=1e-5)
    close(100 * np.column_stack([first.low, first.high]), values["ci95_percent"], atol=0.00501)
    close(second.auc, values["AUC_marker2"], rtol=1e-8)
    close(second.se, values["se_marker2"], rtol=1e-5)
    for found, name in ((first.cases, "cases"), (first.controls, "survivors"), (first.censored, "censored")):
        close(found, values[name])
    close(compare_time_dependent_auc(first, second)["p"], list(values["compare_p"].values()), rtol=1e-5)
    score = [row for row in values["riskRegression_Score_AUC"] if row["model"] == "m1"]
    found = time_dependent_auc(time, event, column(case, "marker"), times, definition="riskRegression")
    close(found.auc, [row["AUC"] for row in score], rtol=1e-8)
    close(found.se, [row["se"] for row in score], rtol=1e-5)
    other = time_dependent_auc(time, event, column(case, "marker2"), times, definition="riskRegression")
    score = [row for row in values["riskRegression_Score_AUC"] if row["model"] == "m2"]
    close(other.table()[["auc", "se"]], [[row["AUC"], row["se"]] for row in score], rtol=1e-5)
    contrasts = compare_time_dependent_auc(other, found)
    for ours, theirs in (("difference", "delta.AUC"), ("se", "se"), ("low", "lower"), ("high", "upper"), ("p", "p")):
        expected = [row[theirs] for row in values["riskRegression_Score_contrasts"]]
        close(contrasts[ours], expected, rtol=1e-8 if theirs == "delta.AUC" else 1e-5)
    markers = np.column_stack([column(case, "marker"), column(case, "marker2")])
    weights = cox_censoring(time, event, markers, times)
    found = time_dependent_auc(time, event, column(case, "marker"), times, censoring=weights)
    close(found.auc, values["AUC_weighting_cox"], rtol=1e-8)
    for row in values["survivalROC"]:
        for method in ("KM", "NNE"):
            value = survival_roc_auc(time, event, column(case, "marker"), row["t"], method=method)
            assert value == pytest.approx(row[method], rel=1e-6)
    curves = case["tables"]["expected_roc"]
    for t, best in zip(times, values["youden"], strict=True):
        rows = [k for k, value in enumerate(curves["time"]) if value == t]
        found = time_dependent_roc(time, event, column(case, "marker"), t)
        close(found["tp"], [curves["TP"][k] for k in rows], atol=1e-8)
        close(found["fp"], [curves["FP"][k] for k in rows], atol=1e-8)
        assert (found["tp"] - found["fp"]).max() == pytest.approx(best["J"], rel=1e-8)


@cases("maxstat")
def test_maximally_selected(case):
    time, event = outcome(case)
    values = case["values"]
    x = column(case, values["variable"])
    shares = {"min_share": values["minprop"], "max_share": values["maxprop"]}
    found = maximally_selected(time, event, x, **shares, permutations=20_000, seed=1)
    assert found.statistic == pytest.approx(values["statistic"], rel=1e-8)
    assert found.cutpoint == values["cutpoint"]
    assert found.p_lau92 == pytest.approx(values["Lau92"], rel=1e-6)
    assert found.p_lau94 == pytest.approx(values["Lau94"], rel=1e-6)
    assert found.p_gauss == pytest.approx(values["exactGauss"], abs=2e-3)
    assert found.p_permutation == pytest.approx(values["condMC_B20000_seed1"], abs=0.01)
    assert found.p_naive == pytest.approx(values["naive_logrank_p"], rel=1e-8)
    assert found.p > found.p_naive
    cut = values["surv_cutpoint"]
    assert [found.cutpoint, found.statistic, found.n_high] == pytest.approx(
        [cut["cutpoint"], cut["statistic"], cut["n_high"]], rel=1e-8
    )
    naive = log_rank(time, event, x > found.cutpoint)
    assert naive.chi2 == pytest.approx(values["naive_logrank_chisq"], rel=1e-8)
    ratio = CoxPH().fit((x > found.cutpoint).astype(float)[:, None], (time, event)).table()["hr"].iloc[0]
    assert ratio == pytest.approx(values["naive_HR"], rel=1e-6)
    scan = case["tables"]["expected_scan"]
    close(found.scan["cutpoint"], scan["cut"])
    close(found.scan["statistic"], np.abs(scan["stat"]), atol=1e-8)


@cases("dca_survival")
def test_decision_curve_with_censoring(case):
    time, event = outcome(case)
    values, p = case["values"], column(case, "p")
    found = decision_curve_survival(time, event, p, values["time"], values["thresholds"])
    close(found["net_benefit"], values["manual_KM"], atol=1e-8)
    close(found["net_benefit_all"], values["manual_all"], atol=1e-8)
    found = decision_curve_survival(time, event, p, values["time"], values["thresholds"], beyond="missing")
    close(found["net_benefit"], values["dcurves_model"], atol=1e-8)
