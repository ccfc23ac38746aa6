"""From two sequences at two time points, with a ring around each tumour and two readers, to cohort.h5ad."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from imrad import stages
from imrad.cohort import read_cohort
from imrad.config import load_config
from imrad.datasets import draw_phantom
from imrad.run import Run

PATIENTS = [f"H{number:02d}" for number in range(6)]
DATES = {"pre": "2021-03-01", "post": "2021-03-31"}
TIMES_S = (0.0, 60.0, 150.0)
SETTINGS = {"featureClass": {"firstorder": ["Mean", "Maximum"], "shape": ["MeshVolume"]}}


def write(values, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((2.0, 2.0, 3.0))
    sitk.WriteImage(image, str(path), useCompression=True)
    return path.relative_to(path.parents[2]).as_posix()


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A T2 on a scale of its own in every scan, and a DCE whose tumour rises by a slope of its own."""
    root = tmp_path_factory.mktemp("ward")
    rows, truth = [], {}
    for number, patient in enumerate(PATIENTS):
        for timepoint in ("pre", "post"):
            rng = np.random.default_rng([number, timepoint == "post"])
            name = f"{patient} {timepoint}"
            phantom = draw_phantom(0.2 * number, 0.0, shape=(10, 24, 24), name=name)
            second = draw_phantom(0.2 * number, 0.0, shape=(10, 24, 24), name=name, reader=2)
            base = np.clip(phantom.hounsfield, 0, None).astype(np.float64)
            slope = 20.0 + 5.0 * number + (10.0 if timepoint == "post" else 0.0)
            t2 = write(base * rng.uniform(0.5, 4.0), root / patient / timepoint / "t2.nii.gz")
            volumes = [base + phantom.mask * slope * time / 60.0 for time in TIMES_S]
            dce = [write(volume, root / patient / timepoint / f"dce{n}.nii.gz") for n, volume in enumerate(volumes)]
            masks = {
                "1": write(phantom.mask.astype(np.uint8), root / patient / timepoint / "mask.nii.gz"),
                "2": write(second.mask.astype(np.uint8), root / patient / timepoint / "mask2.nii.gz"),
            }
            truth[patient, timepoint] = (base[phantom.mask], base, slope)
            about = {"patient": patient, "timepoint": timepoint, "date": DATES[timepoint]}
            for reader, mask in masks.items():
                about |= {"mask": mask, "reader": reader}
                rows.append(about | {"series": "t2", "image": t2})
                rows.append(about | {"series": "dce", "image": ";".join(dce), "times_s": "0;60;150"})
    pd.DataFrame(rows).to_csv(root / "cases.csv", index=False)
    clinical = pd.DataFrame({"patient": PATIENTS, "os_days": range(100, 700, 100), "os_event": [1, 0, 1, 1, 0, 1]})
    clinical.to_csv(root / "clinical.csv", index=False)
    (root / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    config = {
        "name": "ward",
        "extract": {
            "cases": "cases.csv",
            "settings": "settings.yaml",
            "reading": {"feature_sets": {"tumour": "case", "ring": "ring(tumour, 5 mm) - case"}, "thumbnails": 0},
            "images": {
                "t2": {"intensity": "zscore", "within": "image"},
                "dce": {"maps": ["wash_in_slope_per_min", "time_to_peak_s"]},
            },
        },
        "assemble": {
            "clinical": "clinical.csv",
            "endpoints": {"os": "os_days,os_event"},
            "aggregation": "region",
            "delta": {"from": "pre", "to": "post", "kinds": ["absolute", "relative", "per_day"]},
            "splits": {"outer": 2, "inner": 2, "repeats": 1},
        },
    }
    (root / "ward.yaml").write_text(yaml.safe_dump(config))
    run = Run(root / "run", *load_config(root / "ward.yaml"))
    stages.run_all(run)
    return run, read_cohort(run.folder / "cohort.h5ad"), truth


def test_every_combination_has_its_features(ward):
    run, data, _ = ward
    kinds = [f"dce_{name}" for name in ("wash_in_slope_per_min", "time_to_peak_s")] + ["t2"]
    times = ("pre", "post", "delta", "delta_relative", "delta_per_day")
    prefixes = {":".join(name.split(":")[:-1]) for name in data.var_names}
    expected = {f"{time}:{kind}:{region}" for time in times for kind in kinds for region in ("tumour", "ring")}
    # A ring that is not enhanced has no slope to change by a share of itself.
    assert expected - prefixes <= {f"delta_relative:{kind}:ring" for kind in kinds[:2]}
    assert run.read("extract/failures.csv").empty
    # Patients x time points x readers x images x regions.
    assert len(run.read("features.csv")) == 6 * 2 * 2 * 3 * 2


def test_values_are_those_of_the_images(ward):
    _, data, truth = ward
    found = data.to_df()
    mean = "original_firstorder_Mean"
    for patient in PATIENTS:
        for timepoint in ("pre", "post"):
            inside, image, slope = truth[patient, timepoint]
            score = (inside.mean() - image.mean()) / image.std()
            assert found.loc[patient, f"{timepoint}:t2:tumour:{mean}"] == pytest.approx(score, rel=1e-9)
            assert found.loc[patient, f"{timepoint}:dce_wash_in_slope_per_min:tumour:{mean}"] == pytest.approx(slope)
            assert found.loc[patient, f"{timepoint}:dce_time_to_peak_s:tumour:{mean}"] == pytest.approx(150.0)
            assert found.loc[patient, f"{timepoint}:dce_wash_in_slope_per_min:ring:{mean}"] == pytest.approx(0.0)
        before = truth[patient, "pre"][2]
        changes = {"delta": 10.0, "delta_relative": 10.0 / before, "delta_per_day": 10.0 / 30}
        for kind, change in changes.items():
            assert found.loc[patient, f"{kind}:dce_wash_in_slope_per_min:tumour:{mean}"] == pytest.approx(change)


def test_the_second_reader_stands_beside_the_first(ward):
    _, data, _ = ward
    second = data.obsm["reader_2"]
    assert list(second.columns) == list(data.var_names)
    volume = "pre:t2:tumour:original_shape_MeshVolume"
    ratio = second[volume] / data.to_df()[volume]
    assert ((ratio > 0.7) & (ratio < 1.4)).all()
    assert (ratio != 1).all()


def test_units_follow_the_change(ward):
    _, data, _ = ward
    units = data.var["unit"]
    assert units["pre:t2:tumour:original_shape_MeshVolume"] == "mm^3"
    assert units["delta_per_day:t2:tumour:original_shape_MeshVolume"] == "mm^3/day"
