"""From a plan to a folder of verified files and ready tables."""

from __future__ import annotations

import os
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
from data_connectors.errors import (
    ConnectorError,
    SelectionError,
)
from data_connectors.imaging import Imaging, bring_images
from data_connectors.manifest import opened
from data_connectors.planning import Plan
from data_connectors.samples import DECISION_COLUMNS, choose_aliquots

__all__ = ["STATUS", "Fetch", "Fetched", "execute", "made_folder"]

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
    target = made_folder(folder)
    asking = client or Client(plan.endpoints, limits, workers=workers)
    try:
        with opened(target) as ledger:
            transfer = Transfer(asking, ledger, workers=workers, progress=progress, offline=offline)
            return Fetch(plan, transfer).run()
    finally:
        if client is None:
            asking.close()


def made_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the folder, made where it is not there."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {path} cannot be made ({error.strerror}); give another one"
        raise ConnectorError(message) from error
    return path


class Fetch:
    """One fetch under way: its steps in order, and what each has lost."""

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
