"""The page of an evaluation in a real browser: no fault, no request, usable by keyboard, on a phone, by all readers.

Needs Chromium (Debian's package `chromium`) and, for the check of accessibility, the file of axe-core that the package
`axe-playwright-python` holds. Without them the tests are skipped. The browser runs a copy of the page to which a probe
is added that plays the user and writes down what it finds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rsseg.classes import ClassInfo, ClassTable
from rsseg.evaluation.page import write_report
from tests.evaluation.pages import ALL_MEASURES, NASTY, Report, make_report, read_page
from tests.evaluation.test_page_pictures import decoded

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_S = 180

_LISTEN = """
<script>
  const found = { faults: [] };
  const fault = (event) => found.faults.push(String(event.message ?? event.violatedDirective ?? event.target));
  addEventListener("error", fault, true);
  addEventListener("securitypolicyviolation", fault);
</script>
"""
_TELL = """
<script>
  addEventListener("load", async () => {
    await (async () => { %s })();
    found.requests = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 40));
    const told = document.createElement("pre");
    told.id = "probe";
    told.textContent = JSON.stringify(found);
    document.body.append(told);
  });
</script>
"""
_USE = """
    const range = document.querySelector("input[type=range]");
    const overlay = document.querySelector("figure.errors img");
    const select = document.querySelector("figure.errors select");
    range.focus();
    found.focused = document.activeElement === range;
    const look = () => [getComputedStyle(overlay).clipPath, document.querySelector("output").textContent];
    found.before = look();
    range.stepDown(40);
    range.dispatchEvent(new Event("input", { bubbles: true }));
    found.after = look();
    const errors = overlay.src;
    select.value = "labels";
    select.dispatchEvent(new Event("change"));
    found.labels = [overlay.src === document.querySelector(".small .labels img").src, overlay.alt];
    select.value = "errors";
    select.dispatchEvent(new Event("change"));
    found.errors = overlay.src === errors;
    const table = document.querySelector("table.sortable");
    const column = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent);
    const sort = () => { table.tHead.querySelectorAll("button")[2].click(); return column(); };
    found.sorted = [sort(), sort(), table.tHead.rows[0].cells[2].getAttribute("aria-sort")];
"""
_CHOOSE = """
    const focus = document.getElementById("focus");
    const pictures = [...document.querySelectorAll(".errors img, .wrong img")];
    const channel = new MessageChannel();  // timers would use up the time of the page, which is not that of a clock
    const turn = () => new Promise((done) => { channel.port1.onmessage = done; channel.port2.postMessage(0); });
    const changed = async (value) => {
      const before = pictures.at(-1).src;
      focus.value = value;
      focus.dispatchEvent(new Event("change"));
      while (pictures.at(-1).src === before) await turn();
    };
    const legend = () => [...document.querySelectorAll(".outcomes li")].filter((item) => !item.hidden)
      .map((item) => item.firstChild.nextSibling.data.trim());
    found.shown = !focus.closest(".controls").hidden;
    found.begun = [focus.value, legend(), document.querySelector(".focus") === null];
    found.own = pictures.map((picture) => picture.alt);
    await changed("%s");
    found.pictures = pictures.map((picture) => [picture.src, picture.alt]);
    found.legend = legend();
    await changed("");
    found.back = [pictures.map((picture) => picture.src), pictures.map((picture) => picture.alt), legend()];
"""
_MEASURE = """
    const root = document.documentElement;
    found.widths = [root.clientWidth, root.scrollWidth];
    found.outside = [...document.querySelectorAll("h1, h2, h3, p, li, figure, select, .cards div, .scroll, .controls")]
      .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 0.5)
      .map((element) => element.outerHTML.slice(0, 80));
"""
_AXE = """
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    const told = await axe.run(document, { resultTypes: ["violations"] });
    found.violations = told.violations.map((rule) => [rule.id, rule.nodes.map((node) => node.html.slice(0, 120))]);
    found.passes = told.passes.length;
"""


class _Probe(HTMLParser):
    """The text of what the probe wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = dict(attrs).get("id") == "probe"

    def handle_data(self, data: str) -> None:
        self.text += data if self._inside else ""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here; Debian's package is called chromium")
    return found


@pytest.fixture(scope="module")
def axe() -> str:
    spec = find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("no axe-core here: pip install --no-deps axe-playwright-python")
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_report(tmp_path_factory.mktemp("page"), pairs=2, measures=ALL_MEASURES, confidence=True)


def ask(
    browser: str, page: Path, *, steps: str, library: str = "", width: int = 1280, dark: bool = False
) -> Any:
    """Open a copy of a page with a probe and give back what it found."""
    source = page.read_text(encoding="utf-8").replace("<head>", "<head>" + _LISTEN, 1)
    end = f"<script>{library}</script>{_TELL % steps}</body>"
    copy = page.with_name(f"probed_{width}.html")
    copy.write_text(source.replace("</body>", end, 1), encoding="utf-8")
    dom = _run(
        browser, page.parent / f"browser{width}", copy, f"--window-size={width},900", "--dump-dom", dark=dark
    )
    probe = _Probe()
    probe.feed(dom)
    assert probe.text, "the probe did not come to its end"
    return json.loads(probe.text)


def _run(browser: str, profile: Path, page: Path, *how: str, dark: bool = False) -> str:
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]
    command += [f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--virtual-time-budget=60000", "--hide-scrollbars", "--allow-file-access-from-files"]
    if dark:
        command.append("--blink-settings=preferredColorScheme=0")
    done = subprocess.run(
        [*command, *how, page.as_uri()], capture_output=True, text=True, timeout=_PATIENCE_S, check=True
    )
    return done.stdout


def test_it_works_by_keyboard_without_a_fault_or_a_request(browser: str, report: Report) -> None:
    found = ask(browser, report.path, steps=_USE)

    assert found["faults"] == []
    assert all(name.startswith("data:") for name in found["requests"])
    assert found["focused"]
    assert found["before"][1] == "100 %"
    assert found["after"] == ["inset(0px 40% 0px 0px)", "60 %"]
    assert found["labels"] == [True, "Labels of map0 & <b>.tif"]
    assert found["errors"]
    falling, rising, told = found["sorted"]
    assert (falling, rising, told) == (sorted(rising, reverse=True), sorted(rising), "ascending")
    assert len(set(rising)) > 1


def test_errors_of_a_class_are_told_apart_where_it_is_chosen(browser: str, report: Report) -> None:
    """They are those that the page has when it is written with this class: pixels, texts and legend."""
    chosen = report.path.with_name("chosen.html")
    images = [report.path.parent / f"image{number}.tif" for number in range(2)]
    write_report(chosen, report.evaluation, images=images, focus="1")

    found = ask(browser, report.path, steps=_CHOOSE % 1, width=1200)
    expected = ask(browser, chosen, steps=_CHOOSE % 0, width=1210)

    assert found["faults"] == []
    assert found["shown"]
    assert found["begun"][0] == ""
    assert expected["begun"] == ["1", found["legend"], True]
    assert [found["legend"].count(name) for name in ("wrong", "missed", "other errors")] == [0, 2, 2]
    assert [alt for _, alt in found["pictures"]] == expected["own"]
    assert found["back"][1:] == [found["own"], found["begun"][1]]
    written = [(p["src"], p["alt"]) for p in read_page(chosen).named("img") if "errors" in p["alt"].lower()]
    assert len(found["pictures"]) == len(written) > 2
    for (drawn, alt), (source, text) in zip(found["pictures"], written, strict=True):
        assert alt == text
        a, b = (decoded(uri).astype(int) for uri in (drawn, source))
        assert a.shape == b.shape
        np.testing.assert_array_equal(a[..., 3], b[..., 3])
        assert abs(a - b)[b[..., 3] > 0].max() <= 2  # a canvas multiplies colours by their opacity


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_to_complain_of(browser: str, axe: str, report: Report, dark: bool) -> None:
    found = ask(browser, report.path, steps=_AXE, library=axe, dark=dark, width=1000 + dark)

    assert found["faults"] == []
    assert found["violations"] == []
    assert found["passes"] > 30


def test_axe_would_complain_of_a_picture_without_a_text(browser: str, axe: str, report: Report) -> None:
    """So the silence above means something."""
    worse = report.path.with_name("worse.html")
    worse.write_text(report.path.read_text(encoding="utf-8").replace("alt=", "data-alt="), encoding="utf-8")

    found = ask(browser, worse, steps=_AXE, library=axe, width=1100)

    assert "image-alt" in [name for name, _ in found["violations"]]


@pytest.mark.parametrize("named", ["short", "screen;silver screen;projection screen;the screen of a cinema"])
def test_nothing_sticks_out_on_a_phone(browser: str, report: Report, tmp_path: Path, named: str) -> None:
    """A browser window cannot be that narrow, but a frame in it can."""
    if named != "short":
        classes = ClassTable((*NASTY.classes[:2], ClassInfo(2, named, "#0000FF")))
        report = make_report(tmp_path, classes=classes)
    source = report.path.read_text(encoding="utf-8").replace("<head>", "<head>" + _LISTEN, 1)
    (tmp_path / "inner.html").write_text(
        source.replace("</body>", f"{_TELL % _MEASURE}</body>"), encoding="utf-8"
    )
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<!DOCTYPE html><iframe src='inner.html' style='width: 360px; height: 800px; border: 0'></iframe>"
        "<script>addEventListener('load', () => setTimeout(() => document.body.append("
        "document.importNode(document.querySelector('iframe').contentDocument.getElementById('probe'), true)), 2000))"
        "</script>",
        encoding="utf-8",
    )

    probe = _Probe()
    probe.feed(_run(browser, tmp_path / "browser", outer, "--dump-dom"))
    found = json.loads(probe.text)

    assert found["widths"] == [360, 360]
    assert found["outside"] == []
    assert found["faults"] == []


def test_what_is_seen_is_the_map_of_errors(browser: str, report: Report, tmp_path: Path) -> None:
    """A page without an image shows the colours of the errors as they are: orange is nowhere else on it."""
    evaluation = replace(report.evaluation, pairs=report.evaluation.pairs[:1])
    write_report(tmp_path / "plain.html", evaluation)

    shot = tmp_path / "shot.png"
    _run(
        browser,
        tmp_path / "browser",
        tmp_path / "plain.html",
        "--window-size=1280,6000",
        f"--screenshot={shot}",
    )

    with Image.open(shot) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (6000, 1280, 3)
    orange = (abs(pixels - (213, 94, 0)).max(axis=2) < 30).mean()
    assert 0.005 < orange < 0.5
    assert (pixels == 255).all(axis=2).mean() > 0.2
