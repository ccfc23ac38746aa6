"""Bytes from public services to verified files; knows nothing of imrad.

>>> import data_connectors
>>> plan = data_connectors.plan("tcga-kirc", patients=12)  # offline: what, how many, how large, which licence
>>> fetched = data_connectors.execute(plan, "kirc")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_connectors._http import Client, Limits
    from data_connectors._transfer import Progress
    from data_connectors.cohorts import Cohort, find_cohort, load_cohorts
    from data_connectors.endpoints import Endpoints
    from data_connectors.errors import ConnectorError
    from data_connectors.fetching import Fetched, execute
    from data_connectors.planning import KINDS, Plan, cohort_table, plan
    from data_connectors.repeating import repeat
    from data_connectors.tcia import cross_check

_HOMES = {
    "Client": "_http",
    "Limits": "_http",
    "Progress": "_transfer",
    "Cohort": "cohorts",
    "find_cohort": "cohorts",
    "load_cohorts": "cohorts",
    "Endpoints": "endpoints",
    "ConnectorError": "errors",
    "Fetched": "fetching",
    "execute": "fetching",
    "repeat": "repeating",
    "KINDS": "planning",
    "Plan": "planning",
    "cohort_table": "planning",
    "plan": "planning",
    "cross_check": "tcia",
}

__all__ = [
    "KINDS",
    "Client",
    "Cohort",
    "ConnectorError",
    "Endpoints",
    "Fetched",
    "Limits",
    "Plan",
    "Progress",
    "cohort_table",
    "cross_check",
    "execute",
    "find_cohort",
    "load_cohorts",
    "plan",
    "repeat",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'data_connectors' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"data_connectors.{home}"), name)
