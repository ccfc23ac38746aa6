"""A user's own blocks come with models that combine them, and a config may name more."""

from __future__ import annotations

import pytest

from imrad.exceptions import ConfigError
from imrad.survival.own_models import choose_models
from imrad.survival.settings import SurvivalModelSettings, SurvivalSettings


def test_own_blocks_are_compared_alone_and_combined():
    models = {model.name: model for model in choose_models(SurvivalSettings(), {"ctDNA": 2, "Panel": 40})}
    own = ["ctDNA", "Panel", "Clinical+ctDNA", "Clinical+Panel", "Clinical+ImRad+ctDNA", "Clinical+ImRad+Panel"]
    assert [*models][6:] == [*own, "Clinical+ImRad+ctDNA+Panel"]
    # A handful of markers enters as clinical columns do, a panel is penalised.
    assert models["Clinical+ctDNA"].unpenalised == ("Clinical", "Volume", "ctDNA")
    assert not models["ctDNA"].penalised
    assert models["Panel"].penalised


def test_a_config_names_its_own_models():
    settings = SurvivalSettings(survival_models={"Markers": SurvivalModelSettings(blocks=("Rad", "ctDNA"))})
    assert choose_models(settings, {"ctDNA": 1})[-1].blocks == ("Rad", "ctDNA")
    with pytest.raises(ConfigError, match="Markers names the block ctDNA; the blocks are Clinical, ImRad"):
        choose_models(settings, {})
    with pytest.raises(ConfigError, match="names a block Rad, which the fusion has itself"):
        choose_models(SurvivalSettings(), {"Rad": 3})
