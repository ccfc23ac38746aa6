"""A whole fetch against real HTTP on loopback: every kind of data, matched, recorded, and repeatable."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pydicom
import pytest

import data_connectors
from data_connectors.errors import SelectionError, UpstreamChangedError
from data_connectors.manifest import read_manifest


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }


def test_twelve_patients_end_with_everything_matched(rig, twelve):
    told = []
    plan = rig.plan(patients=12)
    assert list(plan.patients) == twelve
    assert "14 CT scans" in plan.summary()
    assert "CC BY 4.0" in plan.summary()
    done = data_connectors.execute(plan, rig.folder, client=rig.client, workers=3, progress=lambda *a: told.append(a))

    cases = pd.read_csv(done.tables["cases"])
    assert list(cases["patient"]) == twelve
    assert set(cases["roi"]) == {"Mass"}
    assert set(cases["segmentation"]) == {"RCC-AID"}
    for _, case in cases.iterrows():
        mask = pydicom.dcmread(rig.folder / case["mask"])
        images = sorted((rig.folder / case["image"]).glob("*.dcm"))
        assert len(images) == 24
        assert mask.ReferencedSeriesSequence[0].SeriesInstanceUID == case["image_series"]
        assert {pydicom.dcmread(one).SeriesInstanceUID for one in images} == {case["image_series"]}
    everything = pd.read_csv(done.tables["cases_all"])
    assert len(everything) == 14
    assert everything["chosen"].sum() == 12
    assert set(everything["phase"]) == {"arterial", "venous", "delayed"}

    clinical = pd.read_csv(done.tables["clinical"])
    assert list(clinical["patient"]) == twelve
    assert clinical["os_days"].notna().all()
    assert set(clinical["os_event"]) <= {0, 1}
    assert set(clinical["endpoint_source"]) == {"TCGA-CDR"}
    immune = pd.read_csv(done.tables["immune"])
    cells = immune.filter(like="cell:")
    assert cells.shape == (12, 22)
    assert cells.sum(axis=1).to_numpy() == pytest.approx(1.0, abs=1e-9)
    assert immune["MSI"].notna().all()
    assert immune["leukocyte_fraction"].between(0, 1).all()

    sheet = pd.read_csv(done.expression / "gdc_sample_sheet.tsv", sep="\t")
    assert list(sheet["Sample ID"]) == twelve
    for patient, name in zip(sheet["Case ID"], sheet["File Name"], strict=True):
        assert (done.expression / patient / name).exists()
    mutations = pd.read_csv(done.maf / "gdc_sample_sheet.tsv", sep="\t")
    assert len(mutations) >= 11
    assert set(mutations["Sample ID"]) <= set(twelve)
    for patient, name in zip(mutations["Case ID"], mutations["File Name"], strict=True):
        assert gzip.decompress((done.maf / patient / name).read_bytes()).startswith(b"#version")

    kinds = {label for label, _, _ in told}
    assert {"images", "segmentations", "expression", "mutations", "clinical", "immune"} <= kinds
    for label in kinds:
        last = [one for one in told if one[0] == label][-1]
        assert last[1] == last[2]

    _, records = read_manifest(done.manifest)
    assert all((rig.folder / path).stat().st_size == one.size for path, one in records.items())
    images = [one for one in records.values() if one.kind == "images"]
    assert {one.licence for one in images} == {"CC BY 3.0"}
    assert all(one.checked == "md5" and one.uri.startswith("https://idc-open-data.s3.amazonaws.com/") for one in images)
    assert all(one.time and one.version.startswith("IDC v25") for one in images)

    cited = done.citations.read_text()
    assert all(doi in cited for doi in ("10.7937/k9/tcia.2016.v6pbvtdr", "10.5281/zenodo.22284133", "2018.02.052"))
    licences = pd.read_csv(done.tables["licences"])
    assert {"CC BY 3.0", "CC BY 4.0", "TCGA open access", "GDC open access"} <= set(licences["licence"])
    attrition = pd.read_csv(done.tables["attrition"])
    assert list(attrition.columns[:4]) == ["step", "n_in", "n_out", "reason"]
    longest = max(len(str(path.relative_to(rig.folder))) for path in rig.folder.rglob("*"))
    assert longest < 110


def test_second_call_asks_nothing(rig):
    rig.fetch(patients=3)
    before = digests(rig.folder)
    asked = len(rig.server.log)
    rig.fetch(patients=3)
    assert len(rig.server.log) == asked
    assert digests(rig.folder) == before


def test_union_takes_the_best_scan_of_a_programs_segmentations(rig):
    plan = rig.plan()
    assert len(plan.patients) == 14
    done = data_connectors.execute(plan, rig.folder, client=rig.client)
    cases = pd.read_csv(done.tables["cases"]).set_index("patient")
    assert cases.loc["TCGA-B0-4713", "segmentation"] == "BAMF-AIMI"
    assert cases.loc["TCGA-B0-4713", "roi"] == "Neoplasm"
    assert cases.loc["TCGA-B0-4845", "segmented_by"] == "ai"
    everything = pd.read_csv(done.tables["cases_all"])
    assert everything.groupby("patient").size()["TCGA-B0-4845"] == 1
    pairs = pd.read_csv(done.tables["pairs"])
    assert set(pairs.loc[pairs["segmentation"].eq("BAMF-AIMI"), "decision"]) == {"use"}
    different = pd.read_csv(done.tables["disagreements"])
    assert set(different["field"]) == {"os_days"}
    assert (different["cdr"] - different["gdc"]).tolist() == [100.0]


def test_patient_without_segmentation_gets_the_best_scan_and_no_mask(rig):
    done = rig.fetch(patients=["tcga.b0.4698.01A"], only="images,segmentations")
    assert pd.read_csv(done.tables["cases"]).empty
    scans = pd.read_csv(done.tables["cases_all"])
    assert scans["patient"].tolist() == ["TCGA-B0-4698"]
    assert scans["mask"].isna().all()
    assert scans[["description", "chosen"]].to_numpy().tolist() == [["+C", 1]]
    assert any("outline the tumour" in note for note in done.notes)


def test_rtstruct_of_cptac(rig):
    done = rig.fetch("cptac-ccrcc", patients=["C3L-00766", "C3N-00305"])
    cases = pd.read_csv(done.tables["cases"]).set_index("patient")
    assert cases.loc["C3L-00766", "segmentation"] == "CPTAC tumour annotations"
    structures = pydicom.dcmread(rig.folder / cases.loc["C3L-00766", "mask"])
    assert structures.Modality == "RTSTRUCT"
    assert cases.loc["C3L-00766", "roi"] == '"GTV-1"'
    clinical = pd.read_csv(done.tables["clinical"])
    assert set(clinical["endpoint_source"]) == {"GDC"}
    assert clinical["os_days"].notna().all()
    series = pd.read_csv(done.tables["series"])
    assert not series.loc[series["decision"].eq("fetch"), "description"].str.contains("SEED POINT").any()


def test_lung_collection_with_its_own_clinical_sheet(rig):
    done = rig.fetch("nsclc-radiomics")
    cases = pd.read_csv(done.tables["cases"])
    assert cases["roi"].tolist() == ["Neoplasm"]
    clinical = pd.read_csv(done.tables["clinical"])
    assert clinical[["os_days", "os_event", "age_years"]].iloc[0].tolist() == [2165.0, 1.0, 78.7]
    licences = pd.read_csv(done.tables["licences"])
    assert "non-commercial use only" in set(licences["note"])


def test_phase_is_never_mixed(rig):
    plan = rig.plan(phase="venous", only=["images", "segmentations"], patients=12)
    done = data_connectors.execute(plan, rig.folder, client=rig.client)
    scans = pd.read_csv(done.tables["cases_all"])
    assert set(scans["phase"]) == {"venous"}
    losses = pd.read_csv(done.tables["losses"])
    without = losses.query("step == 'a usable CT scan'")["patient"].nunique()
    assert scans["chosen"].sum() + without == 12
    assert set(pd.read_csv(done.tables["cases"])["patient"]) <= set(scans["patient"])


def test_aliquots_are_chosen_by_rule_and_every_other_is_told(make_rig, twelve):
    rig = make_rig(twelve[:8])
    done = rig.fetch(only="expression,mutations")
    told = pd.read_csv(done.tables["aliquots"])
    used = told[told["decision"].eq("use") & told["kind"].eq("expression")]
    assert used["barcode"].str[13:16].eq("01A").all()
    reasons = " | ".join(told["reason"])
    assert "formalin-fixed" in reasons
    assert "sample type 11 is not a primary tumour" in reasons
    assert "Do_not_use" in reasons
    assert "the service has no open file" in reasons
    sheet = pd.read_csv(done.maf / "gdc_sample_sheet.tsv", sep="\t")
    assert len(sheet) == 7
    empty = gzip.decompress(next(done.maf.glob(f"{twelve[6]}/*")).read_bytes())
    assert empty.count(b"\n") == 8


def test_one_kind_only(rig, twelve):
    done = rig.fetch(only="clinical", patients=twelve[:2])
    assert set(done.tables) >= {"clinical", "disagreements", "losses", "attrition", "licences"}
    assert "cases" not in done.tables
    assert not rig.server.asked("/s3/")


def test_offline_works_from_the_folder_and_says_what_is_missing(rig):
    rig.fetch(patients=2)
    asked = len(rig.server.log)
    rig.fetch(patients=2, offline=True)
    assert len(rig.server.log) == asked
    next(rig.folder.glob("images/*/*/*.dcm")).unlink()
    with pytest.raises(data_connectors.ConnectorError, match="--offline was asked for"):
        rig.fetch(patients=2, offline=True)
    assert len(rig.server.log) == asked


def test_another_cohort_into_the_same_folder_is_refused(rig):
    rig.fetch(only="clinical", patients=1)
    with pytest.raises(SelectionError, match="holds tcga-kirc"):
        rig.fetch("nsclc-radiomics")


def test_manifest_repeats_byte_for_byte(rig, tmp_path):
    done = rig.fetch(patients=2)
    alone = tmp_path / "alone" / "manifest.jsonl"
    alone.parent.mkdir()
    alone.write_bytes(done.manifest.read_bytes())
    for number, manifest in enumerate((done.manifest, alone)):
        again = data_connectors.repeat(manifest, tmp_path / f"again{number}", client=rig.client)
        assert digests(again.folder) == digests(rig.folder)


def test_repeat_says_what_changed_upstream(make_rig, twelve, tmp_path):
    rig = make_rig(twelve[:2])
    done = rig.fetch()
    file_id, (name, data) = next(iter(rig.world.gdc_data.items()))
    rig.world.gdc_data[file_id] = (name, data.replace(b"CD99", b"CD9X"))
    with pytest.raises(UpstreamChangedError, match="1 of") as caught:
        data_connectors.repeat(done.manifest, tmp_path / "again", client=rig.client)
    (path,) = caught.value.changes
    assert path.startswith("expression/")
    assert path.endswith(name)
    rig.world.gdc_data[file_id] = (name, data)

    alone = tmp_path / "manifest.jsonl"
    alone.write_bytes(done.manifest.read_bytes())
    rig.world.gdc_cases[0]["demographic"]["race"] = "asian"
    with pytest.raises(UpstreamChangedError) as caught:
        data_connectors.repeat(alone, tmp_path / "third", client=rig.client)
    assert f"altered 1 ({rig.world.gdc_cases[0]['submitter_id']})" in caught.value.changes["raw/gdc_cases.json"]
    assert "clinical.csv" in caught.value.changes


def test_damaged_file_is_fetched_again_and_only_that(rig):
    rig.fetch(patients=1)
    before = digests(rig.folder)
    asked = len(rig.server.log)
    victim = sorted(rig.folder.glob("images/*/*/*.dcm"))[5]
    victim.write_bytes(victim.read_bytes()[:-10] + b"0123456789")
    rig.fetch(patients=1)
    assert digests(rig.folder) == before
    assert [entry[1].rsplit("/", 1)[1] for entry in rig.server.log[asked:]] == [victim.name]
