"""imrad's own fast learners, by classifier name.

Each entry of :data:`LEARNERS` makes a :class:`~imrad.phenotype.learners.Learner` from the name of a
set of defaults; a name that is missing here is served by scikit-learn. A learner sees all jobs of a
task together and may batch them, but its answer to a job must not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imrad.phenotype.learners import Learner

__all__ = ["LEARNERS"]


def _bayes(defaults: str) -> Learner:
    from imrad.phenotype.kernels.bayes import bayes_learner

    return bayes_learner(defaults)


def _boosting(defaults: str) -> Learner:
    from imrad.phenotype.kernels.boosting import boosting_learner

    return boosting_learner(defaults)


def _network(defaults: str) -> Learner:
    from imrad.phenotype.kernels.network import network_learner

    return network_learner(defaults)


def _forest(defaults: str) -> Learner:
    from imrad.phenotype.kernels.forest import forest_learner

    return forest_learner(defaults)


def _logistic(defaults: str) -> Learner:
    from imrad.phenotype.kernels.linear import logistic_learner

    return logistic_learner(defaults)


def _neighbours(defaults: str) -> Learner:
    from imrad.phenotype.kernels.neighbours import neighbours_learner

    return neighbours_learner(defaults)


def _vectors(defaults: str) -> Learner:
    from imrad.phenotype.kernels.vectors import vectors_learner

    return vectors_learner(defaults)


LEARNERS: dict[str, Callable[[str], Learner]] = {
    "naive_bayes": _bayes,
    "svm": _vectors,
    "knn": _neighbours,
    "logistic_regression": _logistic,
    "random_forest": _forest,
    "neural_network": _network,
    "gradient_boosting": _boosting,
}
