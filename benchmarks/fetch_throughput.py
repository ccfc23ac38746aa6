"""Many small files over a link with latency: the connectors' transfer beside a sequential requests loop.

Both bring the same files from the same loopback server, which stands in a process of its own and waits
before every answer; both write them to disk. The transfer also verifies size and MD5 and records each file.

    python benchmarks/fetch_throughput.py                    # 10,000 files, 20 ms, 8 workers
    python benchmarks/fetch_throughput.py --files 2000 --latency-ms 50
    python benchmarks/fetch_throughput.py --plan             # time and memory to the first answer

One run prints files per second, megabytes per second and the ratio of the rates.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def payload(number: int, size: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * (size // 32)


def serve(latency_s: float, size: int) -> None:
    """Serve /s3/<bucket>/<number> after a wait, until killed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            time.sleep(latency_s)
            data = payload(int(self.path.rsplit("/", 1)[1].split(".")[0]), size)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def sequential(base: str, count: int, folder: Path, *, session: bool) -> float:
    import requests

    get = requests.Session().get if session else requests.get
    started = time.perf_counter()
    for number in range(count):
        response = get(f"{base}/s3/idc-open-data/u/{number}.dcm", timeout=60)
        response.raise_for_status()
        (folder / f"{number}.dcm").write_bytes(response.content)
    return time.perf_counter() - started


def transferred(base: str, count: int, size: int, folder: Path, workers: int) -> float:
    from data_connectors import Client, Endpoints
    from data_connectors._download import Item
    from data_connectors._transfer import Transfer
    from data_connectors.idc import object_url
    from data_connectors.manifest import opened

    items = [
        Item(
            "images",
            f"images/P{number % 100:03d}/u/{number}.dcm",
            (object_url("idc-open-data", f"u/{number}.dcm"),),
            size // 32 * 32,
            hashlib.md5(payload(number, size)).hexdigest(),
            licence="CC BY 3.0",
        )
        for number in range(count)
    ]
    client = Client(Endpoints.at(base), workers=workers)
    started = time.perf_counter()
    with opened(folder) as ledger:
        Transfer(client, ledger, workers=workers).bring(items, "images")
    return time.perf_counter() - started


def first_answer() -> None:
    """Print time and memory of a plan and of the cohort table, each in a fresh interpreter."""
    for call in ("plan('tcga-kirc').summary()", "cohort_table()"):
        code = (
            "import time, resource; t = time.perf_counter(); import data_connectors; "
            f"data_connectors.{call}; "
            "print(time.perf_counter() - t, time.process_time(), "
            "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        runs = []
        for _ in range(3):
            told = subprocess.check_output([sys.executable, "-c", code], text=True)
            runs.append(tuple(map(float, told.split())))
        wall, cpu, megabytes = min(runs)
        print(f"{call:<28} {wall:6.2f} s ({cpu:.2f} s of one core), {megabytes:.0f} MB; best of 3, imports included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--sequential-files", type=int, help="fewer for the sequential loop; rates are compared")
    parser.add_argument("--bytes", type=int, default=20_000)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.latency_ms / 1000, asked.bytes)
        return
    if asked.plan:
        first_answer()
        return
    command = [sys.executable, __file__, "--serve", "--latency-ms", str(asked.latency_ms), "--bytes", str(asked.bytes)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    fewer = asked.sequential_files or asked.files
    rows = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for label, session in (("requests.get, one by one", False), ("requests.Session, one by one", True)):
                target = folder / label.split(",")[0]
                target.mkdir()
                rows.append((label, fewer, sequential(base, fewer, target, session=session)))
            seconds = transferred(base, asked.files, asked.bytes, folder / "transfer", asked.workers)
            rows.append((f"imrad transfer, {asked.workers} workers", asked.files, seconds))
            again = transferred(base, asked.files, asked.bytes, folder / "transfer", asked.workers)
            rows.append(("imrad, all there already", asked.files, again))
    finally:
        server.kill()
        server.wait()
    print(f"{asked.bytes:,} bytes a file, {asked.latency_ms:g} ms before every answer")
    for label, count, seconds in rows:
        rate = count / seconds
        print(
            f"{label:<32} {count:>7,} files {seconds:8.1f} s {rate:8.0f} files/s {rate * asked.bytes / 1e6:8.1f} MB/s"
        )
    rate = rows[2][1] / rows[2][2]
    for label, count, seconds in rows[:2]:
        print(f"ratio to {label:<32} {rate / (count / seconds):5.2f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
