"""The contract with the real services: run ``pytest -m live tests/live`` first on a machine with a network.

In the order in which to look when something fails. Expected values are of the service releases that the
connectors were written against (IDC v25, GDC 45.0); a number that has grown is news, not necessarily a fault.
About 20 MB are transferred. Not known when this was written, and shown here: whether GDC data carries
Content-MD5, the MD5 of mutation-load_updated.txt, and the segment labels inside BAMF-AIMI kidney files.
"""

from __future__ import annotations

import pandas as pd
import pytest

import data_connectors
import data_connectors.clinical
from data_connectors import Client, cbioportal, gdc, idc, panimmune, tcia
from data_connectors._transfer import Transfer
from data_connectors.dicom import read_segmentation
from data_connectors.manifest import opened

pytestmark = pytest.mark.live

SMALLEST = "TCGA-CW-5585"


@pytest.fixture
def client():
    with_patience = data_connectors.Limits(tries=3)
    one = Client(data_connectors.Endpoints(), with_patience)
    yield one
    one.close()


@pytest.fixture
def transfer(client, tmp_path):
    with opened(tmp_path) as ledger:
        yield Transfer(client, ledger)


def test_1_bucket_lists_anonymously(client):
    """31 images of the CT, 1 object of its RCC-AID segmentation, every one with an MD5, in both clouds."""
    for listing in (idc._list_s3, idc._list_gcs):
        scan = listing(client, "idc-open-data", "3abfd594-f69a-4265-b56f-ef7dfcbc5792")
        assert len(scan) == 31
        assert all(one.md5 for one in scan)
        assert len(listing(client, "idc-open-data", "0f2abae8-df1e-4048-8e28-2c6b3fb4a800")) == 1


def test_2_smallest_patient_end_to_end(tmp_path):
    """16 MB: a scan of 31 images, its segmentation with a segment that is a mass, and a case."""
    plan = data_connectors.plan("tcga-kirc", patients=[SMALLEST], only="images,segmentations")
    done = data_connectors.execute(plan, tmp_path)
    case = pd.read_csv(done.tables["cases"]).iloc[0]
    assert case["slices"] == 31
    header = read_segmentation(tmp_path / case["mask"])
    assert [label for _, label, _ in header.segments]
    assert header.sources == (case["image_series"],)


def test_3_gdc_answers(client, transfer):
    """A release at all; 537 cases in TCGA-KIRC; no warnings about fields."""
    assert gdc.release(transfer).startswith("GDC Data Release")
    body = {
        "filters": gdc._all_of({"cases.project.project_id": ["TCGA-KIRC"]}),
        "fields": "submitter_id",
        "sort": "case_id:asc",
        "format": "JSON",
    }
    assert len(gdc.ask_all(client, "cases", body, "id")) == 537


def test_4_gdc_files_and_records_of_one_patient(transfer):
    """One STAR file of about 4.2 MB whose MD5 fits, and a clinical record with survival."""
    version = gdc.release(transfer)
    hits = gdc.files(transfer, "TCGA-KIRC", [SMALLEST], "expression", version)
    assert hits
    paths = gdc.bring_files(transfer, hits[:1], "expression", {SMALLEST: hits[0]["file_id"]}, version)
    text = transfer.path_of(next(iter(paths.values()))).read_text()
    assert text.startswith("# gene-model: GENCODE v36")
    assert "ENSG00000188389" in text
    record = gdc.cases(transfer, "TCGA-KIRC", [SMALLEST], version)
    assert data_connectors.clinical.gdc_rows(record)[SMALLEST]["os_days"] is not None


def test_5_published_tables_have_their_pinned_digests(transfer):
    """CIBERSORT 2484144d..., leukocytes 499fc7f0..., ABSOLUTE 8ea2ca92...; the mutation load has no pin."""
    items = panimmune.items_for(data_connectors.find_cohort("tcga-kirc"), {})
    small = [items[name] for name in ("cibersort", "leukocyte", "absolute", "mutation_load", "cdr")]
    transfer.bring(small, "immune")
    assert len(panimmune.cibersort(transfer.path_of(items["cibersort"].path))) > 9000
    assert len(panimmune.mutation_load(transfer.path_of(items["mutation_load"].path))) > 9000
    assert len(panimmune.absolute(transfer.path_of(items["absolute"].path))) > 8000


def test_6_msi_scores(transfer):
    """MANTIS scores of more than 300 KIRC patients between 0 and 2."""
    scores = cbioportal.msi_scores(transfer, "kirc_tcga_pan_can_atlas_2018")
    mantis = [one["msi_mantis"] for one in scores.values() if "msi_mantis" in one]
    assert len(mantis) > 300
    assert all(0 <= value < 2 for value in mantis)


def test_7_nbia_still_answers(client):
    """NBIA is being replaced; where it answers, it agrees with the index."""
    table = tcia.cross_check(data_connectors.plan("tcga-kirc", patients=[SMALLEST]), client=client)
    assert "differs" not in set(table["verdict"])


def test_8_sheets_of_the_lung_collections(transfer):
    """The clinical sheets of both NSCLC collections are where they were."""
    for name in ("nsclc-radiomics", "nsclc-radiogenomics"):
        cohort = data_connectors.find_cohort(name)
        data = transfer.client.text(cohort.clinical)
        table = data_connectors.clinical.read_nsclc(data, ["LUNG1-001", "R01-001"])
        assert table["os_days"].notna().any()
