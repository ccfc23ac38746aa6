"""What no score may depend on, and what deconvolution must recover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from imrad.immune import cibersort, estimate_scores, marker_scores, ssgsea
from imrad.immune.identifiers import reference_symbols
from imrad.immune.nusvr import solve_many
from imrad.immune.quantile import quantile_normalise

GENES = sorted(reference_symbols())
SETS = {"one": GENES[10:60], "two": GENES[100:400:3]}


def matrix(seed, ties, n_genes=600, n_samples=4):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(3, 1.5, (n_genes, n_samples)) * (rng.random((n_genes, n_samples)) > 0.2)
    if ties:
        values = np.round(values, -1) + 0.5 * (values > 0)
    return pd.DataFrame(values, index=GENES[:n_genes], columns=[f"S{n}" for n in range(n_samples)])


def signature(seed, n_genes=80, n_cells=5):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.lognormal(4, 1.2, (n_genes, n_cells)), index=GENES[:n_genes], columns=list("VWXYZ"))


METHODS = {
    "estimate": lambda m: estimate_scores(m, stromal=SETS["one"], immune=SETS["two"]),
    "ssgsea": lambda m: ssgsea(m, SETS, normalisation="gsva"),
    "cibersort": lambda m: cibersort(m, signature(1)).fractions,
    "markers": lambda m: marker_scores(m, {"a": GENES[:5], "b": GENES[20:40]}),
}


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 2**20), ties=st.booleans())
@settings(max_examples=8, deadline=None, derandomize=True)
def test_scores_depend_on_neither_order_nor_other_genes(method, seed, ties):
    table = matrix(seed, ties)
    base = METHODS[method](table)
    rng = np.random.default_rng(seed)
    samples = [table.columns[n] for n in rng.permutation(4)]
    pd.testing.assert_frame_equal(
        METHODS[method](table[samples]), base.loc[samples], check_exact=True, check_names=False
    )
    genes = [table.index[n] for n in rng.permutation(len(table))]
    pd.testing.assert_frame_equal(METHODS[method](table.loc[genes]), base, check_exact=True)
    pd.testing.assert_frame_equal(METHODS[method](table.T), base, check_exact=True)
    if method in ("cibersort", "markers"):
        more = pd.concat([table, pd.DataFrame(7.25, index=["NOTAGENE1"], columns=table.columns)])
        pd.testing.assert_frame_equal(METHODS[method](more), base, check_exact=True)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_estimate_ignores_genes_outside_its_common_list(seed):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(3, 1.5, (len(GENES), 2))
    table = pd.DataFrame(values, index=GENES, columns=["a", "b"])
    more = pd.concat(
        [table, pd.DataFrame(rng.lognormal(3, 1, (5, 2)), index=[f"NEW{n}" for n in range(5)], columns=["a", "b"])]
    )
    pd.testing.assert_frame_equal(estimate_scores(more), estimate_scores(table), check_exact=True)


def running_sum(values, names, members, alpha):
    """Return the definition, term by term."""
    ranks = rankdata(values)
    order = sorted(range(len(values)), key=lambda i: (-values[i], names[i]))
    inside = np.array([names[i] in members for i in order])
    weights = np.where(inside, ranks[order] ** alpha, 0.0)
    return float((np.cumsum(weights) / weights.sum() - np.cumsum(~inside) / (~inside).sum()).sum())


@given(seed=st.integers(0, 2**20), ties=st.booleans(), alpha=st.sampled_from([0.0, 0.25, 1.0]))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_the_closed_form_is_the_running_sum(seed, ties, alpha):
    table = matrix(seed, ties, n_genes=420, n_samples=2)
    scores = ssgsea(table, SETS, alpha=alpha)
    names = sorted(table.index)
    for sample in table:
        values = table.loc[names, sample].to_numpy()
        for name, genes in SETS.items():
            assert scores.loc[sample, name] == pytest.approx(running_sum(values, names, set(genes), alpha), rel=1e-10)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_known_fractions_are_recovered(seed):
    rng = np.random.default_rng(seed)
    reference = signature(seed, n_genes=200)
    truth = rng.dirichlet(np.ones(5), 6)
    bulk = pd.DataFrame(reference.to_numpy() @ truth.T, index=reference.index, columns=[f"S{n}" for n in range(6)])
    result = cibersort(bulk, reference)
    np.testing.assert_allclose(result.fractions, truth, atol=0.02)
    assert (result.fit["correlation"] > 0.995).all()
    noisy = bulk * np.exp(rng.normal(0, 0.1, bulk.shape))
    np.testing.assert_allclose(cibersort(noisy, reference).fractions, truth, atol=0.08)


@given(seed=st.integers(0, 2**20), scale=st.sampled_from(["log2", "half", "log2 without 1"]))
@settings(max_examples=9, deadline=None, derandomize=True)
def test_fractions_do_not_depend_on_the_scale_of_the_mixture(seed, scale):
    table = matrix(seed, ties=False)
    table = table / table.sum() * 1e6
    change = {"log2": lambda x: np.log2(x + 1), "half": lambda x: x / 2, "log2 without 1": lambda x: np.log2(x + 0.001)}
    base, other = cibersort(table, signature(1)), cibersort(change[scale](table), signature(1))
    np.testing.assert_allclose(other.fractions, base.fractions, atol=1e-7)


def optimum(design, y, weights, nu):
    """Return the objective at these weights, with the best offset and tube."""

    def top(values, mass):
        ordered = np.sort(values)[::-1]
        whole = int(np.floor(mass + 1e-12))
        return ordered[:whole].sum() + (mass - whole) * (ordered[whole] if whole < len(values) else 0.0)

    rest = y - design @ weights
    half = 0.5 * nu * len(y)
    return 0.5 * weights @ weights + top(rest, half) + top(-rest, half)


@given(
    seed=st.integers(0, 2**20),
    rows=st.sampled_from([24, 40, 65, 96, 137]),
    columns=st.sampled_from([2, 5, 9]),
    rounded=st.booleans(),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_exact_solver_finds_the_optimum(seed, rows, columns, rounded):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(rows, columns))
    y = design @ rng.normal(size=columns) + rng.normal(size=rows)
    if rounded:
        design, y = np.round(design, 1), np.round(y, 1)
    weights, _ = solve_many(design, y[None], (0.25, 0.5, 0.75))
    for number, nu in enumerate((0.25, 0.5, 0.75)):
        best = optimum(design, y, weights[0, number], nu)
        # The objective is strongly convex in the weights: no point may lie below, and any point a
        # distance t away lies at least t^2 / 2 above.
        for size in (1e-5, 1e-3, 1e-1):
            steps = rng.normal(size=(20, columns))
            steps *= size / np.linalg.norm(steps, axis=1, keepdims=True)
            for step in steps:
                assert optimum(design, y, weights[0, number] + step, nu) >= best + 0.5 * size**2 - 1e-10


@given(seed=st.integers(0, 2**20))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_quantile_normalised_columns_share_one_distribution(seed):
    values = np.random.default_rng(seed).normal(size=(50, 4))
    result = quantile_normalise(values)
    np.testing.assert_allclose(np.sort(result, axis=0), np.sort(result, axis=0)[:, [0, 0, 0, 0]], rtol=1e-12)
    np.testing.assert_array_equal(np.argsort(result, axis=0), np.argsort(values, axis=0))
