"""How matrices arrive: forms, ids, units, orientation, duplicates."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from imrad.exceptions import InputError, ScoreError
from imrad.immune import cibersort, estimate_scores, prepare_expression, read_expression, score
from imrad.immune.identifiers import read_gene_map, reference_symbols
from imrad.immune.units import detect_scale


def tpm(n_genes=400, n_samples=6, seed=0):
    rng = np.random.default_rng(seed)
    genes = sorted(reference_symbols())[:n_genes]
    values = rng.lognormal(2, 2, (n_genes, n_samples)) * (rng.random((n_genes, n_samples)) > 0.1)
    values = values / values.sum(axis=0) * 1e6
    return pd.DataFrame(values, index=genes, columns=[f"S{number}" for number in range(n_samples)])


SCALES = {
    "TPM": lambda x: x,
    "log2(TPM + 1)": lambda x: np.log2(x + 1),
    "ln(TPM + 1)": lambda x: np.log1p(x),
    "log10(TPM + 1)": lambda x: np.log10(x + 1),
    "log2(TPM + 0.001)": lambda x: np.log2(x + 0.001),
    "FPKM": lambda x: x * np.linspace(0.3, 0.6, x.shape[1]),
    "log2(FPKM + 1)": lambda x: np.log2(x * np.linspace(0.3, 0.6, x.shape[1]) + 1),
    "counts": lambda x: np.round(x),
    "log2(counts + 1)": lambda x: np.log2(np.round(x) + 1),
}


@pytest.mark.parametrize("name", SCALES)
def test_scales_are_told_apart_with_evidence(name):
    scale = detect_scale(SCALES[name](tpm()).to_numpy())
    assert str(scale) == name
    assert scale.evidence


def test_arrays_and_z_scores_are_told_apart():
    rng = np.random.default_rng(1)
    array = np.clip(rng.normal(7, 2, (500, 8)), 2.3, 15)
    assert str(detect_scale(array)) == "log2(intensity)"
    assert str(detect_scale(2**array)) == "intensity"
    z = (array - array.mean(axis=1, keepdims=True)) / array.std(axis=1, keepdims=True)
    assert detect_scale(z).unit == "z-score"


def test_a_constant_matrix_is_refused():
    with pytest.raises(ScoreError, match="no varying values"):
        detect_scale(np.ones((10, 3)))


@pytest.mark.parametrize("name", [name for name in SCALES if "TPM" in name])
def test_linear_values_come_back_from_every_scale(name):
    ready = prepare_expression(SCALES[name](tpm()))
    np.testing.assert_allclose(ready.linear().T, tpm().sort_index().to_numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ready.log2().T, np.log2(tpm().sort_index().to_numpy() + 1), rtol=1e-7, atol=1e-9)


def test_orientation_is_found_by_the_labels():
    rows, columns = prepare_expression(tpm()), prepare_expression(tpm().T)
    pd.testing.assert_frame_equal(rows.to_frame(), columns.to_frame())
    assert "genes are in columns" in columns.messages


def test_orientation_of_unknown_genes_follows_the_signature():
    table = tpm()
    table.index = [f"X{number}" for number in range(len(table))]
    flipped = prepare_expression(table.T, genes=list(table.index))
    assert list(flipped.samples) == list(table.columns)


def ensembl_names(symbols):
    return {symbol: f"ENSG{number:011d}" for number, symbol in enumerate(symbols)}


def test_ensembl_versions_are_stripped_and_par_copies_dropped():
    table = tpm()
    names = ensembl_names(table.index)
    ids = [f"{names[symbol]}.{number % 9}" for number, symbol in enumerate(table.index)]
    copy = pd.concat([table.set_axis(ids), (table.iloc[:2] * 0).set_axis([f"{i}_PAR_Y" for i in ids[:2]])])
    ready = prepare_expression(copy, gene_map={value: key for key, value in names.items()})
    pd.testing.assert_frame_equal(ready.to_frame(), prepare_expression(table).to_frame(), check_names=False)
    with pytest.raises(ScoreError, match="Ensembl ids and no map"):
        prepare_expression(copy)


def test_entrez_ids_of_estimate_genes_need_no_map():
    from imrad.immune.signatures import entrez_symbols

    pairs = list(entrez_symbols().items())[:400]
    table = tpm().set_axis([entrez for entrez, _ in pairs])
    assert list(prepare_expression(table).genes) == sorted(symbol for _, symbol in pairs)


@pytest.mark.parametrize("style", ["{symbol}|{number}", "{ensembl}|{symbol}", "{symbol}|{ensembl}.3"])
def test_paired_labels(style):
    table = tpm()
    names = ensembl_names(table.index)
    labels = [style.format(symbol=s, number=n, ensembl=names[s]) for n, s in enumerate(table.index)]
    ready = prepare_expression(table.set_axis(labels))
    pd.testing.assert_frame_equal(ready.to_frame(), prepare_expression(table).to_frame(), check_names=False)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([f"ENST{number:011d}" for number in range(400)], "transcripts"),
        ([f"{number}_at" for number in range(400)], "array probes"),
        ([f"ENSMUSG{number:011d}" for number in range(400)], "another species"),
        ([f"Cd{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{n}" for n in range(400)], "mouse symbols"),
    ],
)
def test_ids_that_are_no_human_genes_are_refused(labels, message):
    with pytest.raises(ScoreError, match=message):
        prepare_expression(tpm().set_axis(labels))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("highest_mean", lambda a, b: a),
        ("mean", lambda a, b: (a + b) / 2),
        ("median", lambda a, b: (a + b) / 2),
        ("sum", lambda a, b: a + b),
        ("first", lambda a, b: b),
    ],
)
def test_duplicates_collapse_by_the_named_rule(rule, expected):
    table = tpm()
    gene = table.index[5]
    high, low = table.loc[gene] + 5.0, table.loc[gene] * 0.5
    doubled = pd.concat([low.to_frame(gene).T, table.drop(gene), high.to_frame(gene).T])
    ready = prepare_expression(doubled, duplicates=rule)
    np.testing.assert_allclose(ready.raw(genes=[gene])[:, 0], expected(high, low))
    assert any("repeated symbols collapsed by" in message for message in ready.messages)


def test_sums_of_logged_duplicates_are_linear():
    table = np.log2(tpm() + 1)
    gene = table.index[0]
    ready = prepare_expression(pd.concat([table, table.loc[[gene]]]), duplicates="sum")
    np.testing.assert_allclose(ready.linear(genes=[gene])[:, 0], 2 * tpm().loc[gene], rtol=1e-9, atol=1e-9)


def test_duplicates_may_be_refused():
    table = tpm()
    with pytest.raises(ScoreError, match="several rows"):
        prepare_expression(pd.concat([table, table.iloc[:1]]), duplicates="refuse")


def test_repeated_samples_and_infinite_values_are_refused():
    table = tpm()
    with pytest.raises(ScoreError, match="1 samples occur more than once"):
        prepare_expression(pd.concat([table, table[["S0"]]], axis=1))
    table.iloc[3, 2] = np.inf
    with pytest.raises(ScoreError, match="infinite"):
        prepare_expression(table)


def test_genes_with_missing_values_are_dropped_and_counted():
    table = tpm()
    table.iloc[3, 2] = np.nan
    ready = prepare_expression(table)
    assert table.index[3] not in ready.genes
    assert "1 genes with missing values dropped" in ready.messages


def test_counts_are_refused_where_gene_length_matters():
    table = SCALES["counts"](tpm(9000))
    with pytest.raises(ScoreError, match="counts distort by gene length"):
        score(table, ["estimate"])
    assert "stromal" in score(table, ["estimate"], allow_counts=True).scores
    for piece in (estimate_scores, cibersort):
        with pytest.raises(ScoreError, match="counts distort by gene length"):
            piece(table)


def test_z_scores_are_refused_where_levels_matter():
    table = np.log2(tpm(10_400, 12) + 1)
    table = table.sub(table.mean(axis=1), axis=0).div(table.std(axis=1), axis=0).dropna()
    with pytest.raises(ScoreError, match="z-scores"):
        score(table, ["estimate"])
    with pytest.raises(ScoreError, match="z-scores"):
        score(table, ["cibersort"])


FORMS = {
    "matrix.csv": lambda t, p: t.to_csv(p, index_label="gene"),
    "matrix.tsv": lambda t, p: t.to_csv(p, sep="\t"),
    "matrix.txt.gz": lambda t, p: t.to_csv(p, sep="\t", index_label="Hugo_Symbol"),
    "samples_in_rows.csv": lambda t, p: t.T.to_csv(p, index_label="patient"),
    "matrix.parquet": lambda t, p: t.to_parquet(p),
    "labelled.parquet": lambda t, p: t.rename_axis("gene").reset_index().to_parquet(p),
    "float32.parquet": lambda t, p: t.astype("float32").astype("float64").to_parquet(p),
}


@pytest.mark.parametrize("name", FORMS)
def test_files_of_every_form(tmp_path, name):
    table = tpm(60)
    if name.startswith("float32"):
        table = table.astype("float32").astype("float64")
    FORMS[name](table, tmp_path / name)
    ready = prepare_expression(tmp_path / name)
    np.testing.assert_array_equal(ready.raw(), prepare_expression(table).raw())
    assert list(ready.samples) == list(table.columns)


def test_r_tables_gct_and_cbioportal_files(tmp_path):
    table = tpm(60)
    want = prepare_expression(table).raw()
    body = table.to_csv(sep="\t", header=False)
    (tmp_path / "r.txt").write_text("\t".join(table.columns) + "\n" + body)
    rows = "".join(
        f"{g}\tdescription of {g}\t" + "\t".join(map(repr, map(float, v))) + "\n"
        for g, v in zip(table.index, table.to_numpy(), strict=True)
    )
    head = f"#1.2\n{len(table)}\t{table.shape[1]}\nName\tDescription\t" + "\t".join(table.columns) + "\n"
    (tmp_path / "m.gct").write_text(head + rows)
    wide = table.rename_axis("Hugo_Symbol").reset_index()
    wide.insert(1, "Entrez_Gene_Id", range(len(wide)))
    wide.to_csv(tmp_path / "data_mrna.txt", sep="\t", index=False)
    for name in ("r.txt", "m.gct", "data_mrna.txt"):
        np.testing.assert_array_equal(prepare_expression(tmp_path / name).raw(), want)


STAR_HEAD = "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second\ttpm_unstranded"
STAR_HEAD += "\tfpkm_unstranded\tfpkm_uq_unstranded\n"


def star_file(path, values):
    lines = ["# gene-model: GENCODE v36\n", STAR_HEAD]
    lines += [f"{name}\t\t\t10\t10\t10\n" for name in ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")]
    for number, (symbol, value) in enumerate(values.items()):
        lines.append(
            f"ENSG{number:011d}.1\t{symbol}\tprotein_coding\t{int(value)}\t0\t0\t{value!r}\t{value / 2!r}\t1.0\n"
        )
    lines.append(f"ENSG{0:011d}.1_PAR_Y\t{values.index[0]}\tprotein_coding\t0\t0\t0\t0.0\t0.0\t0.0\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def test_a_folder_of_gdc_star_files(tmp_path):
    table = tpm(60)
    table.columns = [f"TCGA-B0-000{number}-01A" for number in range(6)]
    sheet = ["File ID\tFile Name\tSample ID"]
    for number, sample in enumerate(table.columns):
        name = f"f{number}.rna_seq.augmented_star_gene_counts.tsv"
        star_file(tmp_path / f"uuid{number}" / name, table[sample].map(float))
        sheet.append(f"uuid{number}\t{name}\t{sample}")
    (tmp_path / "gdc_sample_sheet.2026.tsv").write_text("\n".join(sheet) + "\n")
    matrix = read_expression(tmp_path)
    ready = prepare_expression(matrix)
    assert sorted(ready.samples) == sorted(table.columns)
    assert ready.scale.unit == "TPM"
    assert "tpm_unstranded" in ready.scale.evidence
    np.testing.assert_allclose(ready.to_frame()[table.columns], table.sort_index(), rtol=1e-15)
    counts = prepare_expression(read_expression(tmp_path, value="unstranded"))
    assert counts.scale.unit == "counts"
    single = read_expression(tmp_path / "uuid0" / "f0.rna_seq.augmented_star_gene_counts.tsv")
    assert list(single.columns) == ["f0"]
    named = read_gene_map(tmp_path / "uuid0" / "f0.rna_seq.augmented_star_gene_counts.tsv")
    assert named["ENSG00000000003"] == table.index[3]


def test_star_files_of_one_sample_twice_or_cut_short(tmp_path):
    table = tpm(60)["S0"].map(float)
    for name in ("a", "b"):
        star_file(tmp_path / name / "x.rna_seq.augmented_star_gene_counts.tsv.gz", table)
    with pytest.raises(InputError, match="two STAR-counts files belong to sample"):
        read_expression(tmp_path)
    path = tmp_path / "a" / "x.rna_seq.augmented_star_gene_counts.tsv.gz"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match="cannot be read"):
        read_expression(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header and rows"),
        ("gene\tS1\tS2\nA1BG\t1\n", "column names"),
        ("gene\tS1\tS2\nA1BG\t1\t2\nA2M\tx\t3\n", "holds text among its values"),
    ],
)
def test_damaged_text_is_refused(tmp_path, text, message):
    (tmp_path / "bad.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_expression(tmp_path / "bad.tsv")


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_expression(tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no GDC STAR-counts file"):
        read_expression(tmp_path)


def test_gene_maps_of_biomart_hgnc_and_gencode(tmp_path):
    biomart = pd.DataFrame({"Gene stable ID": ["ENSG00000188389"], "Gene name": ["PDCD1"]})
    assert read_gene_map(biomart) == {"ENSG00000188389": "PDCD1"}
    hgnc = {
        "hgnc_id": ["HGNC:8760"],
        "symbol": ["PDCD1"],
        "entrez_id": ["5133"],
        "ensembl_gene_id": ["ENSG00000188389"],
    }
    assert read_gene_map(pd.DataFrame(hgnc)) == {"ENSG00000188389": "PDCD1", "5133": "PDCD1"}
    gtf = 'chr2\tHAVANA\tgene\t1\t2\t.\t-\t.\tgene_id "ENSG00000188389.11"; gene_type "x"; gene_name "PDCD1";\n'
    (tmp_path / "a.gtf.gz").write_bytes(gzip.compress(gtf.encode()))
    assert read_gene_map(tmp_path / "a.gtf.gz") == {"ENSG00000188389": "PDCD1"}
    with pytest.raises(InputError, match="name them gene_id and gene_name"):
        read_gene_map(pd.DataFrame({"a": ["x"], "b": ["y"]}))
