"""TMB, mutated genes and MSI: what is zero, what is missing, what counts once."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from imrad.exceptions import InputError
from imrad.immune import msi_table, mutated_genes, read_maf, tmb_from_maf

HEAD = "Hugo_Symbol\tChromosome\tStart_Position\tReference_Allele\tTumor_Seq_Allele2\tVariant_Classification"
HEAD += "\tTumor_Sample_Barcode"
GDC = "#version gdc-1.0.0\n#annotation.spec gdc-2.0.0-aliquot-merged-masked\n#tumor.aliquot 0a1b\n"


def maf(path, rows, head=HEAD, comment=GDC):
    text = comment + head + "\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def variant(gene="EGFR", start=100, kind="Missense_Mutation", sample="TCGA-B0-0001-01A-11D-1421-08"):
    return (gene, "chr7", start, "G", "A", kind, sample)


def test_tmb_counts_non_silent_variants_per_megabase(tmp_path):
    kinds = ["Missense_Mutation", "Nonsense_Mutation", "Silent", "Intron", "Splice_Site", "RNA", "In_Frame_Del"]
    path = maf(tmp_path / "a.maf.gz", [variant(start=n, kind=kind) for n, kind in enumerate(kinds)])
    table = tmb_from_maf(path)
    assert table.loc["TCGA-B0-0001", "n_counted"] == 4
    assert table.loc["TCGA-B0-0001", "n_variants"] == 7
    assert table.loc["TCGA-B0-0001", "TMB"] == pytest.approx(4 / 38.0)
    other = tmb_from_maf(path, exome_mb=30.0, classes=["Silent"])
    assert other.loc["TCGA-B0-0001", "TMB"] == pytest.approx(1 / 30.0)


def test_the_same_variant_of_several_callers_counts_once(tmp_path):
    path = maf(tmp_path / "a.maf", [variant(), variant(), variant(start=101)])
    assert tmb_from_maf(path)["n_counted"].tolist() == [2]


def test_a_header_only_maf_is_zero_and_no_maf_is_missing(tmp_path):
    maf(tmp_path / "u1" / "x.maf.gz", [variant()])
    maf(tmp_path / "u2" / "y.maf.gz", [])
    table = tmb_from_maf(tmp_path, patients={"u2": "TCGA-B0-0002"})
    assert table["TMB"].to_dict() == {"TCGA-B0-0001": pytest.approx(1 / 38), "TCGA-B0-0002": 0.0}
    assert np.isnan(table["TMB"].reindex(["TCGA-B0-0003"]).iloc[0])
    with pytest.raises(InputError, match="names no patient"):
        tmb_from_maf(tmp_path)


def test_an_empty_maf_named_after_its_patient(tmp_path):
    maf(tmp_path / "TCGA-B0-0009.maf", [])
    assert tmb_from_maf(tmp_path)["TMB"].to_dict() == {"TCGA-B0-0009": 0.0}


def test_one_primary_tumour_speaks_for_a_patient(tmp_path):
    rows = [variant(start=n, sample="TCGA-B0-0001-06A-11D-1421-08") for n in range(5)]
    rows += [variant(start=n, sample="TCGA-B0-0001-01A-11D-1421-08") for n in range(3)]
    assert tmb_from_maf(maf(tmp_path / "a.maf", rows))["n_counted"].tolist() == [3]


def test_filtered_variants_are_left_out(tmp_path):
    head = HEAD + "\tFILTER"
    rows = [(*variant(start=n), flag) for n, flag in enumerate(["PASS", "common_variant", ".", "wga", "oxog"])]
    assert tmb_from_maf(maf(tmp_path / "mc3.maf", rows, head=head))["n_counted"].tolist() == [3]


def test_hospital_samples_keep_their_names_or_are_mapped(tmp_path):
    path = maf(tmp_path / "a.maf", [variant(sample="T-17"), variant(sample="T-18")], comment="")
    assert list(tmb_from_maf(path).index) == ["T-17", "T-18"]
    assert list(tmb_from_maf(path, patients={"T-17": "P1", "T-18": "P2"}).index) == ["P1", "P2"]


def test_mutated_genes(tmp_path):
    rows = [variant("EGFR"), variant("VHL", kind="Silent"), variant("TP53", sample="TCGA-B0-0002-01A-11D-1421-08")]
    table = mutated_genes(maf(tmp_path / "a.maf", rows), ["EGFR", "VHL", "TP53"])
    assert table.to_numpy().tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert list(table.columns) == ["mut:EGFR", "mut:VHL", "mut:TP53"]


def test_quotes_and_hashes_in_fields_do_not_break_rows(tmp_path):
    rows = [variant('A"B'), variant("C#D", start=5)]
    variants, covered = read_maf(maf(tmp_path / "a.maf", rows))
    assert variants["gene"].tolist() == ['A"B', "C#D"]
    assert covered == ["TCGA-B0-0001"]


def test_what_is_no_maf_is_refused(tmp_path):
    (tmp_path / "a.maf").write_text("gene\tvalue\nEGFR\t1\n")
    with pytest.raises(InputError, match="is no MAF"):
        read_maf(tmp_path / "a.maf")
    with pytest.raises(InputError, match="does not exist"):
        read_maf(tmp_path / "b.maf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no MAF"):
        read_maf(tmp_path / "empty")
    with pytest.raises(InputError, match="exome_mb is 0"):
        tmb_from_maf(maf(tmp_path / "c.maf", [variant()]), exome_mb=0.0)


def test_a_real_maf(reference_data):
    path = reference_data / "mutation" / "tcga_laml.maf.gz"
    raw = pd.read_csv(path, sep="\t", dtype=str)
    table = tmb_from_maf(path)
    assert len(table) == raw["Tumor_Sample_Barcode"].nunique()
    silent = raw["Variant_Classification"].isin(["Silent", "5'Flank", "IGR", "Intron", "RNA"])
    unique = raw[~silent].drop_duplicates(
        ["Tumor_Sample_Barcode", "Chromosome", "Start_Position", "Reference_Allele", "Tumor_Seq_Allele2"]
    )
    assert table["n_counted"].sum() == len(unique)
    assert mutated_genes(path, ["DNMT3A"])["mut:DNMT3A"].sum() == 48


def test_msi_tables_of_both_programs(tmp_path):
    mantis = pd.DataFrame({"case_id": ["TCGA-B0-0001", "TCGA-B0-0002"], "MANTIS_Score": [0.3, 0.5]})
    table = msi_table(mantis)
    assert table["MSI"].tolist() == [0.3, 0.5]
    assert table["unstable"].tolist() == [False, True]
    assert msi_table(mantis, threshold=0.4)["MSI"].tolist() == [0.0, 1.0]
    text = "#Patient\tMSI\n#text\n#STRING\tNUMBER\n#1\t1\nPATIENT_ID\tSAMPLE_ID\tMSI_SCORE_MANTIS\tMSI_SENSOR_SCORE\n"
    text += "TCGA-B0-0001\tTCGA-B0-0001-01\t0.31\t0.02\nTCGA-B0-0002\tTCGA-B0-0002-01\t\t5.1\n"
    (tmp_path / "data_clinical_sample.txt").write_text(text)
    assert msi_table(tmp_path / "data_clinical_sample.txt")["MSI"].to_dict() == {"TCGA-B0-0001": 0.31}
    sensor = msi_table(tmp_path / "data_clinical_sample.txt", method="msisensor")
    assert sensor["unstable"].to_dict() == {"TCGA-B0-0001": False, "TCGA-B0-0002": True}


def test_msi_tables_without_their_columns_are_refused():
    with pytest.raises(InputError, match="needed are a patient or sample"):
        msi_table(pd.DataFrame({"a": [1]}))
    with pytest.raises(InputError, match="unknown MSI method"):
        msi_table(pd.DataFrame({"case_id": ["a"], "MANTIS_Score": [1.0]}), method="guess")


def test_kirc_has_few_unstable_tumours(reference_data):
    raw = pd.read_csv(reference_data / "immune" / "tcga_msi_mantis.csv.gz")
    table = msi_table(raw[raw["cancer_type"].str.contains("KIRC")])
    assert (len(table), int(table["unstable"].sum())) == (339, 5)
