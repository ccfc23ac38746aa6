"""What every survival learner does alike: check its input, give risks and C."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.survival.outcome import as_outcome, matched_outcome, require_events

__all__ = ["Learner"]


class Learner(BaseEstimator):  # type: ignore[misc]
    """What every learner does the same: check its input, give risks and C."""

    def _checked(self, X: Any, y: Any) -> tuple[FloatArray, FloatArray, BoolArray]:
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        time, event = matched_outcome(X, y)
        require_events(event)
        return X, time, event

    def predict(self, X: Any) -> FloatArray:
        """Return risks; higher is an earlier event."""
        check_is_fitted(self)
        return self._risk(validate_data(self, X, dtype=np.float64, reset=False))

    def _risk(self, X: FloatArray) -> FloatArray:
        raise NotImplementedError

    def score(self, X: Any, y: Any) -> float:
        """Return Harrell's C."""
        time, event = as_outcome(y)
        return harrell_c(time, event, self.predict(X))
