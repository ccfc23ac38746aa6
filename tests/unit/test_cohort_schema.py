import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from imrad.cohort import attach_out_of_fold, cohort_digest, export_tables, read_cohort, validate, write_cohort
from imrad.datasets import load_tcga_blca, make_cohort
from imrad.exceptions import InputError, InSampleError, SchemaError


@pytest.fixture(scope="module")
def drawn():
    return make_cohort(
        20,
        n_features=20,
        zero_inflation=True,
        missing_targets=0.2,
        missing_clinical=0.2,
        n_sites=2,
        response=True,
        readers=2,
    )


@pytest.fixture
def cohort(drawn):
    return drawn.copy()


def test_a_cohort_survives_the_disk_to_the_last_bit(tmp_path, cohort):
    write_cohort(cohort, tmp_path / "cohort.h5ad")
    read = read_cohort(tmp_path / "cohort.h5ad")
    np.testing.assert_array_equal(read.X, cohort.X)
    pd.testing.assert_frame_equal(read.obs, cohort.obs)
    pd.testing.assert_frame_equal(read.obsm["immune"], cohort.obsm["immune"])
    pd.testing.assert_frame_equal(read.uns["imrad"]["attrition"], cohort.uns["imrad"]["attrition"], check_dtype=False)
    assert cohort_digest(read) == cohort_digest(cohort)
    assert list(read.obsm["immune"].columns)[:2] == ["TMB", "MSI"]


def test_the_same_cohort_gives_the_same_bytes_and_nothing_else_in_the_folder(tmp_path, cohort):
    write_cohort(cohort, tmp_path / "a.h5ad")
    write_cohort(cohort.copy(), tmp_path / "b.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "b.h5ad"]


def test_plain_anndata_opens_it_without_imrad(tmp_path):
    write_cohort(load_tcga_blca(), tmp_path / "cohort.h5ad")
    code = (
        "import anndata, sys; a = anndata.read_h5ad(sys.argv[1]); assert 'imrad' not in sys.modules; "
        "print(a.shape, a.obsm['immune']['cell:T_cells_CD8'].notna().sum(), list(a.obs['stage'].cat.categories))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cohort.h5ad")], capture_output=True, text=True)
    assert done.stdout.strip() == "(75, 200) 75 ['II', 'III', 'IV']", done.stderr


def test_the_digest_is_of_content(cohort):
    same = cohort.copy()
    same.uns["imrad"]["provenance"] = {"path": "/elsewhere"}
    assert cohort_digest(same) == cohort_digest(cohort)
    other = cohort.copy()
    other.X[3, 4] += 1e-12 * abs(other.X[3, 4])
    assert cohort_digest(other) != cohort_digest(cohort)
    other = cohort.copy()
    other.obsm["immune"].iloc[0, 0] = 99.0
    assert cohort_digest(other) != cohort_digest(cohort)


def _without_var(a):
    del a.var["robustness"]


def _with_infinity(a):
    a.X[0, 0] = np.inf


def _with_layer(a):
    a.layers["scaled"] = a.X * 2


def _with_slash(a):
    a.obs["a/b"] = 1.0


def _with_negative_time(a):
    a.obs.loc[a.obs_names[1], "os_days"] = -3.0


def _with_text_event(a):
    a.obs["os_event"] = "yes"


def _without_event(a):
    del a.obs["pfi_event"]


def _with_array(a):
    a.obsm["immune"] = a.obsm["immune"].to_numpy()


def _with_text_target(a):
    a.obsm["immune"] = a.obsm["immune"].astype(str)


def _without_namespace(a):
    del a.uns["imrad"]


def _of_another_version(a):
    a.uns["imrad"]["schema_version"] = 99


def _without_attrition(a):
    a.uns["imrad"]["attrition"] = "lost"


def _without_endpoints(a):
    a.uns["imrad"]["endpoints"] = None


def _deep_barcodes(a):
    a.obs_names = [f"TCGA-CU-A0{n:02d}-01" for n in range(a.n_obs)]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_var, "no var column robustness"),
        (_with_infinity, "infinite values in original_shape_Elongation"),
        (_with_layer, "the layers scaled"),
        (_with_slash, r"a slash in obs names \(a/b\)"),
        (_with_text_event, "text in os_days or os_event"),
        (_without_event, "no obs column pfi_event"),
        (_with_array, "as ndarray"),
        (_with_text_target, "not numbers"),
        (_without_namespace, 'no uns\\["imrad"\\]'),
        (_of_another_version, "schema version 99"),
        (_without_attrition, "no attrition table"),
        (_without_endpoints, "no table of endpoints"),
        (_deep_barcodes, "12-character patient barcodes"),
    ],
)
def test_what_is_no_cohort_is_refused_in_one_sentence(tmp_path, cohort, spoil, said):
    spoil(cohort)
    with pytest.raises(SchemaError, match=said) as error:
        validate(cohort)
    assert "\n" not in str(error.value)
    with pytest.raises(SchemaError):
        write_cohort(cohort, tmp_path / "cohort.h5ad")
    assert list(tmp_path.iterdir()) == []


def test_negative_times_and_lost_patients_are_noticed(cohort):
    from imrad.exceptions import CohortError

    with pytest.raises(SchemaError, match="19 patients where the attrition table ends with 20"):
        validate(cohort[:19].copy())
    _with_negative_time(cohort)
    with pytest.raises(CohortError, match="negative or infinite times for SYN-00002"):
        validate(cohort)


def test_an_x_that_was_cast_or_made_sparse_is_refused(cohort):
    cohort.X = cohort.X.astype(np.float32)
    with pytest.raises(SchemaError, match="an X of float32"):
        validate(cohort)


def test_in_sample_scores_are_refused_and_out_of_fold_ones_kept(tmp_path, cohort):
    score = pd.DataFrame({"Rad-TMB": np.linspace(0, 1, 20)}, index=cohort.obs_names)
    bare = cohort.copy()
    bare.obsm["phenotype"] = score
    with pytest.raises(InSampleError, match="which fold made each value"):
        validate(bare)
    folds = pd.DataFrame({"Rad-TMB": [f"r0/o{n % 5}" for n in range(20)]}, index=cohort.obs_names)
    in_sample = folds.copy()
    in_sample.loc["SYN-00004"] = "all"
    with pytest.raises(InSampleError, match="in-sample values for SYN-00004"):
        attach_out_of_fold(cohort.copy(), "phenotype", score, in_sample)
    attach_out_of_fold(cohort, "phenotype", score, folds)
    write_cohort(cohort, tmp_path / "results.h5ad")
    assert read_cohort(tmp_path / "results.h5ad").obsm["phenotype"]["Rad-TMB"].iloc[-1] == 1.0


def test_files_that_are_no_cohort_get_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_cohort(tmp_path / "absent.h5ad")
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be read as h5ad"):
        read_cohort(tmp_path / "text.h5ad")
    anndata.AnnData(np.zeros((2, 2)), obs=pd.DataFrame(index=["a", "b"])).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(SchemaError):
        read_cohort(tmp_path / "other.h5ad")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_everything_comes_out_as_tables_and_goes_in_again(tmp_path, cohort, kind):
    from imrad.cohort import assemble, read_table

    files = export_tables(cohort, tmp_path, kind=kind)
    assert {path.stem for path in files} == {"radiomics", "clinical", "features", "immune", "reader_2", "attrition"}
    again = assemble(
        read_table(tmp_path / f"radiomics.{kind}"),
        read_table(tmp_path / f"clinical.{kind}"),
        read_table(tmp_path / f"immune.{kind}"),
        endpoints=["os", "pfi"],
    )
    np.testing.assert_array_equal(again.X, cohort.X)
    pd.testing.assert_frame_equal(again.obsm["immune"], cohort.obsm["immune"])
    assert again.obs["os_days"].equals(cohort.obs["os_days"])
