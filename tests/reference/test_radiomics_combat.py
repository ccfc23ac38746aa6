"""ComBat must give sva's numbers.

R 4.2.2, sva 3.46.0: sva::ComBat(dat=t(features), batch, mod=NULL | model.matrix(~age+factor(sex)+factor(stage)),
par.prior=TRUE|FALSE, mean.only=TRUE, ref.batch=1). 80 synthetic features in three batches go in; the first ten
of what comes out are kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from imrad.exceptions import FitError
from imrad.radiomics.harmonise import ComBat

DATA = Path(__file__).parent / "data" / "harmonisation"


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(DATA / "combat_input.csv.gz")


@pytest.fixture(scope="module")
def expected():
    return pd.read_csv(DATA / "combat_expected.csv.gz")


def parts(table):
    features = table.columns[6:]
    covariates = table[["age"]].assign(sex=table["sex"].astype(str), stage=table["stage"].astype(str))
    return table[features], table["batch"].to_numpy(), covariates


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("param_nocov", {}),
        ("param_cov", {}),
        ("nonparam_cov", {"parametric": False}),
        ("meanonly_cov", {"mean_only": True}),
        ("ref1_cov", {"reference": 1}),
    ],
)
def test_equals_sva(table, expected, setting, options):
    X, batch, covariates = parts(table)
    with_covariates = None if "nocov" in setting else covariates
    done = ComBat(**options).fit(X, batch=batch, covariates=with_covariates)
    found = done.transform(X, batch=batch, covariates=with_covariates)
    want = expected[expected["setting"] == setting].drop(columns=["setting", "id"])
    scale = X[want.columns].std().to_numpy()
    assert np.abs((found[:, : want.shape[1]] - want.to_numpy()) / scale).max() < 1e-10


def test_columns_of_x_do_the_same(table, expected):
    X, batch, covariates = parts(table)
    apart = ComBat().fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)
    inside = ComBat(batch_column="batch", covariate_columns=("age", "sex", "stage"))
    joined = pd.concat([covariates, table[["batch"]], X], axis=1)
    np.testing.assert_allclose(inside.fit(joined).transform(joined), apart, rtol=1e-12)
    assert list(inside.get_feature_names_out()) == list(X.columns)


def test_held_out_rows_do_not_count(table):
    X, batch, _ = parts(table)
    rows = np.arange(len(X)) % 3 > 0
    combat = ComBat().fit(X[rows], batch=batch[rows])
    changed = X.copy()
    changed.loc[~rows] = 1e6
    again = clone(combat).fit(changed[rows], batch=batch[rows])
    np.testing.assert_array_equal(
        combat.transform(X[~rows], batch=batch[~rows]), again.transform(X[~rows], batch=batch[~rows])
    )
    one_by_one = np.vstack([combat.transform(X.iloc[[i]], batch=batch[[i]]) for i in np.flatnonzero(~rows)])
    np.testing.assert_allclose(one_by_one, combat.transform(X[~rows], batch=batch[~rows]), rtol=1e-12)


def test_an_unseen_site_has_a_declared_policy(table):
    X, batch, _ = parts(table)
    seen = batch != 3
    with pytest.raises(FitError, match=r"site 3 was not fitted \(fitted: 1, 2\); set unseen"):
        ComBat().fit(X[seen], batch=batch[seen]).transform(X, batch=batch)
    new = X[~seen]
    fitted = {
        policy: ComBat(unseen=policy).fit(X[seen], batch=batch[seen])
        for policy in ("unadjusted", "nearest", "grand_mean")
    }
    out = {policy: combat.transform(new, batch=batch[~seen]) for policy, combat in fitted.items()}
    np.testing.assert_array_equal(out["unadjusted"], new)
    as_known = [fitted["nearest"].transform(new, batch=np.full(len(new), site)) for site in (1, 2)]
    assert any(np.array_equal(out["nearest"], known) for known in as_known)
    grand = fitted["grand_mean"]
    before = np.abs(new.mean().to_numpy() - grand.grand_mean_) / grand.pooled_sd_
    after = np.abs(out["grand_mean"].mean(axis=0) - grand.grand_mean_) / grand.pooled_sd_
    assert np.median(after) < 0.3 * np.median(before)
    np.testing.assert_allclose(out["grand_mean"].std(axis=0), new.std(ddof=0), rtol=1e-9)


def test_confounded_covariates_and_odd_sites_are_refused(table):
    X, batch, covariates = parts(table)
    with pytest.raises(FitError, match="cannot be told apart"):
        ComBat().fit(X, batch=batch, covariates=(batch == 2).astype(float))
    with pytest.raises(FitError, match="reference site 9 is not among"):
        ComBat(reference=9).fit(X, batch=batch)
    fitted = ComBat().fit(X, batch=batch, covariates=covariates)
    strange = covariates.assign(stage="V")
    with pytest.raises(FitError, match="holds 'V', which is not among the fitted levels"):
        fitted.transform(X, batch=batch, covariates=strange)
    with pytest.raises(ValueError, match="need a site each"):
        ComBat().fit(X, batch=[None] * len(X))


def test_a_site_of_one_row_leaves_variances_alone(table):
    X, batch, _ = parts(table)
    lone = batch.copy()
    lone[0] = 9
    combat = ComBat().fit(X, batch=lone)
    assert combat.mean_only_
    assert (combat.delta_ == 1).all()


def test_constant_features_pass(table):
    X, batch, _ = parts(table)
    flat = X.copy()
    flat.iloc[:, 2] = 7.0
    found = ComBat().fit(flat, batch=batch).transform(flat, batch=batch)
    np.testing.assert_array_equal(found[:, 2], 7.0)
    assert np.isfinite(found).all()
