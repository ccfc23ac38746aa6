"""From a table of cases to features: failures beside, the same bytes wherever and however often it ran."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from imrad.exceptions import DuplicateError, InputError, RegionError
from imrad.radiomics import cases as room
from imrad.radiomics import extraction
from imrad.radiomics.cases import compare_case, extract_cases, extract_one, read_cases
from imrad.radiomics.engine import extract_image
from imrad.radiomics.extraction import ReadingSettings
from imrad.radiomics.settings import RadiomicsSettings

SMALL = RadiomicsSettings(
    imageType={"Original": {}, "Wavelet": {}}, featureClass={"shape": [], "firstorder": [], "glcm": []}
)
SPACING = (0.8, 0.8, 2.5)


def ball(shape, centre, radius):
    z, y, x = np.indices(shape)
    return ((z - centre[0]) * 2.5) ** 2 + ((y - centre[1]) * 0.8) ** 2 + ((x - centre[2]) * 0.8) ** 2 <= radius**2


def write(folder, name, array, **changes):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    for what, value in changes.items():
        getattr(image, f"Set{what}")(value)
    sitk.WriteImage(image, str(folder / name))
    return name


def write_case(folder, number, shape=(24, 40, 44)):
    rng = np.random.default_rng(number)
    mask = ball(shape, (12, 20, 22), 8 + number % 3).astype(np.uint8)
    values = (rng.normal(40, 20, shape) + 60 * mask - 1000 * (np.indices(shape)[1] < 6)).astype(np.int16)
    return {
        "patient": f"P{number}",
        "image": write(folder, f"image{number}.nii.gz", values),
        "mask": write(folder, f"mask{number}.nii.gz", mask),
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    table = pd.DataFrame([write_case(folder, number) for number in range(5)])
    table.to_csv(folder / "cases.csv", index=False)
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def reference(study):
    return extract_cases(study, SMALL)


def test_features_are_the_engines(study, reference):
    cases = read_cases(study)
    assert list(reference.features.columns[:2]) == ["patient", "case"]
    assert list(reference.features["patient"]) == list(cases["patient"])
    image, mask = (sitk.ReadImage(cases.loc[2, name]) for name in ("image", "mask"))
    expected = extract_image(image, mask, SMALL)
    assert reference.features.iloc[2, 2:].to_dict() == expected
    assert extract_one(cases.loc[2, "image"], cases.loc[2, "mask"], SMALL) == expected
    assert len(reference.failures) == 0
    assert (reference.geometry["method"] == "same grid").all()
    assert reference.quality["n_parts"].eq(1).all()
    grey, outline = reference.thumbnails["P2", "P2"]
    assert grey.shape == outline.shape == (96, 96)
    assert 0 < outline.sum() < 1000


def test_fewer_slices_give_the_same_bytes(study, reference, monkeypatch):
    assert reference.geometry["slices_read"].str.startswith("1-").sum() < 5
    monkeypatch.setattr(extraction, "_slices_needed", lambda region, *_, **__: (0, region.grid.size[2]))
    pd.testing.assert_frame_equal(extract_cases(study, SMALL).features, reference.features, check_exact=True)


def test_two_workers_give_the_same_digest(study, reference):
    seen = []
    found = extract_cases(study, SMALL, workers=2, progress=lambda *step: seen.append(step))
    assert found.digest == reference.digest
    assert seen[-1] == ("extracting features", 5, 5)


def test_a_killed_run_resumes_to_the_same_digest(study, reference, tmp_path):
    script = textwrap.dedent(
        f"""
        import os, signal
        from imrad.radiomics.cases import extract_cases
        from imrad.radiomics.settings import RadiomicsSettings

        def kill(label, done, total):
            if label == "extracting features" and done == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        settings = RadiomicsSettings.model_validate({SMALL.model_dump(mode="json")!r})
        extract_cases({str(study)!r}, settings, store={str(tmp_path)!r}, progress=kill)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=300)
    assert ended.returncode == -9, ended.stderr.decode()
    kept = len(list(tmp_path.glob("*.zip")))
    assert kept == 2
    seen = []
    found = extract_cases(study, SMALL, store=tmp_path, progress=lambda *step: seen.append(step))
    assert ("extracting features", kept, 5) in seen
    assert found.digest == reference.digest
    assert all(
        np.array_equal(a, b)
        for a, b in zip(found.thumbnails["P0", "P0"], reference.thumbnails["P0", "P0"], strict=True)
    )


def test_stored_results_follow_the_files_content(study, tmp_path):
    cases = read_cases(study).iloc[:2]
    moved = cases.copy()
    for column in ("image", "mask"):
        for row, path in cases[column].items():
            moved.loc[row, column] = str(tmp_path / path.rsplit("/", 1)[1])
            shutil.copy(path, moved.loc[row, column])
    store = tmp_path / "store"
    first = extract_cases(cases, SMALL, store=store)
    calls = []
    found = extract_cases(moved, SMALL, store=store, progress=lambda *step: calls.append(step))
    assert calls[-1] == ("extracting features", 2, 2)
    assert len(list(store.glob("*.zip"))) == 2
    assert found.digest == first.digest
    write(tmp_path, "image1.nii.gz", np.zeros((24, 40, 44), np.int16))
    extract_cases(moved, SMALL, store=store)
    assert len(list(store.glob("*.zip"))) == 3


def test_a_dask_cluster_of_processes_gives_the_same_digest(study, reference):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        found = extract_cases(study, SMALL, cluster=cluster.scheduler_address)
    assert found.digest == reference.digest


@pytest.fixture
def broken(study, tmp_path):
    good = read_cases(study).iloc[0]
    shape = (24, 40, 44)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(good["mask"]))
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes((study.parent / "image0.nii.gz").read_bytes()[:20000])
    many = mask.copy()
    many[2:4, 2:4, 2:4] = 5
    rows = {
        "good": (good["image"], good["mask"]),
        "missing": (good["image"], "nowhere.nii.gz"),
        "empty": (good["image"], write(tmp_path, "empty.nii.gz", np.zeros(shape, np.uint8))),
        "moved": (good["image"], write(tmp_path, "moved.nii.gz", mask, Origin=(9.0, 0.0, 0.0))),
        "cut": (cut, good["mask"]),
        "many": (good["image"], write(tmp_path, "many.nii.gz", many)),
        "tiny": (
            good["image"],
            write(tmp_path, "tiny.nii.gz", (np.arange(mask.size) == 9000).reshape(shape).astype(np.uint8)),
        ),
        "late": (good["image"], good["mask"]),
    }
    table = pd.DataFrame([{"patient": name, "image": str(i), "mask": str(m)} for name, (i, m) in rows.items()])
    for column in ("image", "mask"):
        table[column] = [v if v.startswith("/") else str(tmp_path / v) for v in table[column]]
    return table


@pytest.mark.parametrize("workers", [1, 2])
def test_broken_cases_are_rows_and_the_others_go_on(broken, workers):
    found = extract_cases(broken, SMALL, workers=workers)
    assert list(found.features["patient"]) == ["good", "late"]
    failures = found.failures.set_index("patient")
    assert list(failures.index) == ["missing", "empty", "moved", "cut", "many", "tiny"]
    assert failures["error"].to_dict() == {
        "missing": "InputError",
        "empty": "RegionError",
        "moved": "GeometryError",
        "cut": "InputError",
        "many": "RegionError",
        "tiny": "RegionError",
    }
    for words, name in (
        ("nowhere.nii.gz does not exist", "missing"),
        ("holds 0 regions", "empty"),
        ("9.00 mm off the image's", "moved"),
        ("damaged or truncated", "cut"),
        ("holds 2 regions (1, 5)", "many"),
        ("single voxel", "tiny"),
    ):
        assert words in failures.loc[name, "reason"]
    assert not failures["reason"].str.contains("\n").any()


def test_what_nobody_foresaw_is_a_row_too_and_is_tried_again(study, tmp_path, monkeypatch):
    cases = read_cases(study).iloc[:2]
    work = room.extract_case

    def flawed(item, *rest):
        if item["patient"] == "P1":
            return 1 / 0
        return work(item, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(room, "extract_case", flawed)
        found = extract_cases(cases, SMALL, store=tmp_path)
    assert found.failures.loc[0, "reason"].startswith("unexpected ZeroDivisionError (division by zero)")
    assert len(extract_cases(cases, SMALL, store=tmp_path).features) == 2


def test_too_much_memory_is_refused_before_decoding(study):
    found = extract_cases(study, SMALL, reading=ReadingSettings(max_memory_mb=0.1))
    assert len(found.failures) == 5
    assert "needs about 0 MB, more than the 0.1 MB allowed" in found.failures.loc[0, "reason"]


def test_labels_regions_and_readers(study, tmp_path):
    good = read_cases(study).iloc[0]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(good["mask"]))
    shape = mask.shape
    labels = mask + 2 * (ball(shape, (12, 33, 36), 4) & (mask == 0)).astype(np.uint8)
    path = str(tmp_path / write(tmp_path, "labels.nii.gz", labels))
    rows = [
        {"case": "one", "label": "1"},
        {"case": "both", "roi": "1|2"},
        {"case": "ring", "roi": "ring(1, 3 mm)"},
        {"case": "each", "roi": "each(1|2)"},
    ]
    table = pd.DataFrame([{"patient": "P", "image": good["image"], "mask": path, **row} for row in rows])
    found = extract_cases(table, SMALL)
    volume = found.features.set_index("case")["original_shape_VoxelVolume"]
    assert list(volume.index) == ["one", "both", "ring", "each/1", "each/2"]
    assert volume["each/1"] == volume["one"] > volume["each/2"]
    assert volume["both"] == pytest.approx(volume["each/1"] + volume["each/2"])
    mean = extract_cases(table.iloc[3:], SMALL, reading=ReadingSettings(aggregation="volume_weighted_mean"))
    weights = volume[["each/1", "each/2"]]
    parts = found.features.set_index("case").loc[weights.index, "original_firstorder_Mean"]
    assert mean.features.loc[0, "case"] == "each"
    assert mean.features.loc[0, "original_firstorder_Mean"] == pytest.approx(np.average(parts, weights=weights))
    whole = extract_cases(
        table[["patient", "image", "mask"]].iloc[:1], SMALL, reading=ReadingSettings(roi="all", regions={"all": "1|2"})
    )
    assert whole.features.loc[0, "original_shape_VoxelVolume"] == volume["both"]
    with pytest.raises(RegionError, match="has 2 parts"):
        extract_one(good["image"], path, SMALL, roi="each(1|2)")
    readers = pd.DataFrame(
        [
            {"patient": "P", "image": good["image"], "mask": path, "reader": r, "roi": f"grow(1, {i} mm)"}
            for i, r in enumerate("AB")
        ]
    )
    found = extract_cases(readers, SMALL)
    assert list(found.features.columns[:3]) == ["patient", "case", "reader"]
    assert list(found.features["reader"]) == ["A", "B"]
    assert len(found.thumbnails) == 2


def test_perturbations_come_with_the_case_and_repeat(study, reference):
    reading = ReadingSettings(perturbations=3, thumbnails=0)
    cases = read_cases(study).iloc[:2]
    found = extract_cases(cases, SMALL, reading=reading)
    pd.testing.assert_frame_equal(found.features, reference.features.iloc[:2], check_exact=True)
    assert list(found.repeats.columns[:3]) == ["patient", "case", "perturbation"]
    assert len(found.repeats) == 6
    assert found.repeats.notna().all(axis=None)
    again = extract_cases(cases.iloc[::-1], SMALL, reading=reading, workers=2)
    assert again.repeats.sort_values(["patient", "perturbation"]).reset_index(drop=True).equals(found.repeats)
    other = extract_cases(cases, SMALL, reading=reading.model_copy(update={"seed": 1}))
    assert not other.repeats.equals(found.repeats)
    volume = found.repeats["original_shape_VoxelVolume"] / found.features.loc[0, "original_shape_VoxelVolume"]
    assert volume.between(0.5, 2).all()


def test_shuffled_voxels_keep_the_histogram_and_lose_the_texture(study, reference):
    found = extract_cases(study, SMALL, reading=ReadingSettings(shuffle_voxels=True)).features
    same = [c for c in found if c.startswith(("original_firstorder", "original_shape"))]
    np.testing.assert_allclose(found[same], reference.features[same], rtol=1e-9)
    assert (found["original_glcm_Correlation"].abs() < 0.1).all()
    assert not np.allclose(
        found["wavelet-HHH_firstorder_Variance"], reference.features["wavelet-HHH_firstorder_Variance"]
    )


def test_tables_of_cases(study, tmp_path):
    cases = read_cases(study)
    assert list(cases.columns) == ["patient", "image", "mask", "case"]
    assert list(cases["case"]) == list(cases["patient"])
    assert (study.parent / "image0.nii.gz").samefile(cases.loc[0, "image"])
    raw = pd.read_csv(study)
    raw.to_excel(study.parent / "cases.xlsx", index=False)
    pd.testing.assert_frame_equal(read_cases(study.parent / "cases.xlsx"), cases)
    raw.rename(columns={"patient": " Patient "}).to_csv(study.parent / "cases.tsv", sep="\t", index=False)
    pd.testing.assert_frame_equal(read_cases(study.parent / "cases.tsv"), cases)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda t: t.drop(columns="mask"), InputError, "lacks the column mask; it has patient, image"),
        (lambda t: t.iloc[:0], InputError, "holds no row"),
        (lambda t: pd.concat([t, t.iloc[1:2]]), DuplicateError, "has 2 rows that share .* the first of patient P1"),
        (lambda t: t.assign(image=[*t["image"][:4], None]), InputError, "has no image in row 6"),
        (lambda t: t.assign(image="no", mask="none"), InputError, "none of the files .* exists"),
    ],
)
def test_wrong_tables_get_one_sentence(study, tmp_path, change, error, sentence):
    path = study.parent / "wrong.csv"
    change(pd.read_csv(study)).to_csv(path, index=False)
    with pytest.raises(error, match=sentence):
        read_cases(path)


def test_missing_and_unreadable_tables(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_cases(tmp_path / "no.csv")
    (tmp_path / "bad.xlsx").write_text("text")
    with pytest.raises(InputError, match="no readable CSV or Excel table"):
        read_cases(tmp_path / "bad.xlsx")


def test_both_engines_on_the_users_own_case(study):
    pytest.importorskip("radiomics", exc_type=ImportError)
    cases = read_cases(study).iloc[:1]
    text = compare_case(cases.loc[0, "image"], cases.loc[0, "mask"], SMALL)
    assert [line.split()[0] for line in text.splitlines()] == ["class", "shape", "firstorder", "glcm"]
    counts = [line.split()[1:3] for line in text.splitlines()[1:]]
    assert all(features == agree for features, agree in counts)
    theirs = extract_cases(cases, SMALL, engine="pyradiomics").features
    ours = extract_cases(cases, SMALL).features
    np.testing.assert_allclose(theirs.iloc[0, 2:].astype(float), ours.iloc[0, 2:].astype(float), rtol=1e-6, atol=1e-8)
