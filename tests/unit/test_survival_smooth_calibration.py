"""Smooth calibration of predicted survival: a right model lies on the diagonal, a wrong one does not."""

from __future__ import annotations

import numpy as np
import pytest

from imrad.exceptions import CohortError
from imrad.survival.hazard_regression import fit_hazard_regression
from imrad.survival.smooth_calibration import (
    calibration_distance,
    restricted_cubic_spline,
    smooth_survival_calibration,
)
from imrad.survival.validation import efron_log_likelihood, validation_indices


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(11)
    n = 3000
    score = rng.normal(size=n)
    time = rng.exponential(1000 / np.exp(score))
    censored = rng.exponential(1500, n)
    truth = np.exp(-365 / 1000 * np.exp(score))
    return np.minimum(time, censored), time <= censored, score, truth


def test_true_probabilities_are_calibrated(patients):
    time, event, _, truth = patients
    right = calibration_distance(time, event, truth, 365)
    assert right["ici"] < 0.02
    wrong = calibration_distance(time, event, truth**2, 365)
    assert wrong["ici"] > 0.1
    assert wrong["e50"] <= wrong["e90"] <= wrong["emax"]


def test_hazard_regression_by_hand():
    """Without an effect of time or covariate the hazard is events over time at risk."""
    number = np.arange(400)
    time, event = -10 * np.log1p(-(number + 0.5) / 400), number % 10 < 7
    fit = fit_hazard_regression(time, event, np.zeros(400))
    assert fit.terms == ((None, None),)
    rate = event.sum() / time.sum()
    np.testing.assert_allclose(fit.survival(5, [0.0, 1.0]), np.exp(-5 * rate), rtol=1e-8)
    assert fit.log_likelihood == pytest.approx(event.sum() * np.log(rate) - event.sum(), rel=1e-9)


def test_hazard_regression_as_polspline():
    """R 4.2.2, polspline 1.1.22: 1 - phare(5, c(-1, 0, 1), hare(time, status, x)) on the same numbers."""
    rng = np.random.default_rng(5)
    time, event = rng.exponential(10, 400), rng.random(400) < 0.7
    number = np.arange(400) % 7
    fit = fit_hazard_regression(np.where(number > 4, time * 0.4, time), event, number / 3 - 1.0)
    np.testing.assert_allclose(fit.survival(5, [-1, 0, 1]), [0.7617016715, 0.6185782444, 0.4284396703], atol=0.002)


def test_hazard_regression_finds_a_linear_log_hazard(patients):
    time, event, score, truth = patients
    fit = fit_hazard_regression(time[:1000], event[:1000], score[:1000], max_terms=5)
    assert (None, "linear") in fit.terms
    assert fit.coef[fit.terms.index((None, "linear"))] == pytest.approx(1, abs=0.15)
    assert np.abs(fit.survival(365, score) - truth).max() < 0.06
    _, smooth = smooth_survival_calibration(time, event, truth, 365, [0.2, 0.5, 0.8], smoother="hare")
    np.testing.assert_allclose(smooth, [0.2, 0.5, 0.8], atol=0.05)
    _, wrong = smooth_survival_calibration(time, event, truth**2, 365, [0.3], smoother="hare")
    assert wrong[0] > 0.45


def test_hazard_regression_meets_odd_data():
    rng = np.random.default_rng(6)
    time, x = np.ceil(rng.exponential(3, 30)), rng.normal(size=30)
    for event in (np.ones(30, bool), np.arange(30) % 9 == 0):
        for covariate in (x, np.sign(x), x * 0, x * 1e3):
            survival = fit_hazard_regression(time, event, covariate, max_terms=5).survival(2, covariate)
            assert ((survival >= 0) & (survival <= 1)).all()
    with pytest.raises(CohortError, match="1 events at 1 distinct times; at least two"):
        fit_hazard_regression(time, np.arange(30) == 4, x)
    with pytest.raises(CohortError, match="covariate"):
        fit_hazard_regression(time, time > 1, np.full(30, np.nan))


def test_curve_is_read_inside_the_predictions_only(patients):
    time, event, _, truth = patients
    asked, observed = smooth_survival_calibration(time, event, np.clip(truth, 0.2, 0.9), 365, [0.05, 0.5, 0.95])
    assert np.isnan(observed[[0, 2]]).all()
    assert observed[1] == pytest.approx(asked[1], abs=0.03)


def test_few_distinct_predictions(patients):
    time, event, score, _ = patients
    _, observed = smooth_survival_calibration(time, event, np.where(score > 0, 0.4, 0.8), 365)
    assert len(np.unique(observed.round(9))) == 2
    with pytest.raises(CohortError, match="outside"):
        smooth_survival_calibration(time, event, score, 365)


def test_spline_is_linear_outside_its_knots():
    x = np.linspace(-5, 5, 101)
    basis = restricted_cubic_spline(x, np.array([-1.0, 0.0, 0.5, 1.0]))
    assert basis.shape == (101, 3)
    second = np.diff(basis, 2, axis=0)
    assert np.abs(second[x[1:-1] > 1.1]).max() < 1e-9
    assert np.abs(second[x[1:-1] < -1.1]).max() < 1e-9


def test_validation_indices(patients):
    time, event, score, _ = patients
    found = validation_indices(time, event, 2 * score)
    assert found["slope"] == pytest.approx(0.5, abs=0.05)
    assert found["dxy"] == pytest.approx(2 * found["c"] - 1)
    assert found["u"] > 0
    assert found["q"] == pytest.approx(found["d"] - found["u"])
    assert np.isnan(validation_indices(time, event, np.ones(len(time)))["slope"])
    # Two patients dying together: each term by hand.
    value = efron_log_likelihood(np.array([1.0, 1.0, 2.0]), np.array([True, True, False]), np.log([1.0, 2.0, 3.0]))
    assert value == pytest.approx(np.log(1 / 6) + np.log(2 / 4.5))
