"""Small pictures of regions that an extraction has kept: which are shown, and how an outline is laid on its slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imrad import content
from imrad.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from imrad.report.tables import RunTables

__all__ = ["MOST", "chosen", "outlined", "pictures", "relevance"]

MOST = 48
"""So many pictures are drawn: a sheet that a page holds, and less than a megabyte."""
RIM = (230, 159, 0)

Picture = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]


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


def relevance(tables: RunTables) -> dict[tuple[str, str], tuple[Any, Any, Any]]:
    """Return grey slice, relevance and outline of every case that a deep encoder kept, by patient and case."""
    path = tables.run.folder / "extract" / "relevance.zip"
    if not path.exists():
        return {}
    try:
        found = {(str(row[0]), str(row[1])): tuple(map(np.asarray, row[2:])) for row in content.load(path)}
    except (InputError, ValueError, TypeError, KeyError, IndexError):
        # As above: pictures that cannot be read cost the report these pictures only.
        return {}
    return {
        key: (three[0], three[1], three[2])
        for key, three in found.items()
        if len(three) == 3 and three[0].ndim == 2 and three[0].shape == three[1].shape == three[2].shape
    }


def chosen(quality: pd.DataFrame, kept: dict[tuple[str, str], Picture], most: int = MOST) -> pd.DataFrame:
    """Return the rows of the cases to be shown: first those with flags, then evenly from small to large regions.

    Returns
    -------
    DataFrame
        At most `most` rows of `quality`, ordered by volume, with a running ``number`` from 1.
    """
    keys = list(zip(quality["patient"].astype(str), quality["case"].astype(str), strict=True))
    rows = quality[[key in kept for key in keys]].sort_values("volume_ml", kind="stable")
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
