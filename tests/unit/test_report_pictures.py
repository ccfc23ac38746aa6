"""Which picture belongs to which measured region, where a case has several readers, regions or parts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad import content
from imrad.config import Config
from imrad.report.page import Section, Text
from imrad.report.pictures import chosen, picture_case
from imrad.report.sections.imaging import _mosaic
from imrad.report.tables import RunTables
from imrad.run import Run

GREY = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("row", "case"),
    [
        ({"case": "A"}, "A"),
        ({"case": "A", "reader": 2}, "A/2"),
        ({"case": "A", "reader": 2.0}, "A/2"),
        ({"case": "A", "region": "ring", "reader": "1"}, "A/ring/1"),
        ({"case": "A", "region": "", "reader": float("nan")}, "A"),
        ({"case": "B/3"}, "B"),
        ({"case": "C"}, ""),
    ],
)
def test_a_region_finds_its_picture(row, case):
    kept = {("P", name): (GREY, GREY) for name in ("A", "A/2", "A/ring/1", "B")}
    assert picture_case({"patient": "P", **row}, kept) == case


def test_both_readers_outlines_are_in_the_mosaic_and_no_picture_is_no_failure(tmp_path):
    quality = pd.DataFrame({"patient": ["P", "P"], "case": ["P", "P"], "reader": [1, 2], "volume_ml": [2.0, 3.0]})
    content_ = [["P", f"P/{reader}", GREY, GREY] for reader in (1, 2)]
    assert chosen(quality, {(row[0], row[1]): (row[2], row[3]) for row in content_})["picture"].tolist() == [
        "P/1",
        "P/2",
    ]
    (tmp_path / "extract").mkdir()
    tables = RunTables(Run(tmp_path, Config(name="small")))
    for pictures, found in ((content_, True), ([["Q", "Q", GREY, GREY]], False)):
        content.save(tmp_path / "extract/thumbnails.zip", pictures)
        part = Section("imaging", Text("Imaging"))
        _mosaic(part, tables, quality)
        assert hasattr(part.blocks[0], "draw") is found
