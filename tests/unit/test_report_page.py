"""The page: numbers are their tables', no patient is named, no text becomes markup, and all parts are there."""

from __future__ import annotations

import importlib.util
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imrad.report import Report
from imrad.report.page import shown_value

SERVICES = Path(__file__).parents[1] / "services"
_spec = importlib.util.spec_from_file_location("services_report_run", SERVICES / "report_run.py")
drawn = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(drawn)

KEYS = ["verdict", "cohort", "imaging", "features", "targets", "grid", "biology", "models", "curves", "model"]
KEYS += ["explanations", "subgroups", "robustness", "external", "checklists", "methods"]
VOID = {"meta", "link", "br", "use", "path", "rect", "image"}


class Page(HTMLParser):
    """Collects what a reader sees in paragraphs, the numbers in it, and what could run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict]] = []
        self.numbers: list[dict] = []
        self.loose: list[str] = []
        self.loads: list[str] = []
        self.scripts: list[dict] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "data":
            self.numbers.append(given | {"text": ""})
        if tag == "script":
            self.scripts.append(given)
        if "id" in given:
            self.ids.append(given["id"])
        self.handlers += [name for name in given if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "poster"):
            if name in given:
                self.loads.append(given[name])
        if tag not in VOID:
            self.stack.append((tag, given))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [tag for tag, _ in self.stack]
        if "data" in tags:
            self.numbers[-1]["text"] += data
        elif ("p" in tags or "figcaption" in tags) and not {"i", "a", "button", "form", "script"} & set(tags):
            self.loose.append(data)


def read(report, folder):
    path = report.save(folder / "report.html")
    page = Page()
    text = path.read_text(encoding="utf-8")
    page.feed(text)
    return text, page


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    run = drawn.drawn_run(folder, endpoints=("os", "pfi"), claimed=("cell:T_1",))
    return folder, *read(Report(run), folder)


def test_every_section_is_there_in_the_readers_order(made):
    found = re.findall(r'<section id="([a-z]+)"', made[1])
    assert found == KEYS
    assert len(made[2].ids) == len(set(made[2].ids))


def test_every_number_in_text_equals_its_table(made):
    folder, _, page = made
    assert len(page.numbers) > 80
    for number in page.numbers:
        path = number["data-table"]
        stem = path.rpartition(".")[0].replace("/", "_") if "." in path else path
        table = pd.read_csv(folder / "report_data" / f"{stem}.csv")
        value = table[number["data-column"]].iloc[int(number["data-row"])]
        assert value == pytest.approx(float(number["value"].replace("True", "1")), rel=1e-12, nan_ok=True), number
        assert number["text"] == shown_value(value, number["data-format"]), number
        source = folder / path
        if source.suffix == ".csv" and source.exists():
            assert pd.read_csv(source)[number["data-column"]].iloc[int(number["data-row"])] == pytest.approx(value)


def test_no_number_in_text_comes_from_elsewhere(made):
    """What is left when the recorded numbers are taken out are constants of the method, listed here."""
    few = (0, 0.05, 0.1, 0.4, 0.5, 0.75, 0.8, 1, 1.0, 10, 12, 20, 25, 30, 60, 90, 95, 100, 160, 240)
    constants = {str(value) for value in few}
    loose = set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", " ".join(made[2].loose)))
    assert loose <= constants, loose - constants


def test_cells_are_those_of_the_table(made):
    folder, text, _ = made
    models = pd.read_csv(folder / "survival/os/models.csv")
    block = text[text.index('id="t-models_os"') :]
    block = block[: block.index("</table>")]
    for value in models["c_outer"]:
        assert f">{value:.3f}</td>" in block


def test_verdict_says_what_was_found_and_what_was_not(made):
    text = made[1]
    verdict = text[text.index('<section id="verdict"') : text.index('<section id="cohort"')]
    plain = re.sub(r"<[^>]+>", "", verdict)
    assert "it is not shown that imaging adds" in plain
    assert "+0.031 (95 % interval -0.012 to +0.075, p = 0.15)" in plain
    assert "1 of 3 phenotypes survive correction" in plain
    assert "cell:T_1 (outer AUC 0.912, q = 0.012)" in plain
    assert "prognostic, never predictive" in plain
    assert "未能证明影像" in plain


def test_null_cohort_says_in_plain_words_that_nothing_survives(tmp_path):
    text, _ = read(Report(drawn.drawn_run(tmp_path)), tmp_path)
    plain = re.sub(r"<[^>]+>", "", text)
    assert "No phenotype survives correction: none of 3 targets" in plain
    assert "a scatter plot of a chance finding misleads" in plain


def test_tcga_patients_are_told_to_be_prognostic(tmp_path):
    patients = [f"TCGA-AB-{1000 + k}" for k in range(30)]
    text, _ = read(Report(drawn.drawn_run(tmp_path, patients=patients)), tmp_path)
    assert "The patients of TCGA were not selected for immunotherapy" in text


@pytest.mark.parametrize(
    "without",
    [
        {"images": False},
        {"immune": False},
        {"models": ("Clinical",)},
        {"endpoints": ()},
        {"images": False, "immune": False},
    ],
    ids=["no images", "no immune data", "one model", "no survival", "clinical only"],
)
def test_report_is_whole_without(without, tmp_path):
    text, _ = read(Report(drawn.drawn_run(tmp_path, **without)), tmp_path)
    assert re.findall(r'<section id="([a-z]+)"', text) == KEYS
    for part in re.split(r"<section ", text)[1:]:
        assert re.search(r"<p class|<figure", part), part[:40]
    assert 'class="missing"' in text
    assert "nan" not in re.sub(r"<[^>]+>", " ", text.partition("<main")[2].partition('id="tables"')[0]).lower().split()


def test_empty_run_says_what_would_fill_each_part(tmp_path):
    text, _ = read(Report(drawn.empty_run(tmp_path)), tmp_path)
    assert re.findall(r'<section id="([a-z]+)"', text) == KEYS
    assert text.count('class="missing"') >= 12


def test_nothing_is_loaded_and_one_known_script_runs(made):
    _, text, page = made
    assert all(link.startswith(("#", "report_data/", "data:,", "data:image/png;base64")) for link in page.loads), (
        page.loads
    )
    assert not re.search(r"@import|url\((?!#)", text)
    assert [item.get("type") for item in page.scripts].count(None) == 1
    assert "default-src &#39;none&#39;" in text


def test_mosaic_shows_outlines_of_some_and_flags_of_those_that_have_them(made, tmp_path):
    from imrad import content
    from imrad.report.pictures import MOST, chosen, outlined, pictures
    from imrad.report.tables import RunTables

    folder = made[0]
    table = pd.read_csv(folder / "report_data/mosaic.csv")
    assert len(table) == MOST < 60
    assert table["volume_ml"].is_monotonic_increasing
    quality = pd.read_csv(folder / "extract/quality.csv")
    assert table["volume_ml"].iloc[[0, -1]].tolist() == [quality["volume_ml"].min(), quality["volume_ml"].max()]
    assert not (folder / "report_data/quality_flags.csv").exists()
    drawing = (folder / "report_data/mosaic.svg").read_text()
    assert drawing.count("data:image/png;base64") == MOST
    assert len(drawing) < 1_500_000
    assert "⚑" not in drawing
    run = drawn.drawn_run(tmp_path)
    quality["flags"] = ["on the border" if k == 7 else "" for k in range(len(quality))]
    kept = pictures(RunTables(run))
    few = chosen(quality, kept, most=5)
    assert "on the border" in set(few["flags"])
    grey, rim = kept[(quality["patient"][0], quality["case"][0])]
    colour = outlined((grey, rim))
    assert (colour[rim > 0] == [230, 159, 0]).all()
    assert (colour[rim == 0] == grey[rim == 0][:, None]).all()
    # A sheet that cannot be read costs the mosaic, not the page.
    content.save(run.folder / "extract/thumbnails.zip", [["a", "b"]])
    (run.folder / "extract/imaging.csv").unlink()
    text, _ = read(Report(run), tmp_path)
    assert "the extraction kept no pictures" in text
    assert "the images are not DICOM" in text


def test_readers_combat_trees_and_i2_are_shown_where_there_are_tables(tmp_path):
    from imrad.report.sections.heterogeneity import predictors_i2

    run = drawn.drawn_run(tmp_path)
    feats = [f"f{k}" for k in range(8)]
    icc = pd.DataFrame({"feature": feats, "icc": [0.95, 0.8, 0.7, 0.2, -0.1, 0.9, 0.76, 0.74], "n": 12})
    icc = icc.assign(kept=(icc["icc"] >= 0.75).astype(int), kept_folds=0.8, threshold=0.75, low=0.1, high=0.9)
    drawn.write(run, "features/icc.csv", icc)
    combat = pd.DataFrame(
        {"feature": feats, "site_effect_before": 0.3, "site_effect_after": 0.01, "n": 40, "n_sites": 2}
    )
    drawn.write(run, "features/combat.csv", combat.assign(p_before=[0.01] * 5 + [0.2] * 3, p_after=0.9))
    steps = [("t", f"r0/o{k}", o, name, 30, 9 + k) for k in range(3) for o, name in enumerate(("extracted", "icc"))]
    columns = ["target", "fold", "order", "step", "n_in", "n_out"]
    drawn.write(run, "phenotype/funnel.csv", pd.DataFrame(steps, columns=columns))
    explained = pd.read_csv(tmp_path / "survival/os/explanations.csv").assign(method="linear, exact")
    forest = explained.assign(model="Forest <i>", method="trees, Shapley")
    drawn.write(run, "survival/os/explanations.csv", pd.concat([explained, forest]))
    text, page = read(Report(run), tmp_path)
    plain = re.sub(r"<[^>]+>", "", text)
    assert "Between readings of 12 patients, 4 of 8 features reach an ICC of 0.75" in plain
    assert "Before ComBat 5 of 8 features differ between sites (p below 0.05, not corrected), after it 0" in plain
    funnel = pd.read_csv(tmp_path / "report_data/feature_funnel.csv").set_index("step")["features"]
    assert funnel["after icc, in the median fold"] == 10
    assert {"f-combat", "f-icc", "f-shapley_os_1", "f-contributions_os"} <= set(page.ids)
    assert "Shapley values of the trees" in plain
    # I-squared by its definition, and only with its label.
    ratio = np.log(np.sqrt(0.9 * 1.4))
    q, i2, tau2 = predictors_i2([0.0, ratio, 1.0], [0.1, 0.2, 0.4])
    weights = np.array([100, 25, 6.25])
    mean = (25 * ratio + 6.25) / weights.sum()
    assert q == pytest.approx((weights * (np.array([0, ratio, 1.0]) - mean) ** 2).sum())
    assert i2 == pytest.approx((q - 2) / q)
    assert tau2 == pytest.approx((q - 2) / (weights.sum() - (weights**2).sum() / weights.sum()))
    assert "I² is 0 % and τ² 0. It has no meaning" in plain
    (tmp_path / "phenotype/published.csv").unlink()
    assert "I²" not in read(Report(run), tmp_path)[0]


def test_a_run_of_trees_alone_is_not_told_as_linear(tmp_path):
    from matplotlib.figure import Figure

    from imrad.report.displays import Display
    from imrad.report.sections.explanations import section
    from imrad.report.tables import RunTables

    run = drawn.drawn_run(tmp_path)
    explained = pd.read_csv(tmp_path / "survival/os/explanations.csv").assign(method="trees, Shapley")
    drawn.write(run, "survival/os/explanations.csv", explained)
    shown = [block for block in section(RunTables(run)).blocks if isinstance(block, Display)]
    shown = {block.name: block for block in shown if block.name.endswith("_os")}
    assert set(shown) == {"contributions_os", "cases_os"}
    for block in shown.values():
        figure = Figure()
        block.draw(figure, block.table)
        labels = {axes.get_xlabel() for axes in figure.axes}
        assert any("predicted risk" in label for label in labels)
        assert not any("log hazard" in label for label in labels)
        assert "linear" not in str(block.caption)


def test_headers_are_counted_and_silent_ones_told(made):
    table = pd.read_csv(made[0] / "report_data/acquisition.csv")
    kernels = table[table["what"] == "Kernel"].set_index("level")["cases"]
    assert kernels.to_dict() == {"B30f": 30, "not stated": 30}


EVIL = "<script>alert(1)</script>"


def test_text_from_the_data_never_becomes_markup(tmp_path):
    """Feature names, targets, patients' labels, error messages and titles."""
    run = drawn.drawn_run(
        tmp_path,
        features=[f"a{EVIL}", 'b"><img src=x onerror=alert(1)>', "c{0}{name}%s$x_1$", "d</script><script>", *"efghijk"],
        targets=[f"cell:{EVIL}", "gene:]]>--><b>"],
        claimed=(f"cell:{EVIL}",),
        site=f"{EVIL}' onload='",
        reason=f"no region in {EVIL} <iframe src=http://x>",
        vendor=f"Maker {EVIL}",
    )
    run.config = run.config.model_copy(update={"title": f"title {EVIL}"})
    text, page = read(Report(run, identifiers=True), tmp_path)
    assert page.handlers == []
    assert [item.get("type") for item in page.scripts].count(None) == 1
    assert EVIL not in text
    assert "<img" not in text
    assert "<iframe" not in text
    assert "&lt;script&gt;alert(1)" in text
    for drawing in (tmp_path / "report_data").glob("*.svg"):
        assert "<script" not in drawing.read_text()
        assert "<img" not in drawing.read_text()


def test_patients_are_not_named_unless_asked_for(tmp_path):
    run = drawn.drawn_run(tmp_path / "a", reason="mask /data/HOSP-1003/mask.nii.gz is empty")
    everything = _all_text(Report(run), tmp_path / "a")
    for name in ("HOSP-10", "HOSP-FAILED", "ZZ-LOST-77", "/data/"):
        assert name not in everything, name
    assert "no row in the immune table: [withheld]" in everything
    named = _all_text(Report(run, identifiers=True), tmp_path / "a")
    assert "HOSP-1003" in named
    assert "ZZ-LOST-77" in named


def test_barcodes_of_others_are_withheld(tmp_path):
    run = drawn.drawn_run(tmp_path, reason="TCGA-CU-AOYR is unknown; TCGA.K4.A54R.11A.11R is a normal")
    text = _all_text(Report(run), tmp_path)
    assert "AOYR" not in text
    assert "A54R" not in text


def _all_text(report, folder):
    path = report.save(folder / "report.html")
    return path.read_text() + "".join(item.read_text() for item in (folder / "report_data").iterdir())


def test_same_run_same_bytes_and_tables_beside(made, tmp_path):
    folder, text, _ = made
    run = drawn.drawn_run(tmp_path, endpoints=("os", "pfi"), claimed=("cell:T_1",))
    assert read(Report(run), tmp_path)[0] == text
    names = {item.name for item in (folder / "report_data").iterdir()}
    assert {"km_os.svg", "km_os.csv", "summary.csv", "grid_heatmap.svg", "nomogram_pfi.svg"} <= names


def test_figures_come_as_matplotlib_objects(made):
    from imrad.run import Run

    figures = Report(Run.open(made[0])).figures()
    assert figures["km_os"].axes[0].get_ylabel() == "OS probability"


def test_opens_in_chinese(tmp_path):
    text, _ = read(Report(drawn.drawn_run(tmp_path), language="zh"), tmp_path)
    assert '<html lang="zh" data-language="zh">' in text
    for key, title in (("verdict", "结论"), ("methods", "方法")):
        assert f'href="#{key}"><span lang="en">' in text
        assert title in text


def test_fixed_words_of_tables_and_figures_are_there_in_chinese(made, tmp_path):
    from imrad.report.chinese import both, chinese
    from imrad.report.displays import Display
    from imrad.report.page import Shown
    from imrad.run import Run

    names = {"METRICS", "RQS", "CLEAR", "TRIPOD+AI", "Clinical+ImRad, OS.", "Clinical+ImRad, PFI."}
    numbers = {"AUC", "AUC(t)", "Brier", "C", "IBS", "Spearman", "df", "n", "p", "q", "q25", "q75"}
    groups = {"all", "site north", "site south", *(name.replace("_", " ") for name in drawn.SELECTORS)}
    for block in Report(Run.open(made[0])).sections:
        for part in block.blocks:
            if isinstance(part, Shown | Display):
                assert chinese(part.title) or part.title in names, part.title
                assert not isinstance(part.caption, str) or not part.caption or chinese(part.caption), part.caption
            if isinstance(part, Shown):
                for column in part.columns.values():
                    assert chinese(column.heading) or column.heading in numbers | groups, column.heading
    assert chinese("OS by Clinical+ImRad.") == "按 Clinical+ImRad 分组的 OS。"
    assert chinese("3 of 9 lost: {0} <b> {x}") == "9 中流失 3：{0} <b> {x}"
    assert both("months") == '<span lang="en">months</span><span lang="zh">月</span>'
    assert both("<b>") == "&lt;b&gt;"
    assert '<tspan lang="en">months</tspan><tspan lang="zh">月</tspan>' in made[1]
    Report(Run.open(made[0]), language="zh").save(tmp_path / "report.html")
    drawing = (tmp_path / "report_data/km_os.svg").read_text()
    assert ">月</text>" in drawing
    assert "months" not in drawing


def test_checklists_score_as_published(made):
    folder = made[0] / "report_data"
    metrics, rqs, clear, tripod = (
        pd.read_csv(folder / f"{name}.csv") for name in ("metrics", "rqs", "clear", "tripod")
    )
    assert (len(metrics), len(rqs), len(clear), len(tripod)) == (30, 16, 58, 27)
    from imrad.report.checklists import METRICS, RQS

    assert sum(item.earned for item in METRICS) == pytest.approx(1, abs=1e-3)
    # A public protocol (item 1) would earn one more, three cohorts and more (item 12) two more than one cohort does.
    assert sum(item.earned for item in RQS) + 1 + 2 == 36
    assert sum(item.otherwise for item in RQS) == -8
    # What only authors can know is unknown, and unknown earns nothing.
    assert (metrics.loc[metrics["status"] == "unknown", "points"] == 0).all()
    assert set(clear.loc[clear["item"].isin(["CLEAR-8", "CLEAR-49"]), "status"]) == {"unknown"}
    assert metrics.loc[metrics["item"] == "METRICS-27", "status"].item() == "no"
    assert metrics.loc[metrics["item"] == "METRICS-22", "status"].item() == "yes"


def test_items_are_not_ticked_that_the_run_did_not_earn(tmp_path):
    read(Report(drawn.empty_run(tmp_path)), tmp_path)
    for name in ("metrics", "clear", "tripod"):
        table = pd.read_csv(tmp_path / "report_data" / f"{name}.csv")
        allowed = {"CLEAR-12", "CLEAR-34"}
        assert set(table.loc[table["status"] == "yes", "item"]) <= allowed
    assert pd.read_csv(tmp_path / "report_data/rqs.csv")["points"].sum() == -8


def test_another_cohort_is_shown_and_counts(tmp_path):
    run = drawn.drawn_run(tmp_path)
    row = {"model": "Clinical", "n": 40, "n_events": 17, "c": 0.6432, "c_low": 0.5, "c_high": 0.7, "o_over_e": 1.1}
    drawn.write(run, "external/os/models.csv", pd.DataFrame([row]))
    text, _ = read(Report(run), tmp_path)
    assert ">0.643</td>" in text[text.index('<section id="external"') : text.index('<section id="checklists"')]
    metrics = pd.read_csv(tmp_path / "report_data/metrics.csv").set_index("item")
    assert metrics.loc["METRICS-27", "status"] == "yes"
    rqs = pd.read_csv(tmp_path / "report_data/rqs.csv").set_index("item")
    assert rqs.loc["RQS-12", "points"] == 3


def test_statements_of_the_authors_count_as_stated(tmp_path):
    statements = {"CLEAR-8": "Approved by the ethics board.", "METRICS-2": "All consecutive patients."}
    read(Report(drawn.drawn_run(tmp_path), statements=statements), tmp_path)
    clear = pd.read_csv(tmp_path / "report_data/clear.csv").set_index("item")
    assert clear.loc["CLEAR-8", ["status", "evidence"]].tolist() == ["stated", "Approved by the ethics board."]
    score = pd.read_csv(tmp_path / "report_data/metrics_score.csv").iloc[0]
    assert score["with_statements"] - score["shown"] == pytest.approx(100 * 0.0735 / (1 - 0.02), rel=1e-3)


def test_partial_points_and_evidence_that_is_not_enough(tmp_path):
    statements = {"RQS-16": "2: code and features", "RQS-15": "9: a study of costs"}
    run = drawn.drawn_run(tmp_path)
    text, _ = read(Report(run, statements=statements), tmp_path)
    rqs = pd.read_csv(tmp_path / "report_data/rqs.csv").set_index("item")
    assert rqs.loc["RQS-16", ["points", "evidence"]].tolist() == [2, "code and features"]
    assert rqs.loc["RQS-15", "points"] == 1
    # Calibration in the outer folds earns the point of resampling, no test of it earns the other.
    assert rqs.loc["RQS-10", "points"] == 1
    metrics = pd.read_csv(tmp_path / "report_data/metrics.csv").set_index("item")
    # The drawn run knows an ICC of its features and dropped none for it; half of its headers name no kernel.
    assert metrics.loc["METRICS-14", "status"] == "no"
    assert metrics.loc["METRICS-6", "status"] == "unknown"
    tripod = pd.read_csv(tmp_path / "report_data/tripod.csv").set_index("item")
    assert tripod.loc["TRIPOD-24", "status"] == "not applicable"
    assert "by the published bands" in text
    headers = pd.read_csv(tmp_path / "extract/imaging.csv")
    drawn.write(run, "extract/imaging.csv", headers.assign(convolution_kernel="B30f", slice_thickness_mm=2.0))
    drawn.write(
        run, "features/icc.csv", pd.DataFrame({"feature": ["f"], "icc": 0.9, "kept": 1, "threshold": 0.75, "n": 9})
    )
    read(Report(run), tmp_path)
    metrics = pd.read_csv(tmp_path / "report_data/metrics.csv").set_index("item")
    assert metrics.loc[["METRICS-6", "METRICS-14"], "status"].tolist() == ["yes", "yes"]


def test_methods_text_and_citations(tmp_path):
    from imrad.stages import about

    text, _ = read(Report(drawn.drawn_run(tmp_path), cards=about.cards()), tmp_path)
    plain = re.sub(r"<[^>]+>", "", text)
    assert "information gain, gain ratio, gini decrease, fcbf" in plain
    assert "表型。各靶标按训练部分" in plain
    assert plain.count("@misc{") > 10
    keys = re.findall(r"@\w+\{(\w+),", plain)
    assert len(keys) == len(set(keys))


def test_large_report_is_quick_and_small(tmp_path):
    run = drawn.drawn_run(tmp_path, n=500, targets=30, endpoints=("os", "pfi", "dss"), features=200)
    started = time.process_time()
    path = Report(run).save(tmp_path / "report.html")
    assert path.stat().st_size < 10_000_000
    # Processor time: what else the machine does is not the report's.
    assert time.process_time() - started < 20


def test_shown_values():
    assert shown_value(float("nan"), ".3f") == "–"
    assert shown_value(-0.0001, "+.3f") == "0.000"
    assert shown_value(np.float64(0.0004), "p=") == "< 0.001"
    assert shown_value(0.25, "share") == "25 %"
    assert shown_value(True) == "yes"
