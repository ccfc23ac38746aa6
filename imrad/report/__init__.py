"""The report draws the tables a run has written; it fits nothing."""

from __future__ import annotations

from typing import Any

__all__ = ["Report"]


def __getattr__(name: str) -> Any:
    if name == "Report":
        from imrad.report.report import Report

        return Report
    message = f"module 'imrad.report' has no attribute {name!r}"
    raise AttributeError(message)
