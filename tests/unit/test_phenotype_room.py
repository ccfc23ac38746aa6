"""The room's cards and settings, its bundles and its lazy door."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.datasets import make_classification

from imrad.exceptions import BundleError
from imrad.phenotype import CARDS, PhenotypeGrid, PhenotypeModel, PhenotypeSettings, make_classifier
from imrad.phenotype.bundle import _plain_model, _predict
from imrad.phenotype.classifiers import CLASSIFIERS, DEFAULTS
from imrad.phenotype.controls import _design
from imrad.phenotype.selectors import SELECTORS


def test_every_selector_and_classifier_has_a_card():
    names = {(card.kind, card.name) for card in CARDS}
    assert {("selector", name) for name in (*SELECTORS, "none")} <= names
    assert {("classifier", name) for name in CLASSIFIERS} <= names
    assert len(names) == len(CARDS)


def test_settings_are_the_grids_parameters():
    settings = PhenotypeSettings(k=7, min_class=9, cut={"TMB": 10.0})
    grid = PhenotypeGrid(**settings.parameters())
    assert (grid.k, grid.gates.min_class, grid.cut) == (7, 9, {"TMB": 10.0})
    default = PhenotypeGrid()
    for name, value in PhenotypeSettings().parameters().items():
        assert getattr(default, name) == value
    with pytest.raises(ValidationError):
        PhenotypeSettings(kk=3)


def test_looking_at_cards_and_settings_does_not_import_scikit_learn():
    code = "import imrad.phenotype as p, sys; p.CARDS; p.PhenotypeSettings(); assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("defaults", DEFAULTS)
@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting", "neural_network"])
def test_models_written_down_as_arrays_predict_as_the_fitted_ones(name, defaults):
    X, y = make_classification(70, 12, n_informative=5, random_state=1)
    model = make_classifier(name, defaults=defaults, random_state=3).fit(X, y)
    own = _predict(_plain_model(name, model), X)
    np.testing.assert_allclose(own, model.predict_proba(X)[:, 1], rtol=0, atol=1e-9)


def test_what_is_no_bundle_is_refused():
    with pytest.raises(BundleError, match="not a phenotype bundle"):
        PhenotypeModel({"format": "other"})
    with pytest.raises(BundleError, match="holds no model: svm was best"):
        PhenotypeModel({"format": "imrad phenotype 1", "target": "TMB", "model": None, "note": "svm was best"})


def test_control_columns_are_expanded_by_their_training_rows():
    block = pd.DataFrame(
        {"age_years": [50.0, 60.0, np.nan, 70.0], "sex": ["m", "f", None, "m"], "site": ["a", "a", "a", "b"]}
    )
    design = _design(block, np.array([0, 1, 2]))
    np.testing.assert_array_equal(design, [[50, 1], [60, 0], [np.nan, np.nan], [70, 1]])
