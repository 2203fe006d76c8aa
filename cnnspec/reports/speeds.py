"""Sections of the page for seconds per epoch: only stacks on the same hardware share a chart."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from cnnspec.names import MODELS
from cnnspec.reports import charts
from cnnspec.reports.html import Named, section
from cnnspec.reports.report import Report

LEAD = (
    "Bar and number: median of the epochs after the first. Vertical line: the first epoch, which also builds the graph. "
    "One run each, measured during the tests: not a benchmark."
)


def sections(named: Sequence[Named]) -> Iterator[str]:
    """A section for each hardware and data set."""
    places = dict.fromkeys((report.hardware, report.options["dataset"]) for _, _, report in named if report.trainings)
    for place in places:
        here = [item for item in named if (item[2].hardware, item[2].options["dataset"]) == place]
        figures = []
        for model in MODELS:
            rows = [timed(*item, model) for item in here if model in item[2].trainings]
            if rows:
                figures.append(f"<figure><figcaption>{model}</figcaption>{charts.speed_chart(model, rows)}</figure>")
        yield section(f"Seconds per epoch: {', '.join(place)}", LEAD, f'<div class="charts">{"".join(figures)}</div>')


def timed(number: int, label: str, report: Report, model: str) -> charts.Speed:
    """A row of a speed chart: number, label, seconds of the first epoch, median of the later ones or None."""
    first, *later = report.trainings[model]["history"]["seconds"]
    workers = report.options["workers"]
    name = label if workers == 1 else f"{label} ({workers} workers)"
    return number, name, first, statistics.median(later) if later else None
