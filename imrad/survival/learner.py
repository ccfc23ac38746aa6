"""What every survival learner does alike: check its input, give risks and C."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.survival.columns import checked_columns, checked_training
from imrad.survival.outcome import as_outcome

__all__ = ["Learner"]


class Learner(BaseEstimator):  # type: ignore[misc]
    """What every learner does the same: check its input, give risks and C."""

    def _checked(self, X: Any, y: Any) -> tuple[FloatArray, FloatArray, BoolArray]:
        return checked_training(self, X, y)

    def predict(self, X: Any) -> FloatArray:
        """Return risks; higher is an earlier event."""
        check_is_fitted(self)
        return self._risk(checked_columns(self, X, fitted=True))

    def _risk(self, X: FloatArray) -> FloatArray:
        raise NotImplementedError

    def score(self, X: Any, y: Any) -> float:
        """Return Harrell's C."""
        time, event = as_outcome(y)
        return harrell_c(time, event, self.predict(X))
