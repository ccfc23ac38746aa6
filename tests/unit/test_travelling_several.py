"""A model over several images, regions, time points and sites travels: the same risks from its images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from imrad import stages
from imrad.config import Config, load_config
from imrad.datasets import draw_phantom
from imrad.run import Run
from imrad.stages.applying import apply
from imrad.stages.exporting import export, open_bundle

SETTINGS = {"featureClass": {"firstorder": ["Mean", "Variance", "Entropy"], "shape": ["MeshVolume"]}}
COMBAT = {"combat": {"batch": "site", "unseen": "nearest", "covariates": ["age_years"], "missing": "indicator"}}


def write(values, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(image, str(path))
    return path.relative_to(path.parents[1]).as_posix()


def hospital(root, patients, sites):
    """Write a T2 and a DCE of two time points a patient; brighter tumours live longer and respond more."""
    rows, sheet = [], []
    for number, patient in enumerate(patients):
        rng = np.random.default_rng([number, len(patients)])
        signal = rng.standard_normal()
        for timepoint, day in (("pre", "2021-03-01"), ("post", "2021-03-31")):
            phantom = draw_phantom(0.3 * signal, signal, shape=(6, 16, 16), name=f"{patient} {timepoint}")
            base = np.clip(phantom.hounsfield, 0, None) + 20.0 * (number % len(sites))
            place = root / patient
            about = {"patient": patient, "timepoint": timepoint, "date": day, "label": 1}
            about["mask"] = write(phantom.mask.astype(np.uint8), place / f"{timepoint}_mask.nii.gz")
            rows.append(about | {"series": "t2", "image": write(base, place / f"{timepoint}_t2.nii.gz")})
            rise = [base + phantom.mask * (20 + 5 * signal) * minutes for minutes in (0.0, 1.0)]
            dce = [write(volume, place / f"{timepoint}_dce{n}.nii.gz") for n, volume in enumerate(rise)]
            rows.append(about | {"series": "dce", "image": ";".join(dce), "times_s": "0;60"})
        days = rng.exponential(700) * np.exp(0.6 * signal)
        one = {"patient": patient, "age_years": np.nan if number % 9 == 4 else round(rng.normal(60, 8))}
        one |= {"site": sites[number % len(sites)], "ctdna": round(rng.normal(), 3)}
        one |= {"os_days": round(days) + 30, "os_event": int(rng.random() < 0.8)}
        sheet.append(one | {"best": "PR" if signal + rng.normal() > 0 else "SD", "TMB": signal + rng.normal()})
    pd.DataFrame(rows).to_csv(root / "cases.csv", index=False)
    table = pd.DataFrame(sheet)
    table.drop(columns="TMB").to_csv(root / "sheet.csv", index=False)
    table[["patient", "TMB"]].to_csv(root / "immune.csv", index=False)


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """Return a folder with two hospitals and the model of the first."""
    root = tmp_path_factory.mktemp("ward")
    hospital(root / "own", [f"H{number:02d}" for number in range(40)], ("A", "B"))
    hospital(root / "other", [f"X{number:02d}" for number in range(12)], ("C",))
    (root / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    config = {
        "name": "ward",
        "seed": 3,
        "extract": {
            "cases": "own/cases.csv",
            "settings": "settings.yaml",
            "reading": {"feature_sets": {"tumour": "case", "ring": "ring(tumour, 5 mm)"}, "thumbnails": 0},
            "images": {"t2": {"intensity": "zscore", "within": "image"}, "dce": {"maps": ["peak_enhancement"]}},
        },
        "assemble": {
            "splits": {"repeats": 1},
            "clinical": "own/sheet.csv",
            "immune": "own/immune.csv",
            "endpoints": {"os": "os_days,os_event", "response": "best"},
            "aggregation": "region",
            "delta": {"from": "pre", "to": "post", "kinds": ["absolute", "per_day"]},
        },
        "phenotype": {
            **{"selectors": ["information_gain"], "classifiers": ["logistic_regression"], "permutations": 0},
            **{"controls": False, "ablation": False, "prepare": [COMBAT, "zscore"]},
        },
        "fuse": {
            "endpoints": ["os", "response"],
            "n_bootstrap": 0,
            "clinical": ["age_years"],
            "extra_blocks": {"Changes": ["delta:*"], "ctDNA": ["ctdna"]},
            "prepare": [COMBAT, "zscore"],
            "models": {"Rad and ctDNA": {"blocks": ["Rad", "ctDNA"]}},
            "response_models": {"Rad": {"blocks": ["Rad"]}, "Changes": {"blocks": ["Changes"]}},
        },
    }
    (root / "ward.yaml").write_text(yaml.safe_dump(config))
    run = stages.run_all(Run(root / "run", *load_config(root / "ward.yaml")))
    export(run, root / "model.imrad")
    return run, root


def values(folder, endpoint, column):
    table = pd.read_csv(folder / f"external/{endpoint}/risk.csv", float_precision="round_trip")
    return table.pivot(index="patient", columns="model", values=column)


def test_own_images_and_own_cohort_get_the_same_risks(ward, tmp_path):
    run, root = ward
    own = {"cases": root / "own/cases.csv", "clinical": root / "own/sheet.csv", "immune": root / "own/immune.csv"}
    apply(root / "model.imrad", run.folder / "cohort.h5ad", tmp_path / "cohort")
    lines = apply(root / "model.imrad", None, tmp_path / "images", **own)
    assert lines[0] == "320 cases measured, 0 failed"
    for endpoint, column, measure in (("os", "risk", "c"), ("response", "probability", "auc")):
        first, second = (values(tmp_path / name, endpoint, column) for name in ("cohort", "images"))
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-12)
        assert first.notna().all(axis=None)
        judged = pd.read_csv(tmp_path / f"cohort/external/{endpoint}/models.csv").set_index("model")[measure]
        folder = "survival" if endpoint == "os" else "response"
        fitted = run.read(f"{folder}/{endpoint}/models.csv").set_index("model")[f"{measure}_apparent"].dropna()
        in_sample = [name for name in fitted.index if "ImRad" not in name]
        assert len(in_sample) >= 2
        np.testing.assert_allclose(judged[in_sample], fitted[in_sample], rtol=0, atol=1e-12)
    # What travels is not the plain images alone: rings and changes are among what the models use.
    value = open_bundle(root / "model.imrad")
    plains = [value["endpoints"]["os"]["models"]["Rad"], *value["responses"]["response"]["models"].values()]
    inputs = {name for plain in plains for side in plain["prepare"].values() for name in side["inputs"]}
    assert any(":ring:" in name for name in inputs)
    assert any(name.startswith("delta") for name in inputs)


def test_another_hospital_of_an_unseen_site_is_measured_and_judged(ward, tmp_path):
    _, root = ward
    place = {"cases": root / "other/cases.csv", "clinical": root / "other/sheet.csv"}
    lines = apply(root / "model.imrad", None, tmp_path / "out", **place)
    assert lines[0] == "96 cases measured, 0 failed"
    for endpoint, column in (("os", "risk"), ("response", "probability")):
        found = values(tmp_path / "out", endpoint, column)
        assert found["Rad"].notna().all()
        assert found["Rad"].nunique() > 6
    apply(root / "model.imrad", None, tmp_path / "sums", **place, aggregate_only=True)
    everything = "".join(path.read_text() for path in (tmp_path / "sums").rglob("*") if path.is_file())
    assert "X01" not in everything


def test_vectors_that_came_as_a_table_travel_with_the_cohort(tmp_path, monkeypatch):
    monkeypatch.setattr("imrad.survival.binary_forest.TREES", 20)
    rng = np.random.default_rng(2)
    patients = [f"V{number:02d}" for number in range(40)]
    signal = rng.standard_normal(40)
    rows = [
        {"patient": patient, "phase": phase, **{f"deep_{n:03d}": signal[row] + rng.normal() for n in range(12)}}
        for row, patient in enumerate(patients)
        for phase in ("plain", "contrast")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "vectors.csv", index=False)
    outcome = np.where(signal + rng.standard_normal(40) > 0, "pCR", "non-pCR")
    pd.DataFrame({"patient": patients, "pathology": outcome}).to_csv(tmp_path / "sheet.csv", index=False)
    config = Config(
        name="vectors",
        assemble={
            "splits": {"repeats": 1},
            **{"radiomics": "vectors.csv", "clinical": "sheet.csv", "endpoints": {"pcr": "pathology"}},
            "aggregation": "region_and_mean",
        },
        fuse={
            **{"endpoints": ["pcr"], "n_bootstrap": 0, "extra_blocks": {"fCT": ["mean:*"]}},
            "response_models": {"fCT": {"blocks": ["fCT"], "estimator": "forest", "components": 4}},
        },
    )
    run = stages.run_all(Run(tmp_path / "run", config, tmp_path))
    lines = export(run, tmp_path / "model.imrad")
    assert "--cohort new.h5ad" in lines[-1]
    apply(tmp_path / "model.imrad", run.folder / "cohort.h5ad", tmp_path / "own")
    judged = pd.read_csv(tmp_path / "own/external/pcr/models.csv").set_index("model")
    fitted = run.read("response/pcr/models.csv").set_index("model")
    assert judged.loc["fCT", "auc"] == pytest.approx(fitted.loc["fCT", "auc_apparent"], abs=1e-12)
