"""Files into a folder, side by side, each recorded in its ledger; answers and tables beside them."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from data_connectors._download import Action, Item, decide, download, look
from data_connectors._http import Client
from data_connectors.errors import (
    ChecksumError,
    ConnectorError,
    DiskSpaceError,
    LimitError,
    RefusedError,
    SelectionError,
    ServiceError,
    TransferError,
    UpstreamChangedError,
)
from data_connectors.manifest import Manifest, Record

__all__ = ["Progress", "Transfer", "write_atomically"]

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with a kind of data, the number of files done and their total."""

SPARE_BYTES = 200_000_000


class Transfer:
    """Brings items into a folder, side by side, and records each one.

    Parameters
    ----------
    client : Client
        Asks the services.
    manifest : Manifest
        Open ledger of the folder.
    workers : int
        Files at a time.
    progress : callable, optional
        Called as files finish.
    offline : bool
        Use what is there and ask nobody.
    frozen : mapping, optional
        Records of an earlier fetch: the files that may be brought, and what they must be.
    now : callable
        Current time, for the ledger.
    """

    def __init__(
        self,
        client: Client,
        manifest: Manifest,
        *,
        workers: int = 4,
        progress: Progress | None = None,
        offline: bool = False,
        frozen: Mapping[str, Record] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.client = client
        self.manifest = manifest
        self.folder = manifest.folder
        self.workers = max(int(workers), 1)
        self.progress = progress
        self.offline = offline
        self.frozen = frozen
        self._now = now
        self._made: set[Path] = set()
        self._stop = threading.Event()

    def bring(self, items: Sequence[Item], label: str) -> None:
        """Bring every item, or raise when all that could be brought has been.

        Raises
        ------
        DiskSpaceError, LimitError
            Before the first byte, where the announced sizes do not fit.
        ConnectorError
            The failure, where one file failed.
        TransferError
            Where several failed.
        """
        self._check_sizes(items)
        self.each(self.one, items, label, lambda item: item.path)

    def each(self, task: Callable[[T], None], things: Sequence[T], label: str, name: Callable[[T], str]) -> None:
        """Run a task on many things, side by side; raise when all that could be done has been.

        Raises
        ------
        ConnectorError
            The failure, where one task failed.
        TransferError
            Where several failed.
        """
        failures: dict[str, ConnectorError] = {}
        in_a_row = done = 0
        self._tell(label, 0, len(things))
        waiting = iter(things)
        self._stop.clear()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="fetch") as pool:
            running: dict[Future[None], T] = {}
            try:
                while True:
                    while len(running) < 4 * self.workers and not self._stop.is_set():
                        thing = next(waiting, None)
                        if thing is None:
                            break
                        running[pool.submit(task, thing)] = thing
                    if not running:
                        break
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        thing = running.pop(future)
                        try:
                            future.result()
                            in_a_row = 0
                            done += 1
                            self._tell(label, done, len(things))
                        except ConnectorError as error:
                            failures[name(thing)] = error
                            in_a_row += not isinstance(error, RefusedError)
                            if in_a_row >= self.client.limits.failures or isinstance(error, DiskSpaceError):
                                self._stop.set()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self._raise(failures, len(things), done)

    def _raise(self, failures: Mapping[str, ConnectorError], total: int, done: int) -> None:
        if not failures:
            return
        path, first = next(iter(failures.items()))
        if len(failures) == 1 and done == total - 1:
            raise first
        message = (
            f"{total - done} of {total} files are missing, the first ({path}) because: {first}; "
            "what was verified is kept"
        )
        raise TransferError(message, failures) from first

    def _check_sizes(self, items: Sequence[Item]) -> None:
        limits = self.client.limits
        missing = sum(
            item.size or 0
            for item in items
            if not self.path_of(item.path).exists() or item.path not in self.manifest.records
        )
        if missing > limits.total_bytes:
            message = (
                f"{missing / 1e9:.1f} GB would be fetched and {limits.total_bytes / 1e9:.1f} GB are allowed; raise "
                "the limit or name fewer patients"
            )
            raise LimitError(message)
        largest = max(items, key=lambda item: item.size or 0, default=None)
        if largest is not None and (largest.size or 0) > limits.file_bytes:
            message = (
                f"{largest.path} has {largest.size:,} bytes and {limits.file_bytes:,} are allowed; raise the limit"
            )
            raise LimitError(message)
        self.check_room(missing)

    def check_room(self, needed: int) -> None:
        """Raise DiskSpaceError unless the folder's disk has room for `needed` more bytes."""
        free = shutil.disk_usage(self.folder).free
        if needed and needed + SPARE_BYTES > free:
            message = (
                f"{needed / 1e9:.2f} GB are still to be fetched and the disk of {self.folder} has {free / 1e9:.2f} "
                "GB free; "
                "free some space or give another folder"
            )
            raise DiskSpaceError(message)

    def _tell(self, label: str, done: int, total: int) -> None:
        if self.progress is not None and total:
            self.progress(label, done, total)

    def path_of(self, relative: str) -> Path:
        """Return where a recorded path stands, refusing one that leaves the folder."""
        parts = relative.split("/")
        if (
            not relative
            or relative.startswith("/")
            or ".." in parts
            or "" in parts
            or ":" in parts[0]
            or "\\" in relative
        ):
            message = (
                f"the path {relative!r} leads out of the folder and was refused; the manifest or the service's file "
                "name is not sound"
            )
            raise SelectionError(message)
        return self.folder.joinpath(*parts)

    def one(self, item: Item) -> None:
        """Bring one item.

        Raises
        ------
        ConnectorError
            With the name of the file, if it cannot be brought.
        """
        if self.frozen is not None:
            item = self._as_frozen(item)
        target = self.path_of(item.path)
        record = self.manifest.records.get(item.path)
        partial = target.with_name(target.name + ".part")
        found = look(target, partial)
        action = decide(item, found, record)
        if action is Action.KEEP:
            return
        if action is Action.ADOPT:
            self._record(item, item.urls[0], found.size or 0, found.md5, found.sha256)
            return
        if self.offline:
            message = f"{item.path} is not in {self.folder} and --offline was asked for; run once with a network"
            raise ServiceError(message)
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        if action is Action.FETCH:
            partial.unlink(missing_ok=True)
        try:
            url, found_bytes = download(self.client, item, target, partial, self._interrupt)
            self._record(item, url, *found_bytes)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                message = (
                    f"the disk of {self.folder} is full at {item.path}; free some space and run the same command again"
                )
                raise DiskSpaceError(message) from error
            message = f"{target} cannot be written ({error.strerror}); check the folder"
            raise ConnectorError(message) from error

    def is_there(self, item: Item) -> bool:
        """Say whether an item stands verified and recorded in the folder."""
        target = self.path_of(item.path)
        found = look(target, target.with_name(target.name + ".part"))
        return decide(item, found, self.manifest.records.get(item.path)) is Action.KEEP

    def put(self, item: Item, data: bytes) -> None:
        """Write and record bytes that came inside an archive.

        Raises
        ------
        ChecksumError
            If they are not what was announced.
        """
        if self.frozen is not None:
            item = self._as_frozen(item)
        md5, sha256 = hashlib.md5(data, usedforsecurity=False).hexdigest(), hashlib.sha256(data).hexdigest()
        problem = item.problem(len(data), md5, sha256)
        if problem is not None:
            message = f"{item.path} is not what was announced: {problem}; run the same command again"
            raise ChecksumError(message)
        write_atomically(self.path_of(item.path), data)
        self._record(item, item.urls[0], len(data), md5, sha256)

    def _as_frozen(self, item: Item) -> Item:
        known = (self.frozen or {}).get(item.path)
        if known is None:
            message = f"{item.path} is not in the manifest that is repeated; the service's answers have changed since"
            raise UpstreamChangedError(message, {item.path: "not in the manifest"})
        return replace(item, size=known.size, md5=known.md5, sha256=known.sha256)

    def _interrupt(self) -> None:
        if self._stop.is_set():
            message = "stopped after other failures"
            raise ServiceError(message)

    def _record(self, item: Item, url: str, size: int, md5: str, sha256: str) -> None:
        checked = "md5" if item.md5 else "sha256" if item.sha256 else "size" if item.size is not None else "nothing"
        self.manifest.add(
            Record(
                item.kind,
                item.path,
                url,
                size,
                md5,
                sha256,
                checked,
                item.licence,
                item.source,
                item.version,
                self._stamp(),
            )
        )

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="seconds")

    def query(
        self,
        path: str,
        uri: str,
        ask: Callable[[], Any],
        *,
        request: Mapping[str, Any] | None = None,
        part: Callable[[Any], str] | None = None,
        licence: str = "",
        source: str = "",
        version: str = "",
    ) -> Any:
        """Return an answer as plain JSON values: the one recorded in the folder, else a fresh one.

        A folder is one snapshot: an answer that it holds to the same question is not asked for
        again, so a resumed fetch never mixes two releases of a service. `part` names each element of
        a list, so that a later comparison can say which ones changed.
        """
        target = self.path_of(path)
        record = self.manifest.records.get(path)
        if record is not None and record.uri == uri and (record.request or None) == (request or None):
            found = look(target, target.with_name(target.name + ".part"))
            if found.sha256 == record.sha256:
                return json.loads(target.read_bytes())
        if self.offline:
            message = (
                f"the answer of {uri} is not in {self.folder} and --offline was asked for; run once with a network"
            )
            raise ServiceError(message)
        answer = ask()
        data = canonical(answer)
        parts = None
        if part is not None:
            parts = {part(one): hashlib.sha256(canonical(one)).hexdigest()[:16] for one in answer}
        write_atomically(target, data)
        self._add_bytes("query", path, uri, data, licence, source, version, request, parts)
        return json.loads(data)

    def table(self, path: str, data: bytes, *, source: str = "", version: str = "") -> Path:
        """Write a table that was made here, and record its digest."""
        target = self.path_of(path)
        write_atomically(target, data)
        self._add_bytes("table", path, "", data, "", source, version)
        return target

    def _add_bytes(
        self,
        kind: str,
        path: str,
        uri: str,
        data: bytes,
        licence: str,
        source: str,
        version: str,
        request: Mapping[str, Any] | None = None,
        parts: Mapping[str, str] | None = None,
    ) -> None:
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        sha256 = hashlib.sha256(data).hexdigest()
        stamp = self._stamp()
        record = Record(
            kind, path, uri, len(data), md5, sha256, "nothing", licence, source, version, stamp, request, parts
        )
        self.manifest.add(record)


def canonical(value: Any) -> bytes:
    """Return JSON bytes that do not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def write_atomically(target: Path, data: bytes) -> None:
    """Write a file beside its name and move it into place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(data)
    partial.replace(target)
