"""What is installed, and what every method is: the texts of ``imrad doctor`` and ``imrad methods``."""

from __future__ import annotations

import platform
import sys
from importlib import import_module, metadata, util
from typing import TYPE_CHECKING

from imrad.exceptions import ConfigError

if TYPE_CHECKING:
    from imrad.cards import Card

__all__ = ["cards", "doctor", "methods"]

ROOMS = ("radiomics", "immune", "phenotype", "survival", "evaluation")

CORE = (
    *("numpy", "scipy", "pandas", "scikit-learn", "scikit-survival", "lifelines", "anndata", "mrmr-selection"),
    *("numba", "SimpleITK", "PyWavelets", "pydicom", "statsmodels", "requests", "idc-index-data", "duckdb"),
    *("matplotlib", "jinja2", "skops", "shap", "pydantic", "typer"),
)

EXTRAS = {
    "pyradiomics": ("radiomics", "imrad extract --engine pyradiomics and --compare"),
    "tcia": ("tcia_utils", "the TCIA/NBIA cross-check and fallback of imrad fetch"),
    "dask": ("distributed", "--cluster ADDRESS on an existing Dask scheduler"),
    "deep": ("torch", "deep feature vectors from a user's own network"),
    "onnx": ("onnxruntime", "the same from an .onnx encoder"),
}


def doctor() -> str:
    """Return what is installed and what that enables, as text."""
    lines = [f"Python {platform.python_version()} on {platform.platform()}", ""]
    missing = []
    for name in ("imrad", *CORE):
        try:
            lines.append(f"  ok       {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
            lines.append(f"  MISSING  {name}")
    lines.append("")
    for extra, (module, enables) in EXTRAS.items():
        there = util.find_spec(module) is not None
        lines.append(f"  {'ok      ' if there else 'absent  '} extra {extra}: {enables}")
        if not there:
            lines.append(f"           {_how(extra)}")
    lines.append("")
    if sys.version_info >= (3, 13):
        lines.append(
            "Python 3.13: installing scikit-survival needs a C compiler, since its part ecos has no wheel there."
        )
    if missing:
        lines.append(f"Incomplete: {', '.join(missing)} missing; run  pip install -c constraints.txt imrad  again.")
    else:
        lines.append("Everything that the main job needs is here:  imrad demo")
    return "\n".join(lines)


def _how(extra: str) -> str:
    if extra == "pyradiomics":
        if sys.version_info >= (3, 12):
            return "pyradiomics 3.0.1 cannot be built on Python 3.12 and later; imrad's own engine gives its values"
        return (
            "pip install numpy 'setuptools<81' wheel versioneer && "
            "pip install --no-build-isolation pyradiomics==3.0.1   (needs a C compiler)"
        )
    return f"pip install 'imrad[{extra}]'"


def cards() -> list[Card]:
    """Return the cards of every room."""
    found: list[Card] = []
    for room in ROOMS:
        found += import_module(f"imrad.{room}.cards").CARDS
    return found


def methods(kind: str | None = None) -> str:
    """Return the method cards as text, by kind, and the language of targets.

    Raises
    ------
    ConfigError
        If no card is of that kind.
    """
    found = cards()
    kinds = list(dict.fromkeys(card.kind for card in found))
    if kind is not None and kind not in kinds:
        message = f"no method of kind '{kind}'; the kinds are {', '.join(kinds)}"
        raise ConfigError(message)
    lines = []
    for name in kinds if kind is None else [kind]:
        lines.append(f"{name}")
        for card in found:
            if card.kind == name:
                facts = "; ".join(part for part in (card.range, card.unit) if part)
                lines.append(f"  {card.name}{f'  ({facts})' if facts else ''}")
                lines.append(f"      {card.summary}")
                if card.reference:
                    lines.append(f"      {card.reference}")
        lines.append("")
    if kind is None:
        lines.append("targets")
        lines += [f"  {name}\n      {text}" for name, text in import_module("imrad.immune").target_help()]
    return "\n".join(lines)
