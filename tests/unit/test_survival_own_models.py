"""A user's own blocks come with models that combine them."""

from __future__ import annotations

import pandas as pd
import pytest

from imrad.exceptions import ConfigError
from imrad.stages.fusion import FuseStageSettings
from imrad.stages.responding import response_models
from imrad.survival.binary_models import DEFAULT_BINARY_MODELS, BinaryModel
from imrad.survival.models import DEFAULT_MODELS, BlockModel
from imrad.survival.own_models import with_own_blocks
from imrad.survival.settings import ResponseModelSettings


def test_own_blocks_are_compared_alone_and_combined():
    found = with_own_blocks(list(DEFAULT_MODELS), {"ctDNA": 2, "Panel": 40})
    models = {model.name: model for model in found}
    own = ["ctDNA", "Panel", "Clinical+ctDNA", "Clinical+Panel", "Clinical+ImRad+ctDNA", "Clinical+ImRad+Panel"]
    assert [*models] == [*(model.name for model in DEFAULT_MODELS), *own, "Clinical+ImRad+ctDNA+Panel"]
    # A handful of markers enters as clinical columns do, a panel is penalised.
    assert models["Clinical+ctDNA"].unpenalised == ("Clinical", "Volume", "ctDNA")
    assert not models["ctDNA"].penalised
    assert models["Panel"].penalised
    assert with_own_blocks(list(DEFAULT_MODELS), {}) == list(DEFAULT_MODELS)


def test_a_named_model_goes_before_the_usual_one():
    named = BlockModel("Clinical+ctDNA", ("Clinical", "ctDNA"), choice="1se")
    found = {model.name: model for model in with_own_blocks([named], {"ctDNA": 1})}
    assert found["Clinical+ctDNA"].choice == "1se"
    with pytest.raises(ConfigError, match="Clinical\\+ctDNA names the block ctDNA; the blocks are Clinical, ImRad"):
        with_own_blocks([named], {})
    with pytest.raises(ConfigError, match="names a block Rad, which the fusion has itself"):
        with_own_blocks(list(DEFAULT_MODELS), {"Rad": 3})


def test_a_response_has_the_same_models_over_own_blocks():
    found = {model.name: model for model in with_own_blocks(list(DEFAULT_BINARY_MODELS), {"ctDNA": 2, "Panel": 40})}
    own = ["ctDNA", "Panel", "Clinical+ctDNA", "Clinical+Panel", "Clinical+ImRad+ctDNA", "Clinical+ImRad+Panel"]
    assert [*found] == [*(model.name for model in DEFAULT_BINARY_MODELS), *own, "Clinical+ImRad+ctDNA+Panel"]
    assert all(isinstance(model, BinaryModel) for model in found.values())
    assert not found["Clinical+ctDNA"].penalised
    assert found["Panel"].penalised


def test_the_stage_names_them_for_a_response():
    tables = {"Clinical": pd.DataFrame({"age": [1.0]}), "Panel": pd.DataFrame({f"m{k}": [1.0] for k in range(9)})}
    settings = FuseStageSettings(extra_blocks={"Panel": ("m*",)})
    assert "Clinical+Panel" in [model.name for model in response_models(settings, tables)]
    chosen = settings.model_copy(update={"response_models": {"P": ResponseModelSettings(blocks=("Panel",))}})
    assert [model.name for model in response_models(chosen, tables)] == ["P"]
    wrong = settings.model_copy(update={"response_models": {"P": ResponseModelSettings(blocks=("Pannel",))}})
    with pytest.raises(ConfigError, match="P names the block Pannel; the blocks are Clinical, ImRad, Immune, Panel"):
        response_models(wrong, tables)
