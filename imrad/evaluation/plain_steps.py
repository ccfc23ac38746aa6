"""Fitted preparation steps as plain arrays: what is applied in the fold is what travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.site_effects import UNKNOWN, SiteEffects
from imrad.exceptions import BundleError

__all__ = ["Impute", "MeanOfReaders", "Opaque", "PlainStep", "Rotate", "Scale", "Select", "Sites", "freeze"]

Names = tuple[str, ...]
Sides = Mapping[str, Any]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class PlainStep:
    """A fitted step.

    Attributes
    ----------
    inputs, names : tuple of str
        Columns that go in and come out, in order.
    """

    inputs: Names
    names: Names

    kind = "step"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return the prepared values; `sides` are the step's side tables of the same rows."""
        raise NotImplementedError

    def needs(self, names: Names) -> Names:
        """Return the inputs that these outputs stand on."""
        wanted = set(names)
        return tuple(name for name in self.inputs if name in wanted)

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for these outputs and the inputs they need."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Any]:
        """Return what was learnt, as plain values."""
        return {}

    def to_plain(self) -> dict[str, Any]:
        """Return the whole step as plain values."""
        return {"kind": self.kind, "inputs": list(self.inputs), "names": list(self.names), **self.arrays()}


@dataclass(frozen=True)
class Select(PlainStep):
    """Keeps columns."""

    kind = "select"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return the kept columns."""
        return values[:, _places(self.inputs, self.names)]

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for some of its columns."""
        kept = self.needs(names)
        return Select(kept, kept)


@dataclass(frozen=True)
class Impute(PlainStep):
    """Fills missing values with training medians."""

    medians: FloatArray = field(default_factory=lambda: np.zeros(0))
    kind = "impute"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return values without gaps."""
        return np.asarray(np.where(np.isnan(values), self.medians, values))

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for some of its columns."""
        kept = self.needs(names)
        return Impute(kept, kept, self.medians[_places(self.inputs, kept)])

    def arrays(self) -> dict[str, Any]:
        """Return the medians."""
        return {"medians": self.medians}


@dataclass(frozen=True)
class Scale(PlainStep):
    """Subtracts a centre and divides by a scale."""

    centre: FloatArray = field(default_factory=lambda: np.zeros(0))
    scale: FloatArray = field(default_factory=lambda: np.zeros(0))
    kind = "scale"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return scaled values."""
        return np.asarray((values - self.centre) / self.scale)

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for some of its columns."""
        kept = self.needs(names)
        at = _places(self.inputs, kept)
        return Scale(kept, kept, self.centre[at], self.scale[at])

    def arrays(self) -> dict[str, Any]:
        """Return centre and scale."""
        return {"centre": self.centre, "scale": self.scale}


@dataclass(frozen=True)
class Rotate(PlainStep):
    """Projects onto components, such as principal ones; each output stands on all inputs."""

    centre: FloatArray = field(default_factory=lambda: np.zeros(0))
    components: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    kind = "rotate"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return the components' scores."""
        return np.asarray((values - self.centre) @ self.components.T)

    def needs(self, names: Names) -> Names:
        """Return all inputs."""
        return self.inputs if names else ()

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for some of its components."""
        wanted = set(names)
        kept = tuple(name for name in self.names if name in wanted)
        return Rotate(self.inputs, kept, self.centre, self.components[_places(self.names, kept)])

    def arrays(self) -> dict[str, Any]:
        """Return centre and components."""
        return {"centre": self.centre, "components": self.components}


@dataclass(frozen=True)
class Sites(PlainStep):
    """Takes site effects off; rows whose site is not given count as one site that was not fitted."""

    effects: SiteEffects | None = None
    kind = "sites"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return harmonised values."""
        assert self.effects is not None
        batch = sides.get("batch")
        sites = np.full(len(values), UNKNOWN, dtype=object)
        if batch is not None:
            given = np.asarray(batch, dtype=object)
            sites = np.where(pd.isna(given), UNKNOWN, given)
        covariates = sides.get("covariates")
        if covariates is None:
            covariates = pd.DataFrame(index=range(len(values)))
        table = pd.DataFrame(covariates).reset_index(drop=True)
        table.columns = pd.Index([f"covariate {name}" for name in table.columns])
        return self.effects.apply(values, sites, table)

    def needs(self, names: Names) -> Names:
        """Return the same columns, or all where the nearest site is found over all of them."""
        if self.effects is not None and self.effects.unseen == "nearest" and names:
            return self.inputs
        return super().needs(names)

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for some of its columns."""
        kept = self.needs(names)
        effects = None if self.effects is None else self.effects.subset(_places(self.inputs, kept))
        return Sites(kept, kept, effects)

    def arrays(self) -> dict[str, Any]:
        """Return the effects."""
        return {} if self.effects is None else {"effects": self.effects.to_plain()}


@dataclass(frozen=True)
class MeanOfReaders(PlainStep):
    """Averages readers; a patient whom one reader measured keeps that value."""

    kind = "mean_of_readers"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Return the mean of the readers' values."""
        readers = [np.asarray(table[list(self.inputs)], dtype=float) for table in sides.get("repeats") or ()]
        cube = np.stack([values, *readers])
        known = ~np.isnan(cube)
        counts = known.sum(axis=0)
        return np.asarray(np.where(counts > 0, np.where(known, cube, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan))

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step for some of its columns."""
        kept = self.needs(names)
        return MeanOfReaders(kept, kept)


@dataclass(frozen=True)
class Opaque(PlainStep):
    """A user's own transformer, which has no plain form and cannot travel."""

    transformer: Any = None
    kind = "opaque"

    def apply(self, values: FloatArray, sides: Sides) -> FloatArray:
        """Call the transformer."""
        found = self.transformer.transform(pd.DataFrame(values, columns=list(self.inputs)), **sides)
        return np.asarray(found, dtype=float)

    def needs(self, names: Names) -> Names:
        """Return all inputs: nobody knows."""
        return self.inputs if names else ()

    def narrowed(self, names: Names) -> PlainStep:
        """Return the step unchanged."""
        return self

    def to_plain(self) -> dict[str, Any]:
        """Refuse.

        Raises
        ------
        BundleError
            Always.
        """
        message = f"{type(self.transformer).__name__} has no plain form; a model that uses it cannot travel"
        raise BundleError(message)


def freeze(fitted: Any, inputs: Names) -> PlainStep:
    """Return a fitted transformer as plain arrays; one of unknown make stays what it is."""
    if hasattr(fitted, "get_support"):
        support = np.asarray(fitted.get_support())
        return Select(inputs, tuple(name for name, kept in zip(inputs, support, strict=True) if kept))
    kind = type(fitted).__name__
    if kind == "StandardScaler" and _from_scikit_learn(fitted):
        centre = fitted.mean_ if fitted.mean_ is not None else np.zeros(len(inputs))
        scale = fitted.scale_ if fitted.scale_ is not None else np.ones(len(inputs))
        return Scale(inputs, inputs, np.asarray(centre, dtype=float), np.asarray(scale, dtype=float))
    if kind == "PCA" and _from_scikit_learn(fitted) and not fitted.whiten:
        names = tuple(f"component_{number + 1}" for number in range(len(fitted.components_)))
        return Rotate(inputs, names, np.asarray(fitted.mean_), np.asarray(fitted.components_))
    if hasattr(fitted, "frozen"):
        found = fitted.frozen()
        if isinstance(found, SiteEffects):
            return Sites(inputs, inputs, found)
        if isinstance(found, PlainStep):
            return found
    names = tuple(str(name) for name in fitted.get_feature_names_out(list(inputs)))
    return Opaque(inputs, names, fitted)


def from_plain(plain: Mapping[str, Any]) -> PlainStep:
    """Rebuild a step from :meth:`PlainStep.to_plain`, also after a file.

    Raises
    ------
    BundleError
        If there is no such kind of step.
    """
    kind = plain["kind"]
    ends = (tuple(map(str, plain["inputs"])), tuple(map(str, plain["names"])))
    arrays: dict[str, Any] = {
        name: np.asarray(item, dtype=float)
        for name, item in plain.items()
        if name not in ("kind", "inputs", "names", "effects", "step")
    }
    if kind in ("select", "mean_of_readers"):
        return {"select": Select, "mean_of_readers": MeanOfReaders}[kind](*ends)
    if kind == "impute":
        return Impute(*ends, **arrays)
    if kind == "scale":
        return Scale(*ends, **arrays)
    if kind == "rotate":
        return Rotate(*ends, **arrays)
    if kind == "sites":
        return Sites(*ends, SiteEffects.from_plain(plain["effects"]))
    message = f"the preparation holds a step of the kind {kind!r}, which this version does not know; export it again"
    raise BundleError(message)


def _from_scikit_learn(fitted: Any) -> bool:
    return type(fitted).__module__.split(".")[0] == "sklearn"


def _places(inputs: Names, names: Names) -> IntArray:
    where = {name: number for number, name in enumerate(inputs)}
    return np.array([where[name] for name in names], dtype=np.intp)
