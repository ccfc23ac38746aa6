"""From sections to one HTML file that needs no network: text is escaped, drawings and tables are inlined."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imrad.report.chinese import both, in_both
from imrad.report.displays import Display
from imrad.report.page import Calculator, Note, Section, Shown, Text, shown_value

__all__ = ["render"]

_KINDS: dict[type, str] = {Note: "note", Shown: "table", Display: "figure", Calculator: "calculator"}


def _kind(block: Any) -> str:
    return _KINDS[type(block)]


def _json(value: Any) -> Markup:
    """Return JSON that cannot end a script element, whatever the data hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _script() -> str:
    return resources.files("imrad.report").joinpath("templates", "report.js").read_text(encoding="utf-8")


def render(
    title: str,
    subtitle: Text,
    sections: Sequence[Section],
    *,
    language: str = "en",
    drawings: Mapping[str, str],
    tables: Mapping[str, str],
) -> str:
    """Return the page.

    Parameters
    ----------
    title, subtitle : str, Text
        Heading of the page.
    sections : sequence of Section
        In the reader's order.
    language : {"en", "zh"}
        In which the page opens.
    drawings : mapping
        SVG of every display by its name.
    tables : mapping
        CSV of every display and table by its name, for downloads from the page alone.
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
    environment.filters["embedded"] = _json
    environment.filters["both"] = lambda words: words if isinstance(words, Text) else both(words)
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Only this very script may run, and nothing may be asked of any network.
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:"
    template = environment.get_template("report.html.j2")
    return template.render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        language=language,
        drawings={name: Markup(in_both(svg)) for name, svg in drawings.items()},
        tables=tables,
        script=Markup(script),
        policy=policy,
    )
