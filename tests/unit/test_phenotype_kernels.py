"""imrad's own learners against scikit-learn's, on the same jobs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.kernels import LEARNERS
from imrad.phenotype.kernels.boosting import BoostingLearner
from imrad.phenotype.learners import EstimatorLearner, Job, NaiveBayesLearner, make_meta, meta_job
from imrad.phenotype.measures import concordance


def draw_jobs(n_jobs: int, *, n: int = 90, p: int = 20, new: int = 200, decimals: int = 8):
    """Return jobs, noise and signal in turn, with the truth of the new rows."""
    rng = np.random.default_rng(7)
    jobs, truths = [], []
    for number in range(n_jobs):
        weights = rng.normal(size=p) * (number % 2) * 0.5
        X = np.round(rng.normal(size=(n + new, p)), decimals)
        y = (X @ weights + rng.normal(size=n + new) > 0).astype(int)
        codes = np.searchsorted([-0.67, 0.0, 0.67], X).astype(np.int8)
        jobs.append(Job(X[:n], y[:n], X[n:], codes[:n], codes[n:], 4, 100 + number))
        truths.append(y[n:])
    return jobs, truths


def reference(name: str, jobs: list[Job], defaults: str = "founding"):
    return EstimatorLearner(make_classifier(name, defaults=defaults)).predict_many(jobs)


def mean_auc(predictions, truths) -> float:
    return float(np.mean([concordance(one[None], truth)[0] for one, truth in zip(predictions, truths, strict=True)]))


@pytest.mark.parametrize("name", sorted(LEARNERS))
@pytest.mark.parametrize("defaults", ["founding", "imrad"])
def test_a_job_is_answered_alone_as_in_company(name, defaults):
    jobs, _ = draw_jobs(4, n=40, p=6, new=9)
    wide, _ = draw_jobs(1, n=50, p=8, new=5)
    learner = LEARNERS[name](defaults)
    together = learner.predict_many([*jobs, *wide])
    alone = [learner.predict_many([job])[0] for job in reversed([*jobs, *wide])][::-1]
    assert [one.tobytes() for one in together] == [one.tobytes() for one in alone]
    assert all(one.shape == (len(job.X_new),) for one, job in zip(together, [*jobs, *wide], strict=True))
    assert all(((one >= 0) & (one <= 1)).all() for one in together)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_boosted_trees_are_those_of_scikit_learn(depth):
    jobs, _ = draw_jobs(6)
    own = BoostingLearner(4, depth, 0.1).predict_many(jobs)
    equal = 0
    for job, found in zip(jobs, own, strict=True):
        model = GradientBoostingClassifier(n_estimators=4, max_depth=depth, random_state=job.seed).fit(job.X, job.y)
        equal += np.abs(found - model.predict_proba(job.X_new)[:, 1]).max() < 1e-12
    # A tie of two features may be settled by rounding, which differs between versions.
    assert equal >= 4


@pytest.mark.parametrize("decimals", [8, 1])
def test_boosting_ranks_new_patients_as_well_as_scikit_learn(decimals):
    jobs, truths = draw_jobs(20, decimals=decimals)
    own, theirs = LEARNERS["gradient_boosting"]("founding").predict_many(jobs), reference("gradient_boosting", jobs)
    assert abs(mean_auc(own, truths) - mean_auc(theirs, truths)) < 0.01
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(own, theirs, strict=True)]) > 0.97


def test_boosting_meets_constant_and_repeated_features():
    (job, *_), _ = draw_jobs(1, n=60, p=5)
    X, new = (np.column_stack([np.ones(len(A)), A, A[:, 0], np.zeros(len(A))]) for A in (job.X, job.X_new))
    odd = Job(X, job.y, new, job.codes, job.codes_new, 4, 3)
    learner = BoostingLearner(3, 3, 0.1)
    model = GradientBoostingClassifier(n_estimators=3, random_state=3).fit(X, job.y)
    assert np.abs(learner.predict_many([odd])[0] - model.predict_proba(new)[:, 1]).max() < 1e-12
    flat = Job(X[:, :1], job.y, new[:, :1], job.codes, job.codes_new, 4, 3)
    assert np.allclose(learner.predict_many([flat])[0], job.y.mean())


@pytest.mark.parametrize(("defaults", "n"), [("founding", 90), ("imrad", 90), ("founding", 230)])
def test_networks_are_those_of_scikit_learn_in_single_precision(defaults, n):
    jobs, _ = draw_jobs(3, n=n)
    own, theirs = LEARNERS["neural_network"](defaults).predict_many(jobs), reference("neural_network", jobs, defaults)
    assert max(np.abs(a - b).max() for a, b in zip(own, theirs, strict=True)) < (0.01 if n <= 200 else 0.03)


def test_networks_differ_less_from_scikit_learn_than_its_seeds_do():
    jobs, truths = draw_jobs(6)
    own, theirs = LEARNERS["neural_network"]("founding").predict_many(jobs), reference("neural_network", jobs)
    others = reference("neural_network", [replace(job, seed=job.seed + 1000) for job in jobs])
    assert abs(mean_auc(own, truths) - mean_auc(theirs, truths)) < abs(
        mean_auc(others, truths) - mean_auc(theirs, truths)
    )


@pytest.mark.parametrize("defaults", ["founding", "imrad"])
@pytest.mark.parametrize("decimals", [8, 1])
def test_forests_are_those_of_scikit_learn(defaults, decimals):
    jobs, truths = draw_jobs(3, decimals=decimals)
    own, theirs = LEARNERS["random_forest"](defaults).predict_many(jobs), reference("random_forest", jobs, defaults)
    # A tie may be settled by rounding, which differs between versions; most jobs are equal throughout.
    assert np.median([np.abs(a - b).max() for a, b in zip(own, theirs, strict=True)]) < 1e-12
    assert abs(mean_auc(own, truths) - mean_auc(theirs, truths)) < 0.01


@pytest.mark.parametrize("defaults", ["founding", "imrad"])
def test_logistic_regression_is_the_penalised_optimum(defaults):
    jobs, _ = draw_jobs(4)
    exact = make_classifier("logistic_regression", defaults=defaults).set_params(tol=1e-9, max_iter=10_000)
    own, theirs = (
        LEARNERS["logistic_regression"](defaults).predict_many(jobs),
        EstimatorLearner(exact).predict_many(jobs),
    )
    assert max(np.abs(a - b).max() for a, b in zip(own, theirs, strict=True)) < 1e-6


def test_logistic_regression_converges_where_classes_are_apart():
    (job, *_), _ = draw_jobs(1)
    X = job.X.copy()
    X[:, 0] = 50 * (2 * job.y - 1)
    model = make_classifier("logistic_regression").set_params(tol=1e-9, max_iter=10_000).fit(X, job.y)
    own = LEARNERS["logistic_regression"]("founding").predict_many([replace(job, X=X)])[0]
    assert np.abs(own - model.predict_proba(job.X_new)[:, 1]).max() < 1e-5


@pytest.mark.parametrize(("defaults", "p"), [("founding", 20), ("imrad", 20), ("founding", 5)])
def test_neighbours_vote_as_scikit_learns_do(defaults, p):
    jobs, _ = draw_jobs(4, p=p)
    own, theirs = LEARNERS["knn"](defaults).predict_many(jobs), reference("knn", jobs, defaults)
    assert max(np.abs(a - b).max() for a, b in zip(own, theirs, strict=True)) < (
        1e-12 if defaults == "founding" else 1e-6
    )


def test_a_neighbour_at_no_distance_decides_alone():
    (job, *_), _ = draw_jobs(1)
    same = replace(job, X_new=job.X[:10])
    assert np.array_equal(LEARNERS["knn"]("imrad").predict_many([same])[0], job.y[:10])


@pytest.mark.parametrize(
    ("defaults", "n", "p"), [("founding", 90, 20), ("imrad", 90, 20), ("founding", 60, 4), ("imrad", 250, 5)]
)
def test_support_vectors_take_libsvms_steps(defaults, n, p):
    jobs, _ = draw_jobs(4, n=n, p=p)
    own, theirs = LEARNERS["svm"](defaults).predict_many(jobs), reference("svm", jobs, defaults)
    worst = [np.abs(a - b).max() for a, b in zip(own, theirs, strict=True)]
    # libsvm may set patients aside between steps, which ends at another point within its tolerance.
    assert np.median(worst) < 1e-6 if n < 100 else np.median(worst) < 0.005
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(own, theirs, strict=True)]) > 0.999


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_few_and_equal_rows_are_answered(name):
    X, y = np.ones((6, 3)), np.array([1, 0, 0, 0, 0, 0])
    codes = np.zeros((6, 3), dtype=np.int8)
    found = LEARNERS[name]("founding").predict_many([Job(X, y, X[:2], codes, codes[:2], 4, 1)])[0]
    assert np.isfinite(found).all()
    assert found[0] == found[1]


def test_naive_bayes_is_that_of_the_bins_missing_values_left_out():
    jobs, _ = draw_jobs(4)
    jobs[0].codes[::7, 3] = -1
    jobs[0].codes_new[::5, 2] = -1
    own, theirs = LEARNERS["naive_bayes"]("founding").predict_many(jobs), NaiveBayesLearner().predict_many(jobs)
    assert max(np.abs(a - b).max() for a, b in zip(own, theirs, strict=True)) < 1e-12


def test_the_stacks_own_meta_learner_is_scikit_learns_optimum():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 90)
    bases = np.clip(0.5 + 0.2 * (y[:, None] - 0.5) + 0.2 * rng.normal(size=(90, 7)), 0, 1)
    job = meta_job(bases, y, rng.random((30, 7)))
    exact = EstimatorLearner(LogisticRegression(tol=1e-10, max_iter=10_000)).predict_many([job])[0]
    assert np.abs(make_meta("imrad").predict_many([job])[0] - exact).max() < 1e-7
    assert np.abs(make_meta("sklearn").predict_many([job])[0] - exact).max() < 1e-3
    assert isinstance(make_meta({"stacking": "sklearn"}), EstimatorLearner)
    assert not isinstance(make_meta({"svm": "sklearn"}), EstimatorLearner)
