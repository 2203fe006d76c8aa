"""Does each part of a chart stand where it belongs?"""

import re

import pytest

from cnnspec.reports import charts, curves
from tests.meta.reports import drawn_charts
from tests.meta.reports.made_reports import made


def test_charts_are_drawn_as_they_are_stored():
    """Every place in a chart of each kind; `python -m tests.meta.reports.drawn_charts` draws them anew."""
    stored = drawn_charts.STORED.read_text(encoding="utf-8")
    assert drawn_charts.told().splitlines() == stored.splitlines()


MARKERS = {  # number of a series -> its mark at (10, 20)
    0: '<circle cx="10.0" cy="20.0" r="4.0" fill="var(--c0)"/>',
    9: '<polygon points="6.0,16.0 14.0,16.0 14.0,24.0 6.0,24.0" fill="var(--c1)"/>',
    2: '<polygon points="10.0,16.0 14.0,24.0 6.0,24.0" fill="var(--c2)"/>',
    7: '<polygon points="10.0,14.8 15.2,20.0 10.0,25.2 4.8,20.0" fill="var(--c7)"/>',
}


@pytest.mark.parametrize(("number", "mark"), MARKERS.items())
def test_the_mark_of_a_series(number, mark):
    """Circle, square, triangle or diamond, in eight colours."""
    assert charts.marker(number, 10, 20) == mark


@pytest.mark.parametrize(("number", "dashes"), [(0, None), (7, None), (8, "6 3"), (16, "2 3"), (24, None)])
def test_the_line_of_a_series(number, dashes):
    """Eight colours with each kind of dashes."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    assert charts.polyline(number, [(1, 2), (3.25, 4)]) == (
        f'<polyline points="1.0,2.0 3.2,4.0" fill="none" stroke="var(--c{number % 8})" stroke-width="1.6"{dashed}/>'
    )


def test_the_sample_of_a_series():
    """Its line with its mark in the middle, hidden from screen readers."""
    assert charts.sample(0) == (
        '<svg class="sample" viewBox="0 0 34 12" aria-hidden="true">'
        '<polyline points="1.0,6.0 33.0,6.0" fill="none" stroke="var(--c0)" stroke-width="1.6"/>'
        '<circle cx="17.0" cy="6.0" r="4.0" fill="var(--c0)"/></svg>'
    )


LOGARITHMIC = {
    (0.1, 1): [0.1, 0.2, 0.5, 1],
    (0.11, 0.99): [0.2, 0.5],
    (0.1, 20): [0.1, 0.2, 0.5, 1, 2, 5, 10, 20],
    (0.1, 50): [0.1, 1, 10],
}


@pytest.mark.parametrize(("ends", "ticks"), LOGARITHMIC.items(), ids=str)
def test_ticks_of_a_logarithmic_axis(ends, ticks):
    """1, 2 and 5 times powers of ten, eight at most; of more the powers alone."""
    assert charts.ticks_of_log(*ends) == pytest.approx(ticks)


FROM_ZERO = {
    1: [0, 0.5, 1],
    2.5: [0, 1, 2],
    4.9: [0, 1, 2, 3, 4],
    5: [0, 2, 4],
    9.9: [0, 2, 4, 6, 8],
    10: [0, 5, 10],
    0.07: [0, 0.02, 0.04, 0.06],
}


@pytest.mark.parametrize(("most", "ticks"), FROM_ZERO.items())
def test_ticks_of_bars(most, ticks):
    """At most five, and at least three."""
    assert charts.ticks_from_zero(most) == pytest.approx(ticks)


def test_a_label_is_quoted():
    """A name with quotation marks stays inside its attribute."""
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in charts.svg(1, 'a "b" <c>', "")


def test_a_bar_beyond_its_limit_stays_in_the_chart():
    """The axis is a quarter longer than the longest bar, where no limit is."""
    drawn = charts.limit_chart("speeds", [("a", 100, 50, "words")])
    assert f'width="{0.8 * (charts.WIDTH - 82):.1f}"' in drawn


@pytest.mark.parametrize(("limit", "outside"), [(399, False), (401, True)])
def test_a_limit_far_away_stands_outside(limit, outside):
    """The axis holds limits up to four times the longest bar; of others the number stands at the end."""
    drawn = charts.limit_chart("speeds", [("a", 100, 50, "words"), ("b", 100, limit, "words")])
    assert (f"limit {limit}" in drawn) == outside


def test_epochs_stand_at_equal_distances():
    """The second of three epochs in the middle between the others, which have brackets and stay inside the chart."""
    drawn = charts.loss_chart("a", [(0, "a", [0.3, 0.2, 0.1])], None)
    first, second, third = (float(re.search(rf'x="([\d.]+)"[^>]*>{epoch}</text>', drawn)[1]) for epoch in (1, 2, 3))
    assert 0 < first < second < third < charts.WIDTH
    assert second - first == pytest.approx(third - second, abs=0.11)


def test_ticks_where_a_logarithm_is_too_small(monkeypatch):
    """Some systems give 2.9999999999999996 for log10(1000)."""
    monkeypatch.setattr(charts.math, "log10", lambda value: 2.9999999999999996)
    assert charts.ticks_from_zero(1000) == [0, 500, 1000]


def test_a_band_has_brackets_at_both_ends():
    """At the epochs that the suite judges; a band of one epoch is as wide as its bracket can be seen in."""
    three = charts.band_shape([10, 20, 30], {"low": [9, 8, 7], "mean": [6, 5, 4], "high": [3, 2, 1]})
    assert three == (
        '<polygon class="band" points="10.0,3.0 20.0,2.0 30.0,1.0 30.0,7.0 20.0,8.0 10.0,9.0"/>'
        '<polyline class="mean" points="10.0,6.0 20.0,5.0 30.0,4.0"/>'
        '<path class="bracket" d="M4.0 3.0h12m-6 0V9.0m-6 0h12"/>'
        '<path class="bracket" d="M24.0 1.0h12m-6 0V7.0m-6 0h12"/>'
    )
    one = charts.band_shape([100], {"low": [9], "mean": [6], "high": [3]})
    assert one == (
        '<polygon class="band" points="86.0,3.0 114.0,3.0 114.0,9.0 86.0,9.0"/>'
        '<polyline class="mean" points="86.0,6.0 114.0,6.0"/>'
        '<path class="bracket" d="M94.0 3.0h12m-6 0V9.0m-6 0h12"/>'
    )


def test_losses_that_are_all_zero_have_an_axis():
    """Around 1, since a logarithm needs a number."""
    chart = charts.loss_chart("a", [(0, "a", [0.0])], None)
    assert [line for line in drawn_charts.elements(chart) if line.endswith('"end">1')] == [
        '<text x="35.0" y="107.5" text-anchor="end">1'
    ]


def test_the_curves_of_few_stacks_need_no_choice():
    """Of more than FEW one can be chosen: at first the first that failed, or the first; or all, or none."""
    members = [(number, f"s{number}", made(f"s{number}")) for number in range(charts.FEW + 1)]
    (few,), (many,) = curves.sections(members[:-1]), curves.sections(members)
    assert "<fieldset" not in few
    assert "Blue area" not in few
    assert many.count("<fieldset") == 1
    assert f"of all {charts.FEW + 1} stacks" in many
    assert many.count(" checked") == 1
    assert 'id="curve-0" checked>' in many
    failed = [*members[:2], (2, "s2", made("s2", verdict="fail")), *members[3:]]
    assert 'id="curve-2" checked>' in curves.choices(0, failed)


def test_the_rules_of_the_choice():
    """A rule for each stack, and one for all of a section."""
    named = [(0, "a", made("a")), (1, "b", made("b")), (2, "c", made("c", trainings={}))]
    rules = curves.choosing(named)
    assert "body:has(#curve-1:checked) .many .s-1{display:inline}" in rules
    assert rules.endswith("body:has(#curve-all-0:checked) :is(.many .s-0,.many .s-1){display:inline}")
    assert list(curves.together(named).values()) == [named[:2]]


def test_the_numbers_of_a_chart():
    """A row for each stack; of epochs that it has not, a dash."""
    table = curves.numbers([(0, "a<", [0.5, 0.25]), (1, "b", [0.125])])
    assert '<th scope="col">epoch 1</th><th scope="col">epoch 2</th></tr>' in table
    assert '<th scope="row">a&lt;</th><td>0.5000</td><td>0.2500</td></tr>' in table
    assert '<th scope="row">b</th><td>0.1250</td><td>–</td></tr>' in table


def test_a_model_without_losses_has_no_chart():
    """Nor a section where none has. A band is the first that a report has."""
    bare = made()
    for run in bare.trainings.values():
        run["history"] = {"seconds": [1.0]}
    assert list(curves.sections([(0, "a", bare)])) == []
    without = made()
    for run in without.trainings.values():
        run["bands"] = {}
    (section,) = curves.sections([(0, "a", without), (1, "b", made())])
    assert section.count('class="band"') == section.count("<figure>") == 2 * len(without.trainings)


def test_the_numbers_of_a_chart_have_a_column_for_each_epoch():
    """Epochs count from 1; where a run is shorter there is a dash."""
    table = curves.numbers([(0, "a", [0.2, 0.1]), (1, "b", [0.3])])
    assert re.findall(r"<th[^>]*>([^<]*)</th>", table)[:3] == ["environment", "epoch 1", "epoch 2"]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", table)[-2:] == ["0.3000", "–"]
