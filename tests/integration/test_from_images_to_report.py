"""From generated CT with SEG, expression and MAF to the report, in one run."""

from __future__ import annotations

import pandas as pd

from imrad import stages
from imrad.config import Config
from imrad.datasets import make_cohort, write_images
from imrad.immune.signatures import estimate_genes, read_signature
from imrad.run import Run


def test_from_images_to_report(tmp_path):
    truth = make_cohort(n_patients=50, n_features=60, n_targets=3, image_effect=3.0, survival_effect=1.5, seed=3)
    genes = {**estimate_genes(), "til10": list(read_signature().matrix.index)}
    paths = write_images(truth, tmp_path / "in", kinds=("dicom",), shape=(10, 28, 28), signatures=genes, seed=3)
    config = Config(
        name="images",
        extract={"cases": str(paths["cases"]), "settings": "founding-851"},
        score={
            "expression": str(paths["expression"]),
            "maf": str(paths["mutations"]),
            "msi": str(paths["msi"]),
            "methods": ["estimate", "cibersort"],
        },
        assemble={"splits": {"repeats": 1}, "clinical": str(paths["clinical"]), "endpoints": {"os": ""}},
        phenotype={
            "targets": ["TMB"],
            "selectors": ["information_gain"],
            "classifiers": ["naive_bayes", "logistic_regression", "stacking"],
        },
        fuse={"endpoints": ["os"], "n_bootstrap": 2},
        report={},
    )
    run = stages.run_all(Run(tmp_path / "run", config))
    features = pd.read_csv(run.folder / "features.csv")
    assert list(features.columns[:2]) == ["patient", "case"]
    assert sum(name.startswith(("original_", "wavelet-")) for name in features.columns) == 851
    immune = pd.read_csv(run.folder / "immune.csv")
    assert {"patient", "TMB", "MSI", "stromal", "immune", "purity"} <= set(immune.columns)
    assert any(name.startswith("cell:") for name in immune.columns)
    summary = pd.read_csv(run.folder / "phenotype/summary.csv").set_index("target")
    # The images carry the planted signal, so what the pixels say must be found again.
    assert summary.loc["TMB", "status"] == "claimed"
    assert summary.loc["TMB", "auc"] > 0.8
    assert (run.folder / "report.html").stat().st_size > 20_000
