"""The attrition table: who was lost, at which step, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from imrad.cohort.keys import ATTRITION_COLUMNS, some
from imrad.exceptions import SchemaError

__all__ = ["Attrition"]


class Attrition:
    """Rows of (step, n_in, n_out, reason, unit), in the order in which things happened.

    Parameters
    ----------
    earlier : DataFrame, optional
        Rows of steps before this one.
    """

    def __init__(self, earlier: pd.DataFrame | None = None) -> None:
        if earlier is not None and not set(ATTRITION_COLUMNS) <= set(earlier.columns):
            message = (
                f"an attrition table needs the columns {', '.join(ATTRITION_COLUMNS)}; found {list(earlier.columns)}"
            )
            raise SchemaError(message)
        self._rows: list[dict[str, object]] = [] if earlier is None else earlier.to_dict("records")  # type: ignore[assignment]

    def add(self, step: str, n_in: int, n_out: int, reason: str, unit: str = "patients") -> None:
        """Record a step; steps that lose nobody are recorded too."""
        self._rows.append({"step": step, "n_in": n_in, "n_out": n_out, "reason": reason, "unit": unit})

    def lose(
        self, step: str, before: Sequence[str], lost: Collection[str], reason: str, unit: str = "patients"
    ) -> None:
        """Record who was lost, by name: every name up to twenty of them."""
        named = [name for name in before if name in set(lost)]
        why = f"{reason}: {some(named, 20)}" if named else "nobody was lost"
        self.add(step, len(before), len(before) - len(named), why, unit)

    def table(self) -> pd.DataFrame:
        """Return the rows as a table."""
        table = pd.DataFrame(self._rows, columns=[*ATTRITION_COLUMNS, "unit"])
        table["unit"] = table["unit"].fillna("patients")
        return table.astype({"n_in": int, "n_out": int, "step": object, "reason": object, "unit": object})
