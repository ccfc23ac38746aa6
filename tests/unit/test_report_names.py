"""Names that a config or a table gives are words on the page and no part of it, and never a path."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from imrad import stages
from imrad.config import Config
from imrad.datasets import make_cohort
from imrad.run import Run
from imrad.stages.applying import apply
from imrad.stages.exporting import export

BAD = "</script><script>alert(\"x\")</script>&amp; 'q' $x_{$ <img src=x onerror=alert(1)>"
COLUMN = "ctdna <b>\"& '<img src=y onerror=alert(2)>"


class Page(HTMLParser):
    """Collects what a browser would act upon."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.odd, self.words, self._script = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._script = tag == "script"
        if self._script:
            self.scripts.append(dict(attrs).get("type", ""))
        odd = tag == "img" and not str(dict(attrs).get("src", "")).startswith("data:")
        if odd or any(name.startswith("on") for name, _ in attrs):
            self.odd.append((tag, attrs))

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        if not self._script:
            self.words.append(data)


@pytest.mark.filterwarnings("error::UserWarning")
def test_names_with_markup_are_words_and_no_paths(tmp_path):
    data = make_cohort(48, n_features=12, n_targets=1, image_effect=2.0, survival_effect=1.0, seed=3)
    rng = np.random.default_rng(0)
    data.to_df().rename_axis("patient").reset_index().to_csv(tmp_path / "features.csv", index=False)
    sheet = data.obs[["age_years", "os_days", "os_event"]].rename_axis("patient").reset_index()
    sheet[COLUMN] = rng.normal(size=48).round(2)
    sheet["arm"] = rng.choice(["<img src=z onerror=alert(3)>", "plain"], 48)
    sheet["best"] = rng.choice(["PR", "SD"], 48)
    sheet.to_csv(tmp_path / "sheet.csv", index=False)
    block = f"Own {BAD}"
    config = Config(
        name="names",
        title=f"Title {BAD}",
        assemble={
            **{"radiomics": "features.csv", "clinical": "sheet.csv"},
            "endpoints": {"os": "os_days,os_event", "response": "best"},
        },
        fuse={
            **{"endpoints": ["os", "response"], "n_bootstrap": 0, "clinical": ["age_years", "arm", COLUMN]},
            "extra_blocks": {block: [COLUMN, "age_years"]},
            "models": {f"Trees/../{BAD}": {"blocks": ["Rad"], "learner": "gbm"}, "Own": {"blocks": [block]}},
            "response_models": {f"One {BAD}": {"blocks": ["Clinical"]}, f"Two {BAD}": {"blocks": [block]}},
            "response_question": [f"One {BAD}", f"Two {BAD}"],
            "study_tables": True,
        },
        report={},
    )
    run = stages.run_all(Run(tmp_path / "run", config, tmp_path))
    export(run, tmp_path / "model.imrad")
    apply(tmp_path / "model.imrad", run.folder / "cohort.h5ad", run.folder)
    (run.folder / "report.html").unlink()
    stages.report(run)
    page = Page((run.folder / "report.html").read_text(encoding="utf-8"))
    assert page.odd == []
    # The calculators' numbers, the tables' numbers, and the page's own program.
    assert page.scripts == ["application/json", "application/json", "application/json", ""]
    words = "".join(page.words)
    for name in (f"Title {BAD}", f"Trees/../{BAD}", f"One {BAD}", block, COLUMN, "<img src=z onerror=alert(3)>"):
        assert name in words, name
    safe = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert not any(sign in path for path in safe for sign in "<>\"'&;$ ")
    # A measured column is no class for the sign in its name.
    calculator = pd.read_json(run.folder / "survival/os/nomogram.json", typ="series")
    ticks = [axis for axis in calculator["Clinical"]["axes"] if axis["predictor"] == COLUMN]
    assert len(ticks) > 2
    assert not {"no", "yes"} & {tick["label"] for tick in ticks}
