"""The grid's tasks: named for the store, mapped, and their ledgers gathered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from imrad import content
from imrad.evaluation import Ledger
from imrad.execution import Progress, Store, map_tasks
from imrad.phenotype.folds import Task
from imrad.phenotype.prepared import Plan
from imrad.phenotype.targets import Target

__all__ = ["Runner", "target_parts", "task_parts"]


@dataclass
class Runner:
    """Maps tasks over one plan.

    Attributes
    ----------
    plan : Plan
        What the tasks share.
    key : str
        Digest of all that a result depends on beside the task itself.
    ledger : Ledger
        Gathers what the tasks recorded, in the tasks' order.
    workers, cluster, store, progress
        See :func:`imrad.execution.map_tasks`.
    """

    plan: Plan
    key: str
    ledger: Ledger
    workers: int = 1
    cluster: str | None = None
    store: Store | None = None
    progress: Progress | None = None

    def map(
        self, fn: Callable[[Any], dict[str, Any]], items: Sequence[Any], label: str, parts: Callable[[Any], list[Any]]
    ) -> list[dict[str, Any]]:
        """Run the tasks and merge what they recorded; `parts` says what names a task."""
        out = map_tasks(
            fn,
            items,
            key=lambda item: content.digest([self.key, label, *parts(item)]),
            workers=self.workers,
            cluster=self.cluster,
            store=self.store,
            progress=self.progress,
            label=label,
        )
        for one in out:
            self.ledger.merge(Ledger.from_plain(self.plan.patients, one["ledger"]))
        return out


def target_parts(target: Target) -> list[Any]:
    """Return what names a target's task."""
    return [target.name, target.values, target.rule if not callable(target.rule) else repr(target.rule)]


def task_parts(task: Task) -> list[Any]:
    """Return what names a task of one target in one fold."""
    return [*target_parts(task.target), task.fold.name]
