"""Did a machine become slower? Benchmarks compared with the machine's stored runs, at a declared false-alarm rate.

Noise only adds seconds, so the fastest repetition of a run differs least from run to run (harness: 3 % in the place of 7 %)
and carries nearly all of the rate. The median of the rounds has the rest: it sees what only some repetitions wait for.
A slower driver slows every model, so each kind of timing is judged a second time by its mean over the models, which differs
half as much from run to run as that of one model.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from cnnspec.benchmarks.timings import TRUSTED_SPREAD, Key, Timing

FALSE_ALARM = 0.01  # of a whole run that is compared with the stored ones
TOGETHER = 0.25  # share of the rate that the means over the models have; the rest is divided evenly among the timings
JUDGED = {"fastest": 0.9, "median": 0.1}  # number of a timing that is compared -> its share of the timing's rate
FOUND = 0.95  # probability that a detectable slowdown is found
LEAST_RUNS = 3  # stored runs that are needed for a spread from run to run
THE_SUITE = "the suite itself"
ALL_MODELS = "all models"  # in the place of a model: the mean over the models


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A timing compared with the stored runs: `outcome` is one of OUTCOMES, `text` explains it in one line.

    `detects` is the slowdown that is found with probability FOUND: 0.2 is 20 % slower. None where there is no spread yet.
    """

    outcome: str
    text: str
    detects: float | None = None


OUTCOMES = ("new", "no spread yet", "not to be trusted", "slower", "faster", "as before")
FAILED = ("not to be trusted", "slower")  # a timing that cannot be trusted proves nothing, so it fails too


@dataclasses.dataclass(frozen=True)
class Limit:
    """How much slower than the mean of the stored runs one further run may be, and what is found; on the log scale."""

    bound: float
    detects: float


def compare(measured: Mapping[Key, Timing], runs: Sequence[Mapping[Key, Timing]]) -> dict[Key, Comparison]:
    """The Comparison of each timing of a run with stored runs, and of the mean of each kind over ALL_MODELS.

    One-sided in each direction: with N stored values of mean m on the log scale, a timing is slower if
    log(value) − m > t(1 − α; f) · s · √(1 + 1/N), the prediction bound of one further run. s is the larger of two standard
    deviations: the timing's own, and that of its kind, pooled over the models with f degrees of freedom. So stored runs that
    agree by chance do not make the next run fail. Values are those of JUDGED, and α is FALSE_ALARM less TOGETHER's share,
    divided by the number of timings, times the value's share. For a mean over n models see `_together`.
    """
    limits = {name: _limits(name, measured, runs, share) for name, share in JUDGED.items()}
    stored = {key: [run[key] for run in runs if key in run] for key in measured}
    alone = {
        key: _compared(timing, stored[key], {name: found[key] for name, found in limits.items() if key in found})
        for key, timing in measured.items()
    }
    return {**alone, **{key: mean.comparison(measured, runs) for key, mean in _together(measured, runs).items()}}


def detectable(runs: Sequence[Mapping[Key, Timing]]) -> dict[Key, float]:
    """{Key: the slowdown that is found with probability FOUND} of a further run with all timings of these: 0.2 is 20 %."""
    keys = {key: timing for run in runs for key, timing in run.items()}
    limits = [_limits(name, keys, runs, share) for name, share in JUDGED.items()]
    alone = {key: _found(found[key] for found in limits) for key in limits[0]}
    return {**alone, **{key: _found([mean.limit]) for key, mean in _together(keys, runs).items()}}


def _found(limits: Iterable[Limit]) -> float:
    """The smallest of the slowdowns that the values of a timing show."""
    return math.expm1(min(limit.detects for limit in limits))


def _limits(
    name: str, measured: Mapping[Key, Timing], runs: Sequence[Mapping[Key, Timing]], share: float
) -> dict[Key, Limit]:
    """The Limit of a value of each timing that enough stored runs have."""
    logs = _logs(name, runs)
    pooled = {what: _pooled(what, logs) for what in map(kind, measured)}
    alpha = FALSE_ALARM * (1 - TOGETHER) / len(measured) * share
    found = {}
    for key in measured:
        values = logs.get(key, [])
        if len(values) >= LEAST_RUNS:
            freedom, deviation = pooled[kind(key)]
            found[key] = _limit(alpha, freedom, max(deviation, statistics.stdev(values)), len(values))
    return found


def _logs(name: str, runs: Sequence[Mapping[Key, Timing]]) -> dict[Key, list[float]]:
    """Logarithms of a value of each timing, of every run that has it."""
    logs: dict[Key, list[float]] = {}
    for run in runs:
        for key, timing in run.items():
            logs.setdefault(key, []).append(math.log(getattr(timing, name)))
    return logs


def _limit(alpha: float, freedom: int, deviation: float, runs: int) -> Limit:
    """The Limit of one further run beside so many, at a false-alarm rate."""
    error = deviation * math.sqrt(1 + 1 / runs)
    bound = quantile(1 - alpha, freedom) * error
    return Limit(bound, bound + quantile(FOUND, freedom) * error)


@functools.cache
def quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t."""
    from scipy import stats

    return float(stats.t.ppf(probability, freedom))


@dataclasses.dataclass(frozen=True)
class Mean:
    """The timings of one kind whose mean over the models is judged, the places of the runs that have all, and the Limit."""

    keys: list[Key]
    whole: list[int]
    limit: Limit

    def comparison(self, measured: Mapping[Key, Timing], runs: Sequence[Mapping[Key, Timing]]) -> Comparison:
        """The Comparison of the mean of a run with that of the stored ones."""
        centre = statistics.fmean(_mean(self.keys, runs[number]) for number in self.whole)
        change = _mean(self.keys, measured) - centre
        detects = _found([self.limit])
        which = "slower" if change >= 0 else "faster"
        said = (
            f"fastest, mean of {len(self.keys)} models: {abs(math.expm1(change)):.1%} {which} than the mean of "
            f"{len(self.whole)} stored runs; limit {math.expm1(self.limit.bound):.1%}, detects {detects:.1%}"
        )
        if change > self.limit.bound:
            before = [runs[number][key] for number in self.whole for key in self.keys]
            return Comparison("slower", said + _speed([measured[key] for key in self.keys], before), detects)
        return Comparison("faster" if change < -self.limit.bound else "as before", said, detects)


def _mean(keys: Iterable[Key], run: Mapping[Key, Timing]) -> float:
    """Mean logarithm of the fastest repetition of timings."""
    return statistics.fmean(math.log(run[key].fastest) for key in keys)


def _together(measured: Mapping[Key, Timing], runs: Sequence[Mapping[Key, Timing]]) -> dict[Key, Mean]:
    """{Key(ALL_MODELS, kind): Mean} of each kind that two models or more have, now and in enough stored runs.

    The mean over n models of the logarithms has the spread s/√n if their noise is independent, with the s and f of
    `compare`, or, if that is larger, the spread of the stored means, where a whole run was slower. α is TOGETHER times
    FALSE_ALARM, divided by the number of kinds. Timings that are not to be trusted are left out.
    """
    logs = _logs("fastest", runs)
    kept = [key for key, each in measured.items() if key.model and each.trusted and len(logs.get(key, [])) >= LEAST_RUNS]
    kinds = {key.what: [other for other in kept if other.what == key.what] for key in kept}
    found = {}
    for what, keys in kinds.items():
        whole = [number for number, run in enumerate(runs) if all(key in run for key in keys)]
        if len(keys) < 2 or len(whole) < LEAST_RUNS:
            continue
        freedom, deviation = _pooled(what, logs)
        spread = statistics.stdev(_mean(keys, runs[number]) for number in whole)
        alpha = FALSE_ALARM * TOGETHER / len(kinds)
        limit = _limit(alpha, freedom, max(deviation / math.sqrt(len(keys)), spread), len(whole))
        found[Key(ALL_MODELS, what)] = Mean(keys, whole, limit)
    return found


def kind(key: Key) -> str:
    """The kind of a timing, which those of the other models share; timings without a model are the suite's own."""
    return key.what if key.model else THE_SUITE


def _pooled(of: str, logs: Mapping[Key, Sequence[float]]) -> tuple[int, float]:
    """(degrees of freedom, standard deviation) pooled over the timings of a kind; `logs` are the stored logarithms."""
    fitting = [values for key, values in logs.items() if kind(key) == of and len(values) > 1]
    freedom = sum(len(values) - 1 for values in fitting)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in fitting)
    return freedom, math.sqrt(squares / freedom) if freedom else math.nan


def _speed(now: Iterable[Timing], before: Iterable[Timing]) -> str:
    """The hardware's limit beside timings and beside the stored ones, which separates a slower machine from slower code."""
    reached, stored = ([each.limit_gflops for each in timings if each.limit_gflops] for timings in (now, before))
    if not (reached and stored):
        return ""
    before_it = f"{statistics.fmean(stored):.0f} GFLOP/s in the stored runs"
    return f"; a matrix product in the same run reached {statistics.fmean(reached):.0f} GFLOP/s, {before_it}"


def _compared(timing: Timing, before: Sequence[Timing], limits: Mapping[str, Limit]) -> Comparison:
    """The Comparison of a Timing with that of stored runs: of its fastest, or of the median if that alone is slower."""
    spread = f"spread between rounds {timing.spread:.1%}"
    if not timing.trusted:
        return Comparison(
            "not to be trusted",
            f"{timing.median:.4g} s; {spread}, limit {TRUSTED_SPREAD:.0%}: the machine was busy or throttled; "
            f"stop other work on it and measure again",
        )
    if not before:
        return Comparison(
            "new",
            f"{timing.median:.4g} s; {spread}; not compared, because nothing is stored; store it: tox run -e bench-update",
        )
    if not limits:
        needed = f"a limit needs {LEAST_RUNS} stored runs, add them: tox run -e bench-update"
        return Comparison("no spread yet", f"{_change('fastest', timing, before)[1]}; {needed}; {spread}")
    told = {name: _change(name, timing, before) for name in limits}
    slower = [name for name, limit in limits.items() if told[name][0] > limit.bound]
    name = slower[0] if slower else "fastest"
    (change, said), limit = told[name], limits[name]
    detects = _found(limits.values())
    said += f"; limit {math.expm1(limit.bound):.1%}, detects {detects:.1%}; {spread}"
    if slower:
        return Comparison("slower", said + _speed([timing], before), detects)
    return Comparison("faster" if change < -limit.bound else "as before", said, detects)


def _change(name: str, timing: Timing, before: Sequence[Timing]) -> tuple[float, str]:
    """How much slower a Timing is than the mean of the stored ones, on the log scale and in words."""
    centre = statistics.fmean(math.log(getattr(other, name)) for other in before)
    now = getattr(timing, name)
    change = math.log(now) - centre
    stored = "1 stored run" if len(before) == 1 else f"the mean of {len(before)} stored runs"
    which = "slower" if change >= 0 else "faster"
    return change, f"{name} {now:.4g} s: {abs(math.expm1(change)):.1%} {which} than {stored} ({math.exp(centre):.4g} s)"
