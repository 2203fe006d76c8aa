"""Is the page of the reports whole, self-contained and readable: as text, and in a real browser at two widths?"""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cnnspec.names import MODELS
from cnnspec.reports import charts, page
from cnnspec.reports.words import losses, row
from tests.meta.reports.made_reports import LAYERS, made

VOID = {"meta", "link", "input", "br", "circle", "polygon", "polyline", "path", "line", "rect"}
STYLE = Path(page.__file__).with_name("page.css").read_text(encoding="utf-8")
SLOWER = {"stack": made().stack | {"cpu": "Other CPU"}}


class Page(HTMLParser):
    """A parsed page: `tags` has (name, attributes) of each element, `text` all words, `open` the unclosed elements."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def every(self, tag):
        """Attributes of every element of a name."""
        return [attributes for name, attributes in self.tags if name == tag]


def many():
    """Reports of 20 stacks, more than there are colours, of which one failed; names of any length."""
    reports = [made(f"tf2{n}", f"tensorflow 2.{n}.1", share=0.05 * n) for n in range(19)]
    failed = [{"test": LAYERS, "reason": "layer 1 (Conv2D): relative error 0.4, limit 1e-05 " + "x" * 200}]
    reports[3] = made("tf23-with-a-long-name", verdict="fail", share=None, failed=failed)
    for number, report in enumerate(reports):
        report.options["epochs"] = 2
        report.trainings["model1"]["history"]["val_loss"] = [0.4 + 0.01 * number, 0.2 + 0.005 * number]
    return [*reports, made("gpu", **SLOWER, seconds=0.5)]


def test_the_page_is_well_formed_and_needs_nothing():
    """Every element is closed, nothing is fetched, no script runs, and each chart has a text for screen readers."""
    html = page.page(many(), ["tf213", "missing"])
    parsed = Page(html)
    assert parsed.open == []
    assert html.startswith("<!doctype html>")
    assert parsed.every("html") == [{"lang": "en"}]
    assert parsed.every("meta")[1]["content"] == "width=device-width, initial-scale=1"
    assert not parsed.every("script") + parsed.every("img")
    assert [link["href"] for link in parsed.every("link")] == ["data:,"]
    assert not re.findall(r"https?:|url\(|@import|src=", html)
    drawn = [svg for svg in parsed.every("svg") if "aria-hidden" not in svg]
    assert drawn
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in drawn)
    assert all(cell["scope"] in ("col", "row") for cell in parsed.every("th"))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len([name for name in ids if name.startswith("show-")]) == 20


def test_the_page_tells_what_the_table_tells():
    """Verdicts, failures, reasons and environments without a report."""
    parsed = Page(page.page(many(), ["missing"]))
    words = (
        "21 environments: 19 passed, 1 failed, 1 did not run (missing).",
        "✗ fail",
        "✓ pass",
        "✗ no report: did not run",
    )
    assert [word for word in words if word not in parsed.text] == []
    assert "test_numerics.py::test_layer_outputs[model1]: layer 1 (Conv2D): relative error 0.4" in parsed.text
    assert "✗ >9999%" in parsed.text
    assert "▲ 90%" in parsed.text


def test_equal_machines_are_on_the_page():
    """Of three equal machines the odd one out is named, with what differs; machines that agree are said to."""
    digests = {"model4, two epochs with seed 0": "a1" * 32}
    three = [made(name, digests=dict(digests)) for name in ("node1", "node2", "node3")]
    text = Page(page.page(three)).text
    assert "Equal machines with equal stacks" in text
    assert "3 reports, 1 digest compared: all agree" in text
    three[1].digests = {"model4, two epochs with seed 0": "b2" * 32}
    html = page.page(three)
    assert Page(html).open == []
    assert "node2 is the odd one out of 3: 1 difference" in Page(html).text
    assert "Equal machines" not in page.page([made("node1", digests=digests)])


def test_what_was_drawn_again_is_on_the_page():
    """The training whose first value lay outside, under a title of its own, with the seeds."""
    remark = "model4, test errors: seed 4013 lies outside, seed 4014 inside"
    entry = {"test": "tests/test_training.py::test_within_the_ensemble[test errors-model4]", "reason": remark}
    text = Page(page.page([made(drawn_again=[entry])])).text
    assert "Trained again, the first draw outside its band" in text
    assert remark in text


def test_long_lists_are_folded():
    """Eight reasons are open. The others are folded, and their number is shown."""
    entries = [{"test": f"tests/test_data.py::test_{n}", "reason": f"reason {n}"} for n in range(11)]
    html = page.page([made(verdict="fail", failed=entries)])
    shown, folded = re.search(r"<h2>Failed</h2><ul>(.*?)</ul><details>(.*?)</details>", html).groups()
    assert [f"reason {n}" for n in range(8)] == re.findall(r"reason \d+", shown)
    assert "<summary>3 more</summary>" in folded
    assert [f"reason {n}" for n in range(8, 11)] == re.findall(r"reason \d+", folded)
    html = page.page([made(verdict="fail", failed=entries[:8])])
    assert re.search(r"<h2>Failed</h2><ul>(?:(?!</ul>).)*</ul></section>", html)


def test_reports_cannot_inject_anything():
    """Names and messages are text, whatever they contain."""
    evil = '<script>alert("x")</script>&`'
    entries = [{"test": f"tests/{evil}", "reason": evil}]
    report = made(evil, evil, failed=entries, margins={f"tests/test_numerics.py::{evil}": {evil: 0.5}}, date=evil)
    parsed = Page(page.page([report], [evil + "2"]))
    assert parsed.open == []
    assert not parsed.every("script")
    assert evil in parsed.text


def test_different_hardware_has_charts_of_its_own():
    """Seconds of two machines never share an axis; seconds of one machine do."""
    html = page.page([made("a"), made("b", seconds=4.0), made("c", **SLOWER, seconds=50.0)])
    parts = re.findall(r"<h2>Seconds per epoch: (.*?)</h2>.*?(?=<section|</main>)", html, re.DOTALL)
    assert parts == ["Some CPU, 2 cores, mnist5k", "Other CPU, 2 cores, mnist5k"]
    labels = re.findall(r'aria-label="(model1, seconds per epoch: .*?)"', html)
    assert labels == ["model1, seconds per epoch: a 2.00; b 4.00", "model1, seconds per epoch: c 50.00"]


def test_different_epochs_have_curves_of_their_own():
    """Curves of two and of ten epochs are not drawn into one band. The text of a chart gives the last loss and the band."""
    ten = made("b", options=made().options | {"epochs": 10})
    html = page.page([made("a"), ten])
    assert re.findall(r"<h2>Loss curves: (.*?)</h2>", html) == ["mnist5k, 2 epochs", "mnist5k, 10 epochs"]
    label = "model1, test loss by epoch, in the band of the reference ensemble (0.1 to 0.4); last epoch: a 0.2100"
    assert f'aria-label="{label}"' in html


def test_curves_lie_where_their_losses_are():
    """In the loss chart a loss at the end of the band is drawn on its edge. Larger losses are higher."""
    band = {"low": [0.1, 0.1], "mean": [0.2, 0.2], "high": [0.4, 0.4]}
    chart = charts.loss_chart("model1", [(0, "low", [0.1, 0.1]), (8, "high", [0.4, 0.8])], band)
    lines = re.findall(r'<polyline points="([^"]*)" fill', chart)
    low, high = [[tuple(map(float, point.split(","))) for point in line.split()] for line in lines]
    area = re.search(r'class="band" points="([^"]*)"', chart).group(1).split()
    corners = [tuple(map(float, point.split(","))) for point in area]
    assert corners == [high[0], (high[1][0], high[0][1]), low[1], low[0]]
    assert high[1][1] < high[0][1] < low[0][1]
    # From 0.4 to 0.8 is half of the way from 0.1 to 0.4 on a logarithmic scale.
    assert high[0][1] - high[1][1] == pytest.approx((low[0][1] - high[0][1]) / 2, abs=0.1)
    assert 'stroke-dasharray="6 3"' in chart


def test_one_epoch_and_no_band_are_drawn_too():
    """A run of one epoch is a point. Without an ensemble there is no band."""
    for band in (None, {"low": [0.1], "mean": [0.2], "high": [0.4]}):
        chart = charts.loss_chart("model1", [(0, "a", [0.2])], band)
        assert chart.count("<circle") == 1
        assert ('class="band"' in chart) == bool(band)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_band_of_other_epochs_is_drawn_too(epochs):
    """Of two reports with the same settings, one has fewer epochs or more: each curve, and the band, has its own."""
    chart = charts.loss_chart("a", [(0, "a", [0.2] * epochs)], {"low": [0.1] * 2, "mean": [0.2] * 2, "high": [0.4] * 2})
    assert len(re.search(r'class="mean" points="([^"]*)"', chart).group(1).split()) == 2
    assert chart.count("<circle") == epochs


def test_a_band_without_end_is_cut():
    """The band of an ensemble of two runs does not press the curves into one line."""
    band = {"low": [1e-130] * 2, "mean": [0.2] * 2, "high": [1e130] * 2}
    chart = charts.loss_chart("a", [(0, "a", [0.2, 0.1])], band)
    labels = [float(label) for label in re.findall(r'text-anchor="end">([^<]*)<', chart)]
    assert min(labels) >= 1e-3
    assert max(labels) <= 20


def test_a_share_above_100_percent_is_drawn_right_of_the_line():
    """Also where it is infinite: then it stands at the end of the strip."""
    chart = charts.strip([(0, "a", 0.5), (0, "b", 1.05), (0, "c", float("inf"))])
    limit = float(re.search(r'class="limit" x1="([\d.]+)"', chart).group(1))
    a, b, c = map(float, re.findall(r'cx="([\d.]+)"', chart))
    assert a < limit < b < c < charts.WIDTH


def luminance(colour):
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme):
    """In both schemes text has a contrast of 4.5 to its background, lines and markers of 3 (WCAG 1.4.3, 1.4.11)."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w{6})", blocks[["light", "dark"].index(scheme)]))
    texts = [(ink, ground) for ink in ("ink", "quiet", "good", "bad") for ground in ("paper", "raised")] + [("ink", "bar")]
    texts += [(ink, ground) for ink in ("ink", "bad") for ground in ("tint", "doubt")]
    marks = [(f"c{n}", ground) for n in range(charts.COLOURS) for ground in ("paper", "band")]
    weak = [pair for pair in texts if contrast(*(colours[name] for name in pair)) < 4.5]
    weak += [pair for pair in [*marks, ("bracket", "band")] if contrast(*(colours[name] for name in pair)) < 3]
    assert weak == []


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Address of a page of many stacks, opened from a file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page.page(many(), ["missing"]), encoding="utf-8")
    return path.as_uri()


WIDER = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right >
    document.documentElement.clientWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(chromium, url, width, scheme):
    """No horizontal overflow even with everything unfolded, no error, no request but the file, the scheme's own paper."""
    chromium.open(url, width, 900, scheme)
    chromium.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert chromium.evaluate("innerWidth") == width
    assert chromium.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert chromium.evaluate(WIDER) == []
    assert chromium.evaluate("[...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth)")
    paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 29)"}[scheme]
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    least = chromium.evaluate("Math.min(...[...document.querySelectorAll('main svg:not(.sample)')].map(e => e.clientWidth))")
    assert least >= 260
    kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in chromium.events if event["method"] in kinds] == []
    requests = [
        event["params"]["request"]["url"] for event in chromium.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert [request for request in requests if request != "data:,"] == [url]
    assert chromium.picture().startswith(b"\x89PNG")


def test_the_checks_in_the_browser_detect_a_bad_page(chromium, tmp_path):
    """A page that is too wide, has an error and requests a file is detected."""
    path = tmp_path / "bad.html"
    body = '<img src="http://localhost:9/x.png"><p style="width: 2000px">x</p><script>nothing.at.all</script>'
    path.write_text(f'<!doctype html><meta name="viewport" content="width=device-width">{body}', encoding="utf-8")
    chromium.open(path.as_uri(), 390, 900, "light")
    assert chromium.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert len(chromium.evaluate(WIDER)) >= 1
    methods = [event["method"] for event in chromium.events]
    assert "Runtime.exceptionThrown" in methods
    assert "http://localhost:9/x.png" in [
        event["params"]["request"]["url"] for event in chromium.events if event["method"] == "Network.requestWillBeSent"
    ]


def test_a_stack_can_be_hidden(chromium, url):
    """Its checkbox hides its lines and markers in every chart, and shows them again."""
    chromium.open(url, 1280, 900, "light")
    shown = "[...document.querySelectorAll('svg .s-5')].filter(e => getComputedStyle(e).display != 'none').length"
    before = chromium.evaluate(shown)
    assert before > 2 * len(MODELS)
    chromium.evaluate("document.getElementById('show-5').click()")
    assert chromium.evaluate(shown) == 0
    assert chromium.evaluate(shown.replace("s-5", "s-6")) == before
    chromium.evaluate("document.getElementById('show-5').click()")
    assert chromium.evaluate(shown) == before


def test_every_text_of_the_table_is_on_the_page():
    """Every cell of the Markdown table is on the page."""
    reports = many()
    text = Page(page.page(reports)).text
    for report in reports:
        assert [cell for cell in (*row(report), *losses(report)) if cell not in text] == []
