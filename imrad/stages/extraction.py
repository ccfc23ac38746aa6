"""Extract: radiomic features of every case, with the failures in a table of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from imrad import content
from imrad.config import config_folder, parse_settings
from imrad.exceptions import ConfigError, InputError
from imrad.radiomics.deep import DeepSettings
from imrad.radiomics.extraction import ReadingSettings
from imrad.radiomics.image_settings import ImageSettings
from imrad.stages.reviewing import reviewed

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.radiomics.settings import RadiomicsSettings
    from imrad.run import Run

__all__ = ["ExtractStageSettings", "check", "extract", "files", "own_settings"]

CODE = ("imrad.stages.extraction", "imrad.radiomics")


class ExtractStageSettings(BaseModel):
    """Which cases, by which settings and engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: str | None = Field(default=None, description="cases.csv; else what fetch wrote.")
    settings: str = Field(default="ct", description="A pyradiomics parameter file, or one that comes along by name.")
    engine: Literal["imrad", "pyradiomics", "deep"] = Field(
        default="imrad", description="Whose extraction; deep: vectors from your own network (extra 'deep')."
    )
    review: str | None = Field(
        default=None, description="Table of verdicts on masks: case, verdict (accept, reject, redraw), reason."
    )
    weights: str | None = Field(default=None, description="With engine deep: checkpoint, TorchScript or .onnx.")
    deep: DeepSettings = Field(default=DeepSettings(), description="With engine deep: what the network sees.")
    reading: ReadingSettings = Field(default=ReadingSettings(), description="Regions, geometry limits, perturbations.")
    images: dict[str, ImageSettings] = Field(
        default_factory=dict, description="By the name in cases.csv's column series: scale, maps, settings of its own."
    )


def check(run: Run) -> ExtractStageSettings:
    """Check the section before anything runs.

    Raises
    ------
    ConfigError
        If a key is unknown, or the settings file is not there.
    """
    settings = parse_settings(ExtractStageSettings, run.config.section("extract"), "extract")
    read_settings(settings.settings, run.base)
    own_settings(settings, run.base)
    if (settings.engine == "deep") != (settings.weights is not None):
        message = "extract.engine deep and extract.weights belong together: name the file of your network, or neither"
        raise ConfigError(message)
    if settings.cases is None and run.config.fetch is None:
        message = "extract needs cases: name extract.cases, or add the section fetch to the config"
        raise ConfigError(message)
    return settings


def own_settings(settings: ExtractStageSettings, base: Path) -> dict[str, RadiomicsSettings]:
    """Return the extraction settings of the kinds of image that have their own."""
    return {name: read_settings(item.settings, base) for name, item in settings.images.items() if item.settings}


def read_settings(name: str | None, base: Path = Path()) -> RadiomicsSettings:
    """Read extraction settings from a file, or by the name of those that come with imrad.

    Without a name they are pyradiomics' own defaults: the original image, as it is, bins of 25.

    Raises
    ------
    ConfigError
        If there is neither such a file nor such a name.
    """
    from imrad.radiomics.settings import RadiomicsSettings

    if name is None:
        return RadiomicsSettings()
    folder = config_folder() / "radiomics"
    for path in (base / name, folder / f"{name}.yaml"):
        if path.is_file():
            return RadiomicsSettings.from_yaml(path)
    known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    message = f"no settings file {name}; those that come with imrad are {known}"
    raise ConfigError(message)


def extract(run: Run, *, workers: int = 1, cluster: str | None = None, progress: Progress | None = None) -> list[str]:
    """Write features.csv and the tables beside it, and return what to tell the user."""
    settings = check(run)
    if settings.engine == "deep":
        from imrad.stages import encoding

        return encoding.encode(run, settings, workers=workers, progress=progress)
    from imrad.radiomics import extract_cases, read_cases

    path = run.path(settings.cases) if settings.cases else run.folder / "raw" / "cases.csv"
    cases = read_cases(path)
    review = run.path(settings.review) if settings.review else None
    lost_before = pd.DataFrame()
    if review is not None:
        cases, lost_before = reviewed(cases, review)
    radiomics = read_settings(settings.settings, run.base)
    inputs = {"cases": content.digest_file(path), **_file_digests(cases)}
    if review is not None:
        inputs["review"] = content.digest_file(review)
    own = own_settings(settings, run.base)
    options = {
        **settings.model_dump(exclude={"cases", "review", "weights", "deep"}),
        "radiomics": radiomics.model_dump(mode="json"),
    }
    options["own"] = {name: item.model_dump(mode="json") for name, item in own.items()}
    with run.stage("extract", settings=options, inputs=inputs, code=CODE) as stage:
        if stage.fresh:
            return ["nothing to do"]
        done = extract_cases(
            cases,
            radiomics,
            engine=settings.engine,
            reading=settings.reading,
            images=settings.images,
            own_settings=own,
            workers=workers,
            cluster=cluster,
            store=stage.store,
            progress=progress,
        )
        stage.table("features.csv", done.features)
        for name in ("failures", "geometry", "imaging", "quality"):
            stage.table(f"extract/{name}.csv", getattr(done, name))
        if len(done.repeats):
            stage.table("extract/repeats.csv", done.repeats)
        pictures = [[patient, case, *pair] for (patient, case), pair in done.thumbnails.items()]
        stage.plain("extract/thumbnails.zip", pictures)
        lost = len(done.failures)
        asked = len(done.geometry) + lost
        steps = [{"step": "extract", "n_in": asked, "n_out": asked - lost, "reason": _reasons(done.failures)}]
        table = pd.DataFrame(steps).assign(unit="cases")
        stage.table(
            "extract/attrition.csv", pd.concat([lost_before, table], ignore_index=True) if len(lost_before) else table
        )
        return _lines(done)


def _file_digests(cases: pd.DataFrame) -> dict[str, str]:
    # Sizes and times stand for the bytes here: the store keys each case by its true digest.
    found = {}
    from imrad.radiomics.case_table import image_paths

    for path in sorted({path for item in [*cases["image"], *cases["mask"]] for path in image_paths(str(item))}):
        members = sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]
        found[path] = content.digest([[m.name, m.stat().st_size] for m in members if m.is_file()])
    return found


def _reasons(failures: pd.DataFrame) -> str:
    return "; ".join(dict.fromkeys(str(text) for text in failures["reason"])) if len(failures) else ""


def _lines(done: Any) -> list[str]:
    columns = len(done.features.columns) - len(done.failures.columns) + 2
    lines = [f"{len(done.features)} cases x {columns} features, {len(done.failures)} failures"]
    return lines + [f"  {row.patient}: {row.reason}" for row in done.failures.itertuples()]


def files(
    *,
    image: Path | None,
    mask: Path | None,
    label: str | None,
    cases: Path | None,
    settings: str | None,
    engine: str,
    compare: bool,
    intensity: str = "stored",
    output: Path,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Extract from a user's own image and mask, or from a table of cases.

    Raises
    ------
    InputError
        If a single case fails, or every case of a table does.
    """
    from imrad import radiomics as room
    from imrad.radiomics.case_table import image_paths as parts

    if engine not in ("imrad", "pyradiomics"):
        message = f"unknown engine {engine!r}; choose imrad, pyradiomics or deep"
        raise ConfigError(message)
    chosen = read_settings(settings)
    if cases is not None:
        if image is not None or mask is not None:
            message = "extract takes --image and --mask, or --cases with a table of them, and not both"
            raise ConfigError(message)
        if compare or label is not None or intensity != "stored":
            message = (
                "--compare takes one case, so name --image and --mask"
                if compare
                else "--label and --intensity are columns of the table where --cases is given; write them there"
            )
            raise ConfigError(message)
        table = room.read_cases(cases)
        _check_output(output, [cases, *(Path(p) for name in ("image", "mask") for v in table[name] for p in parts(v))])
        done = room.extract_cases(table, chosen, engine=engine, workers=workers, cluster=cluster, progress=progress)
        if done.features.empty:
            reasons: Sequence[str] = [str(text) for text in done.failures["reason"]]
            message = f"none of {len(done.failures)} cases could be extracted; the first failed because {reasons[0]}"
            raise InputError(message)
        _write(done.features, output)
        if len(done.failures):
            _write(done.failures, output.with_name(f"{output.stem}_failures.csv"))
        return [f"{output}: {_lines(done)[0]}", *_lines(done)[1:]]
    if image is None or mask is None:
        message = "extract needs --image and --mask, or --cases with a table of them"
        raise ConfigError(message)
    _check_output(output, [image, mask])
    if compare:
        return [room.compare_case(image, mask, chosen, label=label)]
    features = room.extract_one(image, mask, chosen, label=label, engine=engine, intensity=intensity)
    row = {"patient": image.name.split(".")[0], "case": image.name.split(".")[0], **features}
    _write(pd.DataFrame([row]), output)
    return [f"{output}: {len(features)} features"]


def _check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse, before any work, a place that features cannot or should not be written to."""
    if output.is_dir():
        message = f"{output} is a folder; name a file in it, such as {output / 'features.csv'}"
        raise ConfigError(message)
    if output.suffix.lower() not in (".csv", ".txt", ""):
        message = f"features are written as CSV, and {output} would be none; name a file that ends in .csv"
        raise ConfigError(message)
    if output.exists() and any(path.exists() and path.samefile(output) for path in inputs):
        message = f"{output} is what features are to be read from; name another file with -o"
        raise ConfigError(message)


def _write(table: pd.DataFrame, path: Path) -> None:
    with content.write_atomically(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
