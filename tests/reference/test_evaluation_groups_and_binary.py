"""Binary metrics, tests and clusters against R: data sets, calls and tolerances in data/statistics."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation.bootstrap import (
    optimism,
    percentile_interval,
    resample_indices,
)
from imrad.evaluation.calibration import bootstrap_calibration, calibration_indices, smooth_calibration
from imrad.evaluation.clustering import kmeans
from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.redundancy import correlation_matrix, find_correlation
from imrad.evaluation.roc import (
    bootstrap_auc,
    bootstrap_test,
)
from imrad.evaluation.several_groups import (
    correlation,
)
from imrad.evaluation.two_group import rank_sum, screen

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
def test_bootstrap_of_the_roc_curve(case):
    values = case["values"]
    y, one, two = (column(case, values[name]) for name in ("y", "marker1", "marker2"))
    drawn = percentile_interval(bootstrap_auc(y, one, seed=1))
    allowed = 4 * np.array(values["ci_bootstrap_sd_between_seeds"]) + 0.003
    assert (np.abs(np.array(drawn) - values["ci_bootstrap_mean"]) < allowed).all()
    assert bootstrap_test(y, one, two, seed=1).statistic == pytest.approx(values["bootstrap_test"]["D"], rel=0.06)


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


@cases("two_sample", "heavy_ties")
def test_exact_rank_sum_given_ties(case):
    label = np.array(case["input"]["group"])
    x, y = column(case, "value")[label == "x"], column(case, "value")[label == "y"]
    # From the full permutation distribution (the case's notes): the package's own is asymptotic despite its name.
    assert rank_sum(x, y, exact=True).p == pytest.approx(4.20635693898505e-10, rel=1e-8)


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
def test_kmeans(case):
    """Loosely, as the case says: one of the two data sets has many optima."""
    values = case["values"]
    x = np.column_stack([numbers(part) for part in case["input"].values()])
    means, labels, within = kmeans(x, 3, n_starts=100)
    assert within == pytest.approx(values["kmeans3"]["tot_withinss"], rel=0.01)
    assert within == pytest.approx(sum(((x[labels == k + 1] - means[k]) ** 2).sum() for k in range(3)), rel=1e-12)
    if len(x) == 50:
        assert sorted(np.bincount(labels)[1:]) == sorted(values["kmeans3"]["sizes"])
