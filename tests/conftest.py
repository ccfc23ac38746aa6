"""A sealed network, and the folder of reference data that may not be redistributed."""

from __future__ import annotations

import locale
import os
import socket
from pathlib import Path

import pytest

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(autouse=True)
def sealed_network(request, monkeypatch):
    """An unplanned request raises; loopback servers of the tests are allowed."""
    if request.node.get_closest_marker("live"):
        return
    connect = socket.socket.connect

    def sealed(self, address):
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host not in LOOPBACK:
            message = f"a test tried to reach the network: {address}"
            raise RuntimeError(message)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", sealed)


@pytest.fixture(autouse=True)
def kept_locale():
    """ITK's JPEG coder leaves the C locale behind, and a test must not hand it on."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Return the folder that IMRAD_REFERENCE_DATA names, or skip; CI refuses the skip."""
    folder = os.environ.get("IMRAD_REFERENCE_DATA")
    if not folder:
        pytest.skip("IMRAD_REFERENCE_DATA is not set")
    return Path(folder)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where CI has installed everything, a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()
    # No estimator claims array-API support, so scikit-learn passes over its check of it everywhere.
    expected = hasattr(report, "wasxfail") or "check_array_api_input" in item.name
    if os.environ.get("IMRAD_REFUSE_SKIPS") and report.skipped and not expected:
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
