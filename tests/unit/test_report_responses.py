"""Binary endpoints on the page: what the verdict says of chance, and the two matched patients with their pictures."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from imrad import content
from imrad.config import Config
from imrad.report.checks import run_checks
from imrad.report.page import Section, Text
from imrad.report.pictures import lay
from imrad.report.sections.attention import add_attention
from imrad.report.sections.cohort import _variable
from imrad.report.sections.matched_pair import add_pair
from imrad.report.sections.responses import tell_verdict, with_shares
from imrad.report.tables import RunTables
from imrad.run import Run
from imrad.survival.nomogram import binary_nomogram

VERDICT = {"status": "not_shown", "model": "Clinical+Rad", "reference": "Clinical", "n": 62, "n_positive": 27}
VERDICT |= {"auc_difference": 0.02, "auc_low": -0.1, "auc_high": 0.1, "auc_p": 0.7, "n_folds": 5, "sentence": ""}


def tables_with(folder, lows):
    (folder / "response/pcr").mkdir(parents=True)
    (folder / "response/pcr/verdict.json").write_text(json.dumps(VERDICT))
    models = pd.DataFrame({"model": list(lows), "auc_outer": 0.7, "auc_outer_low": list(lows.values())})
    models.assign(auc_outer_high=0.9, auc_apparent=0.75).to_csv(folder / "response/pcr/models.csv", index=False)
    pair = {"patient": ["P1", "P2"], "outcome": [1, 0], "probability": [0.6, 0.2], "positive": [True, False]}
    pair |= {"distance": [0.1, 0.1], "n_columns": [3, 3], "age_years": [60, 61], "model": "Clinical+Rad"}
    pd.DataFrame(pair).to_csv(folder / "response/pcr/matched_pair.csv", index=False)
    return RunTables(Run(folder, Config(name="small")))


@pytest.mark.parametrize(
    ("lows", "said"),
    [
        ({"Clinical": 0.41, "Clinical+Rad": 0.45}, "no model is shown to do better than chance"),
        ({"Clinical": 0.55, "Clinical+Rad": 0.45}, "Clinical+Rad is not shown to do better than chance"),
        ({"Clinical": 0.45, "Clinical+Rad": 0.55}, None),
    ],
)
def test_the_verdict_says_what_each_model_reached_and_whether_it_beats_chance(tmp_path, lows, said):
    part = Section("verdict", Text("Verdict"))
    tell_verdict(part, tables_with(tmp_path, lows), "pcr")
    lead, *more = [str(block.text) for block in part.blocks]
    assert lead.startswith("PCR: it is not shown that Clinical+Rad predicts better than Clinical.")
    assert f"0.700 for Clinical+Rad ({lows['Clinical+Rad']:.3f} to 0.900)" in lead
    assert [said in text for text in more] == ([True] if said else [])


def test_a_share_and_its_interval_stand_in_one_cell():
    table = pd.DataFrame({"ppv": [0.781, np.nan], "ppv_low": [0.612, np.nan], "ppv_high": [0.8896, np.nan]})
    shown, columns = with_shares(table)
    assert list(shown["ppv_with_interval"]) == ["78 % (61–89)", "–"]
    assert list(columns) == ["ppv_with_interval"]


def test_relevance_pictures_stand_beside_the_matched_patients_where_both_have_them(tmp_path):
    tables = tables_with(tmp_path, {"Clinical": 0.5, "Clinical+Rad": 0.5})
    grey = np.full((12, 12), 90, dtype=np.uint8)
    kept = [[patient, f"{patient}_a", grey, grey, grey > 100] for patient in ("P1", "P2", "P3")]
    (tmp_path / "extract").mkdir()
    for n, expected in ((3, True), (1, False)):
        content.save(tmp_path / "extract/relevance.zip", kept[:n])
        part = Section("response", Text("Response"))
        add_pair(part, tables, "pcr")
        names = [block.name for block in part.blocks if hasattr(block, "name")]
        assert ("matched_relevance_pcr" in names) is expected
        assert any(getattr(block, "kind", "") == "missing" for block in part.blocks) is not expected
    (tmp_path / "extract/relevance.zip").write_bytes(b"not an archive")
    part = Section("response", Text("Response"))
    add_pair(part, tables, "pcr")
    assert [block.name for block in part.blocks] == ["matched_pair_pcr", "matched_names_pcr"]


def test_without_maps_nothing_is_said_of_where_a_network_looked(tmp_path):
    tables = tables_with(tmp_path, {"Clinical": 0.5})
    part = Section("imaging", Text("Imaging"))
    add_attention(part, tables)
    assert not part.blocks
    add_pair(part, tables, "pcr")
    assert all("relevance" not in block.name for block in part.blocks)


@pytest.mark.parametrize(
    ("source", "said"),
    [(None, ""), ("imported", "came with the ready-made vectors"), ("stand-in", "No network computed them")],
)
def test_a_caption_says_whose_maps_are_drawn_and_how_much_of_them_lies_inside(tmp_path, source, said):
    tables = tables_with(tmp_path, {"Clinical": 0.5})
    grey, heat, rim = np.full((20, 20), 90, dtype=np.uint8), np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    rim[5:15, 5:15], rim[6:14, 6:14] = 1, 0
    heat[8:10, 8:12], heat[0, :8] = 200, 100
    (tmp_path / "cohort").mkdir()
    content.save(tmp_path / "cohort/relevance.zip", [[name, name, grey, heat, rim] for name in ("P1", "P2")])
    if source:
        kept = pd.DataFrame({"patient": ["P1", "P2"], "case": ["P1", "P2"], "source": source})
        kept.to_csv(tmp_path / "cohort/relevance.csv", index=False)
    part = Section("imaging", Text("Imaging"))
    add_attention(part, tables)
    add_pair(part, tables, "pcr")
    shown = {block.name: block for block in part.blocks}
    assert shown["attention"].table["share_inside"].tolist() == pytest.approx([1600 / 2400] * 2)
    assert "67 % of the relevance" in str(shown["attention"].caption)
    for name in ("attention", "matched_relevance_pcr"):
        caption = str(shown[name].caption)
        assert said in caption
        assert bool(said) == ("ready-made" in caption)


def test_relevance_leaves_the_slice_as_it_is_where_there_is_none():
    figure = Figure()
    axes = figure.subplots()
    heat = np.zeros((4, 4), np.uint8)
    heat[1, 1] = 255
    lay(axes, (np.full((4, 4), 200, np.uint8), heat, np.zeros((4, 4), np.uint8)), heated=True)
    colours = axes.images[1].get_array()
    assert colours[0, 0, 3] == 0
    assert colours[1, 1, 3] > 0.5


def test_a_formula_says_by_what_step_a_cut_predictor_enters():
    labels = {"diameter_mm": ["up to 51.1", "above 51.1"]}
    training = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    drawn = binary_nomogram(["diameter_mm", "sex=male"], [-2.0, 0.5], training, intercept=0.1, labels=labels)
    formula = drawn.formula()
    assert "diameter_mm = 0 where up to 51.1, 1 where above 51.1" in formula
    assert "+ 0.5 * [sex=male]" in formula


def test_several_cases_of_a_patient_are_nobody_lost(tmp_path):
    tables = tables_with(tmp_path, {"Clinical": 0.5})
    steps = [{"step": name, "n_in": 100, "n_out": 50, "reason": ""} for name in ("cases to patients", "clinical table")]
    pd.DataFrame(steps).to_csv(tmp_path / "attrition.csv", index=False)
    found = next(item for item in run_checks(tables) if item.code == "IMR010")
    assert [text.parts["step"] for text in found.findings] == ["clinical table"]


def test_doubts_are_raised_for_binary_models_too(tmp_path):
    tables = tables_with(tmp_path, {"Clinical": 0.5, "Clinical+Rad": 0.5})
    path = tmp_path / "response/pcr/models.csv"
    models = pd.read_csv(path).assign(events_per_candidate=[30.0, 0.023], auc_apparent=[0.75, 0.95])
    models.to_csv(path, index=False)
    found = {item.code: item for item in run_checks(tables)}
    assert [str(text) for text in found["IMR001"].findings] == [
        "PCR: Clinical+Rad has 0.023 patients of the smaller class for each candidate predictor; below ten, "
        "coefficients and apparent values are not to be trusted."
    ]
    assert "Clinical+Rad (0.950 → 0.700)" in str(found["IMR013"].findings[0])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cea_ng_per_ml", "cea, ng/ml"),
        ("max_diameter_mm_reader_2", "max diameter reader 2, mm"),
        ("lobulation_reader_1", "lobulation reader 1"),
        ("sex", "sex"),
    ],
)
def test_units_stand_after_a_comma(name, shown):
    assert _variable(name) == shown
