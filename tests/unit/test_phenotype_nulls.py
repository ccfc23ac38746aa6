"""The permutation test: which targets share a null, when it stops, and that its p is uniform on noise."""

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation import draw_splits
from imrad.phenotype import PhenotypeGrid
from imrad.phenotype.nulls import Batch, best_cell, group_targets, null_batch, sequential_p
from imrad.phenotype.targets import Target

RNG = np.random.default_rng(0)


def test_targets_of_the_same_patients_ties_and_rule_share_a_null():
    plain, other = RNG.normal(size=30), np.exp(RNG.normal(size=30))
    missing = np.where(np.arange(30) == 3, np.nan, RNG.normal(size=30))
    tied = np.round(other * 2) + 1
    zeros = np.where(np.arange(30) < 20, 0.0, other)
    targets = [
        Target("a", plain),
        Target("b", other),
        Target("missing", missing),
        Target("tied", tied),
        Target("tied too", RNG.permutation(tied) * 10),
        Target("zeros", zeros),
        Target("zeros too", RNG.permutation(zeros)),
        Target("cut", plain, float(np.sort(plain)[20])),
        Target("cut too", other, float(np.sort(other)[20])),
        Target("continuous", plain, "continuous"),
    ]
    found = {group.targets for group in group_targets(targets)}
    assert found == {
        ("a", "b"),
        ("missing",),
        ("tied", "tied too"),
        ("zeros", "zeros too"),
        ("cut", "cut too"),
        ("continuous",),
    }
    assert len(group_targets(targets, share=False)) == len(targets)


def test_besag_and_cliffords_p():
    null = np.array([0.5, 0.6, 0.7, 0.4, 0.65])
    assert sequential_p(null, 0.6, exceedances=2, cap=5) == (2 / 3, 3, True)
    assert sequential_p(null, 0.9, exceedances=2, cap=5) == (1 / 6, 5, True)
    assert sequential_p(null, 0.65, exceedances=3, cap=9) == (3 / 6, 5, False)
    assert np.isnan(sequential_p(np.zeros(0), 0.5, exceedances=2, cap=5)[0])


def test_sequential_p_is_valid():
    rng = np.random.default_rng(1)
    p = np.array([sequential_p(rng.random(199), rng.random(), exceedances=10, cap=199)[0] for _ in range(4000)])
    for level in (0.05, 0.1, 0.25, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 4000))


def test_the_best_cell_is_of_means_over_the_folds_that_have_both_classes():
    auc = np.array([[[0.6, 0.5]], [[np.nan, np.nan]], [[0.4, 0.7]]])
    assert best_cell(auc)[0] == pytest.approx(0.6)


def cohort(seed, n=48, p=24, m=6):
    rng = np.random.default_rng(seed)
    names = [f"P{number:02d}" for number in range(n)]
    X = pd.DataFrame(rng.normal(size=(n, p)), index=names, columns=[f"f{number}" for number in range(p)])
    Y = pd.DataFrame(rng.normal(size=(n, m)), index=names, columns=[f"t{number}" for number in range(m)])
    return X, Y, draw_splits(names, np.arange(n) % 2, seed=seed, n_inner=3)


PLAIN = {
    "selectors": ("information_gain", "fcbf"),
    "classifiers": ("naive_bayes", "knn"),
    "null_classifiers": ("naive_bayes",),
    "controls": False,
    "ablation": False,
    "bundles": False,
    "k": 5,
}


def test_permutations_do_not_depend_on_how_they_are_handed_out():
    X, Y, splits = cohort(0)
    grid = PhenotypeGrid(**PLAIN)
    plan = grid._null_plan(grid._plan(X, splits))
    group = group_targets([Target("t0", Y["t0"].to_numpy())])[0]
    whole = null_batch(plan, Batch(group, 0, 8))["statistic"]
    parts = [null_batch(plan, Batch(group, start, start + 4))["statistic"] for start in (0, 4)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole)) == 8


def test_a_permutation_that_changes_nothing_gives_the_observed_statistic():
    """The null's own path and the grid's give one number for one target."""
    from imrad.evaluation import Ledger
    from imrad.phenotype.nulls import outer_auc

    X, Y, splits = cohort(1)
    grid = PhenotypeGrid(permutations=0, **PLAIN)
    observed = grid.run(X, Y[["t0"]], splits).summary["auc_best_cell"].iloc[0]
    plan = grid._null_plan(grid._plan(X, splits))
    target, ledger = Target("t0", Y["t0"].to_numpy()), Ledger(splits.patients)
    auc = np.stack([outer_auc(plan, [target], fold, ledger) for fold in splits.outer()])
    assert best_cell(auc)[0] == observed


def test_on_noise_p_is_uniform_auc_is_a_half_and_shared_nulls_say_what_own_nulls_say():
    p, own, auc = [], [], []
    for seed in range(8):
        X, Y, splits = cohort(seed)
        settings = {"permutations": 39, "exceedances": 40, **PLAIN}
        shared = PhenotypeGrid(**settings).run(X, Y, splits)
        assert shared.summary["null_group"].nunique() == 1
        assert len(shared.null) == 39
        p.append(shared.summary["p_permutation"])
        auc.append(shared.summary["auc"])
        if seed < 2:
            alone = PhenotypeGrid(share_null=False, **settings).run(X, Y, splits)
            assert alone.summary["null_group"].nunique() == Y.shape[1]
            own.append(alone.summary["p_permutation"] - shared.summary["p_permutation"])
    values = np.concatenate(p)
    # 48 targets in 8 cohorts: mean of uniforms, and its standard error with room for their clustering.
    assert abs(values.mean() - (1 + 1 / 39) / 2) < 0.15
    assert (values <= 0.05).mean() < 0.2
    assert abs(np.concatenate(auc).mean() - 0.5) < 0.04
    # Two estimates of one p from 39 draws each differ by chance alone.
    assert np.abs(np.concatenate(own)).max() < 0.35
    assert abs(np.concatenate(own).mean()) < 0.1
