import numpy as np
import pandas as pd
import pytest

from imrad.cohort import assemble, cohort_digest, endpoint_known, read_table, survival_y, validate, write_cohort
from imrad.datasets import STUDIES, draw_study, standin, standin_maps
from imrad.exceptions import ConfigError


@pytest.mark.parametrize("study", list(STUDIES))
def test_every_stand_in_assembles_and_is_the_same_from_its_files(tmp_path, study):
    drawn = draw_study(study, size="small")
    for name, files in drawn.write(tmp_path).items():
        adata = drawn.cohort(name)
        validate(adata)
        write_cohort(adata, tmp_path / f"{name}.h5ad")
        assert adata.uns["truth"]["signal"].index.tolist()[:3] == list(adata.obs_names[:3])
        tables = {kind: read_table(path) for kind, path in files.items() if kind != "reader_2"}
        again = assemble(
            **tables, endpoints=drawn.endpoints, aggregation=drawn.aggregation, on_missing={"endpoint": "keep"}
        )
        adata.obsm.pop("reader_2", None)
        assert cohort_digest(again) == cohort_digest(adata)


def test_the_full_shapes_are_the_studies():
    shapes = {}
    for study in ("ccrcc-imrad", "nsclc-ici-response", "escc-pfs"):
        drawn = draw_study(study)
        shapes[study] = {name: drawn.cohort(name).shape for name in drawn.tables}
    assert shapes == {
        "ccrcc-imrad": {"training": (113, 851)},
        "nsclc-ici-response": {"training": (114, 1037), "external": (52, 1037)},
        "escc-pfs": {"training": (87, 1037)},
    }


def test_kirc_has_thirty_targets_and_a_recurrence_known_for_twelve():
    adata = standin("ccrcc-imrad")
    assert adata.obsm["immune"].shape == (113, 30)
    assert endpoint_known(adata.obs, "dfi").sum() == 12
    assert adata.obs["new_tumor_event"].notna().all()
    assert survival_y(adata.obs, "os")["event"].mean() == pytest.approx(0.33, abs=0.01)
    assert (adata.obsm["immune"]["cell:Eosinophils"] == 0).mean() > 0.8


def test_ici_has_recist_counts_and_thirty_patients_read_twice():
    drawn = draw_study("nsclc-ici-response")
    adata = drawn.cohort()
    assert "best_response" not in adata.obs
    assert adata.obs["response"].isna().sum() > 0
    assert {"neutrophils_1e9_per_l", "lymphocytes_1e9_per_l", "platelets_1e9_per_l"} <= set(adata.obs)
    assert adata.obsm["reader_2"].notna().all(axis=1).sum() == 30
    assert "reader_2" not in drawn.tables["external"]


def test_escc_builds_its_endpoint_from_dates_and_has_short_follow_up():
    adata = standin("escc-pfs")
    y = survival_y(adata.obs, "pfs")
    assert 0.3 < y["event"].mean() < 0.8
    assert ((y["time"] < 90) & ~y["event"]).sum() >= 2
    assert adata.obsm["reader_2"].shape == (87, 1037)


def test_deep_vectors_of_two_phases_are_averaged():
    drawn = draw_study("nsclc-deep-pcr", size="small")
    rows = drawn.tables["training"]["radiomics"]
    adata = drawn.cohort()
    patient = adata.obs_names[3]
    mean = rows[rows["patient"] == patient].filter(like="deep_").mean().to_numpy()
    np.testing.assert_allclose(adata[patient].X[0], mean)
    assert set(adata.var["feature_class"]) == {"deep"}
    assert list(drawn.tables) == ["training", "centre_B", "centre_C", "centre_D"]


def test_mutations_come_with_blocks_sites_and_two_time_points():
    drawn = draw_study("mutation-therapy", size="small")
    adata = drawn.cohort()
    assert set(adata.obsm["immune"]["mut:EGFR"].dropna()) == {0.0, 1.0}
    assert adata.obs["site"].nunique() == 3
    assert set(drawn.cohort("external").obs["site"]) == {"unseen_site"}
    assert {name.split(":")[0] for name in adata.var_names} == {"baseline", "week6"}
    assert "baseline:T1CE:original_shape_MeshVolume" in adata.var_names
    assert adata.var.loc["week6:DCE:original_glcm_Contrast", "feature_class"] == "glcm"


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(ConfigError, match="studies are ccrcc-imrad"):
        standin("breast")
    with pytest.raises(ConfigError, match="no cohort 'external'; it has training"):
        standin("escc-pfs", size="small", cohort="external")


def test_a_seed_draws_one_study():
    first, second, other = (draw_study("escc-pfs", size="small", seed=seed).tables["training"] for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first["radiomics"], second["radiomics"])
    assert not first["radiomics"].equals(other["radiomics"])


def test_maps_of_the_deep_stand_in_lie_on_its_lesions():
    drawn = list(standin_maps("nsclc-deep-pcr", size="small"))
    rows = draw_study("nsclc-deep-pcr", size="small").rows("training")["radiomics"]
    assert {(item.patient, item.case) for item in drawn} == {
        (row.patient, row.case) for row in rows.itertuples() if row.phase == "contrast"
    }
    for item in drawn:
        assert item.image.shape == item.relevance.shape == item.region.shape
        assert item.relevance.min() >= 0
        assert item.relevance.max() == 1
        assert item.relevance[item.region].sum() > 0.6 * item.relevance.sum()
        assert item.region.mean() < 0.2
    again = next(standin_maps("nsclc-deep-pcr", size="small"))
    np.testing.assert_array_equal(again.relevance, drawn[0].relevance)
    assert not list(standin_maps("escc-pfs", size="small"))
    with pytest.raises(ConfigError, match="no cohort 'elsewhere'"):
        next(standin_maps("nsclc-deep-pcr", size="small", cohort="elsewhere"))
