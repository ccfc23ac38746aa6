"""Images and segmentations of a plan: segmentations first, since their headers name the scan they outline.

Every segmentation is brought and read; the header's word counts, the description's is checked against
it. Then the scans, judged by their own headers; a scan that is no even axial stack gives way to the
patient's next one. What was chosen, and what was not and why, comes back as tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from data_connectors import idc, tcia
from data_connectors._download import Item
from data_connectors._transfer import Transfer
from data_connectors.cohorts import SegmentationSource
from data_connectors.dicom import SegmentationHeader, Stack, read_segmentation, read_stack
from data_connectors.errors import IncompleteError, ServiceError
from data_connectors.planning import Plan
from data_connectors.series import Row, order

__all__ = ["CASE_COLUMNS", "PAIR_COLUMNS", "Imaging", "bring_images"]

CASE_COLUMNS: Final = (
    "patient",
    "image",
    "mask",
    "roi",
    "phase",
    "segmentation",
    "segmented_by",
    "study_date",
    "description",
    "manufacturer",
    "kernel",
    "slices",
    "pixel_mm",
    "slice_spacing_mm",
    "slice_thickness_mm",
    "contrast",
    "image_series",
    "mask_series",
    "problem",
)
PAIR_COLUMNS: Final = (
    "patient",
    "mask",
    "mask_series",
    "segmentation",
    "series_by_description",
    "series_by_header",
    "roi",
    "segments",
    "decision",
    "reason",
)


@dataclass
class Imaging:
    """What was brought.

    Attributes
    ----------
    cases : DataFrame
        One row per patient (:data:`CASE_COLUMNS`): the chosen scan, and its mask where there is one.
    all_cases : DataFrame
        One row per scan that was brought; `chosen` is 1 for those in `cases`.
    pairs : DataFrame
        One row per segmentation (:data:`PAIR_COLUMNS`).
    lost : dict
        Reason by patient who has no case.
    """

    cases: pd.DataFrame
    all_cases: pd.DataFrame
    pairs: pd.DataFrame
    lost: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Choice:
    """A scan that may be brought, with the segmentation that outlines it, if one does."""

    ct: Row
    source: SegmentationSource | None = None
    mask: str = ""
    roi: str = ""
    header: SegmentationHeader | None = None


class _Images:
    def __init__(self, plan: Plan, transfer: Transfer) -> None:
        self.plan = plan
        self.transfer = transfer
        self.version = f"IDC v{plan.index_version.split('.', maxsplit=1)[0]} (idc-index-data {plan.index_version})"
        rows: list[Row] = [
            dict(zip(plan.series.columns, values, strict=True)) for values in plan.series.itertuples(index=False)
        ]
        self.rows = rows
        self.by_series = {row["series"]: row for row in rows}
        self.sources = {source.name: source for source in plan.cohort.segmentations}
        self.folders = _folders(rows)
        self.listings: dict[str, list[Item]] = {}

    # Listing and bringing series

    def list_series(self, rows: Sequence[Row], kind: str) -> None:
        """Find the files of every series, side by side."""
        todo = [row for row in rows if row["series"] not in self.listings]

        def task(row: Row) -> None:
            self.listings[row["series"]] = self._items(row, kind)

        self.transfer.each(task, todo, f"{kind} (listing)", lambda row: f"listing of {row['patient']} {row['uuid']}")

    def _items(self, row: Row, kind: str) -> list[Item]:
        label = f"series {row['series']} of {row['patient']}"
        address = f"s3://{row['bucket']}/{row['uuid']}/"
        folder = self.folders[row["series"]]
        single = row["modality"] != "CT" and row["images"] == 1

        def ask() -> list[list[Any]]:
            found = idc.list_instances(self.transfer.client, row["bucket"], row["uuid"], row["images"], label)
            return [[one.key, one.size, one.md5] for one in found]

        try:
            listed = self.transfer.query(
                f"raw/listings/{row['uuid']}.json", address, ask, source=f"doi:{row['doi']}", version=self.version
            )
        except (IncompleteError, ServiceError):
            if kind != "images" or self.transfer.offline:
                raise
            return self._from_tcia(row, folder)
        items = []
        for key, size, md5 in listed:
            name = key.rsplit("/", 1)[-1]
            items.append(
                Item(
                    kind,
                    f"{folder}.dcm" if single else f"{folder}/{name}",
                    (idc.object_url(row["bucket"], key), idc.mirror_url(row["bucket"], key)),
                    int(size),
                    md5,
                    licence=row["licence"],
                    source=f"doi:{row['doi']}",
                    version=self.version,
                )
            )
        return items

    def _from_tcia(self, row: Row, folder: str) -> list[Item]:
        paths = tcia.bring_series(
            self.transfer, row["series"], row["images"], folder, licence=row["licence"], doi=row["doi"]
        )
        records = self.transfer.manifest.records
        return [
            Item("images", path, (records[path].uri,), records[path].size, records[path].md5, licence=row["licence"])
            for path in paths
        ]

    def bring(self, rows: Sequence[Row], kind: str) -> None:
        """Bring every file of these series."""
        self.list_series(rows, kind)
        items = [item for row in rows for item in self.listings[row["series"]]]
        self.transfer.bring(items, kind)

    # Segmentations

    def read_masks(self, rows: Sequence[Row]) -> tuple[dict[str, list[_Choice]], list[dict[str, Any]]]:
        """Pair every segmentation with its scan; return the choices by patient, and the pairs table."""
        choices: dict[str, list[_Choice]] = {}
        pairs = []
        for row in rows:
            items = self.listings[row["series"]]
            pair: dict[str, Any] = dict.fromkeys(PAIR_COLUMNS, "")
            pair.update(
                patient=row["patient"],
                mask=items[0].path,
                mask_series=row["series"],
                segmentation=row["segmentation"],
                series_by_description=row["source_series"],
                decision="drop",
            )
            if len(items) == 1:
                self._pair(row, items[0].path, pair, choices)
            else:
                pair["reason"] = f"{len(items)} objects in one segmentation series"
            pairs.append(pair)
        return choices, pairs

    def _pair(self, row: Row, path: str, pair: dict[str, Any], choices: dict[str, list[_Choice]]) -> None:
        header = read_segmentation(self.transfer.path_of(path))
        source = self.sources[row["segmentation"]]
        roi = roi_of(header, source)
        pair["segments"] = "; ".join(label or meaning for _, label, meaning in header.segments)
        pair["roi"] = roi
        pair["series_by_header"] = " ".join(header.sources)
        if not roi:
            pair["reason"] = f"no tumour among its segments ({pair['segments'] or 'none'})"
            return
        scans = self._scans_of(row, header)
        if not scans:
            named = header.sources[0] if header.sources else "no series"
            pair["reason"] = f"its header refers to {named}, which is not a CT of this patient"
            return
        if row["source_series"] and scans[0]["series"] != row["source_series"]:
            pair["reason"] = "the header names another scan than the description; the header counts"
        elif not header.sources:
            pair["reason"] = "the header names no scan; the description or the frame of reference does"
        else:
            pair["reason"] = "the header names the scan"
        pair["decision"] = "use"
        scan = dict(scans[0])
        if row["phase"] not in ("", "unknown"):
            scan["phase"] = row["phase"]
        choices.setdefault(row["patient"], []).append(_Choice(scan, source, path, roi, header))

    def _scans_of(self, row: Row, header: SegmentationHeader) -> list[Row]:
        mine = [one for one in self.rows if one["patient"] == row["patient"] and one["modality"] == "CT"]
        named = [one for one in mine if one["series"] in header.sources]
        if named or header.sources:
            return named
        described = [one for one in mine if one["series"] == row["source_series"]]
        return described or self._by_frame(header, [one for one in mine if one["study"] == row["study"]])

    def _by_frame(self, header: SegmentationHeader, scans: Sequence[Row]) -> list[Row]:
        """Return the one scan of a study that shares the segmentation's frame of reference."""
        if not header.frame_of_reference:
            return []
        alike = []
        usable = [row for row in scans if row["decision"] != "drop"]
        self.list_series(usable, "images")
        for row in usable:
            first = self.listings[row["series"]][0]
            self.transfer.bring([first], "images")
            stack = read_stack([self.transfer.path_of(first.path)], row["series"])
            if stack.frame_of_reference == header.frame_of_reference:
                alike.append(row)
        return alike if len(alike) == 1 else []

    # Scans

    def rank(self, choices: Sequence[_Choice]) -> list[_Choice]:
        """Order a patient's choices by the policy; corrected segmentations replace the others of their scan."""
        kept: dict[str, _Choice] = {}
        for choice in choices:
            key = choice.ct["series"]
            if key not in kept or self._mask_merit(choice) > self._mask_merit(kept[key]):
                kept[key] = choice
        segmented = any(choice.mask for choice in kept.values())
        judged = [{**choice.ct, "problem": "", "key": key} for key, choice in kept.items()]
        ordered = order(judged, self.plan.phase, segmented=segmented)
        return [kept[row["key"]] for row in ordered if not row["problem"]]

    def _mask_merit(self, choice: _Choice) -> tuple[bool, int, str]:
        """Return what the better of two segmentations of one scan has more of: correction, then extent."""
        if choice.source is None or choice.header is None:
            return False, 0, ""
        row = self.by_series.get(choice.header.series, {})
        text = str(row.get("description", ""))
        preferred = choice.source.prefer is not None and re.search(choice.source.prefer, text, re.IGNORECASE)
        return bool(preferred), int(row.get("bytes", 0)), choice.mask

    def take(self, wanted: Mapping[str, list[_Choice]], lost: dict[str, str]) -> tuple[list[Row], list[Row]]:
        """Bring scans round by round, until every patient has a good one or none is left."""
        chosen: dict[str, Row] = {}
        everything: list[Row] = []
        queues = {name: list(choices) for name, choices in wanted.items()}
        first_round = True
        while queues:
            batch = []
            for queue in queues.values():
                # An expert's segmentation is never left behind; of a program's, the best is enough.
                many = first_round and queue[0].source is not None and queue[0].source.take == "all"
                batch += queue if many else queue[:1]
            self.bring([choice.ct for choice in _unique(batch)], "images")
            for choice in batch:
                case = self._case(choice)
                everything.append(case)
                name = case["patient"]
                queues[name].remove(choice)
                if not case["problem"] and name not in chosen:
                    chosen[name] = case
                elif case["problem"] and name not in chosen:
                    lost[name] = case["problem"]
            queues = {name: queue for name, queue in queues.items() if queue and name not in chosen}
            first_round = False
        for name in chosen:
            lost.pop(name, None)
        return [chosen[name] for name in self.plan.patients if name in chosen], everything

    def _case(self, choice: _Choice) -> Row:
        row = choice.ct
        items = self.listings[row["series"]]
        stack = read_stack([self.transfer.path_of(item.path) for item in items], row["series"])
        problem = stack.problem
        frame = choice.header.frame_of_reference if choice.header else ""
        if not problem and frame and stack.frame_of_reference and frame != stack.frame_of_reference:
            problem = "segmentation and scan have different frames of reference"
        return _case_row(choice, self.folders[row["series"]], stack, problem)


def _case_row(choice: _Choice, image: str, stack: Stack, problem: str) -> Row:
    row = choice.ct
    values = {
        "patient": row["patient"],
        "image": image,
        "mask": choice.mask,
        "roi": choice.roi,
        "phase": row["phase"],
        "segmentation": choice.source.name if choice.source else "",
        "segmented_by": choice.source.by if choice.source else "",
        "study_date": row["study_date"],
        "description": row["description"],
        "manufacturer": row["manufacturer"],
        "kernel": stack.kernel,
        "slices": stack.slices,
        "pixel_mm": stack.spacing_mm[0],
        "slice_spacing_mm": round(stack.spacing_mm[2], 4),
        "slice_thickness_mm": stack.thickness_mm,
        "contrast": int(stack.contrast),
        "image_series": row["series"],
        "mask_series": choice.header.series if choice.header else "",
        "problem": "; ".join(part for part in (problem, *stack.notes) if part) if problem else "",
    }
    return {name: values[name] for name in CASE_COLUMNS}


def roi_of(header: SegmentationHeader, source: SegmentationSource) -> str:
    """Return the region expression of a segmentation's tumour, by label where labels are distinct."""
    tumour = [one for one in header.segments if source.is_tumour(one[1]) or source.is_tumour(one[2])]
    if source.tumour == ".*":
        tumour = list(header.segments)
    labels = [label or meaning for _, label, meaning in header.segments]
    parts = []
    for number, label, meaning in tumour:
        name = label or meaning
        distinct = name and labels.count(name) == 1 and '"' not in name
        quoted = name if re.fullmatch(r"[^\W\d]\w*", name) else f'"{name}"'
        parts.append(quoted if distinct else str(number))
    return "|".join(dict.fromkeys(parts))


def _unique(choices: Iterable[_Choice]) -> list[_Choice]:
    return list({choice.ct["series"]: choice for choice in choices}.values())


def _folders(rows: Sequence[Row]) -> dict[str, str]:
    """Return a short folder per series: two long UIDs in a path are more than some systems take."""
    taken: set[str] = set()
    found = {}
    for row in sorted(rows, key=lambda one: str(one["series"])):
        top = "images" if row["modality"] == "CT" else "segmentations"
        length = 8
        while (folder := f"{top}/{row['patient']}/{row['uuid'][:length]}") in taken and length < len(row["uuid"]):
            length += 4
        taken.add(folder)
        found[row["series"]] = folder
    return found


def bring_images(plan: Plan, transfer: Transfer, note: Callable[[str], None]) -> Imaging:
    """Bring the planned segmentations and scans.

    Parameters
    ----------
    plan : Plan
        What was decided.
    transfer : Transfer
        Brings.
    note : callable
        Takes a sentence for the user.

    Raises
    ------
    ConnectorError
        If a file cannot be brought.
    """
    images = _Images(plan, transfer)
    masks = [row for row in images.rows if row["modality"] != "CT" and row["decision"] == "fetch"]
    lost: dict[str, str] = {}
    choices: dict[str, list[_Choice]] = {}
    pairs: list[dict[str, Any]] = []
    if masks and "segmentations" in plan.only:
        images.bring(masks, "segmentations")
        choices, pairs = images.read_masks(masks)
        for pair in pairs:
            if pair["decision"] == "drop" and pair["patient"] not in choices:
                lost[pair["patient"]] = pair["reason"]
    if "images" not in plan.only:
        empty = pd.DataFrame(columns=list(CASE_COLUMNS))
        return Imaging(empty, empty, pd.DataFrame(pairs, columns=list(PAIR_COLUMNS)), lost)
    segmented = {row["patient"] for row in masks} if "segmentations" in plan.only else set()
    for name in plan.patients:
        if name in segmented:
            continue
        mine = [row for row in images.rows if row["patient"] == name and row["modality"] == "CT"]
        usable = sorted((row for row in mine if row["decision"] != "drop"), key=lambda row: int(row["rank"]))
        named = [row for row in usable if row["decision"] == "fetch"] or usable
        if usable:
            choices[name] = [_Choice(row) for row in (*named, *(row for row in usable if row not in named))]
        else:
            lost[name] = _why_none(mine)
    ranked = {name: images.rank(found) if name in segmented else found for name, found in choices.items()}
    for name in [name for name, found in ranked.items() if not found]:
        lost[name] = f"no segmented scan of the {plan.phase} phase"
        del ranked[name]
    chosen, everything = images.take(ranked, lost)
    replaced = sum(1 for case in everything if case["problem"])
    if replaced:
        note(f"{replaced} scans are no even axial stack or do not fit their segmentation: see cases_all.csv")
    all_cases = pd.DataFrame(everything, columns=list(CASE_COLUMNS))
    taken = {case["image_series"] for case in chosen}
    all_cases.insert(1, "chosen", [int(series in taken) for series in all_cases["image_series"]])
    return Imaging(
        pd.DataFrame(chosen, columns=list(CASE_COLUMNS)),
        all_cases,
        pd.DataFrame(pairs, columns=list(PAIR_COLUMNS)),
        lost,
    )


def _why_none(rows: Sequence[Row]) -> str:
    if not rows:
        return "no CT in the image index"
    reasons = pd.Series([str(row["reason"]) for row in rows]).value_counts()
    return f"no usable CT among {len(rows)} series ({reasons.index[0]})"
