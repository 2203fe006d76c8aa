"""Sections of the reports' page for benchmarks: bars per model with the limit drawn, all figures, machines side by side."""

from __future__ import annotations

import statistics
from html import escape

from cnnspec.benchmarks import tables
from cnnspec.reports import charts
from cnnspec.reports.html import figure, section, table

BARS = (
    "Bar: arithmetic that an epoch of each variant reached. Upright mark: a matrix product in the same precision, measured "
    "in the same process. Number: GFLOP/s; ×: seconds by those of the plain fit trained beside it (median of the rounds)."
)
ACROSS = "Epochs of plain fit. Machines are compared by the share of their own limit and by ratios, never by seconds."


def sections(contents):
    """Sections for files of figures, each with its last run. No two machines share an axis."""
    contents = sorted(contents, key=lambda content: (content["hardware"], content["dataset"], content["stack"]["framework"]))
    for content in contents:
        stack, run = content["stack"], content["runs"][-1]
        place = f"{content['hardware']}, {stack['framework']}, Keras {stack['keras']}, {content['dataset']}"
        rows = [[escape(cell) for cell in row] for row in tables.rows_of(run["figures"])]
        opened = table(place, tables.COLUMNS, rows)
        everything = f"<details><summary>All figures of {escape(run['date'][:10])}</summary>{opened}</details>"
        drawn = "".join(bars(run["figures"]))
        yield section(f"Benchmarks: {place}", BARS if drawn else "", f'<div class="charts">{drawn}</div>{everything}')
    rows = [[escape(cell) for cell in row] for row in tables.rows_across(contents)]
    if rows:
        yield section("Benchmarks across stacks and machines", ACROSS, table("Benchmarks", tables.ACROSS, rows))


def bars(figures):
    """A chart for each model that has epochs with a limit; inference and starts have none."""
    for model in dict.fromkeys(name.partition(", ")[0] for name in figures):
        rows = []
        for name, each in figures.items():
            if name.startswith(f"{model}, ") and each.gflops and each.limit_gflops:
                by = f", ×{statistics.median(each.ratios):.2f}" if each.ratios else ""
                words = f"{each.gflops:.0f}{by}" + ("" if each.trusted else " !")
                rows.append((name.partition(", ")[2], each.gflops, each.limit_gflops, words))
        if rows:
            data = [
                [escape(name), f"{reached:.1f}", f"{limit:.0f}", f"{reached / limit:.0%}"]
                for name, reached, limit, _ in rows
            ]
            opened = table(f"{model}, GFLOP/s", ("variant", "GFLOP/s", "limit", "of limit"), data)
            yield figure(model, charts.limit_chart(model, rows), opened)
