"""The main job through the command line: once, twice, killed, with one worker and with two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from imrad.evaluation import SplitTable, check_ledger

SMALL = {
    "name": "small",
    "seed": 5,
    "assemble": {
        "splits": {"repeats": 1},
        "synthetic": {"n_patients": 60, "n_features": 24, "n_targets": 2, "image_effect": 3.0, "survival_effect": 1.0},
    },
    "phenotype": {
        "selectors": ["information_gain"],
        "classifiers": ["naive_bayes", "logistic_regression", "stacking"],
        "protocol": "published",
    },
    "fuse": {"endpoints": ["os"], "n_bootstrap": 3},
    "report": {},
}


def imrad(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from imrad.cli import main; main()", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def digest(folder: Path) -> str:
    return json.loads((folder / "run.json").read_text())["digest"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Return the folder of an uninterrupted run with one worker."""
    folder = tmp_path_factory.mktemp("main")
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    result = imrad("run", "small.yaml", "--workers", "1", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "report: runs/small/report.html" in result.stdout
    return folder


def test_outputs_have_their_names_and_columns(done):
    run = done / "runs/small"
    grid = pd.read_csv(run / "phenotype/grid.csv")
    assert list(grid.columns[:8]) == [
        "target",
        "selector",
        "classifier",
        "n",
        "n_positive",
        "auc",
        "auc_low",
        "auc_high",
    ]
    assert len(grid) == 2 * 3
    predictions = pd.read_csv(run / "phenotype/predictions.csv")
    assert predictions.groupby("target")["patient"].nunique().eq(60).all()
    models = pd.read_csv(run / "survival/os/models.csv").set_index("model")
    assert {"Clinical", "Volume", "Rad", "ImRad", "Clinical+Immune", "Clinical+ImRad"} <= set(models.index)
    assert models.loc[["ImRad", "Clinical+ImRad"], "c_bootstrap"].isna().all()
    assert models.loc[["Clinical", "Rad"], "c_bootstrap"].notna().all()
    for name in ("coefficients", "risk"):
        assert (run / f"survival/os/{name}.csv").exists()
    splits = pd.read_csv(run / "splits.csv")
    assert list(splits.columns) == ["patient", "repeat", "outer", *(f"inner_{n}" for n in range(5))]


def test_the_ledger_proves_that_no_fit_saw_a_held_out_patient(done):
    run = done / "runs/small"
    ledger = pd.read_csv(run / "ledger.csv", keep_default_na=False)
    sets = json.loads((run / "ledger_sets.json").read_text())
    check_ledger(ledger, sets, SplitTable(pd.read_csv(run / "splits.csv")))
    assert {"phenotype", "survival", "published"} <= set(ledger["stage"])
    assert (ledger["kind"] == "input").any()


def test_results_hold_out_of_fold_values_only(done):
    import anndata

    results = anndata.read_h5ad(done / "runs/small/results.h5ad")
    assert list(results.obsm["phenotype"].columns) == ["Rad-MSI", "Rad-TMB"] or set(
        results.obsm["phenotype"].columns
    ) == {"Rad-TMB", "Rad-MSI"}
    assert any(name.startswith("os ") for name in results.obsm["risk"].columns)


def test_a_second_run_does_nothing_and_says_so(done):
    before = {path: path.stat().st_mtime_ns for path in (done / "runs/small").rglob("*") if path.is_file()}
    again = imrad("run", "small.yaml", cwd=done)
    assert again.returncode == 0
    assert again.stdout.count("nothing to do") == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_killed_runs_end_with_the_same_digest(done, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    run = tmp_path / "runs/small"
    waits = [run / "splits.csv", run / "cache/phenotype", run / "phenotype/grid.csv", run / "cache/fuse-os"]
    command = [sys.executable, "-c", "from imrad.cli import main; main()", "run", "small.yaml", "--workers", "2"]
    for path in waits:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while not path.exists() and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    result = imrad("run", "small.yaml", "--workers", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert digest(run) == digest(done / "runs/small")


def test_a_changed_output_is_made_again(done):
    run = done / "runs/small"
    table = run / "survival/os/models.csv"
    kept = table.read_bytes()
    table.write_bytes(kept.replace(b"Clinical", b"Klinical"))
    assert imrad("run", "small.yaml", cwd=done).returncode == 0
    assert table.read_bytes() == kept


BAD = {
    "missing file": (["score", "none.csv"], "none.csv"),
    "unknown target": (["phenotype", "--target", "TMBB"], "did you mean TMB"),
    "unknown endpoint": (["fuse", "--endpoint", "dfs"], "the cohort has os"),
    "unknown config": (["run", "synthetik"], "did you mean synthetic"),
    "no run": (["report", "--run", "nowhere"], "nowhere holds no run"),
    "no mask": (["extract", "--image", "a.nii.gz"], "--mask"),
    "no settings": (
        ["extract", "--image", "a", "--mask", "b", "--settings", "none.yaml"],
        "those that come with imrad",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_one_sentence_and_a_non_zero_exit(done, case):
    words, expected = BAD[case]
    before = sorted(done.rglob("*"))
    result = imrad(*words, cwd=done)
    assert result.returncode == 1
    assert expected in result.stderr
    assert result.stderr.startswith("imrad: ")
    assert result.stderr.strip().count("\n") == 0
    assert "Traceback" not in result.stderr
    assert sorted(done.rglob("*")) == before


def table(folder: Path, name: str, **columns: list[object]) -> str:
    pd.DataFrame(columns).to_csv(folder / name, index=False)
    return name


PATIENTS = [f"P{n:02d}" for n in range(12)]
ALTERNATING = [n % 2 for n in range(12)]

TABLES = {
    "duplicate patients": ({"patient": [*PATIENTS[:11], "P00"]}, {}, "P00"),
    "no overlap": ({}, {"patient": [f"Q{n}" for n in range(12)]}, "share no patient"),
    "negative times": ({}, {"os_days": [-3, *range(1, 12)]}, "negative"),
    "missing times": ({}, {"os_days": [None, *range(1, 12)]}, "P00"),
    "all censored": ({}, {"os_event": [0] * 12}, "censored"),
}


@pytest.mark.parametrize("case", list(TABLES))
def test_bad_tables_are_one_sentence_and_leave_nothing(tmp_path, case):
    radiomics, clinical, expected = TABLES[case]
    base = {"patient": PATIENTS, "original_firstorder_Mean": list(range(12))}
    table(tmp_path, "features.csv", **{**base, **radiomics})
    outcome = {"patient": PATIENTS, "os_days": list(range(5, 17)), "os_event": ALTERNATING}
    table(tmp_path, "clinical.csv", **{**outcome, **clinical})
    words = ["--radiomics", "features.csv", "--clinical", "clinical.csv", "--endpoint", "os=os_days,os_event"]
    result = imrad("assemble", *words, "-o", "cohort.h5ad", cwd=tmp_path)
    assert result.returncode == 1, result.stdout
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clinical.csv", "features.csv"]


def test_a_wrong_key_is_refused_before_anything_runs(tmp_path):
    wrong = {**SMALL, "fuse": {"endpoint": ["os"]}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    result = imrad("run", "wrong.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert "unknown key 'endpoint'; the nearest valid key is 'endpoints'" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_constant_target_named_alone_is_an_error(done, tmp_path):
    import anndata

    from imrad.cohort import write_cohort

    data = anndata.read_h5ad(done / "runs/small/cohort.h5ad")
    data.obsm["immune"]["TMB"] = 1.0
    write_cohort(data, tmp_path / "flat.h5ad")
    result = imrad("phenotype", "--cohort", "flat.h5ad", "--target", "TMB", "-o", "out", cwd=tmp_path)
    assert result.returncode == 1
    assert "TMB" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_stages_work_alone_on_a_users_own_cohort(done, tmp_path):
    cohort = done / "runs/small/cohort.h5ad"
    result = imrad("fuse", "--cohort", str(cohort), "--endpoint", "os", "-o", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    models = pd.read_csv(tmp_path / "out/survival/os/models.csv")
    assert "Clinical" in set(models["model"])


def test_a_clinical_column_of_names_is_refused(done, tmp_path):
    import anndata

    from imrad.cohort import write_cohort

    data = anndata.read_h5ad(done / "runs/small/cohort.h5ad")
    data.obs["surgeon"] = [f"Dr {number}" for number in range(data.n_obs)]
    write_cohort(data, tmp_path / "named.h5ad")
    config = {
        "name": "named",
        "assemble": {"splits": {"repeats": 1}, "cohort": "named.h5ad"},
        "fuse": {"clinical": ["age_years", "surgeon"]},
    }
    (tmp_path / "named.yaml").write_text(yaml.safe_dump(config))
    result = imrad("run", "named.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert "'surgeon' has 60 classes in 60 patients, 60 of them with a single patient" in result.stderr
    assert "Traceback" not in result.stderr
