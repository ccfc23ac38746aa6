from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from imrad.config import Config, load_config, parse_settings
from imrad.exceptions import ConfigError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    outer: int = 5


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    splits: Inner = Inner()
    engine: Literal["imrad", "pyradiomics"] = "imrad"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"enginee": "imrad"}, "unknown key 'enginee'; the nearest valid key is 'engine'"),
        ({"splits": {"outter": 3}}, "unknown key 'splits.outter'; the nearest valid key is 'outer'"),
        ({"engine": "mirp"}, "'engine' is 'mirp', but input should be 'imrad' or 'pyradiomics'"),
        ({"splits": {"outer": "many"}}, "'splits.outer' is 'many'"),
    ],
)
def test_a_wrong_key_is_named_with_the_nearest_valid_one(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_settings(Outer, values, "settings")


def test_an_unknown_config_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no config file .*synthetik.*did you mean synthetic"):
        load_config("synthetik")


@pytest.mark.parametrize("text", ["name: [", "just words", "name: x\nsead: 3", "title: no name"])
def test_a_file_that_is_no_config_is_refused(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_paths_start_from_the_config(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: mine\nassemble: {cohort: x.h5ad}\n")
    config, folder = load_config(path)
    assert (config, folder) == (Config(name="mine", assemble={"cohort": "x.h5ad"}), tmp_path)
