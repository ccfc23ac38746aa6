"""Tests that talk to the real services run only when chosen with ``pytest -m live``."""

from __future__ import annotations


def pytest_collection_modifyitems(config, items):
    if "live" in (config.option.markexpr or ""):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if not item.get_closest_marker("live")]
