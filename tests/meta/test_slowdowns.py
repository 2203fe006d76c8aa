"""Does a slower timing fail, and an unchanged machine pass?"""

import math

import numpy as np
import pytest

from cnnspec.benchmarks import slowdowns
from cnnspec.benchmarks.timings import Key, Timing
from tests.meta.test_timings import timed


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


def test_the_bound_by_hand():
    """Stored 1 and e⁰·⁰¹ twice each: s = 0.01/√3, t(0.99; 3) = 4.5407, so 4.5407 · s · √1.25 = 0.02931 is 3.0 % slower."""
    before = [timed(1.0), timed(1.0), timed(2.718281828459045**0.01), timed(2.718281828459045**0.01)]
    compared = alone(timed(1.1), before)
    assert compared == slowdowns.Comparison(
        "slower", "1.1 s: 9.5% slower than the mean of 4 stored runs (1.005 s); limit 3.0%; spread between rounds 1.0%"
    )


def test_a_slower_machine_shows():
    """The text of a slower timing has the hardware's limit in this run and in the stored runs, if it was measured."""
    compared = alone(timed(2.0, limit_gflops=60.0), [timed(1.0, limit_gflops=limit) for limit in (90.0, 110.0, 100.0)])
    assert compared.outcome == "slower"
    assert compared.text.endswith("; a matrix product in the same run reached 60 GFLOP/s, 100 GFLOP/s in the stored runs")


def test_runs_that_agree_by_chance():
    """model2's runs are equal, but model1's show how much runs of that kind differ; another kind does not count.

    model1: logarithms 0, 0.1 and 0.2 have s = 0.1, pooled with model2's 0 over 4 degrees of freedom s = 0.0707. With α a
    third of 0.01, t(1 − 0.00333; 4) = 5.1668 and √(4/3): 0.4219, which is 52.5 % slower.
    """
    harness1, harness2, plain1, plain2 = (
        Key(model, what) for what in ("harness", "plain fit") for model in ("model1", "model2")
    )
    spread = [{harness2: timed(1.0), harness1: timed(math.exp(0.1 * number))} for number in range(3)]
    found = slowdowns.compare({harness2: timed(1.4), harness1: timed(1.0), plain2: timed(1.0)}, spread)
    assert found[harness2] == slowdowns.Comparison(
        "as before", "1.4 s: 40.0% slower than the mean of 3 stored runs (1 s); limit 52.5%; spread between rounds 1.0%"
    )
    assert found[plain2].outcome == "new"
    other = [{harness2: run[harness2], plain1: run[harness1]} for run in spread]
    now = {harness2: timed(1.4), harness1: timed(1.0), plain2: timed(1.0)}
    assert slowdowns.compare(now, other)[harness2].outcome == "slower"


def test_one_stored_run_is_named_as_one():
    """The words agree with the number."""
    assert alone(timed(0.9), [timed(1.0)]).text == (
        "0.9 s: 10.0% faster than 1 stored run (1 s); a limit needs 3 stored runs, add them: tox run -e bench-update; "
        "spread between rounds 1.0%"
    )


def test_an_unchanged_machine_seldom_fails(monkeypatch):
    """Of 300 runs, each with three stored ones of the same distribution, at most the declared share fails; here 20 %."""
    monkeypatch.setattr(slowdowns, "FALSE_ALARM", 0.2)
    generator = np.random.default_rng(0)
    deviations = {Key(f"model{model}", str(what)): 0.05 * (what + 1) for model in range(1, 5) for what in range(5)}

    def drawn():
        return {key: timed(math.exp(deviation * generator.normal())) for key, deviation in deviations.items()}

    failed = sum(
        any(each.outcome == "slower" for each in slowdowns.compare(drawn(), [drawn() for _ in range(3)]).values())
        for _ in range(300)
    )
    assert 0.05 <= failed / 300 <= 0.2


def test_a_busy_machine_is_not_trusted():
    """Rounds whose spread exceeds the limit give no verdict, and neither do two rounds."""
    for rounds in ([1.0, 1.2, 1.5], [1.0, 1.0]):
        compared = alone(Timing(None, "a", rounds), [timed(1.0)] * 5)
        assert compared.outcome == "not to be trusted"
        assert "stop other work on it and measure again" in compared.text
