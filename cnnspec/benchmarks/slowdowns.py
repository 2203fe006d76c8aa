"""Did a machine become slower? Benchmarks compared with the machine's stored runs, at a declared false-alarm rate."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from cnnspec.benchmarks.timings import TRUSTED_SPREAD, Key, Timing

FALSE_ALARM = 0.01  # of a whole run that is compared with the stored ones, divided evenly among its timings
LEAST_RUNS = 3  # stored runs that are needed for a spread from run to run
THE_SUITE = "the suite itself"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A timing compared with the stored runs: `outcome` is one of OUTCOMES, `text` explains it in one line."""

    outcome: str
    text: str


OUTCOMES = ("new", "no spread yet", "not to be trusted", "slower", "faster", "as before")
FAILED = ("not to be trusted", "slower")  # a timing that cannot be trusted proves nothing, so it fails too


def compare(measured: Mapping[Key, Timing], runs: Sequence[Mapping[Key, Timing]]) -> dict[Key, Comparison]:
    """The Comparison of each timing of a run with stored runs.

    One-sided in each direction: with N stored medians of mean m on the log scale, a timing is slower if
    log(median) − m > t(1 − α; f) · s · √(1 + 1/N), the prediction bound of one further run. s is the larger of two standard
    deviations: the timing's own, and that of its kind, pooled over the models with f degrees of freedom. So stored runs that
    agree by chance do not make the next run fail. α is FALSE_ALARM divided by the number of timings.
    """
    stored: dict[Key, list[Timing]] = {}
    for run in runs:
        for key, timing in run.items():
            stored.setdefault(key, []).append(timing)
    logs = {key: [math.log(timing.median) for timing in before] for key, before in stored.items()}
    alpha = FALSE_ALARM / len(measured)
    pooled = {what: _pooled(what, logs) for what in map(kind, measured)}
    return {key: _compared(timing, stored.get(key, []), pooled[kind(key)], alpha) for key, timing in measured.items()}


def kind(key: Key) -> str:
    """The kind of a timing, which those of the other models share; timings without a model are the suite's own."""
    return key.what if key.model else THE_SUITE


def _pooled(of: str, logs: Mapping[Key, Sequence[float]]) -> tuple[int, float]:
    """(degrees of freedom, standard deviation) pooled over the timings of a kind; `logs` are the stored logarithms."""
    fitting = [values for key, values in logs.items() if kind(key) == of and len(values) > 1]
    freedom = sum(len(values) - 1 for values in fitting)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in fitting)
    return freedom, math.sqrt(squares / freedom) if freedom else math.nan


def _limits(timing: Timing, before: Sequence[Timing]) -> str:
    """The hardware's limit beside a Timing and beside the stored ones, which separates a slower machine from slower code."""
    limits = [other.limit_gflops for other in before if other.limit_gflops]
    if not (limits and timing.limit_gflops):
        return ""
    before_it = f"{statistics.fmean(limits):.0f} GFLOP/s in the stored runs"
    return f"; a matrix product in the same run reached {timing.limit_gflops:.0f} GFLOP/s, {before_it}"


def _compared(timing: Timing, before: Sequence[Timing], pooled: tuple[int, float], alpha: float) -> Comparison:
    """The Comparison of a Timing with the same timing of stored runs."""
    from scipy import stats

    now, spread = f"{timing.median:.4g} s", f"spread between rounds {timing.spread:.1%}"
    if not timing.trusted:
        return Comparison(
            "not to be trusted",
            f"{now}; {spread}, limit {TRUSTED_SPREAD:.0%}: the machine was busy or throttled; "
            f"stop other work on it and measure again",
        )
    if not before:
        return Comparison(
            "new", f"{now}; {spread}; not compared, because nothing is stored; store it: tox run -e bench-update"
        )
    logs = [math.log(other.median) for other in before]
    centre = statistics.fmean(logs)
    change = math.exp(math.log(timing.median) - centre) - 1
    stored = "1 stored run" if len(logs) == 1 else f"the mean of {len(logs)} stored runs"
    said = f"{now}: {abs(change):.1%} {'slower' if change >= 0 else 'faster'} than {stored} ({math.exp(centre):.4g} s)"
    if len(logs) < LEAST_RUNS:
        needed = f"a limit needs {LEAST_RUNS} stored runs, add them: tox run -e bench-update"
        return Comparison("no spread yet", f"{said}; {needed}; {spread}")
    freedom, deviation = pooled
    deviation = max(deviation, statistics.stdev(logs))
    bound = stats.t.ppf(1 - alpha, freedom) * deviation * math.sqrt(1 + 1 / len(logs))
    said += f"; limit {math.expm1(bound):.1%}; {spread}"
    if math.log1p(change) > bound:
        return Comparison("slower", said + _limits(timing, before))
    return Comparison("faster" if math.log1p(change) < -bound else "as before", said)
