"""Risk sets as a matrix: gradients and information of many columns at once, for boosting and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from imrad.evaluation.outcomes import BoolArray, FloatArray

__all__ = ["Turns"]


@dataclass(frozen=True)
class Turns:
    """The terms of a partial likelihood, one a death (Efron) or one a death time (Breslow).

    Attributes
    ----------
    member : ndarray, shape (n_turns, n_patients)
        1 for patients at risk, 1 - f for those who die at that time (f is Efron's share), else 0.
    share : ndarray, shape (n_turns,)
        Deaths that a term stands for.
    event : ndarray of bool, shape (n_patients,)
    """

    member: FloatArray
    share: FloatArray
    event: BoolArray

    @classmethod
    def of(cls, time: FloatArray, event: BoolArray, *, ties: str = "efron") -> Self:
        """Lay out the risk sets of all event times."""
        rows, shares = [], []
        for moment in np.unique(time[event]):
            at_risk = (time >= moment).astype(float)
            died = event & (time == moment)
            deaths = int(died.sum())
            turns = deaths if ties == "efron" else 1
            for turn in range(turns):
                rows.append(at_risk - died * (turn / deaths if ties == "efron" else 0.0))
                shares.append(deaths / turns)
        member = np.array(rows) if rows else np.zeros((0, len(time)))
        return cls(member, np.array(shares), event)

    def _shares_of_risk(self, score: FloatArray) -> FloatArray:
        risk = np.exp(np.maximum(score - score.max(), -700.0))
        weighted = self.member * risk
        return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))

    def residual(self, score: FloatArray) -> FloatArray:
        """Return events minus expected events, the gradient in the score."""
        return np.asarray(self.event - self.share @ self._shares_of_risk(score))

    def derivatives(self, columns: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and information of the columns together."""
        part = self._shares_of_risk(score)
        mean = part @ columns
        gradient = self.event @ columns - self.share @ mean
        total = self.share @ part
        information = (columns * total[:, None]).T @ columns - (mean * self.share[:, None]).T @ mean
        return gradient, information

    def marginal(self, columns: FloatArray, squares: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the gradient and information of each column alone."""
        part = self._shares_of_risk(score)
        mean = part @ columns
        gradient = self.event @ columns - self.share @ mean
        return gradient, (self.share @ part) @ squares - self.share @ mean**2

    def log_likelihood(self, scores: FloatArray) -> FloatArray:
        """Return the log partial likelihood of each column of scores."""
        top = scores.max(axis=0)
        return np.asarray(
            self.event @ scores - self.share @ (np.log(self.member @ np.exp(np.maximum(scores - top, -700.0))) + top)
        )
