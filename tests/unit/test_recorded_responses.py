"""Binary endpoints as they were recorded: every spelling of RECIST, who is missing, and the table on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad.cohort import assemble, cohort_digest, count_responses, read_cohort, write_cohort
from imrad.config import Config
from imrad.exceptions import CohortError
from imrad.report.page import Section, Text
from imrad.report.sections.recorded import add_recorded
from imrad.report.tables import RunTables
from imrad.run import Run

WRITTEN = ["CR", "pr", "Stable disease", "疾病进展", "NE", None, " PR ", "progressive  disease", "部分缓解", "SD"]
VALUES = [1, 1, 0, 0, np.nan, np.nan, 1, 0, 1, 0]


def cohort(column, name="best_response", **options):
    patients = [f"P{n}" for n in range(len(column))]
    features = pd.DataFrame({"patient": patients, "a": np.arange(len(column)), "b": 1.0 - np.arange(len(column))})
    clinical = pd.DataFrame({"patient": patients, name: column, "age_years": 60 + np.arange(len(column))})
    return assemble(features, clinical, endpoints=[f"response={name}"], **options)


def page(folder, tables):
    (folder / "cohort").mkdir(exist_ok=True)
    pd.concat(tables, ignore_index=True).to_csv(folder / "cohort/responses.csv", index=False)
    part = Section("response", Text("Response"))
    add_recorded(part, RunTables(Run(folder, Config(name="small"))), "response")
    return part.blocks


def test_every_spelling_of_recist_is_counted_under_its_code(tmp_path):
    data = cohort(WRITTEN)
    np.testing.assert_array_equal(data.obs["response"].to_numpy(), VALUES)
    found = count_responses(data).set_index("recorded")
    assert found["n"].to_dict() == {"CR": 1, "PR": 3, "SD": 2, "PD": 2, "NE": 1, "": 1}
    assert found.loc[["CR", "PR"], "counts_as"].eq(1).all()
    assert found.loc[["SD", "PD"], "counts_as"].eq(0).all()
    assert found.loc[["NE", ""], "counts_as"].isna().all()
    assert set(found["scale"]) == {"RECIST 1.1"}
    assert set(found["column"]) == {"best_response"}
    # What was recorded follows its patients, into subsets and files.
    assert count_responses(data[:3].copy())["n"].sum() == 3
    write_cohort(data, tmp_path / "c.h5ad")
    again = read_cohort(tmp_path / "c.h5ad")
    pd.testing.assert_frame_equal(count_responses(again), count_responses(data))
    assert cohort_digest(again) == cohort_digest(data)


def test_other_columns_are_counted_as_written_and_unknown_words_are_refused():
    found = count_responses(cohort(["pCR", "non-pCR", "pCR", "unknown"], "pathology"))
    assert list(zip(found["recorded"], found["n"], strict=True)) == [("pCR", 2), ("non-pCR", 1), ("", 1)]
    assert set(found["scale"]) == {""}
    numbers = count_responses(cohort([1.0, 0.0, np.nan, 1.0], "responder"))
    assert list(zip(numbers["recorded"], numbers["n"], strict=True)) == [("1", 2), ("0", 1), ("", 1)]
    with pytest.raises(CohortError, match="holds mixed, perhaps for P0, P1; it must hold RECIST"):
        cohort(["mixed", "perhaps", "CR", "PD"])


def test_the_page_counts_every_cohort_and_says_the_rule(tmp_path):
    training = count_responses(cohort(WRITTEN)).assign(cohort="training")
    other = count_responses(cohort(["CR", "CR", "PD"])).assign(cohort="hospital_B")
    (shown,) = page(tmp_path, [training, other])
    table = shown.table.set_index("recorded")
    assert table["counts_as"].to_dict() == {
        **{"CR": "response", "PR": "response", "SD": "no response", "PD": "no response", "NE": "missing"},
        **{"not recorded": "missing", "all": ""},
    }
    assert table["training"].to_dict() == {"CR": 1, "PR": 3, "SD": 2, "PD": 2, "NE": 1, "not recorded": 1, "all": 10}
    assert table["hospital_B"].tolist() == [2, 0, 0, 1, 0, 0, 3]
    assert "RECIST 1.1" in str(shown.caption)
    (named,) = page(tmp_path, [count_responses(cohort(["pCR", "non-pCR"], "pathology")).assign(cohort="training")])
    assert "RECIST" not in str(named.caption)
    assert "pathology" in str(named.caption)


def test_a_column_of_one_and_zero_needs_no_table(tmp_path):
    assert not page(tmp_path, [count_responses(cohort([1, 0, 1], "responder")).assign(cohort="training")])
    part = Section("response", Text("Response"))
    add_recorded(part, RunTables(Run(tmp_path / "empty", Config(name="small"))), "response")
    assert not part.blocks
