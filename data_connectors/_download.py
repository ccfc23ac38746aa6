"""One file, from announced to verified: the pure decision, and the download apart from it.

A file gets its own name only after its size and digest were compared with what the service announced;
until then its bytes stand in a partial file, which the next attempt goes on with where the server
allows it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import requests

from data_connectors._http import CHUNK, Client, Transient, looks_like_page
from data_connectors.errors import ChecksumError, IncompleteError, LimitError, NotFoundError, RefusedError
from data_connectors.manifest import Record

__all__ = ["Action", "Digests", "Found", "Item", "decide", "download", "look"]

MISMATCHES = 3
RANGE_REFUSED = 416


@dataclass(frozen=True)
class Item:
    """One file that a service announced.

    Attributes
    ----------
    kind, path, licence, source, version : str
        As in :class:`~data_connectors.manifest.Record`.
    urls : tuple of str
        Public addresses: the first is preferred, the others hold the same bytes.
    size : int, optional
        Bytes, where announced.
    md5, sha256 : str, optional
        Digests, where announced.
    """

    kind: str
    path: str
    urls: tuple[str, ...]
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    licence: str = ""
    source: str = ""
    version: str = ""

    @property
    def has_digest(self) -> bool:
        """Whether the bytes can be told from other bytes of the same length."""
        return self.md5 is not None or self.sha256 is not None

    def problem(self, size: int, md5: str, sha256: str) -> str | None:
        """Say how bytes differ from what was announced, or None."""
        if self.size is not None and size != self.size:
            return f"{size:,} bytes arrived where {self.size:,} were announced"
        if self.md5 is not None and md5 != self.md5:
            return f"the MD5 is {md5} where {self.md5} was announced"
        if self.sha256 is not None and sha256 != self.sha256:
            return f"the SHA-256 is {sha256[:16]}... where {self.sha256[:16]}... was announced"
        return None


@dataclass(frozen=True)
class Found:
    """What stands on the disk for an item: size and digests of the file, size of the partial file."""

    size: int | None = None
    md5: str = ""
    sha256: str = ""
    partial: int = 0


class Action(Enum):
    """What to do about an item."""

    KEEP = "verified and recorded: nothing to do"
    ADOPT = "verified but not recorded: record it"
    RESUME = "go on from the partial file"
    FETCH = "download from the start"


def decide(item: Item, found: Found, record: Record | None) -> Action:
    """Decide what to do about an item, from what was announced, found and recorded; no effects."""
    if found.size is not None and item.problem(found.size, found.md5, found.sha256) is None:
        if record is not None and record.sha256 == found.sha256:
            return Action.KEEP
        if item.has_digest or (record is None and item.size is not None):
            return Action.ADOPT
    if item.has_digest and found.partial > 0 and (item.size is None or found.partial <= item.size):
        return Action.RESUME
    return Action.FETCH


class Digests:
    """MD5 and SHA-256 of bytes that pass by, and their number."""

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Take note of bytes."""
        self.size += len(data)
        self._md5.update(data)
        self._sha256.update(data)

    def read(self, path: Path) -> Digests:
        """Take note of a file's bytes."""
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                self.update(chunk)
        return self

    @property
    def values(self) -> tuple[int, str, str]:
        """Size, MD5 and SHA-256."""
        return self.size, self._md5.hexdigest(), self._sha256.hexdigest()


def look(target: Path, partial: Path) -> Found:
    """Return what stands on the disk."""
    left = 0
    with contextlib.suppress(OSError):
        left = partial.stat().st_size
    try:
        size, md5, sha256 = Digests().read(target).values
    except OSError:
        return Found(partial=left)
    return Found(size, md5, sha256, left)


def download(
    client: Client, item: Item, target: Path, partial: Path, interrupt: Callable[[], None]
) -> tuple[str, tuple[int, str, str]]:
    """Download an item, verify it and move it into place.

    Parameters
    ----------
    client : Client
        Asks.
    item : Item
        What was announced.
    target, partial : Path
        The file, and where its bytes stand until they are verified.
    interrupt : callable
        Raises when the work should stop.

    Returns
    -------
    tuple
        The address that served it, and its size, MD5 and SHA-256.

    Raises
    ------
    ChecksumError
        If it keeps being something else than announced.
    ServiceError
        If it cannot be had.
    """
    urls = list(item.urls)
    mismatches = 0

    def attempt(number: int) -> tuple[str, tuple[int, str, str]]:
        nonlocal mismatches
        interrupt()
        # Two tries at the preferred address, then in turn with the mirrors.
        url = urls[0] if number < 2 else urls[number % len(urls)]
        try:
            found = _pull(client, item, url, partial, interrupt)
        except NotFoundError:
            if len(urls) == 1:
                raise
            urls.remove(url)
            message = f"{item.path} is at none of its addresses"
            raise Transient(message, wait_s=0.0, becomes=NotFoundError) from None
        except RefusedError as error:
            if error.status != RANGE_REFUSED:
                raise
            partial.unlink(missing_ok=True)
            message = f"{url} has fewer bytes than are already here; run the same command again"
            raise Transient(message, wait_s=0.0) from error
        problem = item.problem(*found)
        if problem is not None:
            partial.unlink(missing_ok=True)
            mismatches += 1
            message = (
                f"{item.path} is not what {url} announced: {problem}; it was deleted: run the same command again, "
                "and report it if it stays so"
            )
            if mismatches >= MISMATCHES:
                raise ChecksumError(message)
            raise Transient(message, becomes=ChecksumError)
        partial.replace(target)
        return url, found

    return client.patiently(attempt)


def _pull(client: Client, item: Item, url: str, partial: Path, interrupt: Callable[[], None]) -> tuple[int, str, str]:
    """Bring the missing bytes into the partial file; return size, MD5 and SHA-256 of all of it."""
    digests = Digests()
    if item.has_digest and partial.exists():
        digests.read(partial)
        if digests.size == item.size:
            return digests.values
    headers = {"Range": f"bytes={digests.size}-"} if digests.size else {}
    with client.answer(url, headers=headers) as response:
        digests = _at_place(response, digests, partial, url)
        start, announced = digests.size, _length(response)
        encoded = response.headers.get("Content-Encoding", "identity").lower() not in ("identity", "")
        if item.size is not None and announced is not None and not encoded and start + announced != item.size:
            _refuse_page(next(client.chunks(response, client.limits.file_bytes), b""), item, url, partial)
            return start + announced, "", ""
        limit = client.limits.file_bytes if item.size is None or encoded else item.size - start
        try:
            with partial.open("ab" if start else "wb") as file:
                for chunk in client.chunks(response, limit):
                    digests.update(chunk)
                    file.write(chunk)
                    interrupt()
        except LimitError:
            if item.size is None or encoded:
                raise
            return item.size + 1, "", ""
    wanted = start + announced if announced is not None else item.size if not encoded else None
    if wanted is not None and digests.size < wanted:
        if looks_like_page(_head(partial)):
            _refuse_page(_head(partial), item, url, partial)
        message = f"{url} broke off after {digests.size:,} of {wanted:,} bytes; run the same command again to go on"
        raise Transient(message, becomes=IncompleteError)
    if encoded and item.problem(*digests.values) is not None:
        return _decode(partial, client.limits.file_bytes if item.size is None else item.size)
    if not item.has_digest or item.problem(*digests.values) is not None:
        _refuse_page(_head(partial), item, url, partial)
    return digests.values


def _head(partial: Path) -> bytes:
    with partial.open("rb") as file:
        return file.read(512)


def _at_place(response: requests.Response, digests: Digests, partial: Path, url: str) -> Digests:
    """Return the digests so far, or fresh ones where the server sends the file from its start."""
    start = digests.size
    if not start or response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        return digests
    if response.status_code == 206:
        partial.unlink(missing_ok=True)
        message = f"{url} sent another part of the file than was asked for; run the same command again later"
        raise Transient(message)
    return Digests()


def _refuse_page(head: bytes, item: Item, url: str, partial: Path) -> None:
    if head and not looks_like_page(head):
        return
    partial.unlink(missing_ok=True)
    what = "a web page" if head else "nothing"
    message = (
        f"{url} sent {what} instead of {Path(item.path).name} (status 200); a proxy or maintenance page? open it in "
        "a browser"
    )
    raise Transient(message)


def _length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdigit() else None


def _decode(partial: Path, limit: int) -> tuple[int, str, str]:
    """Undo a transport encoding that was not asked for, in place, up to `limit` bytes."""
    digests = Digests()
    plain = partial.with_name(partial.name + ".plain")
    try:
        with gzip.open(partial, "rb") as packed, plain.open("wb") as out:
            while (chunk := packed.read(CHUNK)) and digests.size <= limit:
                digests.update(chunk)
                out.write(chunk)
    except (OSError, EOFError, zlib.error):
        plain.unlink(missing_ok=True)
        return -1, "", ""
    plain.replace(partial)
    return digests.values
