"""A second reader's table, a table of several readers, short follow-up, and words that YAML takes for truth values."""

import numpy as np
import pandas as pd
import pytest

from imrad import cohort, stages
from imrad.config import Config, load_config
from imrad.exceptions import ConfigError, InputError
from imrad.run import Run

RNG = np.random.default_rng(0)
PATIENTS = [f"H{number:02d}" for number in range(24)]


@pytest.fixture
def folder(tmp_path):
    features = pd.DataFrame(RNG.normal(size=(24, 3)), columns=["f1", "f2", "f3"])
    features.insert(0, "patient", PATIENTS)
    second = features.iloc[:9].copy()
    second[["f1", "f2", "f3"]] += 0.1
    clinical = pd.DataFrame({"patient": PATIENTS, "age_years": RNG.integers(40, 80, 24)})
    clinical["os_days"], clinical["os_event"] = np.arange(30, 30 + 24 * 20, 20), np.arange(24) % 3 == 0
    features.to_csv(tmp_path / "features.csv", index=False)
    second.to_csv(tmp_path / "second.csv", index=False)
    clinical.astype({"os_event": int}).to_csv(tmp_path / "clinical.csv", index=False)
    both = pd.concat([features.assign(reader="anna"), second.assign(reader="bo")], ignore_index=True)
    both.to_csv(tmp_path / "both.csv", index=False)
    return tmp_path


def assembled(folder, **more):
    section = {"radiomics": "features.csv", "clinical": "clinical.csv", "endpoints": {"os": "os_days,os_event"}, **more}
    run = Run(folder / "run", Config(name="x", assemble=section), folder)
    stages.assemble(run)
    return run, cohort.read_cohort(run.folder / "cohort.h5ad")


@pytest.mark.parametrize("more", [{"readers": {"reader_2": "second.csv"}}, {"radiomics": "both.csv"}])
def test_a_second_reader_stands_beside_the_first(folder, more):
    _, data = assembled(folder, **more)
    table = pd.DataFrame(data.obsm["reader_2"])
    assert data.n_obs == 24
    assert table.notna().all(axis=1).sum() == 9
    first = pd.DataFrame(data.X, index=data.obs_names, columns=data.var_names)
    assert np.allclose((table - first).loc["H03"], 0.1)


def test_a_reader_who_read_others_is_refused(folder):
    table = pd.read_csv(folder / "second.csv").assign(patient=[f"Z{n}" for n in range(9)])
    table.to_csv(folder / "second.csv", index=False)
    with pytest.raises(InputError, match="shares 3 features and 0 patients"):
        assembled(folder, readers={"reader_2": "second.csv"})


def test_short_follow_up_is_left_out_by_name_and_its_effect_shown(folder):
    run, data = assembled(folder, short_follow_up={"endpoint": "os", "days": 100})
    # Of 30, 50, 70 and 90 days, the first and the fourth ended with the event.
    assert sorted(set(PATIENTS) - set(data.obs_names)) == ["H01", "H02"]
    row = run.read("attrition.csv").iloc[-1]
    assert (row["n_in"], row["n_out"]) == (24, 22)
    assert "lost within 100 days of os: H01, H02" in row["reason"]
    effect = run.read("cohort/exclusion_effect.csv").set_index("patients")
    assert list(effect["n_events"]) == [8, 8]
    _, data = assembled(folder, short_follow_up={"endpoint": "os", "days": 100, "who": "all"})
    assert data.n_obs == 20
    with pytest.raises(ConfigError, match="unknown endpoint 'pfs'; the cohort has os"):
        assembled(folder, short_follow_up={"endpoint": "pfs", "days": 100})


def test_on_is_a_word_in_a_config(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: x\nfuse:\n  prepare:\n    - icc: {on: estimate}\n  comparison_models: true\n")
    config, _ = load_config(path)
    assert config.section("fuse") == {"prepare": [{"icc": {"on": "estimate"}}], "comparison_models": True}
