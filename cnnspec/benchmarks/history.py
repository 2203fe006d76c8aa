"""Timings of one machine over time: the stored runs of all its stacks by date, and where a timing changed for good."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnnspec.benchmarks.slowdowns import ALL_MODELS, FALSE_ALARM, THE_SUITE, TOGETHER, kind, quantile
from cnnspec.benchmarks.timings import Key, Timing

LASTS = 2  # runs before a change, and from it on, at least: one slow run is no change
Values = Sequence[float | None]  # logarithms of seconds, one per run; None: not stored


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of the benchmarks: its date (ISO 8601), its stack in words, and its timings."""

    date: str
    stack: str
    timings: Mapping[Key, Timing]


@dataclasses.dataclass(frozen=True)
class Change:
    """A timing is `factor` times what it was, from the run of number `first` on, counted from 0."""

    first: int
    factor: float


@dataclasses.dataclass(frozen=True)
class Machine:
    """The runs of one hardware, data set and framework, by date."""

    hardware: str
    dataset: str
    framework: str
    runs: list[Run]

    def changes(self) -> dict[Key, Change]:
        """{Key: Change} of the timings that changed, and of the means over ALL_MODELS that did; see `changed`."""
        return changed([run.timings for run in self.runs])

    def told(self, key: Key, change: Change) -> str:
        """A Change in one line: what, by how much, since when, and what else is new with that run."""
        before, after = self.runs[change.first - 1], self.runs[change.first]
        percent = f"{abs(change.factor - 1):.0%} {'slower' if change.factor > 1 else 'faster'}"
        news = f"; {after.stack} after {before.stack}" if after.stack != before.stack else ""
        return f"{key}: {percent} since run {change.first + 1} of {len(self.runs)} ({after.date[:10]}{news})"


def machines(contents: Iterable[dict[str, Any]]) -> list[Machine]:
    """The Machines of files of timings, as `timings.read` gives them; a run that two files hold counts once."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], Run]] = {}
    for content in contents:
        stack = content["stack"]
        name = f"{stack['framework']}, Keras {stack['keras']}"
        place = (content["hardware"], content["dataset"], stack["framework"].split()[0])
        runs = found.setdefault(place, {})
        runs.update({(run["date"], name): Run(run["date"], name, run["timings"]) for run in content["runs"]})
    return [Machine(*place, [runs[each] for each in sorted(runs)]) for place, runs in sorted(found.items())]


def changed(runs: Sequence[Mapping[Key, Timing]]) -> dict[Key, Change]:
    """{Key: its largest Change} of runs by date: the likelihood-ratio test for one shift of a normal mean (Hawkins 1977).

    For each place between LASTS or more runs on either side, |mean after − mean before| / (s · √(1/before + 1/after)) of the
    logarithms of the fastest seconds. s is the larger of two standard deviations within both sides: the timing's own, and
    that of its kind, pooled over the models with f degrees of freedom. A change is a largest value above the quantile of
    Student's t with f degrees of freedom at α, divided by the number of places. α is FALSE_ALARM less TOGETHER's share,
    divided by the number of timings. TOGETHER's share is that of each kind's mean over its models, whose s is that of the
    kind divided by the square root of their number, or its own if that is larger. The rate is kept by a simulation where
    whole runs differ by up to a third of a timing's own spread (tests/meta/test_history.py).
    """
    keys = list(dict.fromkeys(key for run in runs for key in run))
    lines: dict[Key, Values] = {key: [math.log(run[key].fastest) if key in run else None for run in runs] for key in keys}
    means: dict[Key, Values] = {}
    pooled, counts = {}, {}
    for what in dict.fromkeys(map(kind, keys)):
        peers = [line for key, line in lines.items() if kind(key) == what]
        pooled[what] = [_within(peers, place) for place in range(len(runs))]
        counts[what] = len(peers)
        if what != THE_SUITE and len(peers) > 1:
            means[Key(ALL_MODELS, what)] = [_mean(values) for values in zip(*peers, strict=True)]
    found = {}
    for several, share in ((means, TOGETHER), (lines, 1 - TOGETHER)):
        for key, line in several.items():
            narrower = math.sqrt(counts[kind(key)]) if several is means else 1.0
            within = [(freedom, deviation / narrower) for freedom, deviation in pooled[kind(key)]]
            change = _largest(line, within, FALSE_ALARM * share / len(several))
            if change:
                found[key] = change
    return found


def _mean(values: Values) -> float | None:
    """The mean of the models; None where one is not stored."""
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if len(present) == len(values) else None


def _largest(line: Values, pooled: Sequence[tuple[int, float]], alpha: float) -> Change | None:
    """The place where a line differs most before and after, if that is more than chance at a rate of `alpha`.

    `pooled` has degrees of freedom and standard deviation for each place.
    """
    stored = [place for place, value in enumerate(line) if value is not None]
    places = stored[LASTS : len(stored) + 1 - LASTS]
    found: list[tuple[float, Change]] = []
    for place in places:
        before, after = _sides(line, place)
        freedom, deviation = pooled[place]
        error = max(deviation, _within([line], place)[1]) * math.sqrt(1 / len(before) + 1 / len(after))
        shift = statistics.fmean(after) - statistics.fmean(before)
        if abs(shift) > quantile(1 - alpha / 2 / len(places), freedom) * error:
            found.append((abs(shift) / error if error else math.inf, Change(place, math.exp(shift))))
    return max(found, key=lambda each: each[0])[1] if found else None


def _sides(line: Values, place: int) -> tuple[list[float], list[float]]:
    """The stored values before a place, and from it on."""
    before, after = ([value for value in side if value is not None] for side in (line[:place], line[place:]))
    return before, after


def _within(lines: Iterable[Values], place: int) -> tuple[int, float]:
    """(degrees of freedom, standard deviation) of lines around their means before a place and from it on."""
    sides = [side for line in lines for side in _sides(line, place) if side]
    freedom = sum(len(side) - 1 for side in sides)
    squares = sum((value - statistics.fmean(side)) ** 2 for side in sides for value in side)
    return freedom, math.sqrt(squares / freedom) if freedom else math.inf
