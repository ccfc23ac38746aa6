import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from imrad.cohort import cohort_digest, survival_y, validate
from imrad.datasets import make_cohort
from imrad.datasets.names import cell_target, feature_names
from imrad.exceptions import ConfigError
from imrad.names import FOUNDING_TARGETS


def test_feature_counts_are_those_of_the_two_settings():
    assert len(set(feature_names(851))) == 851
    assert sum(name.startswith("original") for name in feature_names(851)) == 107
    assert sum("log-sigma" in name for name in feature_names(1037)) == 186
    assert "original_shape_MeshVolume" in feature_names(3)
    with pytest.raises(ConfigError, match="99999 features"):
        feature_names(99999)


def test_the_thirty_targets_of_the_founding_study_come_first():
    assert len(FOUNDING_TARGETS) == 30
    adata = make_cohort(10, n_features=5, n_targets=33)
    assert list(adata.obsm["immune"].columns)[:30] == list(FOUNDING_TARGETS)
    assert len(set(adata.obsm["immune"].columns)) == 33
    assert cell_target("T.cells.regulatory..Tregs.") == cell_target("T cells regulatory (Tregs)")


def test_a_cohort_is_valid_and_the_same_seed_gives_the_same_one():
    first = make_cohort(30, n_features=40, seed=3, image_effect=1.0)
    validate(first)
    assert cohort_digest(first) == cohort_digest(make_cohort(30, n_features=40, seed=3, image_effect=1.0))
    assert cohort_digest(first) != cohort_digest(make_cohort(30, n_features=40, seed=4, image_effect=1.0))


def test_adding_targets_changes_no_other():
    few = make_cohort(30, n_features=40, n_targets=2, image_effect=1.0).obsm["immune"]
    many = make_cohort(30, n_features=40, n_targets=9, image_effect=1.0).obsm["immune"]
    pd.testing.assert_frame_equal(few, many[few.columns])


def strongest(adata, target):
    rho = spearmanr(np.column_stack([adata.X, adata.obsm["immune"][target]])).statistic
    return np.abs(rho[-1, :-1])


def test_the_signal_is_where_it_was_planted_and_not_elsewhere():
    adata = make_cohort(2000, n_features=150, n_targets=3, image_effect={"MSI": 2.0}, seed=1)
    truth = adata.uns["truth"]
    row = truth["targets"].set_index("target").loc["MSI"]
    planted = truth["features"]["block"].isin([row["block_1"], row["block_2"]]).to_numpy()
    rho = strongest(adata, "MSI")
    assert rho[planted].min() > 0.3
    # The largest of 150 null correlations of 2000 patients is about 3.6 / sqrt(2000).
    assert rho[~planted].max() < 0.1
    assert strongest(adata, "TMB").max() < 0.1
    expected = 2 / np.sqrt(5)
    assert np.corrcoef(truth["signal"]["MSI"], adata.obsm["immune"]["MSI"])[0, 1] == pytest.approx(expected, abs=0.02)


def test_features_of_a_block_are_correlated_and_those_of_two_are_not():
    adata = make_cohort(3000, n_features=60, n_targets=1)
    block = adata.uns["truth"]["features"]["block"].to_numpy()
    rho = np.abs(spearmanr(adata.X).statistic)
    same = block[:, None] == block[None, :]
    off = ~np.eye(60, dtype=bool)
    assert rho[same & off].mean() == pytest.approx(0.68, abs=0.04)
    assert rho[~same].max() < 0.1


@pytest.mark.parametrize("rate", [0.1, 0.33, 0.9, 1.0])
def test_the_event_rate_is_what_was_asked_for(rate):
    adata = make_cohort(200, n_features=5, event_rate=rate)
    assert survival_y(adata.obs, "os")["event"].sum() == round(rate * 200)
    assert (adata.obs["os_days"] >= 1).all()
    assert (adata.obs["pfi_days"] <= adata.obs["os_days"]).all()
    assert (adata.obs["pfi_event"] >= adata.obs["os_event"]).all()


def cox(adata, *columns):
    from lifelines import CoxPHFitter

    table = adata.obs[["os_days", "os_event"]].copy()
    for name, values in columns:
        table[name] = (values - values.mean()) / values.std()
    return CoxPHFitter().fit(table, "os_days", "os_event").params_


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_cox_model_finds_the_planted_hazards_and_zero_where_there_is_none():
    adata = make_cohort(
        4000,
        n_features=20,
        n_targets=2,
        survival_effect={"MSI": 0.7},
        clinical_effect=0.0,
        volume_effect=0.4,
        event_rate=0.6,
    )
    volume = pd.Series(np.log(adata[:, "original_shape_MeshVolume"].X[:, 0]), index=adata.obs_names)
    found = cox(
        adata, ("msi", adata.obsm["immune"]["MSI"]), ("tmb", np.log(adata.obsm["immune"]["TMB"])), ("volume", volume)
    )
    assert found["msi"] == pytest.approx(0.7, abs=0.1)
    assert found["tmb"] == pytest.approx(0.0, abs=0.08)
    # The measured volume is its latent factor seen through a correlation of sqrt(0.7).
    assert 0.25 < found["volume"] < 0.45


def test_another_draw_is_of_the_same_population_and_other_patients():
    first = make_cohort(1500, n_features=60, n_targets=1, image_effect=2.0)
    second = make_cohort(1500, n_features=60, n_targets=1, image_effect=2.0, draw=1)
    assert not set(first.obs_names) & set(second.obs_names)
    assert np.corrcoef(strongest(first, "TMB"), strongest(second, "TMB"))[0, 1] > 0.97
    moved = make_cohort(1500, n_features=60, n_targets=1, image_effect=2.0, draw=1, shift=1.0)
    assert (np.median(moved.X, axis=0) > np.median(second.X, axis=0)).all()


def test_zeros_missing_values_sites_readers_and_response_on_request():
    adata = make_cohort(
        600,
        n_features=30,
        n_targets=26,
        image_effect=1.0,
        zero_inflation=True,
        missing_targets=0.1,
        missing_features=0.05,
        missing_clinical=0.2,
        n_sites=3,
        site_effect=2.0,
        response=True,
        response_effect=2.0,
        readers=2,
    )
    immune = adata.obsm["immune"]
    assert immune.isna().to_numpy().mean() == pytest.approx(0.1, abs=0.02)
    assert (immune["cell:T_cells_gamma_delta"] == 0).sum() / immune["cell:T_cells_gamma_delta"].notna().sum() > 0.78
    assert (immune["cell:T_cells_CD8"] == 0).mean() < 0.05
    assert np.isnan(adata.X).mean() == pytest.approx(0.05, abs=0.01)
    assert adata.obs["stage"].isna().mean() == pytest.approx(0.2, abs=0.06)
    assert adata.obs["os_days"].notna().all()
    site_means = pd.DataFrame(adata.X).groupby(adata.obs["site"].to_numpy()).median()
    assert (site_means.std() / pd.DataFrame(adata.X).std()).median() > 0.3
    known = adata.obs["response"].notna()
    signal = adata.uns["truth"]["signal"]["TMB"].to_numpy()
    assert np.corrcoef(signal[known], adata.obs.loc[known, "response"])[0, 1] > 0.4
    assert set(adata.obs.loc[~known, "best_response"]) == {"NE"}


def test_the_second_reader_has_the_planted_icc():
    adata = make_cohort(1500, n_features=40, n_targets=1, readers=2)
    first, second = adata.X, adata.obsm["reader_2"].to_numpy()
    between = np.array([np.cov(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)])
    within = np.var(first - second, axis=0) / 2
    np.testing.assert_allclose(between / (between + within), adata.uns["truth"]["features"]["icc"], atol=0.06)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="event rate"):
        make_cohort(10, n_features=5, event_rate=0.0)
    with pytest.raises(ConfigError, match="the cohort's targets are TMB"):
        make_cohort(10, n_features=5, n_targets=1, image_effect={"purity": 1.0})
