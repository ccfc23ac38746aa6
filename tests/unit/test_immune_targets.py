"""The target language."""

from __future__ import annotations

import pytest

from imrad.exceptions import ConfigError
from imrad.immune import canonical_cell, known_targets, parse_target, target_help
from imrad.names import FOUNDING_TARGETS, LM22_CELLS


def test_the_thirty_founding_targets():
    assert len(FOUNDING_TARGETS) == len(set(FOUNDING_TARGETS)) == 30
    cells = [name for name in FOUNDING_TARGETS if name.startswith("cell:")]
    assert len(cells) == 21
    assert "cell:T_cells_CD4_naive" not in cells
    assert [name for name in FOUNDING_TARGETS if name.startswith("gene:")] == [
        "gene:PDCD1",
        "gene:CD244",
        "gene:LAG3",
        "gene:TIGIT",
    ]


@pytest.mark.parametrize("text", [*FOUNDING_TARGETS, "mut:EGFR", "sig:h.all.gmt#HYPOXIA", "gene:HLA-A", "estimate"])
def test_targets_come_back_as_they_were_written(text):
    assert str(parse_target(text)) == text


@pytest.mark.parametrize(
    ("published", "name"),
    [
        ("T cells regulatory (Tregs)", "T_cells_regulatory_Tregs"),
        ("T.cells.regulatory..Tregs.", "T_cells_regulatory_Tregs"),
        ("Tregs", "T_cells_regulatory_Tregs"),
        ("NK cells resting", "NK_cells_resting"),
        ("Macrophages.M0", "Macrophages_M0"),
        ("t_cells_cd8", "T_cells_CD8"),
        ("My cell", "My_cell"),
    ],
)
def test_cell_names_of_every_program_become_one_spelling(published, name):
    assert canonical_cell(published) == name
    assert str(parse_target(f"cell:{published}")) == f"cell:{name}"


def test_plain_names_in_any_case():
    assert str(parse_target("tmb")) == "TMB"
    assert str(parse_target(" Purity ")) == "purity"


def test_slugs_are_file_names_and_stay_apart():
    texts = [*FOUNDING_TARGETS, "gene:HLA-A", "sig:a/b.gmt#X Y", "sig:a-b.gmt#X-Y", "sig:a_b.gmt#X_Y", "mut:EGFR"]
    slugs = [parse_target(text).slug() for text in texts]
    assert len(set(slugs)) == len(slugs)
    assert all(set(slug) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for slug in slugs)
    assert parse_target("cell:T_cells_CD8").slug() == "cell-T_cells_CD8"


def test_a_signature_names_file_and_set():
    target = parse_target("sig:dir/sets.gmt#IFN GAMMA")
    assert (target.kind, target.file, target.name) == ("sig", "dir/sets.gmt", "IFN GAMMA")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TNB", "did you mean 'TMB'"),
        ("cells:X", "unknown target 'cells:X'"),
        ("gene:", "unknown target 'gene:'"),
        ("gene:PD 1", "no gene symbol"),
        ("sig:file.gmt", "sig:FILE.gmt#NAME"),
    ],
)
def test_what_is_no_target_is_refused_with_the_known_ones(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_target(text)


def test_a_target_must_be_among_the_columns_at_hand():
    columns = ["TMB", "cell:T_cells_CD8"]
    assert str(parse_target("cell:T cells CD8", known=columns)) == "cell:T_cells_CD8"
    with pytest.raises(ConfigError, match="known targets are TMB, cell:T_cells_CD8"):
        parse_target("MSI", known=columns)
    assert str(parse_target("my score", known=["my score"])) == "my score"


def test_the_listing_names_every_form():
    names = [name for name, _ in target_help()]
    assert {"TMB", "MSI", "purity", "gene:SYMBOL", "mut:SYMBOL", "sig:FILE.gmt#NAME", "marker:NAME"} <= set(names)
    assert {f"cell:{name}" for name in LM22_CELLS} <= set(names)
    assert "cell:Mine" in known_targets(["cell:Mine"])
