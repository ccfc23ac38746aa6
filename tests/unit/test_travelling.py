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
from imrad.report.sections.external import section
from imrad.report.tables import RunTables
from imrad.run import Run
from imrad.stages import blocks
from imrad.stages.aggregates import without_small_cells
from imrad.stages.applying import apply
from imrad.stages.exporting import export, open_bundle, refuse_names
from imrad.stages.likeness import joint_reference, reference, strangers
from imrad.survival.frozen import FrozenModel
from imrad.survival.models import BlockModel, fit_block_model

SMALL = Config(
    name="small",
    seed=5,
    assemble={
        "splits": {"repeats": 1},
        "synthetic": {"n_patients": 60, "n_features": 24, "n_targets": 2, "image_effect": 3.0, "survival_effect": 1.0},
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
    # Neither an array nor a list has an entry for each patient.
    rows = [len(part) for part in nested(open_bundle(model))]
    assert len(rows) > 50
    assert 60 not in rows


def nested(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | np.ndarray | pd.DataFrame):
        yield value
    if isinstance(value, list):
        for item in value:
            yield from nested(item)


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
    assert open_bundle(model, digest)["format"] == "imrad model 2"
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


def rewritten(model, path, change):
    """Write a bundle with a changed content and a digest that fits it, as someone with bad intent could."""
    kept = content.load(model)
    change(kept["value"])
    content.save(path, {"value": kept["value"], "digest": content.digest(kept["value"])})
    return path


def set_at(*keys):
    *path, last, new = keys

    def change(value):
        for key in path:
            value = value[key]
        value[last] = new

    return change


SURVIVAL = ("endpoints", "os", "models", "Clinical")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("format", "imrad model 99"), "has the format 'imrad model 99'"),
        (lambda value: value.pop("features"), "lacks its part 'features'"),
        (set_at("joint", "no mapping"), "lacks its part 'joint'"),
        (set_at(*SURVIVAL, "coef", np.array([np.nan, 0, 0, 0])), "os Clinical holds values of coef that are not"),
        (set_at(*SURVIVAL, "coef", np.zeros(3)), "3 coefficients for 4 columns"),
        (set_at(*SURVIVAL, "offset", np.inf), "holds values of offset"),
        (set_at(*SURVIVAL, "baseline_hazard", np.zeros(2)), "2 baseline hazards for"),
        (set_at("features", "quantiles", np.zeros((7, 2))), "is not of its 24 features"),
        (set_at("joint", "directions", np.zeros((1, 1))), "has directions of the shape"),
        (set_at("phenotypes", "TMB", "medians", np.zeros(2)), r"has medians of the shape \(2,\)"),
        (set_at("phenotypes", "TMB", "model", {"kind": "eval"}), "unknown kind, 'eval'"),
        (set_at("phenotypes", "TMB", "model", {"kind": "logistic_regression", "coef": np.zeros(1)}), "wrong shape"),
        (
            set_at(
                *("phenotypes", "TMB", "model"),
                {
                    "kind": "random_forest",
                    "trees": [
                        {
                            **{"left": np.array([0, -1]), "right": np.array([0, -1]), "feature": np.array([0, -2])},
                            **{"threshold": np.zeros(2), "leaf": np.zeros(2)},
                        }
                    ],
                },
            ),
            "a tree that does not end",
        ),
        (set_at("phenotypes", "TMB", 3), "does not have the parts"),
    ],
)
def test_a_bundle_of_wrong_content_is_refused_by_the_part_that_is_wrong(trained, tmp_path, change, message):
    path = rewritten(trained[1], tmp_path / "odd.imrad", change)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_plain_archive_are_refused_before_they_are_unpacked(trained, tmp_path):
    _, model, _ = trained
    raw = model.read_bytes()
    (tmp_path / "short.imrad").write_bytes(raw[: len(raw) // 2])
    with zipfile.ZipFile(model) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "escape.imrad", "w") as archive:
        for name, part in {**inside, "../../escape.npy": b"x"}.items():
            archive.writestr(name, part)
    with zipfile.ZipFile(tmp_path / "bomb.imrad", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("tree.json", inside["tree.json"])
        with archive.open(zipfile.ZipInfo("0.npy"), "w", force_zip64=True) as member:
            # Compressed by hand it would take a while: the directory says more than the member holds.
            member.write(b"0")
        archive.infolist()[-1].file_size = 3_000_000_000
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile(tmp_path / "liar.imrad", "w") as archive:
        for name, part in {**inside, "0.npy": header.getvalue()}.items():
            archive.writestr(name, part)
    for name, message in {
        "short": "cut short",
        "escape": "no export writes",
        "bomb": "3000 MB",
        "liar": "damaged",
    }.items():
        with pytest.raises(BundleError, match=message):
            open_bundle(tmp_path / f"{name}.imrad")
    assert not (tmp_path.parent.parent / "escape.npy").exists()


def test_features_that_no_longer_go_together_are_flagged_though_each_is_in_its_range():
    rng = np.random.default_rng(3)

    def draw(n):
        return pd.DataFrame(rng.standard_normal((n, 4)) @ loadings + 0.3 * rng.standard_normal((n, 60))).add_prefix("f")

    loadings = rng.standard_normal((4, 60))
    training, alike = draw(113), draw(200)
    odd = alike.apply(rng.permutation)
    joint = joint_reference(training, list(training))
    (known, _), (strange, _) = (strangers(reference(training), table, joint) for table in (alike, odd))
    assert len(joint["directions"]) == 11
    assert known["distance"].median() == pytest.approx(1.0, abs=0.1)
    assert known["share_outside"].mean() == pytest.approx(strange["share_outside"].mean())
    assert known["out_of_distribution"].mean() < 0.05
    assert strange["out_of_distribution"].mean() > 0.95
    assert joint_reference(training[:19], list(training)) == {}
    # A feature that is absent or missing counts as typical: it cannot make a stranger.
    absent, _ = strangers(reference(training), alike.drop(columns="f0"), joint)
    assert absent["out_of_distribution"].mean() < 0.1


def test_units_and_classes_that_training_did_not_see_are_told(trained, tmp_path):
    run, model, _ = trained

    def strange(data):
        data.obs["age_years"] = data.obs["age_years"] * 365.25
        data.obs["sex"] = ["divers" if n < 7 else sex for n, sex in enumerate(data.obs["sex"].astype(str))]

    new = changed(run, tmp_path / "new.h5ad", strange)
    lines = apply(model, new, tmp_path / "out")
    assert any("age_years: its median is 2" in line and "same unit" in line for line in lines)
    assert any("sex: 7 patients are of a class" in line and "divers" in line for line in lines)
    shift = pd.read_csv(tmp_path / "out/clinical_shift.csv").set_index("column")
    assert shift.loc["age_years", "share_outside"] == 1
    assert shift.loc["sex", "share_outside"] == pytest.approx(7 / 60)
    lines = apply(model, new, tmp_path / "sum", aggregate_only=True)
    assert not any("divers" in line for line in lines)


def test_few_absent_features_take_the_training_median_and_are_named(trained, tmp_path):
    run, model, _ = trained
    value = open_bundle(model)
    features = value["phenotypes"]["TMB"]["features"]
    gone = features[0]
    data = read_cohort(run.folder / "cohort.h5ad")
    filled = data.copy()
    middle = value["features"]["quantiles"][3][value["features"]["names"].index(gone)]
    filled.X[:, list(data.var_names).index(gone)] = middle
    write_cohort(filled, tmp_path / "filled.h5ad")
    write_cohort(data[:, data.var_names != gone].copy(), tmp_path / "less.h5ad")
    apply(model, tmp_path / "filled.h5ad", tmp_path / "one")
    apply(model, tmp_path / "less.h5ad", tmp_path / "two")
    first, second = (pd.read_csv(tmp_path / name / "phenotypes.csv") for name in ("one", "two"))
    first, second = (table[table["phenotype"] == "Rad-TMB"]["probability"].to_numpy() for table in (first, second))
    np.testing.assert_allclose(first, second, atol=1e-12)
    # Three of twenty are more than a tenth: the phenotype is not applied.
    write_cohort(data[:, ~data.var_names.isin(features[:3])].copy(), tmp_path / "little.h5ad")
    lines = apply(model, tmp_path / "little.h5ad", tmp_path / "three")
    assert any(line.startswith("phenotype TMB not applied: ") and "3 are missing" in line for line in lines)


def test_counts_of_few_patients_do_not_leave(trained, tmp_path):
    run, model, _ = trained

    def censor(data):
        data.obs["os_event"] = [1] * 4 + [0] * 56

    new = changed(run, tmp_path / "few.h5ad", censor)
    apply(model, new, tmp_path / "out", aggregate_only=True)
    models = pd.read_csv(tmp_path / "out/external/os/models.csv")
    assert models["reason"].str.contains("fewer than 5 events").all()
    assert models["n_events"].isna().all()
    shares = pd.read_csv(tmp_path / "out/feature_shift.csv")["share_above"].dropna() * 60
    assert ((shares == 0) | (shares > 4.5)).all()


def test_a_column_of_names_is_not_exported(trained):
    run, _, _ = trained
    data = read_cohort(run.folder / "cohort.h5ad")
    data.obs["surgeon"] = pd.Categorical([f"name {number}" for number in range(data.n_obs)])
    with pytest.raises(InputError, match="surgeon has 60 classes among 60 patients"):
        refuse_names(data, ["age_years", "sex", "surgeon"])
    refuse_names(data, ["age_years", "sex", "stage"])


def test_models_of_a_response_travel(tmp_path):
    config = Config(
        name="response",
        assemble={"splits": {"repeats": 1}, "standin": {"study": "nsclc-ici-response", "size": "small"}},
        fuse={"endpoints": ["response"], "n_bootstrap": 0},
    )
    run = stages.run_all(Run(tmp_path / "run", config, tmp_path))
    lines = export(run, tmp_path / "model.imrad")
    assert "models of a response" in lines[0]
    apply(tmp_path / "model.imrad", run.folder / "cohort.h5ad", tmp_path / "own")
    found = pd.read_csv(tmp_path / "own/external/response/models.csv").set_index("model")
    final = content.load(run.folder / "response/response/models.zip")
    assert set(found.index) == set(final)
    assert (found["auc"] > 0.5).all()
    data = read_cohort(run.folder / "cohort.h5ad")
    data.obs["response"] = np.where(np.arange(data.n_obs) % 4 == 0, 1.0, 0.0)
    write_cohort(data, tmp_path / "rare.h5ad")
    apply(tmp_path / "model.imrad", tmp_path / "rare.h5ad", tmp_path / "plain")
    apply(tmp_path / "model.imrad", tmp_path / "rare.h5ad", tmp_path / "mended", recalibrate=True)
    plain, mended = (
        pd.read_csv(tmp_path / name / "external/response/models.csv").set_index("model") for name in ("plain", "mended")
    )
    assert (abs(plain["o_over_e"] - 1) > 0.05).any()
    np.testing.assert_allclose(mended["o_over_e"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(mended["auc"], plain["auc"], atol=1e-12)
    np.testing.assert_allclose(mended["sensitivity"], plain["sensitivity"], atol=1e-12)
    # What the report shows of it, and what may leave the hospital.
    apply(tmp_path / "model.imrad", tmp_path / "rare.h5ad", run.folder, recalibrate=True)
    part = section(RunTables(Run.open(run.folder)))
    named = {block.name: block for block in part.blocks if hasattr(block, "name")}
    figures = ("applied_roc", "applied_calibration", "applied_net_benefit")
    assert {"external_threshold_response", *(f"{name}_response" for name in figures)} <= set(named)
    assert "shift" in named["external_response"].columns
    assert "moved with the probabilities" in named["external_threshold_response"].caption
    apply(tmp_path / "model.imrad", tmp_path / "rare.h5ad", tmp_path / "sums", aggregate_only=True)
    sums = pd.read_csv(tmp_path / "sums/external/response/models.csv")
    cells = sums[["tp", "fp", "tn", "fn"]]
    assert not cells.isin([1, 2, 3, 4]).any(axis=None)
    hidden = cells[["tp", "fn"]].isna().any(axis=1)
    assert sums.loc[hidden, ["sensitivity", "ppv", "npv", "accuracy", "sensitivity_low"]].isna().all(axis=None)


def test_no_share_tells_a_cell_of_few_patients():
    row = {"tp": 3, "fn": 9, "tn": 11, "fp": 6, "sensitivity": 0.25, "specificity": 11 / 17, "npv": 0.55, "auc": 0.7}
    out = without_small_cells(pd.DataFrame([row])).iloc[0]
    assert out[["tp", "fn", "sensitivity", "npv"]].isna().all()
    assert out[["tn", "fp", "specificity", "auc"]].notna().all()


def test_boosting_and_forests_travel(trained, tmp_path):
    config = Config(
        name="trees",
        seed=5,
        assemble={"splits": {"repeats": 1}, "cohort": str(trained[0].folder / "cohort.h5ad")},
        fuse={"endpoints": ["os"], "n_bootstrap": 0, "models": {"Trees": {"blocks": ["Rad"], "learner": "gbm"}}},
    )
    run = stages.run_all(Run(tmp_path / "run", config, tmp_path))
    export(run, tmp_path / "model.imrad")
    apply(tmp_path / "model.imrad", run.folder / "cohort.h5ad", tmp_path / "out")
    risk = pd.read_csv(tmp_path / "out/external/os/risk.csv", float_precision="round_trip")
    final = content.load(run.folder / "survival/os/models.zip")["Trees"]
    data = read_cohort(run.folder / "cohort.h5ad")
    direct = FrozenModel(final).risk({"Rad": blocks.features(data)})
    np.testing.assert_allclose(risk.loc[risk["model"] == "Trees", "risk"], direct, rtol=0, atol=1e-12)

    def loop(value):
        trees = value["endpoints"]["os"]["models"]["Trees"]["trees"]
        inner = np.flatnonzero(np.asarray(trees["left"]) >= 0)
        trees["left"][inner[0]] = 0

    with pytest.raises(BundleError, match="os Trees holds a tree that does not end"):
        open_bundle(rewritten(tmp_path / "model.imrad", tmp_path / "odd.imrad", loop))


def test_the_report_shows_likeness_calibration_and_decision_curves_of_the_other_cohort(trained, tmp_path):
    import shutil

    run, model, _ = trained
    shutil.copytree(run.folder, tmp_path / "run")
    apply(model, run.folder / "cohort.h5ad", tmp_path / "run")
    part = section(RunTables(Run.open(tmp_path / "run")))
    named = {block.name: block for block in part.blocks if hasattr(block, "name")}
    wanted = {"applied_patients", "applied_shift", "applied_clinical", "external_os"}
    assert wanted | {"applied_calibration_os", "applied_decision_os"} <= set(named)
    assert "auc_1095d" in named["external_os"].columns
    assert len(named["applied_calibration_os"].figure().axes) >= 2
