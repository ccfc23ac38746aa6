"""The random numbers of scikit-learn's trees, so that ours visit features in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np

from imrad.compiled import compiled

__all__ = ["RAND_R_MAX", "draw_feature", "splitter_seeds"]

RAND_R_MAX = 2147483647


@compiled(nogil=True)
def draw_feature(state: Any, low: Any, high: Any) -> Any:
    """Return a number in low .. high - 1 by a 32-bit xorshift whose state is changed in place."""
    value = state[0]
    if value == 0:
        value = np.uint32(1)
    value ^= np.uint32(value << np.uint32(13))
    value ^= np.uint32(value >> np.uint32(17))
    value ^= np.uint32(value << np.uint32(5))
    state[0] = value
    return low + np.int64(value & np.uint32(0x7FFFFFFF)) % (high - low)


def splitter_seeds(seed: int, n_trees: int) -> np.ndarray[Any, Any]:
    """Return the splitters' seeds of trees that share one stream, as boosting's do."""
    return np.random.RandomState(seed).randint(0, RAND_R_MAX, size=n_trees).astype(np.uint32)
