"""A figure is a table plus a drawing: the table is tested and downloaded, the drawing is derived."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from imrad.report.page import Text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLOURS", "MARKERS", "STYLES", "Display", "short_term", "two_lines"]

# Okabe and Ito's colours stay apart for the colour-blind; line styles and markers keep them apart in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

FONTS = "'DejaVu Sans', Verdana, Arial, 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', sans-serif"

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.grid": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    # Words stay words: they can be searched, read aloud, and drawn in any script the reader's machine has.
    "svg.fonttype": "none",
    "text.parse_math": False,
    # A fixed salt keeps the ids, and so the bytes, of a drawing the same from run to run.
    "svg.hashsalt": "imrad",
}


LONGEST = 45
"""Characters of a name that is drawn whole."""


@dataclass(frozen=True)
class Display:
    """One figure of the report.

    Attributes
    ----------
    name : str
        Stem of its files in ``report_data/`` and its id on the page.
    title : str
        What it shows.
    caption : str or Text
        How to read it, what was fitted on whom.
    table : DataFrame
        Everything that is drawn.
    draw : callable
        Draws the table on a matplotlib figure.
    alt : str
        The finding in words, for those who do not see the drawing.
    width, height : float
        Inches; 5.6 is the width of a column.
    """

    name: str
    title: str
    caption: str | Text
    table: pd.DataFrame
    draw: Callable[[Figure, pd.DataFrame], None]
    alt: str = ""
    width: float = 5.6
    height: float = 3.4

    def figure(self) -> Figure:
        """Return the drawing as a matplotlib figure."""
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(self.width, self.height), layout="constrained")
            self.draw(figure, self.table)
            _shorten(figure)
        return figure

    def svg(self) -> str:
        """Return the drawing as an SVG element, the same bytes for the same table."""
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            # Glyphs that matplotlib's own font lacks are drawn by the reader's.
            warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
            figure = Figure(figsize=(self.width, self.height), layout="constrained")
            self.draw(figure, self.table)
            _shorten(figure)
            buffer = io.StringIO()
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = text.replace("'DejaVu Sans'", FONTS)
        # Ids must be unique on a page that holds many drawings.
        return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", text)


def _shorten(figure: Figure) -> None:
    """Take the middle out of names so long that no room would be left for the drawing; the table has them whole."""
    for axes in figure.axes:
        legend = axes.get_legend()
        for text in legend.get_texts() if legend is not None else ():
            text.set_text(_short(text.get_text()))
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                texts = [text.get_text() for text in axis.get_ticklabels()]
                if any(_short(text) != text for text in texts):
                    axis.set_ticklabels([_short(text) for text in texts])
    for legend in figure.legends:
        for text in legend.get_texts():
            text.set_text(_short(text.get_text()))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST or "\n" in text else f"{text[: LONGEST - 15]}…{text[-14:]}"


def two_lines(name: str, width: int = 26) -> str:
    """Return a name that fits over a panel: broken once, where it breaks by itself, the middle taken out if longer."""
    if len(name) <= width:
        return name
    breaks = [at for at in range(width // 3, width + 1) if name[at - 1] in "_:- "]
    at = breaks[-1] if breaks else width
    rest, half = name[at:], width // 2 - 1
    return f"{name[:at]}\n{rest if len(rest) <= width else f'{rest[:half]}…{rest[-half:]}'}"


def short_term(name: str, longest: int = 34) -> str:
    """Return a term's name for an axis or a key, the middle taken out where it is long."""
    return name if len(name) <= longest else f"{name[:15]}…{name[-18:]}"
