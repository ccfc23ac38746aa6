"""External cohorts of a config: in no fit, judged centre by centre, for survival and for response."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from imrad import stages
from imrad.cohort import read_cohort
from imrad.config import Config
from imrad.datasets import make_cohort
from imrad.exceptions import CohortError, ConfigError, ImradError, InputError, NoOverlapError
from imrad.run import Run

FEATURES = {"n_features": 40}


def config(external=None, **more):
    made = {"n_patients": 60, **FEATURES}
    return Config(
        name="x",
        assemble={"splits": {"repeats": 1}, "synthetic": made, "external": external or {}, **more},
        fuse={"n_bootstrap": 0},
    )


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another hospital's cohort, whose patients have names of their own."""
    from imrad.cohort import write_cohort

    data = make_cohort(n_patients=50, seed=77, **FEATURES)
    data.obs_names = [f"B{number:03d}" for number in range(data.n_obs)]
    for slot in data.obsm.values():
        slot.index = data.obs_names
    path = tmp_path_factory.mktemp("other") / "b.h5ad"
    write_cohort(data, path)
    return path


def test_survival_is_judged_there(tmp_path, other):
    values = config({"B": {"cohort": str(other)}}, splits={"holdout": 0.25})
    run = Run(tmp_path, values.model_copy(update={"fuse": {"n_bootstrap": 0, "endpoints": ["os"]}}))
    stages.assemble(run)
    stages.fuse(run)
    external = run.read("survival/os/external.csv")
    assert set(external["cohort"]) == {"holdout", "B"}
    assert external.loc[external["cohort"] == "B", "n"].eq(50).all()
    assert external["c"].between(0, 1).any()
    held = set(read_cohort(tmp_path / "external/holdout.h5ad").obs_names)
    assert len(held) == 15
    sets = json.loads((tmp_path / "ledger_sets.json").read_text())
    assert not held & {patient for names in sets.values() for patient in names}
    assert stages.fuse(Run.open(tmp_path)) == ["os: nothing to do"]


def test_other_centres_do_not_change_the_models(tmp_path, other):
    digests = []
    for name, external in (("with", {"B": {"cohort": str(other)}}), ("without", {})):
        run = Run(tmp_path / name, config(external))
        stages.assemble(run)
        digests.append(run.outputs("assemble")["cohort.h5ad"])
    assert digests[0] == digests[1]


def test_wrong_external_cohorts(tmp_path, other):
    def assemble(external, **more):
        stages.assemble(Run(tmp_path / "run", config(external, **more)))

    with pytest.raises(CohortError, match="are in the training cohort, among them"):
        assemble({"B": {"synthetic": {"n_patients": 40, **FEATURES}}})
    with pytest.raises(ConfigError, match=r"assemble.external.B names no source"):
        assemble({"B": {}})
    with pytest.raises(ConfigError, match="names cohort and radiomics; name one of"):
        assemble({"B": {"cohort": str(other), "radiomics": "x.csv"}})
    with pytest.raises(ConfigError, match="cannot name a centre"):
        assemble({"../B": {"cohort": str(other)}})
    with pytest.raises(InputError, match="is not there"):
        assemble({"B": {"cohort": str(tmp_path / "no.h5ad")}})
    with pytest.raises(ConfigError, match=r"less than or equal to 0.5"):
        assemble({}, splits={"holdout": 0.9})
    data = read_cohort(other)
    data.var_names = [f"other_{number}" for number in range(data.n_vars)]
    data.write_h5ad(tmp_path / "far.h5ad")
    with pytest.raises(NoOverlapError, match="has none of the training cohort's 40 features"):
        assemble({"B": {"cohort": str(tmp_path / "far.h5ad")}})
    assert not (tmp_path / "run/run.json").exists()


def test_tables_of_another_centre(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("a", 60), ("b", 30)):
        patients = [f"{name}{number:02d}" for number in range(n)]
        x = rng.normal(size=(n, 5))
        responds = rng.random(n) < 1 / (1 + np.exp(-2 * x[:, 0]))
        features = pd.DataFrame(x, columns=[f"original_firstorder_F{k}" for k in range(5)])
        features.insert(0, "patient", patients)
        features.to_csv(tmp_path / f"{name}_features.csv", index=False)
        sheet = {"patient": patients, "best": np.where(responds, "PR", "SD"), "age_years": rng.normal(60, 8, n)}
        sheet |= {"neutrophils": rng.lognormal(1.5, 0.3, n), "lymphocytes": rng.lognormal(0.4, 0.3, n)}
        table = pd.DataFrame(sheet)
        table.loc[0, "lymphocytes"], table.loc[1, "best"] = 0.0, "NE"
        table.rename(columns={"age_years": "Age"} if name == "b" else {}).to_csv(tmp_path / f"{name}.csv", index=False)
    assembled = {
        "radiomics": "a_features.csv",
        "clinical": "a.csv",
        "endpoints": {"response": "best"},
        "derive": {"nlr": "neutrophils / lymphocytes"},
        "external": {
            "B": {"radiomics": "b_features.csv", "clinical": "b.csv", "columns": {"age_years": "Age"}},
        },
    }
    fuse = {
        "n_bootstrap": 0,
        "clinical": ["age_years", "nlr"],
        "response_models": {"Clinical": {"blocks": ["Clinical"]}, "Rad": {"blocks": ["Rad"]}},
        "response_question": ["Rad", "Clinical"],
    }
    run = Run(tmp_path / "run", Config(name="a", assemble=assembled, fuse=fuse), tmp_path)
    stages.run_all(run)
    external = run.read("response/response/external.csv").set_index("model")
    assert external["n"].eq(29).all()
    assert external.loc["Rad", "auc"] > 0.7
    predicted = run.read("response/response/external_predictions.csv")
    assert predicted["patient"].nunique() == 30
    pairs = run.read("response/response/external_pairs.csv")
    assert list(pairs["cohort"]) == ["B"]
    bad = Config(name="a", assemble={**assembled, "derive": {"nlr": "neutrophils / lymphocyte"}})
    with pytest.raises(ImradError, match="needs the column lymphocyte;"):
        stages.assemble(Run(tmp_path / "bad", bad, tmp_path))
