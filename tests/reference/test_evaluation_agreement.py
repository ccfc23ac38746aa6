"""ICC must give the numbers of R's psych and irr.

R 4.2.2, psych 2.2.9, irr 0.84.1; the calls stand in the JSON files. Data: irr::anxiety, the table of
Shrout and Fleiss 1979, and a synthetic test-retest table of 30 patients, two observers and 40 features.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.evaluation.agreement import icc
from imrad.exceptions import InputError
from imrad.radiomics.robustness import agreement, average_readers, robust_features

DATA = Path(__file__).parent / "data" / "agreement"
FORMS = {"ICC1": "1,1", "ICC2": "2,1", "ICC3": "3,1", "ICC1k": "1,k", "ICC2k": "2,k", "ICC3k": "3,k"}


@pytest.mark.parametrize("case", ["anxiety", "shrout_fleiss"])
def test_icc_is_psychs(case):
    stored = json.loads((DATA / f"icc_{case}.json").read_text())
    for number, name in enumerate(stored["psych"]["type"]):
        found = icc(stored["ratings"], FORMS[name])
        for ours, theirs in ((found.value, "ICC"), (found.lower, "lower"), (found.upper, "upper"), (found.f, "F")):
            assert ours[0] == pytest.approx(stored["psych"][theirs][number], rel=1e-8)
        assert found.p[0] == pytest.approx(stored["psych"]["p"][number], rel=1e-8, abs=1e-12)
    for row in (model[0] for model in stored["irr"]):
        form = {"oneway": "1,1", "agreement": "2,1", "consistency": "3,1"}[
            row["type"] if row["model"] == "twoway" else "oneway"
        ]
        found = icc(stored["ratings"], form)
        assert found.value[0] == pytest.approx(row["value"], rel=1e-8)
        assert found.lower[0] == pytest.approx(row["lower"], rel=1e-8)
        assert found.upper[0] == pytest.approx(row["upper"], rel=1e-8)


@pytest.fixture(scope="module")
def retest():
    table = pd.read_csv(DATA / "icc_retest_input.csv.gz").rename(columns={"id": "patient", "observer": "reader"})
    return table.sample(frac=1, random_state=1), pd.read_csv(DATA / "icc_retest_expected.csv.gz")


@pytest.mark.parametrize(("form", "name"), [("1,1", "ICC11"), ("2,1", "ICC21"), ("3,1", "ICC31")])
def test_forty_features_at_once(retest, form, name):
    table, expected = retest
    found = agreement(table, form=form).set_index("feature").loc[expected["feature"]]
    for ours, theirs in (("icc", name), ("lower", f"{name}_lo"), ("upper", f"{name}_hi")):
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=1e-8)
    assert (found["n"] == 30).all()


def test_thresholds_on_estimate_and_lower_limit(retest):
    table, expected = retest
    found = agreement(table)
    assert len(robust_features(found, 0.75, on="estimate")) == (expected["ICC21"] >= 0.75).sum() == 28
    assert len(robust_features(found, 0.75)) == (expected["ICC21_lo"] >= 0.75).sum()


def test_a_subset_of_patients_is_drawn_by_the_seed(retest):
    table, _ = retest
    found = agreement(table, n_patients=12, seed=5)
    assert (found["n"] == 12).all()
    again = agreement(table.sample(frac=1, random_state=9), n_patients=12, seed=5)
    pd.testing.assert_frame_equal(found, again)
    assert not np.allclose(found["icc"], agreement(table, n_patients=12, seed=6)["icc"])
    with pytest.raises(InputError, match="subset of 99 patients was asked for where 30"):
        agreement(table, n_patients=99)


def test_readers_are_averaged_and_gaps_counted(retest):
    table, _ = retest
    mean = average_readers(table)
    assert len(mean) == 30
    one = table[table["patient"] == mean["patient"][3]]
    np.testing.assert_allclose(mean.iloc[3, 1:].to_numpy(float), one.iloc[:, 2:].mean().to_numpy())
    short = table[~((table["patient"] == mean["patient"][0]) & (table["reader"] == 2))]
    assert (agreement(short)["n"] == 29).all()
    with pytest.raises(InputError, match="measured twice by the same reader"):
        agreement(pd.concat([table, table.iloc[:1]]))
    with pytest.raises(InputError, match="lacks the column reader"):
        agreement(table.drop(columns="reader"))
    with pytest.raises(InputError, match="2 cases were measured by all of 2 readers"):
        agreement(table[table["patient"].isin(mean["patient"][:2])])


def test_tiny_scales_gaps_and_constants():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((20, 1))
    ratings = (truth + 0.3 * rng.standard_normal((20, 3)))[:, :, None].repeat(4, axis=2)
    ratings[..., 1] *= 1e-200
    ratings[..., 2] = 5.0
    ratings[3, 1, 3] = np.nan
    found = icc(ratings)
    assert found.value[1] == pytest.approx(found.value[0], rel=1e-9)
    assert np.isnan(found.value[2])
    assert found.n.tolist() == [20, 20, 20, 19]
    assert found.value[3] == pytest.approx(icc(np.delete(ratings[..., 0], 3, axis=0)).value[0])
    perfect = icc(np.repeat(truth, 3, axis=1))
    assert (perfect.value[0], perfect.lower[0]) == (pytest.approx(1), pytest.approx(1))
