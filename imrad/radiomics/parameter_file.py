"""Parameter files of pyradiomics, read as pyradiomics 3.0.1 reads them.

Sections become the keywords of :class:`imrad.radiomics.RadiomicsSettings`. What pyradiomics passes
over without a word (settings that come too late, features without a value) is left out too, and told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from imrad.exceptions import InputError
from imrad.radiomics.features import WITHOUT_VALUE
from imrad.radiomics.setting_names import BEFORE_FILTERS, VOXEL_KEYS, known_key

__all__ = ["as_keywords", "read_parameter_file"]

SECTIONS = ("imageType", "featureClass", "setting", "voxelSetting")

# Of no consequence for any value: pyradiomics 1 knew them, or its functions take them.
_IDLE = {
    "enableCExtensions": "which pyradiomics dropped with version 2",
    "verbose": "which pyradiomics dropped with version 1.1",
}
_OWN = ("mode", "logSupport", "ivhBinWidth")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                message = f"{key.value!r} stands twice, again in line {key.start_mark.line + 1}"
                raise yaml.YAMLError(message)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_parameter_file(path: Path) -> Mapping[str, Any]:
    """Return the sections of a parameter file, YAML or JSON.

    Raises
    ------
    InputError
        If it cannot be read, is empty, or repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        # JSON may hold tabs, which YAML refuses.
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text (byte {error.start}); save the radiomics parameter file as UTF-8"
        raise InputError(message) from error
    except (OSError, json.JSONDecodeError, yaml.YAMLError) as error:
        message = f"{path} cannot be read as a radiomics parameter file: {' '.join(str(error).split())}"
        raise InputError(message) from error
    if content is None:
        message = f"{path} holds no settings; a radiomics parameter file has the sections {', '.join(SECTIONS)}"
        raise InputError(message)
    return content  # type: ignore[no-any-return] # checked by as_keywords


def as_keywords(parameters: object, fields: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings that a parameter mapping's sections name, and what was left out of them.

    Parameters
    ----------
    parameters : mapping
        With pyradiomics' sections.
    fields : collection of str
        The settings there are.

    Raises
    ------
    ValueError
        If a key or a section cannot be used; the nearest valid key is named.
    """
    if not isinstance(parameters, Mapping):
        message = f"needs the sections {', '.join(SECTIONS)}"
        raise ValueError(message)
    for key in parameters:
        if key in fields and key not in SECTIONS:
            message = f"{key} stands at the top; it belongs under 'setting'"
            raise ValueError(message)
        known_key(key, SECTIONS, "the file")
    notes: list[str] = []
    setting = _setting(_section(parameters, "setting"), fields, notes)
    chosen = {key: parameters[key] for key in ("imageType", "featureClass") if parameters.get(key)}
    if isinstance(chosen.get("imageType"), Mapping):
        chosen["imageType"] = _image_types(chosen["imageType"], setting, notes)
    if isinstance(chosen.get("featureClass"), Mapping):
        chosen["featureClass"] = _feature_classes(chosen["featureClass"], setting, notes)
    for key in _section(parameters, "voxelSetting"):
        known_key(key, VOXEL_KEYS, "voxelSetting")
    if parameters.get("voxelSetting"):
        notes.append("voxelSetting, which concerns feature maps (imrad makes none)")
    return {**setting, **chosen}, notes


def _section(parameters: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = parameters.get(name) or {}
    if not isinstance(section, Mapping):
        message = f"{name} needs keys with values, such as {{binWidth: 25}}, not {section!r}"
        raise ValueError(message)
    return section


def _setting(section: Mapping[str, Any], fields: Collection[str], notes: list[str]) -> dict[str, Any]:
    setting = dict(section)
    for key in section:
        if key in (*VOXEL_KEYS, "voxelBased"):
            message = f"{key} belongs to feature maps (voxelSetting), which imrad does not make"
            raise ValueError(message)
        if key in _IDLE:
            del setting[key]
            notes.append(f"{key}, {_IDLE[key]}")
            continue
        known_key(key, [k for k in fields if k not in SECTIONS], "setting")
    return setting


def _image_types(types: Mapping[str, Any], setting: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the image types without settings that come too late, and without a LoG of no width."""
    kept = dict(types)
    for name, own in types.items():
        if not isinstance(own, Mapping):
            continue
        late = [key for key in own if key in BEFORE_FILTERS and key not in _OWN]
        if "label" in late and own["label"] != setting.get("label", 1):
            late.remove("label")  # pyradiomics finds no region then: refused below
        kept[name] = {key: value for key, value in own.items() if key not in late}
        told = [key for key in late if key not in ("label", "additionalInfo") and own[key] != setting.get(key)]
        notes += [f"{key} of {name} alone, for it acts before the filters" for key in told]
    if "LoG" in kept and len(kept) > 1 and not ((kept["LoG"] or {}).get("sigma") or setting.get("sigma")):
        del kept["LoG"]
        notes.append("LoG, which names no sigma")
    return kept


def _feature_classes(classes: Mapping[str, Any], setting: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the classes without what pyradiomics gives no value for."""
    kept = dict(classes)
    if "shape2D" in kept and not setting.get("force2D") and len(kept) > 1:
        del kept["shape2D"]
        notes.append("shape2D, which needs force2D: true")
    for name, features in list(kept.items()):
        without = WITHOUT_VALUE.get(name, {})
        if not isinstance(features, list) or not features:
            continue
        left = [feature for feature in features if str(feature) not in without]
        if not left and len(kept) == 1:
            continue  # nothing would remain: refused with the feature's name
        notes += [f"{name} {feature}, equal to {without[str(feature)]}" for feature in features if feature not in left]
        if left:
            kept[name] = left
        else:
            del kept[name]
    return kept
