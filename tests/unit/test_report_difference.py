"""imrad diff: settings and inputs that changed, results that moved, by how much."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from imrad.stages.difference import diff

SERVICES = Path(__file__).parents[1] / "services"
_spec = importlib.util.spec_from_file_location("services_report_run", SERVICES / "report_run.py")
drawn = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(drawn)


@pytest.fixture
def pair(tmp_path):
    return drawn.drawn_run(tmp_path / "a"), drawn.drawn_run(tmp_path / "b")


def test_same_runs_have_one_line(pair):
    lines = diff(*pair)
    assert len(lines) == 1
    assert re.fullmatch(r"results: the same, digest [0-9a-f]{12}", lines[0])


def test_a_setting_an_input_and_a_result_are_told(pair):
    a, b = pair
    b.record["stages"]["phenotype"]["settings"]["cut"] = "zero"
    b.record["stages"]["assemble"]["inputs"]["clinical"] = "0123"
    b.record["stages"]["phenotype"]["outputs"]["phenotype/summary.csv"] = {"content": "1", "file": "1"}
    table = b.read("phenotype/summary.csv")
    table.loc[1, "auc"] = 0.9876
    table.loc[0, "status"] = "claimed"
    drawn.write(b, "phenotype/summary.csv", table)
    lines = diff(a, b)
    assert "setting phenotype.cut: median -> zero" in lines
    assert "input of assemble: clinical differs" in lines
    results = [line for line in lines if line.startswith("result ")]
    assert results == [
        "result phenotype/summary.csv: cell:T_0, status not_claimed -> claimed",
        "result phenotype/summary.csv: cell:T_1, auc 0.4876 -> 0.9876 (+0.5)",
    ]


def test_what_only_one_run_has_is_told(pair):
    a, b = pair
    del b.record["stages"]["fuse-os"]
    a.record["stages"]["fuse-os"]["outputs"]["survival/os/models.csv"] = {"content": "1", "file": "1"}
    (b.folder / "survival/os/models.csv").unlink()
    lines = diff(a, b)
    assert "stage fuse-os: only in the first run" in lines
    assert "result survival/os/models.csv: only in the first run" in lines


def test_rounding_is_no_difference(pair):
    a, b = pair
    b.record["stages"]["phenotype"]["outputs"]["x"] = {"content": "1", "file": "1"}
    table = b.read("phenotype/summary.csv")
    table["auc"] += 1e-13
    drawn.write(b, "phenotype/summary.csv", table)
    assert diff(a, b) == ["results: the files differ, but no number that the report tells moved"]
