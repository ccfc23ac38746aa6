"""Several rows a patient: series and regions side by side, changes between time points, readers apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from imrad.cohort import DeltaSettings, assemble, read_cohort, write_cohort
from imrad.cohort.readers import order_readers
from imrad.exceptions import CohortError, ConfigError, DuplicateError, SchemaError

MEAN, SIZE = "original_firstorder_Mean", "original_shape_MeshVolume"


@pytest.fixture
def clinical():
    return pd.DataFrame({"patient": ["A", "B", "C"], "os_days": [100.0, 200.0, 300.0], "os_event": [1, 0, 1]})


def rows(**more):
    """Two patients at two time points, a third at one; a tumour and its ring each."""
    table = []
    for patient, timepoint, date in (
        ("A", "pre", "2020-01-01"),
        ("A", "post", "2020-01-11"),
        ("B", "pre", "2020-01-01"),
        ("B", "post", "2020-01-21"),
        ("C", "pre", "2020-01-01"),
    ):
        for region, base in (("tumour", 10.0), ("ring", 0.0)):
            value = base * (1 if timepoint == "pre" else 1.5) + (3.0 if timepoint == "post" else 0.0)
            table.append({"patient": patient, "case": f"{patient}_{timepoint}", "timepoint": timepoint, "date": date,
                          "sequence": "t2", "region": region, MEAN: value, SIZE: 100.0})  # fmt: skip
    return pd.DataFrame(table).assign(**more)


def joined(table, clinical, **options):
    return assemble(table, clinical, endpoints="os", aggregation="region", **options)


def test_prefixes_name_what_differs(clinical):
    adata = joined(rows(), clinical)
    assert list(adata.var_names) == [
        f"{time}:{region}:{name}" for time in ("pre", "post") for region in ("tumour", "ring") for name in (MEAN, SIZE)
    ]
    assert np.isnan(adata.to_df().loc["C", f"post:tumour:{MEAN}"])
    assert set(adata.var["feature_class"]) == {"firstorder", "shape"}
    two = pd.concat([rows(), rows(sequence="t1")])
    assert f"pre:t1:ring:{MEAN}" in joined(two, clinical).var_names


def test_kinds_of_image_keep_their_own_features(clinical):
    own = rows(sequence="pet").rename(columns={MEAN: "original_firstorder_Maximum"})
    names = joined(pd.concat([rows(), own]), clinical).var_names
    assert "pre:t2:tumour:original_firstorder_Maximum" not in names
    assert "pre:pet:tumour:original_firstorder_Maximum" in names


def test_changes_by_hand(clinical):
    settings = DeltaSettings(earlier="pre", later="post", kinds=("absolute", "relative", "per_day"))
    adata = joined(rows(), clinical, delta=settings)
    found = adata.to_df()
    # 10 becomes 18 within 10 days in A, within 20 in B.
    assert found.loc["A", f"delta:tumour:{MEAN}"] == 8.0
    assert found.loc["A", f"delta_relative:tumour:{MEAN}"] == pytest.approx(0.8)
    assert found.loc[["A", "B"], f"delta_per_day:tumour:{MEAN}"].tolist() == pytest.approx([0.8, 0.4])
    # The ring starts at 0: no relative change of it.
    assert found.loc["A", f"delta:ring:{MEAN}"] == 3.0
    assert f"delta_relative:ring:{MEAN}" not in found
    assert found.loc["C"].filter(like="delta").isna().all()
    assert found.loc["C", f"pre:tumour:{MEAN}"] == 10.0
    steps = adata.uns["imrad"]["attrition"].set_index("step")["reason"]
    assert steps["delta features, pre to post"] == "kept without changes, one time point only: C"
    units = pd.DataFrame({"unit": ["HU", "mm3"]}, index=[MEAN, SIZE])
    var = joined(rows(), clinical, delta=settings, var=units).var["unit"]
    assert var[[f"{kind}:tumour:{SIZE}" for kind in ("delta", "delta_relative", "delta_per_day")]].tolist() == [
        "mm3",
        "",
        "mm3/day",
    ]


def test_only_what_is_kept_stays(clinical):
    only = joined(rows(), clinical, delta=DeltaSettings(earlier="pre", later="post", keep=())).var_names
    assert {name.split(":")[0] for name in only} == {"delta"}
    some = joined(rows(), clinical, delta=DeltaSettings(earlier="pre", later="post", keep=("pre",))).var_names
    assert {name.split(":")[0] for name in some} == {"pre", "delta"}


@pytest.mark.parametrize(
    ("change", "settings", "error", "words"),
    [
        ({}, {"later": "week6"}, SchemaError, "no time point 'week6'; the radiomics table has pre, post"),
        (
            {"date": "2020-01-01"},
            {"kinds": ("per_day",)},
            CohortError,
            "post lies on or before the day of pre for A, B",
        ),
        ({"date": "first visit"}, {"kinds": ("per_day",)}, SchemaError, "the date 'first visit' of A, B, C is none"),
        ({"region": "tumour"}, {}, SchemaError, "several rows for A t2 tumour, B t2 tumour, C t2 tumour at pre"),
    ],
)
def test_changes_that_cannot_be(clinical, change, settings, error, words):
    with pytest.raises(error) as caught:
        joined(rows(**change), clinical, delta=DeltaSettings(**{"earlier": "pre", "later": "post", **settings}))
    assert words in str(caught.value)


def test_columns_that_changes_need(clinical):
    two = DeltaSettings(**{"from": "pre", "to": "post"})
    with pytest.raises(SchemaError, match="need a column timepoint"):
        joined(rows().drop(columns="timepoint"), clinical, delta=two)
    with pytest.raises(SchemaError, match="need a column date"):
        joined(rows().drop(columns="date"), clinical, delta=two.model_copy(update={"kinds": ("per_day",)}))
    with pytest.raises(ConfigError, match="aggregation mean would mix changes"):
        assemble(rows(), clinical, endpoints="os", aggregation="mean", delta=two)
    with pytest.raises(ValidationError, match="both 'pre'"):
        DeltaSettings(earlier="pre", later="pre")
    with pytest.raises(DuplicateError, match="one row per patient and timepoint and region"):
        joined(pd.concat([rows(), rows()]), clinical)


def test_readers_stand_beside_one_another(clinical, tmp_path):
    one = pd.DataFrame({"patient": ["A", "B", "C"], "case": ["a", "b", "c"], "reader": "1", MEAN: [1.0, 2.0, 3.0]})
    two = one.iloc[:2].assign(reader="2", **{MEAN: [1.5, 2.5]})
    adata = assemble(pd.concat([two, one]), clinical, endpoints="os")
    assert adata[["A", "B", "C"]].X[:, 0].tolist() == [1.0, 2.0, 3.0]
    write_cohort(adata, tmp_path / "cohort.h5ad")
    second = read_cohort(tmp_path / "cohort.h5ad").obsm["reader_2"]
    assert list(second.columns) == list(adata.var_names)
    assert second.loc[["A", "B"], MEAN].tolist() == [1.5, 2.5]
    assert np.isnan(second.loc["C", MEAN])
    swapped = assemble(pd.concat([one, two]), clinical, endpoints="os", reader="2")
    assert swapped.to_df()[MEAN].to_dict() == {"A": 1.5, "B": 2.5}
    steps = swapped.uns["imrad"]["attrition"].set_index("step")
    step = steps.loc["readers: '2' is modelled, '1' (3 patients) is reader_2"]
    assert (step["n_in"], step["n_out"], step["reason"]) == (3, 2, "read by others only: C")
    with pytest.raises(ConfigError, match="no reader '3'; the radiomics table has 1, 2"):
        assemble(pd.concat([one, two]), clinical, endpoints="os", reader="3")
    with pytest.raises(DuplicateError, match="several radiomics rows"):
        assemble(pd.concat([one, one, two]), clinical, endpoints="os")


def test_a_reader_of_a_subset_comes_second():
    assert order_readers({"R10": 50, "R2": 50}) == ["R2", "R10"]
    assert order_readers({"Li": 30, "Zhang": 114}) == ["Zhang", "Li"]
