"""A real HTTP server on this machine that plays every service of a :class:`World`, faults included.

Use it from any test (tests are imported by path, so load it by path, too)::

    import importlib.util, sys
    def load(name):
        path = Path(__file__).parents[1] / "services" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"services_{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    made = load("world")
    world = made.World(tmp_path / "world", patients=made.twelve(), symbols=made.immune_symbols())
    with load("loopback").Loopback(world) as server:
        plan = data_connectors.plan("tcga-kirc", patients=12, endpoints=server.endpoints)

`symbols` gives the expression files the genes that immune scores need. For the command line,
``server.write_endpoints(path)`` writes the file that ``IMRAD_ENDPOINTS`` may name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from data_connectors import Endpoints

KNOWN_FIELDS = {
    "cases": {"case_id", "submitter_id", "project.project_id", "primary_site", "disease_type"},
    "files": {
        "file_id", "file_name", "file_size", "md5sum", "state", "access", "data_release", "cases.submitter_id",
        "cases.case_id", "cases.samples.submitter_id", "cases.samples.sample_type", "cases.samples.tissue_type",
        "cases.samples.preservation_method", "cases.samples.portions.is_ffpe",
        "associated_entities.entity_submitter_id", "associated_entities.entity_type",
    },
}  # fmt: skip
WORKFLOWS = {
    "Gene Expression Quantification": "STAR - Counts",
    "Masked Somatic Mutation": "Aliquot Ensemble Somatic Variant Merging and Masking",
}


@dataclass
class Answer:
    """What the server would send."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True


@dataclass
class Fault:
    """Something that goes wrong with the requests whose ``METHOD path`` matches.

    Attributes
    ----------
    pattern : str
        Regular expression of ``GET /s3/...``.
    times : int
        How often; -1 for ever.
    change : callable, optional
        Alters the answer.
    cut : int, optional
        Bytes of the body after which the connection is closed, the announced length notwithstanding.
    reset : bool
        Close it rudely.
    drip : float, optional
        Seconds between single bytes.
    skip : int
        Matching requests that are let through first.
    """

    pattern: str
    times: int = 1
    change: Callable[[Answer], None] | None = None
    cut: int | None = None
    reset: bool = False
    drip: float | None = None
    skip: int = 0


def status(code: int, body: bytes = b"", **headers: str) -> Callable[[Answer], None]:
    """Return a change to another status, body and headers (underscores for dashes)."""

    def change(answer: Answer) -> None:
        answer.status, answer.body = code, body
        answer.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    return change


def body(data: bytes | Callable[[bytes], bytes], **headers: str) -> Callable[[Answer], None]:
    """Return a change to another body with the same status."""

    def change(answer: Answer) -> None:
        answer.body = data(answer.body) if callable(data) else data
        answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})

    return change


class Loopback:
    """The server; a context manager.

    Attributes
    ----------
    log : list of (method, path, range, status, bytes sent)
        Every request, when it has been answered.
    started : list of str
        ``METHOD path`` of every request, when it came in.
    faults : list of Fault
        What goes wrong; tests append to it.
    known_fields : dict
        Fields that the GDC knows; tests remove some.
    page : int
        Most keys of one listing page.
    latency : float
        Seconds before every answer.
    """

    def __init__(self, world: Any, *, latency: float = 0.0, page: int = 1000) -> None:
        self.world = world
        self.latency = latency
        self.page = page
        self.log: list[tuple[str, str, str, int, int]] = []
        self.started: list[str] = []
        self.faults: list[Fault] = []
        self.known_fields = {name: set(fields) for name, fields in KNOWN_FIELDS.items()}
        self.errors: list[str] = []
        self.superseded: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.loopback = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints.at(self.base, index=str(self.world.index), pins=self.world.pins)

    def write_endpoints(self, path: str | Path) -> Path:
        """Write the file that IMRAD_ENDPOINTS may name (JSON is YAML)."""
        settings = {"base": self.base, "index": str(self.world.index), "pins": self.world.pins}
        Path(path).write_text(json.dumps(settings))
        return Path(path)

    def asked(self, pattern: str) -> list[tuple[str, str, str, int, int]]:
        """Return the logged requests whose ``METHOD path`` matches."""
        with self._lock:
            return [entry for entry in self.log if re.search(pattern, f"{entry[0]} {entry[1]}")]

    def fault_for(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times != 0 and re.search(fault.pattern, line):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def note(self, entry: tuple[str, str, str, int, int]) -> None:
        with self._lock:
            self.log.append(entry)

    # What each service says

    def answer(self, method: str, path: str, query: dict[str, str], sent: bytes) -> Answer:
        parts = path.strip("/").split("/")
        service = getattr(self, f"_{parts[0]}", None)
        if service is None:
            return Answer(404, b"no such service")
        return service(method, parts[1:], query, sent)

    def _s3(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        bucket, key = parts[0], "/".join(parts[1:])
        if query.get("list-type") == "2":
            return self._list_s3(query)
        found = self._object(bucket, key)
        if found is None:
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {"Content-Type": "application/xml"})
        return Answer(200, found, {"ETag": f'"{hashlib.md5(found).hexdigest()}"', "Accept-Ranges": "bytes"})

    def _object(self, bucket: str, key: str) -> bytes | None:
        del bucket
        return dict(self.world.objects(key.split("/")[0])).get(key)

    def _list_s3(self, query: dict[str, str]) -> Answer:
        prefix = query.get("prefix", "")
        # The prefix itself may stand in a listing, with no bytes.
        keys = [(prefix, b""), *self.world.objects(prefix.rstrip("/"))]
        keys = keys if len(keys) > 1 else []
        start = int(query.get("continuation-token", "0") or 0)
        most = min(int(query.get("max-keys", "1000")), self.page)
        page, rest = keys[start : start + most], keys[start + most :]
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2023-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(data).hexdigest()}&quot;</ETag><Size>{len(data)}</Size></Contents>"
            for key, data in page
        )
        token = f"<NextContinuationToken>{start + most}</NextContinuationToken>" if rest else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Prefix>{prefix}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{'true' if rest else 'false'}</IsTruncated>{token}{entries}</ListBucketResult>"
        )
        return Answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _gcs(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        if parts[:2] == ["storage", "v1"]:
            objects = self.world.objects(query.get("prefix", "").rstrip("/"))
            items = [
                {"name": key, "size": str(len(data)), "md5Hash": b64encode(hashlib.md5(data).digest()).decode()}
                for key, data in objects
            ]
            return _json({"kind": "storage#objects", **({"items": items} if items else {})})
        found = self._object(parts[0], "/".join(parts[1:]))
        return Answer(404, b"Not Found") if found is None else Answer(200, found, {"Accept-Ranges": "bytes"})

    def _gdc(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        if parts == ["status"]:
            release = "Data Release 45.0 - December 04, 2025"
            return _json({"commit": "abc", "data_release": release, "status": "OK", "tag": "8.5.0", "version": 1})
        if parts[0] in ("cases", "files") and len(parts) == 1:
            return self._search(parts[0], json.loads(sent) if sent else query)
        if parts[:2] == ["files", "versions"]:
            new = self.superseded.get(parts[2], parts[2])
            name, data = self.world.gdc_data[new]
            return _json([{"id": parts[2], "latest_id": new, "latest_filename": name, "latest_size": len(data),
                           "latest_md5": hashlib.md5(data).hexdigest()}])  # fmt: skip
        if parts[0] == "data":
            return self._gdc_file(parts[1])
        return Answer(404, b'{"message": "not found"}')

    def _gdc_file(self, file_id: str) -> Answer:
        if file_id in self.superseded:
            return Answer(
                404, b'{"message": "the requested file does not exist"}', {"Content-Type": "application/json"}
            )
        name, data = self.world.gdc_data.get(file_id, ("table.tsv", self.world.published.get(file_id)))
        if data is None:
            return Answer(404, b'{"message": "not found"}', {"Content-Type": "application/json"})
        headers = {"Content-Disposition": f"attachment; filename={name}", "Accept-Ranges": "bytes"}
        if file_id in self.world.gdc_data:
            headers["Content-MD5"] = hashlib.md5(data).hexdigest()
        return Answer(200, data, headers)

    def _search(self, endpoint: str, asked: dict[str, Any]) -> Answer:
        hits = self.world.gdc_cases if endpoint == "cases" else [hit for hit, _ in self.world.gdc_files]
        hits = [hit for hit in hits if _matches(hit, asked.get("filters"))]
        hits = sorted(hits, key=lambda hit: hit["id"])
        size, start = int(asked.get("size", 10)), int(asked.get("from", 0))
        unknown = sorted(set(str(asked.get("fields", "")).split(",")) - self.known_fields[endpoint] - {""})
        warnings = {"fields": f"unrecognized values: [{', '.join(unknown)}]"} if unknown else {}
        page = hits[start : start + size]
        pagination = {"count": len(page), "total": len(hits), "size": size, "from": start, "sort": "",
                      "page": start // max(size, 1) + 1, "pages": -(-len(hits) // max(size, 1))}  # fmt: skip
        return _json({"data": {"hits": page, "pagination": pagination}, "warnings": warnings})

    def _cbioportal(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        if parts[:1] != ["studies"] or not parts[1].startswith("kirc"):
            return Answer(404, b'{"message": "Study not found"}', {"Content-Type": "application/json"})
        return _json(self.world.msi(query["attributeId"]))

    def _nbia(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        allowed = {
            "getSeries": {"Collection", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "format"},
            "getImageWithMD5Hash": {"SeriesInstanceUID"},
            "getImage": {"SeriesInstanceUID", "NewFileNames", "IncludeMD5"},
        }.get(parts[0])
        if allowed is None:
            return Answer(404, b"no such endpoint")
        unknown = sorted(set(query) - allowed)
        if unknown:
            names = ", ".join(sorted(allowed))
            text = f"Invalid query parameter: '{unknown[0]}'. Allowed parameters are: [{names}]"
            return Answer(400, text.encode(), {"Content-Type": "text/plain"})
        if parts[0] == "getSeries":
            rows = self.world.nbia_series(**{name: value for name, value in query.items() if name != "format"})
            return _json(rows) if rows else Answer(200, b"")
        series = query.get("SeriesInstanceUID", "")
        if series not in self.world.by_series:
            return Answer(400, b"Image with given SeriesInstanceUID is not public", {"Content-Type": "text/plain"})
        return Answer(200, self.world.archive(series, hashed=parts[0] != "getImage"), length=False)

    def _tcia(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        found = self.world.sheets().get(parts[-1])
        return Answer(404, b"<html>not found</html>") if found is None else Answer(200, found)

    def _geo(self, method: str, parts: list[str], query: dict[str, str], sent: bytes) -> Answer:
        return self._tcia(method, parts, query, sent)


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _matches(hit: dict[str, Any], filters: Any) -> bool:
    if not filters:
        return True
    content = filters["content"]
    if filters["op"] == "and":
        return all(_matches(hit, one) for one in content)
    values = content["value"] if isinstance(content["value"], list) else [content["value"]]
    field_name = content["field"].removeprefix("files.")
    actual = {
        "cases.project.project_id": hit.get("project_id") or hit.get("project", {}).get("project_id"),
        "cases.submitter_id": hit.get("submitter_id") or (hit.get("cases") or [{}])[0].get("submitter_id"),
        "data_type": hit.get("data_type"),
        "analysis.workflow_type": WORKFLOWS.get(str(hit.get("data_type"))),
        "access": hit.get("access"),
    }
    if field_name not in actual:
        raise KeyError(field_name)
    return actual[field_name] in values


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    loopback: Loopback

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent when a client goes away: tests make it do so."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError | ValueError):
            self.loopback.errors.append(repr(error))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def log_message(self, *_: object) -> None:
        """Stay silent: the log is a list."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        play = self.server.loopback
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
        address = urlsplit(self.path)
        path = unquote(address.path)
        query = {name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        play.started.append(f"{method} {self.path}")
        if play.latency:
            time.sleep(play.latency)
        try:
            answer = play.answer(method, path, query, sent)
        except (KeyError, IndexError, ValueError) as error:
            answer = Answer(400, f'{{"message": "bad request: {error}"}}'.encode())
        fault = play.fault_for(f"{method} {self.path}")
        whole = answer.body
        wanted = self.headers.get("Range", "")
        if answer.status == 200 and answer.headers.get("Accept-Ranges") and (start := _start(wanted)) is not None:
            if start >= len(whole):
                answer = Answer(416, b"", {"Content-Range": f"bytes */{len(whole)}"})
            else:
                answer.status, answer.body = 206, whole[start:]
                answer.headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if fault is not None and fault.change is not None:
            fault.change(answer)
        count = self._send(answer, fault)
        play.note((method, self.path, wanted, answer.status, count))

    def _send(self, answer: Answer, fault: Fault | None) -> int:
        self.send_response(answer.status)
        headers = dict(answer.headers)
        if answer.length:
            headers.setdefault("Content-Length", str(len(answer.body)))
        else:
            headers["Transfer-Encoding"] = "chunked"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        data = answer.body if answer.length else b"".join(_chunked(answer.body))
        if fault is not None and (fault.cut is not None or fault.reset):
            part = data[: fault.cut if fault.cut is not None else len(data) // 2]
            self.wfile.write(part)
            self.wfile.flush()
            if fault.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR) if not fault.reset else self.connection.close()
            return len(part)
        if fault is not None and fault.drip is not None:
            with contextlib.suppress(OSError):
                for number in range(len(data)):
                    self.wfile.write(data[number : number + 1])
                    self.wfile.flush()
                    time.sleep(fault.drip)
            return len(data)
        self.wfile.write(data)
        return len(answer.body)


def _start(value: str) -> int | None:
    found = re.fullmatch(r"bytes=(\d+)-", value)
    return int(found.group(1)) if found else None


def _chunked(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 65536):
        part = data[start : start + 65536]
        yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
    yield b"0\r\n\r\n"
