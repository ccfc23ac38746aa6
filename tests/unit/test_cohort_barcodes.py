import pytest

from imrad.cohort import choose_aliquots, is_tcga, parse_barcode, patient_id
from imrad.cohort.barcodes import mistyped
from imrad.exceptions import CohortError


@pytest.mark.parametrize(
    ("text", "patient", "sample_type", "series"),
    [
        ("TCGA-CU-A0YR", "TCGA-CU-A0YR", "", ""),
        ("TCGA-CU-A0YR_11", "TCGA-CU-A0YR", "", "11"),
        ("TCGA.CU.A0YR.11A.13R.A10U.07", "TCGA-CU-A0YR", "11", ""),
        ("TCGA-OR-A5J1-01A-11D-A29J-05", "TCGA-OR-A5J1", "01", ""),
        ("TCGA-OR-A5JR-01", "TCGA-OR-A5JR", "01", ""),
        ("tcga-or-a5jr-01a", "TCGA-OR-A5JR", "01", ""),
        ("TCGA-2F-A9KO-01Z-00-DX1.195576CF-B739-4BD9-B15B-4A70AE287D3E.svs", "TCGA-2F-A9KO", "01", ""),
    ],
)
def test_every_spelling_of_a_barcode_gives_its_patient(text, patient, sample_type, series):
    code = parse_barcode(text)
    assert (code.patient, code.sample_type, code.series) == (patient, sample_type, series)
    assert patient_id(text) == patient


def test_an_aliquot_is_taken_apart():
    code = parse_barcode("TCGA.AK.3426.01A.02R.1325.07")
    assert (code.site, code.vial, code.portion, code.analyte, code.plate, code.center) == (
        "AK", "A", "02", "R", "1325", "07",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["TCGA-CU-A0YRX", "TCGA-CU-A0Y", "P-0001", "", "TCGA", "xTCGA-CU-A0YR"])
def test_what_is_no_barcode_is_refused_and_left_alone_as_a_hospital_id(text):
    assert not is_tcga(text)
    assert patient_id(f" {text} ") == text
    with pytest.raises(CohortError, match="not a TCGA barcode"):
        parse_barcode(text)


def test_a_number_from_a_spreadsheet_is_an_identifier_without_its_decimal():
    assert patient_id(1001.0) == "1001"
    assert patient_id("0012") == "0012"


def test_normals_metastases_and_repeats_are_left_out_with_a_reason():
    labels = [
        "TCGA.CU.A0YR.11A.13R.A10U.07",
        "TCGA.CU.A0YR.01B.10R.A277.07",
        "TCGA.CU.A0YR.01A.13R.A10U.07",
        "TCGA-DK-A1A6-06",
        "TCGA-DK-A1A6-01",
    ]
    choice = choose_aliquots(labels)
    assert choice["chosen"].tolist() == [False, False, True, False, True]
    assert "solid tissue normal" in choice["reason"][0]
    assert "rule 'first'" in choice["reason"][1]
    assert "metastatic" in choice["reason"][3]


def test_the_order_of_wanted_sample_types_decides_before_the_aliquot():
    labels = ["TCGA-D3-A1Q1-06A", "TCGA-D3-A1Q1-01A"]
    assert choose_aliquots(labels, sample_types=("06", "01"))["chosen"].tolist() == [True, False]
    assert choose_aliquots(labels, sample_types=("01", "06"))["chosen"].tolist() == [False, True]


def test_the_two_aliquot_rules_differ_where_they_should():
    labels = ["TCGA-B2-5633-01A-01R-1541-07", "TCGA-B2-5633-01A-01R-A277-07", "TCGA-B2-5633-01B-04R-A277-07"]
    assert choose_aliquots(labels, rule="first")["chosen"].tolist() == [True, False, False]
    assert choose_aliquots(labels, rule="gdac")["chosen"].tolist() == [False, True, False]
    with pytest.raises(CohortError, match="first, gdac"):
        choose_aliquots(labels, rule="last")


def test_of_identical_barcodes_the_first_row_is_taken():
    assert choose_aliquots(["TCGA-37-4132-01A-01R-1100-07"] * 2)["chosen"].tolist() == [True, False]


def test_a_letter_like_a_digit_is_noticed_but_a_true_letter_is_not_touched():
    known = {"TCGA-CU-A0YR", "TCGA-4Z-AA7O"}
    assert mistyped("TCGA-CU-AOYR", known) == "TCGA-CU-A0YR"
    assert mistyped("TCGA-4Z-AA7O", known) is None
    assert mistyped("TCGA-4Z-AA70", known) == "TCGA-4Z-AA7O"
    assert mistyped("TCGA-ZZ-ZZZZ", known) is None
    assert mistyped("P-O1", {"P-01"}) is None
