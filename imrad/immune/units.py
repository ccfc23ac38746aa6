"""Which scale expression values are on, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imrad.exceptions import ScoreError

__all__ = ["Scale", "detect_scale", "named_scale", "to_linear"]

MILLION = 1e6
_LOG_CEILING = 50.0
_BASES = {"log2": 2.0, "ln": float(np.e), "log10": 10.0}


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a matrix.

    Attributes
    ----------
    unit : str
        ``counts``, ``TPM``, ``FPKM`` (or another depth-normalised linear unit), ``intensity``
        (microarray) or ``z-score``.
    log : str
        Empty for a linear scale, else ``log2``, ``ln`` or ``log10``.
    offset : float
        What was added before the logarithm.
    evidence : str
        What was seen in the values.
    """

    unit: str
    log: str = ""
    offset: float = 0.0
    evidence: str = ""

    def __str__(self) -> str:
        if not self.log:
            return self.unit
        return f"{self.log}({self.unit} + {self.offset:g})" if self.offset else f"{self.log}({self.unit})"


def named_scale(unit: str) -> Scale:
    """Return the scale that the user names: counts, tpm, fpkm, linear, log2, ln, log10 or z-score."""
    said = "stated by the user"
    plain = {"counts": "counts", "tpm": "TPM", "fpkm": "FPKM", "linear": "linear", "z-score": "z-score"}
    if unit in plain:
        return Scale(plain[unit], evidence=said)
    if unit in _BASES:
        return Scale("linear", unit, 1.0, said)
    message = f"unknown unit {unit!r}; write one of auto, {', '.join([*plain, *_BASES])}"
    raise ScoreError(message)


def detect_scale(values: np.ndarray[Any, Any]) -> Scale:
    """Detect the scale of a genes x samples matrix.

    The rules, in order: negative values beyond a logarithm's floor, centred on zero, are z-scores;
    a maximum of 50 or more means a linear scale, below it a logarithm (CIBERSORT's own rule);
    whole numbers are counts; columns that sum to a million are TPM; a floor shared by many genes
    tells the offset of a logarithm.

    Parameters
    ----------
    values : ndarray of shape (n_genes, n_samples)
        All genes: sums over a selection say nothing.

    Raises
    ------
    ScoreError
        If the matrix is constant or holds no finite value.
    """
    picked = values[:, np.unique(np.linspace(0, values.shape[1] - 1, min(values.shape[1], 64)).astype(int))]
    sample = np.asarray(picked, dtype=float)
    finite = sample[np.isfinite(sample)]
    if finite.size == 0 or finite.min() == finite.max():
        message = "the expression matrix holds no finite or no varying values; give measured expression"
        raise ScoreError(message)
    low, high = float(finite.min()), float(finite.max())
    floor_share = float((finite == low).mean())
    if low < 0 and high >= _LOG_CEILING:
        return Scale("intensity", evidence=f"values from {low:.3g} to {high:.3g}: background-subtracted, not logged")
    if low < 0:
        return _negative(sample, finite, low, high, floor_share)
    if high >= _LOG_CEILING:
        return _linear(sample, finite, high)
    return _logged(sample, finite, low, high, floor_share)


def _negative(
    sample: np.ndarray[Any, Any], finite: np.ndarray[Any, Any], low: float, high: float, floor_share: float
) -> Scale:
    offset = 2.0**low
    if floor_share > 0.001 and low < -1 and abs(np.log10(offset) - round(np.log10(offset))) < 1e-3:
        restored = np.where(np.isfinite(sample), 2.0**sample - offset, 0.0)
        unit = "TPM" if _near_million(restored) else "FPKM"
        said = f"{floor_share:.0%} of values sit at log2({offset:.3g}) = {low:.4f}"
        return Scale(unit, "log2", round(offset, 12), said)
    centre, spread = float(np.median(finite)), float(finite.std())
    if abs(centre) < 0.5 * spread or low < -30:
        said = f"values from {low:.3g} to {high:.3g} with median {centre:.2g}: centred, the level of each gene is lost"
        return Scale("z-score", evidence=said)
    return Scale("intensity", "log2", 0.0, f"values from {low:.3g} to {high:.3g} with median {centre:.2g}")


def _linear(sample: np.ndarray[Any, Any], finite: np.ndarray[Any, Any], high: float) -> Scale:
    if np.array_equal(finite, np.rint(finite)):
        return Scale("counts", evidence=f"all values are whole numbers, the largest {high:.0f}")
    if _near_million(sample):
        return Scale("TPM", evidence=f"largest value {high:.4g}; columns sum to {_sums(sample)}, a million")
    zeros = float((finite == 0).mean())
    if zeros == 0 and float(np.median(finite)) > 20 and high < 2.0**17:
        return Scale("intensity", evidence=f"no zeros, largest value {high:.4g}: an array's linear scale")
    near_whole = float((np.abs(finite - np.rint(finite)) < 1e-6).mean())
    if near_whole > 0.9 and high > 10_000:
        return Scale("counts", evidence=f"{near_whole:.0%} of values are whole: expected counts")
    return Scale("FPKM", evidence=f"largest value {high:.4g}, not whole; columns sum to {_sums(sample)}, not a million")


def _logged(
    sample: np.ndarray[Any, Any], finite: np.ndarray[Any, Any], low: float, high: float, floor_share: float
) -> Scale:
    seen = f"values from {low:.3g} to {high:.3g}, below {_LOG_CEILING:g}: a logarithm"
    if low > 0 or floor_share < 0.001:
        return Scale("intensity", "log2", 0.0, f"{seen}; no floor at zero, as in array data")
    for log, base in _BASES.items():
        with np.errstate(over="ignore"):
            restored = np.power(base, np.where(np.isfinite(sample), sample, 0.0)) - 1.0
        if not np.isfinite(restored).all():
            continue
        whole = float((np.abs(restored - np.rint(restored)) < 1e-3 * np.maximum(restored, 1.0)).mean())
        big = restored[restored > 2]
        apart = float((np.abs(big - np.rint(big)) < 1e-3).mean()) if big.size else 0.0
        if whole > 0.95 and apart > 0.9 and restored.max() > 100:
            return Scale("counts", log, 1.0, f"{seen}; {log} restored less 1 gives whole numbers")
        if _near_million(restored):
            return Scale("TPM", log, 1.0, f"{seen}; {log} restored less 1 gives columns that sum to a million")
    return Scale("FPKM", "log2", 1.0, f"{seen}; {floor_share:.0%} of values at zero, so 1 was added; unit not known")


def _sums(sample: np.ndarray[Any, Any]) -> str:
    return f"{float(np.median(np.nansum(sample, axis=0))):.4g}"


def _near_million(sample: np.ndarray[Any, Any]) -> bool:
    sums = np.nansum(sample, axis=0)
    return bool(np.mean(np.abs(sums / MILLION - 1) < 0.02) > 0.9)


def to_linear(values: np.ndarray[Any, Any], scale: Scale) -> np.ndarray[Any, Any]:
    """Return values on the linear scale, never below zero where an offset is taken off."""
    if not scale.log:
        return values
    restored = np.asarray(np.power(_BASES[scale.log], values))
    return np.maximum(restored - scale.offset, 0.0) if scale.offset else restored
