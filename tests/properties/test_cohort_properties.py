import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from imrad.cohort import assemble, choose_aliquots, cohort_digest, parse_barcode, patient_id
from imrad.cohort.clinical import to_dates, to_numbers

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
site = st.text(LETTERS, min_size=2, max_size=2)
participant = st.text(LETTERS, min_size=4, max_size=4)
quick = settings(max_examples=40, deadline=None, derandomize=True)


@quick
@given(site, participant, st.sampled_from(["", "-01", "-11A", "-01A-11R", "-01A-11R-A29S-07"]), st.booleans())
def test_the_patient_of_a_barcode_does_not_depend_on_depth_or_spelling(site, participant, rest, dots):
    text = f"TCGA-{site}-{participant}{rest}"
    code = parse_barcode(text.replace("-", ".") if dots else text)
    assert code.patient == f"TCGA-{site}-{participant}" == patient_id(text.lower())
    assert parse_barcode(code.patient).patient == code.patient
    assert code.sample_type == rest[1:3]


@quick
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["01", "11", "06"]), st.sampled_from("AB")), max_size=15))
def test_at_most_one_aliquot_per_patient_is_chosen_whatever_the_order(rows):
    labels = [f"TCGA-AA-000{number}-{kind}{vial}-11R-A29S-07" for number, kind, vial in rows]
    choice = choose_aliquots(labels)
    chosen = choice[choice["chosen"]]
    primary = {parse_barcode(label).patient for label in labels if parse_barcode(label).sample_type == "01"}
    assert sorted(chosen["patient"]) == sorted(primary)
    assert (choice["reason"] == "").equals(choice["chosen"])
    backwards = choose_aliquots(labels[::-1])
    assert sorted(backwards.loc[backwards["chosen"], "label"]) == sorted(chosen["label"])


@quick
@given(st.integers(2, 12), st.randoms(use_true_random=False), st.sets(st.integers(0, 11), max_size=4))
def test_a_cohort_depends_on_the_order_of_the_images_only(n, random, without):
    names = [f"p{number}" for number in range(n)]
    rng = np.random.default_rng(n)
    radiomics = pd.DataFrame({"patient": names, "f": rng.normal(size=n)})
    clinical = pd.DataFrame(
        {"patient": names, "os_days": rng.integers(1, 99, n), "os_event": 1, "x": rng.normal(size=n)}
    )
    immune = pd.DataFrame({"patient": names, "TMB": rng.normal(size=n)})
    immune = immune[[number not in without or number == 0 for number in range(n)]]
    first = assemble(radiomics, clinical, immune, endpoints="os")
    shuffled = [table.iloc[random.sample(range(len(table)), len(table))] for table in (clinical, immune)]
    second = assemble(radiomics, *shuffled, endpoints="os")
    assert cohort_digest(first) == cohort_digest(second)
    attrition = first.uns["imrad"]["attrition"]
    assert attrition["n_out"].iloc[-1] == first.n_obs == len(immune)
    assert (attrition["n_in"].iloc[1:].to_numpy() == attrition["n_out"].iloc[:-1].to_numpy()).all()


@quick
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_come_back_from_text_to_the_last_bit(values):
    numbers, wrong = to_numbers(pd.Series([repr(value) for value in values], dtype=object))
    assert not wrong.any()
    assert numbers.tolist() == values


@quick
@given(st.dates(min_value=pd.Timestamp("1950-01-01").date(), max_value=pd.Timestamp("2049-12-31").date()))
def test_a_date_is_read_alike_in_every_accepted_spelling(day):
    spellings = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%m月%d日", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT00:00"]
    read, wrong = to_dates(pd.Series([day.strftime(pattern) for pattern in spellings], dtype=object))
    assert not wrong.any()
    assert set(read) == {pd.Timestamp(day)}
    assert to_dates(pd.Series([day.strftime("%d/%m/%Y")], dtype=object))[1].all() == (day.day <= 12)
