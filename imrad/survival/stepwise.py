"""Stepwise Cox regression by Akaike's information criterion, as MASS::stepAIC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from imrad.exceptions import ConfigError
from imrad.survival.columns import Chooser, checked_training
from imrad.survival.coxph import CoxPH
from imrad.survival.partial_likelihood import CoxRows, independent_columns, newton

__all__ = ["StepwiseAIC"]


class StepwiseAIC(Chooser, BaseEstimator):  # type: ignore[misc]
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
        X, time, event = checked_training(self, X, y)
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
        rows = CoxRows.sort(X, time, event)
        independent = len(independent_columns(rows, ties=self.ties)) == X.shape[1]
        known: dict[frozenset[str], float] = {}
        # Coefficients of the last fit begin the next, which differs by a term.
        coef = np.zeros(X.shape[1])

        def criterion(kept: list[str]) -> float:
            key = frozenset(kept)
            if key not in known:
                columns = [j for name in kept for j in terms[name]]
                fitted = newton(rows.take(columns), ties=self.ties, start=coef[columns], independent=independent)
                if not fitted.separated.any():
                    coef[columns] = np.nan_to_num(fitted.coef)
                known[key] = -2 * fitted.log_likelihood + self.k * int(np.isfinite(fitted.coef).sum())
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
