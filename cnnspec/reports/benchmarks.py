"""Sections of the page for benchmarks: bars per model with their limit, all timings, machines side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from cnnspec.benchmarks import tables
from cnnspec.benchmarks.timings import Key, Timing
from cnnspec.reports import charts, history
from cnnspec.reports.html import figure, section, table

BARS = (
    "Bar: GFLOP/s that an epoch of each variant reached. Vertical line: the limit, a matrix product in the same precision, "
    "measured in the same process; with an arrow at the right end: it lies beyond the axis, its number stands above it. "
    "Number: GFLOP/s. ×: epoch time relative to plain fit (median of interleaved rounds)."
)
ACROSS = "Epochs of plain fit. Compare machines by ratios and by the share of their own limit, not by seconds."


def sections(contents: Iterable[dict[str, Any]], before: Iterable[dict[str, Any]] = ()) -> Iterator[str]:
    """Sections for files of timings, each with its last run. Each machine has its own axis.

    Then one per machine over time, of all runs; those of the files `before` are shown there alone.
    """
    contents = sorted(contents, key=lambda content: (content["hardware"], content["dataset"], content["stack"]["framework"]))
    for content in contents:
        stack, run = content["stack"], content["runs"][-1]
        place = f"{content['hardware']}, {stack['framework']}, Keras {stack['keras']}, {content['dataset']}"
        rows = [[escape(cell) for cell in row] for row in tables.rows_of(run["timings"].values())]
        opened = table(place, tables.COLUMNS, rows)
        everything = f"<details><summary>All timings of {escape(run['date'][:10])}</summary>{opened}</details>"
        drawn = "".join(bars(run["timings"]))
        yield section(f"Benchmarks: {place}", BARS if drawn else "", f'<div class="charts">{drawn}</div>{everything}')
    rows = [[escape(cell) for cell in row] for row in tables.rows_across(contents)]
    if rows:
        yield section("Benchmarks across stacks and machines", ACROSS, table("Benchmarks", tables.ACROSS, rows))
    yield from history.sections([*before, *contents])


def bars(timings: Mapping[Key, Timing]) -> Iterator[str]:
    """A chart for each model that has epochs with a limit. Inference and starts have none."""
    for model in dict.fromkeys(key.model for key in timings if key.model):
        rows = []
        for each in timings.values():
            if each.model == model and each.gflops and each.limit_gflops:
                relative = f", ×{statistics.median(each.ratios):.2f}" if each.ratios else ""
                words = f"{each.gflops:.0f}{relative}" + ("" if each.trusted else " !")
                rows.append((each.what, each.gflops, each.limit_gflops, words))
        if rows:
            data = [
                [escape(what), f"{reached:.1f}", f"{limit:.0f}", f"{reached / limit:.0%}"]
                for what, reached, limit, _ in rows
            ]
            opened = table(f"{model}, GFLOP/s", ("variant", "GFLOP/s", "limit", "of limit"), data)
            yield figure(model, charts.limit_chart(model, rows), opened)
