"""Binary metrics, tests and clusters against R: data sets, calls and tolerances in data/statistics."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import distance

from imrad.evaluation.bootstrap import (
    jackknife,
    optimism,
    percentile_interval,
    resample_indices,
    summarise_replicates,
)
from imrad.evaluation.calibration import bootstrap_calibration, calibration_indices, smooth_calibration
from imrad.evaluation.clustering import cut_tree, kmeans, linkage, medoids, silhouette
from imrad.evaluation.contingency import chi_square, fisher_exact, mcnemar
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.net_benefit import decision_curve, reclassification
from imrad.evaluation.redundancy import correlation_matrix, find_correlation
from imrad.evaluation.roc import (
    auc,
    bootstrap_auc,
    bootstrap_test,
    closest_topleft,
    coords_at,
    delong,
    delong_interval,
    delong_test,
    delong_unpaired,
    direction_by_medians,
    partial_auc,
    youden,
)
from imrad.evaluation.several_groups import (
    anova,
    bartlett,
    correlation,
    kruskal_wallis,
    pairwise_rank_sum,
    shapiro_wilk,
    welch_anova,
)
from imrad.evaluation.two_group import ks_two_sample, rank_sum, screen, student, welch

DATA = Path(__file__).parent / "data" / "statistics"


def load(method):
    return json.loads(gzip.decompress((DATA / f"{method}.json.gz").read_bytes()))


def cases(method, *names):
    part = {name: case for name, case in load(method).items() if not names or name in names}
    return pytest.mark.parametrize("case", part.values(), ids=list(part))


def numbers(values):
    """R's NA, NaN and Inf are null in the files."""
    return np.array(
        [np.nan if item is None else item for item in np.ravel(np.array(values, dtype=object))], dtype=float
    )


def close(found, expected, *, rtol=0.0, atol=0.0):
    np.testing.assert_allclose(np.ravel(np.asarray(found, dtype=float)), numbers(expected), rtol=rtol, atol=atol)


def column(case, name):
    return numbers(case["input"][name])


@pytest.fixture(scope="module")
def synth_a():
    """Made-up cohort of 120 patients: response and 300 correlated features."""
    return pd.read_csv(DATA / "synth_A.csv.gz")


@cases("roc", "aSAH_s100b_ndka", "aSAH_wfns_ndka", "synthA_features")
def test_roc(case):
    values = case["values"]
    y, one, two = (column(case, values[name]) for name in ("y", "marker1", "marker2"))
    area, covariance = delong(y, np.column_stack([one, two]))
    close(area, [values["auc1"], values["auc2"]], atol=1e-12)
    close(auc(y, np.column_stack([one, two])), [values["auc1"], values["auc2"]], atol=1e-12)
    expected = [values["delong_var1"], values["delong_cov"], values["delong_cov"], values["delong_var2"]]
    close(covariance, expected, rtol=1e-8)
    close(delong_interval(y, one)[1:], values["ci_delong1"], rtol=1e-8)
    close(delong_interval(y, two)[1:], values["ci_delong2"], rtol=1e-8)
    paired, unpaired = delong_test(y, one, two), delong_unpaired(y, one, y, two)
    close([paired.statistic, paired.p], [values["paired_delong"][k] for k in ("Z", "p")], rtol=1e-8)
    close([paired.low, paired.high], values["paired_delong"]["diff_ci"], rtol=1e-8)
    close([unpaired.statistic, unpaired.df, unpaired.p], list(values["unpaired_delong"].values()), rtol=1e-8)
    drawn = percentile_interval(bootstrap_auc(y, one, seed=1))
    allowed = 4 * np.array(values["ci_bootstrap_sd_between_seeds"]) + 0.003
    assert (np.abs(np.array(drawn) - values["ci_bootstrap_mean"]) < allowed).all()
    assert bootstrap_test(y, one, two, seed=1).statistic == pytest.approx(values["bootstrap_test"]["D"], rel=0.06)
    best = youden(y, one)
    assert len(best) == len(values["youden"])
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy", "youden", "tp", "fp", "tn", "fn"):
        close(best[name], [row[name] for row in values["youden"]], rtol=1e-10)
    finite = [row["threshold"] for row in values["youden"] if row["threshold"] is not None]
    close(best["threshold"][np.isfinite(best["threshold"])], finite, rtol=1e-12)
    close(closest_topleft(y, one)["threshold"], [row["threshold"] for row in values["closest_topleft"]], rtol=1e-12)
    close(partial_auc(y, one), [values["pauc_spec_1_0.8"], values["pauc_corrected"]], atol=1e-10)
    close(coords_at(y, one, sensitivity=0.9), values["at_sens_0.9"][0]["specificity"], atol=1e-12)


@cases("roc", "aSAH_auto_direction")
def test_roc_direction_and_two_samples(case):
    values, y = case["values"], column(case, "outcome")
    for name in ("s100b", "ndka", "age"):
        x = column(case, name)
        assert direction_by_medians(y, x) == values[name]["direction_auto"]
        close(auc(y, x), values[name]["auc"], atol=1e-8)
    minus = -column(case, "s100b")
    assert direction_by_medians(y, minus) == values["neg_s100b"]["direction_auto"]
    close(auc(y, -minus), values["neg_s100b"]["auc"], atol=1e-8)
    expected = values["unpaired_two_samples"]
    other = {name: np.array(item, dtype=float) for name, item in case["sample2"].items()}
    response, feature = other.values()
    found = delong_unpaired(y, column(case, "s100b"), response, -feature)
    close([found.statistic, found.df, found.p], [expected[k] for k in ("D", "df", "p")], rtol=1e-8)
    close(found.auc, expected["auc"], atol=1e-8)


@cases("bootstrap_ci")
def test_bootstrap_intervals(case):
    values = case["values"]
    y, x = column(case, "response"), column(case, "marker")
    assert float(auc(y, x)) == pytest.approx(values["t0"], rel=1e-12)
    drawn = np.array([auc(y[rows], x[rows]) for rows in np.array(case["indices"])])
    close(drawn, values["stats"], atol=1e-10)
    left = jackknife(lambda rows: float(auc(y[rows], x[rows])), len(y))
    found = summarise_replicates(float(auc(y, x)), drawn, leave_one_out=left)
    close([found["mean"], found["se"]], [values["mean"], values["se"]], atol=1e-10)
    names = {"percentile": "percentile_type7", "normal": "normal", "basic": "basic_type7", "bca": "bca_type7"}
    for ours, theirs in names.items():
        close([found[f"{ours}_low"], found[f"{ours}_high"]], values[theirs], atol=1e-10)
    close(percentile_interval(drawn, method="weibull"), values["percentile_type6"], atol=1e-10)


@cases("dca")
def test_decision_curve(case):
    values = case["values"]
    y = column(case, values["outcome"] if values["outcome"] in case["input"] else "response")
    found = decision_curve(y, column(case, "p"), values["thresholds"])
    close(found["net_benefit"], values["net_benefit_model"], atol=1e-10)
    close(found["net_benefit_all"], values["net_benefit_all"], atol=1e-10)
    close(found["tp_rate"], values["dcurves_tp_rate"], atol=1e-10)
    close(found["fp_rate"], values["dcurves_fp_rate"], atol=1e-10)
    close(found["interventions_avoided"], values["net_interventions_avoided_per_patient"], atol=1e-10)


@cases("nri_idi")
def test_reclassification(case):
    values = case["values"]
    found = reclassification(column(case, "y"), column(case, "p1"), column(case, "p2"))
    for row, name in (("nri", "nri"), ("nri_events", "nri.ev"), ("nri_nonevents", "nri.ne"), ("idi", "idi")):
        expected = [values[name], values[f"se.{name}"], values[f"z.{name}"]]
        close(found.loc[row, ["estimate", "se", "z"]], expected, rtol=1e-8)
    close(
        found.loc[["sensitivity_gain", "specificity_gain"], "estimate"],
        [values["improveSens"], values["improveSpec"]],
        rtol=1e-8,
    )


@cases("logistic")
def test_logistic(case):
    values = case["values"]
    outcome, right = values["formula"].split("~")
    terms = [term.strip() for term in right.split("+")]
    x = np.column_stack([column(case, term) for term in terms])
    y = column(case, outcome.strip())
    fit = fit_logistic(y, x, names=terms)
    found = fit.table()
    close(found["coef"], values["coef"], rtol=1e-6)
    # R's glm stopped at 1e-8: its standard errors, and what follows from them, hold to 2e-4 and 1e-3.
    close(found["se"], values["se"], rtol=2e-4)
    close(found["p"], values["p"], rtol=1e-3)
    close(found[["low", "high"]], values["OR_wald_ci"], rtol=1e-3)
    close(fit.table(profile=True)[["low", "high"]], values["OR_profile_ci"], rtol=1e-3)
    indices = fit.indices()
    expected = list(values["rms_stats"].values())
    r2 = [value for name, value in values["rms_stats"].items() if name.startswith("R2")]
    names = ("r2", "r2_n", "r2_n_adjusted", "r2_effective", "r2_effective_adjusted")
    close([indices[name] for name in names], r2, rtol=1e-5)
    close([indices["lr_chi2"], indices["p"]], [expected[2], expected[4]], rtol=1e-6)
    for ours, theirs in (("brier", "Brier"), ("g", "g"), ("gr", "gr"), ("gp", "gp")):
        assert indices[ours] == pytest.approx(values["rms_stats"][theirs], rel=1e-5)
    # lrm bins the predictions before it ranks them; validate() does not.
    assert indices["dxy"] == pytest.approx(values["validate_mean"][0][0], rel=1e-8)
    for ours, theirs in (("c", "C"), ("dxy", "Dxy"), ("gamma", "Gamma"), ("tau_a", "Tau-a")):
        assert indices[ours] == pytest.approx(values["rms_stats"][theirs], abs=4e-3), theirs
    close(
        [indices["deviance"], indices["null_deviance"], indices["aic"]],
        [values[k] for k in ("deviance", "null_deviance", "AIC")],
        rtol=1e-8,
    )
    found = calibration_indices(y, fit.predict(x))
    pairs = {
        "R2": "r2", "D": "d", "D:Chi-sq": "d_chi2", "U": "u", "Q": "q", "Brier": "brier", "S:z": "s_z", "S:p": "s_p",
        "Intercept": "intercept", "Slope": "slope",
    }  # fmt: skip
    for theirs, ours in pairs.items():
        assert found[ours] == pytest.approx(values["val_prob"][theirs], rel=1e-5, abs=2e-8)
    for theirs, ours in (("Emax", "emax"), ("E90", "e90"), ("Eavg", "eavg"), ("C (ROC)", "c")):
        assert found[ours] == pytest.approx(values["val_prob"][theirs], abs=1e-3)


@cases("logistic")
def test_logistic_validation_and_calibration(case):
    """rms::validate (means over five seeds of 1,000 resamples) and rms::calibrate (one seed of 200)."""
    values, n_resamples = case["values"], 300
    outcome, right = values["formula"].split("~")
    x = np.column_stack([column(case, term.strip()) for term in right.split("+")])
    y, grid = column(case, outcome.strip()), np.array(values["calibrate_predy"])
    rows = resample_indices(len(y), n_resamples, seed=1)

    def fit(drawn):
        return fit_logistic(y[drawn], x[drawn])

    def score(model, drawn):
        found = calibration_indices(y[drawn], model.predict(x[drawn]))
        return {name: found[name] for name in ("dxy", "intercept", "slope", "u", "brier")}

    found = optimism(fit, score, len(y), rows)
    names = {"Dxy": "dxy", "Intercept": "intercept", "Slope": "slope", "U": "u", "B": "brier"}
    table = zip(values["validate_rows"], values["validate_mean"], values["validate_sd_between_seeds"], strict=True)
    for name, means, spread in table:
        if name in names:
            row = found.loc[names[name], ["test", "corrected"]].to_numpy(dtype=float)
            allowed = 4 * np.sqrt(1000 / n_resamples) * np.array(spread)[[2, 4]] + 0.001
            assert (np.abs(row - np.array(means)[[2, 4]]) < allowed).all(), name

    def curve(drawn, p):
        return smooth_calibration(y[drawn], p, grid)[1] - grid

    apparent = grid + curve(np.arange(len(y)), fit(np.arange(len(y))).predict(x))
    close(apparent, values["calibrate_orig"], atol=1e-3)
    corrected = bootstrap_calibration(fit, lambda model, drawn: model.predict(x[drawn]), curve, len(y), rows)
    np.testing.assert_allclose(grid + corrected["corrected"], values["calibrate_corrected_B200_seed5"], atol=0.02)


@cases("two_sample")
def test_two_samples(case):
    values = case["values"]
    label = np.array(case["input"]["group"])
    x, y = column(case, "value")[label == "x"], column(case, "value")[label == "y"]
    ties = len(np.unique(np.concatenate([x, y]))) < len(x) + len(y)
    for name, options in (
        ("exact", {"exact": not ties}),
        ("normal_corr", {"exact": False}),
        ("normal_nocorr", {"exact": False, "correct": False}),
    ):
        found, expected = rank_sum(x, y, interval=True, **options), values[name]
        close([found.w, found.p], [expected["W"], expected["p"]], rtol=1e-8)
        close([found.shift, found.low, found.high], [expected["hodges_lehmann"], *expected["ci"]], atol=1e-4)
    assert rank_sum(x, y).p == pytest.approx(values["default"]["p"], rel=1e-8)
    if ties:
        # Exact given the ties, from the full permutation distribution (the case's notes).
        assert rank_sum(x, y, exact=True).p == pytest.approx(4.20635693898505e-10, rel=1e-8)
    found = welch(x, y)
    expected = values["welch"]
    close(
        [found[k] for k in ("t", "df", "p", "low", "high")],
        [expected["t"], expected["df"], expected["p"], *expected["ci"]],
        rtol=1e-8,
    )
    found = student(x, y)
    close([found["t"], found["p"]], [values["student"]["t"], values["student"]["p"]], rtol=1e-8)
    found = shapiro_wilk(x)
    close([found["w"], found["p"]], [values["shapiro_x"]["W"], values["shapiro_x"]["p"]], rtol=1e-8)
    assert bartlett(column(case, "value"), label)["p"] == pytest.approx(values["bartlett_p"], rel=1e-8)
    close(ks_two_sample(x, y), [values["ks"]["D"], values["ks"]["p"]], rtol=1e-6)


@cases("k_sample")
def test_several_groups_and_correlation(case):
    values = case["values"]
    x, group = column(case, "value"), column(case, "group")
    close(list(kruskal_wallis(x, group).values()), list(values["kruskal"].values()), rtol=1e-8)
    found = anova(x, group)
    close([found["f"], found["p"]], list(values["anova"].values()), rtol=1e-8)
    found = welch_anova(x, group)
    close(
        [found["f"], found["df_2"], found["p"]],
        [values["welch_anova"]["F"], values["welch_anova"]["df"][1], values["welch_anova"]["p"]],
        rtol=1e-8,
    )
    table = pairwise_rank_sum(x, group, exact=False)
    expected = values["pairwise_wilcox_holm"]["data"]
    close(table["p_adjusted"], [expected[0][0], expected[1][0], expected[1][1]], rtol=1e-8)
    for method, name in (("spearman", "rho"), ("kendall", "tau"), ("pearson", "r")):
        found = correlation(x, group, method=method)
        close([found["r"], found["p"]], [values[method][name], values[method]["p"]], rtol=1e-8)
    close([found["low"], found["high"]], values["pearson"]["ci"], rtol=1e-8)


def test_gamma_and_tau_by_counting_pairs():
    # Of the nine pairs of a patient with and one without the outcome, four are concordant, three discordant.
    found = fit_logistic(np.array([0, 0, 0, 1, 1, 1]), np.array([1.0, 2, 3, 2, 4, 1])).indices()
    assert found["gamma"] == pytest.approx(1 / 7)
    assert found["tau_a"] == pytest.approx(1 / 15)


# R 4.2.2, set.seed(1); x <- rnorm(n); y <- rnorm(n) + .5 * x; cor.test(x, y, method = "spearman" | "kendall")
SPEARMAN = {
    (1, 2, 3, 4, 5, 6): ((2, 1, 4, 3, 6, 5), 0.828571428571429, 0.0583333333333333),
}


@pytest.mark.parametrize(("x", "y", "rho", "p"), [(list(x), list(y), rho, p) for x, (y, rho, p) in SPEARMAN.items()])
def test_spearman_exact(x, y, rho, p):
    found = correlation(x, y)
    close([found["r"], found["p"]], [rho, p], rtol=1e-10)


@cases("contingency")
def test_contingency(case):
    values = case["values"]
    table = values["table"]
    plain = chi_square(table, correct=False)
    close(
        [plain["chi2"], plain["df"], plain["p"]], [values["chisq_nocorrect"][k] for k in ("X2", "df", "p")], rtol=1e-7
    )
    found = chi_square(table)
    close([found["chi2"], found["p"]], [values["chisq_default"][k] for k in ("X2", "p")], rtol=1e-7)
    exact, expected = fisher_exact(table), values["fisher"]
    assert exact.p == pytest.approx(expected["p"], rel=1e-7)
    assert exact.method == "exact"
    if "conditional_OR" in expected:
        close([exact.odds_ratio, exact.low, exact.high], [expected["conditional_OR"], *expected["ci"]], rtol=1e-4)
        close([exact.p_less, exact.p_greater], [expected["p_less"], expected["p_greater"]], rtol=1e-7)
    if "mcnemar_default" in values:
        for correct, name in ((True, "mcnemar_default"), (False, "mcnemar_nocorrect")):
            found = mcnemar(table, correct=correct)
            close([found["chi2"], found["p"]], [values[name][k] for k in ("X2", "p")], rtol=1e-7)


@cases("p_adjust")
def test_adjust(case):
    p = numbers(list(case["input"].values())[-1])
    for method, expected in case["values"].items():
        close(adjust(p, method), expected, atol=1e-12)


@cases("u_test_screening")
def test_screening(case, synth_a):
    table = case["table"]
    found = screen(synth_a["response"], synth_a[table["feature"]], table["feature"])
    for ours, theirs in (
        ("W", "W"),
        ("p", "p_corr"),
        ("p_uncorrected", "p_nocorr"),
        ("p_welch", "p_welch"),
        ("auc", "auc"),
        ("q", "p_BH"),
    ):
        close(found[ours], table[theirs], rtol=1e-8)


@cases("find_correlation")
def test_find_correlation(case, synth_a):
    features = synth_a.iloc[:, 1:151]
    for cutoff, sets in case["values"].items():
        for name, expected in sets.items():
            method, how = name.split("_")
            matrix = correlation_matrix(features, method=method)
            found = find_correlation(matrix, float(cutoff), exact=how == "exact", names=list(features))
            assert set(found) == set(expected)


@cases("hclust")
def test_clusters(case):
    values = case["values"]
    x = np.column_stack([numbers(part) for part in case["input"].values()])
    plain = distance.pdist(x)
    for name, expected in values.items():
        if not isinstance(expected, dict) or "height" not in expected:
            continue
        by_correlation = name == "average_1_minus_cor"
        tree = linkage(
            distance.pdist(x, "correlation") if by_correlation else plain, "average" if by_correlation else name
        )
        close(np.sort(tree[:, 2]), np.sort(expected["height"]), rtol=1e-8)
        for key, labels in expected.items():
            if key.startswith("cut"):
                assert cut_tree(tree, int(key[3:])).tolist() == labels
    labels = cut_tree(linkage(plain, "ward.D2"), 3)
    assert silhouette(plain, labels).mean() == pytest.approx(values["silhouette_ward.D2_k3"], rel=1e-8)
    found, _, objective = medoids(plain, 3)
    assert sorted(found + 1) == sorted(values["pam3"]["medoids"])
    assert objective == pytest.approx(values["pam3"]["objective"][1], rel=1e-10)
    # Loosely, as the case says: one of the two data sets has many optima.
    means, labels, within = kmeans(x, 3, n_starts=100)
    assert within == pytest.approx(values["kmeans3"]["tot_withinss"], rel=0.01)
    assert within == pytest.approx(sum(((x[labels == k + 1] - means[k]) ** 2).sum() for k in range(3)), rel=1e-12)
    if len(x) == 50:
        assert sorted(np.bincount(labels)[1:]) == sorted(values["kmeans3"]["sizes"])
