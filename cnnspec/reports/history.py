"""Sections of the page for benchmarks over time: a chart per kind of timing, a line per model, the change points marked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from cnnspec.benchmarks import history
from cnnspec.benchmarks.history import Change, Machine
from cnnspec.benchmarks.slowdowns import ALL_MODELS, THE_SUITE, kind
from cnnspec.benchmarks.timings import Key
from cnnspec.names import MODELS
from cnnspec.reports import charts
from cnnspec.reports.html import figure, section, table

LEAD = (
    "Fastest seconds of each run, relative to the first run that has them. Above 1: slower. Vertical line: the run from "
    "which on a timing is slower or faster by more than chance, at a false-alarm rate of 1 % for all lines together; dashes "
    "mark a change of the stack."
)
NONE = "No timing changed by more than the runs differ."
Line = tuple[int, str, Sequence[float | None], Change | None]  # number, label, seconds of each run, change


def sections(contents: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A section for each hardware, data set and framework that has two runs or more."""
    for machine in history.machines(contents):
        if len(machine.runs) < 2:
            continue
        changes = machine.changes()
        told = "".join(f"<li>{escape(machine.told(key, change))}</li>" for key, change in changes.items())
        drawn = ""
        for what, lines in by_kind(machine, changes).items():
            stacks = [run.stack for run in machine.runs]
            chart = history_chart(what, stacks, lines, changes.get(Key(ALL_MODELS, what)))
            chart += legend(label for _, label, _, _ in lines) if what == THE_SUITE else ""
            drawn += figure(what, chart, numbers(what, machine, lines))
        place = f"{machine.hardware}, {machine.framework}, {machine.dataset}"
        content = f'{f"<ul>{told}</ul>" if told else f"<p>{NONE}</p>"}{legend(MODELS)}<div class="charts">{drawn}</div>'
        yield section(f"Benchmarks over time: {place}", LEAD, content)


def legend(labels: Iterable[str]) -> str:
    """Lines with their markers, and what they are of."""
    return f"<p>{' '.join(f'{charts.sample(number)} {escape(label)}' for number, label in enumerate(labels))}</p>"


def by_kind(machine: Machine, changes: dict[Key, Change]) -> dict[str, list[Line]]:
    """{kind of timing: a Line per model}, or per timing of the suite itself."""
    keys = list(dict.fromkeys(key for run in machine.runs for key in run.timings))
    found: dict[str, list[Line]] = {}
    for key in keys:
        lines = found.setdefault(kind(key), [])
        seconds = [run.timings[key].fastest if key in run.timings else None for run in machine.runs]
        number = MODELS.index(key.model) if key.model else len(lines)
        lines.append((number, key.model or key.what, seconds, changes.get(key)))
    return found


def numbers(what: str, machine: Machine, lines: Sequence[Line]) -> str:
    """The table below a chart: a row per run, its seconds, marked where a change begins."""
    rows = [
        [
            f"{place + 1}",
            escape(run.date[:10]),
            escape(run.stack),
            *(shown(seconds[place], change is not None and change.first == place) for _, _, seconds, change in lines),
        ]
        for place, run in enumerate(machine.runs)
    ]
    return table(f"{what}, fastest seconds", ("run", "date", "stack", *(label for _, label, _, _ in lines)), rows)


def shown(seconds: float | None, begins: bool) -> str:
    """Seconds in a table; – where none are stored."""
    return "–" if seconds is None else f"{seconds:.4g}" + (" ◂ changed" if begins else "")


def history_chart(title: str, stacks: Sequence[str], lines: Sequence[Line], together: Change | None = None) -> str:
    """Seconds relative to the first stored ones, on a logarithmic scale, by run, with a mark before the run of each change.

    `together` is that of the mean over the models.
    """
    left, right, top, bottom, height = 40, 12, 20, 34, 222
    relative = [(number, label, relative_to_first(seconds), change) for number, label, seconds, change in lines]
    values = [value for _, _, found, _ in relative for value in found if value is not None]
    low, high = min(min(values), 0.9) / 1.03, max(max(values), 1.1) * 1.03

    def x(place: float) -> float:
        return left + 14 + (charts.WIDTH - left - right - 28) * place / (len(stacks) - 1)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (1 - math.log(value / low) / math.log(high / low))

    parts = []
    for tick in ticks(low, high):
        parts.append(f'<line class="grid" x1="{left}" x2="{charts.WIDTH - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(charts.text(left - 5, y(tick) + 3.5, f"{tick:g}", "end"))
    for place, (before, after) in enumerate(itertools.pairwise(stacks)):
        if before != after:
            parts.append(vertical("grid", x(place + 0.5), top, height - bottom, f"{after} after {before}", "6 3"))
    parts += [charts.text(x(place), height - bottom + 14, f"{place + 1}") for place in range(len(stacks))]
    parts.append(charts.text((left + charts.WIDTH - right) / 2, height - 4, "run"))
    parts.append(charts.text(2, 11, "relative to the first run", "start"))
    for number, label, found, _ in relative:
        points = [(x(place), y(value)) for place, value in enumerate(found) if value is not None]
        marks = "".join(charts.marker(number, *point, size=3) for point in points)
        parts.append(charts.series(number, label, (charts.polyline(number, points) if len(points) > 1 else "") + marks))
    for label, change in [*((label, change) for _, label, _, change in lines), (ALL_MODELS, together)]:
        if change:
            words = f"{label}: {change.factor:.2f} times since run {change.first + 1}"
            parts.append(vertical("limit", x(change.first - 0.5), top, height - bottom, words))
    told = "; ".join(f"{label} {words_of(found, change)}" for _, label, found, change in relative)
    return charts.svg(
        height, f"{title}, fastest seconds relative to the first of {len(stacks)} runs: {told}", "".join(parts)
    )


def relative_to_first(seconds: Sequence[float | None]) -> list[float | None]:
    """Seconds divided by the first that are stored."""
    first = next(each for each in seconds if each is not None)
    return [each / first if each is not None else None for each in seconds]


def ticks(low: float, high: float) -> list[float]:
    """Five round numbers at most from `low` to `high`, 1 among them where it is between."""
    for step in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 100):
        found = [1 + step * number for number in range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)]
        if len(found) <= 5:
            return [round(tick, 2) for tick in found]
    return charts.ticks_of_log(low, high)


def vertical(kind_of_line: str, x: float, top: float, bottom: float, words: str, dashes: str = "") -> str:
    """A vertical line with words under the pointer."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<line class="{kind_of_line}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"{dashed}/>'
    return f"<g><title>{escape(words)}</title>{line}</g>"


def words_of(found: Sequence[float | None], change: Change | None) -> str:
    """The last value of a line in words, and its change."""
    last = next(value for value in reversed(found) if value is not None)
    return f"{last:.2f}" + (f", {change.factor:.2f} times since run {change.first + 1}" if change else "")
