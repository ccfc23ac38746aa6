"""Stepwise Cox regression by Akaike's information criterion, as MASS::stepAIC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import ConfigError
from imrad.survival.coxph import CoxPH
from imrad.survival.outcome import matched_outcome, require_events
from imrad.survival.partial_likelihood import CoxRows, newton

__all__ = ["StepwiseAIC"]


class StepwiseAIC(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Add and drop terms of a Cox model while that lowers ``-2 log likelihood + k * columns``.

    Parameters
    ----------
    direction : {"both", "backward", "forward"}
        ``both`` and ``backward`` begin with every term, ``forward`` with none.
    k : float
        2 for AIC; the logarithm of the number of events for BIC.
    terms : mapping of str to sequence of int, optional
        Columns that enter and leave together, such as the classes of one factor.
    ties : {"efron", "breslow"}

    Attributes
    ----------
    selected_terms_ : list of str
        In the order of the final model.
    selected_ : ndarray of int
        Their columns.
    steps_ : DataFrame
        step (``""``, ``"- age"``, ``"+ sex"``) and its criterion.
    aic_ : float
        Of the final model, with k = 2.
    model_ : CoxPH or None
        The final model on the selected columns; None if no term is left.
    """

    def __init__(
        self,
        *,
        direction: str = "both",
        k: float = 2.0,
        terms: Mapping[str, Sequence[int]] | None = None,
        ties: str = "efron",
    ) -> None:
        self.direction = direction
        self.k = k
        self.terms = terms
        self.ties = ties

    def fit(self, X: Any, y: Any) -> Self:
        """Search.

        Raises
        ------
        ConfigError
            If `direction` is unknown.
        TooFewEventsError
            If there is no event.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        time, event = matched_outcome(X, y)
        require_events(event)
        if self.direction not in ("both", "backward", "forward"):
            message = f"direction must be both, backward or forward; found {self.direction!r}"
            raise ConfigError(message)
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(X.shape[1])])
        terms = (
            {str(name): [j] for j, name in enumerate(names)}
            if self.terms is None
            else {str(name): list(columns) for name, columns in self.terms.items()}
        )
        current = [] if self.direction == "forward" else list(terms)
        known: dict[frozenset[str], float] = {}

        def criterion(kept: list[str]) -> float:
            key = frozenset(kept)
            if key not in known:
                known[key] = self._criterion(X, time, event, [j for name in kept for j in terms[name]])
            return known[key]

        best = criterion(current)
        trail = [("", best)]
        while True:
            moves: list[tuple[float, str, list[str]]] = []
            if self.direction != "forward":
                moves += [
                    (
                        criterion([item for item in current if item != name]),
                        f"- {name}",
                        [i for i in current if i != name],
                    )
                    for name in current
                ]
            if self.direction != "backward":
                moves += [
                    (criterion([*current, name]), f"+ {name}", [*current, name])
                    for name in terms
                    if name not in current
                ]
            if not moves:
                break
            value, label, kept = min(moves, key=lambda move: move[0])
            if value >= best - 1e-7:
                break
            best, current = value, kept
            trail.append((label, best))
        self.selected_terms_ = current
        self.selected_ = np.array([j for name in current for j in terms[name]], dtype=np.intp)
        self.steps_ = pd.DataFrame(trail, columns=["step", "criterion"])
        columns = len(self.selected_)
        self.aic_ = best + (2 - self.k) * columns
        chosen = pd.DataFrame(X[:, self.selected_], columns=[str(names[j]) for j in self.selected_])
        self.model_ = CoxPH(ties=self.ties).fit(chosen, (time, event)) if columns else None
        return self

    def _criterion(self, X: FloatArray, time: FloatArray, event: BoolArray, columns: list[int]) -> float:
        fitted = newton(CoxRows.sort(X[:, columns], time, event), ties=self.ties)
        return -2 * fitted.log_likelihood + self.k * int(np.isfinite(fitted.coef).sum())

    def _get_support_mask(self) -> BoolArray:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.selected_] = True
        return mask
