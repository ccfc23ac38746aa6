"""Every key of every reference case of the statistics, those of other data included, from imrad's functions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import distance

from imrad.evaluation.agreement import cohen_kappa, fleiss_kappa, icc, light_kappa
from imrad.evaluation.bootstrap import jackknife, percentile_interval, summarise_replicates
from imrad.evaluation.calibration import calibration_indices, smooth_calibration
from imrad.evaluation.clustering import cut_tree, linkage, medoids, silhouette
from imrad.evaluation.contingency import chi_square, fisher_exact, mcnemar
from imrad.evaluation.kaplan_meier import kaplan_meier
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.net_benefit import decision_curve, decision_curve_survival, reclassification
from imrad.evaluation.roc import (
    auc,
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
from imrad.evaluation.two_group import ks_two_sample, rank_sum, student, welch
from imrad.immune import quantile_normalise
from imrad.immune.quantile import quantile_target

DATA = Path(__file__).parent / "data"


def load(path):
    file = DATA / f"{path}.json.gz"
    return json.loads(gzip.decompress(file.read_bytes())) if file.exists() else {}


def cases(*paths, only=None):
    """Parametrise over the cases of the visible files and of data/statistics/other_keys."""
    method = paths[0].split("/")[-1]
    found = {name: case for path in paths for name, case in load(path).items() if only is None or only(name)}
    found |= {f"other:{name}": case for name, case in load("statistics/other_keys").get(method, {}).items()}
    return pytest.mark.parametrize("case", found.values(), ids=list(found))


def column(case, name):
    return np.array([np.nan if item is None else item for item in case["input"][name]], dtype=float)


@cases("statistics/bootstrap_ci")
def test_bootstrap_ci(case, agree):
    y, x = column(case, "response"), column(case, "marker")
    drawn = np.array([auc(y[rows], x[rows]) for rows in np.array(case["indices"])])
    left = jackknife(lambda rows: float(auc(y[rows], x[rows])), len(y))
    it = summarise_replicates(float(auc(y, x)), drawn, leave_one_out=left)
    found = {"t0": auc(y, x), "mean": it["mean"], "se": it["se"], "z0": it["z0"], "a": it["acceleration"]}
    found |= {
        "percentile_type7": [it["percentile_low"], it["percentile_high"]],
        "percentile_type6": percentile_interval(drawn, method="weibull"),
        "normal": [it["normal_low"], it["normal_high"]],
        "basic_type7": [it["basic_low"], it["basic_high"]],
        "bca_type7": [it["bca_low"], it["bca_high"]],
        "bca_levels": [it["bca_low_level"], it["bca_high_level"]],
        "stats": drawn,
    }
    agree(found, case["values"], rtol=0, atol=1e-10)


@cases("statistics/dca")
def test_decision_curve(case, agree):
    values = case["values"]
    y = column(case, values["outcome"] if values["outcome"] in case["input"] else "response")
    curve = decision_curve(y, column(case, "p"), values["thresholds"])
    found = {
        "net_benefit_model": curve["net_benefit"],
        "net_benefit_all": curve["net_benefit_all"],
        "net_benefit_none": curve["net_benefit_none"].iloc[0],
        "dcurves_model": curve["net_benefit"],
        "dcurves_all": curve["net_benefit_all"],
        "thresholds": curve["threshold"],
        "dcurves_threshold": curve["threshold"],
        "dcurves_tp_rate": curve["tp_rate"],
        "dcurves_fp_rate": curve["fp_rate"],
        "net_interventions_avoided_per_patient": curve["interventions_avoided"],
    }
    agree(found, values, rtol=0, atol=1e-10, left_out={"outcome", "formula"})


@cases("statistics/dca_survival")
def test_decision_curve_with_censoring(case, agree):
    values, p = case["values"], column(case, "p")
    time, status = column(case, "time"), column(case, "status")
    args = (time, status == status.max(), p, values["time"], values["thresholds"])
    ours, theirs = decision_curve_survival(*args), decision_curve_survival(*args, beyond="missing")
    found = {
        "thresholds": ours["threshold"],
        "manual_KM": ours["net_benefit"],
        "manual_all": ours["net_benefit_all"],
        "dcurves_model": theirs["net_benefit"],
        "dcurves_all": theirs["net_benefit_all"],
        "dcurves_tp_rate": theirs["tp_rate"],
        "dcurves_fp_rate": theirs["fp_rate"],
        "dcurves_pos_rate": np.full(len(ours), 1 - kaplan_meier(*args[:2]).at(values["time"])["survival"].iloc[0]),
    }
    agree(found, values, rtol=0, atol=1e-8, left_out={"formula", "time"})


@cases("statistics/nri_idi")
def test_reclassification(case, agree):
    table = reclassification(column(case, "y"), column(case, "p1"), column(case, "p2"))
    found = {"n": table.loc["nri", "n"], "na": table.loc["nri_events", "n"], "nb": table.loc["nri_nonevents", "n"]}
    for row, short in (("nri", ""), ("nri_events", ".ev"), ("nri_nonevents", ".ne")):
        names = {f"nri{short}": "estimate", f"se.nri{short}": "se", f"z.nri{short}": "z"}
        found |= {theirs: table.loc[row, ours] for theirs, ours in names.items()}
        found |= {f"p{way}{short}": table.loc[row, way] for way in ("up", "down")} if short else {}
    found |= {"improveSens": table.loc["sensitivity_gain", "estimate"]}
    found |= {"improveSpec": table.loc["specificity_gain", "estimate"]}
    found |= {"idi": table.loc["idi", "estimate"], "se.idi": table.loc["idi", "se"], "z.idi": table.loc["idi", "z"]}
    agree(found, case["values"])


@cases("statistics/logistic")
def test_logistic(case, agree, near):
    values = case["values"]
    outcome, right = values["formula"].split("~")
    terms = [term.strip() for term in right.split("+")]
    x, y = np.column_stack([column(case, term) for term in terms]), column(case, outcome.strip())
    fit = fit_logistic(y, x, names=terms)
    table, it = fit.table(), fit.indices()
    # R's glm stops at 1e-8 of the deviance: standard errors hold to 2e-4, what follows from them to 1e-3.
    found = {
        "terms": table["term"],
        "coef": near(table["coef"], 1e-6),
        "se": near(table["se"], 2e-4),
        "z": near(table["z"], 2e-4),
        "p": near(table["p"], 1e-3),
        "OR": near(table["odds_ratio"], 1e-5),
        "OR_wald_ci": near(table[["low", "high"]], 1e-3),
        "OR_profile_ci": near(fit.table(profile=True)[["low", "high"]], 1e-3),
        "deviance": it["deviance"],
        "null_deviance": it["null_deviance"],
        "AIC": it["aic"],
    }
    binned = {"C": "c", "Dxy": "dxy", "Gamma": "gamma", "Tau-a": "tau_a"}
    ranks = {theirs: it[f"{ours}_binned"] for theirs, ours in binned.items()}
    r2 = [it[name] for name in ("r2", "r2_n", "r2_n_adjusted", "r2_effective", "r2_effective_adjusted")]
    lrm = values["rms_stats"]
    found["rms_stats"] = ranks | dict(zip([name for name in lrm if name.startswith("R2")], r2, strict=True))
    found["rms_stats"] |= {"Obs": len(y), "Model L.R.": it["lr_chi2"], "d.f.": it["df"], "P": it["p"]}
    found["rms_stats"] |= {"Brier": it["brier"], "g": it["g"], "gr": it["gr"], "gp": it["gp"]}
    found["rms_stats"] = {name: near(value, 1e-5, 1e-12) for name, value in found["rms_stats"].items()}
    val = calibration_indices(y, fit.predict(x))
    names = {
        "Dxy": "dxy_binned", "C (ROC)": "c_binned", "R2": "r2", "D": "d", "D:Chi-sq": "d_chi2", "D:p": "d_p",
        "U": "u", "U:Chi-sq": "u_chi2", "U:p": "u_p", "Q": "q", "Brier": "brier", "Intercept": "intercept",
        "Slope": "slope", "Emax": "emax", "E90": "e90", "Eavg": "eavg", "S:z": "s_z", "S:p": "s_p",
    }  # fmt: skip
    loose = ("Emax", "E90", "Eavg")
    found["val_prob"] = {k: near(val[v], 1e-5, 1e-3 if k in loose else 2e-8) for k, v in names.items()}
    if "calibrate_predy" in values:
        grid = np.array(values["calibrate_predy"])
        found["calibrate_orig"] = near(smooth_calibration(y, fit.predict(x), grid)[1], 0, 1e-3)
        assert val["dxy"] == pytest.approx(values["validate_mean"][0][0], rel=1e-8)
    # The bootstrap figures are tested with their tolerances beside the other bootstraps.
    drawn = {"validate_rows", "validate_cols", "validate_mean", "validate_sd_between_seeds"}
    drawn |= {"calibrate_predy", "calibrate_corrected_B200_seed5"}
    # val.prob gives no p of D (null).
    agree(found, values, left_out=drawn | {"formula", "rms_stats.Max Deriv", "val_prob.D:p"})


def _roc(case, values, near):
    y, one, two = (column(case, values[name]) for name in ("y", "marker1", "marker2"))
    area, covariance = delong(y, np.column_stack([one, two]))
    paired, unpaired = delong_test(y, one, two), delong_unpaired(y, one, y, two)
    names = ["threshold", "sensitivity", "specificity", "ppv", "npv", "accuracy", "youden", "tp", "fp", "tn", "fn"]
    rows = {}
    for key, table in (("youden", youden(y, one)), ("closest_topleft", closest_topleft(y, one))):
        rows[key] = [{name: table[name].iloc[k] for name in names} for k in range(len(table))]
    return rows, {
        "auc1": area[0],
        "auc2": area[1],
        "delong_var1": covariance[0, 0],
        "delong_var2": covariance[1, 1],
        "delong_cov": covariance[0, 1],
        "ci_delong1": delong_interval(y, one)[1:],
        "ci_delong2": delong_interval(y, two)[1:],
        "paired_delong": {"Z": paired.statistic, "p": paired.p, "diff_ci": [paired.low, paired.high]},
        "unpaired_delong": {"D": unpaired.statistic, "df": unpaired.df, "p": unpaired.p},
        "pauc_spec_1_0.8": near(partial_auc(y, one)[0], 1e-10),
        "pauc_corrected": near(partial_auc(y, one)[1], 1e-10),
    }


@cases("statistics/roc", only=lambda name: "auto" not in name)
def test_roc(case, agree, near):
    values = case["values"]
    rows, found = _roc(case, values, near)
    # Bootstraps: tested with their tolerances elsewhere.
    left = {"y", "marker1", "marker2", "direction", "ci_bootstrap_mean", "ci_bootstrap_sd_between_seeds"}
    left |= {"bootstrap_test", "youden", "closest_topleft", "at_sens_0.9", "ci_sp_at_sens_.7_.8_.9_bootstrap"}
    agree(found, values, left_out=left)
    for key, ours in rows.items():
        if key in values:
            assert len(ours) == len(values[key])
            for one, other in zip(ours, values[key], strict=True):
                agree(one, {name: other[name] for name in other if name in one}, rtol=1e-10)
    y, marker = column(case, values["y"]), column(case, values["marker1"])
    if "at_sens_0.9" in values:
        specificity = [row["specificity"] for row in values["at_sens_0.9"]][:1]
        np.testing.assert_allclose(coords_at(y, marker, sensitivity=[0.9]), specificity, atol=1e-12)
    drawn = values.get("ci_sp_at_sens_.7_.8_.9_bootstrap")
    if drawn is not None:
        # The middle column is the median of pROC's resamples, which the curve's own value lies near.
        at = coords_at(y, marker, sensitivity=[0.7, 0.8, 0.9])
        low, _, high = np.array(drawn, dtype=float).T
        assert ((low <= at + 1e-9) & (at <= high + 1e-9)).all()


@cases("statistics/roc", only=lambda name: "auto" in name)
def test_roc_direction(case, agree):
    if "unpaired_two_samples" not in case["values"]:
        return
    y, found = column(case, "outcome"), {}
    for name in ("s100b", "ndka", "age", "neg_s100b"):
        x = -column(case, "s100b") if name.startswith("neg") else column(case, name)
        way = direction_by_medians(y, x)
        found[name] = {"direction_auto": way, "auc": auc(y, x if way == "<" else -x)}
    response, feature = (np.array(item, dtype=float) for item in case["sample2"].values())
    test = delong_unpaired(y, column(case, "s100b"), response, -feature)
    found["unpaired_two_samples"] = {"D": test.statistic, "df": test.df, "p": test.p, "auc": test.auc}
    agree(found, case["values"], left_out={"unpaired_two_samples.sample2"})


@cases("statistics/two_sample")
def test_two_samples(case, agree, near):
    label = np.array(case["input"]["group"])
    x, y = column(case, "value")[label == "x"], column(case, "value")[label == "y"]
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    ties = len(np.unique(np.concatenate([x, y]))) < len(x) + len(y)
    found = {}
    ways = {"exact": {"exact": not ties}, "normal_corr": {"exact": False}}
    ways["normal_nocorr"] = {"exact": False, "correct": False}
    for name, options in ways.items():
        it = rank_sum(x, y, interval=True, **options)
        found[name] = {"W": it.w, "p": it.p, "hodges_lehmann": near(it.shift, 1e-9, 1e-4)}
        found[name]["ci"] = near([it.low, it.high], 1e-9, 1e-4)
    found["default"] = {"p": rank_sum(x, y).p}
    one, two = welch(x, y), student(x, y)
    found["welch"] = {"t": one["t"], "df": one["df"], "p": one["p"], "ci": [one["low"], one["high"]]}
    found["student"] = {"t": two["t"], "p": two["p"]}
    normal, ks = shapiro_wilk(x), ks_two_sample(x, y)
    found["shapiro_x"] = {"W": normal["w"], "p": near(normal["p"], 1e-6)}
    found["bartlett_p"] = bartlett(column(case, "value"), label)["p"]
    found["ks"] = {"D": ks[0], "p": near(ks[1], 1e-6)}
    # It is asymptotic despite its name; the exact p with ties has a test of its own.
    left = {"exact_with_ties_exactRankTests", *(f"{name}.method" for name in [*ways, "default"])}
    agree(found, case["values"], left_out=left)


@cases("statistics/k_sample")
def test_several_groups_and_correlation(case, agree):
    values, x, group = case["values"], column(case, "value"), column(case, "group")
    h, f, w = kruskal_wallis(x, group), anova(x, group), welch_anova(x, group)
    found = {"kruskal": {"H": h["h"], "df": h["df"], "p": h["p"]}, "anova": {"F": f["f"], "p": f["p"]}}
    found["welch_anova"] = {"F": w["f"], "df": [w["df_1"], w["df_2"]], "p": w["p"]}
    pairs = pairwise_rank_sum(x, group, exact=False).set_index(["group_1", "group_2"])["p_adjusted"]
    block = values["pairwise_wilcox_holm"]
    found["pairwise_wilcox_holm"] = [
        [pairs.get((float(one), float(two)), np.nan) for one in block["cols"]] for two in block["rows"]
    ]
    for method, name in (("spearman", "rho"), ("kendall", "tau"), ("pearson", "r")):
        it = correlation(x, group, method=method)
        found[method] = {name: it["r"], "p": it["p"], "ci": [it["low"], it["high"]]}
    agree(found, values)


@cases("statistics/contingency")
def test_contingency(case, agree):
    values, table = case["values"], case["values"]["table"]
    found = {}
    plain, default, exact = chi_square(table, correct=False), chi_square(table), fisher_exact(table)
    expected = np.outer(np.sum(table, axis=1), np.sum(table, axis=0)) / np.sum(table)
    found["chisq_nocorrect"] = {"X2": plain["chi2"], "df": plain["df"], "p": plain["p"], "expected": expected}
    found["chisq_default"] = {"X2": default["chi2"], "p": default["p"]}
    found["fisher"] = {"p": exact.p, "conditional_OR": exact.odds_ratio, "ci": [exact.low, exact.high]}
    found["fisher"] |= {"p_greater": exact.p_greater, "p_less": exact.p_less}
    if "mcnemar_default" in values:
        for name, correct in (("mcnemar_default", True), ("mcnemar_nocorrect", False)):
            it = mcnemar(table, correct=correct)
            found[name] = {"X2": it["chi2"], "p": it["p"]}
    agree(found, values, left_out={"table", "chisq_default.method"})


@cases("statistics/p_adjust")
def test_p_adjust(case, agree):
    p = column(case, list(case["input"])[-1])
    agree({method: adjust(p, method) for method in case["values"]}, case["values"], rtol=0, atol=1e-12)


@cases("statistics/hclust")
def test_clusters(case, agree):
    values = case["values"]
    x = np.column_stack([column(case, name) for name in case["input"]])
    plain, between = distance.pdist(x), distance.pdist(x, "correlation")
    ranked = distance.pdist(np.apply_along_axis(stats.rankdata, 1, x), "correlation")
    found = {"spearman_height": np.sort(linkage(ranked, "average")[:, 2])}
    for name, item in values.items():
        if isinstance(item, dict) and "height" in item:
            average = name == "average_1_minus_cor"
            tree = linkage(between if average else plain, "average" if average else name)
            found[name] = {"height": np.sort(tree[:, 2])}
            found[name] |= {key: cut_tree(tree, int(key[3:])) for key in item if key.startswith("cut")}
            item["height"] = np.sort(item["height"])
    found["silhouette_ward.D2_k3"] = silhouette(plain, cut_tree(linkage(plain, "ward.D2"), 3)).mean()
    chosen, _, objective = medoids(plain, 3)
    found["pam3"] = {"medoids": np.sort(chosen + 1)}
    expected = json.loads(json.dumps(values, default=list))
    if "pam3" in expected:
        expected["pam3"]["medoids"] = sorted(np.ravel(expected["pam3"]["medoids"]))
        assert objective == pytest.approx(np.ravel(expected["pam3"]["objective"])[-1], rel=1e-10)
    if "spearman_height" in expected:
        expected["spearman_height"] = sorted(expected["spearman_height"])
    # kmeans has several optima; with tied ranks the tree depends on which tie is joined first.
    left = {"kmeans3", "pam3.objective", *(f"{n}.{key}" for n in values for key in ("merge", "order"))}
    agree(found, expected, left_out=left | ({"spearman_height"} if x.shape[1] == 4 else set()))


@cases("agreement/kappa")
def test_kappa(case, agree, near):
    values, ratings = case["values"], np.array(case["ratings"])

    # irr's p is 1 - pnorm.
    def figures(it, name="kappa"):
        return {name: it.value, "z": it.z, "p": near(it.p, 1e-8, 1e-12)}

    if "fleiss" in values:
        it = fleiss_kappa(ratings)
        agree(figures(it, "fleiss") | {"light": light_kappa(ratings)}, values)
        return
    a, b = ratings.T
    plain, weighted = cohen_kappa(a, b), cohen_kappa(a, b, "quadratic")
    found = figures(plain) | {"unweighted": figures(plain), "linear": figures(cohen_kappa(a, b, "linear"))}
    found |= {"quadratic": figures(weighted), "agreement_percent": 100 * plain.agreement}
    variance = ((plain.upper - plain.lower) / 2 / stats.norm.ppf(0.975)) ** 2
    found["psych"] = {"kappa": plain.value, "weighted_quadratic": weighted.value, "var_kappa": variance}
    found["psych_kappa"] = plain.value
    for key, block in (("psych.confid", values.get("psych", {}).get("confid")), ("psych_ci", values.get("psych_ci"))):
        if block:
            assert np.allclose([plain.lower, plain.value, plain.upper], block["data"][0], rtol=1e-8), key
    # psych's weighted interval follows no standard formula.
    agree(found, values, left_out={"psych.var_weighted", "psych.confid", "psych_ci"})


FORMS = {"ICC1": "1,1", "ICC2": "2,1", "ICC3": "3,1", "ICC1k": "1,k", "ICC2k": "2,k", "ICC3k": "3,k"}


def icc_cases():
    found = {
        name: json.loads((DATA / "agreement" / f"icc_{name}.json").read_text()) for name in ("anxiety", "shrout_fleiss")
    }
    found |= {f"other:{name}": case for name, case in load("statistics/other_keys").get("icc", {}).items()}
    return pytest.mark.parametrize("case", found.values(), ids=list(found))


@icc_cases()
def test_icc(case, agree, near):
    found = [icc(case["ratings"], FORMS[name]) for name in case["psych"]["type"]]
    n, k = found[0].n[0], found[0].k
    table = {name: [getattr(it, attr)[0] for it in found] for name, attr in (("ICC", "value"), ("F", "f"))}
    table |= {name: [getattr(it, name)[0] for it in found] for name in ("lower", "upper")}
    table |= {"p": near([it.p[0] for it in found], 1e-8, 1e-12), "df1": [n - 1] * 6}
    table["df2"] = [n * (k - 1) if name.startswith("ICC1") else (n - 1) * (k - 1) for name in case["psych"]["type"]]
    agree(table, case["psych"], left_out={"type"})


def test_counts_above_a_limit():
    table = pd.read_csv(DATA / "agreement" / "icc_retest_input.csv.gz").sort_values(["id", "observer"])
    ratings = table.iloc[:, 2:].to_numpy().reshape(30, 2, -1)
    assert (icc(ratings, "2,1").value >= 0.75).sum() == 28
    assert (icc(ratings, "3,1").value >= 0.8).sum() == 24


def quantile_cases():
    found = json.loads((DATA / "immune" / "quantile_normalisation.json").read_text())
    found |= {f"other:{name}": case for name, case in load("statistics/other_keys").get("quantile_norm", {}).items()}
    return pytest.mark.parametrize("case", found.values(), ids=list(found))


@quantile_cases()
def test_quantile_normalisation(case, agree):
    values = np.array(case["input"], dtype=float)
    found = {"preprocessCore": quantile_normalise(values), "target": quantile_target(values)}
    found |= {"limma_ties": quantile_normalise(values), "limma_ties_false": quantile_normalise(values, ties="order")}
    if "half" in case:
        target = case["half"]["target"]
        found["half"] = {"target": target, "result": quantile_normalise(values, np.array(target))}
    # Without averages limma leaves the order of ties to R's quicksort, which is not that of the rows.
    ties = any(len(np.unique(part[~np.isnan(part)])) < (~np.isnan(part)).sum() for part in values.T)
    left = {"limma_ties_false"} if ties else set()
    agree(found, {name: item for name, item in case.items() if name in found}, rtol=0, atol=1e-9, left_out=left)
