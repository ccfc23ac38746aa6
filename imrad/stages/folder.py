"""What images and masks lie in a hospital's folder, whose they are, and which belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad.exceptions import ImradError

if TYPE_CHECKING:
    from imrad.execution import Progress

__all__ = ["Found", "Identities", "Volume", "name_volumes", "pair", "plain_name", "scan", "who_has_what"]

TABLES = (".csv", ".tsv", ".xlsx", ".xlsm", ".xls", ".txt")
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
MASK = re.compile(
    r"masks?|segmentations?|(?<![a-z])(labels?|lesion|tumou?r|roi|seg)(?![a-z])|勾画|病灶|掩[膜模]", re.IGNORECASE
)
IMAGE = re.compile(
    r"(?<![a-z])(images?|ct|mri?|pet|scan|dicom|nifti|venous|arterial)(?![a-z])|影像|图像|平扫|增强", re.IGNORECASE
)
READER = re.compile(
    r"(?:readers?|rater|observer|医[师生])[\s_\-]*(?P<who>[A-Da-d1-4])(?![a-z0-9])"
    r"|(?<![a-z0-9])(?P<end>[A-D]|R[1-4])$",
    re.IGNORECASE,
)
FEWEST_READERS = 2
LOOKED = 5
"""So many images are looked at, whether masks that a letter tells apart have voxels in common."""


@dataclass(frozen=True)
class Found:
    """An image or a mask: its path, whose it is, the name that image and mask share, and its DICOM series."""

    path: str
    patient: str
    stem: str
    mask: bool
    series: str = ""


@dataclass(frozen=True)
class Volume:
    """A file or DICOM folder; a mask, an image, or (None) to be told by its name; its PatientID and series."""

    path: Path
    mask: bool | None = None
    tag: str = ""
    series: str = ""


Overlap = Callable[[Found, list[Found]], bool | None]
"""Tells whether the masks of an image have voxels in common; None where they cannot be read."""


class Identities:
    """The sheet's patients, by every spelling that points at one of them alone.

    Parameters
    ----------
    patients : iterable of str
        The sheet's identifiers.
    names : mapping, optional
        Patient's name to identifier, for folders that are called by names.
    """

    def __init__(self, patients: Iterable[str], names: Mapping[str, str] | None = None) -> None:
        self.patients = list(dict.fromkeys(patients))
        self._exact = {name.strip().lower(): name for name in self.patients}
        plain: dict[str, list[str]] = {}
        for name in self.patients:
            plain.setdefault(plain_name(name), []).append(name)
        # 0012 and 12 may be two people: then only the exact spelling counts.
        self._plain = {key: found[0] for key, found in plain.items() if len(found) == 1}
        self.ambiguous = [found for found in plain.values() if len(found) > 1]
        self._names = {key.strip(): value for key, value in (names or {}).items()}

    def find(self, text: str) -> str:
        """Return the patient that a file's or folder's name points at; empty if none or several."""
        if not text:
            return ""
        exact = self._exact.get(text.strip().lower()) or self._plain.get(plain_name(text)) or self._names.get(text)
        if exact:
            return exact
        pieces = [piece for piece in re.split(r"[\s_\-.+#]+", text) if piece]
        found = {
            self._exact.get(joined.lower()) or self._plain.get(plain_name(joined), "") or self._names.get(joined, "")
            for start in range(len(pieces))
            for end in range(start + 1, len(pieces) + 1)
            # A single digit, as in P001_2, is a number of something and no patient.
            for joined in ["_".join(pieces[start:end])]
            if len(re.sub(r"[\W_]", "", joined)) > 1 or len(pieces) == 1
        } - {""}
        return found.pop() if len(found) == 1 else ""


def plain_name(name: Any) -> str:
    """Return an identifier without case, punctuation and leading zeros, by which spellings are reconciled."""
    text = re.sub(r"[\W_]+", "", str(name).strip().lower())
    return text.lstrip("0") or text


def scan(root: Path, progress: Progress | None = None) -> list[Volume]:
    """Return every image and mask below a folder: volumes by their ending, DICOM by its tags."""
    found: list[Volume] = []
    places: list[tuple[Path, list[str]]] = []
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        places.append((Path(place), files))
    done, total = 0, sum(len(files) for _, files in places)

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("files looked at", min(done, total), total)

    for folder, files in places:
        before = done
        inside = sorted(folder / name for name in files if not name.startswith((".", "~$")))
        volumes = [path for path in inside if path.name.lower().endswith(VOLUMES)]
        found += [Volume(path) for path in volumes]
        aside = (*TABLES, *VOLUMES, ".gz", ".yaml", ".json", ".png", ".jpg", ".pdf", ".docx")
        found += _dicom(folder, [path for path in inside if path.suffix.lower() not in aside], tick)
        tick(len(files) - (done - before))
    return sorted(found, key=lambda item: (item.path.relative_to(root).as_posix(), item.series))


def name_volumes(root: Path, volumes: Iterable[Volume], known: Identities) -> list[Found]:
    """Return whose each volume is, by the sheet's spelling where it is told, and whether it is a mask."""
    return [_one(root, volume, known) for volume in volumes]


def _dicom(folder: Path, files: list[Path], tick: Callable[[int], None]) -> Iterator[Volume]:
    """Return a folder's DICOM objects: each mask, and the images as one volume, or one a series."""
    from imrad.radiomics.dicom import is_dicom

    if not files or not any(is_dicom(path) for path in files[:3]):
        return
    looked = {path: _tags(path) for path in dict.fromkeys([*files[:3], files[len(files) // 2], files[-1]])}
    if len({tags["SeriesInstanceUID"] for tags in looked.values()}) > 1:
        # Several series in one folder: every header is read to tell them apart.
        looked = {}
        for path in files:
            looked[path] = _tags(path)
            tick(1)
    several = len({tags["SeriesInstanceUID"] for tags in looked.values() if not _is_mask(tags)}) > 1
    seen = set()
    for path, tags in looked.items():
        if not tags["Modality"]:
            continue
        if _is_mask(tags):
            yield Volume(path, mask=True, tag=tags["PatientID"])
            continue
        series = tags["SeriesInstanceUID"] if several else ""
        if series not in seen:
            seen.add(series)
            yield Volume(folder, mask=False, tag=tags["PatientID"], series=series)


def _is_mask(tags: Mapping[str, str]) -> bool:
    return tags["Modality"] in ("SEG", "RTSTRUCT")


def _tags(path: Path) -> dict[str, str]:
    from imrad.radiomics.dicom import read_dataset

    names = ("Modality", "PatientID", "SeriesInstanceUID")
    try:
        head = read_dataset(path, pixels=False, tags=list(names))
    except ImradError:
        return dict.fromkeys(names, "")
    return {name: str(head.get(name, "") or "") for name in names}


def _one(root: Path, volume: Volume, known: Identities) -> Found:
    path, tag, mask = volume.path, volume.tag, volume.mask
    parts = list(path.relative_to(root).parts) or [root.name]
    parts[-1] = re.sub(r"(\.nii)?\.(gz|nii|nrrd|mha|mhd|dcm)$", "", parts[-1], flags=re.IGNORECASE)
    bare = [re.sub(r"^[\W_]+|[\W_]+$", "", IMAGE.sub("", MASK.sub("", part))) for part in parts]
    named = next((name for text in (tag, *parts[::-1], *bare[::-1]) if (name := known.find(text))), "")
    # Whose it is: the sheet's spelling; else the DICOM tag; else the nearest name that is more than 'mask' or 'ct'.
    # The letter that mask_A leaves is a reader's or a lesion's, and the folder the patient's.
    letter = bool(MASK.search(parts[-1])) and bool(READER.fullmatch(bare[-1]))
    nearest = [*bare[-2::-1], bare[-1]] if letter else bare[::-1]
    patient = named or tag or next((text for text in nearest if text), parts[-1])
    is_mask = mask if mask is not None else any(MASK.search(part) for part in (parts[-1], *parts[-2:-1]))
    return Found(path.relative_to(root).as_posix(), patient, plain_name(bare[-1]), bool(is_mask), volume.series)


def pair(found: Iterable[Found], overlap: Overlap | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Return a row for every image that has a mask, and what a person should look at.

    Masks of one image whose names end in a letter (A, B) may be two readers' or two lesions': `overlap` tells whether
    the masks of an image have voxels in common, for the first few. Readers draw the same lesion.
    """
    doubts: list[str] = []
    images: dict[str, list[Found]] = {}
    masks: dict[str, list[Found]] = {}
    for item in found:
        (masks if item.mask else images).setdefault(item.patient, []).append(item)
    pairs: list[tuple[str, Found, list[Found]]] = []
    for patient in sorted({*images, *masks}):
        own, drawn = images.get(patient, []), masks.get(patient, [])
        for number, image in enumerate(own, start=1):
            same = [item for item in drawn if item.stem == image.stem] or drawn
            where = image.path if image.path != "." else "the images that lie in the folder itself"
            if not same:
                doubts.append(f"{patient}: no mask for {where}")
                continue
            pairs.append((patient if len(own) == 1 else f"{patient}_{number}", image, same))
            if len(same) > 1 and not _by_name(same):
                doubts.append(f"{patient}: {len(same)} masks for {where}; {same[0].path} was taken")
        if drawn and not own:
            doubts.append(f"{patient}: a mask and no image")
    lesions, said = _are_lesions([(image, same) for _, image, same in pairs], overlap)
    rows: list[tuple[str, ...]] = []
    for case, image, same in pairs:
        told = _by_name(same)
        several = told and lesions and not _in_words(same)
        for number, who in enumerate(sorted(told), start=1):
            name, reader = (f"{case}_{who}", "") if several else (case, str(number))
            rows.append((image.patient, name, image.path, told[who].path, image.series, reader))
        if not told:
            rows.append((image.patient, case, image.path, same[0].path, image.series, ""))
    cases = pd.DataFrame(rows, columns=["patient", "case", "image", "mask", "series", "reader"])
    cases["reader"] = cases["reader"].replace("", "1") if (cases["reader"] != "").any() else ""
    return cases.drop(columns=[name for name in ("series", "reader") if not (cases[name] != "").any()]), said + doubts


def _are_lesions(pairs: list[tuple[Found, list[Found]]], overlap: Overlap | None) -> tuple[bool, list[str]]:
    """Tell whether masks that a letter tells apart are lesions, and what to say of masks told apart by their names."""
    told = [(image, same) for image, same in pairs if _by_name(same)]
    if not told:
        return False, []
    names = " and ".join(item.path for item in told[0][1])
    by_letter = [(image, same) for image, same in told if not _in_words(same)]
    looked = [] if overlap is None else [overlap(image, same) for image, same in by_letter[:LOOKED]]
    known = [common for common in looked if common is not None]
    if known and not any(known):
        text = (
            f"masks such as {names} have no voxel in common in {len(known)} of {len(known)} images looked at: each is "
            "taken as a lesion of its own, averaged for the patient; where they are two readers' of one lesion, give "
            "both rows the same case and a column reader (1, 2)"
        )
        return True, [text]
    if known:
        text = (
            f"masks of several readers, told by their names, as {names}; they overlap in {sum(known)} of {len(known)} "
            "images looked at; where they are two lesions, give each a case of its own and no reader"
        )
        return False, [text]
    return False, [f"masks of several readers, told by their names, as {names}"]


def _by_name(masks: list[Found]) -> dict[str, Found]:
    """Return masks of one image by the reader or letter in their names; empty where that is not what they are."""
    told = {}
    for item in masks:
        if match := READER.search(Path(item.path).name.split(".")[0]):
            told[str(match["who"] or match["end"]).upper()] = item
    return told if len(told) == len(masks) and len(masks) >= FEWEST_READERS else {}


def _in_words(masks: list[Found]) -> bool:
    """Tell whether a mask's name speaks of a reader, and has not a bare letter at its end alone."""
    found = [READER.search(Path(item.path).name.split(".")[0]) for item in masks]
    return any(match is not None and (match["who"] or len(match["end"]) > 1) for match in found)


def who_has_what(found: Iterable[Found], cases: pd.DataFrame, listed: list[str]) -> pd.DataFrame:
    """Return a row a patient: whether there is an image, a mask, a row in the sheet, and how many cases."""
    everything = list(found)
    patients = list(dict.fromkeys([*listed, *(item.patient for item in everything)]))
    image, mask = ({item.patient for item in everything if item.mask is kind} for kind in (False, True))
    counts = cases["patient"].value_counts()
    in_sheet = set(listed)
    return pd.DataFrame(
        {
            "patient": patients,
            "image": [name in image for name in patients],
            "mask": [name in mask for name in patients],
            "clinical": [name in in_sheet for name in patients],
            "n_cases": [int(counts.get(name, 0)) for name in patients],
        }
    )
