"""The field's studies as configs: each is valid for its stand-in, and one goes all the way."""

from __future__ import annotations

import pytest

from imrad import stages
from imrad.config import SECTIONS, Config, config_names, load_config
from imrad.datasets import STUDIES, standin
from imrad.run import Run
from imrad.stages import blocks

NAMES = [name for name in config_names() if name.startswith("studies/")]


def small(name):
    config, _ = load_config(name)
    values = config.model_dump(exclude_none=True)
    values["assemble"]["standin"]["size"] = "small"
    return values


def test_every_study_has_its_config():
    assert sorted(NAMES) == sorted(f"studies/{name}" for name in STUDIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_asks_for_what_its_cohort_has(name, tmp_path):
    values = small(name)
    run = Run(tmp_path, Config(**values))
    checked = {}
    for section in SECTIONS:
        if values.get(section) is not None:
            checked[section] = stages._module(section).check(run)
    data = standin(**values["assemble"]["standin"])
    if "phenotype" in checked:
        wanted = checked["phenotype"].targets
        assert blocks.targets(data, None if wanted == "all" else wanted).notna().any().all()
        blocks.clinical_block(data, checked["phenotype"].clinical)
    if "fuse" in checked:
        assert {f"{endpoint}_event" for endpoint in checked["fuse"].endpoints} <= set(data.obs)
        blocks.clinical_block(data, checked["fuse"].clinical)
        for columns in checked["fuse"].extra_blocks.values():
            assert not blocks.clinical_block(data, columns).empty


def test_a_response_goes_through_the_grid_to_the_report(tmp_path):
    values = small("studies/nsclc-ici-response")
    values["phenotype"] |= {"selectors": ["information_gain"], "classifiers": ["naive_bayes"], "permutations": 0}
    run = stages.run_all(Run(tmp_path, Config(**values)))
    summary = run.read("phenotype/summary.csv").set_index("target")
    assert 10 < summary.loc["response", "n_positive"] < summary.loc["response", "n"]
    assert (run.folder / "report.html").exists()
