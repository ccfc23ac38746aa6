import gzip

import pandas as pd
import pytest

from imrad.cohort import read_clinical, read_table, tidy_clinical
from imrad.exceptions import CohortError, ConfigError, DuplicateError, InputError, SchemaError


def test_a_sheet_in_utf8_gbk_or_utf16_and_a_workbook_read_alike(tmp_path):
    text = "病人ID,年龄,性别,分期,分级,白细胞\n0012,63,男,Ⅲ期,G2,5.1\n0013,58,女,IIB,G3,\n"
    (tmp_path / "utf8.csv").write_bytes(("﻿" + text).encode())
    (tmp_path / "gbk.csv").write_bytes(text.encode("gbk"))
    (tmp_path / "unicode.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "tabs.tsv.gz").write_bytes(gzip.compress(text.replace(",", "\t").encode()))
    rows = [line.split(",") for line in text.splitlines()]
    pd.DataFrame(rows[1:], columns=rows[0]).to_excel(tmp_path / "book.xlsx", index=False)
    tables = [
        read_clinical(tmp_path / name) for name in ("utf8.csv", "gbk.csv", "unicode.csv", "tabs.tsv.gz", "book.xlsx")
    ]
    first = tables[0]
    assert list(first.index) == ["0012", "0013"]
    assert first["age_years"].tolist() == [63.0, 58.0]
    assert first["sex"].astype(str).tolist() == ["male", "female"]
    assert first["stage"].astype(str).tolist() == ["III", "II"]
    assert first["stage"].cat.ordered
    assert first["stage"].min() == "II"
    assert first["白细胞"].isna().tolist() == [False, True]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, first)


def test_cbioportals_four_lines_are_passed_over(tmp_path):
    path = tmp_path / "data_clinical_patient.txt"
    path.write_text("#Patient\tAge\n#x\ty\n#STRING\tNUMBER\n#1\t1\nPATIENT_ID\tAGE\nTCGA-B0-5697\t61\n")
    assert read_clinical(path)["age_years"].to_dict() == {"TCGA-B0-5697": 61.0}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.csv", None, "does not exist"),
        ("empty.csv", b"", "cannot be read as a table"),
        ("header.csv", b"patient,age\n", "holds no rows"),
        ("book.xlsx", b"not a workbook", "cannot be read as a table"),
        ("notes.docx", b"x", "neither a CSV, TSV, Excel"),
        ("twice.csv", b"patient,a,a\n1,2,3\n", "several columns named a"),
        ("wide.csv", b"patient,a\n1,2,3\n2,3,4\n", "does not match length of data"),
        ("ragged.csv", b'patient,a\n1,"2\n', "cannot be read as a table"),
    ],
)
def test_a_file_that_is_no_table_gets_one_sentence(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_table(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (["Stage IIIA", "stage i", "[Not Available]", "IV"], ["I", "III", "IV"]),
        (["pT", None, "II", "I"], None),
        (["0is", "Stage 0", "2", "1"], ["0", "I", "II"]),
    ],
)
def test_stages_are_ordered_and_what_is_none_is_refused(values, levels):
    table = pd.DataFrame({"patient": list("abcd"), "ajcc_pathologic_tumor_stage": values})
    if levels is None:
        with pytest.raises(CohortError, match=r"stage holds pT for a; it must hold a stage"):
            tidy_clinical(table)
    else:
        assert list(tidy_clinical(table)["stage"].cat.categories) == levels


def test_grades_of_three_systems_and_no_mixture():
    def grades(*values):
        return list(
            tidy_clinical(pd.DataFrame({"patient": range(len(values)), "grade": values}))["grade"].cat.categories
        )

    assert grades("G3", "1", "Grade 2", "GX") == ["G1", "G2", "G3"]
    assert grades("High Grade", "Low Grade") == ["Low", "High"]
    assert grades(2, 3) == ["G2", "G3"]
    with pytest.raises(CohortError, match="not a mixture"):
        grades("G3", "High Grade")


def test_a_mapping_goes_before_the_aliases():
    table = pd.DataFrame({"nr": ["a"], "age": [900], "Alter": ["40"], "PD-L1 (CPS/TPS)": ["0.5"]})
    tidy = tidy_clinical(table, mapping={"patient": "nr", "age_years": "Alter"})
    assert tidy.loc["a", "age_years"] == 40.0
    assert tidy.loc["a", "age"] == 900.0
    assert tidy.loc["a", "PD-L1 (CPS_per_TPS)"] == 0.5
    with pytest.raises(ConfigError, match="mapped columns alter are not in the table"):
        tidy_clinical(table, mapping={"age_years": "alter"})


@pytest.mark.parametrize(
    ("table", "error", "said"),
    [
        ({"patient": ["a", "a"]}, DuplicateError, "several rows for a"),
        ({"patient": ["TCGA-CU-A0YR", "TCGA-CU-A0YR-01"], "x": [1, 2]}, DuplicateError, "TCGA-CU-A0YR"),
        ({"x": [1], "y": [2]}, SchemaError, "names no patients"),
        ({"patient": ["a", ""], "x": [1, 2]}, CohortError, "rows 2 have no patient identifier"),
        ({"patient": ["a"], "age": ["old"]}, CohortError, "age_years holds old for a"),
        ({"patient": ["a"], "age": [700]}, CohortError, "between 0 and 120"),
        ({"patient": ["a"], "sex": ["1"]}, CohortError, "male or female"),
    ],
)
def test_a_clinical_table_that_cannot_be_used_gets_one_sentence(table, error, said):
    with pytest.raises(error, match=said):
        tidy_clinical(pd.DataFrame(table))


def test_dates_with_the_year_last_are_read_only_where_the_column_tells_day_from_month():
    from imrad.cohort.clinical import to_dates

    def read(*values):
        dates, wrong = to_dates(pd.Series(values, dtype=object))
        return [None if bad else f"{date:%Y-%m-%d}" for date, bad in zip(dates, wrong, strict=True)]

    assert read("3/4/2021", "12/31/2021") == ["2021-03-04", "2021-12-31"]
    assert read("3.4.2021", "31.12.2021") == ["2021-04-03", "2021-12-31"]
    assert read("3/4/2021", "5/6/2021") == [None, None]
    assert read("13/1/2021", "1/13/2021") == [None, None]
    assert read("2021-01-02", "3/4/21", "tomorrow") == ["2021-01-02", None, None]
    # Excel shows 43904 as 14 March 2020; a number of four digits is no day of a patient's.
    assert read(43904.0, "43904.75", "2020-03-14", 1234) == ["2020-03-14", "2020-03-14", "2020-03-14", None]
