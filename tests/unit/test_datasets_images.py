import gc
import hashlib

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.stats import spearmanr

from imrad.datasets import draw_expression, draw_mutations, make_cohort, write_images
from imrad.exceptions import ConfigError


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    cohort = make_cohort(6, n_features=30, image_effect=2.0, missing_targets=0.2, seed=2)
    folder = tmp_path_factory.mktemp("study")
    return cohort, folder, write_images(cohort, folder, readers=2, background_genes=50)


def masks(study, reader):
    _, folder, written = study
    cases = pd.read_csv(written["cases_nifti"])
    return [
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / name)))
        for name in cases.loc[cases["reader"] == reader, "mask"]
    ]


def test_cases_name_files_that_exist(study):
    cohort, folder, written = study
    cases = pd.read_csv(written["cases"])
    assert cases["patient"].tolist() == [name for name in cohort.obs_names for _ in range(2)]
    assert cases["reader"].tolist() == [1, 2] * 6
    assert all((folder / name).exists() for name in [*cases["image"], *cases["mask"]])


def test_the_series_and_the_nifti_hold_the_same_image(study):
    _, folder, written = study
    dicom, nifti = (pd.read_csv(written[name]).iloc[0] for name in ("cases", "cases_nifti"))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / dicom["image"])))
    series, volume = reader.Execute(), sitk.ReadImage(str(folder / nifti["image"]))
    assert series.GetSpacing() == pytest.approx(volume.GetSpacing())
    assert series.GetOrigin() == pytest.approx(volume.GetOrigin())
    assert series.GetDirection() == pytest.approx(volume.GetDirection())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(series), sitk.GetArrayFromImage(volume))


# highdicom keeps an in-memory database per image and never closes it.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_the_segmentation_decodes_to_the_mask_in_another_program(study):
    highdicom = pytest.importorskip("highdicom")
    _, folder, written = study
    first = pd.read_csv(written["cases"]).iloc[0]
    seg = highdicom.seg.segread(str(folder / first["mask"]))
    assert seg.segmentation_type.value == "BINARY"
    assert seg.get_segment_description(1).segmented_property_type.meaning == "Neoplasm"
    volume = seg.get_volume(combine_segments=True)
    expected = masks(study, 1)[0]
    slices = np.flatnonzero(expected.any(axis=(1, 2)))
    decoded = volume.array if volume.affine[2, 0] > 0 else volume.array[::-1]
    np.testing.assert_array_equal(decoded, expected[slices[0] : slices[-1] + 1])
    image_uids = {str(item[2]) for item in seg.get_source_image_uids()}
    assert len(image_uids) == len(sorted((folder / first["image"]).iterdir()))
    del seg, volume
    gc.collect()


def test_size_and_texture_of_the_tumour_follow_the_cohort():
    from imrad.datasets import draw_phantom

    volumes = [draw_phantom(size, 0.0, name="p").mask.sum() for size in (-2, -1, 0, 1, 2)]
    assert np.all(np.diff(volumes) > 0)
    phantoms = [draw_phantom(0.0, texture, name="p") for texture in (-2, 0, 2)]
    assert np.all(np.diff([item.hounsfield[item.mask].mean() for item in phantoms]) > 10)


def test_the_second_reader_agrees_but_not_wholly(study):
    for first, second in zip(masks(study, 1), masks(study, 2), strict=True):
        dice = 2 * (first & second).sum() / (first.sum() + second.sum())
        assert 0.75 < dice < 0.99


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    def digests(folder):
        write_images(make_cohort(2, n_features=20), folder, background_genes=5, shape=(10, 24, 24))
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_expression_follows_the_targets():
    adata = make_cohort(80, n_features=20, n_targets=30)
    targets = adata.obsm["immune"]
    tpm = draw_expression(
        targets, signatures={"stromal": ["SIG1", "SIG2", "SIG3"]}, background=["ACTB", *(f"G{n}" for n in range(600))]
    )
    assert tpm.index.name == "gene"
    assert list(tpm.columns) == list(adata.obs_names)
    np.testing.assert_allclose(tpm.sum(), 1e6, rtol=1e-4)
    assert not tpm.index.has_duplicates
    assert spearmanr(tpm.loc["PDCD1"], targets["gene:PDCD1"]).statistic > 0.75
    assert spearmanr(tpm.loc["CD8A"], targets["cell:T_cells_CD8"]).statistic > 0.75
    assert spearmanr(tpm.loc["SIG2"], targets["stromal"]).statistic > 0.75
    assert abs(spearmanr(tpm.loc["ACTB"], targets["stromal"]).statistic) < 0.35


def test_mutations_carry_the_burden_and_the_planted_genes(study):
    adata = make_cohort(40, n_features=20, targets=["TMB", "mut:EGFR"], missing_targets=0.1)
    targets = adata.obsm["immune"].dropna(subset="mut:EGFR")
    tables = draw_mutations(targets)
    assert set(tables) == set(targets.index[targets["TMB"].notna()])
    for patient, maf in tables.items():
        counted = maf[maf["Variant_Classification"] != "Silent"]
        assert len(counted) == max(round(targets.loc[patient, "TMB"] * 38), int(targets.loc[patient, "mut:EGFR"]))
        assert ("EGFR" in set(counted["Hugo_Symbol"])) == bool(targets.loc[patient, "mut:EGFR"])
        assert set(maf["Tumor_Sample_Barcode"]) == {patient}
    cohort, folder, _ = study
    written = {path.stem for path in (folder / "mutations").iterdir()}
    assert written == set(cohort.obs_names[cohort.obsm["immune"]["TMB"].notna()])


def test_a_number_of_patients_is_enough_and_an_unknown_kind_is_refused(tmp_path):
    written = write_images(2, tmp_path, kinds=("nifti",), shape=(10, 24, 24), background_genes=3)
    assert pd.read_csv(written["clinical"])["patient"].tolist() == ["SYN-00001", "SYN-00002"]
    assert not list(tmp_path.rglob("*.dcm"))
    with pytest.raises(ConfigError, match="analyze"):
        write_images(2, tmp_path, kinds=("analyze",))


def test_make_cohort_writes_them_when_asked(tmp_path):
    make_cohort(2, n_features=20, images=tmp_path / "here")
    assert (tmp_path / "here" / "cases.csv").is_file()
