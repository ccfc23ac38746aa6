"""From sections to one HTML file that needs no network: text is escaped, drawings are inlined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from imrad.report.displays import Display
from imrad.report.page import Note, Section, Shown

__all__ = ["render", "shown_value"]


def shown_value(value: Any, spec: str = "") -> str:
    """Return a cell as the page shows it; a missing value is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if spec and isinstance(value, int | float):
        return _p(float(value)) if spec == "p" else format(value, spec)
    return str(value)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _kind(block: Any) -> str:
    return {Note: "note", Shown: "table", Display: "figure"}[type(block)]


def render(title: str, subtitle: str, sections: Sequence[Section], *, language: str = "en") -> str:
    """Return the page.

    Parameters
    ----------
    title, subtitle : str
        Heading of the page.
    sections : sequence of Section
        In the reader's order.
    language : {"en", "zh"}
        For the page's ``lang``.
    """
    environment = Environment(
        loader=PackageLoader("imrad.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown_value
    environment.filters["kind"] = _kind
    template = environment.get_template("report.html.j2")
    return template.render(title=title, subtitle=subtitle, sections=sections, language=language)
