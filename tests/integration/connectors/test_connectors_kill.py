"""Killed at 50 random moments: the next call goes on, fetches nothing verified again, and ends the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_connectors.manifest import read_manifest

DRIVER = Path(__file__).parents[2] / "services" / "kill_driver.py"
KILLS = 50


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_fifty_kills(make_rig, twelve, tmp_path):
    rig = make_rig(twelve[:4])
    reference = tmp_path / "reference"
    rig.fetch(patients=4, folder=reference)
    wanted = contents(reference)
    assert len(wanted) > 100
    _, records = read_manifest(reference / "manifest.jsonl")
    served_as = {path: one.uri.rsplit("/", 1)[1] for path, one in records.items() if one.kind not in ("query", "table")}

    rig.server.latency = 0.002
    endpoints = rig.server.write_endpoints(tmp_path / "endpoints.yaml")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(
        [sys.executable, str(DRIVER), str(endpoints), str(rig.folder), "7", "0.5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    kills = finished = 0
    verified: set[str] = set()
    seen = len(rig.server.started)
    try:
        while kills < KILLS or not finished:
            driver.stdin.write("go\n")
            driver.stdin.flush()
            outcome = driver.stdout.readline().strip()
            asked = {line.split("?")[0].rsplit("/", 1)[1] for line in rig.server.started[seen:]}
            seen = len(rig.server.started)
            assert not asked & verified, "a verified file was asked for again"
            assert outcome in ("killed", "done"), rig.folder.with_suffix(".error").read_text()
            now = contents(rig.folder) if rig.folder.exists() else {}
            # Whatever stands under its own name is whole: there is never a half-written file.
            assert {path: digest for path, digest in now.items() if path in wanted} == {
                path: wanted[path] for path in now if path in wanted
            }
            assert all(path in wanted or path.endswith(".part") for path in now)
            verified = {served_as[path] for path in now if path in served_as}
            kills += outcome == "killed"
            if outcome == "done":
                assert now == wanted
                finished += 1
                shutil.rmtree(rig.folder)
                verified = set()
    finally:
        driver.stdin.close()
        driver.wait(timeout=20)
        driver.stdout.close()
