"""Functions compiled by numba, kept on disk where there is a place for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled", "keeps"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return numba's ``njit`` with these options and a cache; without one where no folder can be written.

    numba keeps compiled functions beside their source or in the user's cache folder. Where both are
    read-only (an install by an administrator, an account without a home) it refuses at import;
    compiling anew in every process is slower and gives the same numbers.
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            made: Callable[..., Any] = njit(cache=True, **options)(function)
        except RuntimeError:  # numba found no folder that it may write to
            made = njit(**options)(function)
        return made

    return wrap


def keeps() -> bool:
    """Return whether other processes find on disk what this one compiles."""

    @compiled()
    def probe() -> None:
        pass

    return getattr(getattr(probe, "stats", None), "cache_path", None) is not None
