"""What a plan says from the real index, offline: numbers, decisions, refusals, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import data_connectors
from data_connectors import Endpoints
from data_connectors.errors import SelectionError
from data_connectors.index import index_version

PUBLIC = Endpoints()
release_25 = pytest.mark.skipif(not index_version(PUBLIC).startswith("25."), reason="numbers are of image index 25")


@pytest.fixture(scope="module")
def kirc():
    return data_connectors.plan("tcga-kirc", endpoints=PUBLIC)


@release_25
def test_cohort_table_of_index_25():
    table = data_connectors.cohort_table(PUBLIC).set_index("cohort")
    assert table.attrs["index_version"].startswith("25.")
    kirc = table.loc["tcga-kirc"]
    assert (kirc["ct"], kirc["expert"], kirc["ai"], kirc["segmented"]) == (237, 65, 71, 121)
    assert (kirc["series"], kirc["gigabytes"], kirc["rna"]) == (1736, 75.9, 235)
    expected = {"tcga-kirp": (23, 16, 11, 18), "tcga-kich": (12, 10, 5, 10), "tcga-lihc": (75, 0, 0, 0),
                "tcga-luad": (67, 0, 22, 22), "tcga-lusc": (37, 0, 15, 15), "tcga-blca": (107, 0, 0, 0),
                "tcga-ov": (143, 0, 0, 0), "tcga-stad": (46, 0, 0, 0), "tcga-ucec": (65, 0, 0, 0),
                "tcga-esca": (16, 0, 0, 0)}  # fmt: skip
    for name, numbers in expected.items():
        assert tuple(table.loc[name, ["ct", "expert", "ai", "segmented"]]) == numbers
    assert table.loc["cptac-ccrcc", "expert"] == 52
    assert table.loc["nsclc-radiogenomics", "expert"] == 144
    assert table.loc["nsclc-radiomics", "segmented"] == 422
    assert table.loc["tcga-luad", "rna"] == 29
    assert table.loc[["cptac-ccrcc"], "rna"].isna().all()


@release_25
def test_plan_of_the_union_and_of_the_experts_patients(kirc):
    assert len(kirc.patients) == 121
    experts = sorted(kirc.series.loc[kirc.series["segmentation"].eq("RCC-AID"), "patient"].unique())
    assert len(experts) == 65
    plan = data_connectors.plan("tcga-kirc", patients=experts, endpoints=PUBLIC)
    scans = plan.table.query("kind == 'images'")
    assert scans["count"].tolist() == [85]
    assert scans["exact"].tolist() == [True]
    assert scans["bytes"].item() == pytest.approx(5.6e9, rel=0.01)
    assert "85 CT scans" in plan.summary()
    assert "5.6 GB" in plan.summary()
    phases = plan.series.query("modality == 'CT' and decision == 'fetch'")["phase"].value_counts()
    assert phases.to_dict() == {"venous": 35, "delayed": 35, "arterial": 15}


@release_25
def test_series_of_the_experts_agree_with_the_published_pairs(kirc, reference_data):
    pairs = pd.read_csv(reference_data / "idc" / "rcc_aid_seg_ct_pairs.csv").query("collection_id == 'tcga_kirc'")
    known = dict(zip(pairs["seg_SeriesInstanceUID"], pairs["ct_SeriesInstanceUID"], strict=True))
    mine = kirc.series.query("segmentation == 'RCC-AID' and modality == 'SEG'")
    assert dict(zip(mine["series"], mine["source_series"], strict=True)) == known


@release_25
def test_events_of_the_default_cohort(kirc, reference_data):
    cdr = pd.read_csv(reference_data / "clinical" / "tcga_cdr_liu2018.csv.gz", low_memory=False)
    mine = cdr[cdr["bcr_patient_barcode"].isin(kirc.patients)]
    assert (mine["OS"].sum(), mine["PFI"].sum()) == (31, 36)


def test_every_series_of_a_planned_patient_has_one_decision_and_a_reason(kirc):
    assert kirc.series["decision"].isin(["fetch", "candidate", "drop"]).all()
    assert kirc.series["reason"].ne("").all()
    assert kirc.series["series"].is_unique
    assert set(kirc.series["patient"]) == set(kirc.patients)
    fetched = kirc.series.query("decision == 'fetch' and modality == 'CT'")
    assert fetched["images"].ge(20).all()


def test_patients_with_an_experts_segmentation_come_first(kirc):
    plan = data_connectors.plan("tcga-kirc", patients=3, endpoints=PUBLIC)
    assert plan.patients == kirc.patients[:3]
    assert set(plan.series.loc[plan.series["modality"].eq("SEG"), "segmentation"]) == {"RCC-AID"}


def test_pathology_segmentations_never_appear(kirc):
    assert not kirc.series["description"].str.contains("TIL Map").any()


def test_header_of_a_plan_survives_json(kirc):
    assert json.loads(json.dumps(kirc.header())) == kirc.header()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cohort": "tcga-kric"}, "did you mean tcga-kirc"),
        ({"cohort": "zzz"}, "known are tcga-kirc"),
        ({"only": "pictures"}, "no kind of data 'pictures'; give some of images"),
        ({"only": ""}, "no kind of data"),
        ({"cohort": "nsclc-radiomics", "only": "immune"}, "has no immune; it has images"),
        ({"phase": "late"}, "no phase 'late'; give one of arterial"),
        ({"patients": 0}, "0 patients were asked for"),
        ({"patients": 999}, "has 237 with CT"),
        ({"patients": ["patient-1"]}, "'PATIENT-1' is not a TCGA patient barcode"),
        ({"patients": "nowhere.txt"}, "'nowhere.txt' cannot be read"),
        ({"cohort": "nsclc-radiomics", "patients": ["X"]}, "its ids look like LUNG1-001"),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(options, said):
    with pytest.raises(SelectionError, match=said) as caught:
        data_connectors.plan(options.pop("cohort", "tcga-kirc"), endpoints=PUBLIC, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["patient,group\nTCGA-CW-5585,1\n", "\ufefftcga.cw.5585.01A.11R\n\n# end\n"])
def test_patients_from_a_file(tmp_path, text):
    file = tmp_path / "patients.csv"
    file.write_text(text, encoding="utf-8")
    assert data_connectors.plan("TCGA_KIRC", patients=file, endpoints=PUBLIC).patients == ("TCGA-CW-5585",)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_plan_and_table_stay_small_and_silent():
    code = (
        "import logging, sys\n"
        "import data_connectors\n"
        "assert 'pandas' not in sys.modules and 'duckdb' not in sys.modules\n"
        "plan = data_connectors.plan('tcga-kirc')\n"
        "data_connectors.cohort_table()\n"
        "assert not logging.getLogger().handlers\n"
        "assert not {'tcia_utils', 'idc_index', 'requests'} & set(sys.modules)\n"
        # Not ru_maxrss: it starts with what the parent had when it forked.
        "peak = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(len(plan.patients), int(peak[0]) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    patients, megabytes = (int(word) for word in done.stdout.split())
    assert patients > 0
    assert megabytes < 400
    assert done.stderr == ""


def test_index_without_needed_columns_is_named(tmp_path):
    pd.DataFrame({"collection_id": ["tcga_kirc"]}).to_parquet(tmp_path / "other.parquet")
    places = Endpoints(index=str(tmp_path / "other.parquet"))
    with pytest.raises(SelectionError, match="has no column PatientID"):
        data_connectors.plan("tcga-kirc", endpoints=places)
    with pytest.raises(SelectionError, match="does not exist"):
        data_connectors.plan("tcga-kirc", endpoints=Endpoints(index="/nowhere.parquet"))


def test_index_of_another_release_without_optional_columns(tmp_path):
    import duckdb
    import idc_index_data

    path = tmp_path / "older.parquet"
    source = str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
    duckdb.sql(
        f"COPY (SELECT * EXCLUDE (aws_bucket, crdc_series_uuid, StudyDescription, TransferSyntaxUID) "
        f"FROM read_parquet('{source}') WHERE collection_id = 'tcga_kich') TO '{path}' (FORMAT parquet)"
    )
    plan = data_connectors.plan("tcga-kich", endpoints=Endpoints(index=str(path)))
    assert plan.series["bucket"].eq("idc-open-data").all()
    assert plan.series["uuid"].str.len().eq(36).all()
