"""The config: one YAML file, read and checked before anything runs.

A config names a cohort's way through the stages. Each section's schema belongs to the room (or
stage) that uses it; here they are plain mappings, checked by :func:`parse_settings`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imrad.exceptions import ConfigError

__all__ = ["SECTIONS", "Config", "config_folder", "config_names", "load_config", "parse_settings"]

SECTIONS = ("fetch", "extract", "score", "assemble", "phenotype", "fuse", "report")
"""The stages, in the order of the data's way."""

M = TypeVar("M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which only true and false are truth values: a key called ``on`` or ``no`` stays a word."""


_BOOL = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != _BOOL] for first, pairs in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class Config(BaseModel):
    """One run: its name, its seed, and a section for every stage it goes through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Name of the run; its folder is runs/NAME.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = Field(default="", description="What the study is, for the report.")
    seed: int = Field(default=20230901, description="The one seed; every random step draws its own by name.", ge=0)
    fetch: dict[str, Any] | None = Field(default=None, description="Download a public cohort.")
    extract: dict[str, Any] | None = Field(default=None, description="Radiomic features from images and regions.")
    score: dict[str, Any] | None = Field(default=None, description="Immune scores from expression and mutations.")
    assemble: dict[str, Any] | None = Field(default=None, description="Join everything into one cohort.h5ad.")
    phenotype: dict[str, Any] | None = Field(default=None, description="The grid of selectors by classifiers.")
    fuse: dict[str, Any] | None = Field(default=None, description="Survival (or response) models over blocks.")
    report: dict[str, Any] | None = Field(default=None, description="The report.")

    def section(self, stage: str) -> dict[str, Any]:
        """Return a copy of a stage's settings; empty where the config does not name it."""
        return dict(getattr(self, stage) or {})


def config_folder() -> Path:
    """Return the folder of the configs that come with imrad (in a wheel ``imrad/configs``)."""
    packaged = Path(str(resources.files("imrad"))) / "configs"
    return packaged if packaged.is_dir() else Path(str(resources.files("imrad"))).parent / "configs"


def config_names() -> list[str]:
    """Return the names of the configs that come with imrad."""
    folder = config_folder()
    found = [*folder.glob("*.yaml"), *(folder / "studies").glob("*.yaml")]
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in found)


def load_config(source: str | Path) -> tuple[Config, Path]:
    """Read a config file, or one that comes with imrad by its name.

    Returns
    -------
    config : Config
    folder : Path
        Where relative paths in the config start from.

    Raises
    ------
    ConfigError
        If there is no such file or name, it is not YAML, or a key is unknown.
    """
    path = Path(source)
    if not path.is_file():
        name = str(source).removesuffix(".yaml")
        known = config_names()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"no config file {source} and no config of that name (known: {', '.join(known)}){hint}"
            raise ConfigError(message)
        path, folder = config_folder() / f"{name}.yaml", Path.cwd()
    else:
        folder = path.resolve().parent
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path} is not readable YAML: {' '.join(str(error).split())}"
        raise ConfigError(message) from error
    if not isinstance(loaded, Mapping):
        message = f"{path} holds no settings; a config starts with 'name: ...'"
        raise ConfigError(message)
    return parse_settings(Config, loaded, str(path)), folder


def parse_settings(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """Check a mapping against a schema, and name the nearest valid key where one is unknown.

    Raises
    ------
    ConfigError
        One sentence per problem, joined; it names the place, what was found and what is valid.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = [_problem(model, where, dict(item)) for item in error.errors()]
        message = "; ".join(problems)
        raise ConfigError(message) from error


def _problem(model: type[BaseModel], where: str, item: dict[str, Any]) -> str:
    path = [str(part) for part in item["loc"]]
    place = ".".join(path) or "settings"
    if item["type"] == "extra_forbidden":
        valid = _keys_at(model, path[:-1])
        near = difflib.get_close_matches(path[-1], valid, n=1, cutoff=0.0)
        hint = f"; the nearest valid key is '{near[0]}'" if near else ""
        return f"{where}: unknown key '{place}'{hint}"
    if item["type"] == "missing":
        return f"{where}: '{place}' is missing"
    return f"{where}: '{place}' is {item['input']!r}, but {item['msg'][0].lower()}{item['msg'][1:]}"


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    current: Any = model
    for part in path:
        fields = getattr(current, "model_fields", {})
        inner = fields[part].annotation if part in fields else None
        options = [inner, *getattr(inner, "__args__", ())]
        current = next((option for option in options if hasattr(option, "model_fields")), None)
    fields = getattr(current, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]
