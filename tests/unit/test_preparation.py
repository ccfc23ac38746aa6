"""Preparation steps: fitted on a fold's rows alone, equal after a file, and caught where they peek."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from imrad import content, stages
from imrad.config import Config
from imrad.datasets import make_cohort
from imrad.evaluation import draw_splits
from imrad.evaluation.filters import ByOtherOutcome, CorrelationFilter, RankSumFilter, VarianceFilter
from imrad.evaluation.preparation import FittedPreparation, Preparation, Step, check_preparation
from imrad.exceptions import ConfigError, FitError, LeakError
from imrad.phenotype import MRMRSelector, PhenotypeGrid, PhenotypeModel
from imrad.radiomics import ComBat, ICCFilter, ReaderMean
from imrad.run import Run
from imrad.stages.prepare_settings import check_steps
from imrad.stages.preparing import make_preparation
from imrad.survival import SurvivalFusion, UnivariateCox
from imrad.survival.frozen import FrozenModel

N, P = 66, 24
RNG = np.random.default_rng(11)
NAMES = [f"P{number:03d}" for number in range(N)]
FEATURES = [f"f{number:02d}" for number in range(P)]
SITES = pd.Series(np.array(["A", "B", "C"])[np.arange(N) % 3], index=NAMES)
SHIFT = 2.0 * (SITES == "B").to_numpy()[:, None] * RNG.normal(size=P)
X = pd.DataFrame(RNG.normal(size=(N, P)) + SHIFT, index=NAMES, columns=FEATURES)
X.iloc[3, 5] = np.nan
READER = X + RNG.normal(size=(N, P)) * np.where(np.arange(P) < 12, 0.1, 20.0)
READER.iloc[40:] = np.nan
Y = pd.DataFrame({"TMB": X["f01"].fillna(0) + 0.5 * RNG.normal(size=N)}, index=NAMES)
LABELS = (Y["TMB"] > Y["TMB"].median()).to_numpy().astype(int)
TIME, EVENT = RNG.exponential(900, N) * np.exp(-0.5 * X["f02"].fillna(0).to_numpy()), RNG.random(N) < 0.6
SPLITS = draw_splits(NAMES, EVENT.astype(int), seed=3, n_outer=3, n_inner=3)
SIDES = {"reader_2": READER, "site": SITES, "recurred": pd.Series(np.where(RNG.random(N) < 0.2, np.nan, LABELS), NAMES)}

ICC = Step("icc", ICCFilter(form="2,1", threshold=0.5, on="estimate"), fit_with={"repeats": ("reader_2",)})
COMBAT = Step("combat", ComBat(unseen="grand_mean"), fit_with={"batch": "site"}, transform_with={"batch": "site"})
ALL = (
    ICC,
    Step("mean_of_readers", ReaderMean(), transform_with={"repeats": ("reader_2",)}),
    COMBAT,
    ("variance", VarianceFilter()),
    ("correlation", CorrelationFilter(0.95)),
    ("zscore", StandardScaler()),
)
SMALL = {"selectors": ["information_gain"], "classifiers": ["naive_bayes", "logistic_regression"], "k": 4}
QUIET = {"permutations": 0, "controls": False, "ablation": False, "bundles": False}


def test_a_fit_sees_its_rows_of_every_table_and_no_others():
    train, test = np.arange(44), np.arange(44, N)
    both = Preparation([*ALL, Step("u", RankSumFilter(0.9), outcome=True), ("pca", PCA(2))], SIDES)
    check_preparation(both, X, LABELS[train], train, test, step="os/Rad", fold="r0/o0")
    fitted = both.fit(X.iloc[train], LABELS[train])
    # What the fold makes equals what a cohort of its training patients alone would.
    alone = Preparation(both.steps, {name: side.iloc[train] for name, side in SIDES.items()})
    assert alone.fit(X.iloc[train], LABELS[train]).states() == fitted.states()
    assert fitted.transform(X.iloc[test], SIDES).shape == (22, 2)
    assert [row["step"] for row in fitted.funnel()] == ["extracted", *both.names]


class Peeks(TransformerMixin, BaseEstimator):
    """Centres by everyone that has the global name EVERYONE."""

    def fit(self, X, y=None):
        self.n_features_in_, self.mean_ = X.shape[1], EVERYONE.mean().to_numpy()
        return self

    def transform(self, X):
        return np.asarray(X) - self.mean_

    def get_feature_names_out(self, names=None):
        return names


EVERYONE = X.fillna(0.0)


def test_a_step_that_peeks_is_caught_by_its_name():
    with pytest.raises(LeakError, match="prepare:peeks holds the cohort's rows itself"):
        PhenotypeGrid(prepare=[("peeks", Peeks())], **SMALL, **QUIET).run(EVERYONE, Y, SPLITS)
    outcome = pd.DataFrame({"time": TIME, "event": EVENT}, index=NAMES)
    with pytest.raises(LeakError, match="prepare:peeks holds the cohort's rows itself"):
        SurvivalFusion(prepare=[("peeks", Peeks())], n_bootstrap=0).run(outcome, {"Rad": EVERYONE}, SPLITS)


class Known(StandardScaler):
    """Learnt before the split."""

    def fit(self, X, y=None):
        super().fit(X)
        self.mean_, self.scale_ = np.full(X.shape[1], 0.25), np.full(X.shape[1], 2.0)
        return self


def test_a_step_learnt_before_the_split_is_caught_by_its_name():
    with pytest.raises(LeakError, match="TMB/prepare:known is the same when its training rows are replaced"):
        PhenotypeGrid(prepare=[("known", Known())], **SMALL, **QUIET).run(X, Y, SPLITS)


def test_a_side_table_that_reaches_beyond_its_rows_is_caught(monkeypatch):
    from imrad.evaluation import preparation

    def whole(wanted, sides, index, **_):
        return {name: [sides[key] for key in side] for name, side in wanted.items()}

    monkeypatch.setattr(preparation, "_rows_of", whole)

    class Mean(Peeks):
        def fit(self, X, y=None, repeats=None):
            self.n_features_in_, self.mean_ = X.shape[1], repeats[0].mean().to_numpy()
            return self

        def transform(self, X, repeats=None):
            return np.asarray(X) - self.mean_

        def frozen(self):
            return preparation.Impute(tuple(FEATURES), tuple(FEATURES), self.mean_)

    steps = Preparation([Step("mean", Mean(), fit_with={"repeats": ("reader_2",)})], SIDES)
    with pytest.raises(LeakError, match="os/Rad/prepare:mean changes when its held-out patients are replaced"):
        check_preparation(steps, X, None, np.arange(30), np.arange(30, N), step="os/Rad", fold="r0/o0")


def test_the_grid_prepares_in_every_fold_and_its_bundle_says_the_same(tmp_path):
    steps = [*ALL, Step("u_test", RankSumFilter(0.2, at_least=1), outcome=True)]
    grid = PhenotypeGrid(prepare=steps, **SMALL, **{**QUIET, "bundles": True, "permutations": 10})
    result = grid.run(X, Y, SPLITS, sides=SIDES)
    assert result.summary["auc"].iloc[0] > 0.6
    funnel = result.funnel.set_index(["fold", "step"])
    assert set(result.funnel["fold"]) == {"r0/o0", "r0/o1", "r0/o2", "all"}
    assert funnel.loc[("all", "icc"), "n_out"] == 12
    assert (funnel.xs("u_test", level="step")["n_out"] < funnel.xs("u_test", level="step")["n_in"]).all()
    seen = result.ledger.frame()
    assert set(seen.loc[seen["step"] == "TMB/prepare:u_test", "fold"]) >= {"r0/o0", "r0/o0/i0", "all"}
    assert set(result.stability["feature"]) <= set(FEATURES[:12])

    content.save(tmp_path / "model", result.bundles["TMB"])
    model = PhenotypeModel(content.load(tmp_path / "model"))
    assert set(model.features) < set(FEATURES[:12])
    there = model.predict(X[model.features], {"site": SITES})
    again = model.predict(X, {"site": SITES})
    assert np.allclose(there, again, atol=1e-14)
    # A hospital that does not tell its site is one that was not fitted.
    assert not np.allclose(model.predict(X), there)


def test_a_permuted_target_goes_through_the_steps_that_look_at_it():
    steps = [Step("u_test", RankSumFilter(0.1, at_least=1), outcome=True)]
    noise = pd.DataFrame({"noise": RNG.normal(size=N)}, index=NAMES)
    settings = {**QUIET, "permutations": 30, "exceedances": 30}
    result = PhenotypeGrid(prepare=steps, seed=4, **SMALL, **settings).run(X, noise, SPLITS)
    # Selection inside each permutation lifts the null as it lifts the observed value.
    assert result.null["statistic"].median() > 0.5
    assert result.summary["p_permutation"].iloc[0] > 0.05


@pytest.mark.parametrize("last", [[], [("pca", PCA(3))]])
def test_a_fusion_prepares_in_every_fold_and_its_model_travels(last, tmp_path):
    steps = [ICC, COMBAT, *last, Step("univariate_cox", UnivariateCox(alpha=0.3, at_least=1), outcome=True)]
    outcome = pd.DataFrame({"time": TIME, "event": EVENT}, index=NAMES)
    result = SurvivalFusion(prepare=steps, n_bootstrap=2, horizons_days=[365], seed=1).run(
        outcome, {"Rad": X}, SPLITS, sides=SIDES
    )
    assert result.models.set_index("model").loc["Rad", "status"] == "fitted"
    assert list(result.funnel.loc[result.funnel["fold"] == "all", "step"])[:3] == ["extracted", "icc", "combat"]
    ledger = result.ledger.frame()
    assert set(ledger.loc[ledger["step"] == "os/Rad/prepare:icc", "fold"]) >= {"all", "r0/o1", "r0/o1/i2"}

    content.save(tmp_path / "models", result.final)
    model = FrozenModel(content.load(tmp_path / "models")["Rad"])
    needed = model.needed["Rad"]
    assert (len(needed) == 12) if last else (0 < len(needed) < 12)
    sides = {"site": SITES}
    risk = model.risk({"Rad": X[needed]}, sides)
    plain = FittedPreparation.from_plain(content.load(tmp_path / "models")["Rad"]["prepare"]["Rad"])
    table = plain.transform(X, sides)
    names, coef = result.final["Rad"]["names"], result.final["Rad"]["coef"]
    expected = table[names].fillna(table.median()).to_numpy() @ coef - result.final["Rad"]["offset"]
    assert np.allclose(risk, expected, atol=1e-12)


def test_a_step_that_needs_all_columns_is_narrowed_to_those_wanted():
    nearest = Step("combat", ComBat(unseen="nearest"), fit_with={"batch": "site"}, transform_with={"batch": "site"})
    fitted = Preparation([nearest, ("zscore", StandardScaler())], SIDES).fit(X)
    wanted = ["f03", "f11"]
    less = FittedPreparation.from_plain(fitted.narrowed(wanted).to_plain())
    elsewhere = {"site": pd.Series("D", NAMES)}
    assert list(less.names) == wanted
    assert np.allclose(less.transform(X, elsewhere), fitted.transform(X, elsewhere)[wanted], atol=1e-14)


def test_another_outcome_chooses_features_without_the_patients_who_lack_it():
    step = Step("mrmr", ByOtherOutcome(MRMRSelector(5, scheme="mrmre")), fit_with={"labels": "recurred"})
    fitted = Preparation([step], SIDES).fit(X)
    assert len(fitted.names) == 5
    assert "f01" in fitted.names
    few = {"recurred": SIDES["recurred"].where(np.arange(N) < 6)}
    with pytest.raises(FitError, match=r"mrmr .66 training rows.: the other outcome is known for"):
        Preparation([step], few).fit(X)


def test_what_a_config_may_say():
    listed = ("variance", {"icc": {"threshold": 0.8}}, {"combat": {"batch": "centre"}}, {"mrmr": {"k": 10}})
    assert [name for name, _ in check_steps(listed, "fuse")] == ["variance", "icc", "combat", "mrmr"]
    for wrong, said in (
        (("iccc",), "unknown step 'iccc' .did you mean icc"),
        (({"icc": {"thresold": 1}},), "nearest valid key is 'threshold'"),
        (("zscore", "icc"), "icc compares readers' raw values; put it before zscore"),
        (("pca", "pca"), "stands there twice"),
        (("u_test",), "u_test compares two classes"),
        (({"icc": {}, "pca": {}},), "each entry is one step"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_steps(wrong, "fuse", "survival")


def test_a_run_prepares_and_writes_what_each_step_did(tmp_path):
    config = Config(
        name="prepared",
        assemble={"standin": {"study": "escc-pfs", "size": "small"}, "splits": {"outer": 3, "inner": 3, "repeats": 1}},
        fuse={
            "endpoints": ["pfs"],
            "n_bootstrap": 0,
            "prepare": [{"icc": {"threshold": 0.8, "on": "estimate", "patients": 30}}, {"univariate_cox": {"p": 0.05}}],
        },
    )
    run = stages.run_all(Run(tmp_path, config))
    table = run.read("features/icc.csv")
    assert {"feature", "icc", "low", "high", "kept", "kept_folds"} <= set(table)
    assert 0 < table["kept"].sum() < len(table)
    assert (table["n"] == 30).all()
    funnel = run.read("survival/pfs/funnel.csv")
    assert list(funnel.loc[(funnel["fold"] == "all") & (funnel["model"] == "Rad"), "step"]) == [
        *("extracted", "icc", "univariate_cox", "model")
    ]


def test_missing_covariates_of_combat_follow_a_policy_that_is_learnt_in_the_fold(tmp_path):
    rng = np.random.default_rng(4)
    age, stage = pd.Series(rng.normal(60, 9, N), NAMES), pd.Series(rng.choice(["I", "II", "II"], N), NAMES)
    holes = {"age": age.where(np.arange(N) % 7 != 0), "stage": stage.where(np.arange(N) % 11 != 0, None)}
    sides = {"site": SITES, **{f"obs:{name}": column for name, column in holes.items()}}
    sources = {"batch": "site", "covariates": ("obs:age", "obs:stage")}
    train, test = np.arange(44), np.arange(44, N)

    def prepared(missing):
        return Preparation([Step("combat", ComBat(missing=missing), fit_with=sources, transform_with=sources)], sides)

    for missing in ("median", "indicator", {"age": "indicator", "stage": "median"}):
        check_preparation(prepared(missing), X, None, train, test, step="os/Rad", fold="r0/o0")
        fitted = prepared(missing).fit(X.iloc[train])
        content.save(tmp_path / "one", fitted.to_plain())
        elsewhere = FittedPreparation.from_plain(content.load(tmp_path / "one"))
        np.testing.assert_allclose(elsewhere.transform(X, sides), fitted.transform(X, sides), rtol=0, atol=1e-12)
        assert fitted.transform(X, sides).notna().all(axis=None)
    # Filled by hand with what the training rows teach, the numbers are the same.
    by_hand = {
        "obs:age": holes["age"].fillna(holes["age"].iloc[train].median()),
        "obs:stage": holes["stage"].where(holes["stage"].notna(), "II"),
    }
    steps = [Step("combat", ComBat(), fit_with=sources, transform_with=sources)]
    whole = Preparation(steps, {"site": SITES, **by_hand}).fit(X.iloc[train])
    found = prepared("median").fit(X.iloc[train]).transform(X, sides)
    np.testing.assert_allclose(found, whole.transform(X, {"site": SITES, **by_hand}), rtol=0, atol=1e-12)
    with pytest.raises(FitError, match="7 of 44 rows have no obs:age; complete it"):
        prepared("refuse").fit(X.iloc[train])


def test_mrmr_against_classes_ranks_by_order_and_not_by_the_values_of_outliers():
    data = make_cohort(40, n_features=8, seed=3)
    step = make_preparation(data, ({"mrmr": {"k": 3}},), "phenotype", "classes", seed=1).steps[0]
    values = pd.DataFrame(data.X, index=data.obs_names, columns=data.var_names)
    labels = (values.iloc[:, 0] > values.iloc[:, 0].median()).to_numpy().astype(int)
    # A single wild value ruins a correlation, and moves no rank.
    wild = values.copy()
    wild.iloc[int(values.iloc[:, 0].argmax()), 0] = 1e9
    assert clone(step.transformer).fit(wild, labels).ranking_[0] == 0
