"""A cohort scored in one call, published tables, and the agreement of methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imrad.exceptions import ConfigError, InputError, ScoreError
from imrad.execution import Store
from imrad.immune import (
    CARDS,
    ImmuneSettings,
    agreement,
    cibersort,
    estimate_scores,
    marker_scores,
    read_cibersort_table,
    read_gmt,
    read_score_table,
    read_signature,
    score,
)
from imrad.immune.identifiers import reference_symbols
from imrad.immune.signatures import estimate_genes, marker_sets
from imrad.names import FOUNDING_TARGETS, LM22_CELLS


def kirc_like(n_samples=6, seed=0):
    rng = np.random.default_rng(seed)
    genes = sorted(reference_symbols() | {"PDCD1", "LAG3", "TIGIT", "CD244", "EGFR"})
    values = rng.lognormal(2, 2, (len(genes), n_samples)) * (rng.random((len(genes), n_samples)) > 0.05)
    values = values / values.sum(axis=0) * 1e6
    names = [f"TCGA-B0-{number:04d}-01A-11R-1541-07" for number in range(n_samples)]
    return pd.DataFrame(values, index=genes, columns=names)


def lm22_like(seed=3):
    """A made-up signature of LM22's shape and cell names; LM22 itself may not be shipped."""
    rng = np.random.default_rng(seed)
    genes = rng.choice(sorted(reference_symbols()), 547, replace=False)
    names = [name.replace("_", " ").replace("regulatory Tregs", "regulatory (Tregs)") for name in LM22_CELLS]
    return pd.DataFrame(rng.lognormal(4, 1.5, (547, 22)).round(3), index=genes, columns=names)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    lm22_like().to_csv(folder / "LM22.txt", sep="\t", index_label="Gene symbol")
    head = "Hugo_Symbol\tChromosome\tStart_Position\tReference_Allele\tTumor_Seq_Allele2\tVariant_Classification"
    rows = [head + "\tTumor_Sample_Barcode"]
    rows += [f"EGFR\t7\t{n}\tA\tT\tMissense_Mutation\tTCGA-B0-{n % 4:04d}-01A-11D-1421-08" for n in range(19)]
    (folder / "a.maf").write_text("\n".join(rows) + "\n")
    msi = pd.DataFrame({"case_id": [f"TCGA-B0-{n:04d}" for n in range(5)], "MANTIS_Score": np.linspace(0.2, 0.5, 5)})
    msi.to_csv(folder / "msi.csv", index=False)
    (folder / "sets.gmt").write_text("IFN\tx\tCXCL9\tCXCL10\tSTAT1\tGZMB\tPRF1\nOTHER\tx\tA2M\tNAT1\tNAT2\n")
    return folder


def test_all_thirty_founding_targets_under_their_names(files):
    result = score(
        np.log2(kirc_like() + 1),
        targets=FOUNDING_TARGETS,
        signature=files / "LM22.txt",
        maf=files / "a.maf",
        msi=files / "msi.csv",
        n_permutations=20,
    )
    assert list(result.scores.columns) == list(FOUNDING_TARGETS)
    assert result.scores.drop(columns=["TMB", "MSI"]).notna().all().all()
    assert result.scores["TMB"].notna().sum() == 4
    assert result.scores["TMB"].iloc[0] == pytest.approx(5 / 38)
    assert result.scores["TMB"].iloc[4:].isna().all()
    assert result.scores["MSI"].notna().sum() == 5
    assert set(result.coverage["signature"]) >= {"LM22", "TIL10", "ESTIMATE stromal", "ESTIMATE immune"}
    assert set(result.cards) <= {card.name for card in CARDS}
    assert any("calibrated on Affymetrix" in message for message in result.messages)


def test_targets_without_their_input_are_missing_and_said(files):
    result = score(kirc_like(), targets=["TMB", "stromal", "gene:PDCD1"])
    assert result.scores["TMB"].isna().all()
    assert any("TMB missing for all" in message for message in result.messages)
    with pytest.raises(ScoreError, match="cell:Eosinophils cannot be scored"):
        score(kirc_like(), targets=["cell:Eosinophils"])
    with pytest.raises(ConfigError, match="unknown target"):
        score(kirc_like(), targets=["nonsense"])
    with pytest.raises(ScoreError, match="unknown method"):
        score(kirc_like(), ["xcell"])


def test_gene_sets_and_mutations_as_targets(files):
    name = f"sig:{files / 'sets.gmt'}#OTHER"
    result = score(kirc_like(), targets=[name, "mut:EGFR", "mut:VHL"], maf=files / "a.maf")
    assert result.scores["mut:EGFR"].iloc[:4].tolist() == [1.0] * 4
    assert result.scores["mut:VHL"].iloc[:4].tolist() == [0.0] * 4
    assert result.scores["mut:EGFR"].iloc[4:].isna().all()
    assert result.scores[name].notna().all()
    with pytest.raises(InputError, match="holds no gene set 'NONE'"):
        score(kirc_like(), targets=[f"sig:{files / 'sets.gmt'}#NONE"])


def test_the_default_signature_is_the_open_one():
    result = score(kirc_like())
    cells = [name for name in result.scores if name.startswith("cell:")]
    assert len(cells) == 10
    assert {"cell:T_cells_CD8", "cell:T_cells_regulatory_Tregs", "cell:Dendritic_cells"} <= set(cells)
    np.testing.assert_allclose(result.scores[cells].sum(axis=1), 1.0, rtol=1e-12)
    assert "TIL10" in result.cards


def test_coverage_below_the_least_is_refused_with_what_is_missing():
    lists = estimate_genes()
    table = kirc_like().drop(index=lists["stromal"][:40])
    with pytest.raises(ScoreError, match=r"101 of 141 genes \(72%\) of ESTIMATE stromal .*missing: "):
        estimate_scores(table)
    assert estimate_scores(table, min_coverage=0.7)["stromal"].notna().all()


def test_renamed_genes_are_found_under_either_name():
    table = kirc_like()
    renamed = table.rename(index={"WISP1": "CCN4", "FYB": "FYB1", "GPR124": "ADGRA2"})
    np.testing.assert_allclose(estimate_scores(renamed).to_numpy(), estimate_scores(table).to_numpy(), rtol=1e-12)
    stromal = estimate_scores(renamed).attrs["coverage"][0]
    assert set(stromal.renamed) == {"WISP1=CCN4", "GPR124=ADGRA2"}


def test_purity_is_missing_where_the_formula_is_negative():
    from imrad.immune.estimate import purity_from_score

    purity = purity_from_score(pd.Series([-1000.0, 0.0, 7000.0]))
    assert purity.iloc[1] == pytest.approx(np.cos(0.6049872018), abs=1e-12)
    assert purity.isna().tolist() == [False, False, True]


def test_marker_scores_are_mean_log2_expression():
    table = kirc_like()
    genes = marker_sets()["Mast_cells"]
    expected = np.log2(table.loc[genes] + 1).mean()
    np.testing.assert_allclose(marker_scores(table)["marker:Mast_cells"], expected, rtol=1e-12)
    without = marker_scores(table.drop(index=genes[:2]))
    assert "marker:Mast_cells" not in without
    assert any("Mast_cells left out: 3 of 5" in message for message in without.attrs["messages"])


def test_agreement_joins_fine_and_coarse_cell_types():
    rng = np.random.default_rng(0)
    truth = rng.random((50, 2))
    index = [f"P{number}" for number in range(50)]
    fine = pd.DataFrame(
        {
            "cell:B_cells_naive": truth[:, 0] * 0.4,
            "cell:B_cells_memory": truth[:, 0] * 0.6,
            "cell:Monocytes": truth[:, 1],
        },
        index=index,
    )
    coarse = pd.DataFrame({"cell:B_cells": truth[:, 0], "cell:Monocytes": rng.random(50)}, index=index).iloc[::-1]
    table = agreement(fine, coarse).set_index("target")
    assert table.loc["cell:B_cells", "spearman"] == pytest.approx(1.0)
    row = table.loc["cell:Monocytes"]
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"]
    with pytest.raises(ScoreError, match="share no sample"):
        agreement(fine, coarse.set_axis([f"Q{n}" for n in range(50)]))


def test_patients_are_chosen_from_samples():
    table = kirc_like(4)
    table.columns = ["TCGA-B0-0001-11A", "TCGA-B0-0001-01A", "TCGA-B0-0001-06A", "TCGA-B0-0002-01B"]
    result = score(table, ["estimate"], genes=["PDCD1"]).per_patient()
    assert list(result.scores.index) == ["TCGA-B0-0001", "TCGA-B0-0002"]
    assert result.fit["sample"].tolist() == ["TCGA-B0-0001-01A", "TCGA-B0-0002-01B"]
    assert result.attrition["n_out"].tolist() == [4, 3, 2]


def test_a_signature_file_is_checked(files, tmp_path):
    assert read_signature(files / "LM22.txt").name == "LM22"
    lm22_like().iloc[:300].to_csv(tmp_path / "LM22_short.txt", sep="\t")
    short = read_signature(tmp_path / "LM22_short.txt")
    assert (short.name, "not LM22" in short.note) == ("LM22_short", True)
    bad = lm22_like()
    bad.iloc[0, 0] = np.nan
    with pytest.raises(ScoreError, match="missing or negative values"):
        read_signature(bad)
    with pytest.raises(ScoreError, match="missing or negative values or repeated genes"):
        read_signature(pd.concat([lm22_like(), lm22_like().iloc[:1]]))
    with pytest.raises(InputError, match="your own copy of LM22"):
        read_signature(tmp_path / "none.txt")
    (tmp_path / "bad.gmt").write_text("only\tone\n")
    with pytest.raises(InputError, match="line 1"):
        read_gmt(tmp_path / "bad.gmt")


def test_cibersort_options_are_checked():
    table = kirc_like()
    with pytest.raises(ScoreError, match="unknown solver"):
        cibersort(table, solver="svmlight")
    with pytest.raises(ScoreError, match="unknown absolute mode"):
        cibersort(table, absolute="yes")
    with pytest.raises(ScoreError, match="must be zero or more"):
        cibersort(table, n_permutations=-1)
    table.iloc[:, 2] = 5.0
    with pytest.raises(ScoreError, match="has the same value in all signature genes"):
        cibersort(table)


def test_a_cohort_resumes_from_its_store_and_does_not_depend_on_workers(tmp_path):
    table = kirc_like(300)
    calls = []
    first = cibersort(table, n_permutations=10, store=Store(tmp_path))
    again = cibersort(table, n_permutations=10, store=Store(tmp_path), progress=lambda *a: calls.append(a))
    two = cibersort(table, n_permutations=10, workers=2)
    for other in (again, two):
        pd.testing.assert_frame_equal(first.fractions, other.fractions)
        pd.testing.assert_frame_equal(first.fit, other.fit)
    # All chunks came from the store: one report per label, already complete.
    assert calls == [("cibersort", 3, 3), ("cibersort null", 1, 1)]


def test_the_null_is_reused_and_new_samples_get_the_same_p():
    table = kirc_like(12)
    whole = cibersort(table, n_permutations=50)
    part = cibersort(table.iloc[:, :3], null=whole.null)
    pd.testing.assert_series_equal(part.fit["p_value"], whole.fit["p_value"].iloc[:3])


CELLS = [name.replace("_", ".") for name in LM22_CELLS]


def published(rows):
    fractions = np.full(22, 1 / 22)
    table = pd.DataFrame([[name, kind, *fractions, p, r, 1.0] for name, kind, p, r in rows])
    table.columns = ["SampleID", "CancerType", *CELLS, "P.value", "Correlation", "RMSE"]
    return table


def test_the_published_table_with_dots_normals_and_repeats(tmp_path):
    rows = [
        ("TCGA.B0.0001.01A.11R.1541.07", "KIRC", 0.01, 0.3),
        ("TCGA.B0.0001.01A.11R.1541.07", "KIRC", 0.01, 0.4),
        ("TCGA.B0.0001.11A.11R.1541.07", "KIRC", 0.00, 0.9),
        ("TCGA.B0.0002.01A.11R.1541.07", "KIRC", 0.20, 0.1),
        ("TCGA.B0.0002.06A.11R.1541.07", "KIRC", 0.00, 0.8),
        ("TCGA.ZF.0003.01A.11R.1541.07", "BLCA", 0.05, 0.2),
    ]
    published(rows).to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    result = read_cibersort_table(tmp_path / "t.tsv", cancer_type="KIRC")
    assert list(result.scores.index) == ["TCGA-B0-0001", "TCGA-B0-0002"]
    assert result.fit["correlation"].tolist() == [0.4, 0.1]
    assert list(result.scores.columns) == [f"cell:{name}" for name in LM22_CELLS]
    assert result.attrition["n_out"].tolist() == [6, 5, 4, 2, 2]
    excluded = read_cibersort_table(tmp_path / "t.tsv", p_rule="exclude")
    assert excluded.scores.isna().all(axis=1).tolist() == [False, True, True]
    assert any("2 of 3 rows have a deconvolution p of 0.05 or more" in message for message in excluded.messages)
    assert len(read_cibersort_table(tmp_path / "t.tsv", per_patient=False).scores) == 6
    with pytest.raises(InputError, match="no rows of cancer type"):
        read_cibersort_table(tmp_path / "t.tsv", cancer_type="LUAD")
    with pytest.raises(ScoreError, match="unknown p_rule"):
        read_cibersort_table(tmp_path / "t.tsv", p_rule="drop")


def test_the_real_published_table(reference_data):
    path = reference_data / "immune" / "tcga_cibersort_relative_thorsson2018.tsv.gz"
    kirc = read_cibersort_table(path, cancer_type="KIRC", p_rule="exclude")
    assert kirc.scores.index.is_unique
    assert kirc.scores.index.str.match(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}$").all()
    steps = kirc.attrition.set_index("step")["n_out"]
    assert steps["cancer type KIRC"] == 618
    assert steps["one sample a patient"] == len(kirc.scores) == 533
    assert steps["deconvolution p < 0.05"] == int(kirc.scores.notna().all(axis=1).sum()) == 364


def test_any_table_of_scores(tmp_path):
    table = pd.DataFrame({"sample": ["P1", "P2"], "T.cells.CD8": [0.1, 0.2], "tmb": [1, 2], "own": [3.0, 4.0]})
    table.assign(text="x").to_csv(tmp_path / "s.csv", index=False)
    result = read_score_table(tmp_path / "s.csv")
    assert list(result.columns) == ["cell:T_cells_CD8", "TMB", "own"]
    aran = pd.DataFrame({"sample": ["TCGA-B0-0001-01A", "TCGA-B0-0001-11A"], "ESTIMATE": [0.9, 0.4], "CPE": [0.8, 0.3]})
    aran.to_csv(tmp_path / "p.csv", index=False)
    purity = read_score_table(tmp_path / "p.csv")
    assert purity.to_dict() == {"purity": {"TCGA-B0-0001": 0.9}, "CPE": {"TCGA-B0-0001": 0.8}}
    pd.concat([table, table]).to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(InputError, match="2 repeated patients"):
        read_score_table(tmp_path / "d.csv")
    with pytest.raises(InputError, match="does not exist"):
        read_score_table(tmp_path / "none.csv")


def test_every_setting_is_a_parameter_of_score(files):
    settings = ImmuneSettings(
        mutations=["EGFR"], p_rule="exclude", n_permutations=20, signature=str(files / "LM22.txt")
    )
    result = score(kirc_like(), maf=files / "a.maf", **settings.model_dump())
    poor = (result.fit["p_value"] >= 0.05).to_numpy()
    assert poor.any()
    assert (result.scores["cell:Monocytes"].isna().to_numpy() == poor).all()
    assert "mut:EGFR" in result.scores
    digests = result.coverage.set_index("signature")["digest"]
    assert digests.str.len().eq(16).all()
    assert digests["LM22"] != digests["TIL10"]


def test_settings_are_frozen_and_strict():
    from pydantic import ValidationError

    settings = ImmuneSettings()
    assert settings.exome_mb == 38.0
    with pytest.raises(ValidationError):
        settings.exome_mb = 30.0
    with pytest.raises(ValidationError):
        ImmuneSettings(exome=30.0)
    assert all(field.description for field in ImmuneSettings.model_fields.values())
