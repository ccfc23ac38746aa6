"""The failure modes of the services, numbered as in the connectors' reference: recovery, or one clear sentence."""

from __future__ import annotations

import errno
import gzip
import hashlib
import logging
import re
import shutil
import ssl
import sys
from pathlib import Path

import pandas as pd
import pydicom
import pytest

import data_connectors
import data_connectors.manifest
from data_connectors import _transfer, gdc, tcia
from data_connectors.errors import (
    ArchiveError,
    ChangedServiceError,
    ChecksumError,
    ConnectorError,
    DiskSpaceError,
    IncompleteError,
    IntegrityError,
    LimitError,
    NotFoundError,
    RedirectError,
    RefusedError,
    SelectionError,
    ServiceError,
    TransferError,
)

IMAGE = r"GET /s3/[^?]+\.dcm"
PATIENT = "TCGA-B8-4619"
IMAGES = "images,segmentations"


def broken(error: ConnectorError) -> str:
    """Return the sentence, after looking that it is one."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 700
    assert "Traceback" not in text
    return text


def images_of(folder: Path) -> int:
    return len(list(folder.glob("images/*/*/*.dcm")))


@pytest.fixture
def small(make_rig):
    """One patient, one scan."""
    return make_rig([PATIENT])


# 1, 2: NBIA's empty success, and its refusals


def test_01_empty_success_means_no_rows(small):
    assert tcia.series_metadata(small.client, collection="TCGA-KIRC", patient="TCGA-XX-0000").empty
    assert len(tcia.series_metadata(small.client, collection="TCGA-KIRC", patient=PATIENT)) == 5


def test_02_refusal_is_shown_and_not_retried(small):
    url = f"{tcia.BASE}/getSeries"
    with pytest.raises(RefusedError, match="Invalid query parameter: 'Patient'"):
        small.client.json(url, params={"Patient": "x"})
    assert len(small.server.asked("getSeries")) == 1
    with pytest.raises(RefusedError, match="is not public"):
        small.client.text(f"{tcia.BASE}/getImageWithMD5Hash", params={"SeriesInstanceUID": "1.2.3"})


# 3, 4, 5: NBIA's archives, where neither cloud has the series


@pytest.fixture
def from_tcia(small):
    """The clouds list the segmentation, and no CT."""
    row = small.world.rows
    ct = row.loc[row["Modality"].eq("CT"), "crdc_series_uuid"]
    pattern = "|".join(ct)
    empty = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'
    small.fault(rf"/s3/.*list-type=2.*({pattern})", change=small.loopback.body(empty), times=-1)
    small.fault(rf"/gcs/storage.*({pattern})", change=small.loopback.body(b"{}"), times=-1)
    return small


def test_05_licence_and_digests_in_the_archive(from_tcia, tmp_path):
    done = from_tcia.fetch(only=IMAGES)
    assert images_of(from_tcia.folder) == 22
    licence = next(from_tcia.folder.glob("raw/nbia/*.LICENSE.txt")).read_text()
    assert licence.startswith("CC BY")
    assert not list(from_tcia.folder.rglob("*.zip*"))
    case = pd.read_csv(done.tables["cases"]).iloc[0]
    assert case["slices"] == 22
    asked = len(from_tcia.server.asked("getImageWithMD5Hash"))
    from_tcia.fetch(only=IMAGES)
    assert len(from_tcia.server.asked("getImageWithMD5Hash")) == asked
    again = data_connectors.repeat(done.manifest, tmp_path / "again", client=from_tcia.client)
    assert images_of(again.folder) == 22


def test_03_archive_with_missing_slices(from_tcia):
    series = from_tcia.plan().series.query("modality == 'CT' and decision == 'fetch'")["series"].item()
    short = from_tcia.world.archive(series, hashed=True, leave_out=2)
    unhashed = from_tcia.world.archive(series, hashed=False, leave_out=2)
    for data in (short, unhashed):
        from_tcia.fault("getImageWithMD5Hash", change=from_tcia.loopback.body(data))
    from_tcia.fetch(only=IMAGES)
    assert images_of(from_tcia.folder) == 22
    shutil.rmtree(from_tcia.folder)
    from_tcia.fault("getImageWithMD5Hash", change=from_tcia.loopback.body(short), times=-1)
    with pytest.raises(IncompleteError, match="20 images where 22 were announced"):
        from_tcia.fetch(only=IMAGES)
    assert images_of(from_tcia.folder) == 0
    assert not (from_tcia.folder / "cases.csv").exists()


def test_04_truncated_archive_and_page_instead_of_one(from_tcia):
    page = b"<!DOCTYPE html><html><body>Scheduled maintenance</body></html>"
    from_tcia.fault("getImageWithMD5Hash", change=from_tcia.loopback.body(page))
    from_tcia.fault("getImageWithMD5Hash", change=from_tcia.loopback.body(lambda data: data[: len(data) // 2]))
    from_tcia.fetch(only=IMAGES)
    assert images_of(from_tcia.folder) == 22


def test_04_page_instead_of_a_file_and_of_json(small):
    page = b"<html><head><title>Company proxy</title></head></html>"
    small.fault(IMAGE, change=small.loopback.body(page), times=3)
    small.fault("POST /gdc/cases", change=small.loopback.body(page), times=2)
    small.fetch()
    assert images_of(small.folder) == 22
    shutil.rmtree(small.folder)
    small.fault(r"(/s3/|/gcs/idc)[^?]+\.dcm", change=small.loopback.body(page), times=-1)
    with pytest.raises(ConnectorError) as caught:
        small.fetch(only=IMAGES)
    assert "web page" in broken(caught.value)
    assert not list(small.folder.rglob("*.dcm"))


def test_archive_paths_and_bombs_are_refused(from_tcia):
    import io
    import zipfile

    def packed(name: str, data: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
        return out.getvalue()

    for name, data, said in (
        ("../../../evil.dcm", b"x", "leads out of its folder"),
        ("/etc/evil.dcm", b"x", "leads out of its folder"),
        ("00000001.dcm", b"\0" * 50_000_000, "inflates to 50,000,000 bytes"),
    ):
        from_tcia.server.faults[2:] = []
        from_tcia.fault("getImageWithMD5Hash", change=from_tcia.loopback.body(packed(name, data)), times=-1)
        with pytest.raises(ArchiveError, match=said):
            from_tcia.fetch(only=IMAGES)
        assert len(from_tcia.server.asked("getImageWithMD5Hash")) >= 1
        assert not list(from_tcia.folder.parent.rglob("evil*"))


# 6, 7: listings


def test_06_prefix_without_keys_names_the_series_and_the_index(small):
    empty = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'
    small.fault("list-type=2", change=small.loopback.body(empty), times=-1)
    small.fault("/gcs/storage", change=small.loopback.body(b"{}"), times=-1)
    with pytest.raises(IncompleteError, match=r"lists 0 images where the index announces 1 \(idc-index-data 25"):
        small.fetch(only=IMAGES)


def test_06_mirror_lists_and_serves_when_the_first_cloud_does_not(small):
    small.fault("GET /s3/", change=small.loopback.status(503, b"<Error><Code>SlowDown</Code></Error>"), times=-1)
    small.fetch(only=IMAGES)
    assert images_of(small.folder) == 22
    assert len(small.server.asked(r"GET /gcs/idc-open-data/.*\.dcm")) == 23


def test_07_multipart_etag_pages_and_zero_byte_key(small):
    small.server.page = 5
    multipart = small.loopback.body(lambda data: re.sub(rb"&quot;([0-9a-f]{32})&quot;", rb"&quot;\1-2&quot;", data))
    small.fault("list-type=2", change=multipart, times=-1)
    done = small.fetch(only=IMAGES)
    assert images_of(small.folder) == 22
    assert len(small.server.asked("continuation-token")) >= 4
    _, records = data_connectors.manifest.read_manifest(done.manifest)
    assert {one.checked for one in records.values() if one.kind == "images"} == {"size"}


# 8: busy services, broken connections


@pytest.mark.parametrize(("code", "headers"), [(503, {}), (429, {"Retry_After": "7"}), (500, {}), (502, {}), (408, {})])
def test_08_busy_service_is_asked_again_later(small, code, headers):
    small.fault(IMAGE, change=small.loopback.status(code, b"<Error><Code>SlowDown</Code></Error>", **headers), times=2)
    small.fetch(only=IMAGES)
    assert images_of(small.folder) == 22
    assert len(small.clock.slept) == 2
    assert max(small.clock.slept) == (7.0 if headers else 1.0 if len(set(small.clock.slept)) == 1 else 2.0)


def test_08_waiting_grows_and_ends(small):
    small.fault("POST /gdc/cases", change=small.loopback.status(503, b'{"message": "try later"}'), times=-1)
    with pytest.raises(ServiceError, match=r"keeps answering with status 503 \(try later\)"):
        small.fetch(only="clinical")
    assert small.clock.slept[:5] == [1.0, 2.0, 4.0, 8.0, 16.0]
    small.server.faults[-1].change = small.loopback.status(429, b"", Retry_After="7200")
    with pytest.raises(ServiceError, match="asks to wait 7200 s"):
        small.fetch(only="clinical")


def test_08_body_cut_or_reset_is_resumed_where_it_broke(small):
    small.fault(IMAGE, cut=700, skip=3)
    small.fault(IMAGE, cut=900, reset=True, skip=9)
    small.fetch(only=IMAGES)
    assert images_of(small.folder) == 22
    ranges = [entry[2] for entry in small.server.asked(IMAGE) if entry[2]]
    assert 1 <= len(ranges) <= 2
    assert "bytes=700-" in ranges
    sent = sum(entry[4] for entry in small.server.asked(IMAGE))
    whole = sum(path.stat().st_size for path in small.folder.rglob("*.dcm"))
    assert sent <= whole + 900


def test_08_server_without_ranges_sends_it_again(small):
    small.fetch(only=IMAGES)
    victim = sorted(small.folder.glob("images/*/*/*.dcm"))[0]
    data = victim.read_bytes()
    victim.rename(victim.with_name(victim.name + ".part"))
    victim.with_name(victim.name + ".part").write_bytes(data[:1000])

    def whole(answer):
        answer.status, answer.body = 200, data
        answer.headers.pop("Content-Range", None)

    small.fault(IMAGE, change=whole)
    small.fetch(only=IMAGES)
    assert victim.read_bytes() == data


def test_08_slow_drip_is_given_up_and_resumed(small):
    small.clock.step = 25.0
    small.limits = data_connectors.Limits(window_s=60.0, window_bytes=60_000)
    small.fault(IMAGE, drip=0.001)
    client = small.client
    small.fetch(only=IMAGES, client=client)
    assert images_of(small.folder) == 22
    assert len(small.server.asked(IMAGE)) > 23


def test_08_one_file_may_not_take_for_ever(small):
    small.clock.step = 40.0
    small.limits = data_connectors.Limits(file_s=60.0, window_bytes=0)
    small.fault(r"\.dcm", drip=0.001, times=-1)
    with pytest.raises(ConnectorError, match="needed more than 60 s for one file"):
        small.fetch(only=IMAGES)


# 9, 16 and lengths: bytes that are not what was announced


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_09_wrong_digest_once_is_fetched_again(small):
    small.fault(IMAGE, change=small.loopback.body(flip), times=2)
    small.fetch(only=IMAGES)
    assert images_of(small.folder) == 22


@pytest.mark.parametrize("damage", [flip, lambda data: data + b"tail", lambda data: data[:-200], lambda data: b""])
def test_09_wrong_bytes_for_ever_fail_by_name(small, damage):
    name = sorted(key for key, _ in small.world.objects(first_scan(small)["uuid"]))[4].split("/")[1]
    small.fault(re.escape(name), change=small.loopback.body(damage), times=-1)
    with pytest.raises(ConnectorError) as caught:
        small.fetch(only=IMAGES)
    assert name in broken(caught.value)
    assert not list(small.folder.rglob(name))
    assert not (small.folder / "cases.csv").exists()
    small.server.faults.clear()
    small.fetch(only=IMAGES)
    assert images_of(small.folder) == 22


def first_scan(rig):
    return rig.plan().series.query("modality == 'CT' and decision == 'fetch'").iloc[0]


def test_16_transport_encoding_is_undone(small):
    def packed(answer):
        answer.body = gzip.compress(answer.body)
        answer.headers["Content-Encoding"] = "gzip"

    small.fault("GET /gdc/data", change=packed, times=-1)
    done = small.fetch(only="expression,clinical")
    sheet = pd.read_csv(done.expression / "gdc_sample_sheet.tsv", sep="\t")
    assert (done.expression / PATIENT / sheet["File Name"].item()).read_text().startswith("# gene-model")


# 10, 11, 12, 13, 14, 15: the GDC's ways


def test_10_unknown_field_is_done_without_where_it_can_be(make_rig, twelve):
    rig = make_rig(twelve[:4])
    rig.server.known_fields["files"] -= {"cases.samples.portions.is_ffpe", "data_release"}
    done = rig.fetch(only="expression")
    assert pd.read_csv(done.tables["aliquots"])["decision"].eq("use").sum() == 4


def test_10_unknown_field_that_is_needed_stops(small):
    small.server.known_fields["files"] -= {"md5sum"}
    with pytest.raises(ChangedServiceError, match=r"unrecognized values: \[md5sum\]"):
        small.fetch(only="expression")


def test_10_answer_in_another_form_stops(small):
    small.fault("POST /gdc/files", change=small.loopback.body(b'{"results": []}'), times=-1)
    with pytest.raises(ChangedServiceError, match="another form"):
        small.fetch(only="expression")


def test_11_every_page_is_read_and_a_moving_total_starts_again(make_rig, twelve, monkeypatch):
    rig = make_rig(twelve)
    monkeypatch.setattr(gdc, "PAGE", 5)
    moved = rig.loopback.body(lambda data: data.replace(b'"total": 12', b'"total": 11'))
    rig.fault("POST /gdc/cases", change=moved, skip=1)
    done = rig.fetch(only="clinical")
    assert pd.read_csv(done.tables["clinical"])["sex"].notna().sum() == 12
    assert len(rig.server.asked("POST /gdc/cases")) == 5


def test_11_total_that_never_settles_stops(make_rig, twelve, monkeypatch):
    rig = make_rig(twelve)
    monkeypatch.setattr(gdc, "PAGE", 11)
    duplicate = rig.loopback.body(lambda data: data.replace(b'"total": 12', b'"total": 13'))
    rig.fault("POST /gdc/cases", change=duplicate, times=-1)
    with pytest.raises(IncompleteError, match="changed its answer between pages"):
        rig.fetch(only="clinical")


def test_12_status_203_is_an_answer_and_a_tar_is_not_a_file(small):
    def partial(answer):
        answer.status = 203

    small.fault("GET /gdc/data", change=partial, times=-1)
    small.fetch(only="expression")
    shutil.rmtree(small.folder)
    small.server.faults.clear()
    small.fault("GET /gdc/data", change=small.loopback.body(b"MANIFEST.txt\0" * 800), times=-1)
    with pytest.raises(ChecksumError):
        small.fetch(only="mutations")


def test_13_controlled_file_is_explained_and_not_retried(small):
    small.fault("GET /gdc/data", change=small.loopback.status(403, b'{"message": "not authorized"}'), times=-1)
    with pytest.raises(RefusedError, match=r"status 403 \(not authorized\).*controlled access"):
        small.fetch(only="mutations")
    assert not small.clock.slept


def test_14_superseded_file_is_followed(make_rig, twelve, tmp_path):
    rig = make_rig(twelve[:3])
    hits = [hit for hit, _ in rig.world.gdc_files if hit["data_type"] == "Gene Expression Quantification"]
    new = "11111111-2222-3333-4444-555555555555"
    name = f"{new}.rna_seq.augmented_star_gene_counts.tsv"
    rig.world.gdc_data[new] = (name, rig.world.gdc_data[hits[0]["file_id"]][1])
    rig.server.superseded[hits[0]["file_id"]] = new
    done = rig.fetch(only="expression")
    sheet = pd.read_csv(done.expression / "gdc_sample_sheet.tsv", sep="\t")
    assert name in set(sheet["File Name"])
    asked = len(rig.server.log)
    rig.fetch(only="expression")
    assert len(rig.server.log) == asked
    again = data_connectors.repeat(done.manifest, tmp_path / "again", client=rig.client)
    assert list(again.expression.rglob(name))
    rig.server.superseded[hits[1]["file_id"]] = hits[1]["file_id"]
    shutil.rmtree(rig.folder)
    with pytest.raises(NotFoundError, match="names no newer version"):
        rig.fetch(only="expression")


def test_15_table_without_published_digest_is_watched(make_rig, twelve):
    rig = make_rig(twelve[:2])
    rig.fetch(only="immune")
    load = rig.folder / "immune" / "published" / "mutation-load_updated.txt"
    load.unlink()
    key = "ff3f962c-3573-44ae-a8f4-e5ac0aea64b6"
    rig.world.published[key] = rig.world.published[key].replace(b"\t0.3\t", b"\t0.4\t")
    done = rig.fetch(only="immune")
    assert any("mutation-load_updated.txt changed upstream" in note for note in done.notes)


def test_15_pinned_table_that_changed_is_refused(small):
    key = "b3df502e-3594-46ef-9f94-d041a20a0b9a"
    plan = small.plan(only="immune")
    small.world.published[key] = small.world.published[key].replace(b"KIRC", b"KIRP")
    with pytest.raises(ChecksumError, match="the MD5 is"):
        data_connectors.execute(plan, small.folder, client=small.client)


# 17: tcia-utils


def test_17_tcia_utils_is_used_and_contained(small):
    pytest.importorskip("tcia_utils")
    root = logging.getLogger()
    before = list(root.handlers), root.level
    plan = small.plan()
    table = tcia.cross_check(plan, client=small.client)
    assert "tcia_utils.nbia" in sys.modules
    assert set(table["verdict"]) == {"agrees", "unknown to NBIA"}
    assert (list(root.handlers), root.level) == before
    small.fault(
        "getSeries", change=small.loopback.status(500, b"Server was not able to process your request"), times=-1
    )
    with pytest.raises(ServiceError, match="status 500"):
        tcia.cross_check(plan, client=small.client)
    assert sys.modules["tcia_utils.nbia"].requests.__name__ == "requests"


def test_17_without_tcia_utils_nbia_is_asked_directly(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "tcia_utils", None)
    assert set(tcia.cross_check(small.plan(), client=small.client)["verdict"]) == {"agrees", "unknown to NBIA"}


# 18: the disk


def test_18_too_little_room_is_said_before_the_first_byte(small, monkeypatch):
    usage = shutil.disk_usage(small.folder.parent)
    monkeypatch.setattr(_transfer.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(DiskSpaceError, match=r"0\.00 GB free"):
        small.fetch()
    assert not small.server.log


def test_18_disk_that_fills_up(small, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("data_connectors._transfer.download", full)
    with pytest.raises(ConnectorError, match="is full at"):
        small.fetch(only="clinical")
    monkeypatch.undo()
    small.fetch(only="clinical")


def test_18_second_process_is_kept_out(small):
    with data_connectors.manifest.opened(small.folder), pytest.raises(ConnectorError, match="another fetch works in"):
        small.fetch(only="clinical")


# 19, 20: what is inside the images


def alter(rig, uuid: str, edit) -> None:
    """Alter the objects of a series in the world; edit takes and returns a list of datasets."""
    import io

    datasets = [pydicom.dcmread(io.BytesIO(data)) for _, data in rig.world.objects(uuid)]
    made = []
    for number, dataset in enumerate(edit(datasets)):
        out = io.BytesIO()
        dataset.save_as(out)
        made.append((f"{uuid}/{hashlib.md5(f'{uuid}{number}'.encode()).hexdigest()}.dcm", out.getvalue()))
    rig.world._cache[uuid] = made


def test_19_repeated_and_imageless_objects_are_reported(small):
    def edit(datasets):
        import copy

        datasets[3] = copy.deepcopy(datasets[4])
        del datasets[-1].PixelData
        return datasets

    alter(small, first_scan(small)["uuid"], edit)
    with pytest.raises(SelectionError, match="none of the 1 patients has a usable scan"):
        small.fetch(only=IMAGES)
    told = pd.read_csv(small.folder / "cases_all.csv")["problem"].item()
    assert "slices missing" in told
    assert "1 files repeat an image" in told
    assert "1 objects are not images" in told


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda z, head: setattr(head, "ImagePositionPatient", [0, 0.3 * z, z]), "tilted by"),
        (lambda z, head: setattr(head, "ImagePositionPatient", [0, 0, z if z < 50 else z + 10]), "2 slices missing"),
        (lambda z, head: setattr(head, "ImagePositionPatient", [0, 0, z // 10 * 10]), "positions occur twice"),
        (lambda z, head: setattr(head, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1]), "not axial"),
        (lambda z, head: setattr(head, "PixelSpacing", [1 + (z > 50), 1]), "several sizes"),
    ],
)
def test_geometry_problems_lose_the_scan_with_a_reason(small, edit, said):
    def each(datasets):
        for head in datasets:
            edit(float(head.ImagePositionPatient[2]), head)
        return datasets

    alter(small, first_scan(small)["uuid"], each)
    with pytest.raises(SelectionError):
        small.fetch(only=IMAGES)
    assert said in pd.read_csv(small.folder / "losses.csv")["reason"].iloc[0]


def test_next_scan_takes_the_place_of_a_bad_one(make_rig):
    rig = make_rig(["TCGA-B0-4845"])
    best = rig.plan(only="images").series.query("decision == 'candidate'").sort_values("rank").iloc[0]

    def tilt(datasets):
        for head in datasets:
            z = float(head.ImagePositionPatient[2])
            head.ImagePositionPatient = [0, 0.3 * z, z]
        return datasets

    alter(rig, best["uuid"], tilt)
    done = rig.fetch(only="images")
    scans = pd.read_csv(done.tables["cases_all"])
    assert scans["chosen"].tolist() == [0, 1]
    assert scans["image_series"].tolist()[0] == best["series"]
    assert "tilted" in scans["problem"].iloc[0]


def masks(rig):
    return rig.plan().series.query("modality == 'SEG' and decision == 'fetch'")


def test_20_segmentation_of_an_absent_scan_is_reported(make_rig, twelve):
    rig = make_rig(twelve[:2])

    def elsewhere(datasets):
        datasets[0].ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3.4"
        return datasets

    alter(rig, masks(rig).iloc[0]["uuid"], elsewhere)
    done = rig.fetch(only=IMAGES)
    pair = pd.read_csv(done.tables["pairs"]).iloc[0]
    assert pair["decision"] == "drop"
    assert "refers to 1.2.3.4, which is not a CT of this patient" in pair["reason"]
    assert len(pd.read_csv(done.tables["cases"])) == 1


def test_20_another_frame_of_reference_is_reported(make_rig, twelve):
    rig = make_rig(twelve[:2])

    def moved(datasets):
        datasets[0].FrameOfReferenceUID = "1.2.3.4"
        return datasets

    alter(rig, masks(rig).iloc[0]["uuid"], moved)
    done = rig.fetch(only=IMAGES)
    assert "different frames of reference" in pd.read_csv(done.tables["losses"])["reason"].iloc[0]


def test_20_header_counts_over_description_and_frame_where_it_names_none(make_rig, twelve):
    rig = make_rig(twelve[:3])
    rows = masks(rig)
    scans = rig.plan().series.query("modality == 'CT'")
    other = scans[scans["patient"].eq(rows.iloc[0]["patient"]) & scans["decision"].ne("fetch") & scans["images"].gt(20)]

    def rename(datasets):
        datasets[0].ReferencedSeriesSequence[0].SeriesInstanceUID = other.iloc[0]["series"]
        return datasets

    def forget(datasets):
        del datasets[0].ReferencedSeriesSequence
        return datasets

    alter(rig, rows.iloc[0]["uuid"], rename)
    alter(rig, rows.iloc[1]["uuid"], forget)
    done = rig.fetch(only=IMAGES)
    pairs = pd.read_csv(done.tables["pairs"])
    assert "the header counts" in pairs.iloc[0]["reason"]
    assert "names no scan" in pairs.iloc[1]["reason"]
    assert pd.read_csv(done.tables["cases"])["image_series"].iloc[0] == other.iloc[0]["series"]


def test_20_frame_of_reference_finds_the_scan_of_a_silent_header(make_rig):
    rig = make_rig(["TCGA-B0-4713"])
    plan = rig.plan(only=IMAGES)

    def forget(datasets):
        del datasets[0].ReferencedSeriesSequence
        return datasets

    for uuid in plan.series.query("modality == 'SEG' and decision == 'fetch'")["uuid"]:
        alter(rig, uuid, forget)
    scans = plan.series.query("decision == 'candidate'")
    for number, uuid in enumerate(scans["uuid"]):
        if number:
            alter(rig, uuid, lambda datasets: [setattr(one, "FrameOfReferenceUID", "1.9.9") or one for one in datasets])
    done = data_connectors.execute(plan, rig.folder, client=rig.client)
    assert pd.read_csv(done.tables["cases"])["image_series"].item() == scans.iloc[0]["series"]


def test_segmentation_without_tumour_is_no_case(make_rig, twelve):
    rig = make_rig(twelve[:2])

    def kidney_only(datasets):
        datasets[0].SegmentSequence = datasets[0].SegmentSequence[:1]
        return datasets

    alter(rig, masks(rig).iloc[0]["uuid"], kidney_only)
    done = rig.fetch(only=IMAGES)
    assert "no tumour among its segments (Kidney)" in pd.read_csv(done.tables["losses"])["reason"].iloc[0]


def test_images_of_another_series_are_refused(small):
    def other(datasets):
        datasets[2].SeriesInstanceUID = "1.2.3"
        return datasets

    alter(small, first_scan(small)["uuid"], other)
    with pytest.raises(IntegrityError, match=r"holds images of series 1\.2\.3"):
        small.fetch(only=IMAGES)


# 21 is a property of the layout (test_connectors_fetch); 22, 23, 24: nobody left, no network, proxies and TLS


def test_22_nobody_left_ends_with_tables_that_say_why(make_rig):
    rig = make_rig(["TCGA-B0-4698"])
    with pytest.raises(SelectionError, match=r"losses\.csv says why"):
        rig.fetch(patients=["TCGA-XX-0000"], only=IMAGES)
    assert pd.read_csv(rig.folder / "losses.csv")["reason"].iloc[0] == "no CT in the image index"
    assert pd.read_csv(rig.folder / "attrition.csv")["n_out"].iloc[0] == 0


def test_23_no_network(small, tmp_path):
    nowhere = data_connectors.Endpoints.at("http://127.0.0.1:9", index=str(small.world.index))
    client = data_connectors.Client(nowhere, sleep=small.clock.sleep)
    plan = data_connectors.plan("tcga-kirc", endpoints=nowhere)
    with pytest.raises(ServiceError) as caught:
        data_connectors.execute(plan, tmp_path / "none", client=client)
    assert "the connection to api.gdc.cancer.gov failed again and again" in broken(caught.value)


def test_23_outage_stops_early_and_keeps_what_is_there(make_rig, twelve):
    rig = make_rig(twelve[:2])
    rig.fault(r"\.dcm", change=rig.loopback.status(503), times=-1, skip=12)
    with pytest.raises(TransferError) as caught:
        rig.fetch(only=IMAGES)
    assert "what was verified is kept" in broken(caught.value)
    assert images_of(rig.folder) >= 5
    assert len(rig.clock.slept) < 150
    rig.server.faults.clear()
    rig.fetch(only=IMAGES)


def test_24_tls_is_verified_and_a_company_certificate_accepted(small, monkeypatch):
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    pem = Path(__file__).parents[2] / "services" / "localhost.pem"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"tag": "8.5.0"}')

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        places = data_connectors.Endpoints.at(f"https://127.0.0.1:{server.server_address[1]}")
        client = data_connectors.Client(places, sleep=small.clock.sleep)
        with pytest.raises(ServiceError, match="REQUESTS_CA_BUNDLE"):
            client.json(f"{gdc.BASE}/status")
        assert not small.clock.slept
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        assert client.json(f"{gdc.BASE}/status") == {"tag": "8.5.0"}
    finally:
        server.shutdown()
        server.server_close()


def test_24_proxy_of_the_environment_is_used(small, monkeypatch):
    monkeypatch.setenv("http_proxy", small.server.base)
    monkeypatch.setenv("no_proxy", "")
    client = data_connectors.Client(data_connectors.Endpoints.at("http://127.0.0.1:9"))
    assert client.json(f"{gdc.BASE}/status")["tag"] == "8.5.0"
    assert small.server.log[0][1] == "http://127.0.0.1:9/gdc/status"


def test_redirect_to_another_host_is_not_followed(small):
    redirect = small.loopback.status(302, b"", Location="http://169.254.169.254/latest/meta-data")
    small.fault("GET /gdc/data", change=redirect, times=-1)
    with pytest.raises(RedirectError, match=r"points to 169\.254\.169\.254, which is not a host"):
        small.fetch(only="mutations")


def test_redirect_within_the_services_is_followed(small):
    hit = next(hit for hit, _ in small.world.gdc_files if hit["data_type"].startswith("Masked"))
    target = f"{small.server.base}/gdc/data/{hit['file_id']}?moved=1"
    small.fault("GET /gdc/data", change=small.loopback.status(307, b"", Location=target))
    small.fetch(only="mutations")
    small.fault(
        "GET /gdc/status", change=small.loopback.status(302, b"", Location=f"{small.server.base}/gdc/status"), times=-1
    )
    shutil.rmtree(small.folder)
    with pytest.raises(RedirectError, match="more than 5 times"):
        small.fetch(only="mutations")


def test_listing_cannot_lead_out_of_the_folder(small):
    uuid = first_scan(small)["uuid"]
    objects = small.world.objects(uuid)
    small.world._cache[uuid] = [(f"{uuid}/../../../evil.dcm", objects[0][1]), *objects[1:]]
    small.fetch(only=IMAGES)
    assert small.server.asked("getImageWithMD5Hash")
    assert images_of(small.folder) == 22
    assert not list(small.folder.parent.rglob("evil*"))


def test_limits_on_bytes_hold_before_anything_is_fetched(small):
    small.limits = data_connectors.Limits(total_bytes=10_000)
    with pytest.raises(LimitError, match="are allowed"):
        small.fetch(only=IMAGES)
    small.limits = data_connectors.Limits(file_bytes=1_000)
    with pytest.raises(LimitError, match="1,000 are allowed"):
        small.fetch(only=IMAGES)
    assert images_of(small.folder) == 0
