"""Who saw whom: every fit records its patients, and a checker proves that none was held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation.splits import SplitTable
from imrad.exceptions import LeakError

__all__ = ["Ledger", "check_ledger"]

COLUMNS = ["fit", "stage", "step", "fold", "n_seen", "digest", "kind", "source"]


class Ledger:
    """The record of every fit of a run.

    Kernels get their rows only through :meth:`rows`, so that what is recorded is what was seen.

    Parameters
    ----------
    patients : sequence of str
        The cohort's patients; fits speak of them by row number.
    """

    def __init__(self, patients: Sequence[str]) -> None:
        self.patients = [str(name) for name in patients]
        self._entries: list[tuple[str, str, str, str, int, str, str, str]] = []
        self._sets: dict[str, list[str]] = {}
        self._counts: dict[tuple[str, str, str], int] = {}
        self._known: dict[tuple[str, bytes], tuple[int, str]] = {}

    def record(self, *, stage: str, step: str, fold: str, rows: np.ndarray[Any, Any]) -> str:
        """Record that a fit sees these rows, and return the fit's name.

        Parameters
        ----------
        stage : str
            ``phenotype``, ``survival``, ``radiomics`` ...; ``published`` marks the protocol that
            selects on all patients on purpose, which the checker leaves out.
        step : str
            What is fitted, such as ``TMB/selector:InformationGain``.
        fold : str
            The :class:`~imrad.evaluation.splits.Fold`'s name, or ``all`` for the whole cohort.
        rows : ndarray of int
            Row numbers of the patients seen; bootstrap duplicates count once.
        """
        n_seen, key = self._remember(rows)
        fit = f"{stage}:{fold}:{step}"
        self._entries.append((fit, stage, step, fold, n_seen, key, "fit", ""))
        return fit

    def rows(
        self, rows: np.ndarray[Any, Any], *arrays: np.ndarray[Any, Any], stage: str, step: str, fold: str
    ) -> tuple[np.ndarray[Any, Any], ...]:
        """Record a fit and hand over its rows of each array, as copies."""
        self.record(stage=stage, step=step, fold=fold, rows=rows)
        return tuple(np.asarray(array)[rows] for array in arrays)

    def use(self, *, consumer: str, producer: str, rows: np.ndarray[Any, Any]) -> None:
        """Record that the fit `consumer` trains on predictions of the fit `producer` for these rows."""
        n_seen, key = self._remember(rows)
        stage, fold, step = consumer.split(":", 2)
        self._entries.append((consumer, stage, step, fold, n_seen, key, "input", producer))

    def count(self, *, stage: str, step: str, fold: str, n: int = 1) -> None:
        """Count fits that are too many to list (permutations), by fold."""
        key = (stage, step, fold)
        self._counts[key] = self._counts.get(key, 0) + n

    def merge(self, other: Ledger) -> None:
        """Add what another ledger of the same cohort recorded (a worker's, or another stage's)."""
        self._entries.extend(other._entries)
        self._sets.update(other._sets)
        for key, n in other._counts.items():
            self._counts[key] = self._counts.get(key, 0) + n

    def frame(self) -> pd.DataFrame:
        """Return one row a fit: fit, stage, step, fold, n_seen, digest, kind, source.

        ``kind`` is ``fit``, ``input`` (the fit trained on predictions of ``source`` for the patients
        of ``digest``) or ``count`` (``n_seen`` is then a number of permutation fits).
        """
        rows = list(dict.fromkeys(self._entries))
        rows += [
            (f"{stage}:{fold}:{step}", stage, step, fold, n, "", "count", "")
            for (stage, step, fold), n in self._counts.items()
        ]
        table = pd.DataFrame(rows, columns=COLUMNS)
        return table.sort_values(["stage", "fold", "step", "kind", "source", "digest"], ignore_index=True)

    def sets(self) -> dict[str, list[str]]:
        """Return the patients behind each digest."""
        return dict(sorted(self._sets.items()))

    def to_plain(self) -> dict[str, Any]:
        """Return a plain form that :func:`imrad.content.save` can write."""
        counts = [[*key, n] for key, n in self._counts.items()]
        return {"entries": [list(entry) for entry in self._entries], "sets": self._sets, "counts": counts}

    @classmethod
    def from_plain(cls, patients: Sequence[str], plain: Mapping[str, Any]) -> Ledger:
        """Rebuild a ledger from :meth:`to_plain`."""
        ledger = cls(patients)
        ledger._entries = [tuple(entry) for entry in plain["entries"]]
        ledger._sets = {key: list(names) for key, names in plain["sets"].items()}
        ledger._counts = {(stage, step, fold): int(n) for stage, step, fold, n in plain["counts"]}
        return ledger

    def _remember(self, rows: np.ndarray[Any, Any]) -> tuple[int, str]:
        """Return how many patients the rows are, and the digest of their names."""
        rows = np.asarray(rows)
        # Every selector and classifier of a fold sees the same rows.
        name = (rows.dtype.str, rows.tobytes())
        if name not in self._known:
            names = sorted({self.patients[row] for row in rows})
            key = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
            self._sets[key] = names
            self._known[name] = len(names), key
        return self._known[name]


def check_ledger(frame: pd.DataFrame, sets: Mapping[str, Iterable[str]], splits: SplitTable) -> None:
    """Prove that no fit saw a patient held out from it, nor trained on a prediction that had.

    Raises
    ------
    LeakError
        With the name of the step, its fold and the first patients concerned.
    """
    seen = {key: set(names) for key, names in sets.items()}
    held = {name: splits.held_out(name) for name in set(frame.loc[frame["stage"] != "published", "fold"].astype(str))}
    fits = frame[frame["kind"] == "fit"]
    for row in fits[fits["stage"] != "published"].itertuples():
        leaked = sorted(seen[str(row.digest)] & held[str(row.fold)])
        if leaked:
            message = (
                f"leak: the fit of {row.step} (stage {row.stage}, fold {row.fold}) saw {len(leaked)} held-out "
                f"patients, among them {', '.join(leaked[:3])}"
            )
            raise LeakError(message)
    by_name: dict[str, list[str]] = {}
    for row in fits.itertuples():
        by_name.setdefault(str(row.fit), []).append(str(row.digest))
    for row in frame[frame["kind"] == "input"].itertuples():
        source = str(row.source)
        if source not in by_name:
            message = f"leak: {row.step} (fold {row.fold}) trains on predictions of an unrecorded fit {source}"
            raise LeakError(message)
        producers = set[str]().union(*(seen[key] for key in by_name[source]))
        leaked = sorted(seen[str(row.digest)] & producers)
        if leaked:
            message = (
                f"leak: {row.step} (stage {row.stage}, fold {row.fold}) trains on in-sample predictions: {source} "
                f"had seen {len(leaked)} of the patients it predicts, among them {', '.join(leaked[:3])}"
            )
            raise LeakError(message)
