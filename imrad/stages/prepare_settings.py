"""What a config may say about preparation steps, and where each of them may stand."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imrad.config import parse_settings
from imrad.exceptions import ConfigError
from imrad.stages import blocks

__all__ = ["Kind", "MRMRStep", "PrepareList", "check_steps"]

Kind = Literal["classes", "survival"]
Missing = Literal["refuse", "median", "indicator"]

PrepareList = tuple[str | dict[str, dict[str, Any] | None], ...]
"""A config's list: a step's name alone, or NAME: {setting: value}."""


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ICCStep(_Step):
    """Keep features that agree between readers."""

    readers: str | tuple[str, ...] = Field("reader_2", description="Second reader's table of the cohort, or several.")
    kind: Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"] = Field("2,1", description="Form of the ICC.")
    threshold: float = Field(0.75, gt=-1, lt=1, description="Least agreement.")
    on: Literal["lower", "estimate"] = Field("lower", description="Lower confidence limit, or the estimate.")
    patients: int | None = Field(None, ge=3, description="Use so many of the patients read twice, drawn by the seed.")


class MeanOfReadersStep(_Step):
    """Average readers."""

    readers: str | tuple[str, ...] = Field("reader_2", description="Second reader's table of the cohort, or several.")


class ComBatStep(_Step):
    """Take site effects off."""

    batch: str = Field("site", description="Column of the cohort that names the site.")
    covariates: tuple[str, ...] = Field((), description="Columns whose effect on the features is kept.")
    unseen: Literal["refuse", "reference", "unadjusted", "nearest", "pooled"] = Field(
        "refuse",
        description="Rows of a site that was not fitted: refuse, treat as the reference site, leave as they are, "
        "treat as the nearest site, or move their mean towards the pooled one.",
    )
    reference: str | None = Field(None, description="Site that is left as it is, the others brought to it.")
    missing: Missing | dict[str, Missing] = Field(
        "refuse",
        description="Covariates with missing values, all or by name: refuse, median of the training rows (of classes "
        "the most frequent), or indicator (that, and a column that tells).",
    )
    parametric: bool = Field(True, description="Parametric priors.")
    mean_only: bool = Field(False, description="Adjust means and leave variances.")


class ZScoreStep(_Step):
    """Standardise."""


class UTestStep(_Step):
    """Keep features that differ between the classes."""

    p: float = Field(0.05, gt=0, lt=1, description="Keep p values below this.")
    adjust: Literal["BH", "holm", "bonferroni"] | None = Field(None, description="Adjustment of the p values first.")


class UnivariateCoxStep(_Step):
    """Keep features that a one-column Cox model relates to the endpoint."""

    p: float = Field(0.05, gt=0, lt=1, description="Keep p values below this.")
    adjust: Literal["BH", "holm", "bonferroni"] | None = Field(None, description="Adjustment of the p values first.")
    at_most: int | None = Field(None, ge=1, description="Keep at most so many, smallest p first.")


class CorrelationStep(_Step):
    """Drop one of each pair of correlated features."""

    threshold: float = Field(0.9, gt=0, lt=1, description="On absolute correlations.")
    method: Literal["pearson", "spearman"] = Field("pearson", description="Correlation.")


class VarianceStep(_Step):
    """Drop features that do not vary."""

    threshold: float = Field(0.0, ge=0, description="Keep features of a larger variance.")


class VolumeCorrelationStep(_Step):
    """Drop features that are volume in disguise."""

    threshold: float = Field(0.8, gt=0, lt=1, description="Largest absolute Spearman correlation with volume.")
    volume: str | None = Field(None, description="Volume feature; else the tumour's mesh volume.")


class MRMRStep(_Step):
    """Keep features of high relevance and low redundancy."""

    k: int = Field(30, ge=1, description="Features kept.")
    against: str | None = Field(None, description="Another outcome of the cohort to be relevant for; else the own.")


class PCAStep(_Step):
    """Replace features by principal components."""

    components: int = Field(16, ge=1, description="Components.")


_SCHEMAS: dict[str, type[_Step]] = {
    "icc": ICCStep,
    "mean_of_readers": MeanOfReadersStep,
    "combat": ComBatStep,
    "zscore": ZScoreStep,
    "u_test": UTestStep,
    "univariate_cox": UnivariateCoxStep,
    "correlation": CorrelationStep,
    "variance": VarianceStep,
    "volume_correlation": VolumeCorrelationStep,
    "mrmr": MRMRStep,
    "pca": PCAStep,
}

_RAW_ONLY = ("icc", "mean_of_readers")
_CHANGES_VALUES = ("mean_of_readers", "combat", "zscore", "pca")


def check_steps(listed: PrepareList, where: str, kind: Kind | None = None) -> list[tuple[str, _Step]]:
    """Read the config's list of steps.

    Parameters
    ----------
    listed : tuple
        As the config has it.
    where : str
        Section, for messages.
    kind : {"classes", "survival"}, optional
        What the outcome is; None where the section serves both.

    Raises
    ------
    ConfigError
        If a step is unknown, stands where it has no meaning, or a setting is not valid.
    """
    steps: list[tuple[str, _Step]] = []
    for item in listed:
        entries: dict[str, Any] = {item: None} if isinstance(item, str) else dict(item)
        if len(entries) != 1:
            message = f"{where}.prepare: each entry is one step, NAME or NAME: {{settings}}; found {list(entries)}"
            raise ConfigError(message)
        name, given = next(iter(entries.items()))
        if name not in _SCHEMAS:
            near = blocks.nearest(str(name), list(_SCHEMAS))
            message = f"{where}.prepare: unknown step '{name}'{near}; the known ones are {', '.join(_SCHEMAS)}"
            raise ConfigError(message)
        step = parse_settings(_SCHEMAS[name], given or {}, f"{where}.prepare.{name}")
        changed = [earlier for earlier, _ in steps if earlier in _CHANGES_VALUES]
        if name in _RAW_ONLY and changed:
            message = f"{where}.prepare: {name} compares readers' raw values; put it before {changed[0]}"
            raise ConfigError(message)
        if name in [earlier for earlier, _ in steps]:
            message = f"{where}.prepare: the step {name} stands there twice; name it once"
            raise ConfigError(message)
        if name == "volume_correlation" and "pca" in changed:
            message = f"{where}.prepare: after pca there is no volume left to correlate with; put {name} before it"
            raise ConfigError(message)
        if name == "u_test" and kind == "survival":
            message = f"{where}.prepare: u_test compares two classes; for a survival endpoint use univariate_cox"
            raise ConfigError(message)
        if name == "univariate_cox" and kind == "classes":
            message = f"{where}.prepare: univariate_cox needs times; for classes use u_test"
            raise ConfigError(message)
        steps.append((name, step))
    return steps
