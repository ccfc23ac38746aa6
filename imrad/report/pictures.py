"""Small pictures of regions that an extraction has kept: which are shown, and how an outline is laid on its slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps

from imrad import content
from imrad.exceptions import InputError
from imrad.report.page import Text

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from imrad.report.tables import RunTables

__all__ = ["MOST", "chosen", "inside", "lay", "outlined", "picture_case", "pictures", "relevance", "with_origin"]

MOST = 48
"""So many pictures are drawn: a sheet that a page holds, and less than a megabyte."""
RIM = (230, 159, 0)

ORIGINS = {
    "stand-in": (
        "The slices and maps are a stand-in's: generated, with the relevance laid on the generated lesion, and "
        "imported as ready-made maps are. No network computed them; they show the figure, not a finding.",
        "这些层面与热图属于替代数据：由程序生成，热图置于生成的病灶上，并按现成热图的方式导入。它们并非由任何网络计算，"
        "只展示图的形式，不是结果。",
    ),
    "imported": (
        "The maps came with the ready-made vectors; they were not computed here.",
        "热图随现成的特征向量一并提供，并非在此计算。",
    ),
}
"""What is said of maps by where they come from."""

Picture = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]
Mapped = tuple[Any, Any, Any]


def pictures(tables: RunTables) -> dict[tuple[str, str], Picture]:
    """Return the grey slice and the outline of every case that kept one, by patient and case."""
    path = tables.run.folder / "extract" / "thumbnails.zip"
    if not path.exists():
        return {}
    try:
        kept = content.load(path)
        found = {(str(patient), str(case)): (np.asarray(grey), np.asarray(rim)) for patient, case, grey, rim in kept}
    except (InputError, ValueError, TypeError, KeyError):
        # A sheet of pictures that cannot be read costs the report its mosaic, not the rest.
        return {}
    return {key: pair for key, pair in found.items() if pair[0].ndim == 2 and pair[0].shape == pair[1].shape}


def relevance(tables: RunTables) -> dict[tuple[str, str], Mapped]:
    """Return grey slice, relevance and outline of every case that has them, by patient and case.

    Those that a deep encoder made here, and those that came with ready-made vectors.
    """
    found: dict[tuple[str, str], Any] = {}
    for name in ("extract/relevance.zip", "cohort/relevance.zip"):
        path = tables.run.folder / name
        if not path.exists():
            continue
        try:
            found |= {(str(row[0]), str(row[1])): tuple(map(np.asarray, row[2:])) for row in content.load(path)}
        except (InputError, ValueError, TypeError, KeyError, IndexError):
            # As above: pictures that cannot be read cost the report these pictures only.
            continue
    return {
        key: (three[0], three[1], three[2])
        for key, three in found.items()
        if len(three) == 3 and three[0].ndim == 2 and three[0].shape == three[1].shape == three[2].shape
    }


def with_origin(tables: RunTables, caption: Text) -> Text:
    """Return a caption that also says where the maps of relevance come from, where they were not made in this run."""
    table = tables.get("cohort/relevance.csv")
    sources = set() if table is None else set(table["source"])
    if not sources:
        return caption
    english, chinese = ORIGINS["stand-in" if "stand-in" in sources else "imported"]
    return Text(f"{caption.en} {english}", f"{caption.zh}{chinese}", caption.parts)


def inside(mapped: Mapped) -> tuple[float, float]:
    """Return the share of a slice's relevance that lies within the outline, and the share of its area."""
    from scipy.ndimage import binary_fill_holes

    _, heat, rim = mapped
    region = binary_fill_holes(rim > 0)
    total = float(heat.sum(dtype=float))
    if not region.any() or total == 0:
        return float("nan"), float("nan")
    return float(heat[region].sum(dtype=float)) / total, float(region.mean())


def lay(axes: Axes, mapped: Mapped, *, heated: bool) -> None:
    """Draw a grey slice with its outline, and the relevance over it where asked for."""
    grey, heat, rim = mapped
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="none")
    if rim.any():
        axes.contour(rim > 0, levels=[0.5], colors="#E69F00", linewidths=0.6)
    if heated:
        level = heat / 255.0
        # The colours carry their own transparency: an image of its own pixels forgets an array of it.
        colours = colormaps["inferno"](level)
        colours[..., 3] = 0.85 * np.sqrt(level)
        axes.imshow(colours, interpolation="none")


def picture_case(row: Mapping[Hashable, Any], kept: dict[tuple[str, str], Picture]) -> str:
    """Return the case under which a quality row has its picture, by region, reader or part; empty if it has none."""
    patient, case = str(row["patient"]), str(row["case"])
    told = [row.get(name) for name in ("region", "reader")]
    known = [value for value in told if not (value is None or value != value or value == "")]
    # A column of numbers with gaps was read as one of fractions.
    apart = "".join(f"/{value:g}" if isinstance(value, float) else f"/{value}" for value in known)
    names = (f"{case}{apart}", case, f"{case.rpartition('/')[0]}{apart}")
    return next((name for name in names if (patient, name) in kept), "")


def chosen(quality: pd.DataFrame, kept: dict[tuple[str, str], Picture], most: int = MOST) -> pd.DataFrame:
    """Return the rows of the cases to be shown: first those with flags, then evenly from small to large regions.

    Returns
    -------
    DataFrame
        At most `most` rows of `quality`, ordered by volume, with a running ``number`` from 1 and ``picture``, the
        case under which the picture is kept.
    """
    quality = quality.assign(picture=[picture_case(row, kept) for row in quality.to_dict("records")])
    rows = quality[quality["picture"] != ""].sort_values("volume_ml", kind="stable")
    flagged = rows[rows["flags"].fillna("") != ""].head(most // 2) if "flags" in rows else rows.iloc[:0]
    others = rows.drop(index=flagged.index)
    room = most - len(flagged)
    if len(others) > room:
        others = others.iloc[np.unique(np.linspace(0, len(others) - 1, room).round().astype(int))]
    out = rows.loc[[*flagged.index, *others.index]].sort_values("volume_ml", kind="stable").reset_index(drop=True)
    out.insert(0, "number", np.arange(1, len(out) + 1))
    return out


def outlined(picture: Picture) -> Any:
    """Return a slice with its outline in colour: an array of uint8, (side, side, 3)."""
    grey, rim = picture
    colour = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    colour[rim > 0] = RIM
    return colour
