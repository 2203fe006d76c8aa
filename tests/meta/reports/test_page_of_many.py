"""Is the page of 17 and more stacks readable: what failed first, every column in reach, one curve above the range?"""

import datetime
import re

import pytest

import cnnspec
from cnnspec.reports import charts, page
from cnnspec.reports.html import table
from tests.meta.reports.made_reports import LAYERS, made
from tests.meta.reports.test_page import Page, many


def rows(html, label="Stacks"):
    """[(class, name, the row's HTML)] of the table with this label."""
    body = re.search(rf'aria-label="{label}"><table>.*?<tbody>(.*?)</tbody>', html, re.DOTALL).group(1)
    found = re.findall(r'<tr(?: class="(\w+)")?>(<th scope="row">(.*?)</th>.*?)</tr>', body, re.DOTALL)
    return [(kind, name, row) for kind, row, name in found]


def test_failing_stacks_are_first_and_tinted():
    """Failed, without a report, cannot tell, no verdict, passed: the order of both tables; passed ones have no tint."""
    failed, few = ([{"test": LAYERS, "reason": reason}] for reason in ("far", "cannot tell: few runs"))
    reports = [made("b"), made("c", verdict="no verdict"), made("d", verdict="cannot tell", failed=few)]
    reports.append(made("e", verdict="fail", failed=failed))
    outside = {"passed": 0, "failed": 1, "skipped": 0, "xfailed": 0}
    reports.append(made("f", others=outside, tiers=made().tiers, failed=failed))
    html = page.page(reports, ["z"])
    order = [("tint", "e"), ("tint", "f"), ("tint", "z"), ("doubt", "d"), ("doubt", "c"), ("", "b")]
    assert [(kind, name) for kind, name, _ in rows(html)] == order
    assert [name for _, name, _ in rows(html, "Margins")] == ["e", "f", "d", "c", "b"]


def test_verdicts_lead_to_reasons():
    """Every failing stack's verdict is a link to its own reason, which is never folded, however many there are."""
    entries = [[{"test": LAYERS, "reason": f"reason {n}"}] for n in range(12)]
    reports = [made(f"a{n}", verdict="fail", failed=failed) for n, failed in enumerate(entries)]
    reports.append(made("cut", verdict="no verdict", not_run=[{"test": LAYERS, "reason": "interrupted"}]))
    reports.append(made("good", not_run=[{"test": LAYERS, "reason": f"skipped {n}"} for n in range(9)] + entries[0]))
    html = page.page(reports)
    shown = re.sub(r"<details>.*?</details>", "", html, flags=re.DOTALL)
    reasons = {f"a{n}": f"reason {n}" for n in range(12)} | {"cut": "interrupted"}
    for _, name, row in rows(html):
        places = re.findall(r'<a href="#([\w-]+)">', row)
        assert len(places) == (name in reasons)
        for place in places:
            line = re.search(rf'<li><strong>[^/]*<span id="{place}">{name}</span>.*?</li>', shown).group(0)
            assert reasons[name] in line
    assert "skipped 8" in html
    assert "skipped 8" not in shown


SHARES = {  # share of a tolerance -> (class, length of its bar, words)
    0.25: ("bar", "0.250", "25%"),
    0.79: ("bar", "0.790", "79%"),
    0.8: ("bar", "0.800", "▲ 80%"),
    1.0: ("bar", "1.000", "▲ 100%"),
    1.002: ("bar over", "1.000", "✗ >100%"),
    3.5: ("bar over", "1.000", "✗ 350%"),
}


@pytest.mark.parametrize("share", SHARES)
def test_a_share_near_its_tolerance_is_marked(share):
    """From 80 % by a triangle, above 100 % by a cross and in red; the bar ends at 100 %."""
    kind, length, words = SHARES[share]
    found = page.cell((share, "tests/test_numerics.py::test_a[model1]", "layer 1"))
    title = "test_numerics::test_a[model1]: layer 1"
    assert found == f'<span class="{kind}" style="--share:{length}" title="{title}">{words}</span>'
    assert page.cell(None) == "–"
    assert 'title="test_a: a &quot;b&quot;"' in page.cell((0.5, "test_a", 'a "b"'))
    assert page.short("tests/meta/reports/test_page.py::test_a") == "test_page::test_a"


def test_a_table_in_html():
    """A name before the cells of each row; a label may hold quotation marks."""
    found = table('a "b"', ("name", "<c>"), [["one", "1"], ["two", "2"]], tints=("", "tint"))
    assert found == (
        '<div class="scroll numbers" tabindex="0" role="region" aria-label="a &quot;b&quot;"><table>'
        '<thead><tr><th scope="col">name</th><th scope="col">&lt;c&gt;</th></tr></thead><tbody>'
        '<tr><th scope="row">one</th><td>1</td></tr><tr class="tint"><th scope="row">two</th><td>2</td></tr>'
        "</tbody></table></div>"
    )


def test_a_row_of_the_stacks():
    """The verdict with its mark, and what comes last: losses, seconds, day, versions, hardware."""
    bad, good = (row for _, _, row in rows(page.page([made("a"), made("b", verdict="no verdict")])))
    assert '<span class="verdict good">✓ pass</span>' in good
    assert '<span class="verdict bad">– no verdict</span>' in bad
    last = ["0.2109"] * 4 + ["102", "2026-01-02", "0.1.0", "2.4.6", "Some CPU, 2 cores"]
    assert re.findall("<td>([^<]*)</td>", good)[-len(last) :] == last
    ((_, _, absent),) = rows(page.page([], ["z"]))
    assert [row.count("<td>") for row in (good, bad, absent)] == [18] * 3


def checks(**shares):
    """Named reports a, b, … with these shares of checks of numerics: {check: share of each report}."""
    labels = "abcdefgh"[: len(next(iter(shares.values())))]
    margins = [{LAYERS: {what: share[place] for what, share in shares.items()}} for place in range(len(labels))]
    return [(n, label, made(label, margins=margins[n])) for n, label in enumerate(labels)]


def strips(html):
    """[(check, its smallest and largest share)] of a list of strips."""
    return re.findall(r"<strong>(.*?)</strong></span>.*?<span>([^<]*)</span></li>", html)


def test_the_checks_that_differ_most_are_first():
    """By the distance from the smallest share to the largest, whatever both are; of as many as are asked for."""
    named = checks(high=(0.9, 0.95, 0.91), far=(0.5, 0.1, 0.3), wrong=(0.2, None, 0.2))
    expected = [("wrong", "20% (a) to >9999% (b)"), ("far", "10% (b) to 50% (a)"), ("high", "90% (a) to 95% (b)")]
    assert strips(page.moved(named)) == expected
    assert strips(page.moved(named, most=2)) == expected[:2]
    many_of = checks(**{f"check{n:02d}": (0.1, 0.2 + n / 100) for n in range(20)})
    assert [what for what, _ in strips(page.moved(many_of))] == [f"check{n:02d}" for n in range(19, 4, -1)]


def test_the_tightest_checks_are_first():
    """By the largest share on any stack; ten of a tier, and how many it has."""
    named = checks(low=(0.1,), high=(0.9,), middle=(0.5,))
    assert strips(page.nearest(named)) == [("high", "90% (a)"), ("middle", "50% (a)"), ("low", "10% (a)")]
    many_of = page.nearest(checks(**{f"check{n:02d}": (0.1 + n / 100, 0.1) for n in range(12)}))
    assert "numerics: 12 checks with a tolerance" in many_of
    assert [what for what, _ in strips(many_of)] == [f"check{n:02d}" for n in range(11, 1, -1)]


def test_one_stack_has_nothing_that_differs():
    """The section of what differs between stacks needs two."""
    title = "Checks that differ most between stacks"
    assert [title in page.page([made(f"s{n}") for n in range(count)]) for count in (1, 2)] == [False, True]


def test_a_stack_without_a_reason_has_no_link():
    """A verdict never leads to nowhere."""
    assert "<a " not in page.page([made(verdict="no verdict")])


def test_the_page_says_what_made_it():
    """Version and day of the page, days and versions of the runs; version and level of each run in its row."""
    quick = made("a").options | {"level": "quick"}
    html = page.page([made("a", options=quick), made("b", date="2026-03-04T00:00:00+00:00", cnnspec="0.0.9")])
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    text = Page(html).text
    assert f"Page made by cnnspec {cnnspec.__version__} on {today}." in text
    assert "Runs of 2026-01-02 to 2026-03-04 by cnnspec 0.0.9, 0.1.0." in text
    first, second = (row for _, _, row in rows(html))
    assert ("<td>quick</td>" in first, "<td>0.1.0</td>" in first) == (True, True)
    assert ("<td>default</td>" in second, "<td>0.0.9</td>" in second) == (True, True)


def test_the_range_spans_all_curves():
    """Of more than FEW curves the area from the lowest to the highest loss of each epoch is drawn. Of FEW it is not."""
    curves = [(n, f"s{n}", [0.8 - 0.1 * n, 0.2 + 0.05 * n]) for n in range(charts.FEW + 1)]
    chart = charts.loss_chart("model1", curves, None)
    corners = [tuple(map(float, point.split(","))) for point in re.search(r'class="range" points="(.*?)"', chart)[1].split()]
    lines = [line.split() for line in re.findall(r'<polyline points="([^"]*)" fill', chart)]
    places = [[tuple(map(float, point.split(","))) for point in line] for line in lines]
    assert corners == [places[0][0], places[-1][1], places[0][1], places[-1][0]]
    assert f"range of {len(curves)} stacks 0.2000 to 0.4000" in chart
    assert 'class="many"' in chart
    few = charts.loss_chart("model1", curves[1:], None)
    assert "range" not in few + page.page([made(f"s{n}") for n in range(charts.FEW)]).split("</style>")[1]
    assert 'class="few"' in few


def test_one_epoch_has_a_range_too():
    """It is a short bar around the points."""
    chart = charts.loss_chart("model1", [(n, f"s{n}", [0.1 + n]) for n in range(9)], None)
    left, right = (float(point.split(",")[0]) for point in re.search(r'class="range" points="(.*?)"', chart)[1].split()[:2])
    assert right - left == pytest.approx(28)


TICKS = {3.0: [0, 1, 2, 3], 2.4: [0, 0.5, 1, 1.5, 2], 430: [0, 100, 200, 300, 400], 0.07: [0, 0.02, 0.04, 0.06], 1: 5}


@pytest.mark.parametrize("most", TICKS)
def test_ticks_are_round_numbers(most):
    """At most five, from 0, and the last is near the end."""
    found = charts.ticks_from_zero(most)
    assert len(found) <= 5
    assert found[0] == 0
    assert most / 2 < found[-1] <= most
    if most != 1:
        assert found == pytest.approx(TICKS[most])


def words(chart):
    """Every text of a chart."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", chart)


def test_every_axis_has_its_unit():
    """Losses in nats by epoch, seconds, GFLOP/s, shares in percent; bars have numbers from 0."""
    assert {"loss in nats", "epoch"} <= set(words(charts.loss_chart("model1", [(0, "a", [0.2, 0.1])], None)))
    assert words(charts.speed_chart("model1", [(0, "a", 3.0, 2.0)]))[-5:] == ["0", "1", "2", "3", "seconds"]
    assert words(charts.limit_chart("model1", [("fit", 90.0, 100.0, "90")]))[-3:] == ["50", "100", "GFLOP/s"]
    assert words(charts.share_axis()) == ["0%", "25%", "50%", "75%", "100%"]
    html = page.page(many())
    assert html.count(charts.share_axis()) == html.count('<ul class="strips">') == 3


def test_the_axis_of_shares_is_that_of_the_strips():
    """100% of the axis stands over the line of the limit."""
    over = float(re.search(r'x="([\d.]+)"[^>]*>100%', charts.share_axis()).group(1))
    assert f'class="limit" x1="{over:.1f}"' in charts.strip([(0, "a", 0.5)])


def test_every_limit_has_its_mark():
    """A line where the limit is; one far beyond the bars stands at the right end with an arrow and its number."""
    rows = [("fit", 100.0, 300.0, "100"), ("slow", 20.0, 200.0, "20"), ("half", 100.0, 2000.0, "100")]
    chart = charts.limit_chart("model1", rows)
    places = [float(x) for x in re.findall(r'<line class="limit" x1="([\d.]+)"', chart)]
    bar = float(re.search(r'<rect x="4" y="16" width="([\d.]+)"', chart).group(1))
    assert [(place - 4) / bar for place in places] == pytest.approx([3, 2, 3], abs=0.01)
    assert chart.count('<path class="limit"') == 1
    assert [word for word in words(chart) if word.startswith("limit")] == ["limit 2000"]
    slow = charts.limit_chart("model1", [("fit", 10.0, 1000.0, "10"), ("half", 10.0, 2000.0, "10")])
    assert [word for word in words(slow) if word.startswith("limit")] == ["limit 2000"]  # the lowest is on the axis


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Address of a page of 20 stacks."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page.page(many(), ["missing"]), encoding="utf-8")
    return path.as_uri()


UNREACHED = """(() => { document.querySelectorAll('details').forEach(e => e.open = true);
    return [...document.querySelectorAll('.scroll')].filter(box => { box.scrollLeft = 1e6;
        const [first, last] = [box.querySelector('tbody th'), box.querySelector('tbody td:last-child')];
        const [name, end, frame] = [first, last, box].map(e => e.getBoundingClientRect());
        return end.right > frame.right + 1 || end.left < name.right - 1 || name.left < frame.left - 1
            || name.right - name.left > innerWidth / 2; }).map(e => e.getAttribute('aria-label')); })()"""


@pytest.mark.parametrize("width", [400, 1280, 1920])
def test_every_column_is_reached(chromium, url, width):
    """At the end of a table's scroll its last column stands whole beside the name, which leaves half the window."""
    chromium.open(url, width, 900, "light")
    assert chromium.evaluate(UNREACHED) == []
    chromium.evaluate("document.querySelectorAll('.scroll').forEach(e => e.style.overflowX = 'hidden clip')")
    chromium.evaluate("document.querySelectorAll('.scroll tbody th').forEach(e => e.style.minWidth = '2000px')")
    assert "Stacks" in chromium.evaluate(UNREACHED)


DRAWN = """[...document.querySelectorAll('.many')].map(chart => [...chart.children]
    .filter(e => getComputedStyle(e).display != 'none').map(e => e.getAttribute('class')).join(' '))"""


def test_the_chosen_stack_is_drawn_above_the_range(chromium, url):
    """At first the one that failed; then whichever is chosen, all, or none; never one that is hidden in all charts."""
    chromium.open(url, 1280, 900, "light")

    def drawn(chosen=None):
        if chosen:
            chromium.evaluate(f"document.getElementById('{chosen}').click()")
        (found,) = set(chromium.evaluate(DRAWN))
        return found.split()

    assert drawn() == ["s-3"]
    assert drawn("curve-17") == ["s-17"]
    assert drawn("curve-all-0") == [f"s-{n}" for n in range(20)]
    assert drawn("show-5") == [f"s-{n}" for n in range(20) if n != 5]
    assert drawn("curve-5") == []
    assert drawn("curve-none-0") == []


def test_a_link_shows_its_reason(chromium, url):
    """The reason that a verdict leads to is tinted."""
    chromium.open(url, 1280, 900, "light")
    colour = "getComputedStyle(document.getElementById('why-3').closest('li')).backgroundColor"
    before = chromium.evaluate(colour)
    chromium.evaluate("document.querySelector('.verdict a').click()")
    assert chromium.evaluate("location.hash") == "#why-3"
    assert chromium.evaluate(colour) != before
