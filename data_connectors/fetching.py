"""From a plan to a folder of verified files and ready tables; and the same folder again from its manifest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_connectors import cbioportal, clinical, gdc, panimmune
from data_connectors._download import Item
from data_connectors._http import Client, Limits
from data_connectors._transfer import Progress, Transfer
from data_connectors.citations import as_csv, bibliography, licence_table
from data_connectors.cohorts import find_cohort
from data_connectors.endpoints import BUCKETS, PUBLIC, Endpoints
from data_connectors.errors import (
    ChecksumError,
    ConnectorError,
    ManifestError,
    RefusedError,
    SelectionError,
    TransferError,
    UpstreamChangedError,
)
from data_connectors.idc import mirror_url, object_url
from data_connectors.imaging import Imaging, bring_images
from data_connectors.manifest import Manifest, Record, opened, read_manifest
from data_connectors.planning import KINDS, Plan
from data_connectors.samples import DECISION_COLUMNS, choose_aliquots
from data_connectors.series import COLUMNS

__all__ = ["Fetched", "execute", "repeat"]

STATUS = "raw/gdc_status.json"


@dataclass(frozen=True)
class Fetched:
    """What a fetch left behind.

    Attributes
    ----------
    folder, manifest : Path
        Where, and the ledger of every file with its digest.
    patients : tuple of str
        Planned patients, in the order of every table.
    tables : dict
        Path of each table by name: ``clinical``, ``immune``, ``cases``, ``cases_all``, ``pairs``,
        ``series``, ``aliquots``, ``disagreements``, ``losses``, ``attrition``, ``licences``.
    expression, maf : Path, optional
        Folder of STAR count files (with a sample sheet) or the published matrix; folder of MAF files.
    citations : Path
        BibTeX of everything fetched.
    attrition : DataFrame
        Columns `step`, `n_in`, `n_out`, `reason`, `unit`.
    notes : tuple of str
        Sentences that the user should read.
    """

    folder: Path
    manifest: Path
    patients: tuple[str, ...]
    tables: Mapping[str, Path]
    expression: Path | None
    maf: Path | None
    citations: Path
    attrition: pd.DataFrame
    notes: tuple[str, ...]


def execute(
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    workers: int = 4,
    progress: Progress | None = None,
    limits: Limits | None = None,
    offline: bool = False,
    client: Client | None = None,
) -> Fetched:
    """Fetch what a plan says, resuming what an earlier call left; tables are written when all is there.

    Parameters
    ----------
    plan : Plan
        What to fetch.
    folder : path-like
        Where to; one cohort per folder.
    workers : int
        Files at a time.
    progress : callable, optional
        Called with a kind, the number of files done and their total.
    limits : Limits, optional
        Patience, bytes, time.
    offline : bool
        Use what the folder holds, ask nobody, and fail where something is missing.
    client : Client, optional
        Replaces the HTTP client that endpoints and limits would make.

    Raises
    ------
    ConnectorError
        In one sentence; what was verified stays, and the same call goes on from there.
    """
    target = _make(folder)
    asking = client or Client(plan.endpoints, limits, workers=workers)
    try:
        with opened(target) as ledger:
            transfer = Transfer(asking, ledger, workers=workers, progress=progress, offline=offline)
            return _Fetch(plan, transfer).run()
    finally:
        if client is None:
            asking.close()


def _make(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {path} cannot be made ({error.strerror}); give another one"
        raise ConnectorError(message) from error
    return path


class _Fetch:
    def __init__(self, plan: Plan, transfer: Transfer) -> None:
        self.plan = plan
        self.transfer = transfer
        self.folder = transfer.folder
        self.notes: list[str] = []
        self.tables: dict[str, Path] = {}
        self.pending: list[tuple[str, str, pd.DataFrame]] = []
        self.have: dict[str, set[str]] = {}
        self.why: dict[str, dict[str, str]] = {}
        self.aliquots: list[dict[str, str]] = []

    def run(self) -> Fetched:
        """Bring everything, then write every table."""
        plan, ledger = self.plan, self.transfer.manifest
        known = ledger.header.get("cohort", plan.cohort.name)
        if known != plan.cohort.name:
            message = f"{self.folder} holds {known}; fetch {plan.cohort.name} into another folder"
            raise SelectionError(message)
        if not plan.patients:
            message = f"no patient of {plan.cohort.name} is left to fetch; name some with --patients"
            raise SelectionError(message)
        if not self.transfer.offline:
            there = sum(record.size for record in ledger.records.values() if record.kind != "table")
            self.transfer.check_room(max(plan.bytes - there, 0))
        ledger.write_header(plan.header())
        version = self._release()
        published = self._published()
        self._clinical(version, published)
        unusable = self._immune(published)
        expression = self._omics("expression", version, unusable)
        maf = self._omics("mutations", version, unusable)
        imaging = self._imaging()
        return self._finish(imaging, expression, maf)

    def _release(self) -> str:
        asked = self.plan.cohort.project and {"expression", "mutations", "clinical"}.intersection(self.plan.only)
        return gdc.release(self.transfer) if asked else ""

    def _published(self) -> dict[str, Item]:
        items = panimmune.items_for(self.plan.cohort, self.plan.endpoints.pins)
        wanted = {name: item for name, item in items.items() if item.kind in self.plan.only}
        # The list of aliquots not to use is needed whenever aliquots are chosen.
        if {"expression", "mutations"} & set(self.plan.only) and "sample_quality" in items:
            wanted["sample_quality"] = items["sample_quality"]
        earlier = dict(self.transfer.manifest.records)
        for kind in ("clinical", "immune"):
            self.transfer.bring([item for item in wanted.values() if item.kind == kind], kind)
        for item in wanted.values():
            before, now = earlier.get(item.path), self.transfer.manifest.records[item.path]
            if item.md5 is None and before is not None and before.sha256 != now.sha256:
                self.notes.append(f"{item.path} changed upstream since {before.time}; no digest of it is published")
        return wanted

    def _clinical(self, version: str, published: Mapping[str, Item]) -> None:
        plan = self.plan
        if "clinical" not in plan.only:
            return
        if plan.cohort.project:
            hits = gdc.cases(self.transfer, plan.cohort.project, plan.patients, version)
            theirs = clinical.gdc_rows(hits)
            ours: dict[str, dict[str, Any]] = {}
            if "cdr" in published and plan.cohort.code:
                ours = clinical.read_cdr(self.folder / published["cdr"].path, plan.cohort.code)
            table = clinical.clinical_table(plan.patients, ours, theirs)
            differing = clinical.disagreements(plan.patients, ours, theirs)
            self.pending.append(("disagreements", "endpoint_disagreements.csv", differing))
            if len(differing):
                self.notes.append(
                    f"{differing['patient'].nunique()} patients have other survival in TCGA-CDR than in the GDC; "
                    "TCGA-CDR is used: see endpoint_disagreements.csv"
                )
        else:
            item = self._sheet(plan.cohort.clinical or "", "clinical", "raw")
            table = clinical.read_nsclc((self.folder / item.path).read_bytes(), plan.patients)
        self.pending.append(("clinical", "clinical.csv", table))
        known = table["patient"][table["os_days"].notna() & table["os_event"].notna()]
        self._count("overall survival", set(known), "no overall survival is known")

    def _sheet(self, url: str, kind: str, folder: str) -> Item:
        item = Item(kind, f"{folder}/{url.rsplit('/', 1)[-1]}", (url,), licence="as its collection", source="TCIA")
        if "geo" in url:
            item = Item(kind, item.path, item.urls, licence="GEO, public", source="GEO GSE103584")
        self.transfer.bring([item], kind)
        return item

    def _immune(self, published: Mapping[str, Item]) -> frozenset[str]:
        unusable: frozenset[str] = frozenset()
        if "sample_quality" in published:
            unusable = panimmune.unusable_aliquots(self.folder / published["sample_quality"].path)
        if "immune" in self.plan.only and self.plan.cohort.study:
            msi = cbioportal.msi_scores(self.transfer, self.plan.cohort.study)
            table = panimmune.immune_table(self.plan.patients, self.folder, msi, published)
            self.pending.append(("immune", "immune.csv", table))
            found = table["patient"][table["cell:T_cells_CD8"].notna()]
            self._count("published immune fractions", set(found), "no primary tumour in the published table")
        return unusable

    def _omics(self, kind: str, version: str, unusable: frozenset[str]) -> Path | None:
        plan = self.plan
        if kind not in plan.only:
            return None
        if not plan.cohort.project:
            item = self._sheet(plan.cohort.expression or "", kind, kind)
            return self.folder / item.path
        hits = gdc.files(self.transfer, plan.cohort.project, plan.patients, kind, version)
        chosen, decisions = choose_aliquots(gdc.aliquots_of(hits), kind, plan.patients, unusable)
        self.aliquots += decisions
        by_id = {str(hit["file_id"]): hit for hit in hits}
        files = {name: one.file_id for name, one in chosen.items()}
        paths = gdc.bring_files(self.transfer, [by_id[one] for one in files.values()], kind, files, version)
        sheet = pd.DataFrame(
            [
                {
                    "File ID": one.file_id,
                    "File Name": Path(paths[one.file_id]).name,
                    "Project ID": plan.cohort.project,
                    "Case ID": name,
                    # One primary tumour per patient was chosen, so the case stands for its sample.
                    "Sample ID": name,
                    "Aliquot ID": one.barcode,
                }
                for name, one in chosen.items()
            ],
            columns=["File ID", "File Name", "Project ID", "Case ID", "Sample ID", "Aliquot ID"],
        )
        text = sheet.to_csv(sep="\t", index=False, lineterminator="\n")
        self.tables[f"{kind}_sheet"] = self.transfer.table(f"{kind}/gdc_sample_sheet.tsv", text.encode())
        reasons = {one["patient"]: one["reason"] for one in decisions if one["decision"] != "use"}
        self._count(kind, set(chosen), "no usable file of a primary tumour", reasons)
        return self.folder / kind

    def _imaging(self) -> Imaging | None:
        if not {"images", "segmentations"} & set(self.plan.only):
            return None
        found = bring_images(self.plan, self.transfer, self.notes.append)
        if "images" in self.plan.only:
            self._count("a usable CT scan", set(found.cases["patient"]), "", found.lost)
            outlined = found.cases[found.cases["roi"].ne("")]
            self._count("a tumour region", set(outlined["patient"]), "no tumour segmentation")
            if len(outlined) < len(found.cases):
                self.notes.append(
                    f"{len(found.cases) - len(outlined)} patients have a scan and no tumour segmentation: outline the "
                    "tumour in the scans that cases_all.csv lists as chosen, and add the masks to cases.csv"
                )
            # Only what can be extracted: the scans without a mask stand in cases_all.csv.
            self.pending.append(("cases", "cases.csv", outlined))
            self.pending.append(("cases_all", "cases_all.csv", found.all_cases))
        if "segmentations" in self.plan.only:
            self.pending.append(("pairs", "pairs.csv", found.pairs))
        return found

    def _count(self, step: str, having: set[str], reason: str, why: Mapping[str, str] | None = None) -> None:
        self.have[step] = having
        self.why[step] = {
            name: (why or {}).get(name, reason) or reason for name in self.plan.patients if name not in having
        }

    def _finish(self, imaging: Imaging | None, expression: Path | None, maf: Path | None) -> Fetched:
        losses = pd.DataFrame(
            [(name, step, reason) for step, lost in self.why.items() for name, reason in lost.items()],
            columns=["patient", "step", "reason"],
        )
        attrition = self._attrition()
        series = self.plan.series
        if self.aliquots:
            aliquots = pd.DataFrame(self.aliquots, columns=list(DECISION_COLUMNS))
            self.pending.append(("aliquots", "aliquots.csv", aliquots))
        self.pending += [
            ("series", "series.csv", series),
            ("losses", "losses.csv", losses),
            ("attrition", "attrition.csv", attrition),
        ]
        records = [self.transfer.manifest.records[path] for path in sorted(self.transfer.manifest.records)]
        self.pending.append(("licences", "licences.csv", licence_table(records)))
        for name, path, table in self.pending:
            self.tables[name] = self.transfer.table(path, as_csv(table))
        citations = self.transfer.table("CITATIONS.bib", bibliography(records).encode())
        if imaging is not None and "images" in self.plan.only and imaging.cases.empty:
            message = (
                f"none of the {len(self.plan.patients)} patients has a usable scan; {self.folder / 'losses.csv'} "
                "says why"
            )
            raise SelectionError(message)
        return Fetched(
            self.folder,
            self.transfer.manifest.path,
            self.plan.patients,
            dict(self.tables),
            expression,
            maf,
            citations,
            attrition,
            tuple(self.notes),
        )

    def _attrition(self) -> pd.DataFrame:
        total = len(self.plan.patients)
        rows = [
            {
                "step": f"fetch: {step}",
                "n_in": total,
                "n_out": len(having),
                "reason": _most_common(self.why[step]),
                "unit": "patients",
            }
            for step, having in self.have.items()
        ]
        if len(self.have) > 1:
            together = set(self.plan.patients).intersection(*self.have.values())
            rows.append(
                {
                    "step": "fetch: everything at once",
                    "n_in": total,
                    "n_out": len(together),
                    "reason": "patients that every step above has",
                    "unit": "patients",
                }
            )
        return pd.DataFrame(rows, columns=["step", "n_in", "n_out", "reason", "unit"])


def _most_common(why: Mapping[str, str]) -> str:
    if not why:
        return ""
    counts = pd.Series(list(why.values())).value_counts()
    return "; ".join(f"{count} {reason}" for reason, count in counts.items())


def repeat(
    manifest: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    endpoints: Endpoints | None = None,
    workers: int = 4,
    progress: Progress | None = None,
    limits: Limits | None = None,
    offline: bool = False,
    client: Client | None = None,
) -> Fetched:
    """Repeat a frozen download byte for byte, or say exactly what has changed upstream.

    Answers of the services that still lie beside the manifest are taken from there; otherwise they are
    asked for again and compared.

    Parameters
    ----------
    manifest : path-like
        ``manifest.jsonl`` of an earlier fetch.
    folder : path-like
        Where to.
    endpoints : Endpoints, optional
        Where the services stand; by default what the environment says.
    workers, progress, limits, offline, client
        As for :func:`execute`.

    Raises
    ------
    ManifestError
        If the manifest cannot be read.
    UpstreamChangedError
        If a file or an answer is no longer what it was; its ``changes`` names each.
    """
    source = Path(manifest)
    header, records = read_manifest(source)
    places = endpoints or (client.endpoints if client else Endpoints.from_environment())
    plan = _plan_of(header, source, places)
    target = _make(folder)
    asking = client or Client(places, limits, workers=workers)
    try:
        with opened(target) as ledger:
            _take_answers(source, ledger, records)
            transfer = Transfer(asking, ledger, workers=workers, progress=progress, offline=offline, frozen=records)
            changes = _bring_frozen(transfer, records)
            if not changes:
                fetched = _Fetch(plan, transfer).run()
                changes = _compare(records, ledger)
    finally:
        if client is None:
            asking.close()
    if changes:
        path, what = next(iter(changes.items()))
        message = f"{len(changes)} of {len(records)} files are not what {source} records, the first {path}: {what}"
        raise UpstreamChangedError(message, changes)
    return fetched


def _plan_of(header: Mapping[str, Any], source: Path, places: Endpoints) -> Plan:
    try:
        cohort = find_cohort(header["cohort"])
        only = tuple(kind for kind in KINDS if kind in header["only"])
        series = pd.DataFrame(header["series"], columns=header["columns"])[list(COLUMNS)]
        patients, phase, version = tuple(header["patients"]), str(header["phase"]), str(header["index_version"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{source} has no header of a fetch ({error}); give the manifest.jsonl of an earlier fetch"
        raise ManifestError(message) from error
    columns = ["kind", "what", "count", "bytes", "exact", "licence"]
    return Plan(cohort, only, patients, phase, series, pd.DataFrame(columns=columns), places, version)


def _take_answers(source: Path, ledger: Manifest, records: Mapping[str, Record]) -> None:
    """Copy recorded answers that lie beside the manifest; the ledger's check of digests follows at use."""
    if source.parent.resolve() == ledger.folder.resolve():
        return
    for record in records.values():
        beside = source.parent.joinpath(*record.path.split("/"))
        unsafe = record.path.startswith("/") or ".." in record.path.split("/")
        if record.kind != "query" or unsafe or not beside.is_file():
            continue
        target = ledger.folder.joinpath(*record.path.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(beside, target)
        ledger.add(record)


def _bring_frozen(transfer: Transfer, records: Mapping[str, Record]) -> dict[str, str]:
    """Bring every recorded file from where it came; return what is no longer there or is another one."""
    by_kind: dict[str, list[Item]] = {}
    for record in records.values():
        if record.kind in ("query", "table") or "getImageWithMD5Hash" in record.uri:
            continue
        by_kind.setdefault(record.kind, []).append(
            Item(
                record.kind, record.path, _addresses(record.uri), record.size, record.md5, record.sha256,
                record.licence, record.source, record.version,
            )
        )  # fmt: skip
    changes: dict[str, str] = {}
    for kind, items in by_kind.items():
        try:
            transfer.bring(items, kind)
        except TransferError as error:
            for path, failure in error.failures.items():
                if not isinstance(failure, ChecksumError | RefusedError):
                    raise
                changes[path] = str(failure)
        except (ChecksumError, RefusedError) as error:
            missing = [item.path for item in items if not transfer.is_there(item)]
            changes[missing[0] if missing else kind] = str(error)
    return changes


def _addresses(uri: str) -> tuple[str, ...]:
    """Return a recorded address and its mirror in the other cloud."""
    for bucket, mirror in BUCKETS.items():
        for base in (f"{PUBLIC['s3'].format(bucket=bucket)}/", f"{PUBLIC['gcs']}/{mirror}/"):
            if uri.startswith(base):
                key = uri[len(base) :]
                return tuple(dict.fromkeys((uri, object_url(bucket, key), mirror_url(bucket, key))))
    return (uri,)


def _compare(records: Mapping[str, Record], ledger: Manifest) -> dict[str, str]:
    changes: dict[str, str] = {}
    for path, old in records.items():
        new = ledger.records.get(path)
        if new is None:
            changes[path] = "was not made again"
        elif new.sha256 != old.sha256 and path != STATUS:
            changes[path] = _difference(old, new)
    return changes


def _difference(old: Record, new: Record) -> str:
    if old.kind == "table":
        return "a table made here differs; was it made by another version of imrad?"
    if old.parts is None or new.parts is None:
        return f"the answer of {old.uri} has changed since {old.time}"
    gone = sorted(set(old.parts) - set(new.parts))
    came = sorted(set(new.parts) - set(old.parts))
    other = sorted(name for name in set(old.parts) & set(new.parts) if old.parts[name] != new.parts[name])
    kinds = (("gone", gone), ("new", came), ("altered", other))
    told = [f"{what} {len(names)} ({', '.join(names[:3])})" for what, names in kinds if names]
    return f"the answer of {old.uri} has changed since {old.time}: {'; '.join(told)}"
