"""Wrong calls of ``imrad extract`` end in one sentence, before anything is computed or written over."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from imrad import cli
from imrad.exceptions import InputError
from imrad.radiomics import read_cases
from imrad.stages import extraction


@pytest.fixture
def ward(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mask = np.zeros((6, 8, 8), np.uint8)
    mask[2:4, 2:6, 2:6] = 1
    image = np.random.default_rng(0).integers(0, 99, mask.shape).astype(np.int16)
    for name, array in (("ct.nii.gz", image), ("mask.nii.gz", mask)):
        sitk.WriteImage(sitk.GetImageFromArray(array), name)
    Path("few.yaml").write_text("featureClass: {firstorder: [Mean]}\n")
    Path("cases.csv").write_text("patient,image,mask\nP0,ct.nii.gz,mask.nii.gz\n")
    Path("folder").mkdir()
    return tmp_path


def run(monkeypatch, capsys, text):
    monkeypatch.setattr(sys, "argv", ["imrad", *text.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().err.strip()


ONE = "extract --image ct.nii.gz --mask mask.nii.gz --settings few.yaml"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (f"{ONE} -o folder", "folder is a folder; name a file in it, such as folder/features.csv"),
        (f"{ONE} -o ct.nii.gz", "ct.nii.gz would be none; name a file that ends in .csv"),
        (f"{ONE} -o features.xlsx", "name a file that ends in .csv"),
        (f"{ONE} -o ct.nii.gz/features.csv", "ct.nii.gz cannot be read or written"),
        (f"{ONE} --cases cases.csv", "and not both"),
        ("extract --cases cases.csv -o cases.csv", "cases.csv is what features are to be read from"),
        ("extract --cases cases.csv --compare", "--compare takes one case"),
        ("extract --cases cases.csv --label 2", "are columns of the table"),
        ("extract --cases folder", "folder is a folder; give a table"),
        (
            "extract --cases cases.csv --settings few.yaml --cluster nowhere",
            "looks like tcp://host:8786, not 'nowhere'",
        ),
    ],
)
def test_a_wrong_call_is_one_sentence_and_changes_nothing(ward, monkeypatch, capsys, call, words):
    before = {path: path.read_bytes() for path in ward.iterdir() if path.is_file()}
    code, told = run(monkeypatch, capsys, call)
    assert code == 1
    assert words in told.splitlines()[-1]
    assert "Traceback" not in told
    assert {path: path.read_bytes() for path in ward.iterdir() if path.is_file()} == before


@pytest.mark.filterwarnings("default")
def test_what_settings_leave_out_is_told_without_a_line_of_code(ward, monkeypatch, capsys):
    Path("few.yaml").write_text("featureClass: {firstorder: [Mean]}\nimageType: {Original: {}, LoG: {}}\n")
    code, told = run(monkeypatch, capsys, f"{ONE} -o features.csv")
    assert (code, told) == (0, "imrad: few.yaml: left out: LoG, which names no sigma")


def test_a_call_that_is_stopped_says_so(ward, monkeypatch, capsys):
    def stopped(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "files", stopped)
    code, told = run(monkeypatch, capsys, ONE)
    assert (code, told.split(";")[0]) == (130, "imrad: stopped")


def test_tables_as_spreadsheets_save_them(ward):
    row = ("P0", "ct.nii.gz", "mask.nii.gz")
    head = ("patient", "image", "mask")
    (ward / "unicode.txt").write_bytes("\n".join("\t".join(r) for r in (head, row)).encode("utf-16"))
    (ward / "trailing.csv").write_text("\n".join([",".join(head), ",".join(row) + ",,"]))
    (ward / "mac.csv").write_bytes(b"\r".join(",".join(r).encode() for r in (head, row)))
    for name in ("unicode.txt", "trailing.csv", "mac.csv"):
        assert read_cases(ward / name).loc[0, ["patient", "image"]].tolist() == ["P0", str(ward / "ct.nii.gz")]
    (ward / "ragged.csv").write_text(",".join(head) + "\nP0,a b,c,ct.nii.gz,mask.nii.gz\n")
    with pytest.raises(InputError, match="row 2 has 5 values under 3 columns"):
        read_cases(ward / "ragged.csv")
