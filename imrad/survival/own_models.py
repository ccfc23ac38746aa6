"""Models over a user's own blocks: each alone, beside the clinical variables, and all together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from imrad.exceptions import ConfigError
from imrad.survival.binary_models import BinaryModel
from imrad.survival.models import BlockModel

__all__ = ["BLOCKS", "check_blocks", "with_own_blocks"]

BLOCKS = ("Clinical", "Volume", "Rad", "ImRad", "Immune")
"""Blocks that a fusion has by itself."""

# A handful of markers enters as clinical columns do; a panel is penalised as radiomics is.
_FEW_COLUMNS = 5


M = TypeVar("M", BlockModel, BinaryModel)


def check_blocks(models: Sequence[M], own: Iterable[str]) -> None:
    """Refuse own blocks with a usual one's name, and models over blocks that are not there.

    Raises
    ------
    ConfigError
        With the known blocks.
    """
    taken = [name for name in own if name in BLOCKS]
    if taken:
        message = f"extra_blocks names a block {taken[0]}, which the fusion has itself; call it otherwise"
        raise ConfigError(message)
    there = {*BLOCKS, *own}
    for model in models:
        absent = [name for name in model.blocks if name not in there]
        if absent:
            message = f"models: {model.name} names the block {absent[0]}; the blocks are {', '.join(sorted(there))}"
            raise ConfigError(message)


def with_own_blocks(models: Sequence[M], own: Mapping[str, int]) -> list[M]:
    """Return models, and those that combine a user's own blocks.

    Parameters
    ----------
    models : sequence of BlockModel or of BinaryModel
        The usual ones and those that the config names; own blocks of at most five columns enter
        them without penalty.
    own : mapping of str to int
        Name of each extra block to its number of columns. Each block NAME adds the models NAME,
        Clinical+NAME and Clinical+ImRad+NAME; several add Clinical+ImRad with all of them.

    Raises
    ------
    ConfigError
        If a block has the name of a usual one, or a model names a block that is not there.
    """
    check_blocks(models, own)
    few: tuple[str, ...] = tuple(name for name, columns in own.items() if columns <= _FEW_COLUMNS)
    found: dict[str, M] = {model.name: _freed(model, few) for model in models}
    combined: list[tuple[str, ...]] = [(name,) for name in own] + [("Clinical", name) for name in own]
    combined += [("Clinical", "ImRad", name) for name in own]
    if len(own) > 1:
        combined.append(("Clinical", "ImRad", *own))
    kind = type(models[0])
    for blocks in combined:
        name = "+".join(blocks)
        found.setdefault(name, kind(name, blocks, unpenalised=("Clinical", "Volume", *few)))
    return list(found.values())


def _freed(model: M, blocks: tuple[str, ...]) -> M:
    return replace(model, unpenalised=(*model.unpenalised, *blocks)) if blocks else model
