"""A binary endpoint goes through the fuse stage: tables, ledger, resume, refusals."""

from __future__ import annotations

import json

import pytest

from imrad import stages
from imrad.config import Config
from imrad.evaluation import check_ledger
from imrad.exceptions import ConfigError
from imrad.run import TABLES, Run
from imrad.stages import proof

FUSE = {"endpoints": ["response"], "n_bootstrap": 5, "clinical": ["age_years", "sex", "smoker"]}


def settings(**fuse):
    standin = {"study": "nsclc-ici-response", "size": "small"}
    return Config(name="ici", assemble={"splits": {"repeats": 1}, "standin": standin}, fuse=FUSE | fuse)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return stages.run_all(Run(tmp_path_factory.mktemp("ici"), settings()))


def test_tables(run):
    models = run.read("response/response/models.csv").set_index("model")
    assert {"Clinical", "Rad", "Volume", "ImRad"} <= set(models.index)
    assert 0.5 < models.loc["Rad", "auc_apparent"] <= 1
    predictions = run.read("response/response/predictions.csv")
    assert set(predictions["patient"]) <= set(run.read("splits.csv")["patient"])
    for path, columns in TABLES.items():
        if path.startswith("response/"):
            assert set(columns) <= set(run.read(f"response/response/{path.split('/')[1]}").columns)
    verdict = json.loads((run.folder / "response/response/verdict.json").read_text())
    assert verdict["endpoint"] == "response"


def test_every_fit_is_in_the_ledger(run):
    frame = run.read("ledger.csv")
    sets = json.loads((run.folder / "ledger_sets.json").read_text())
    splits = proof.read_splits(run)
    check_ledger(frame.fillna({"source": "", "digest": ""}), sets, splits)
    seen = frame[frame["kind"] == "fit"]
    for fold in splits.outer(0):
        assert (seen["fold"] == fold.name).any()


def test_nothing_is_done_twice(run):
    assert stages.fuse(Run.open(run.folder)) == ["response: nothing to do"]


def test_an_unknown_endpoint_is_refused(run):
    with pytest.raises(ConfigError, match=r"unknown endpoint 'respons' .did you mean response"):
        stages.fuse(run, endpoint="respons")


def test_the_report_speaks_of_the_response_and_of_nobody(run):
    stages.report(run)
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for name in ("roc", "scores", "calibration", "decision", "response_forest", "response_nomogram"):
        assert f'id="f-{name}_response"' in page, name
    assert "No fusion has run" not in page
    assert "ICI-0" not in page
    data = {path.stem for path in (run.folder / "report_data").glob("*.csv")}
    assert {"univariable_response", "multivariable_response", "operating_response", "matched_pair_response"} <= data
    verdict = json.loads((run.folder / "response/response/verdict.json").read_text())
    assert f"{verdict['auc_difference']:+.3f}" in page
