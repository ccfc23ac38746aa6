"""One file a stage: read, call, write, record; dull on purpose.

Three depths of use agree: ``imrad phenotype --target TMB`` in the shell, ``stages.phenotype(run,
target="TMB")`` here, and the estimators themselves in anyone's scikit-learn code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imrad.execution import Progress
    from imrad.run import Run

__all__ = ["assemble", "extract", "fetch", "fuse", "phenotype", "report", "run_all", "run_config", "run_on", "score"]


def _silent(_: str) -> None:
    pass


# Modules have nouns, stages have verbs: a module of a stage's own name would hide the function.
_MODULES = {
    "fetch": "fetching",
    "extract": "extraction",
    "score": "scoring",
    "assemble": "assembly",
    "phenotype": "phenotyping",
    "fuse": "fusion",
    "report": "reporting",
}


def _module(name: str) -> Any:
    return import_module(f"imrad.stages.{_MODULES[name]}")


def _stage(name: str, run: Run, **options: Any) -> list[str]:
    lines: list[str] = getattr(_module(name), name)(run, **options)
    return lines


def run_all(
    run: Run,
    *,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = _silent,
) -> Run:
    """Go through every stage that the config names, in order; what is done already is not done again.

    Raises
    ------
    ConfigError
        Before anything runs, if a section of the config is not valid.
    """
    from imrad.config import SECTIONS

    for name in SECTIONS:
        if getattr(run.config, name) is not None:
            _module(name).check(run)
    for name in SECTIONS:
        if getattr(run.config, name) is None:
            continue
        options: dict[str, Any] = {"workers": workers, "progress": progress}
        if name in ("extract", "phenotype"):
            options["cluster"] = cluster
        if name in ("assemble", "report"):
            options = {}
        for line in _stage(name, run, **options):
            say(f"{name}: {line}")
    return run


def run_config(config: str | Path, folder: str | Path | None = None, **options: Any) -> Run:
    """Run a config file (or one that comes with imrad, by name) and return the run.

    Parameters
    ----------
    config : path-like
        The config.
    folder : path-like, optional
        Run directory; else ``runs/NAME``.
    **options
        As for :func:`run_all`.
    """
    from imrad.config import load_config
    from imrad.run import Run

    loaded, base = load_config(config)
    return run_all(Run(Path(folder) if folder else Path("runs") / loaded.name, loaded, base), **options)


def run_on(cohort: str | Path, folder: str | Path, sections: Mapping[str, Mapping[str, Any]]) -> Run:
    """Make a run directory around a user's own cohort.h5ad and assemble it there.

    Raises
    ------
    InputError
        If the cohort is not there.
    """
    from imrad.config import Config, parse_settings
    from imrad.exceptions import InputError
    from imrad.run import Run, slug

    path = Path(cohort).resolve()
    if not path.exists():
        message = f"{cohort} is not there; 'imrad assemble' writes a cohort.h5ad"
        raise InputError(message)
    values: dict[str, Any] = {"name": slug(path.stem), "assemble": {"cohort": str(path)}}
    if (Path(folder) / "run.json").exists():
        kept = Run.open(folder).config.model_dump(exclude_none=True)
        if kept.get("assemble") == values["assemble"]:
            values = kept
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    run = Run(folder, parse_settings(Config, values, "settings"), path.parent)
    _stage("assemble", run)
    return run


def fetch(run: Run, **options: Any) -> list[str]:
    """Download what the config's fetch section names."""
    return _stage("fetch", run, **options)


def extract(run: Run, **options: Any) -> list[str]:
    """Extract radiomic features of every case."""
    return _stage("extract", run, **options)


def score(run: Run, **options: Any) -> list[str]:
    """Compute immune scores."""
    return _stage("score", run, **options)


def assemble(run: Run, **options: Any) -> list[str]:
    """Join everything into cohort.h5ad and draw the splits."""
    return _stage("assemble", run, **options)


def phenotype(run: Run, **options: Any) -> list[str]:
    """Run the grid of selectors by classifiers on the targets."""
    return _stage("phenotype", run, **options)


def fuse(run: Run, **options: Any) -> list[str]:
    """Fuse blocks of predictors for each endpoint."""
    return _stage("fuse", run, **options)


def report(run: Run, **options: Any) -> list[str]:
    """Draw the report from the tables of the run."""
    return _stage("report", run, **options)
