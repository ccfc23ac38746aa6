"""Folders as they are: several sheets, merged headers, names for folders, one heap of DICOM, masks under review."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from imrad import stages
from imrad.cohort import read_cohort
from imrad.config import Config, load_config
from imrad.datasets import make_cohort, write_images
from imrad.exceptions import ConfigError, InputError
from imrad.run import Run
from imrad.stages.reviewing import reviewed
from imrad.stages.starting import start


def volumes(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"volume")


def config_of(root):
    return yaml.safe_load((root / "study.yaml").read_text(encoding="utf-8"))


def test_a_second_sheet_with_titles_and_a_merged_header_becomes_a_tidy_table(tmp_path):
    volumes(tmp_path, "影像/0012/ct.nii.gz", "影像/0012/mask.nii.gz", "影像/张三/ct.nii.gz", "影像/张三/勾画.nii.gz")
    rows = [
        ["某医院随访表", None, None, None, None, None, None],
        ["住院号", "姓名", "基本信息", None, "LDH（U/L）", "随访", None],
        [None, None, "年龄（岁）", "性别", None, "生存时间（月）", "生存状态"],
        [12, "李四", 61, "男", 200, 12.5, "死亡"],
        [13.0, "张三", 55, "女", None, 30, "存活"],
        ["合计", None, None, None, None, None, None],
    ]
    with pd.ExcelWriter(tmp_path / "随访.xlsx") as book:
        pd.DataFrame([["说明"], ["无"]]).to_excel(book, sheet_name="说明", index=False, header=False)
        pd.DataFrame(rows).to_excel(book, sheet_name="数据", index=False, header=False)
    lines = start(tmp_path)
    assert lines[0] == "2 patients: 2 with an image, 2 with a mask, 2 in the sheet, 2 with all"
    config = config_of(tmp_path)
    assert config["assemble"]["clinical"] == "clinical_tidy.csv"
    assert config["assemble"]["endpoints"] == {"os": "生存时间（月）:months,生存状态"}
    assert config["assemble"]["columns"] == {"patient": "住院号", "age_years": "年龄（岁）", "sex": "性别"}
    assert config["fuse"]["extra_blocks"] == {"Laboratory": ["LDH（U/L）"]}
    assert config["fuse"]["missing"] == {"LDH（U/L）": "median"}
    tidy = pd.read_csv(tmp_path / "clinical_tidy.csv", dtype=str)
    assert tidy["住院号"].tolist() == ["12", "13"]
    # Who a patient is does not travel on; the folder called by a name is still found.
    assert "姓名" not in tidy.columns
    assert pd.read_csv(tmp_path / "cases.csv", dtype=str)["patient"].tolist() == ["12", "13"]


def test_identifiers_are_reconciled_but_two_people_are_never_made_one(tmp_path):
    volumes(
        tmp_path,
        *("images/P001_CT_20200101.nii.gz", "masks/P001_mask.nii.gz", "images/p-002.nii.gz", "masks/P002-seg.nii.gz"),
        *("images/7.nii.gz", "masks/7_mask.nii.gz", "images/007.nii.gz", "masks/007_mask.nii.gz"),
    )
    (tmp_path / "sheet.csv").write_text("Patient ID;age\nP001;61\nP002 ;55\n007;60\n7;50\n")
    lines = start(tmp_path)
    cases = pd.read_csv(tmp_path / "cases.csv", dtype=str).set_index("patient")["image"].to_dict()
    assert cases == {
        "P001": "images/P001_CT_20200101.nii.gz",
        "P002": "images/p-002.nii.gz",
        "007": "images/007.nii.gz",
        "7": "images/7.nii.gz",
    }
    assert any("007 and 7 differ by leading zeros" in line for line in lines)


def test_a_column_under_an_unknown_header_names_the_patients_if_the_images_do(tmp_path):
    volumes(tmp_path, "a12/ct.nii.gz", "a12/seg.nii.gz", "b7/ct.nii.gz", "b7/seg.nii.gz")
    (tmp_path / "list.csv").write_text("Kürzel,Alter\nA12,61\nB7,55\n", encoding="utf-8")
    start(tmp_path)
    assert config_of(tmp_path)["assemble"]["columns"] == {"patient": "Kürzel"}
    assert sorted(pd.read_csv(tmp_path / "cases.csv")["patient"]) == ["A12", "B7"]


def test_one_heap_of_dicom_files_is_told_apart_by_series(tmp_path):
    from imrad.datasets.dicom import write_ct_series
    from imrad.datasets.images import draw_phantom

    heap = tmp_path / "export"
    for name in ("A", "B"):
        place = tmp_path / f"one {name}"
        write_ct_series(draw_phantom(0.0, 0.0, shape=(6, 16, 16), name=name), f"P-{name}", place)
        heap.mkdir(exist_ok=True)
        for number, path in enumerate(sorted(place.iterdir())):
            path.rename(heap / f"IM{name}{number:04d}")
        place.rmdir()
    (tmp_path / "sheet.csv").write_text("id,age\nP-A,61\nP-B,60\n")
    lines = start(tmp_path)
    assert lines[0].startswith("2 patients: 2 with an image, 0 with a mask")
    assert "no mask for export" in " ".join(lines)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"broken.xlsx": b"PK\x03\x04 no workbook", "ct/A1.nii.gz": b""}, "broken.xlsx cannot be read"),
        ({"old.xls": b"\xd0\xcf\x11\xe0", "ct/A1.nii.gz": b""}, "old.xls is an old Excel file"),
        ({"empty.csv": b"", "ct/A1.nii.gz": b""}, "no sheet with a column of patients"),
        ({"ct/A1.nii.gz": b""}, "no sheet with a column of patients"),
        ({"two.csv": b"patient,age\nA1,60\nA1,61\n", "ct/A1.nii.gz": b""}, "1 patients stand in several rows"),
    ],
)
def test_what_is_odd_is_told(tmp_path, files, told):
    for name, raw in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    assert any(told in line for line in start(tmp_path))


def test_another_folder_can_be_written_to_and_a_closed_one_is_told(tmp_path, monkeypatch):
    volumes(tmp_path / "ward", "A1/ct.nii.gz", "A1/seg.nii.gz")
    (tmp_path / "ward/sheet.csv").write_text("patient,age\nA1,60\n")
    before = sorted(path.name for path in (tmp_path / "ward").iterdir())
    start(tmp_path / "ward", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "ward").iterdir()) == before
    assert pd.read_csv(tmp_path / "out/cases.csv")["image"].iloc[0] == str(tmp_path / "ward/A1/ct.nii.gz")
    assert config_of(tmp_path / "out")["assemble"]["clinical"] == str(tmp_path / "ward/sheet.csv")

    def closed(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("imrad.content.tempfile.mkstemp", closed)
    with pytest.raises(InputError, match=r"cannot be written to .* --output"):
        start(tmp_path / "ward")


def test_the_written_config_runs_and_the_review_counts(tmp_path):
    truth = make_cohort(30, n_features=24, n_targets=1, image_effect=2.0, survival_effect=1.0, seed=3)
    root = tmp_path / "ward"
    paths = write_images(truth, root, kinds=("nifti",), shape=(8, 20, 20), seed=3)
    for name in {"cases", "immune", "expression"} & set(paths):
        paths[name].unlink()
    clinical = pd.read_csv(paths["clinical"])
    clinical["LDH"] = np.where(np.arange(30) % 5 == 0, np.nan, 200.0 + np.arange(30))
    clinical.to_csv(paths["clinical"], index=False)
    start(root)
    (tmp_path / "few.yaml").write_text("imageType: {Original: {}}\nfeatureClass: {shape: [], firstorder: [Mean]}\n")
    review = pd.read_csv(root / "review.csv", dtype=str)
    review.loc[[0, 1, 2], "verdict"] = ["reject", "重画", "Accept"]
    review.loc[[0, 1], "reason"] = ["motion", "cut off"]
    review.to_csv(root / "review.csv", index=False)
    config, base = load_config(root / "study.yaml")
    assert config.fuse["missing"] == {"LDH": "median"}
    changes = {
        "extract": {**config.extract, "settings": str(tmp_path / "few.yaml")},
        "fuse": {**config.fuse, "n_bootstrap": 0, "endpoints": ["os"], "missing": {"LDH": "indicator"}},
        "report": None,
    }
    run = stages.run_all(Run(tmp_path / "run", config.model_copy(update=changes), base))
    attrition = run.read("attrition.csv").set_index("step")
    assert attrition.loc["mask review", "n_out"] == 28
    reason = attrition.loc["mask review", "reason"]
    assert reason == "1 rejected by the reviewer (motion); 1 to be redrawn (cut off)"
    assert {"LDH", "LDH missing"} <= set(run.read("survival/os/coefficients.csv")["feature"])
    with pytest.raises(ConfigError, match="missing for"):
        stages.fuse(Run(tmp_path / "run", config.model_copy(update={
            **changes, "fuse": {**changes["fuse"], "missing": {"LDH": "refuse"}}}), base))  # fmt: skip


def test_a_review_that_cannot_be_meant_is_refused(tmp_path):
    cases = pd.DataFrame({"patient": ["A", "B"], "case": ["A", "B"]})
    for text, message in {
        "case,verdict\nA,perhaps\n": "gives the verdict 'perhaps'",
        "case,verdict\nC,reject\n": "names the case C",
        "case,reason\nA,x\n": "lacks the column verdict",
        "case,verdict\nA,reject\nB,redraw\n": "accepts no mask",
    }.items():
        (tmp_path / "review.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            reviewed(cases, tmp_path / "review.csv")
    (tmp_path / "review.csv").write_text("case,verdict\nA,\n")
    kept, lost = reviewed(cases, tmp_path / "review.csv")
    assert len(kept) == 2
    assert lost.empty


def test_the_indicator_of_a_missing_value_travels(tmp_path):
    from imrad.stages.applying import apply
    from imrad.stages.exporting import export

    values = make_cohort(60, n_features=24, n_targets=1, survival_effect=1.0, seed=4)
    values.obs["ldh"] = np.where(np.arange(60) % 4 == 0, np.nan, np.arange(60.0))
    from imrad.cohort import write_cohort

    write_cohort(values, tmp_path / "cohort.h5ad")
    config = Config(
        name="holes",
        assemble={"splits": {"repeats": 1}, "cohort": str(tmp_path / "cohort.h5ad")},
        fuse={
            **{"endpoints": ["os"], "n_bootstrap": 0, "clinical": ["age_years", "ldh"]},
            "missing": {"ldh": "indicator"},
        },
    )
    run = stages.run_all(Run(tmp_path / "run", config, tmp_path))
    export(run, tmp_path / "model.imrad")
    apply(tmp_path / "model.imrad", tmp_path / "cohort.h5ad", tmp_path / "out")
    exact = run.read("survival/os/explanations.csv")
    total = exact[exact["model"] == "Clinical"].groupby("patient")["contribution"].sum()
    risk = pd.read_csv(tmp_path / "out/external/os/risk.csv").query("model == 'Clinical'").set_index("patient")["risk"]
    np.testing.assert_allclose(risk, total.reindex(risk.index), atol=1e-12)


def test_an_odd_but_complete_folder_runs_as_it_was_written(tmp_path):
    truth = make_cohort(24, n_features=24, n_targets=1, image_effect=2.0, survival_effect=1.0, seed=4)
    made = tmp_path / "made"
    write_images(truth, made, kinds=("dicom", "nifti"), shape=(8, 16, 16), seed=4, readers=2)
    root = tmp_path / "医院 study 2021"
    rows = []
    start_day = pd.Timestamp("2020-03-14")
    for number, patient in enumerate(truth.obs_names):
        own = root / f"第{number % 3}批 batch" / patient
        own.mkdir(parents=True)
        source = made / "images" / patient
        # Half of the images are DICOM, half NIfTI; the masks are NIfTI under the names that programs give them.
        if number % 2:
            (source / "ct").rename(own / "CT venous")
        else:
            (source / "ct.nii.gz").rename(own / f"{patient} ct.nii.gz")
        ending = ("_seg", "-label")[number % 2]
        (source / "mask.nii.gz").rename(own / f"{patient}{ending}_A.nii.gz")
        (source / "mask_reader_2.nii.gz").rename(own / f"{patient}{ending}_B.nii.gz")
        begin = start_day + pd.Timedelta(days=17 * number)
        end = begin + pd.Timedelta(days=float(truth.obs["os_days"].iloc[number]))
        died = bool(truth.obs["os_event"].iloc[number])
        serial = (begin - pd.Timestamp("1899-12-30")).days
        rows.append(
            {
                **{"住院号": patient, "年龄": truth.obs["age_years"].iloc[number], "性别": "男女"[number % 2]},
                **{"诊断日期": serial, "死亡日期": end.strftime("%d.%m.%Y") if died else ""},
                "末次随访日期": end.strftime("%d.%m.%Y") if number != 5 else "",
                "LDH": "" if number % 7 == 3 else 200 + number,
            }
        )
    (root / "随访.csv").write_bytes(pd.DataFrame(rows).to_csv(index=False).encode("gbk"))
    told = []
    lines = start(root, progress=lambda label, done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 24 * 4
    assert lines[0] == "24 patients: 24 with an image, 24 with a mask, 24 in the sheet, 24 with all"
    cases = pd.read_csv(root / "cases.csv", dtype=str)
    assert len(cases) == 48
    assert set(cases.groupby("patient")["reader"].agg("".join)) == {"12"}
    assert all(path.split(".")[0].endswith("A") for path in cases.loc[cases["reader"] == "1", "mask"])
    written = config_of(root)
    assert written["assemble"]["endpoints"]["os"] == "诊断日期,死亡日期,末次随访日期"
    assert "aggregation" not in written["assemble"]
    config, base = load_config(root / "study.yaml")
    # As it was written, but for the time that a thousand features of each tumour would take.
    (tmp_path / "few.yaml").write_text("imageType: {Original: {}}\nfeatureClass: {shape: [], firstorder: [Mean]}\n")
    changes = {
        "extract": {**config.extract, "settings": str(tmp_path / "few.yaml")},
        "fuse": {**config.fuse, "n_bootstrap": 0},
        "report": None,
    }
    run = stages.run_all(Run(tmp_path / "run", config.model_copy(update=changes), base))
    assert run.read("extract/failures.csv").empty
    data = read_cohort(run.folder / "cohort.h5ad")
    assert "reader_2" in data.obsm
    known = data.obs["os_days"].dropna()
    assert len(known) >= 23
    expected = truth.obs["os_days"].astype(float).reindex(known.index).round()
    np.testing.assert_allclose(known, expected, atol=1.0)
    assert run.read("survival/os/models.csv").set_index("model").loc["Clinical", "status"] == "fitted"


def letters(root, *, parted):
    """Write three patients with two masks each, called A and B: of one lesion, or of two beside each other."""
    values = np.random.default_rng(0).normal(0, 10, (4, 12, 12)).astype(np.float32)
    for patient in ("P001", "P002", "P003"):
        folder = root / patient
        folder.mkdir(parents=True)
        sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / "ct.nii.gz"))
        for name, first in (("A", 2), ("B", 7 if parted else 4)):
            mask = np.zeros(values.shape, np.uint8)
            mask[1:3, 3:8, first : first + 4] = 1
            sitk.WriteImage(sitk.GetImageFromArray(mask), str(folder / f"mask_{name}.nii.gz"))


def test_masks_called_a_and_b_are_readers_where_they_overlap_and_else_lesions(tmp_path):
    letters(tmp_path / "readers", parted=False)
    said = "\n".join(start(tmp_path / "readers"))
    assert "masks of several readers" in said
    assert "they overlap in 3 of 3 images looked at" in said
    cases = pd.read_csv(tmp_path / "readers/cases.csv", dtype=str)
    assert cases["case"].nunique() == 3
    assert cases["reader"].tolist() == ["1", "2"] * 3
    assert list(pd.read_csv(tmp_path / "readers/review.csv")) == ["patient", "case", "reader", "verdict", "reason"]
    sheet = pd.DataFrame({"patient": ["P001", "P002", "P003"], "os_days": [9, 8, 7], "os_event": [1, 0, 1]})
    sheet.assign(best_response=["CR", "NE", "PD"]).to_csv(tmp_path / "readers/clinical.csv", index=False)
    start(tmp_path / "readers", tmp_path / "again")
    # Who could not be evaluated for response is no loss for survival.
    assert config_of(tmp_path / "again")["assemble"]["on_missing"] == {"endpoint": "keep"}
    fuse = config_of(tmp_path / "again")["fuse"]
    assert fuse["prepare"] == [{"icc": {"readers": "reader_2", "threshold": 0.75}}]
    assert fuse["models"] == {"Clinical+Rad": {"blocks": ["Clinical", "Rad"]}}

    letters(tmp_path / "lesions", parted=True)
    said = "\n".join(start(tmp_path / "lesions"))
    assert "have no voxel in common in 3 of 3 images looked at: each is taken as a lesion of its own" in said
    cases = pd.read_csv(tmp_path / "lesions/cases.csv", dtype=str)
    assert cases["case"].tolist() == [f"P00{number}_{letter}" for number in (1, 2, 3) for letter in "AB"]
    assert "reader" not in cases
    assert config_of(tmp_path / "lesions")["assemble"]["aggregation"] == "mean"
    # A name that says reader is believed.
    for path in sorted((tmp_path / "lesions").rglob("mask_?.nii.gz")):
        path.rename(path.with_name(path.name.replace("mask_", "mask_reader_")))
    start(tmp_path / "lesions", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/cases.csv", dtype=str)["reader"].tolist() == ["1", "2"] * 3


def test_a_verdict_counts_the_masks_it_leaves_out(tmp_path):
    cases = pd.DataFrame(
        {"patient": ["P1", "P1", "P2", "P2"], "case": ["P1", "P1", "P2", "P2"], "reader": list("1212")}
    )
    path = tmp_path / "review.csv"
    path.write_text("patient,case,verdict,reason\nP1,P1,reject,blurred\nP2,P2,,\n")
    kept, lost = reviewed(cases, path)
    assert kept["patient"].tolist() == ["P2", "P2"]
    assert lost.to_dict("records") == [
        {
            "step": "mask review",
            "n_in": 4,
            "n_out": 2,
            "reason": "2 masks of 1 case rejected by the reviewer (blurred)",
            "unit": "masks",
        }
    ]
    path.write_text("case,reader,verdict,reason\nP1,2,reject,leaks\nP2,1,redraw,small\nP2,1,reject,\n")
    kept, lost = reviewed(cases, path)
    assert list(zip(kept["case"], kept["reader"], strict=True)) == [("P1", "1"), ("P2", "2")]
    assert lost["reason"].iloc[0] == "2 masks of 2 cases rejected by the reviewer (leaks)"
    path.write_text("case,reader,verdict\nP1,3,reject\n")
    with pytest.raises(InputError, match="the case P1 of the reader 3, which is not in the table"):
        reviewed(cases, path)
