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
    calibration_cuts,
    calibration_groups,
)
from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.time_dependent import (
    time_dependent_roc,
)
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
def test_time_dependent_roc(case):
    time, event = outcome(case)
    values = case["values"]
    times = values["times"]
    curves = case["tables"]["expected_roc"]
    for t, best in zip(times, values["youden"], strict=True):
        rows = [k for k, value in enumerate(curves["time"]) if value == t]
        found = time_dependent_roc(time, event, column(case, "marker"), t)
        close(found["tp"], [curves["TP"][k] for k in rows], atol=1e-8)
        close(found["fp"], [curves["FP"][k] for k in rows], atol=1e-8)
        assert (found["tp"] - found["fp"]).max() == pytest.approx(best["J"], rel=1e-8)


@cases("maxstat")
def test_maximally_selected_by_permutation(case):
    time, event = outcome(case)
    values = case["values"]
    shares = {"min_share": values["minprop"], "max_share": values["maxprop"]}
    found = maximally_selected(time, event, column(case, values["variable"]), **shares, permutations=20_000, seed=1)
    assert found.p_permutation == pytest.approx(values["condMC_B20000_seed1"], abs=0.01)
    assert found.p > found.p_naive
