"""From a cohort's name to the report: the archives are played on loopback, nothing is done by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd

from imrad import stages
from imrad.config import load_config
from imrad.run import Run


def load(name: str):
    path = Path(__file__).parents[1] / "services" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"services_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_from_archive_to_report(tmp_path, monkeypatch):
    made = load("world")
    world = made.World(tmp_path / "world", patients=made.twelve(), symbols=made.immune_symbols())
    with load("loopback").Loopback(world) as server:
        server.write_endpoints(tmp_path / "endpoints.yaml")
        monkeypatch.setenv("IMRAD_ENDPOINTS", str(tmp_path / "endpoints.yaml"))
        config, base = load_config("tcga-kirc")
        said: list[str] = []
        run = stages.run_all(Run(tmp_path / "run", config, base), say=said.append)
    features = pd.read_csv(run.folder / "features.csv")
    assert features["patient"].nunique() == 12
    assert set(pd.read_csv(run.folder / "immune.csv").columns) >= {"TMB", "MSI", "stromal", "cell:T_cells_CD8"}
    summary = pd.read_csv(run.folder / "phenotype/summary.csv")
    # Twelve patients cannot carry a grid: that is a result, with its reason, and not an error.
    assert (summary["status"] == "skipped").all()
    assert summary["reason"].str.len().gt(0).all()
    assert all(run.status(name) in ("done", "skipped") for name in run.record["stages"])
    assert (run.folder / "report.html").exists()
    assert any("skipped" in line for line in said)
