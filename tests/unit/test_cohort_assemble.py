import numpy as np
import pandas as pd
import pytest

from imrad.cards import Card
from imrad.cohort import Endpoint, assemble, feature_table
from imrad.exceptions import CohortError, ConfigError, DuplicateError, NoOverlapError, SchemaError, TooFewEventsError


@pytest.fixture
def radiomics():
    return pd.DataFrame(
        {
            "patient": ["p1", "p2", "p3", "p4"],
            "original_shape_MeshVolume": [100.0, 200.0, 300.0, 400.0],
            "wavelet-LLH_glcm_Contrast": [1.0, np.nan, 3.0, 4.0],
        }
    )


@pytest.fixture
def clinical():
    return pd.DataFrame(
        {
            "patient": ["p4", "p3", "p2", "p1", "p9"],
            "age": [60, 61, 62, 63, 64],
            "os_days": [10, 20, 30, 40, 50],
            "os_event": [1, 0, 1, 0, 1],
        }
    )


@pytest.fixture
def immune():
    return pd.DataFrame({"patient": ["p1", "p2", "p3"], "TMB": [1.0, 2.0, np.nan], "cell:T_cells_CD8": [0.1, 0.0, 0.2]})


def test_tables_are_joined_by_patient_in_the_order_of_the_images(radiomics, clinical, immune):
    adata = assemble(radiomics, clinical, immune, endpoints="os")
    assert list(adata.obs_names) == ["p1", "p2", "p3"]
    assert adata.obs["age_years"].tolist() == [63.0, 62.0, 61.0]
    assert adata.obs["os_days"].tolist() == [40.0, 30.0, 20.0]
    assert list(adata.obsm["immune"].columns) == ["TMB", "cell:T_cells_CD8"]
    assert adata.X.dtype == np.float64
    assert np.isnan(adata.X[1, 1])
    assert adata.var["image_filter"].tolist() == ["original", "wavelet-LLH"]
    assert adata.var["feature_class"].tolist() == ["shape", "glcm"]
    attrition = adata.uns["imrad"]["attrition"].set_index("step")
    assert attrition.loc["immune table", ["n_in", "n_out"]].tolist() == [4, 3]
    assert "p4" in attrition.loc["immune table", "reason"]


def test_tables_as_read_from_csv_hold_text_and_join_alike(tmp_path, radiomics, clinical, immune):
    from imrad.cohort import cohort_digest, read_table

    parts = {"radiomics": radiomics, "clinical": clinical, "immune": immune}
    for name, table in parts.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    read = {name: read_table(tmp_path / f"{name}.csv") for name in parts}
    assert {dtype.kind for dtype in read["radiomics"].dtypes} == {"O"}
    assert cohort_digest(assemble(**read, endpoints="os")) == cohort_digest(assemble(**parts, endpoints="os"))


def test_several_rows_per_patient_need_a_named_aggregation(radiomics, clinical):
    two = pd.concat([radiomics, radiomics.assign(original_shape_MeshVolume=[500.0, 20.0, 30.0, 40.0])]).reset_index(
        drop=True
    )
    two["case"] = [f"c{number}" for number in range(8)]
    with pytest.raises(
        DuplicateError, match=r"4 patients have several radiomics rows \(p1.*name an aggregation \(mean"
    ):
        assemble(two, clinical, endpoints="os")

    def volumes(aggregation):
        adata = assemble(two, clinical, endpoints="os", aggregation=aggregation)
        return adata[:, "original_shape_MeshVolume"].X[:, 0].tolist()

    assert volumes("mean") == [300.0, 110.0, 165.0, 220.0]
    assert volumes("first") == [100.0, 200.0, 300.0, 400.0]
    assert volumes("largest") == [500.0, 200.0, 300.0, 400.0]
    assert volumes("largest:original_shape_MeshVolume") == [500.0, 200.0, 300.0, 400.0]
    assert volumes("volume_weighted")[0] == pytest.approx((100 * 100 + 500 * 500) / 600)
    with pytest.raises(ConfigError, match="aggregation 'median' is not known"):
        volumes("median")
    adata = assemble(two, clinical, endpoints="os", aggregation="mean")
    assert adata.obs["radiomics_case"].tolist()[0] == "c0;c4"
    row = adata.uns["imrad"]["attrition"].set_index("step").loc["cases to patients"]
    assert (row["n_in"], row["n_out"], row["unit"]) == (8, 4, "cases")


def test_a_weighted_mean_passes_over_missing_values(clinical):
    cases = pd.DataFrame(
        {"patient": ["p1", "p1", "p2"], "original_shape_MeshVolume": [1.0, 3.0, 5.0], "f": [np.nan, 7.0, 1.0]}
    )
    adata = assemble(cases, clinical, endpoints="os", aggregation="volume_weighted")
    assert adata[:, "f"].X[:, 0].tolist() == [7.0, 1.0]


def test_regions_stand_side_by_side(clinical):
    cases = pd.DataFrame(
        {
            "patient": ["p1", "p1", "p2", "p2"],
            "region": ["wall", "tumour"] * 2,
            "original_firstorder_Mean": [1.0, 2.0, 3.0, 4.0],
        }
    )
    adata = assemble(cases, clinical, endpoints="os", aggregation="region")
    assert list(adata.var_names) == ["wall:original_firstorder_Mean", "tumour:original_firstorder_Mean"]
    assert adata.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert adata.var["feature_class"].tolist() == ["firstorder", "firstorder"]
    var = pd.DataFrame({"unit": ["HU"]}, index=["original_firstorder_Mean"])
    assert assemble(cases, clinical, endpoints="os", aggregation="region", var=var).var["unit"].tolist() == ["HU", "HU"]
    with pytest.raises(DuplicateError, match="p1 wall"):
        assemble(pd.concat([cases, cases]), clinical, endpoints="os", aggregation="region")


def test_tables_without_a_common_patient_show_identifiers_of_both(radiomics, clinical, immune):
    with pytest.raises(
        NoOverlapError, match=r"radiomics and clinical tables share no patient: p1, p2, p3 and 1 more against"
    ):
        assemble(radiomics, clinical.assign(patient=["q1", "q2", "q3", "q4", "q5"]), endpoints="os")
    with pytest.raises(NoOverlapError, match="radiomics and immune tables share no patient"):
        assemble(radiomics, clinical, immune.assign(patient=["x", "y", "z"]), endpoints="os")


def test_what_to_do_with_missing_rows_is_a_named_policy(radiomics, clinical, immune):
    with pytest.raises(CohortError, match=r"no row in the immune table \(p4\)"):
        assemble(radiomics, clinical, immune, endpoints="os", on_missing={"immune": "refuse"})
    kept = assemble(radiomics, clinical, immune, endpoints="os", on_missing={"immune": "keep"})
    assert kept.n_obs == 4
    assert kept.obsm["immune"].loc["p4"].isna().all()
    with pytest.raises(ConfigError, match="immune: ignore"):
        assemble(radiomics, clinical, immune, endpoints="os", on_missing={"immune": "ignore"})
    with pytest.raises(ConfigError, match="pathology"):
        assemble(radiomics, clinical, immune, endpoints="os", on_missing={"pathology": "drop"})


def test_missing_endpoints_are_refused_dropped_or_kept(radiomics, clinical):
    holed = clinical.assign(os_days=[10, np.nan, 30, 40, 50], os_event=[1, np.nan, 1, 0, 1])
    with pytest.raises(CohortError, match=r"missing for 1 of 4 patients \(p3\)"):
        assemble(radiomics, holed, endpoints="os")
    dropped = assemble(radiomics, holed, endpoints="os", on_missing={"endpoint": "drop"})
    assert list(dropped.obs_names) == ["p1", "p2", "p4"]
    assert "p3" in dropped.uns["imrad"]["attrition"]["reason"].iloc[-1]
    kept = assemble(radiomics, holed, endpoints="os", on_missing={"endpoint": "keep"})
    assert kept.obs["os_event"].isna().sum() == 1
    with pytest.raises(TooFewEventsError, match="endpoint os: all 4 patients are censored"):
        assemble(radiomics, clinical.assign(os_event=0), endpoints="os")


def test_tcga_aliquots_are_chosen_and_the_mistyped_case_named(clinical):
    radiomics = pd.DataFrame({"case": ["TCGA-CU-A0YR_11", "TCGA-CU-AOYR", "TCGA-DK-A1A5"], "f": [1.0, 2.0, 3.0]})
    people = pd.DataFrame({"patient": ["TCGA-CU-A0YR", "TCGA-DK-A1A5"], "os_days": [1, 2], "os_event": [1, 0]})
    immune = pd.DataFrame(
        {"TMB": [1.0, 9.0, 3.0, 4.0]},
        index=[
            "TCGA.CU.A0YR.11A.13R.A10U.07",
            "TCGA.CU.A0YR.01B.13R.A10U.07",
            "TCGA.CU.A0YR.01A.13R.A10U.07",
            "TCGA.DK.A1A5.01A.11R.A13Y.07",
        ],
    )
    adata = assemble(radiomics, people, immune, endpoints=["os"])
    assert list(adata.obs_names) == ["TCGA-CU-A0YR", "TCGA-DK-A1A5"]
    assert adata.obsm["immune"]["TMB"].tolist() == [3.0, 4.0]
    assert adata.obs["immune_sample"].tolist()[0] == "TCGA.CU.A0YR.01A.13R.A10U.07"
    assert adata.obs["site"].tolist() == ["CU", "DK"]
    attrition = adata.uns["imrad"]["attrition"].set_index("step")
    assert (
        "TCGA-CU-AOYR is unknown and looks like a mistyped TCGA-CU-A0YR" in attrition.loc["radiomics cases", "reason"]
    )
    assert attrition.loc["immune samples", ["n_in", "n_out"]].tolist() == [4, 2]


def test_a_mistyped_case_whose_patient_has_no_other_is_not_joined_but_named():
    radiomics = pd.DataFrame({"patient": ["TCGA-CU-AOYR", "TCGA-DK-A1A5"], "f": [1.0, 2.0]})
    people = pd.DataFrame({"patient": ["TCGA-CU-A0YR", "TCGA-DK-A1A5"], "os_days": [1, 2], "os_event": [1, 1]})
    adata = assemble(radiomics, people, endpoints="os")
    assert list(adata.obs_names) == ["TCGA-DK-A1A5"]
    assert "correct the label" in adata.uns["imrad"]["attrition"]["reason"].iloc[0]


def test_text_among_numbers_is_refused_and_notes_go_to_obs(radiomics, clinical, immune):
    with pytest.raises(SchemaError, match="columns f hold text"):
        assemble(radiomics.assign(f=["1", "2", "?", "4"]), clinical, endpoints="os")
    with pytest.raises(SchemaError, match="immune column TMB holds 'high' for p3 among numbers"):
        assemble(radiomics, clinical, immune.assign(TMB=["1", "2", "high"]), endpoints="os")
    noted = assemble(
        radiomics, clinical, immune.assign(assay=["wes", "panel", "wes"], cibersort_p=0.01), endpoints="os"
    )
    assert noted.obs["assay"].astype(str).tolist() == ["wes", "panel", "wes"]
    assert "cibersort_p" in noted.obs
    assert list(noted.obsm["immune"].columns) == ["TMB", "cell:T_cells_CD8"]


def test_pyradiomics_diagnostics_are_passed_over(radiomics, clinical):
    wide = radiomics.assign(**{"diagnostics_Versions_PyRadiomics": "3.0.1", "image": "ct.nii.gz", "scanner": "A"})
    adata = assemble(wide, clinical, endpoints="os")
    assert adata.n_vars == 2
    assert adata.obs["scanner"].astype(str).tolist() == ["A"] * 4


def test_a_given_var_table_fills_the_columns_and_must_be_complete(radiomics, clinical):
    var = pd.DataFrame(
        {"unit": ["mm3", ""], "ibsi_code": ["RNU0", "ACUI"], "robustness": [0.9, 0.5], "extra": ["a", "b"]},
        index=["original_shape_MeshVolume", "wavelet-LLH_glcm_Contrast"],
    )
    adata = assemble(radiomics, clinical, endpoints="os", var=var)
    assert adata.var.loc["original_shape_MeshVolume", ["unit", "ibsi_code"]].tolist() == ["mm3", "RNU0"]
    assert adata.var["robustness"].tolist() == [0.9, 0.5]
    assert adata.var["feature_class"].tolist() == ["shape", "glcm"]
    with pytest.raises(SchemaError, match="lacks 1 of 2 features"):
        assemble(radiomics, clinical, endpoints="os", var=var.iloc[:1])


def test_endpoints_cards_and_provenance_are_carried(radiomics, clinical):
    adata = assemble(
        radiomics,
        clinical.rename(columns={"os_days": "t", "os_event": "e"}),
        endpoints=[Endpoint("os", time="t", event="e")],
        cards=[Card("TMB", "immune score", "mutations per Mb")],
        provenance={"source": None, "files": ["a", "b"], "a/b": 1},
    )
    namespace = adata.uns["imrad"]
    assert namespace["endpoints"]["title"].tolist() == ["Overall survival"]
    assert namespace["cards"]["name"].tolist() == ["TMB"]
    assert set(namespace["provenance"]) == {"files", "a_per_b"}
    assert not {"t", "e"} & set(adata.obs.columns)


def test_feature_names_are_read_with_any_prefix():
    var = feature_table(
        [
            "T2:log-sigma-3-0-mm-3D_glszm_ZoneEntropy",
            "lbp-3D-m1_firstorder_Mean",
            "bladder_shape_Flatness",
            "x",
            "deep_0001",
        ]
    )
    assert var["image_filter"].tolist() == ["log-sigma-3-0-mm-3D", "lbp-3D-m1", "original", "", "original"]
    assert var["feature_class"].tolist() == ["glszm", "firstorder", "shape", "", "deep"]


def test_a_cohort_may_have_a_response_or_no_endpoint_at_all(radiomics, clinical):
    from imrad.cohort import validate

    answers = clinical.assign(best=["CR", "PD", "NE", "SD", "PR"])
    adata = assemble(radiomics, answers, endpoints=["response=best", "os"])
    assert adata.obs["response"].tolist()[:1] == [0.0]
    assert adata.obs["response"].isna().tolist() == [False, True, False, False]
    assert adata.uns["imrad"]["endpoints"]["kind"].tolist() == ["binary", "survival"]
    validate(adata)
    assert assemble(radiomics, answers, endpoints="response=best", on_missing="drop").n_obs == 3
    with pytest.raises(TooFewEventsError, match="all 4 patients with a known response have the same one"):
        assemble(radiomics, clinical.assign(best="PD"), endpoints="response=best")
    bare = assemble(radiomics, clinical, endpoints=())
    assert bare.uns["imrad"]["endpoints"].empty
    bare.obs["response"] = 2.0
    validate(bare)


def test_tables_without_rows_or_with_a_column_twice_are_refused(radiomics, clinical, immune):
    for name, parts in {
        "radiomics": (radiomics.iloc[:0], clinical, immune),
        "clinical": (radiomics, clinical.iloc[:0], immune),
        "immune": (radiomics, clinical, immune.iloc[:0]),
    }.items():
        with pytest.raises(SchemaError, match=f"the {name} table holds no rows"):
            assemble(*parts, endpoints="os")
    with pytest.raises(SchemaError, match="the clinical table has several columns named os_days"):
        assemble(radiomics, pd.concat([clinical, clinical[["os_days"]]], axis=1), endpoints="os")


@pytest.mark.parametrize("name", ["_index", ".", "..", "ki67/percent", " / "])
def test_columns_that_hdf5_cannot_hold_are_renamed(tmp_path, radiomics, clinical, name):
    from imrad.cohort import read_cohort, write_cohort

    adata = assemble(radiomics, clinical.assign(**{name: 1.0}), endpoints="os")
    write_cohort(adata, tmp_path / "cohort.h5ad")
    assert list(read_cohort(tmp_path / "cohort.h5ad").obs.columns) == list(adata.obs.columns)
    assert adata.obs.shape[1] == 5


def test_a_registry_of_other_patients_is_not_this_studys_trouble(radiomics, clinical):
    others = pd.DataFrame(
        {"patient": ["x1", "x1", "x2"], "os_days": [-5, 1, 1], "os_event": [7, 1, 1], "grade": "High"}
    )
    adata = assemble(radiomics, pd.concat([clinical.assign(grade="G2"), others]), endpoints="os")
    assert adata.n_obs == 4
    with pytest.raises(DuplicateError, match="several rows for p1"):
        assemble(radiomics, pd.concat([clinical, clinical]).sort_values("patient"), endpoints="os")
