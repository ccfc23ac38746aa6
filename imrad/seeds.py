"""One seed in the config; every random step draws its own child seed by name."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["child_seed", "generator"]


def child_seed(seed: int, *names: object) -> int:
    """Derive a 32-bit seed from a parent seed and a path of names.

    A step's seed depends on its own names alone, so adding a classifier, a target or a worker
    changes no other step.
    """
    text = "/".join([str(int(seed)), *(str(name) for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return NumPy's generator for the child seed of `names`."""
    return np.random.default_rng(child_seed(seed, *names))
