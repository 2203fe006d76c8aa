"""Is a timing that changed for good found among the stored runs, at the right run, and chance left alone?"""

import math

import numpy as np
import pytest

from cnnspec.benchmarks import history
from cnnspec.benchmarks.history import Change, Machine, Run
from cnnspec.benchmarks.slowdowns import ALL_MODELS
from cnnspec.benchmarks.timings import Key, Timing
from cnnspec.names import MODELS, hardware
from cnnspec.reports import page
from tests.meta.test_timings import STACK

ONE = Key("model1", "harness")
ALL = Key(ALL_MODELS, "harness")


def runs_of(lines):
    """Runs from {key: logarithms of seconds, one per run}; None leaves a timing out of a run."""
    count = len(next(iter(lines.values())))
    return [
        {key: Timing(*key, [math.exp(values[place])] * 3) for key, values in lines.items() if values[place] is not None}
        for place in range(count)
    ]


@pytest.mark.parametrize(("shift", "found"), [(0.081, False), (0.0814, True), (-0.081, False), (-0.0814, True)])
def test_the_bound_by_hand(shift, found):
    """0 and 0.01, then the same and `shift`: s = 0.01/√2 with 2 degrees of freedom, and so is the error of the shift.

    One place, one timing: t(1 − 0.0075/2; 2) = 11.4820, times 0.0070711 is 0.08119.
    """
    changes = history.changed(runs_of({ONE: [0, 0.01, shift, shift + 0.01]}))
    assert changes == ({ONE: Change(2, pytest.approx(math.exp(shift)))} if found else {})


def test_the_rate_is_shared_among_places():
    """0, 0.01, 0.005, then `shift` and 0.01 more: s = 0.01/√3 with 3 degrees of freedom, error s · √(1/3 + 1/2) = 0.0052705.

    Five runs have two places: t(1 − 0.0075/4; 3) = 8.2341, times 0.0052705 is 0.043398.
    """
    for shift, found in ((0.0433, False), (0.0435, True)):
        assert (ONE in history.changed(runs_of({ONE: [0, 0.01, 0.005, shift, shift + 0.01]}))) is found


@pytest.mark.parametrize("slow", [0, 2, 5])
def test_one_slow_run_is_no_change(slow):
    """A single run, be it the last, does not say that anything changed for good."""
    values = [0.0, 0.01, -0.01, 0.005, -0.005, 0.0]
    values[slow] = 1.0
    assert history.changed(runs_of({ONE: values})) == {}


def test_the_clearest_of_several_places_is_told():
    """After a change of 50 %, one to 7 times: the places just before and after the second exceed the bound, too."""
    values = [0.0, 0.01, 0.0, 0.01, 0.5, 0.51, 0.5, 0.51, 2.0, 2.01, 2.0, 2.01]
    assert history.changed(runs_of({ONE: values}))[ONE].first == 8


def test_two_models_have_a_mean():
    """A change of both is one of all models, too; a change of one thing of the suite itself is not."""
    lines = {Key(model, "harness"): [0.0, 0.01, 0.0, 0.5, 0.51, 0.5] for model in MODELS[:2]}
    assert set(history.changed(runs_of(lines))) == {ALL, *lines}
    suite = {Key(None, what): line for what, line in zip(("a", "b"), lines.values(), strict=True)}
    assert set(history.changed(runs_of(suite))) == set(suite)


def test_what_is_not_stored_is_passed_over():
    """A run without the timing counts on neither side; the change is at the run that has it first."""
    values = [0.0, 0.001, 0.002, None, 0.5, 0.501, 0.502]
    assert history.changed(runs_of({ONE: values})) == {ONE: Change(4, pytest.approx(math.exp(0.5)))}


def test_a_quiet_line_has_the_spread_of_its_kind():
    """model2 agrees by chance within each half; its kind differs by 10 %, so 3 % between the halves is no change."""
    noisy = [0.0, 0.1, -0.1, 0.0, 0.1, -0.1]
    lines = {ONE: noisy, Key("model2", "harness"): [0.0, 0.0, 0.0, 0.03, 0.03, 0.03]}
    assert history.changed(runs_of(lines)) == {}


def test_all_models_together_show_what_none_shows():
    """6 % in every model, beside a noise of 3 %: no model's own line is sure of it, their mean is."""
    noise = np.random.RandomState(2).normal(0, 0.03, (4, 10))
    lines = {Key(model, "harness"): [*values[:5], *(values[5:] + 0.06)] for model, values in zip(MODELS, noise, strict=True)}
    changes = history.changed(runs_of(lines))
    assert list(changes) == [ALL]
    assert changes[ALL].first == 5
    assert changes[ALL].factor == pytest.approx(1.06, abs=0.03)


@pytest.mark.parametrize("common", [0.0, 0.01])
def test_histories_without_a_change(common):
    """Of 500 histories of eight runs with a noise of 3 %, and with whole runs that differ, about 1 % show a change at most.

    Twelve lines, as a kind has four. With a rate of 0.01 more than 11 are as rare as 0.5 %.
    """
    generator = np.random.RandomState(1)
    keys = [Key(model, what) for what in ("harness", "plain fit", "bare step") for model in MODELS]
    alarms = 0
    for _ in range(500):
        whole = generator.normal(0, common, 8)
        alarms += bool(history.changed(runs_of({key: generator.normal(0, 0.03, 8) + whole for key in keys})))
    assert alarms <= 11


def content_of(runs, dates, **stack):
    """A file of timings with these runs."""
    stack = STACK | stack
    listed = [{"date": date, "command": "c", "timings": timings} for date, timings in zip(dates, runs, strict=True)]
    return {"hardware": hardware(stack), "stack": stack, "dataset": "mnist5k", "runs": listed}


OLD = content_of(runs_of({ONE: [0.0, 0.01, 0.0]}), ["2026-01-01", "2026-01-02", "2026-01-05"])
NEW = content_of(
    runs_of({ONE: [0.5, 0.51, 0.5]}),
    ["2026-02-01", "2026-02-02", "2026-02-03"],
    framework="tensorflow 2.22.0",
    keras="3.16.0",
)


def test_machines():
    """All stacks of one hardware, data set and framework are one history by date; a run of two files counts once."""
    elsewhere = content_of(runs_of({ONE: [0.0]}), ["2026-01-01"], cores=4)
    other = content_of(runs_of({ONE: [0.0]}), ["2026-01-01"], framework="jax 0.10.2")
    jax, one, four = history.machines([NEW, elsewhere, OLD, other, OLD])
    assert [run.date for run in one.runs] == [
        f"2026-{day}" for day in ("01-01", "01-02", "01-05", "02-01", "02-02", "02-03")
    ]
    assert (one.framework, one.hardware) == ("tensorflow", "amd-epyc-2-cores-24-gib")
    assert (four.hardware, jax.framework) == ("amd-epyc-4-cores-24-gib", "jax")
    assert len(four.runs) == len(jax.runs) == 1


def test_a_change_in_words():
    """What, by how much, since which run and date, and which stack came with it."""
    (machine,) = history.machines([OLD, NEW])
    assert [machine.told(key, change) for key, change in machine.changes().items()] == [
        "model1, harness: 65% slower since run 4 of 6 (2026-02-01; tensorflow 2.22.0, Keras 3.16.0 after tensorflow 2.21.0, "
        "Keras 3.15.1)"
    ]
    faster = Machine("h", "d", "f", [Run("2026-01-01T10:00", "s", {}), Run("2026-01-02T10:00", "s", {})])
    assert faster.told(ALL, Change(1, 0.75)) == "all models, harness: 25% faster since run 2 of 2 (2026-01-02)"


def test_the_page_over_time():
    """The section has the change in words, a mark in the chart, a line for the new stack, and all seconds in a table."""
    shown = page.page([], timings=[NEW], before=[OLD])
    assert "<h2>Benchmarks over time: amd-epyc-2-cores-24-gib, tensorflow, mnist5k</h2>" in shown
    assert "<li>model1, harness: 65% slower since run 4 of 6 (2026-02-01; " in shown
    assert shown.count('<line class="limit" x1="164.0" x2="164.0"') == 1
    assert shown.count('stroke-dasharray="6 3"/>') == 1
    assert (
        '<th scope="row">4</th><td>2026-02-01</td><td>tensorflow 2.22.0, Keras 3.16.0</td><td>1.649 ◂ changed</td>' in shown
    )
    quiet = page.page([], timings=[OLD])
    assert "No timing changed by more than the runs differ." in quiet
    assert 'class="limit"' not in quiet
    single = content_of(runs_of({ONE: [0.0]}), ["2026-01-01"])
    assert "over time" not in page.page([], timings=[single])
