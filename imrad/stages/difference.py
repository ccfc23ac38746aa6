"""What two runs differ in: settings and inputs that changed, and results that moved, by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from imrad.run import Run

__all__ = ["diff"]

KEYS: dict[str, tuple[str, ...]] = {
    "phenotype/summary.csv": ("target",),
    "survival/models.csv": ("model",),
    "survival/pairs.csv": ("model", "reference", "measure"),
    "survival/coefficients.csv": ("model", "feature", "kind"),
    "survival/horizons.csv": ("model", "horizon_days"),
    "attrition.csv": ("step",),
    "cohort/follow_up.csv": ("endpoint",),
}
"""Tables whose rows have names, and the columns that name them; those of ``survival/<endpoint>/`` without it."""

TOLD = {
    "phenotype/summary.csv": ("status", "n", "auc", "p_permutation", "q_fdr"),
    "survival/models.csv": ("n", "n_events", "c_apparent", "c_outer", "ibs_outer"),
    "survival/pairs.csv": ("difference", "low", "high"),
    "survival/coefficients.csv": ("coef", "inclusion"),
    "survival/horizons.csv": ("status", "auc", "brier"),
    "attrition.csv": ("n_in", "n_out"),
    "cohort/follow_up.csv": ("n", "events", "follow_up_days"),
}
MOST = 12
ROUNDING = 1e-9


def diff(run_a: Run, run_b: Run) -> list[str]:
    """Return what changed from one run to another, as lines of text.

    Parameters
    ----------
    run_a, run_b : Run
        The run before and the run after.

    Returns
    -------
    list of str
        Settings, versions, inputs, then results, each ``old -> new``; one line that says so where
        the runs have the same digest.
    """
    lines = [*_settings(run_a, run_b), *_versions(run_a, run_b), *_inputs(run_a, run_b)]
    if run_a.digest == run_b.digest:
        return [*lines, f"results: the same, digest {run_a.digest[:12]}"]
    moved = list(_results(run_a, run_b))
    return [*lines, *(moved or ["results: the files differ, but no number that the report tells moved"])]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: item for name, part in value.items() for key, item in _flat(part, f"{prefix}.{name}").items()}
    return {prefix.lstrip("."): value}


def _changed(label: str, a: dict[str, Any], b: dict[str, Any]) -> Iterator[str]:
    for name in sorted({*a, *b}):
        if a.get(name) != b.get(name):
            old, new = (found.get(name, "not set") for found in (a, b))
            yield f"{label} {name}: {old} -> {new}"


def _settings(run_a: Run, run_b: Run) -> list[str]:
    """Compare settings as the stages took them, defaults included, and the seed."""
    found: list[dict[str, Any]] = []
    for run in (run_a, run_b):
        flat: dict[str, Any] = {"seed": run.record.get("seed", run.config.seed)}
        for stage, entry in run.record["stages"].items():
            if stage != "report" and all(stage in other.record["stages"] for other in (run_a, run_b)):
                flat |= _flat(entry.get("settings", {}), stage)
        found.append(flat)
    return list(_changed("setting", *found))


def _versions(run_a: Run, run_b: Run) -> list[str]:
    found = [{**run.record.get("versions", {}), "python": run.record.get("python", "")} for run in (run_a, run_b)]
    return list(_changed("version", *found))


def _inputs(run_a: Run, run_b: Run) -> list[str]:
    """Name the files that came from outside a run and differ; what stages pass on is a result."""
    lines = []
    stages = [run.record["stages"] for run in (run_a, run_b)]
    for stage in sorted({*stages[0], *stages[1]} - {"report"}):
        if stage not in stages[0] or stage not in stages[1]:
            where = "second" if stage in stages[1] else "first"
            lines.append(f"stage {stage}: only in the {where} run")
            continue
        made = {path for run in stages for entry in run.values() for path in entry.get("outputs", {})}
        made |= {"fetch", "extract", "score"}
        a, b = ({k: v for k, v in run[stage].get("inputs", {}).items() if k not in made} for run in stages)
        lines += [f"input of {stage}: {name} differs" for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
        if stages[0][stage]["status"] != stages[1][stage]["status"]:
            lines.append(f"stage {stage}: {stages[0][stage]['status']} -> {stages[1][stage]['status']}")
    return lines


def _results(run_a: Run, run_b: Run) -> Iterator[str]:
    paths = sorted({str(path.relative_to(run.folder)) for run in (run_a, run_b) for path in run.folder.rglob("*.csv")})
    for path in paths:
        general = _general(path)
        if general not in KEYS:
            continue
        if not run_a.has(path) or not run_b.has(path):
            yield f"result {path}: only in the {'second' if run_b.has(path) else 'first'} run"
            continue
        moved = list(_table(path, general, run_a.read(path), run_b.read(path)))
        yield from moved[:MOST]
        if len(moved) > MOST:
            yield f"result {path}: and {len(moved) - MOST} more"


def _general(path: str) -> str:
    parts = path.split("/")
    return f"survival/{parts[2]}" if parts[0] == "survival" and len(parts) == 3 else path


def _table(path: str, general: str, a: pd.DataFrame, b: pd.DataFrame) -> Iterator[str]:
    keys = [name for name in KEYS[general] if name in a.columns and name in b.columns]
    if len(keys) < len(KEYS[general]):
        return
    rows = [table.drop_duplicates(keys).set_index(keys) for table in (a, b)]
    names = list(dict.fromkeys([*rows[0].index, *rows[1].index]))
    changes: list[tuple[float, str]] = []
    for name in names:
        label = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        if name not in rows[0].index or name not in rows[1].index:
            changes.append(
                (math.inf, f"result {path}: {label} only in the {'second' if name in rows[1].index else 'first'} run")
            )
            continue
        for column in TOLD[general]:
            if column in rows[0].columns and column in rows[1].columns:
                found = _moved(rows[0].loc[name, column], rows[1].loc[name, column])
                if found is not None:
                    changes.append((found[0], f"result {path}: {label}, {column} {found[1]}"))
    # What moved most is told first.
    yield from (text for _, text in sorted(changes, key=lambda item: -item[0]))


def _moved(old: Any, new: Any) -> tuple[float, str] | None:
    if pd.isna(old) and pd.isna(new):
        return None
    if isinstance(old, str) or isinstance(new, str) or pd.isna(old) or pd.isna(new):
        shown = ["nothing" if pd.isna(item) else str(item) for item in (old, new)]
        return (math.inf, f"{shown[0]} -> {shown[1]}") if shown[0] != shown[1] else None
    gap = float(new) - float(old)
    if abs(gap) <= ROUNDING * max(1.0, abs(float(old))):
        return None
    return abs(gap) / max(abs(float(old)), 1e-3), f"{float(old):.4g} -> {float(new):.4g} ({gap:+.3g})"
