"""The ledger of a download: one JSON line per verified file, appended and never rewritten.

A line is written after its file has been verified and moved into place, by one system call, so a
killed process loses at most the line of a file that the next run finds, verifies and records
without asking for it again. A torn last line is dropped when the ledger is next opened.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_connectors.errors import BusyError, ManifestError

__all__ = ["NAME", "Manifest", "Record", "read_manifest"]

NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Record:
    """One verified file.

    Attributes
    ----------
    kind : str
        What it belongs to: images, segmentations, expression, mutations, clinical, immune, query or table.
    path : str
        Where it stands, relative to the folder, with forward slashes.
    uri : str
        Public address that it came from; empty for a table that was made here.
    size : int
        Bytes.
    md5, sha256 : str
        Digests of the bytes, hexadecimal.
    checked : str
        What was compared with the service's own statement: ``md5``, ``size`` or ``nothing``.
    licence, source, version : str
        Licence, DOI or name of the source, release of the service.
    time : str
        When it was verified, UTC, ISO 8601.
    request : mapping, optional
        Body of the question, where the file is the answer to one.
    parts : mapping, optional
        Short digest of each element of an answer that is a list.
    """

    kind: str
    path: str
    uri: str
    size: int
    md5: str
    sha256: str
    checked: str
    licence: str
    source: str
    version: str
    time: str
    request: Mapping[str, Any] | None = None
    parts: Mapping[str, str] | None = None


def read_manifest(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Record]]:
    """Return a ledger's header and its records by path; the last line about a path counts.

    Raises
    ------
    ManifestError
        If the file is missing, or a line other than the last is not a record.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        message = (
            f"the manifest {str(path)!r} cannot be read ({error.strerror}); give the manifest.jsonl of an earlier fetch"
        )
        raise ManifestError(message) from error
    header: dict[str, Any] = {}
    records: dict[str, Record] = {}
    lines = text.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if "header" in value:
                header = value["header"]
            else:
                records[value["path"]] = Record(**value)
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            message = (
                f"line {number} of {path} is not a manifest record; the file was altered: restore it or fetch into "
                "a new folder"
            )
            raise ManifestError(message) from error
    return header, records


class Manifest:
    """An open ledger: reads what is known, appends what is new, keeps a second process out.

    Parameters
    ----------
    folder : path-like
        Holds (or will hold) ``manifest.jsonl``.

    Raises
    ------
    BusyError
        If another process has the ledger open.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        try:
            _exclusive(self._file, self.folder)
            self._drop_torn_line()
            self.header, self.records = read_manifest(self.path)
        except BaseException:
            os.close(self._file)
            raise

    def _drop_torn_line(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file, whole)

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Record what was asked for; the same header is not repeated."""
        if self.header != header:
            self._append({"header": header})
            self.header = dict(header)

    def add(self, record: Record) -> None:
        """Append a record, unless the ledger ends with the same one."""
        known = self.records.get(record.path)
        if known is not None and _same(known, record):
            return
        self._append({name: value for name, value in asdict(record).items() if value is not None})
        self.records[record.path] = record

    def _append(self, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._file, line) :]

    def close(self) -> None:
        """Flush to the disk and let others in."""
        os.fsync(self._file)
        os.close(self._file)


def _same(one: Record, other: Record) -> bool:
    return (one.uri, one.size, one.sha256, one.version, one.request) == (
        other.uri,
        other.size,
        other.sha256,
        other.version,
        other.request,
    )


def _exclusive(file: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no advisory lock, and two fetches into one folder are the user's care
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        message = f"another fetch works in {folder}; wait for it or give another folder"
        raise BusyError(message) from error


@contextmanager
def opened(folder: str | os.PathLike[str]) -> Iterator[Manifest]:
    """Open the ledger of a folder and close it at the end."""
    ledger = Manifest(folder)
    try:
        yield ledger
    finally:
        ledger.close()
