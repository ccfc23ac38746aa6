"""A run on ready-made vectors with maps beside them: whose are kept, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad import content, stages
from imrad.config import Config
from imrad.datasets import draw_study, standin_maps
from imrad.exceptions import InputError, NoOverlapError
from imrad.run import Run


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """Vectors, clinical table and maps of four patients as a hospital would have them."""
    folder = tmp_path_factory.mktemp("ward")
    tables = draw_study("nsclc-deep-pcr", size="small").rows("training")
    for name in ("radiomics", "clinical"):
        tables[name].to_csv(folder / f"{name}.csv", index=name == "clinical")
    rows = []
    for drawn, _ in zip(standin_maps("nsclc-deep-pcr", size="small"), range(4), strict=False):
        for name, values in (("image", drawn.image), ("map", drawn.relevance), ("mask", drawn.region)):
            np.save(folder / f"{drawn.patient}_{name}.npy", values)
        rows.append({"patient": drawn.patient, **{n: f"{drawn.patient}_{n}.npy" for n in ("image", "map", "mask")}})
    pd.DataFrame([*rows, rows[0] | {"patient": "somebody else"}]).to_csv(folder / "maps.csv", index=False)
    return folder


def start(ward, folder, maps):
    assemble = {
        "radiomics": "radiomics.csv",
        "clinical": "clinical.csv",
        "endpoints": {"pcr": "pathology"},
        "maps": maps,
    }
    return Run(folder, Config(name="ward", assemble=assemble | {"aggregation": "mean"}), base=ward)


def test_maps_beside_vectors_are_kept_for_patients_of_the_cohort(ward, tmp_path):
    run = start(ward, tmp_path, "maps.csv")
    lines = stages.assemble(run)
    assert "maps of 4 cases of 4 patients; 1 of patients who are not in the cohort's folds are left out" in lines
    kept = content.load(tmp_path / "cohort/relevance.zip")
    assert [row[0] for row in kept] == list(run.read("cohort/relevance.csv")["patient"])
    assert set(run.read("cohort/relevance.csv")["source"]) == {"imported"}
    grey, heat, rim = kept[0][2:]
    assert grey.shape == heat.shape == rim.shape == (96, 96)
    assert rim.any()
    assert stages.assemble(run) == ["nothing to do"]
    # Another map under the same name is seen.
    before = (ward / f"{kept[0][0]}_map.npy").read_bytes()
    np.save(ward / f"{kept[0][0]}_map.npy", np.ones((9, 64, 64)))
    assert stages.assemble(run) != ["nothing to do"]
    (ward / f"{kept[0][0]}_map.npy").write_bytes(before)


def test_maps_that_cannot_be_used_end_the_stage_with_whose_they_are(ward, tmp_path):
    table = pd.read_csv(ward / "maps.csv")
    table.assign(patient=[f"x{n}" for n in range(len(table))]).to_csv(ward / "others.csv", index=False)
    with pytest.raises(
        NoOverlapError, match=r"others\.csv names 5 patients, such as x0, none of whom is in the cohort"
    ):
        stages.assemble(start(ward, tmp_path / "a", "others.csv"))
    np.save(ward / "large.npy", np.full((9, 64, 64), 12.0))
    table.assign(map="large.npy").to_csv(ward / "large.csv", index=False)
    with pytest.raises(InputError, match=rf"large\.csv, case {table['patient'][0]}: .*scale the map to \[0, 1\]"):
        stages.assemble(start(ward, tmp_path / "b", "large.csv"))
    with pytest.raises(InputError, match=r"absent\.csv does not exist"):
        stages.assemble(start(ward, tmp_path / "c", "absent.csv"))


def test_without_maps_nothing_is_written_of_them(ward, tmp_path):
    run = start(ward, tmp_path, None)
    stages.assemble(run)
    assert not (tmp_path / "cohort/relevance.zip").exists()
