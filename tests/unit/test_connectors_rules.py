"""The stated rules one by one: series, phases, aliquots, endpoints, clinical records, decisions, addresses."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_connectors import Endpoints, clinical
from data_connectors._download import Action, Found, Item, decide
from data_connectors.citations import bibliography, licence_table
from data_connectors.cohorts import load_cohorts
from data_connectors.errors import ChangedServiceError, ManifestError, SelectionError
from data_connectors.gdc import aliquots_of
from data_connectors.manifest import Manifest, Record, read_manifest
from data_connectors.panimmune import cibersort, leukocytes, mutation_load, unusable_aliquots
from data_connectors.samples import Aliquot, choose_aliquots, tidy_barcode
from data_connectors.series import judge, order, phase_of


def ct(**values):
    row = {
        "patient": "P", "series": "1.2", "study": "1", "study_date": "2000-01-01", "study_description": "CT ABDOMEN",
        "description": "ABD/PELVIS", "images": 80, "manufacturer": "GE", "syntax": "1.2.840.10008.1.2.1",
        "sop_class": "1.2.840.10008.5.1.4.1.1.2", "number": "2",
    }  # fmt: skip
    return judge({**row, **values}, values.get("region", "abdomen"))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, ""),
        ({"description": "SCOUT AP/LAT"}, "localiser"),
        ({"description": "Topogram  0.6  T20s"}, "localiser"),
        ({"description": "SURVVIEW"}, "localiser"),
        ({"description": "locator"}, "localiser"),
        ({"description": "Smart Prep Series"}, "bolus tracking"),
        ({"description": "Patient Protocol"}, "protocol or dose page"),
        ({"description": "CT ABD KIDNEY PROTOCOL"}, ""),
        ({"description": "Dose Report"}, "protocol or dose page"),
        ({"description": "Body-Low Dose CT"}, ""),
        ({"description": "COR 3 MIN DELAY"}, "reformat in another plane"),
        ({"description": "CAP Routine  3.0  SPO  cor"}, "reformat in another plane"),
        ({"description": "2x2 sagital avg"}, "reformat in another plane"),
        ({"description": "Recon 2: A/P (RENAL)"}, ""),
        ({"description": "MIP axial"}, "reformat or projection"),
        ({"description": "<MPR Range>"}, "reformat or projection"),
        ({"description": "LUNG  B70f"}, "lung or bone reconstruction"),
        ({"description": "PRE LIVER RECON 2 LUNG"}, ""),
        ({"description": "CHEST", "study_description": "CT CHEST"}, "another part of the body (chest)"),
        ({"description": "CHEST & DELAY BLADDER"}, ""),
        ({"description": "CHEST", "study_description": "", "region": "chest"}, ""),
        ({"description": "", "study_description": "CT HEAD"}, "another part of the body (head)"),
        ({"images": 19}, "fewer than 20 images (19)"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "not CT images (secondary capture)"),
        ({"syntax": "1.2.840.10008.1.2,1.2.840.10008.1.2.1"}, "images in several encodings"),
        ({"manufacturer": "Barco N.V."}, "made on a secondary workstation"),
    ],
)
def test_what_the_index_tells_against_a_series(values, problem):
    assert ct(**values)["problem"] == problem


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("PRE-CONTRAST", "none"), ("PRE LIVER", "none"), ("Non_Contrast  5.0  B31f", "none"), ("Kids w/o", "none"),
        ("KIDNEYS I-  5.0  B30f", "none"), ("Unenhanced", "none"), ("Native 5.0 B30f", "none"), ("Abd Native", "none"),
        ("Przed kontrastem", "none"), ("Arterial_Phase  5.0", "arterial"), ("LIVER (THIN ART)", "arterial"),
        ("corticomedullary", "arterial"), ("30 sec ABD", "arterial"), ("Portal Venous 5.0", "venous"),
        ("Nephrographic  5.0  B31f", "venous"), ("90 sec ABD  3.0  B31f", "venous"), ("3 MIN DELAY", "delayed"),
        ("CT ABD KIDNEY 3 MIN EXCRETION", "delayed"), ("3 min ABD", "delayed"), ("POST CONTRAST", "contrast"),
        ("+C", "contrast"), ("with Contrast", "contrast"), ("w/ IV", "contrast"), ("AXIAL", "unknown"), ("", "unknown"),
        ("A/P (RENAL)", "unknown"), ("CT PART 2", "unknown"), ("Recon 2: VENOGRAM A/P", "venous"),
    ],
)  # fmt: skip
def test_phase_words(text, phase):
    assert phase_of(text) == phase


def test_order_prefers_phase_kernel_study_images_uid():
    rows = [
        ct(series="9", description="Unenhanced  5.0  B30f", images=300),
        ct(series="8", description="Arterial  5.0  B30f"),
        ct(series="7", description="Venous  1.0  B50f", images=500),
        ct(series="6", description="Venous  5.0  B30f"),
        ct(series="5", description="Venous  5.0  B30f", study_date="2000-01-20"),
        ct(series="4", description="Venous  2.0  B30f", images=200),
        ct(series="3", description="Delay  5.0"),
        ct(series="2", description="Venous  2.0  B30f", images=200),
        ct(series="1", description="Venous  2.0  B30f", study_date="2000-06-01"),
        ct(series="0", description="SCOUT"),
    ]
    ranked = order(rows, "best")
    assert [row["series"] for row in ranked if not row["problem"]] == ["2", "4", "6", "5", "7", "3", "8", "9"]
    late = next(row for row in ranked if row["series"] == "1")
    assert late["problem"] == "more than 60 days after the first usable study, maybe after surgery"
    assert not next(row for row in order(rows, "best", segmented=True) if row["series"] == "1")["problem"]
    only = order(rows, "arterial")
    assert [row["series"] for row in only if not row["problem"]] == ["8"]
    assert {row["problem"] for row in only if row["series"] == "3"} == {
        "the phase is delayed and arterial was asked for"
    }
    assert order(rows[::-1], "best") == ranked


def test_every_cohort_is_whole():
    cohorts = load_cohorts()
    asked = (
        "tcga-kirc tcga-kirp tcga-kich tcga-blca tcga-lihc tcga-luad tcga-lusc tcga-stad tcga-ov tcga-ucec "
        "tcga-esca cptac-ccrcc nsclc-radiogenomics nsclc-radiomics"
    )
    assert set(asked.split()) <= set(cohorts)
    for cohort in cohorts.values():
        assert cohort.region in ("abdomen", "chest")
        for source in cohort.segmentations:
            assert source.by in ("expert", "ai")
            assert source.take in ("all", "best")
        assert {"clinical", "images"} <= set(cohort.kinds) or not cohort.project


def chosen(kind, *aliquots):
    made = [Aliquot("TCGA-AA-0001", tidy_barcode(name), name, **more) for name, more in aliquots]
    found, told = choose_aliquots(made, kind, ["TCGA-AA-0001"], frozenset({"TCGA-AA-0001-01A-01R-ZZZZ-07"}))
    assert len(told) == max(len(made), 1)
    return found.get("TCGA-AA-0001"), told


def name(text, **more):
    return f"TCGA-AA-0001-{text}", more


@pytest.mark.parametrize(
    ("kind", "better", "worse"),
    [
        ("expression", "01A-11R-A277-07", "01B-11R-B277-07"),
        ("expression", "01A-11R-A277-07", "01A-11T-B277-07"),
        ("expression", "01A-11R-B277-07", "01A-11R-A277-07"),
        ("expression", "01A-21R-A277-07", "01A-11R-A277-07"),
        ("mutations", "01A-11D-A277-08", "01A-11W-B277-08"),
        ("mutations", "01A-11G-A277-08", "01A-11W-B277-08"),
        ("expression", "01A-11R-A277-07", "11A-11R-A277-07"),
        ("expression", "01A-11R-A277-07", "06A-11R-A277-07"),
        ("expression", "01A-11R-A277-07", "01A-01R-ZZZZ-07"),
    ],
)
def test_the_better_aliquot_is_used(kind, better, worse):
    for pair in ((better, worse), (worse, better)):
        assert chosen(kind, *(name(one) for one in pair))[0].barcode.endswith(better)


def test_fixed_samples_and_normals_never_stand_for_a_patient():
    nobody, told = chosen("expression", name("11A-11R-A277-07"), name("01B-11R-A277-07", fixed=True))
    assert nobody is None
    assert [one["reason"] for one in told] == ["formalin-fixed", "sample type 11 is not a primary tumour"]
    assert chosen("expression")[1][0]["decision"] == "missing"


def test_other_programmes_go_by_sample_type():
    tumour = Aliquot("C3L-1", "CPT0001", "a", "Primary Tumor")
    normal = Aliquot("C3L-1", "CPT0002", "b", "Solid Tissue Normal")
    assert choose_aliquots([normal, tumour], "expression", ["C3L-1"])[0]["C3L-1"] is tumour


def test_mutation_files_name_two_aliquots_and_the_tumours_counts():
    hit = {
        "file_id": "f",
        "cases": [{"submitter_id": "TCGA-AA-0001", "samples": [
            {"submitter_id": "TCGA-AA-0001-10A", "sample_type": "Blood Derived Normal"},
            {"submitter_id": "TCGA-AA-0001-01A", "sample_type": "Primary Tumor", "preservation_method": "FFPE"}]}],
        "associated_entities": [
            {"entity_submitter_id": "TCGA-AA-0001-10A-01D-A277-08", "entity_type": "aliquot"},
            {"entity_submitter_id": "TCGA-AA-0001-01A-01D-A277-08", "entity_type": "aliquot"}],
    }  # fmt: skip
    (one,) = aliquots_of([hit])
    assert one == Aliquot("TCGA-AA-0001", "TCGA-AA-0001-01A-01D-A277-08", "f", "Primary Tumor", fixed=True)
    (bare,) = aliquots_of([{"file_id": "g"}])
    assert bare.barcode == ""


@settings(derandomize=True, max_examples=200)
@given(
    size=st.one_of(st.none(), st.integers(1, 9)),
    md5=st.sampled_from([None, "a", "b"]),
    found=st.one_of(st.none(), st.integers(1, 9)),
    found_md5=st.sampled_from(["a", "b"]),
    recorded=st.sampled_from([None, "a", "b"]),
    partial=st.integers(0, 12),
)
def test_decision_never_keeps_other_bytes(size, md5, found, found_md5, recorded, partial):
    item = Item("images", "p", ("https://x",), size, md5)
    record = None if recorded is None else Record("images", "p", "u", 1, recorded, recorded, "md5", "", "", "", "")
    action = decide(item, Found(found, found_md5 if found else "", found_md5 if found else "", partial), record)
    fits = found is not None and size in (None, found) and md5 in (None, found_md5)
    if action in (Action.KEEP, Action.ADOPT):
        assert fits
        assert action is Action.ADOPT or recorded == found_md5
    if fits and recorded == found_md5:
        assert action is Action.KEEP
    if action is Action.RESUME:
        assert md5 is not None
        assert partial > 0
        assert size is None or partial <= size


def test_ledger_survives_a_torn_line_and_refuses_an_altered_one(tmp_path):
    record = Record("images", "images/a.dcm", "https://x/a", 3, "m", "s", "md5", "CC BY 3.0", "doi:1", "IDC v25", "now")
    ledger = Manifest(tmp_path)
    ledger.write_header({"cohort": "tcga-kirc"})
    ledger.add(record)
    ledger.add(record)
    ledger.close()
    path = tmp_path / "manifest.jsonl"
    whole = path.read_bytes()
    assert whole.count(b"\n") == 2
    path.write_bytes(whole + b'{"kind":"images","path":"ima')
    header, records = read_manifest(path)
    assert header == {"cohort": "tcga-kirc"}
    assert records == {"images/a.dcm": record}
    Manifest(tmp_path).close()
    assert path.read_bytes() == whole
    path.write_bytes(b"not json\n" + whole)
    with pytest.raises(ManifestError, match="line 1 of"):
        read_manifest(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "none")


def case(**values):
    return {
        "submitter_id": "P",
        "demographic": {"vital_status": "Alive", "age_at_index": 60, "sex_at_birth": "female"},
        "diagnoses": [{"ajcc_pathologic_stage": "Stage II", "days_to_last_follow_up": 100}],
        **values,
    }


def row_of(hit):
    return clinical.gdc_rows([hit])["P"]


def test_moved_fields_are_found_where_they_are_and_were():
    assert row_of(case())["sex"] == "female"
    assert row_of(case(demographic={"vital_status": "Alive", "gender": "male"}))["sex"] == "male"
    assert row_of(case(demographic={"sex_at_birth": "Not Reported", "gender": "male"}))["sex"] == "male"
    assert row_of(case(diagnoses=[{"tumor_stage": "stage iii"}]))["stage"] == "stage iii"
    assert row_of(case(demographic=None, diagnoses=None))["os_days"] is None
    assert (
        row_of(case(demographic={"vital_status": "Alive"}, diagnoses={"age_at_diagnosis": 18263}))["age_years"] == 50.0
    )


@pytest.mark.parametrize(
    ("diagnoses", "expected"),
    [
        ([{"n": 1}, {"n": 2, "diagnosis_is_primary_disease": "true"}], 2),
        ([{"n": 1}, {"n": 2, "diagnosis_is_primary_disease": True}], 2),
        ([{"n": 1, "classification_of_tumor": "metastasis"}, {"n": 2, "classification_of_tumor": "primary"}], 2),
        ([{"n": 1, "days_to_diagnosis": -800}, {"n": 2, "days_to_diagnosis": 0}], 2),
        ([{"n": 1}, {"n": 2, "ajcc_pathologic_stage": "Stage I"}], 2),
        ([{"n": 1}, {"n": 2}], 1),
        ([], None),
    ],
)
def test_the_primary_diagnosis_among_several(diagnoses, expected):
    assert clinical.primary_diagnosis(diagnoses).get("n") == expected


def test_follow_up_is_the_latest_of_every_place():
    told = case(follow_ups=[{"days_to_follow_up": 700}, {"days_to_follow_up": None}])
    assert (row_of(told)["os_days"], row_of(told)["os_event"]) == (700.0, 0)
    dead = case(demographic={"vital_status": "Dead", "days_to_death": 400}, follow_ups=[{"days_to_progression": 90}])
    assert (row_of(dead)["os_days"], row_of(dead)["os_event"]) == (400.0, 1)
    assert (row_of(dead)["pfi_days"], row_of(dead)["pfi_event"]) == (90.0, 1)
    unknown = case(demographic={"vital_status": "Not Reported"})
    assert row_of(unknown)["os_days"] is None
    undated = case(demographic={"vital_status": "Dead"})
    assert row_of(undated)["os_event"] is None


def test_curated_endpoints_come_first_and_are_not_mixed():
    curated = {"P": {"os_days": 500.0, "os_event": 1, "pfi_days": None, "pfi_event": None, "age_years": 61.0}}
    other = clinical.gdc_rows([case(follow_ups=[{"days_to_progression": 20}])])
    table = clinical.clinical_table(["P", "Q"], curated, other)
    assert table.loc[0, "os_days"] == 500.0
    assert pd.isna(table.loc[0, "pfi_days"])
    assert table["endpoint_source"].tolist() == ["TCGA-CDR", ""]
    told = clinical.disagreements(["P", "Q"], curated, other)
    assert told[["field", "cdr", "gdc"]].to_numpy().tolist() == [["os_event", 1.0, 0.0], ["os_days", 500.0, 100.0]]


def test_radiogenomics_sheet_gives_survival_from_dates():
    sheet = (
        "Case ID,Patient affiliation,Age at Histological Diagnosis,Gender,Ethnicity,Pathological T stage,Histology ,"
        "Histopathological Grade,Survival Status,Date of Death,Time to Death (days),Date of Last Known Alive,CT Date\n"
        "R01-001,VA,34,Male,Not Recorded,T2,Adenocarcinoma,G1,Dead,9/7/1994,872,9/7/1994,2/1/1992\n"
        "R01-002,VA,33,Female,Caucasian,T1,Adenocarcinoma,G2,Alive,,,5/1/1994,5/1/1993\n"
    )
    table = clinical.read_nsclc(sheet.encode(), ["R01-001", "R01-002", "R01-003"])
    assert table["os_days"].tolist()[:2] == [872.0, 365.0]
    assert table["os_event"].tolist()[:2] == [1, 0]
    assert pd.isna(table.loc[2, "os_days"])
    with pytest.raises(ChangedServiceError, match="no survival"):
        clinical.read_nsclc(b"a,b\n1,2\n", ["X"])


def test_published_tables_take_primaries_and_average_repeats(tmp_path, reference_data):
    import gzip

    for source, target in (
        ("tcga_cibersort_relative_thorsson2018.tsv.gz", "cells.tsv"),
        ("tcga_leukocyte_fraction_thorsson2018.tsv.gz", "leukocytes.tsv"),
        ("tcga_mutation_load.tsv.gz", "load.tsv"),
    ):
        (tmp_path / target).write_bytes(gzip.decompress((reference_data / "immune" / source).read_bytes()))
    cells = cibersort(tmp_path / "cells.tsv")
    kirc = set(
        pd.read_csv(tmp_path / "cells.tsv", sep="\t")
        .query("CancerType == 'KIRC'")["SampleID"]
        .str[:12]
        .str.replace(".", "-")
    )
    mine = cells[cells.index.isin(kirc)]
    assert len(mine) == 533
    assert int(mine["cibersort_rows"].sum()) == 545
    assert mine.filter(like="cell:").sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-6)
    fractions = leukocytes(tmp_path / "leukocytes.tsv")
    assert fractions.between(0, 1).all()
    assert fractions["TCGA-3Z-A93Z"] == pytest.approx(0.129826321961303)
    assert mutation_load(tmp_path / "load.tsv")["TCGA-OR-A5JR"] == pytest.approx(0.0516869496)


def test_altered_tables_are_refused(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\n1\t2\n")
    for reader in (cibersort, mutation_load, leukocytes, unusable_aliquots):
        with pytest.raises(ChangedServiceError, match=r"x\.tsv"):
            reader(tmp_path / "x.tsv")


def test_redacted_patients_are_left_out(tmp_path):
    import openpyxl

    columns = [
        "bcr_patient_barcode",
        "type",
        "OS",
        "OS.time",
        "DSS",
        "DSS.time",
        "DFI",
        "DFI.time",
        "PFI",
        "PFI.time",
        "Redaction",
    ]
    book = openpyxl.Workbook()
    book.active.title = "TCGA-CDR"
    book.active.append([None, *columns])
    book.active.append([1, "TCGA-AA-0001", "KIRC", 1, 10, 1, 10, "#N/A", None, "[Not Available]", 9, None])
    book.active.append([2, "TCGA-AA-0002", "KIRC", 1, 10, 1, 10, 0, 5, 0, 9, "Redacted"])
    book.active.append([3, "TCGA-AA-0003", "LUAD", 1, 10, 1, 10, 0, 5, 0, 9, None])
    book.save(tmp_path / "cdr.xlsx")
    rows = clinical.read_cdr(tmp_path / "cdr.xlsx", "KIRC")
    assert list(rows) == ["TCGA-AA-0001"]
    assert rows["TCGA-AA-0001"]["os_event"] == 1
    assert rows["TCGA-AA-0001"]["pfi_days"] is None
    book.active.delete_cols(3)
    book.save(tmp_path / "cdr.xlsx")
    with pytest.raises(ChangedServiceError, match="lacks the column type"):
        clinical.read_cdr(tmp_path / "cdr.xlsx", "KIRC")


def test_addresses_are_turned_and_hosts_follow(tmp_path, monkeypatch):
    places = Endpoints.at("http://127.0.0.1:81/x")
    assert places.actual("https://idc-open-data-cr.s3.amazonaws.com/u/i.dcm") == (
        "http://127.0.0.1:81/x/s3/idc-open-data-cr/u/i.dcm"
    )
    assert places.actual("https://api.gdc.cancer.gov/data/1") == "http://127.0.0.1:81/x/gdc/data/1"
    assert places.allows("http://127.0.0.1:81/anything")
    assert not places.allows("http://127.0.0.1:82/anything")
    assert not places.allows("https://api.gdc.cancer.gov/data/1")
    public = Endpoints()
    assert public.actual("https://api.gdc.cancer.gov/x") == "https://api.gdc.cancer.gov/x"
    assert public.allows("https://idc-open-data.s3.amazonaws.com/x")
    assert not public.allows("http://api.gdc.cancer.gov/x")
    assert not public.allows("https://evil.example/api.gdc.cancer.gov/")
    for wrong in ({"gdc": "http://mirror.example"}, {"gdc": "ftp://127.0.0.1/x"}, {"s3": "https://mirror.example"}):
        with pytest.raises(SelectionError):
            Endpoints(**wrong)

    monkeypatch.setenv("IMRAD_ENDPOINTS", "https://mirror.example/all")
    assert Endpoints.from_environment().gdc == "https://mirror.example/all/gdc"
    file = tmp_path / "endpoints.yaml"
    file.write_text(json.dumps({"base": "https://mirror.example", "gdc": "https://gdc.example", "index": "i.parquet"}))
    monkeypatch.setenv("IMRAD_ENDPOINTS", str(file))
    read = Endpoints.from_environment()
    assert (read.gdc, read.nbia, read.index) == ("https://gdc.example", "https://mirror.example/nbia", "i.parquet")
    file.write_text("gcd: https://x\n")
    with pytest.raises(SelectionError, match="unknown key 'gcd'"):
        Endpoints.from_environment()
    monkeypatch.setenv("IMRAD_ENDPOINTS", str(tmp_path / "none.yaml"))
    with pytest.raises(SelectionError, match="cannot be read"):
        Endpoints.from_environment()


def test_citations_and_licences_follow_the_records():
    def record(path, licence, source, version="IDC v25", kind="images"):
        return Record(kind, path, "u", 10, "m", "s", "md5", licence, source, version, "now")

    records = [
        record("a", "CC BY 3.0", "doi:10.7937/K9/TCIA.2016.V6PBVTDR"),
        record("b", "CC BY-NC 3.0", "doi:10.7937/unknown.set"),
        record("c", "GDC open access", "GDC", "GDC 45", "expression"),
        record("d", "", "", "", "table"),
    ]
    text = bibliography(records)
    assert text.count("@") == 5
    assert "Akin, O." in text
    assert "see the DOI" in text
    assert text.count("{") == text.count("}")
    table = licence_table(records).set_index("licence")
    assert table.loc["CC BY-NC 3.0", "note"] == "non-commercial use only"
    assert table["files"].sum() == 3
