"""Ready-made vectors of a network come in as a table: 768 columns without a unit, whatever they are called."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad.cohort import read_cohort
from imrad.stages.assembly import files


@pytest.mark.parametrize("style", ["feat_{}", "{}", "deep_{:03d}"])
def test_768_columns_become_features(tmp_path, style):
    rng = np.random.default_rng(1)
    names = [style.format(number) for number in range(768)]
    patients = [f"00{number:02d}" for number in range(12)]
    vectors = pd.DataFrame(rng.standard_normal((24, 768)), columns=names)
    vectors.insert(0, "patient", patients * 2)
    vectors.insert(1, "phase", ["plain"] * 12 + ["contrast"] * 12)
    vectors.to_csv(tmp_path / "vectors.csv", index=False)
    clinical = pd.DataFrame({"patient": patients, "age": 60, "response": ["PR", "SD", "CR", "PD"] * 3})
    clinical.to_csv(tmp_path / "clinical.csv", index=False)
    options = {"radiomics": tmp_path / "vectors.csv", "immune": None, "clinical": tmp_path / "clinical.csv"}
    options |= {"endpoints": ["response=response"], "aggregation": "mean", "output": tmp_path / "cohort.h5ad"}
    files(**options)
    data = read_cohort(tmp_path / "cohort.h5ad")
    assert data.shape == (12, 768)
    assert (data.var["unit"] == "").all()
    assert (data.var["feature_class"] == ("deep" if style.startswith("deep") else "")).all()
    both = vectors.groupby("patient")[names].mean().loc[data.obs_names]
    np.testing.assert_allclose(data.X, both, atol=1e-12)
    assert data.obs["radiomics_case"].iloc[0] == "0000"
