"""A model that travels: the same risks, strangers named, nothing executed, nothing of a patient in it."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from imrad import content, stages
from imrad.cohort import read_cohort, write_cohort
from imrad.config import Config
from imrad.datasets import make_cohort
from imrad.exceptions import BundleError, ConfigError, InputError
from imrad.run import Run
from imrad.stages import blocks
from imrad.stages.applying import apply
from imrad.stages.exporting import export, open_bundle
from imrad.survival.frozen import FrozenModel
from imrad.survival.models import BlockModel, fit_block_model

SMALL = Config(
    name="small",
    seed=5,
    assemble={
        "synthetic": {"n_patients": 60, "n_features": 24, "n_targets": 2, "image_effect": 3.0, "survival_effect": 1.0}
    },
    phenotype={
        **{"selectors": ["information_gain"], "classifiers": ["naive_bayes", "logistic_regression"]},
        **{"permutations": 0, "controls": False, "ablation": False},
    },
    fuse={"endpoints": ["os"], "n_bootstrap": 0},
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run, its exported model and the digest that export printed."""
    folder = tmp_path_factory.mktemp("travelling")
    run = stages.run_all(Run(folder / "run", SMALL, folder))
    lines = export(run, folder / "model.imrad")
    return run, folder / "model.imrad", next(line.split()[1] for line in lines if line.startswith("digest "))


def changed(run, path, change):
    data = read_cohort(run.folder / "cohort.h5ad")
    change(data)
    write_cohort(data, path)
    return path


def test_the_own_cohort_gets_the_risks_of_the_final_models(trained, tmp_path):
    run, model, digest = trained
    apply(model, run.folder / "cohort.h5ad", tmp_path, digest=digest)
    risk = pd.read_csv(tmp_path / "external/os/risk.csv", float_precision="round_trip").pivot(
        index="patient", columns="model", values="risk"
    )
    exact = run.read("survival/os/explanations.csv")
    for name in ("Clinical", "Clinical+Immune"):
        total = exact[exact["model"] == name].groupby("patient")["contribution"].sum()
        np.testing.assert_allclose(risk[name], total.reindex(risk.index), rtol=0, atol=1e-12)
    found = pd.read_csv(tmp_path / "external/os/models.csv").set_index("model")
    trained_c = run.read("survival/os/models.csv").set_index("model")["c_apparent"]
    for name in ("Clinical", "Volume", "Rad", "Clinical+Immune"):
        assert found.loc[name, "c"] == pytest.approx(trained_c[name], abs=1e-12)
        assert found.loc[name, "o_over_e"] == pytest.approx(1.0, abs=1e-6)
    probability = pd.read_csv(tmp_path / "phenotypes.csv")
    assert probability["probability"].between(0, 1).all()
    assert len(probability) == 2 * 60


@pytest.mark.parametrize("cut", [(), ("Rad",)])
def test_a_frozen_model_equals_the_fitted_one(trained, tmp_path, cut):
    data = read_cohort(trained[0].folder / "cohort.h5ad")
    y = data.obs[["os_days", "os_event"]].to_numpy(dtype=float)
    tables = {"Clinical": blocks.clinical_block(data, None), "Rad": blocks.features(data)}
    label = np.arange(len(y)) % 5
    model = BlockModel("both", ("Clinical", "Rad"), cut=cut)
    fitted = fit_block_model(model, tables, y[:, 0], y[:, 1] == 1, label)
    content.save(tmp_path / "one.zip", fitted.to_plain())
    frozen = FrozenModel(content.load(tmp_path / "one.zip"))
    risk = fitted.risk(tables)
    np.testing.assert_allclose(frozen.risk(tables), risk, rtol=0, atol=1e-12)
    np.testing.assert_allclose(frozen.survival(risk, [365, 900]), fitted.survival(risk, [365, 900]), rtol=0, atol=1e-12)
    assert frozen.expected(risk, y[:, 0]).sum() == pytest.approx(y[:, 1].sum())
    unused = [name for name in tables["Rad"] if name not in frozen.needed["Rad"]]
    slim = {"Clinical": tables["Clinical"], "Rad": tables["Rad"].drop(columns=unused)}
    np.testing.assert_allclose(frozen.risk(slim), risk, rtol=0, atol=1e-12)


def test_no_patient_travels(trained):
    run, model, _ = trained
    with zipfile.ZipFile(model) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for patient in read_cohort(run.folder / "cohort.h5ad").obs_names:
        assert patient.encode() not in everything
        assert patient.encode("utf-32-le") not in everything
    arrays = [np.load(io.BytesIO(part)) for part in members(model) if part.startswith(b"\x93NUMPY")]
    # Event times and bins are as long as they are; no table has a row a patient.
    assert all(array.shape[0] != 60 for array in arrays if array.ndim == 2)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_a_shifted_cohort_raises_the_flags_and_recalibration_mends_calibration_in_the_large(trained, tmp_path):
    run, model, _ = trained

    def shift(data):
        data.X = data.X + 3 * np.nanstd(data.X, axis=0)
        # Everyone lives twice as long.
        data.obs["os_days"] = data.obs["os_days"] * 2

    new = changed(run, tmp_path / "new.h5ad", shift)
    apply(model, new, tmp_path / "plain")
    apply(model, new, tmp_path / "mended", recalibrate=True)
    apply(model, run.folder / "cohort.h5ad", tmp_path / "own")
    flagged = {name: pd.read_csv(tmp_path / name / "patients.csv")["out_of_distribution"] for name in ("own", "plain")}
    assert flagged["own"].mean() < 0.05
    assert flagged["plain"].mean() > 0.9
    plain, mended = (
        pd.read_csv(tmp_path / name / "external/os/models.csv").set_index("model") for name in ("plain", "mended")
    )
    assert plain.loc["Clinical", "o_over_e"] < 0.8
    np.testing.assert_allclose(mended["o_over_e"], 1.0, rtol=1e-9)
    np.testing.assert_allclose(mended["c"], plain["c"], rtol=0, atol=1e-12)
    shifts = pd.read_csv(tmp_path / "plain/feature_shift.csv")["shift_sd"]
    np.testing.assert_allclose(shifts, 3.0, atol=0.2)


def test_missing_features_and_outcomes_are_told_and_the_rest_is_applied(trained, tmp_path):
    run, model, _ = trained
    needed = FrozenModel(open_bundle(model)["endpoints"]["os"]["models"]["Rad"]).needed["Rad"][0]
    data = read_cohort(run.folder / "cohort.h5ad")
    data = data[:, data.var_names != needed].copy()
    write_cohort(data, tmp_path / "less.h5ad")
    lines = apply(model, tmp_path / "less.h5ad", tmp_path / "out")
    assert any("1 features of the training cohort are missing" in line and needed in line for line in lines)
    models = pd.read_csv(tmp_path / "out/external/os/models.csv", keep_default_na=False).set_index("model")
    assert needed in models.loc["Rad", "reason"]
    assert models.loc["Clinical", "reason"] == ""


def test_ranks_of_an_ordered_category_are_those_of_the_training_cohort(trained, tmp_path):
    run, model, _ = trained

    def drop_first(data):
        stage = data.obs["stage"]
        present = [level for level in stage.cat.categories if (stage == level).any()]
        data.obs["stage"] = stage.cat.set_categories(present, ordered=True).cat.reorder_categories(
            present[::-1], ordered=True
        )

    if "stage" not in read_cohort(run.folder / "cohort.h5ad").obs:
        pytest.fail("the synthetic cohort has lost its stage: choose another ordered column")
    new = changed(run, tmp_path / "reversed.h5ad", drop_first)
    apply(model, new, tmp_path / "reversed")
    apply(model, run.folder / "cohort.h5ad", tmp_path / "own")
    first, second = (pd.read_csv(tmp_path / name / "external/os/risk.csv")["risk"] for name in ("reversed", "own"))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)


def test_only_aggregates_leave_where_that_is_asked(trained, tmp_path):
    run, model, _ = trained
    own = run.folder / "cohort.h5ad"
    apply(model, own, tmp_path / "sum", aggregate_only=True)
    text = "".join(path.read_text() for path in (tmp_path / "sum").rglob("*") if path.is_file())
    assert (tmp_path / "sum/external/os/net_benefit.csv").exists()
    assert not any(patient in text for patient in read_cohort(own).obs_names)
    apply(model, own, tmp_path / "rows")
    with pytest.raises(ConfigError, match="another folder"):
        apply(model, own, tmp_path / "rows", aggregate_only=True)
    write_cohort(make_cohort(n_patients=8, n_features=24), tmp_path / "few.h5ad")
    with pytest.raises(ConfigError, match="8 patients"):
        apply(model, tmp_path / "few.h5ad", tmp_path / "few", aggregate_only=True)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["IMRAD_BOMB"],)


def test_an_altered_or_unsafe_bundle_is_refused_and_nothing_of_it_runs(trained, tmp_path, monkeypatch):
    _, model, digest = trained
    assert open_bundle(model, digest)["format"] == "imrad model 1"
    with pytest.raises(BundleError, match="altered"):
        open_bundle(model, "0" * 64)
    kept = content.load(model)
    kept["value"]["endpoints"]["os"]["models"]["Clinical"]["coef"][0] += 1e-9
    content.save(tmp_path / "one.imrad", kept)
    with pytest.raises(BundleError, match="altered"):
        open_bundle(tmp_path / "one.imrad")
    # Whoever alters the file can write its inner digest anew; not the one that export printed.
    content.save(tmp_path / "two.imrad", {**kept, "digest": content.digest(kept["value"])})
    with pytest.raises(BundleError, match="altered"):
        open_bundle(tmp_path / "two.imrad", digest)
    monkeypatch.setenv("IMRAD_BOMB", str(tmp_path / "exploded"))
    array = io.BytesIO()
    np.save(array, np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "raw.imrad").write_bytes(array.getvalue()[array.getvalue().index(b"\x80") :])
    with zipfile.ZipFile(tmp_path / "zip.imrad", "w") as archive:
        archive.writestr("tree.json", '{"mapping": {"value": {"mapping": {"a": {"array": 0}}}, "digest": "x"}}')
        archive.writestr("0.npy", array.getvalue())
    with zipfile.ZipFile(tmp_path / "list.imrad", "w") as archive:
        archive.writestr("tree.json", "[1, 2]")
    for name in ("raw", "zip", "list"):
        with pytest.raises(BundleError):
            open_bundle(tmp_path / f"{name}.imrad")
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(InputError):
        open_bundle(tmp_path / "none.imrad")
