"""A table of cases with series, time points, dates, readers and declared regions, spelled out row by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from pydantic import ValidationError

from imrad.exceptions import ConfigError, DuplicateError, InputError
from imrad.radiomics import ImageSettings, ReadingSettings, extract_cases
from imrad.radiomics.case_table import check_cases, expand_cases, read_cases
from imrad.radiomics.settings import RadiomicsSettings

ROWS = pd.DataFrame(
    {
        "patient": ["P1", "P1", "P1", "P2"],
        "series": ["t1", "t2", "t1", "t1"],
        "timepoint": ["pre", "pre", "post", "pre"],
        "image": "i.nii.gz",
        "mask": "m.nii.gz",
    }
)
UID = "1.2.840.113619.2.55.3"


def test_cases_are_named_by_what_tells_them_apart():
    cases = check_cases(ROWS)
    assert list(cases["case"]) == ["P1_pre_t1", "P1_pre_t2", "P1_post_t1", "P2_pre_t1"]
    assert list(cases["sequence"]) == ["t1", "t2", "t1", "t1"]


def test_a_series_uid_is_no_name():
    cases = check_cases(ROWS.assign(series=[f"{UID}.{n}" for n in range(4)], timepoint=list("abcd")))
    assert "sequence" not in cases
    assert cases["series"].iloc[1] == f"{UID}.1"
    both = check_cases(ROWS.rename(columns={"series": "sequence"}).assign(series=UID))
    assert list(both["sequence"]) == ["t1", "t2", "t1", "t1"]
    assert set(both["series"]) == {UID}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"series": ["t1", "t1", "t1", "t1"]}, DuplicateError, "tell them apart in a column case (or series"),
        ({"series": ["t1", None, "t1", "t1"]}, InputError, "no sequence in row 3"),
        ({"timepoint": ["pre", "pre", "a:b", "pre"]}, InputError, "colon in the timepoint 'a:b'"),
        ({"sequence": "t1"}, InputError, "names in both series (t1) and sequence"),
    ],
)
def test_tables_that_cannot_be(change, error, words):
    with pytest.raises(error) as caught:
        check_cases(ROWS.assign(**change))
    assert words in str(caught.value)


def test_every_map_and_region_becomes_a_row():
    cases = check_cases(ROWS.iloc[:1].assign(label="2", times_s="0; 60;120"))
    images = {"t1": ImageSettings(maps=("slope_per_min", "time_to_peak_s"), unenhanced=2)}
    rows = expand_cases(cases, images, {"tumour": "case", "ring": "ring(tumour, 5 mm)"})
    assert [(row["sequence"], row["region"]) for row in rows] == [
        ("t1_slope_per_min", "tumour"),
        ("t1_slope_per_min", "ring"),
        ("t1_time_to_peak_s", "tumour"),
        ("t1_time_to_peak_s", "ring"),
    ]
    assert rows[1]["roi"] == "case = 2; tumour = case; ring(tumour, 5 mm)"
    assert rows[0]["measure"]["times_s"] == [0.0, 60.0, 120.0]
    assert rows[0]["measure"]["map"] == "slope_per_min"
    named = expand_cases(cases.assign(label=None, roi="a = 1|2; a - 3"), {}, {"rim": "ring(case, 3 mm)"})
    assert named[0]["roi"] == "a = 1|2; case =  a - 3; ring(case, 3 mm)"


def test_declarations_that_fit_no_case():
    with pytest.raises(ConfigError, match=r"images declares 'pet', and no case is of that series; .* has t1, t2"):
        expand_cases(check_cases(ROWS), {"pet": ImageSettings(intensity="suv")}, {})
    with pytest.raises(ConfigError, match="intensity 'hu' is not known"):
        expand_cases(check_cases(ROWS.assign(intensity="hu")), {}, {})
    with pytest.raises(ConfigError, match="times_s of P1_pre_t1 is '0;sixty'"):
        expand_cases(check_cases(ROWS.assign(times_s="0;sixty")), {}, {})
    with pytest.raises(ValidationError, match="no function 'halo'"):
        ReadingSettings(feature_sets={"rim": "halo(case, 3 mm)"})
    with pytest.raises(ValidationError, match="the regions a, b are defined by one another"):
        ReadingSettings(feature_sets={"a": "b", "b": "a", "c": "case"})
    sets = ReadingSettings(feature_sets={"ring": "ring(tumour, 5 mm)", "tumour": "case"}).feature_sets
    assert list(sets) == ["tumour", "ring"]
    named = expand_cases(check_cases(ROWS[:1]), {}, {"tumour": "tumour", "ring": "ring(tumour, 5 mm)"})
    assert [row["roi"] for row in named] == ["tumour", "ring(tumour, 5 mm)"]


def test_windows_paths_and_chinese_sheets(tmp_path):
    folder = tmp_path / "影像" / "病人 1"
    folder.mkdir(parents=True)
    for name in ("ct.nii.gz", "mask.nii.gz"):
        (folder / name).write_bytes(b"")
    text = "patient;image;mask\n张三;影像\\病人 1\\ct.nii.gz;影像\\病人 1\\mask.nii.gz\n"
    (tmp_path / "cases.csv").write_bytes(text.encode("gb18030"))
    cases = read_cases(tmp_path / "cases.csv")
    assert cases["patient"].iloc[0] == "张三"
    assert cases["image"].iloc[0] == str(folder / "ct.nii.gz")


def test_features_of_a_dynamic_image_and_its_ring(tmp_path):
    rng = np.random.default_rng(0)
    volumes = rng.normal(100, 5, (3, 12, 14, 16)) + np.arange(3).reshape(3, 1, 1, 1) * 30
    mask = np.zeros((12, 14, 16), dtype=np.uint8)
    mask[4:8, 5:9, 6:10] = 1
    for number, volume in enumerate(volumes):
        sitk.WriteImage(sitk.GetImageFromArray(volume), str(tmp_path / f"t{number}.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "m.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(volumes[0]), str(tmp_path / "t2.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(volumes[2]), str(tmp_path / "t2c.nii.gz"))
    table = pd.DataFrame(
        {
            "patient": ["P1", "P1"],
            "series": ["dce", "t2"],
            "image": ["t0.nii.gz; t1.nii.gz;t2c.nii.gz", "t2.nii.gz"],
            "mask": "m.nii.gz",
            "times_s": ["0;60;120", None],
            "date": "2020-01-01",
        }
    )
    table.to_csv(tmp_path / "cases.csv", index=False)
    done = extract_cases(
        tmp_path / "cases.csv",
        RadiomicsSettings(featureClass={"firstorder": ("Mean",)}),
        reading=ReadingSettings(feature_sets={"tumour": "case", "ring": "ring(tumour, 2 mm)"}, thumbnails=8),
        images={
            "dce": ImageSettings(maps=("slope_per_min",)),
            "t2": ImageSettings(intensity="zscore", within="image"),
        },
        own_settings={"t2": RadiomicsSettings(featureClass={"firstorder": ("Minimum",)})},
        store=tmp_path / "store",
    )
    assert done.failures.empty
    assert list(done.features.columns[:5]) == ["patient", "case", "date", "sequence", "region"]
    found = done.features.set_index(["sequence", "region"])
    inside = mask > 0
    slope = (volumes[2] - volumes[0]) / 2
    assert found.loc[("dce_slope_per_min", "tumour"), "original_firstorder_Mean"] == pytest.approx(slope[inside].mean())
    score = (volumes[0] - volumes[0].mean()) / volumes[0].std()
    assert found.loc[("t2", "tumour"), "original_firstorder_Minimum"] == pytest.approx(score[inside].min())
    assert np.isnan(found.loc[("t2", "ring"), "original_firstorder_Mean"])
    assert len(done.thumbnails) == 4
