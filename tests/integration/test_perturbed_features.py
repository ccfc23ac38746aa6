"""Perturbed features reach the outer folds' models: from generated images, from a user's table, and not at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad import stages
from imrad.config import Config
from imrad.datasets import make_cohort, write_images
from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.roc import auc
from imrad.exceptions import ImradError, InputError
from imrad.run import Run
from imrad.stages import proof

SPLITS = {"outer": 3, "inner": 3, "repeats": 1}


def rows_of(run, place="survival/os"):
    table = run.read(f"{place}/robustness.csv")
    return table[table["kind"] == "perturbed features"]


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    cohort = make_cohort(
        n_patients=60, n_features=8, volume_effect=1.0, image_effect=2.0, n_sites=2, response=True, seed=4
    )
    cohort.write_h5ad(folder / "c.h5ad")
    return cohort, folder


def table_of(cohort, noise, n=3, patients=None):
    rng = np.random.default_rng(0)
    names = list(cohort.obs_names)[:patients]
    x = cohort.X[:patients]
    parts = []
    for number in range(n):
        moved = x + noise * x.std(axis=0) * rng.standard_normal(x.shape)
        part = pd.DataFrame(moved, columns=list(cohort.var_names))
        part.insert(0, "perturbation", number)
        part.insert(0, "patient", names)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def fused(folder, name, table=None, endpoints=("os",), **assemble):
    fuse = {"endpoints": list(endpoints), "n_bootstrap": 0}
    if table is not None:
        table.to_csv(folder / f"{name}.csv", index=False)
        fuse["perturbed"] = str(folder / f"{name}.csv")
    source = assemble or {"cohort": str(folder / "c.h5ad")}
    return stages.run_all(Run(folder / name, Config(name=name, assemble={**source, "splits": SPLITS}, fuse=fuse)))


def test_from_images(tmp_path):
    truth = make_cohort(n_patients=24, n_features=60, n_targets=3, volume_effect=1.0, event_rate=0.7, seed=3)
    paths = write_images(truth, tmp_path / "in", kinds=("nifti",), shape=(10, 24, 24), seed=3)
    (tmp_path / "plain.yaml").write_text("imageType: {Original: {}}\nsetting: {binWidth: 25}\n")
    config = Config(
        name="images",
        extract={
            "cases": str(paths["cases"]),
            "settings": str(tmp_path / "plain.yaml"),
            "reading": {"perturbations": 2},
        },
        assemble={"clinical": str(paths["clinical"]), "endpoints": {"os": ""}, "splits": SPLITS},
        fuse={"endpoints": ["os"], "n_bootstrap": 0},
        report={},
    )
    run = stages.run_all(Run(tmp_path / "run", config))
    rows = rows_of(run).set_index(["model", "level"])
    for level in ("not perturbed", "perturbation 0", "perturbation 1"):
        assert rows.loc[("Rad", level), "n"] > 15
        assert 0 <= rows.loc[("Rad", level), "c"] <= 1
    assert 0 < rows.loc[("Volume", "spread of the risk"), "risk_icc"] <= 1
    patients = run.read("survival/os/perturbed_risk.csv")
    assert (patients["n_perturbations"] == 2).mean() > 0.8
    page = (run.folder / "report.html").read_text()
    assert "Perturbed features, OS" in page
    assert "no perturbed table was given" not in page


def test_a_table_that_changes_nothing(truth):
    cohort, folder = truth
    run = fused(folder, "same", table_of(cohort, 0.0))
    rows = rows_of(run)
    part = rows[(rows["model"] == "Rad") & rows["c"].notna()]
    assert len(part) == 4
    assert part["c"].nunique() == 1
    models = run.read("survival/os/models.csv").set_index("model")
    assert part["c"].iloc[0] == pytest.approx(models.loc["Rad", "c_outer"])
    spread = rows[rows["level"] == "spread of the risk"].set_index("model")
    assert spread.loc["Volume", "risk_sd"] == pytest.approx(0, abs=1e-12)
    assert spread.loc["Volume", "risk_icc"] == pytest.approx(1)
    assert set(rows["model"]) == {"Rad", "Volume"}


def test_noise_lowers_agreement_and_nothing_is_fitted(truth):
    cohort, folder = truth
    found = {noise: fused(folder, f"noise{noise:g}", table_of(cohort, noise, n=4, patients=40)) for noise in (0.1, 1.0)}
    spread = {
        noise: rows_of(run).query("level == 'spread of the risk'").set_index("model").loc["Volume"]
        for noise, run in found.items()
    }
    assert spread[0.1]["n"] == 40
    assert spread[0.1]["risk_icc"] > 0.95 > spread[1.0]["risk_icc"]
    assert spread[0.1]["risk_sd"] < spread[1.0]["risk_sd"]
    plain = fused(folder, "plain")
    assert rows_of(plain)["note"].tolist() == ["no perturbed table was given"]
    for name in ("survival/os/risk.csv", "survival/os/models.csv"):
        pd.testing.assert_frame_equal(plain.read(name), found[1.0].read(name))
    pd.testing.assert_frame_equal(plain.read("ledger.csv"), found[1.0].read("ledger.csv"))
    # C of a perturbation is that of the written risks, fold by fold.
    patients = found[1.0].read("survival/os/perturbed_risk.csv").query("model == 'Volume'")
    obs = cohort.obs.loc[patients["patient"]]
    patients = patients.assign(days=obs["os_days"].to_numpy(), event=obs["os_event"].to_numpy())
    c = [harrell_c(part["days"], part["event"] == 1, part["risk"]) for _, part in patients.groupby("fold")]
    whole = rows_of(found[1.0]).query("model == 'Volume' and level == 'not perturbed'").iloc[0]
    assert whole["c"] == pytest.approx(np.mean(c))
    assert ((patients["risk_low"] <= patients["risk_high"]) & (patients["risk_sd"] > 0)).all()


def test_a_response_is_judged_by_site_and_under_perturbation(truth):
    _, folder = truth
    standin = {"standin": {"study": "nsclc-ici-response", "size": "small"}}
    first = fused(folder, "response", endpoints=["response"], **standin)
    from imrad.cohort import read_cohort

    cohort = read_cohort(first.folder / "cohort.h5ad")
    run = fused(folder, "moved", table_of(cohort, 0.05), endpoints=["response"], **standin)
    rows = rows_of(run, "response/response").set_index(["model", "level"])
    assert rows.loc[("Rad", "perturbation 1"), "c"] > 0
    assert 0.5 < rows.loc[("Volume", "spread of the risk"), "risk_icc"] <= 1
    predictions = run.read("response/response/predictions.csv").query("model == 'Volume'")
    folds = [auc(part["observed"], part["linear_predictor"]) for _, part in predictions.groupby("fold")]
    assert rows.loc[("Volume", "not perturbed"), "c"] == pytest.approx(np.mean(folds))
    assert len(proof.read_splits(run).patients)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="perturbation"), "has no column 'perturbation'"),
        (lambda table: table.assign(patient="X" + table["patient"]), "names no patient of the cohort"),
        (lambda table: table.drop(columns=table.columns[-1]), "features are not there"),
        (lambda table: table.assign(perturbation=np.nan), "name no perturbation"),
        (lambda table: pd.concat([table, table]), "several radiomics rows"),
    ],
)
def test_refused_tables(truth, change, said, tmp_path):
    cohort, folder = truth
    (tmp_path / "c.h5ad").symlink_to(folder / "c.h5ad")
    with pytest.raises(ImradError, match=said):
        fused(tmp_path, "refused", change(table_of(cohort, 0.1)))


def test_an_absent_table(truth, tmp_path):
    _, folder = truth
    fuse = {"endpoints": ["os"], "perturbed": "absent.csv"}
    config = Config(name="x", assemble={"cohort": str(folder / "c.h5ad"), "splits": SPLITS}, fuse=fuse)
    with pytest.raises(InputError, match=r"absent\.csv is not there"):
        stages.run_all(Run(tmp_path / "x", config))
