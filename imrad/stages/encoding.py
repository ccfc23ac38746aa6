"""Encode: deep feature vectors of every case, from a user's own network (extract with ``engine: deep``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad import content
from imrad.exceptions import ConfigError, InputError
from imrad.stages.reviewing import reviewed

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.radiomics.deep import DeepExtraction, DeepSettings
    from imrad.run import Run
    from imrad.stages.extraction import ExtractStageSettings

__all__ = ["deep_settings", "encode", "files", "write_overlays"]

CODE = ("imrad.stages.encoding", "imrad.radiomics")


def encode(
    run: Run, settings: ExtractStageSettings, *, workers: int = 1, progress: Progress | None = None
) -> list[str]:
    """Write features.csv, the failures and the relevance pictures of a run, and return what to tell the user."""
    from imrad.radiomics.deep import extract_deep, read_deep_cases

    if settings.cases is None or settings.weights is None:
        message = "extract with engine: deep needs cases and weights (the file of your network); name both"
        raise ConfigError(message)
    path, weights = run.path(settings.cases), run.path(settings.weights)
    cases = read_deep_cases(path)
    if not weights.is_file():
        message = f"extract.weights: {weights} is not there; give the file of the encoder's weights"
        raise InputError(message)
    inputs = {"cases": content.digest_file(path), "weights": content.digest_file(weights)}
    lost_before = pd.DataFrame()
    if settings.review is not None:
        review = run.path(settings.review)
        cases, lost_before = reviewed(cases, review)
        inputs["review"] = content.digest_file(review)
    names = [str(item) for column in ("image", "mask") if column in cases for item in cases[column].dropna()]
    inputs |= {name: _sizes(Path(name)) for name in sorted(set(names))}
    options = settings.model_dump(mode="json", include={"engine", "deep"})
    with run.stage("extract", settings=options, inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        done = extract_deep(cases, weights, settings.deep, workers=workers, store=stage.store, progress=progress)
        if done.features.empty:
            _refuse(done)
        stage.table("features.csv", done.features)
        stage.table("extract/failures.csv", done.failures)
        stage.json("extract/encoder.json", done.about)
        stage.plain("extract/relevance.zip", [[patient, case, *three] for (patient, case), three in done.maps.items()])
        lost = len(done.failures)
        reason = "; ".join(dict.fromkeys(str(text) for text in done.failures["reason"]))
        steps = [{"step": "extract", "n_in": len(cases), "n_out": len(cases) - lost, "reason": reason}]
        table = pd.DataFrame(steps).assign(unit="cases")
        stage.table(
            "extract/attrition.csv", pd.concat([lost_before, table], ignore_index=True) if len(lost_before) else table
        )
        return _lines(done)


def files(
    *,
    cases: Path,
    weights: Path | None,
    settings: DeepSettings,
    output: Path,
    maps: Path | None = None,
    map_patients: Sequence[str] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> list[str]:
    """Encode a user's own cases; write the vectors, the failures, what the encoder was, and overlays where asked for.

    Raises
    ------
    ConfigError
        If no weights are named.
    InputError
        If every case fails.
    """
    from imrad.radiomics.deep import extract_deep, read_deep_cases

    if weights is None:
        message = "--engine deep needs --weights FILE: a checkpoint (.pth, .safetensors), TorchScript or .onnx"
        raise ConfigError(message)
    table = read_deep_cases(cases)
    unknown = sorted(set(map_patients) - set(table["patient"]))
    if unknown:
        message = f"--map-patients names {unknown[0]}, who has no row in {cases}"
        raise ConfigError(message)
    if maps is None:
        settings = settings.model_copy(update={"maps": 0})
    done = extract_deep(table, weights, settings, workers=workers, progress=progress)
    if done.features.empty:
        _refuse(done)
    _write(done.features, output)
    if len(done.failures):
        _write(done.failures, output.with_name(f"{output.stem}_failures.csv"))
    with content.write_atomically(output.with_name(f"{output.stem}_encoder.json")) as temporary:
        told = {**done.about, "settings": settings.model_dump(mode="json")}
        temporary.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    lines = [f"{output}: {_lines(done)[0]}", *_lines(done)[1:]]
    if maps is not None:
        written = write_overlays(done.maps, maps, map_patients)
        lines.append(f"{maps}: {len(written)} overlays of where the vectors come from")
    return lines


def deep_settings(
    spacing: float | None, view: str | None, window: str | None, heads: int | None, phases: str | None
) -> DeepSettings:
    """Return the settings that options of the command line mean.

    Raises
    ------
    ConfigError
        If one is not understood.
    """
    from imrad.config import parse_settings
    from imrad.radiomics.deep import DeepSettings

    values: dict[str, Any] = {"view": view, "heads": heads, "phases": phases}
    if spacing is not None:
        values["spacing_mm"] = (spacing,) * 3
    if window is not None:
        sides = [part.strip() for part in window.split(",")]
        if not all(side.isdecimal() and int(side) > 0 for side in sides) or len(sides) not in (1, 3):
            message = f"--window {window} cannot be read; write 48, or three whole numbers Z,Y,X"
            raise ConfigError(message)
        values["window"] = tuple(int(side) for side in (sides * 3 if len(sides) == 1 else sides))
    given = {name: value for name, value in values.items() if value is not None}
    return parse_settings(DeepSettings, given, "--engine deep")


def write_overlays(maps: dict[tuple[str, str], Any], folder: Path, patients: Sequence[str] = ()) -> list[Path]:
    """Write the relevance pictures of some patients (else of all) as PNG files, grey beside colour."""
    from imrad.radiomics.deep.maps import write_overlay
    from imrad.run import slug

    written = []
    for (patient, case), (grey, heat, outline) in maps.items():
        if patients and patient not in patients:
            continue
        path = folder / f"{slug(case if case.startswith(patient) else f'{patient}_{case}')}.png"
        write_overlay(path, grey, heat, outline)
        written.append(path)
    return written


def _sizes(path: Path) -> str:
    members = sorted(path.rglob("*")) if path.is_dir() else [path]
    return content.digest([[member.name, member.stat().st_size] for member in members if member.is_file()])


def _refuse(done: DeepExtraction) -> None:
    reason = done.failures["reason"].iloc[0]
    message = f"none of {len(done.failures)} cases could be encoded; the first failed because {reason}"
    raise InputError(message)


def _lines(done: DeepExtraction) -> list[str]:
    width = sum(name.startswith("deep_") for name in done.features.columns)
    lines = [f"{len(done.features)} rows x {width} values, {len(done.failures)} failures"]
    lines.append(f"encoder: {done.about['description']}; weights {done.about['digest']}")
    if "phase" in done.features:
        counts = done.features["phase"].value_counts(sort=False)
        lines.append("phases: " + ", ".join(f"{name or 'none'} of {count}" for name, count in counts.items()))
    return lines + [f"  {row.case}: {row.reason}" for row in done.failures.itertuples()]


def _write(table: pd.DataFrame, path: Path) -> None:
    with content.write_atomically(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
