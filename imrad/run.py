"""The run directory: what each stage read, wrote and took, so that nothing is done twice.

A stage is skipped when its settings, its inputs, its code and the files it wrote are all as they
were. Digests are of content; ``run.json`` also keeps times and versions, which count for nothing.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad import content
from imrad.config import Config
from imrad.exceptions import InputError
from imrad.execution import Store, single_thread

__all__ = ["Run", "Stage", "code_digest", "newest_run", "slug"]

PACKAGES = (
    "imrad",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "scikit-survival",
    "lifelines",
    "anndata",
    "statsmodels",
    "numba",
    "SimpleITK",
    "PyWavelets",
    "pydicom",
    "mrmr-selection",
)

TABLES: dict[str, tuple[str, ...]] = {
    "splits.csv": ("patient", "repeat", "outer"),
    "attrition.csv": ("step", "n_in", "n_out", "reason"),
    "phenotype/grid.csv": (
        *("target", "selector", "classifier", "n", "n_positive", "auc", "auc_low", "auc_high"),
        *("accuracy", "precision", "sensitivity", "specificity", "npv"),
    ),
    "phenotype/summary.csv": (
        *("target", "status", "reason", "n", "n_positive", "auc", "auc_low", "auc_high"),
        *("p_permutation", "q_fdr", "spearman"),
    ),
    "phenotype/predictions.csv": ("patient", "target", "repeat", "fold", "probability", "observed"),
    "models.csv": (
        *("model", "n", "n_events", "c_apparent", "c_bootstrap"),
        *("c_outer", "c_outer_low", "c_outer_high", "uno_outer"),
    ),
    "coefficients.csv": ("model", "feature", "coef", "hr", "hr_low", "hr_high", "p", "inclusion"),
    "risk.csv": ("patient", "model", "fold", "risk"),
    "response/models.csv": (
        *("model", "n", "n_positive", "auc_apparent", "auc_bootstrap"),
        *("auc_outer", "auc_outer_low", "auc_outer_high"),
    ),
    "response/coefficients.csv": ("model", "feature", "coef", "or", "or_low", "or_high", "p", "inclusion"),
    "response/predictions.csv": ("patient", "model", "fold", "probability", "observed"),
    "ledger.csv": ("fit", "stage", "step", "fold", "n_seen", "digest"),
}
"""Columns that others rely on, by file; those of ``survival/<endpoint>/`` under the bare name, those of
``response/<endpoint>/`` (binary endpoints) under ``response/``."""


def slug(name: str) -> str:
    """Return a target's or endpoint's name as a file name: ``cell:T_cells_CD8`` is ``cell-T_cells_CD8``."""
    return "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in name)


def code_digest(*modules: str) -> str:
    """Return the digest of the sources of modules or packages of imrad, such as ``imrad.phenotype``."""
    root = Path(str(resources.files("imrad"))).parent
    files: list[Path] = []
    for module in modules:
        path = root.joinpath(*module.split("."))
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return content.digest({str(path.relative_to(root)): path.read_bytes() for path in files})


def newest_run(folder: Path = Path("runs")) -> Path:
    """Return the run directory that was written to last.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [path.parent for path in folder.glob("*/run.json")]
    if not found:
        message = f"no run under {folder}/; start one with 'imrad run CONFIG' or name one with --run"
        raise InputError(message)
    return max(found, key=lambda path: (path / "run.json").stat().st_mtime)


class Stage:
    """One stage at work in a run directory: it writes files and they are recorded.

    Attributes
    ----------
    fresh : bool
        Whether everything is as it was; the stage then returns at once.
    """

    def __init__(self, run: Run, name: str, key: str, *, fresh: bool) -> None:
        self.run = run
        self.name = name
        self.key = key
        self.fresh = fresh
        self.outputs: dict[str, dict[str, str]] = {}
        self.skipped = ""

    @property
    def store(self) -> Store:
        """Where finished tasks of this stage are kept, for resuming."""
        return Store(self.run.folder / "cache" / slug(self.name))

    def skip(self, reason: str) -> None:
        """Record that this stage cannot work on these data, and why; that is a result, not an error."""
        self.skipped = reason

    def table(self, path: str, table: pd.DataFrame) -> Path:
        """Write a table as CSV at full precision.

        Raises
        ------
        ValueError
            If a column that others rely on is missing.
        """
        bare = Path(path).name
        needed = TABLES.get(path) or TABLES.get(f"response/{bare}" if path.startswith("response/") else bare, ())
        missing = [name for name in needed if name not in table.columns]
        if missing:
            message = f"{path} lacks the columns {missing}"
            raise ValueError(message)
        target = self.run.folder / path
        with content.write_atomically(target) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        return self.wrote(path, content.digest(table))

    def plain(self, path: str, value: Any) -> Path:
        """Write nested plain values, arrays and tables in the plain form of :mod:`imrad.content`."""
        content.save(self.run.folder / path, value)
        return self.wrote(path, content.digest(value))

    def json(self, path: str, value: Any) -> Path:
        """Write plain values as JSON."""
        self.text(path, json.dumps(value, indent=1, sort_keys=True, default=_plain) + "\n")
        return self.run.folder / path

    def text(self, path: str, text: str) -> Path:
        """Write a text file."""
        target = self.run.folder / path
        with content.write_atomically(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return self.wrote(path, content.digest(text))

    def wrote(self, path: str, content_digest: str) -> Path:
        """Record a file that is in place, with the digest of its content."""
        target = self.run.folder / path
        self.outputs[path] = {"content": content_digest, "file": content.digest_file(target)}
        return target


class Run:
    """A run directory.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.
    config : Config
        What is to be done.
    base : path-like
        Where relative paths of the config start from.
    """

    def __init__(self, folder: str | Path, config: Config, base: str | Path = ".") -> None:
        self.folder = Path(folder)
        self.config = config
        self.base = Path(base).resolve()
        self.record: dict[str, Any] = {"stages": {}}
        path = self.folder / "run.json"
        if path.exists():
            self.record = _read_record(path)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a run directory that a run has written.

        Raises
        ------
        InputError
            If the folder holds no run.
        """
        path = Path(folder) / "run.json"
        if not path.exists():
            message = f"{folder} holds no run (run.json is not there); start one with 'imrad run CONFIG'"
            raise InputError(message)
        record = _read_record(path)
        return cls(folder, Config.model_validate(record["config"]), record.get("base", "."))

    def path(self, name: str | Path) -> Path:
        """Resolve a path of the config."""
        return self.base / Path(name).expanduser()

    def has(self, path: str) -> bool:
        """Tell whether a file of the run directory is there."""
        return (self.folder / path).exists()

    def read(self, path: str) -> pd.DataFrame:
        """Read a table of the run directory; patients stay strings and full precision returns.

        Raises
        ------
        InputError
            If it is not there, naming the stage that writes it.
        """
        target = self.folder / path
        if not target.exists():
            message = (
                f"{target} is not there; run the stage that writes it first (imrad run, or imrad {path.split('/')[0]})"
            )
            raise InputError(message)
        return pd.read_csv(target, dtype={"patient": str}, float_precision="round_trip", keep_default_na=True)

    def outputs(self, stage: str) -> dict[str, str]:
        """Return the content digest of every file that a stage wrote."""
        recorded = self.record["stages"].get(stage, {}).get("outputs", {})
        return {path: entry["content"] for path, entry in sorted(recorded.items())}

    def status(self, stage: str) -> str:
        """Return ``done``, ``skipped`` or an empty string for a stage that has not run."""
        return str(self.record["stages"].get(stage, {}).get("status", ""))

    @property
    def digest(self) -> str:
        """Digest of everything the run has found, whatever the machine, the time and the workers."""
        return content.digest({stage: self.outputs(stage) for stage in self.record["stages"] if stage != "report"})

    @contextmanager
    def stage(
        self, name: str, *, settings: Mapping[str, Any], inputs: Mapping[str, str], code: Sequence[str]
    ) -> Iterator[Stage]:
        """Open a stage; ``fresh`` tells whether there is nothing to do.

        Parameters
        ----------
        name : str
            Such as ``phenotype`` or ``fuse-os``.
        settings : mapping
            The stage's slice of the config, checked.
        inputs : mapping
            Digest of everything it reads.
        code : sequence of str
            Modules of imrad whose change makes the result old.
        """
        slice_ = json.dumps(settings, sort_keys=True, default=_plain)
        code_ = code_digest("imrad.content", *code)
        key = content.digest({"settings": slice_, "seed": self.config.seed, "inputs": dict(inputs), "code": code_})
        recorded = self.record["stages"].get(name, {})
        fresh = recorded.get("key") == key and all(
            (self.folder / path).exists() and content.digest_file(self.folder / path) == entry["file"]
            for path, entry in recorded.get("outputs", {}).items()
        )
        stage = Stage(self, name, key, fresh=fresh)
        if fresh:
            yield stage
            return
        if name in self.record["stages"]:
            del self.record["stages"][name]
            self.save()
        started = time.time()
        with single_thread():
            yield stage
        self.record["stages"][name] = {
            "key": key,
            "status": "skipped" if stage.skipped else "done",
            "reason": stage.skipped,
            "inputs": dict(inputs),
            "settings": json.loads(slice_),
            "outputs": stage.outputs,
            "seconds": round(time.time() - started, 2),
        }
        self.save()

    def save(self) -> None:
        """Write run.json: config, seed, versions, digests, durations."""
        self.record["config"] = self.config.model_dump(exclude_none=True)
        self.record["base"] = str(self.base)
        self.record["seed"] = self.config.seed
        self.record["python"] = platform.python_version()
        self.record["versions"] = _versions()
        self.record["digest"] = self.digest
        with content.write_atomically(self.folder / "run.json") as temporary:
            temporary.write_text(json.dumps(self.record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record["stages"], dict):
            raise KeyError("stages")  # noqa: EM101
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        message = f"{path} is damaged ({error}); move the folder away and run again"
        raise InputError(message) from error
    return dict(record)


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    message = f"cannot write {type(value).__name__} as JSON"
    raise TypeError(message)
