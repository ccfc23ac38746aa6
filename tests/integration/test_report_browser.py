"""The report in headless Chromium, from disk, without a network: it is clicked, measured, calculated and printed."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from imrad.report import Report

SERVICES = Path(__file__).parents[1] / "services"
_spec = importlib.util.spec_from_file_location("services_report_run", SERVICES / "report_run.py")
drawn = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(drawn)

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
    # Whatever is asked of a network goes to a port where nobody listens.
    "--proxy-server=127.0.0.1:9",
)


class Browser:
    """As much of the WebDriver protocol as these tests need."""

    def __init__(self, profile: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        self.http.trust_env = False
        self.process = subprocess.Popen(
            [shutil.which("chromedriver"), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                self.http.get(f"{self.base}/status", timeout=5)
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        downloads = {"download.default_directory": str(profile / "downloads"), "download.prompt_for_download": False}
        options = {
            "binary": shutil.which("chromium"),
            "args": [*FLAGS, f"--user-data-dir={profile}"],
            "prefs": downloads,
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, whole=True)["sessionId"]

    def call(self, method, path, body=None, *, whole=False):
        prefix = "" if whole else f"/session/{self.session}"
        data = None if body is None else json.dumps(body)
        answer = self.http.request(method, self.base + prefix + path, data=data, timeout=120).json()["value"]
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def open(self, path):
        self.call("POST", "/url", {"url": Path(path).resolve().as_uri()})

    def js(self, script, *values):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(values)})

    def resize(self, width, height=900):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})

    def log(self, kind):
        return self.call("POST", "/se/log", {"type": kind})

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(20)
            self.http.close()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Return a browser that shows a drawn report, and the report's folder."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    folder = tmp_path_factory.mktemp("report")
    run = drawn.drawn_run(folder, endpoints=("os", "pfi"), claimed=("cell:T_1",))
    Report(run).save(folder / "report.html")
    # The page travels alone.
    alone = tmp_path_factory.mktemp("alone")
    shutil.copy(folder / "report.html", alone / "report.html")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    try:
        browser.open(alone / "report.html")
        yield browser, folder
    finally:
        browser.close()


def test_no_error_and_no_request(shown):
    browser, _ = shown
    # Other tests of this module click; the log holds all that happened so far.
    assert [entry for entry in browser.log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert browser.js("return performance.getEntriesByType('resource').map(entry => entry.name)") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = [item["params"]["request"]["url"] for item in sent if item["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "chrome:"))] == []


def test_navigation_goes_where_it_says(shown):
    browser, _ = shown
    browser.resize(1280)
    browser.js("document.documentElement.style.scrollBehavior = 'auto'")
    for key in browser.js("return [...document.querySelectorAll('nav ol a')].map(link => link.hash.slice(1))"):
        script = "document.querySelector(`nav a[href='#${arguments[0]}']`).click();"
        browser.js(script, key)
        top = browser.js("return document.getElementById(arguments[0]).getBoundingClientRect().top", key)
        room = browser.js("return document.documentElement.scrollHeight - scrollY - innerHeight")
        assert -1 <= top <= 40 or room < 2, key


def test_language_is_switched_in_the_page(shown):
    browser, _ = shown
    heading = "return document.querySelector('#h-verdict').innerText"
    assert browser.js(heading).endswith("Verdict")
    browser.js("document.querySelector('#language').click()")
    assert browser.js(heading).endswith("结论")
    assert browser.js("return document.documentElement.lang") == "zh"
    words = "return document.querySelector('#f-km_os svg').textContent, document.querySelector('#f-km_os').innerText"
    assert "月" in browser.js(words)
    assert "months" not in browser.js(words)
    browser.js("document.querySelector('#language').click()")
    assert browser.js(heading).endswith("Verdict")


@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_visible(shown, width):
    browser, folder = shown
    browser.resize(width)
    boxes = browser.js(
        "return [...document.querySelectorAll('figure.drawn svg')].map(svg => {"
        "const box = svg.getBoundingClientRect();"
        "return [svg.closest('figure').id, box.left, box.right, box.width, box.height]})"
    )
    assert len(boxes) == len(list((folder / "report_data").glob("*.svg")))
    for name, left, right, wide, high in boxes:
        assert left >= 0, name
        assert right <= width, name
        assert wide > 200, name
        assert high > 50, name
    assert browser.js("return document.documentElement.scrollWidth") <= width


def test_calculator_equals_the_python_model(shown):
    browser, _ = shown
    browser.resize(1280)
    names = ["age_years", "sex=female", *[f"original_glcm_F{k}" for k in range(4)]]
    model, _ = drawn.nomogram(names)
    for values in (
        [61.0, 1.0, 0.3, -1.2, 0.0, 2.25],
        [44.5, 0.0, -2.0, 1.75, 0.1, -0.6],
        [95.0, 1.0, 4.0, 4.0, 4.0, 4.0],
    ):
        browser.js(
            "const form = document.querySelector('#c-calculator_os');"
            "arguments[0].forEach(([name, value]) => {"
            "const field = form.querySelector(`[data-predictor='${name}']`);"
            "field.value = String(value); field.dispatchEvent(new Event('input', {bubbles: true}))})",
            [list(pair) for pair in zip(names, values, strict=True)],
        )
        script = (
            "return Object.fromEntries([...document.querySelectorAll('#c-calculator_os dd')]"
            ".map(dd => [dd.dataset.result, dd.dataset.value]))"
        )
        found = {key: float(value) for key, value in browser.js(script).items()}
        order = [names.index(name) for name in model.names]
        expected = model.predict([[values[k] for k in order]]).iloc[0]
        assert found["points"] == pytest.approx(expected["points"], abs=1e-6)
        assert found["linear predictor"] == pytest.approx(expected["linear_predictor"], abs=1e-6)
        for outcome in ("1-year survival", "3-year survival"):
            assert found[outcome] == pytest.approx(expected[outcome], abs=1e-6)


def test_calculator_says_nothing_without_a_value(shown):
    browser, _ = shown
    browser.js(
        "const field = document.querySelector('#c-calculator_pfi input');"
        "field.value = ''; field.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert browser.js("return document.querySelector('#c-calculator_pfi output').innerText").strip() == "–"


def test_downloads_come_from_the_page_itself(shown):
    browser, folder = shown
    script = """
        const kept = [];
        const old = URL.createObjectURL;
        URL.createObjectURL = (blob) => { kept.push(blob); return old(blob); };
        HTMLAnchorElement.prototype.click = new Proxy(HTMLAnchorElement.prototype.click, {
            apply: (real, link, rest) => link.href.startsWith('blob:') ? undefined : Reflect.apply(real, link, rest)});
        for (const kind of ['csv', 'svg']) document.querySelector(`[data-${kind}='km_os']`).dispatchEvent(
            new MouseEvent('click', {bubbles: true, cancelable: true}));
        URL.createObjectURL = old;
        return Promise.all(kept.map(blob => blob.text()));
    """
    table, drawing = browser.js(script)
    assert table.lstrip("\ufeff") == (folder / "report_data/km_os.csv").read_text()
    assert drawing.startswith("<svg")
    assert "DejaVu" in drawing
    assert ">months</tspan>" in drawing
    assert "月" not in drawing


def test_page_can_be_used_without_a_mouse(shown):
    browser, _ = shown
    levels = browser.js("return [...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    script = "return [...document.querySelectorAll('[role=img]')].filter(e => !e.getAttribute('aria-label')).length"
    assert browser.js(script) == 0
    unlabelled = "return [...document.querySelectorAll('input,select')].filter(e => !e.closest('label')).length"
    assert browser.js(unlabelled) == 0
    cells = "return [...document.querySelectorAll('thead th')].filter(e => e.scope !== 'col').length"
    assert browser.js(cells) == 0


def test_print_has_every_figure_whole(shown):
    """In print no figure is taller or wider than a page, and none may be broken."""
    browser, _ = shown
    browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"media": "print"}})
    browser.resize(688, 1000)
    script = (
        "return [...document.querySelectorAll('figure.drawn')].map(figure => {"
        "const box = figure.querySelector('svg').getBoundingClientRect();"
        "return [figure.id, box.right, box.height, getComputedStyle(figure).breakInside]})"
    )
    boxes = browser.js(script)
    tables = browser.js(
        "return [...document.querySelectorAll('table')].filter(table => table.offsetParent).map(table => ["
        "table.closest('figure').id, table.getBoundingClientRect().right, table.rows[1].offsetHeight])"
    )
    browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"media": ""}})
    for name, right, high in tables:
        assert right <= 700, name
        assert high <= 90, name
    for name, right, high, inside in boxes:
        assert right <= 688, name
        assert high <= 24 / 2.54 * 96, name
        assert inside == "avoid", name
    printed = base64.b64decode(browser.call("POST", "/print", {"page": {"width": 21, "height": 29.7}}))
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 10
