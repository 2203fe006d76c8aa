"""Did a machine get slower? Benchmarks beside the stored runs of the same machine, with a declared false-alarm rate."""

from __future__ import annotations

import dataclasses
import math
import statistics

from cnnspec.benchmarks.timings import TRUSTED_SPREAD

FALSE_ALARM = 0.01  # of a whole run that is compared with the stored ones, shared out evenly among its figures
LEAST_RUNS = 3  # stored runs that a spread from run to run is taken from


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A figure beside the stored runs: `outcome` is one of OUTCOMES, `text` says it in a line."""

    outcome: str
    text: str


OUTCOMES = ("new", "no spread yet", "not to be trusted", "slower", "faster", "as before")
FAILED = ("not to be trusted", "slower")  # a figure that cannot be trusted has shown nothing


def compare(measured, runs):
    """{name: Comparison} of a run's {name: Figure} with stored runs, a list of the same.

    One-sided on either side: with N stored medians of mean m on the log scale, a figure is slower when
    log(median) − m > t(1 − α; f) · s · √(1 + 1/N), the prediction bound of one further run. s is the figure's own standard
    deviation or, where it is larger, that of its kind, pooled over the models with f degrees of freedom: stored runs that
    agree by chance are no reason to blame the next. α is FALSE_ALARM by the number of figures.
    """
    stored = {}
    for run in runs:
        for name, figure in run.items():
            stored.setdefault(name, []).append(figure)
    logs = {name: [math.log(figure.median) for figure in before] for name, before in stored.items()}
    alpha = FALSE_ALARM / len(measured)
    pooled = {what: _pooled(what, logs) for what in map(kind, measured)}
    return {name: _compared(figure, stored.get(name, []), pooled[kind(name)], alpha) for name, figure in measured.items()}


def kind(name):
    """What a figure has in common with those of the other models; what has no model is the suite's own."""
    return name.split(", ", 1)[1] if name.startswith("model") else "the suite itself"


def _pooled(of, logs):
    """(degrees of freedom, standard deviation) pooled over the figures of a kind; `logs` are {name: stored logarithms}."""
    fitting = [values for name, values in logs.items() if kind(name) == of and len(values) > 1]
    freedom = sum(len(values) - 1 for values in fitting)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in fitting)
    return freedom, math.sqrt(squares / freedom) if freedom else math.nan


def _limits(figure, before):
    """What was reached beside a Figure and beside the stored ones, which tells a slower machine from slower code."""
    limits = [other.limit_gflops for other in before if other.limit_gflops]
    if not (limits and figure.limit_gflops):
        return ""
    return f"; a matrix product beside it reached {figure.limit_gflops:.0f} GFLOP/s, {statistics.fmean(limits):.0f} there"


def _compared(figure, before, pooled, alpha):
    """The Comparison of a Figure with the same figure of stored runs."""
    from scipy import stats

    now = f"{figure.median:.4g} s, rounds spread by {figure.spread:.1%}"
    if not figure.trusted:
        return Comparison(
            "not to be trusted", f"{now}, above {TRUSTED_SPREAD:.0%}: a busy or throttled machine; leave it alone, try again"
        )
    if not before:
        return Comparison("new", f"{now}; nothing is stored for it, tox run -e bench-update stores it")
    logs = [math.log(other.median) for other in before]
    centre = statistics.fmean(logs)
    change = math.exp(math.log(figure.median) - centre) - 1
    said = f"{now}, {change:+.1%} to {math.exp(centre):.4g} s in {len(logs)} stored runs"
    if len(logs) < LEAST_RUNS:
        return Comparison("no spread yet", f"{said}; {LEAST_RUNS} show how far runs differ: tox run -e bench-update")
    freedom, deviation = pooled
    deviation = max(deviation, statistics.stdev(logs))
    bound = stats.t.ppf(1 - alpha, freedom) * deviation * math.sqrt(1 + 1 / len(logs))
    said += f", which may differ by {math.expm1(bound):.1%}"
    if math.log1p(change) > bound:
        return Comparison("slower", said + _limits(figure, before))
    return Comparison("faster" if math.log1p(change) < -bound else "as before", said)
