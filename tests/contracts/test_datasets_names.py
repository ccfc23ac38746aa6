"""Rooms may not import one another, so what two of them must spell alike is compared here."""

import pytest

from imrad.cohort import assemble, feature_table
from imrad.datasets import make_cohort, write_images
from imrad.datasets.names import feature_names
from imrad.names import FOUNDING_TARGETS


def test_the_synthetic_targets_are_spelled_as_the_immune_room_spells_them():
    from imrad.immune import targets

    for name in FOUNDING_TARGETS:
        assert str(targets.parse_target(name)) == name


@pytest.mark.parametrize("n_features", [107, 851, 1037])
def test_the_radiomics_room_knows_every_synthetic_feature(n_features):
    from imrad.radiomics import feature_table as described

    names = feature_names(n_features)
    mine, theirs = feature_table(names), described(names)
    for column in ("feature_class", "image_filter"):
        assert mine[column].tolist() == theirs[column].tolist()


def test_its_feature_table_becomes_the_cohorts_var(tmp_path):
    from imrad.radiomics import feature_table as described

    tables = make_cohort(12, n_features=107)
    features = tables.to_df().rename_axis("patient").reset_index()
    adata = assemble(
        features, tables.obs.rename_axis("patient").reset_index(), endpoints="os", var=described(tables.var_names)
    )
    assert (adata.var["ibsi_code"] != "").mean() > 0.9
    assert adata.var.loc["original_shape_MeshVolume", "unit"] != ""


def test_generated_images_go_through_extraction_with_their_truth(tmp_path):
    from imrad.radiomics import extract_cases

    cohort = make_cohort(4, n_features=30, image_effect=2.0, seed=5)
    written = write_images(cohort, tmp_path, background_genes=5)
    by_dicom, by_nifti = extract_cases(written["cases"]), extract_cases(written["cases_nifti"])
    assert by_dicom.failures.empty
    assert by_dicom.features["patient"].tolist() == list(cohort.obs_names)
    numbers = by_dicom.features.select_dtypes("number").columns
    assert len(numbers) >= 100
    assert by_nifti.features[numbers].to_numpy() == pytest.approx(
        by_dicom.features[numbers].to_numpy(), rel=1e-6, nan_ok=True
    )
    bright = by_dicom.features["original_firstorder_Mean"].rank().tolist()
    assert bright == cohort.uns["truth"]["signal"].iloc[:, 0].rank().tolist()
    joined = assemble(
        by_dicom.features,
        cohort.obs.rename_axis("patient").reset_index(),
        cohort.obsm["immune"],
        endpoints=["os", "pfi"],
    )
    assert joined.n_obs == 4
