"""Which survival models a fusion compares: the usual ones, those over a user's own blocks, and those a config names."""

from __future__ import annotations

from collections.abc import Mapping

from imrad.exceptions import ConfigError
from imrad.survival.models import COMPARISON_MODELS, DEFAULT_MODELS, BlockModel
from imrad.survival.settings import SurvivalSettings

__all__ = ["BLOCKS", "choose_models"]

BLOCKS = ("Clinical", "Volume", "Rad", "ImRad", "Immune")
"""Blocks that a fusion has by itself."""

# A handful of markers enters as clinical columns do; a panel is penalised as radiomics is.
_FEW_COLUMNS = 5


def choose_models(settings: SurvivalSettings, own: Mapping[str, int]) -> tuple[BlockModel, ...]:
    """Return the models that the settings and the user's own blocks ask for.

    Parameters
    ----------
    settings : SurvivalSettings
        ``comparison_models`` adds boosting and a forest, ``survival_models`` the user's own.
    own : mapping of str to int
        Name of each extra block to its number of columns. Each block NAME adds the models NAME,
        Clinical+NAME and Clinical+ImRad+NAME; several add Clinical+ImRad with all of them.

    Raises
    ------
    ConfigError
        If a block has the name of a usual one, or a model names a block that is not there.
    """
    taken = [name for name in own if name in BLOCKS]
    if taken:
        message = f"extra_blocks names a block {taken[0]}, which the fusion has itself; call it otherwise"
        raise ConfigError(message)
    free = ("Clinical", "Volume", *(name for name, columns in own.items() if columns <= _FEW_COLUMNS))
    models = [*DEFAULT_MODELS, *(COMPARISON_MODELS if settings.comparison_models else ())]
    combined: list[tuple[str, ...]] = [(name,) for name in own] + [("Clinical", name) for name in own]
    combined += [("Clinical", "ImRad", name) for name in own]
    if len(own) > 1:
        combined.append(("Clinical", "ImRad", *own))
    models += [BlockModel("+".join(blocks), blocks, unpenalised=free) for blocks in combined]
    there = {*BLOCKS, *own}
    for title, how in settings.survival_models.items():
        absent = [name for name in how.blocks if name not in there]
        if absent:
            message = f"survival_models: {title} names the block {absent[0]}; the blocks are {', '.join(sorted(there))}"
            raise ConfigError(message)
        named = BlockModel(title, how.blocks, unpenalised=free if how.unpenalised is None else how.unpenalised)
        models = [*(model for model in models if model.name != title), named]
    return tuple(models)
