import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from imrad.cohort import assemble, endpoint_known, survival_y, validate
from imrad.datasets import load_tcga_blca, tcga_blca_tables
from imrad.names import LM22_CELLS


@pytest.fixture(scope="module")
def blca():
    return load_tcga_blca()


def test_the_cohort_has_the_published_numbers(blca):
    validate(blca)
    assert blca.shape == (75, 200)
    assert survival_y(blca.obs, "os")["event"].sum() == 37
    assert survival_y(blca.obs, "pfi")["event"].sum() == 35
    known = blca.obsm["immune"].notna().sum()
    assert known[["TMB", "MSI", "purity"]].tolist() == [74, 75, 75]
    assert known[["gene:LAG3", "gene:TIGIT", "gene:PDCD1", "gene:CD244"]].tolist() == [74, 74, 66, 66]
    assert [name for name in known.index if name.startswith("cell:")] == [f"cell:{name}" for name in LM22_CELLS]
    assert (known[[f"cell:{name}" for name in LM22_CELLS]] == 75).all()


def test_every_trap_is_handled_and_named(blca):
    attrition = blca.uns["imrad"]["attrition"].set_index("step")
    assert (
        "TCGA-CU-AOYR is unknown and looks like a mistyped TCGA-CU-A0YR" in attrition.loc["radiomics cases", "reason"]
    )
    assert attrition.loc["radiomics cases", ["n_in", "n_out"]].tolist() == [77, 76]
    assert attrition.loc["immune table", "reason"].endswith("TCGA-ZF-A9RG")
    assert attrition.loc["CIBERSORT aliquots", "reason"].count("solid tissue normal") == 2
    assert attrition.loc["expression slides", ["n_in", "n_out"]].tolist() == [90, 66]
    assert attrition["n_out"].iloc[-1] == 75
    obs = blca.obs
    assert obs.loc["TCGA-CU-A0YR", "radiomics_case"] == "TCGA-CU-A0YR_11"
    assert obs.loc["TCGA-CU-A0YR", "immune_sample"].split("-")[3] == "01A"
    assert obs["immune_sample"].str[:12].tolist() == list(blca.obs_names)
    assert np.isnan(blca.obsm["immune"].loc["TCGA-DK-A1A6", "TMB"])


def test_the_scan_kept_is_the_correctly_labelled_one(blca):
    raw = tcga_blca_tables()["radiomics"].set_index("case")
    kept = blca["TCGA-CU-A0YR"].to_df().iloc[0]
    pd.testing.assert_series_equal(kept, raw.loc["TCGA-CU-A0YR_11"].drop("patient").astype(float), check_names=False)


def test_clinical_columns_are_typed(blca):
    obs = blca.obs
    assert obs["age_years"].between(51, 87).all()
    assert set(obs["sex"]) == {"male", "female"}
    assert list(obs["stage"].cat.categories) == ["II", "III", "IV"]
    assert obs["stage"].cat.ordered
    assert set(obs["grade"]) == {"High"}
    assert obs["site"].isin([name[5:7] for name in obs.index]).all()
    assert obs["cibersort_p"].between(0, 1).all()
    assert int(endpoint_known(obs, "dfi").sum()) < 75
    assert obs.loc[~endpoint_known(obs, "dfi"), "dfi_days"].isna().all()


def test_fractions_are_fractions_with_their_zeros(blca):
    cells = blca.obsm["immune"].filter(like="cell:")
    np.testing.assert_allclose(cells.sum(axis=1), 1.0, atol=1e-6)
    zeros = (cells == 0).mean()
    assert zeros["cell:T_cells_gamma_delta"] > 0.85
    assert zeros["cell:Eosinophils"] > 0.75


def test_the_expected_null(blca):
    cells = blca.obsm["immune"].filter(like="cell:")
    varied = blca.X[:, np.ptp(blca.X, axis=0) > 0]
    rho = spearmanr(np.hstack([varied, cells.to_numpy()])).statistic[: varied.shape[1], varied.shape[1] :]
    assert np.abs(rho).max() == pytest.approx(0.390, abs=0.001)


def test_the_expression_rows_that_are_dropped_repeat_the_values():
    from imrad.datasets.tcga import _read

    slides = _read("expression_zscores.csv").drop(columns="slide_id")
    assert (slides.groupby("case_id").nunique() == 1).all(axis=None)


def test_the_parts_assemble_with_other_choices():
    tables = tcga_blca_tables()
    everyone = assemble(**tables, endpoints=["os"], on_missing={"immune": "keep"})
    assert everyone.n_obs == 76
    assert everyone.obsm["immune"].loc["TCGA-ZF-A9RG"].isna().all()


def test_the_embedded_tables_are_small_and_are_the_published_rows(reference_data):
    from importlib.resources import files

    folder = files("imrad.datasets") / "tcga_blca"
    assert sum(len(item.read_bytes()) for item in folder.iterdir()) < 300_000
    pairs = {
        "ct_pyradiomics.csv.gz": ("radiomics/tcga_blca_ct_pyradiomics.csv.gz", ",", "case_label"),
        "cibersort_relative.csv.gz": ("immune/tcga_cibersort_relative_thorsson2018.tsv.gz", "\t", "SampleID"),
        "mutation_load.csv": ("immune/tcga_mutation_load.tsv.gz", "\t", "Tumor_Sample_ID"),
        "msi_mantis.csv": ("immune/tcga_msi_mantis.csv.gz", ",", "case_id"),
        "purity.csv": ("immune/tcga_purity_aran2015.csv.gz", ",", "sample"),
        "tcell_inflamed_genes.csv": ("immune/tcga_tcell_inflamed_genes.tsv.gz", "\t", "SampleID"),
        "expression_zscores.csv": ("expression/tcga_blca_rna_cnv_survival.csv.gz", ",", "slide_id"),
        "clinical_cdr.csv": ("clinical/tcga_cdr_liu2018.csv.gz", ",", "bcr_patient_barcode"),
        "immune_subtype.csv": ("immune/tcga_subtypes.csv.gz", ",", "sampleID"),
        "mrna_subtype.csv": ("radiomics/tcga_blca_mrna_cluster.csv", ",", "bcr_patient_barcode"),
    }
    for name, (source, separator, key) in pairs.items():
        embedded = pd.read_csv(folder / name, dtype=str, keep_default_na=False).set_index(key)
        published = pd.read_csv(
            reference_data / source, sep=separator, dtype=str, keep_default_na=False, usecols=[key, *embedded.columns]
        )
        published = published.drop_duplicates(key).set_index(key).loc[embedded.index, embedded.columns]
        pd.testing.assert_frame_equal(embedded, published)
