"""Numbers of the original programs: ESTIMATE, GSVA, e1071, CIBERSORT."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.immune import cibersort, estimate_scores, ssgsea
from imrad.immune.nusvr import solve_many

DATA = Path(__file__).parent / "data" / "immune"


def table(name, **options):
    return pd.read_csv(DATA / name, index_col=0, **options)


@pytest.mark.parametrize("case", ["synthetic", "synthetic_ties"])
def test_estimate_and_both_gsva_scales(case):
    expected = json.loads((DATA / f"ssgsea_{case}.json").read_text())
    matrix = table(f"ssgsea_{case}_input.csv.gz")
    sets = expected["gene_sets"]
    scores = estimate_scores(matrix, stromal=sets["stromal"], immune=sets["immune"], platform="affymetrix")
    for name in ("stromal", "immune", "estimate"):
        np.testing.assert_allclose(scores[name], expected[name], rtol=1e-9)
    np.testing.assert_allclose(scores["purity"], np.array(expected["purity_affymetrix"], float), rtol=1e-9)
    for normalisation, key in (("gsva", "gsva_ssgsea_unnormalised"), ("gsva_scaled", "gsva_ssgsea_normalised")):
        wanted = np.array(expected[key]["data"]).T
        result = ssgsea(matrix, sets, normalisation=normalisation)[expected[key]["rows"]]
        np.testing.assert_allclose(result, wanted, rtol=1e-9)


def test_estimate_program_example():
    expected = table("estimate_sample_expected.tsv", sep="\t").astype(float)
    path = DATA / "estimate_sample.tsv.gz"
    scores = estimate_scores(path, platform="affymetrix")
    assert list(scores.index) == list(expected.columns)
    for name, row in zip(["stromal", "immune", "estimate"], expected.to_numpy()[:3], strict=True):
        np.testing.assert_allclose(scores[name], row, rtol=0, atol=1e-9)
    # The example's purity comes from an earlier fit than the published one.
    example = estimate_scores(path, platform="affymetrix", calibration="example")
    np.testing.assert_allclose(example["purity"], expected.to_numpy()[3], rtol=0, atol=1e-9)
    assert np.abs(scores["purity"] - expected.to_numpy()[3]).max() < 0.015


def test_the_whole_estimate_example(reference_data):
    expected = pd.read_csv(reference_data / "estimate" / "sample_estimate.gct", sep="\t", skiprows=2, index_col=0)
    scores = estimate_scores(reference_data / "estimate" / "sample_input.txt.gz", platform="affymetrix")
    wanted = expected.drop(columns="Description").T.to_numpy(dtype=float)
    np.testing.assert_allclose(scores[["stromal", "immune", "estimate"]], wanted, rtol=0, atol=1e-9)


def test_nu_svr_weights_equal_e1071_at_a_tight_tolerance():
    case = json.loads((DATA / "nusvr_plain.json").read_text())
    rows = np.array(case["rows"])
    weights, certified = solve_many(rows[:, :-1], rows[None, :, -1], tuple(fit["nu"] for fit in case["fits"]))
    assert certified.all()
    for found, fit in zip(weights[0], case["fits"], strict=True):
        np.testing.assert_allclose(found, fit["w"], rtol=0, atol=1e-5)


def oracle(name):
    expected = table(f"oracle_{name}.tsv.gz", sep="\t")
    return expected.iloc[:, :22].to_numpy(), expected[["P-value", "Correlation", "RMSE"]].to_numpy(dtype=float)


@pytest.mark.parametrize(
    ("mixture", "name"), [("mixture", "exact_rel_perm0"), ("mixture_noisy", "noisy_rel_perm100_seed42")]
)
@pytest.mark.parametrize(("solver", "tolerance", "n"), [("libsvm", 1e-10, 5), ("exact", 5e-3, 18)])
def test_cibersort_program(mixture, name, solver, tolerance, n):
    fractions, fit = oracle(name)
    bulk = table(f"oracle_{mixture}.tsv.gz", sep="\t").iloc[:, :n]
    result = cibersort(bulk, DATA / "oracle_signature_matrix.tsv.gz", solver=solver)
    np.testing.assert_allclose(result.fractions, fractions[:n], rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.fit[["correlation", "rmse"]], fit[:n, 1:], rtol=0, atol=tolerance)


def test_cibersort_program_p_values():
    _, fit = oracle("noisy_rel_perm100_seed42")
    result = cibersort(
        DATA / "oracle_mixture_noisy.tsv.gz", DATA / "oracle_signature_matrix.tsv.gz", n_permutations=200
    )
    np.testing.assert_allclose(result.fit["p_value"], fit[:, 0], rtol=0, atol=1 / 100)


@pytest.mark.parametrize(
    ("case", "solver", "n"), [("plain", "libsvm", 6), ("plain", "exact", 30), ("quantile", "exact", 30)]
)
def test_published_procedure_in_r(case, solver, n):
    expected = table(f"cibersort_synth_{case}.csv").iloc[:n]
    bulk = table("cibersort_synth_mixture.csv.gz").iloc[:, :n]
    result = cibersort(bulk, DATA / "cibersort_synth_signature.csv.gz", quantile_norm=case == "quantile", solver=solver)
    assert result.coverage.n_found == 540
    found, wanted = result.fractions.to_numpy(), expected.iloc[:, :22].to_numpy()
    # Two RMSEs within 1e-3 may choose another nu; none of these cases does.
    assert (result.fit["nu"].to_numpy() == expected["best_nu"].to_numpy()).all()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-3)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9999
    fit = result.fit[["correlation", "rmse"]]
    np.testing.assert_allclose(fit, expected[["correlation", "rmse"]], rtol=0, atol=1e-3)


PERMUTATIONS = (DATA / "cibersort_permutations_mixture.csv", DATA / "cibersort_permutations_signature.csv")


@pytest.fixture(scope="module")
def permuted():
    return cibersort(*PERMUTATIONS, solver="libsvm", n_permutations=500)


def test_permutation_p_values(permuted):
    expected = table("cibersort_permutations_expected.csv")
    np.testing.assert_allclose(permuted.fractions, expected.iloc[:, :8], rtol=0, atol=1e-9)
    p = expected["p_value"].to_numpy()
    # Both p-values are estimates, from 1000 draws in R and 500 others here.
    error = np.sqrt(p * (1 - p) * (1 / 1000 + 1 / 500))
    assert (np.abs(permuted.fit["p_value"] - p) < 3 * error + 2e-3).all()


@pytest.mark.parametrize(("mode", "column"), [("sig.score", "sig_score"), ("no.sumto1", "no_sumto1")])
def test_absolute_modes(mode, column):
    expected = table("cibersort_permutations_expected.csv")
    absolute = cibersort(*PERMUTATIONS, solver="libsvm", absolute=mode)
    np.testing.assert_allclose(absolute.fit["absolute_score"], expected[column], rtol=0, atol=1e-9)
    np.testing.assert_allclose(absolute.fractions.sum(axis=1), expected[column], rtol=0, atol=1e-9)


def test_the_exact_null_agrees_with_the_libsvm_null(permuted):
    exact = cibersort(*PERMUTATIONS, n_permutations=500)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(exact.null, levels), np.quantile(permuted.null, levels), rtol=0, atol=5e-3)
