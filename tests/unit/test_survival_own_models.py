"""A user's own blocks come with models that combine them."""

from __future__ import annotations

import pytest

from imrad.exceptions import ConfigError
from imrad.survival.models import DEFAULT_MODELS, BlockModel
from imrad.survival.own_models import with_own_blocks


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
