"""A model applied to another hospital's images: measured there by the settings that travelled with it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from imrad import stages
from imrad.config import Config
from imrad.datasets import make_cohort, write_images
from imrad.exceptions import BundleError, ConfigError, InputError
from imrad.run import Run
from imrad.stages.applying import apply
from imrad.stages.exporting import export, open_bundle

SETTINGS = "imageType: {Original: {}}\nfeatureClass: {shape: [], firstorder: []}\nsetting: {binWidth: 20}\n"


@pytest.fixture(scope="module")
def travelled(tmp_path_factory):
    """Return the folder of a run on images, its exported model, and another hospital's images and sheet."""
    folder = tmp_path_factory.mktemp("hospitals")
    truth = make_cohort(40, n_features=24, n_targets=1, image_effect=2.0, survival_effect=1.0, seed=3)
    paths = write_images(truth, folder / "in", kinds=("nifti",), shape=(8, 20, 20), seed=3)
    (folder / "settings.yaml").write_text(SETTINGS)
    config = Config(
        name="images",
        seed=5,
        extract={"cases": str(paths["cases"]), "settings": "settings.yaml", "reading": {"max_shift_mm": 2.0}},
        assemble={
            "splits": {"repeats": 1},
            "clinical": str(paths["clinical"]),
            "endpoints": {"os": "os_days,os_event"},
        },
        fuse={"endpoints": ["os"], "n_bootstrap": 0},
    )
    run = stages.run_all(Run(folder / "run", config, folder))
    export(run, folder / "model.imrad")
    other = make_cohort(14, n_features=24, n_targets=1, image_effect=2.0, survival_effect=1.0, seed=8)
    write_images(other, folder / "new", kinds=("nifti",), shape=(8, 20, 20), seed=8)
    sheet = pd.read_csv(folder / "new/clinical.csv").rename(
        columns={"os_days": "FU", "os_event": "dead", "age_years": "Alter"}
    )
    sheet.to_csv(folder / "new/sheet.csv", index=False)
    return folder


def risks(folder):
    table = pd.read_csv(folder / "external/os/risk.csv", float_precision="round_trip", dtype={"patient": str})
    return table.pivot(index="patient", columns="model", values="risk")


def test_the_own_images_get_the_risks_of_the_own_cohort(travelled, tmp_path):
    stored = open_bundle(travelled / "model.imrad")["extraction"]
    assert stored["settings"]["binWidth"] == 20
    assert stored["reading"]["max_shift_mm"] == 2
    lines = apply(
        *(travelled / "model.imrad", None, tmp_path / "images"),
        cases=travelled / "in/cases.csv",
        clinical=travelled / "in/clinical.csv",
    )
    assert lines[0] == "40 cases measured, 0 failed"
    apply(travelled / "model.imrad", travelled / "run/cohort.h5ad", tmp_path / "cohort")
    first, second = risks(tmp_path / "images"), risks(tmp_path / "cohort")
    assert list(first.columns) == list(second.columns)
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)


def test_another_sheet_is_read_by_the_names_that_the_user_gives(travelled, tmp_path):
    place = {"cases": travelled / "new/cases.csv", "clinical": travelled / "new/sheet.csv"}
    names = {"endpoints": ["os=FU,dead"], "columns": {"age_years": "Alter"}}
    apply(travelled / "model.imrad", None, tmp_path / "named", **place, **names, aggregate_only=True)
    judged = pd.read_csv(tmp_path / "named/external/os/models.csv", keep_default_na=False).set_index("model")
    assert judged.loc["Clinical", "reason"] == ""
    everything = "".join(path.read_text() for path in (tmp_path / "named").rglob("*") if path.is_file())
    patients = pd.read_csv(travelled / "new/clinical.csv")["patient"]
    assert len(patients) == 14
    assert not any(patient in everything for patient in patients)
    lines = apply(travelled / "model.imrad", None, tmp_path / "unnamed", **place)
    assert any("os is not judged: the sheet lacks os_days, os_event" in line for line in lines)
    judged = pd.read_csv(tmp_path / "unnamed/external/os/models.csv", keep_default_na=False).set_index("model")
    assert "age_years" in judged.loc["Clinical", "reason"]


def test_a_broken_case_is_a_row_and_images_alone_give_risks_only(travelled, tmp_path):
    cases = pd.read_csv(travelled / "new/cases.csv")
    for column in ("image", "mask"):
        cases[column] = [str(travelled / "new" / name) for name in cases[column]]
    cases.loc[0, "mask"] = str(tmp_path / "nowhere.nii.gz")
    cases.to_csv(tmp_path / "cases.csv", index=False)
    lines = apply(travelled / "model.imrad", None, tmp_path / "out", cases=tmp_path / "cases.csv")
    assert lines[0] == "13 cases measured, 1 failed"
    failed = pd.read_csv(tmp_path / "out/failures.csv")
    assert failed["patient"].tolist() == [cases.loc[0, "patient"]]
    risk = risks(tmp_path / "out")
    assert set(risk.columns) == {"Volume", "Rad"}
    assert risk["Volume"].notna().all()
    assert json.loads((tmp_path / "out/apply.json").read_text())["n_patients"] == 13


def test_what_cannot_be_applied_is_refused_before_anything_is_measured(travelled, tmp_path):
    model, cases = travelled / "model.imrad", travelled / "new/cases.csv"
    with pytest.raises(ConfigError, match="either --cohort"):
        apply(model, None, tmp_path / "out")
    with pytest.raises(ConfigError, match="either --cohort"):
        apply(model, travelled / "run/cohort.h5ad", tmp_path / "out", cases=cases)
    with pytest.raises(ConfigError, match="belong to --cases"):
        apply(model, travelled / "run/cohort.h5ad", tmp_path / "out", clinical=cases)
    with pytest.raises(ConfigError, match="names columns of a clinical sheet"):
        apply(model, None, tmp_path / "out", cases=cases, endpoints=["os=a,b"])
    with pytest.raises(InputError, match="does not exist"):
        apply(model, None, tmp_path / "out", cases=tmp_path / "none.csv")
    table = Config(
        name="table",
        assemble={"splits": {"repeats": 1}, "synthetic": {"n_patients": 40, "n_features": 24, "n_targets": 1}},
        fuse={"endpoints": ["os"], "n_bootstrap": 0},
    )
    export(stages.run_all(Run(tmp_path / "table", table, tmp_path)), tmp_path / "table.imrad")
    with pytest.raises(BundleError, match="no extraction settings"):
        apply(tmp_path / "table.imrad", None, tmp_path / "out", cases=cases)
    assert not (tmp_path / "out").exists()
