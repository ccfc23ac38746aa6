"""Runs fetches in children that are killed at random moments; driven by test_connectors_kill.

Usage: ``python kill_driver.py ENDPOINTS FOLDER SEED LONGEST``. For every line ``go`` on standard input one
child is forked that fetches into FOLDER; it is killed (SIGKILL) after a random time, unless it ends
before. Answers ``killed``, ``done``, or ``failed``. The parent has one thread, so forking is safe.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import duckdb  # noqa: F401 - imported once here, so that children start at once
import openpyxl  # noqa: F401
import pydicom  # noqa: F401

import data_connectors
from data_connectors import fetching  # noqa: F401


def child(endpoints: str, folder: str) -> None:
    places = data_connectors.Endpoints.from_file(endpoints)
    plan = data_connectors.plan("tcga-kirc", patients=4, endpoints=places)
    data_connectors.execute(plan, folder, workers=4)


def main() -> None:
    endpoints, folder, seed, longest = sys.argv[1:]
    moments = random.Random(int(seed))
    for _ in sys.stdin:
        sys.stdout.flush()
        number = os.fork()
        if number == 0:
            code = 1
            try:
                child(endpoints, folder)
                code = 0
            except BaseException as error:  # noqa: BLE001 - a child must not return into the parent's loop
                Path(folder).with_suffix(".error").write_text(repr(error))
            finally:
                os._exit(code)
        deadline = time.monotonic() + moments.uniform(0.02, float(longest))
        outcome = None
        while outcome is None and time.monotonic() < deadline:
            ended, status = os.waitpid(number, os.WNOHANG)
            if ended:
                outcome = "done" if status == 0 else "failed"
            else:
                time.sleep(0.002)
        if outcome is None:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            outcome = "killed"
        print(outcome, flush=True)  # noqa: T201


main()
