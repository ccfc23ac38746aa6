"""Mutations as targets: from a MAF alone or a table in words, by any name of the gene, whatever their prevalence."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from imrad import stages
from imrad.cohort import assemble
from imrad.cohort.mutations import mutation_status
from imrad.config import Config
from imrad.evaluation import draw_splits
from imrad.exceptions import ConfigError, SchemaError
from imrad.immune import mutated_genes, same_target
from imrad.phenotype.targets import Gates, check_feasibility, make_targets
from imrad.run import Run
from imrad.stages import blocks

MAF = "Hugo_Symbol\tVariant_Classification\tTumor_Sample_Barcode\tChromosome\tStart_Position\n"


@pytest.fixture
def maf(tmp_path):
    path = tmp_path / "all.maf"
    lines = [
        "EGFR\tMissense_Mutation\tP1\t7\t55259515",
        "EGFR\tSilent\tP2\t7\t55259516",
        "ERBB2\tIn_Frame_Ins\tP2\t17\t37880981",
        "TTN\tMissense_Mutation\tP3\t2\t1",
    ]
    path.write_text(MAF + "\n".join(lines) + "\n")
    return path


def test_a_gene_goes_by_its_clinical_name(maf):
    table = mutated_genes(maf, ["EGFR", "HER2", "ERBB2"])
    assert table.to_dict() == {
        "mut:EGFR": {"P1": 1.0, "P2": 0.0, "P3": 0.0},
        "mut:ERBB2": {"P1": 0.0, "P2": 1.0, "P3": 0.0},
    }
    assert same_target("mut:HER2", table.columns) == "mut:ERBB2"
    assert same_target("mut:ERBB2", ["mut:HER2"]) == "mut:HER2"
    assert same_target("gene:PD-L1", ["gene:CD274"]) == "gene:CD274"
    assert same_target("mut:KRAS", table.columns) is None


def test_a_maf_needs_no_expression_beside_it(maf, tmp_path):
    config = Config(name="maf", score={"maf": str(maf), "mutations": ["EGFR", "HER2"], "exome_mb": 2.0})
    run = Run(tmp_path / "run", config)
    stages.run_all(run)
    table = run.read("immune.csv").set_index("patient")
    assert table["TMB"].to_dict() == {"P1": 0.5, "P2": 0.5, "P3": 0.5}
    assert table["mut:ERBB2"].to_dict() == {"P1": 0.0, "P2": 1.0, "P3": 0.0}
    (tmp_path / "table.csv").write_text("patient,mut:EGFR,other\nP1,wild-type,3\nP2,mutant,4\n")
    values = {"maf": str(maf), "published": str(tmp_path / "table.csv"), "mutations": ["EGFR", "HER2"]}
    both = stages.run_all(Run(tmp_path / "both", Config(name="both", score=values))).read("immune.csv")
    assert both.set_index("patient")["mut:EGFR"].to_dict() == {"P1": "wild-type", "P2": "mutant", "P3": np.nan}
    values = {"published": str(tmp_path / "table.csv"), "mutations": ["EGFR"]}
    with pytest.raises(ConfigError, match=r"names EGFR, and there is no MAF file; name score\.maf"):
        stages.run_all(Run(tmp_path / "none", Config(name="none", score=values)))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("patient,cell:T_cells_CD8\nP1,0.2\nP2,low\n", "holds 'low' in cell:T_cells_CD8 for 1 patients"),
        ("id,cell:T_cells_CD8\nP1,0.2\n", "has the columns id, cell:T_cells_CD8; call the one"),
        ("patient,cell:T_cells_CD8\nP1,0.2\nP1,0.3\n", "has several rows for P1"),
    ],
)
def test_a_published_table_that_cannot_be_read_is_told_before_scoring_ends(table, said, tmp_path):
    (tmp_path / "table.csv").write_text(table)
    run = Run(tmp_path / "run", Config(name="odd", score={"published": str(tmp_path / "table.csv")}))
    with pytest.raises(ConfigError, match=re.escape(said)):
        stages.run_all(run)
    assert not (tmp_path / "run" / "immune.csv").exists()


def test_words_of_a_pathology_report():
    words = pd.Series(
        ["Mutant", "wild-type", "WT", "突变", "阴性", "+", "2+", None, "Not tested", 1, 0.0], name="mut:EGFR"
    )
    expected = [1, 0, 0, 1, 0, 1, np.nan, np.nan, np.nan, 1, 0]
    np.testing.assert_array_equal(mutation_status(words), expected)
    with pytest.raises(SchemaError, match=r"the column mut:EGFR holds 'exon 19' for 1; write 1 or 0"):
        mutation_status(pd.Series(["WT", "exon 19"], name="mut:EGFR"))


def test_a_table_in_words_becomes_a_target():
    patients = [f"P{n}" for n in range(4)]
    radiomics = pd.DataFrame({"patient": patients, "original_firstorder_Mean": np.arange(4.0)})
    clinical = pd.DataFrame({"patient": patients, "os_days": [1, 2, 3, 4], "os_event": [1, 0, 1, 1]})
    immune = pd.DataFrame({"patient": patients, "mut:HER2": ["positive", "negative", "2+", "positive"]})
    data = assemble(radiomics, clinical, immune, endpoints="os")
    found = blocks.targets(data, ["mut:ERBB2"])
    assert list(found.columns) == ["mut:HER2"]
    np.testing.assert_array_equal(found["mut:HER2"], [1, 0, np.nan, 1])


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_mutation_that_most_carry_is_a_target_too(share):
    values = (np.arange(60) < 60 * share).astype(float)
    splits = draw_splits([f"P{n}" for n in range(60)], list(values), seed=1)
    table = check_feasibility(make_targets(pd.DataFrame({"mut:EGFR": values}), "median"), splits, Gates()).iloc[0]
    assert table["feasible"], table["reason"]
    assert (table["n_positive"], table["n_negative"]) == (60 * share, 60 - 60 * share)
