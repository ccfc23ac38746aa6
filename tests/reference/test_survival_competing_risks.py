"""Aalen-Johansen estimates and cause-specific Cox models against R 4.2.2, survival 3.5-3, on made-up data.

summary(survfit(Surv(t, factor(cause)) ~ 1), times = c(5, 10, 20, 40)); coxph(Surv(t, cause == 1) ~ g + x)
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.survival.competing_risks import cause_specific_cox, compare_causes, cumulative_incidence

DATA = Path(__file__).parent / "data" / "statistics" / "competing_risks.csv.gz"

INCIDENCE = {
    1: [0.101818181818182, 0.195700694654183, 0.381811043079542, 0.550602125147580],
    2: [0.0172727272727273, 0.0735274194244294, 0.1359287224403503, 0.2806067927843826],
}
ERROR = {
    1: [0.0394192755990685, 0.0532126491901095, 0.0681094589831631, 0.0730187460039832],
    2: [0.0171226260417171, 0.0354894030458176, 0.0479747044453966, 0.0663132702526224],
}
LOW = {
    1: [0.047673780881795, 0.114853326067501, 0.269157622728511, 0.424575366566731],
    2: [0.00247489269996758, 0.02854964816342018, 0.06805938650611716, 0.17657995557947787],
}


@pytest.fixture(scope="module")
def patients():
    return pd.read_csv(io.BytesIO(gzip.decompress(DATA.read_bytes())))


def test_cumulative_incidence(patients):
    found = cumulative_incidence(patients["t"], patients["ca"])
    table = found.at([5, 10, 20, 40])
    for cause in (1, 2):
        part = table[table["cause"] == cause]
        np.testing.assert_allclose(part["incidence"], INCIDENCE[cause], rtol=1e-12)
        np.testing.assert_allclose(part["se"], ERROR[cause], rtol=1e-10)
        np.testing.assert_allclose(part["low"], LOW[cause], rtol=1e-10)
    np.testing.assert_allclose(found.event_free + found.incidence.sum(axis=1), 1.0, atol=1e-12)


def test_cause_specific_cox(patients):
    table = cause_specific_cox(patients["t"], patients["ca"], patients[["g", "x"]], names=["cancer", "other"])
    first = table[table["cause"] == "cancer"]
    np.testing.assert_allclose(first["coef"], [-0.262295817797, 0.228153913579], rtol=1e-9)
    np.testing.assert_allclose(first["se"], [0.357012410960, 0.158587098113], rtol=1e-9)
    np.testing.assert_allclose(first["p"], [0.462524268744, 0.150245092000], rtol=1e-9)
    assert set(table["cause"]) == {"cancer", "other"}
    assert compare_causes(patients["t"], patients["ca"], patients["g"])["p"].between(0, 1).all()
