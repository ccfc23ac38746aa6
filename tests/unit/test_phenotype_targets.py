"""Where targets are cut, and which are refused before anything is fitted."""

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation import draw_splits
from imrad.exceptions import ConfigError
from imrad.phenotype.targets import Gates, Target, check_feasibility, make_targets

NAMES = [f"P{number:02d}" for number in range(60)]
SPLITS = draw_splits(NAMES, np.arange(60) % 2, seed=1)
RNG = np.random.default_rng(0)


def feasibility(values, rule="median", **gates):
    return check_feasibility([Target("t", np.asarray(values, dtype=float), rule)], SPLITS, Gates(**gates)).iloc[0]


def test_high_is_strictly_above_the_training_median():
    target = Target("t", np.array([1.0, 2.0, 2.0, 3.0, 5.0]))
    assert target.cut(target.values) == 2.0
    np.testing.assert_array_equal(target.truth(np.arange(5), 2.0), [0, 0, 0, 1, 1])


def test_zero_inflated_targets_are_cut_at_zero_by_their_training_rows():
    values = np.array([0, 0, 0, 0.1, 0.4])
    assert Target("t", values).cut(values) == 0.0
    assert Target("t", values).rule_name == "zero"
    assert Target("t", values).cut(values[1:]) == 0.0
    assert Target("t", values).cut(values[2:]) == 0.1
    # A quantity that may be negative has no zero class.
    assert Target("t", np.array([-1.0, 0, 0, 0, 1])).rule_name == "median"


def test_own_cuts():
    values = np.arange(10.0)
    assert Target("t", values, 6.5).cut(values) == 6.5
    assert Target("t", values, "zero").cut(values) == 0.0
    assert Target("t", values, lambda training: training.max() / 3).cut(values) == 3.0
    continuous = Target("t", values, "continuous")
    np.testing.assert_array_equal(continuous.truth(np.array([3, 4]), 4.5), [3.0, 4.0])


def test_rules_by_target():
    Y = pd.DataFrame({"TMB": [1.0, 2.0], "MSI": [0.0, np.inf]})
    tmb, msi = make_targets(Y, {"TMB": 10.0, "*": "zero"})
    assert (tmb.rule, msi.rule) == (10.0, "zero")
    assert list(msi.measured) == [True, False]
    with pytest.raises(ConfigError, match="target stage is not numeric"):
        make_targets(pd.DataFrame({"stage": ["I", "II"]}), "median")


def test_a_good_target_is_feasible_and_says_what_it_can_show():
    row = feasibility(RNG.normal(size=60))
    assert row["feasible"]
    assert row["reason"] == ""
    assert row["n_positive"] + row["n_negative"] == 60
    assert 0.1 < row["auc_half_width"] < 0.2
    assert row["n_needed"] > 60
    assert 0.4 < row["imbalance"] <= 0.5


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(60, 3.0), "constant: all 60 patients have the value 3"),
        (np.where(np.arange(60) < 20, 1.0 + np.arange(60), np.nan), "20 patients measured; at least 30 are needed"),
        ((np.arange(60) % 12 == 0) * 1.0, r"5 patients are high and 55 low \(zero cut\); at least 8 of each"),
    ],
)
def test_targets_that_cannot_work_say_why(values, reason):
    row = feasibility(values)
    assert not row["feasible"]
    assert pd.Series([row["reason"]]).str.contains(reason).all()


def test_class_counts_per_fold_gate_a_target():
    outer = SPLITS.table["outer"].to_numpy()
    crowded = np.where(outer == 0, 1.0, 0.0) * (np.arange(60) + 1)
    row = feasibility(crowded)
    assert row["folds_with_both"] == 0
    assert "a training fold holds 0 patients of one class" in row["reason"]
    spread = (np.arange(60) % 6 == 0) * 1.0
    assert "a training fold holds" in feasibility(spread, min_train_class=9)["reason"]
    both = feasibility(spread, min_folds=1.1)
    assert f"both classes are present in {both['folds_with_both']} of 5 outer test folds" in both["reason"]
