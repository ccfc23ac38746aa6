"""imrad init: what lies in a hospital's folder becomes a config that the stages accept."""

from __future__ import annotations

import pandas as pd
import pytest

from imrad.cohort import parse_endpoint, read_endpoint, read_table, tidy_clinical
from imrad.config import load_config
from imrad.exceptions import ConfigError, InputError
from imrad.radiomics.cases import read_cases
from imrad.run import Run
from imrad.stages import assembly, extraction, fusion
from imrad.stages.starting import start

SHEET = """住院号,姓名,年龄,性别,分期,诊断日期,死亡日期,进展日期,末次随访日期
0012,甲,61,男,II,2020-01-01,2021-01-01,2020-06-01,2021-01-01
0013,乙,55,女,III,2020-02-01,,,2022-02-01
0014,丙,70,男,I,2020-03-01,,2021-03-01,2022-03-01
"""


@pytest.fixture
def ward(tmp_path):
    """Return a folder as a hospital has it: GBK sheet, identifiers spelled in three ways."""
    root = tmp_path / "ward 7"
    for name in ("images/12_CT.nii.gz", "masks/12_mask.nii.gz", "images/P-13/ct.nii.gz", "images/0014.nii.gz"):
        path = root / name.replace("P-13", "0013")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"volume")
    (root / "masks/0013_seg.nii.gz").write_bytes(b"volume")
    (root / "随访.csv").write_bytes(SHEET.encode("gbk"))
    return root


def test_a_gbk_sheet_and_its_images_become_a_config_that_the_stages_accept(ward):
    lines = start(ward)
    assert lines[0] == "3 patients: 3 with an image, 2 with a mask, 3 in the sheet, 2 with all"
    assert any("0014: no mask" in line for line in lines)
    cases = read_cases(ward / "cases.csv")
    assert cases["patient"].tolist() == ["0012", "0013"]
    assert [path.rsplit("/", 2)[-2:] for path in cases["mask"]] == [
        ["masks", "12_mask.nii.gz"],
        ["masks", "0013_seg.nii.gz"],
    ]
    config, base = load_config(ward / "study.yaml")
    run = Run(ward / "run", config, base)
    for stage in (extraction, assembly, fusion):
        stage.check(run)
    assert config.assemble["columns"] == {"patient": "住院号", "age_years": "年龄", "sex": "性别", "stage": "分期"}
    who = pd.read_csv(ward / "who_has_what.csv", dtype={"patient": str})
    assert who.set_index("patient")["n_cases"].to_dict() == {"0012": 1, "0013": 1, "0014": 0}
    clinical = tidy_clinical(read_table(ward / config.assemble["clinical"]), mapping=config.assemble["columns"])
    assert clinical.loc["0012", "sex"] == "male"
    times = {
        name: read_endpoint(clinical, parse_endpoint(f"{name}={text}"))
        for name, text in config.assemble["endpoints"].items()
    }
    assert times["os"]["os_days"].tolist() == [366, 731, 730]
    assert times["os"]["os_event"].tolist() == [1, 0, 0]
    assert times["pfs"]["pfs_days"].tolist() == [152, 731, 365]


def test_times_in_months_and_responses_are_recognised(tmp_path):
    (tmp_path / "sheet.csv").write_text("Patient ID,OS months,OS status,best response\nA1,12,1,PR\nA2,20,0,SD\n")
    start(tmp_path)
    config, _ = load_config(tmp_path / "study.yaml")
    assert config.assemble["endpoints"] == {"os": "OS months:months,OS status", "response": "best response"}
    assert config.extract is None


def test_nothing_is_written_over_and_an_empty_folder_is_told(ward, tmp_path):
    start(ward)
    (ward / "study.yaml").write_text("name: mine\n")
    with pytest.raises(ConfigError, match="already"):
        start(ward)
    assert (ward / "study.yaml").read_text() == "name: mine\n"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="neither"):
        start(tmp_path / "empty")
    with pytest.raises(InputError, match="not a folder"):
        start(tmp_path / "nowhere")


def test_dicom_folders_are_told_by_their_tags(tmp_path):
    from imrad.datasets.dicom import write_ct_series, write_segmentation
    from imrad.datasets.images import draw_phantom

    phantom = draw_phantom(0.0, 0.0, shape=(12, 24, 24), name="A")
    source = write_ct_series(phantom, "A-007", tmp_path / "export/1.2.3")
    (tmp_path / "export/seg").mkdir()
    write_segmentation(phantom, "A-007", source, tmp_path / "export/seg/1.dcm")
    (tmp_path / "sheet.csv").write_text("patient,age\na007,61\n")
    lines = start(tmp_path)
    assert lines[0] == "1 patients: 1 with an image, 1 with a mask, 1 in the sheet, 1 with all"
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert cases.to_dict("records") == [
        {"patient": "a007", "case": "a007", "image": "export/1.2.3", "mask": "export/seg/1.dcm"}
    ]
