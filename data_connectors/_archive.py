"""Reading archives that came from elsewhere: no name leads out, no entry inflates without end."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from data_connectors.errors import ArchiveError, IncompleteError

__all__ = ["SeriesArchive", "read_series_archive"]

ENTRIES: Final = 20_000
ENTRY_BYTES: Final = 1 << 30
ARCHIVE_BYTES: Final = 32 << 30
RATIO: Final = 200
HASHES: Final = "md5hashes.csv"


@dataclass(frozen=True)
class SeriesArchive:
    """A checked archive of one series: names of its images, their MD5 where told, and the licence text."""

    images: tuple[str, ...]
    md5: Mapping[str, str]
    licence: str


def check_entries(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an archive with unsafe names, links, encryption, or sizes out of proportion.

    Raises
    ------
    ArchiveError
        Naming the entry.
    """
    entries = archive.infolist()
    if len(entries) > ENTRIES:
        message = f"{name} has {len(entries):,} entries and {ENTRIES:,} are allowed; it was refused"
        raise ArchiveError(message)
    total = 0
    for entry in entries:
        path = PurePosixPath(entry.filename)
        escapes = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
        is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
        if escapes or is_link or not entry.filename or "\0" in entry.filename:
            message = f"{name} holds the entry {entry.filename!r}, which leads out of its folder; it was refused"
            raise ArchiveError(message)
        if entry.flag_bits & 1:
            message = f"{name} holds the encrypted entry {entry.filename!r}; it was refused"
            raise ArchiveError(message)
        total += entry.file_size
        out_of_proportion = entry.file_size > RATIO * max(entry.compress_size, 1) + (1 << 20)
        if entry.file_size > ENTRY_BYTES or total > ARCHIVE_BYTES or out_of_proportion:
            message = (
                f"{name} holds the entry {entry.filename!r} that inflates to {entry.file_size:,} bytes; it was refused"
            )
            raise ArchiveError(message)


def read_series_archive(path: Path, expected: int, *, hashed: bool) -> SeriesArchive:
    """Check the archive of one series.

    Parameters
    ----------
    path : Path
        The zip file.
    expected : int
        Images that it must hold.
    hashed : bool
        Whether a list of digests was asked for: then its absence means that the service broke off.

    Raises
    ------
    ArchiveError
        If it is no zip, damaged or unsafe.
    IncompleteError
        If images or the list of digests are missing, or an image has another digest.
    """
    name = path.name
    if not zipfile.is_zipfile(path):
        message = f"{name} is not a zip archive; it was cut off or is a web page"
        raise ArchiveError(message)
    try:
        with zipfile.ZipFile(path) as archive:
            check_entries(archive, name)
            return _read(archive, name, expected, hashed)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        message = f"{name} is damaged ({error})"
        raise ArchiveError(message) from error


def _read(archive: zipfile.ZipFile, name: str, expected: int, hashed: bool) -> SeriesArchive:
    images: list[str] = []
    digests: dict[str, str] = {}
    announced: dict[str, str] = {}
    licence = ""
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        with archive.open(entry) as file:
            data = file.read(ENTRY_BYTES + 1)
        if len(data) != entry.file_size:
            message = f"{name}: {entry.filename} inflates to another size than announced; it was refused"
            raise ArchiveError(message)
        # What an entry is shows in its bytes, not in its name.
        if data[128:132] == b"DICM":
            images.append(entry.filename)
            digests[entry.filename] = hashlib.md5(data, usedforsecurity=False).hexdigest()
        elif PurePosixPath(entry.filename).name == HASHES:
            announced = _hash_list(data)
        elif PurePosixPath(entry.filename).name.upper().startswith("LICENSE"):
            licence = data.decode("utf-8", "replace")
    if hashed and not announced:
        message = f"{name} lacks {HASHES}: the service broke off while packing"
        raise IncompleteError(message)
    if len(images) != expected:
        message = f"{name} holds {len(images)} images where {expected} were announced"
        raise IncompleteError(message)
    for image in images:
        told = announced.get(PurePosixPath(image).name, digests[image])
        if told != digests[image]:
            message = f"{name}: {image} has the MD5 {digests[image]} where {told} was announced"
            raise IncompleteError(message)
    return SeriesArchive(tuple(images), digests, licence)


def _hash_list(data: bytes) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace")))
    return {
        PurePosixPath(str(row.get("Filename", ""))).name: str(row.get("MD5Hash", "")).strip().lower()
        for row in rows
        if row.get("MD5Hash")
    }
