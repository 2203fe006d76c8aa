"""Does a slower timing fail, and an unchanged machine pass?"""

import math
import statistics

import numpy as np
import pytest

from cnnspec.benchmarks import slowdowns, timings
from cnnspec.benchmarks.timings import Key, Timing
from cnnspec.facts.reading import BASELINES
from tests.meta.test_timings import timed

HARDWARE = BASELINES / "benchmarks" / "amd-epyc-avx-512-2-cores-24-gib"
STORED = HARDWARE / "tensorflow-2.21.0-keras-3.15.1-mnist5k.json"
HARNESS = [Key(model, "harness") for model in ("model1", "model2")]
ALL = Key(slowdowns.ALL_MODELS, "harness")


def alone(timing, before):
    """The Comparison of a run's only Timing with that of stored runs."""
    return slowdowns.compare({timing.key: timing}, [{timing.key: other} for other in before])[timing.key]


COMPARED = {  # median now, medians stored, outcome
    "nothing stored": (1.0, [], "new"),
    "one run stored": (1.0, [1.0], "no spread yet"),
    "twice as slow as one run": (2.0, [1.0], "no spread yet"),
    "within the spread": (1.02, [1.0, 1.02, 0.99, 1.01], "as before"),
    "slower than the spread": (1.15, [1.0, 1.02, 0.99, 1.01], "slower"),
    "faster than the spread": (0.85, [1.0, 1.02, 0.99, 1.01], "faster"),
    "as much slower, where runs differ more": (1.15, [1.0, 1.2, 0.9, 1.1], "as before"),
}


@pytest.mark.parametrize(("now", "before", "outcome"), COMPARED.values(), ids=COMPARED)
def test_outcomes(now, before, outcome):
    """A timing is slower if it lies beyond the spread of the stored runs, which takes three of them."""
    compared = alone(timed(now), [timed(median) for median in before])
    assert compared.outcome == outcome
    assert compared.outcome in slowdowns.OUTCOMES


@pytest.fixture
def fastest_alone(monkeypatch):
    """The fastest repetitions have the whole rate."""
    monkeypatch.setattr(slowdowns, "JUDGED", {"fastest": 1.0})


@pytest.mark.usefixtures("fastest_alone")
def test_the_bound_by_hand():
    """Stored 1 and e⁰·⁰¹ twice each: s = 0.01/√3, t(0.9925; 3) = 5.0473, so 5.0473 · s · √1.25 = 0.03258 is 3.3 % slower.

    With t(0.95; 3) = 2.3534 more, 7.4007 · s · √1.25 = 0.04777, it is found in 95 of 100 runs. Rounds are 0.99, 1 and 1.01.
    """
    before = [timed(1.0), timed(1.0), timed(2.718281828459045**0.01), timed(2.718281828459045**0.01)]
    compared = alone(timed(1.1), before)
    assert compared == slowdowns.Comparison(
        "slower",
        "fastest 1.089 s: 9.5% slower than the mean of 4 stored runs (0.995 s); limit 3.3%, detects 4.9%; "
        "spread between rounds 1.0%",
        pytest.approx(math.expm1(0.04777), rel=1e-3),
    )


def test_a_slower_machine_shows():
    """The text of a slower timing has the hardware's limit in this run and in the stored runs, if it was measured."""
    compared = alone(timed(2.0, limit_gflops=60.0), [timed(1.0, limit_gflops=limit) for limit in (90.0, 110.0, 100.0)])
    assert compared.outcome == "slower"
    assert compared.text.endswith("; a matrix product in the same run reached 60 GFLOP/s, 100 GFLOP/s in the stored runs")


@pytest.mark.usefixtures("fastest_alone")
def test_runs_that_agree_by_chance():
    """model2's runs are equal, but model1's show how much runs of that kind differ; another kind does not count.

    model1: logarithms 0, 0.1 and 0.2 have s = 0.1, pooled with model2's 0 over 4 degrees of freedom s = 0.0707. With α a
    third of 0.0075, t(1 − 0.0025; 4) = 5.5976 and √(4/3): 0.4570, which is 57.9 % slower; with t(0.95; 4) = 2.1318, 88.0 %.
    """
    harness1, harness2, plain1, plain2 = (
        Key(model, what) for what in ("harness", "plain fit") for model in ("model1", "model2")
    )
    spread = [{harness2: timed(1.0), harness1: timed(math.exp(0.1 * number))} for number in range(3)]
    found = slowdowns.compare({harness2: timed(1.4), harness1: timed(1.0), plain2: timed(1.0)}, spread)
    assert found[harness2] == slowdowns.Comparison(
        "as before",
        "fastest 1.386 s: 40.0% slower than the mean of 3 stored runs (0.99 s); limit 57.9%, detects 88.0%; "
        "spread between rounds 1.0%",
        pytest.approx(0.880, abs=1e-3),
    )
    assert found[plain2].outcome == "new"
    other = [{harness2: run[harness2], plain1: run[harness1]} for run in spread]
    now = {harness2: timed(1.4), harness1: timed(1.0), plain2: timed(1.0)}
    assert slowdowns.compare(now, other)[harness2].outcome == "slower"


def test_all_models_together_by_hand():
    """Two models whose logarithms are 0, 0.1, 0.2 and 0.2, 0.1, 0: s = 0.1 with f = 4, and the mean of a run is always 0.1.

    s/√2 = 0.0707, t(1 − 0.0025; 4) = 5.5976 and √(4/3) give 0.4570, which is 57.9 % slower; with t(0.95; 4), 88.0 %.
    """
    runs = [
        {HARNESS[0]: timed(math.exp(0.1 * number)), HARNESS[1]: timed(math.exp(0.2 - 0.1 * number))} for number in range(3)
    ]
    for slower, outcome in ((1.55, "as before"), (1.6, "slower"), (1 / 1.6, "faster")):
        now = {key: timed(math.exp(0.1) * slower) for key in HARNESS}
        compared = slowdowns.compare(now, runs)[ALL]
        assert compared.outcome == outcome
    text = "fastest, mean of 2 models: 60.0% slower than the mean of 3 stored runs; limit 57.9%, detects 88.0%"
    found = slowdowns.compare({key: timed(math.exp(0.1) * 1.6) for key in HARNESS}, runs)
    assert found[ALL] == slowdowns.Comparison("slower", text, pytest.approx(0.880, abs=1e-3))
    assert slowdowns.detectable(runs)[ALL] == pytest.approx(0.880, abs=1e-3)


def test_whole_runs_that_differ_count_as_such():
    """Where all models of a stored run were slower together, their mean differs from run to run as much as each of them."""
    runs = [dict.fromkeys(HARNESS, timed(math.exp(0.1 * number))) for number in range(3)]
    assert math.log1p(slowdowns.detectable(runs)[ALL]) == pytest.approx((5.5976 + 2.1318) * 0.1 * math.sqrt(4 / 3), rel=1e-4)


def test_a_mean_is_of_the_same_models():
    """A stored run that lacks a model does not count, nor does a timing that is not to be trusted; one model has no mean."""
    runs = [dict.fromkeys(HARNESS, timed(1.0 + 0.01 * number)) for number in range(4)]
    del runs[3][HARNESS[0]]
    now = dict.fromkeys(HARNESS, timed(1.0))
    assert "than the mean of 3 stored runs" in slowdowns.compare(now, runs)[ALL].text
    assert ALL not in slowdowns.compare(now, runs[1:])
    two_whole = [*runs[:2], {HARNESS[0]: timed(1.0)}, {HARNESS[1]: timed(1.0)}]
    assert ALL not in slowdowns.compare(now, two_whole)
    assert ALL not in slowdowns.compare({HARNESS[0]: timed(1.0), HARNESS[1]: Timing("model2", "harness", [1.0, 2.0])}, runs)
    assert ALL not in slowdowns.compare({Key(None, "a"): timed(1.0)}, [{Key(None, "a"): timed(1.0)}] * 3)
    slow = slowdowns.compare(
        {key: timed(2.0, limit_gflops=60.0) for key in HARNESS},
        [{key: timed(1.0 + 0.01 * number, limit_gflops=100.0) for key in HARNESS} for number in range(3)],
    )
    assert slow[ALL].text.endswith("; a matrix product in the same run reached 60 GFLOP/s, 100 GFLOP/s in the stored runs")


def test_one_stored_run_is_named_as_one():
    """The words agree with the number."""
    assert alone(timed(0.9), [timed(1.0)]).text == (
        "fastest 0.891 s: 10.0% faster than 1 stored run (0.99 s); a limit needs 3 stored runs, add them: "
        "tox run -e bench-update; spread between rounds 1.0%"
    )


@pytest.mark.parametrize("common", [0.0, 0.3])
def test_an_unchanged_machine_seldom_fails(monkeypatch, common):
    """Of 300 runs, each with three stored ones of the same distribution, at most the declared share fails; here 20 %.

    Also where whole runs differ, by 0.3 of the spread of a timing.
    """
    monkeypatch.setattr(slowdowns, "FALSE_ALARM", 0.2)
    generator = np.random.default_rng(0)
    deviations = {Key(f"model{model}", str(what)): 0.05 * (what + 1) for model in range(1, 5) for what in range(5)}

    def drawn():
        whole = common * generator.normal()
        return {key: timed(math.exp(deviation * (generator.normal() + whole))) for key, deviation in deviations.items()}

    failed = sum(
        any(each.outcome == "slower" for each in slowdowns.compare(drawn(), [drawn() for _ in range(3)]).values())
        for _ in range(300)
    )
    assert 0.05 <= failed / 300 <= 0.2


def test_what_only_some_repetitions_wait_for():
    """Repetitions of which the fastest is as before, and the middle ones wait, are slower by the median, which is told."""
    before = [Timing("model1", "a", [1.0 + 0.01 * run] * 3, fewest=[0.9 + 0.01 * run] * 3) for run in range(4)]
    waiting = Timing("model1", "a", [2.0] * 3, fewest=[0.92] * 3)
    assert alone(waiting, before).outcome == "slower"
    assert alone(waiting, before).text.startswith("median 2 s: 97.1% slower than the mean of 4 stored runs (1.015 s); limit")
    steady = Timing("model1", "a", [2.0] * 3, fewest=[1.92] * 3)
    assert alone(steady, before).text.startswith("fastest 1.92 s: 109.9% slower")


@pytest.mark.parametrize("noisy", ["fastest", "median"])
def test_a_detectable_slowdown_is_found(noisy):
    """A slowdown of the size that is told is found in about 95 of 100 runs, whichever value differs less from run to run."""
    generator = np.random.default_rng(1)

    def drawn(slower=0.0):
        wide, narrow = (math.exp(scale * generator.normal() + slower) for scale in (0.4, 0.03))
        fastest, median = (wide, narrow) if noisy == "fastest" else (narrow, wide)
        return {Key("model1", "a"): Timing("model1", "a", [median] * 3, fewest=[fastest] * 3)}

    found = []
    for _ in range(400):
        runs = [drawn() for _ in range(8)]
        (detects,) = slowdowns.detectable(runs).values()
        (compared,) = slowdowns.compare(drawn(math.log1p(detects)), runs).values()
        assert compared.detects == pytest.approx(detects)
        found.append(compared.outcome == "slower")
    assert 0.9 < np.mean(found) < 0.99


@pytest.mark.parametrize("slower", [0.1, 0.2, 0.5])
def test_planted_slowdowns_of_stored_runs(slower):
    """A run like the stored ones with one timing slower is red by that one alone, and is so where its power says it."""
    runs = [run["timings"] for run in timings.read(STORED)["runs"]]
    detects = slowdowns.detectable(runs)
    usual = {key: typical(key, runs) for key in detects if key.model != slowdowns.ALL_MODELS}
    assert {each.outcome for each in slowdowns.compare(usual, runs).values()} == {"as before"}
    for key, least in detects.items():
        slow = [each for each in usual if each == key or key == (slowdowns.ALL_MODELS, each.what)]
        planted = slowdowns.compare({**usual, **{each: typical(each, runs, 1 + slower) for each in slow}}, runs)
        wrong = {name for name, each in planted.items() if each.outcome == "slower"}
        assert wrong <= {key, *slow, (slowdowns.ALL_MODELS, key.what)}
        assert key in wrong or slower < least


def typical(key, runs, slower=1.0):
    """A trusted Timing in the middle of the stored ones, times a factor."""
    middle = {
        name: slower * statistics.geometric_mean(getattr(run[key], name) for run in runs if key in run)
        for name in slowdowns.JUDGED
    }
    return Timing(key.model, key.what, [middle["median"]] * 3, fewest=[middle["fastest"]] * 3)


def test_a_busy_machine_is_not_trusted():
    """Rounds whose spread exceeds the limit give no verdict, and neither do two rounds."""
    for rounds in ([1.0, 1.2, 1.5], [1.0, 1.0]):
        compared = alone(Timing(None, "a", rounds), [timed(1.0)] * 5)
        assert compared.outcome == "not to be trusted"
        assert "stop other work on it and measure again" in compared.text
