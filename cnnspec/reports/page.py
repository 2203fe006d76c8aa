"""Reports as one HTML page without other files: table, margins, loss curves, speeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cnnspec.names import MODELS
from cnnspec.reports import benchmarks, charts
from cnnspec.reports.html import figure, section, table
from cnnspec.reports.report import TIERS_WITH_MARGINS, Report, missing, tier_of
from cnnspec.reports.words import COLUMNS, NO_REPORT, counted, losses, outcome, percent, reasons, row, summary

Named = tuple[int, str, Report]  # number of its series, label, report
Check = tuple[tuple[str, str], list[charts.Share]]  # (test, what) and its share on each stack

METRICS = {"val_loss": "test loss", "loss": "train loss, during training"}
WITHOUT_CHANCE = ("numerics", "optimizer", "trajectory")
SYMBOLS = {"pass": "✓", "fail": "✗", "cannot tell": "?", "no verdict": "–"}
NEAR = 0.8  # shares of a tolerance from here on are marked


def page(reports: Sequence[Report], expected: Sequence[str] = (), timings: Iterable[dict[str, Any]] = ()) -> str:
    """The page as HTML. Reports keep their order; `expected` names environments that must have one.

    `timings` are files of timings as `timings.read` returns them.
    """
    absent = missing(reports, expected)
    named = [(number, report.label, report) for number, report in enumerate(reports)]
    hiding = "".join(f"body:has(#show-{n}:not(:checked)) svg .s-{n}{{display:none}}" for n, _, _ in named)
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    sections = []
    if reports or absent:
        sections.append(section("Stacks", summary(reports, absent), stacks(reports, absent)))
        sections += [section(title, "", listed(lines)) for title, lines in reasons(reports).items()]
    if reports:
        sections += [
            section("Margins", MARGINS, tiers(named) + legend(named)),
            *curves(named),
            section("Checks that differ most between stacks", MOVED, moved(named)) if len(named) > 1 else "",
            section("Tightest checks, by tier", "", nearest(named)),
            *speeds(named),
        ]
    sections += benchmarks.sections(timings)
    return PAGE.format(style=style + hiding, body="\n".join(sections))


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>cnnspec: stacks compared</title>
<style>{style}</style>
</head>
<body>
<header><h1>cnnspec: stacks compared</h1>
<p>Does each stack build the same models, compute the same numbers and reach the same losses?</p></header>
<main>
{body}
</main>
</body>
</html>
"""
MARGINS = (
    "Largest share of its tolerance that a check of each tier used. ✗: above 100%, the check failed. ▲: from 80% to 100%."
)
MOVED = (
    "The checks whose share of their tolerance differs most between stacks, of the tiers without random draws (numerics, "
    "optimizer, trajectory). The vertical line is 100%: beyond it the check failed."
)
CURVES = (
    "One training per stack and model. Area: the band of the reference ensemble; a healthy run stays in it. Line in the "
    "area: the mean of the ensemble. Brackets: the epochs that the suite judges. The scale is logarithmic."
)
SPEEDS = (
    "Bar and number: median of the epochs after the first. Vertical line: the first epoch, which also builds the graph. "
    "One run each, measured during the tests: not a benchmark."
)


def stacks(reports: Sequence[Report], absent: Sequence[str]) -> str:
    """The table of all environments."""
    header = [*COLUMNS, *(f"test loss, {model}" for model in MODELS), "seconds", "date", "NumPy", "hardware"]
    rows = []
    for report in reports:
        cells = [escape(cell) for cell in row(report)]
        kind = "good" if report.good else "bad"
        symbol = SYMBOLS.get(outcome(report), "–")
        cells[1] = f'<span class="verdict {kind}">{symbol} {cells[1]}</span>'
        last = [f"{report.seconds:.0f}", report.date[:10], report.stack["numpy"], report.hardware]
        rows.append([*cells, *losses(report), *(escape(cell) for cell in last)])
    for name in absent:
        word = f'<span class="verdict bad">✗ {NO_REPORT}</span>'
        rows.append([escape(name), word, *["–"] * (len(header) - 2)])
    return table("Stacks", header, rows, "stacks")


def listed(lines: dict[str, list[str]], most: int = 8) -> str:
    """Reasons with the environments that have them. The first `most` are open, the others folded."""
    items = [f"<li><strong>{escape(', '.join(who))}</strong> {coded(escape(line))}</li>" for line, who in lines.items()]
    folded = f"<details><summary>{len(items) - most} more</summary><ul>{''.join(items[most:])}</ul></details>"
    return f"<ul>{''.join(items[:most])}</ul>{folded if len(items) > most else ''}"


def coded(line: str) -> str:
    """A line that begins with Markdown's `name`, as HTML."""
    _, name, rest = line.split("`", 2)
    return f"<code>{name}</code>{rest}"


def tiers(named: Sequence[Named]) -> str:
    """Largest share per stack and tier, each with a bar."""
    rows = [[escape(label), *(cell(report.used(tier)) for tier in TIERS_WITH_MARGINS)] for _, label, report in named]
    return table("Margins", ("environment", *TIERS_WITH_MARGINS), rows)


def cell(used: tuple[float, str, str] | None) -> str:
    """A share of a tolerance as a number over a bar. Its title names the check."""
    if not used:
        return "–"
    share, test, what = used
    mark = "✗ " if share > 1 else "▲ " if share >= NEAR else ""
    title = escape(f"{short(test)}: {what}", quote=True)
    return f'<span class="bar" style="--share:{min(share, 1):.3f}" title="{title}">{mark}{percent(share)}</span>'


def short(test: str) -> str:
    """A test's name without its folder."""
    return test.split("/")[-1].replace(".py::", "::")


def by_check(named: Sequence[Named]) -> dict[tuple[str, str], list[charts.Share]]:
    """The shares of each check on all stacks, by (test, what)."""
    found: dict[tuple[str, str], list[charts.Share]] = {}
    for number, label, report in named:
        for test, checks in report.margins.items():
            for what, share in checks.items():
                found.setdefault((test, what), []).append((number, label, math.inf if share is None else share))
    return found


def moved(named: Sequence[Named], most: int = 15) -> str:
    """The checks whose shares differ most between stacks."""

    def distance(item: Check) -> float:
        shares = [min(share, charts.BEYOND) for _, _, share in item[1]]
        return max(shares) - min(shares)

    found = {key: shares for key, shares in by_check(named).items() if tier_of(key[0]) in WITHOUT_CHANCE}
    return strips(sorted(found.items(), key=distance, reverse=True)[:most])


def nearest(named: Sequence[Named], most: int = 10) -> str:
    """By tier, the checks that used most of their tolerance on any stack."""
    found, parts = by_check(named), []
    for tier in TIERS_WITH_MARGINS:
        here = [item for item in found.items() if tier_of(item[0][0]) == tier]
        here.sort(key=lambda item: max(share for _, _, share in item[1]), reverse=True)
        if here:
            title = f"{tier}: {counted(len(here), 'check')} with a tolerance"
            parts.append(f"<details><summary>{title}</summary>{strips(here[:most])}</details>")
    return "".join(parts)


def strips(items: Iterable[Check]) -> str:
    """Checks, each with its shares on a line, and the smallest and the largest of them."""
    rows = []
    for (test, what), shares in items:
        least, most = (end(shares, key=lambda each: each[2]) for end in (min, max))
        ends = " to ".join(f"{percent(share)} ({escape(who)})" for _, who, share in (least, most)[-min(len(shares), 2) :])
        name = f"<code>{escape(short(test))}</code><strong>{escape(what)}</strong>"
        rows.append(f"<li><span>{name}</span>{charts.strip(shares)}<span>{ends}</span></li>")
    return f'<ul class="strips">{"".join(rows)}</ul>'


def legend(named: Sequence[Named]) -> str:
    """A checkbox per stack. It shows or hides the stack in all charts."""
    items = "".join(
        f'<label><input type="checkbox" id="show-{number}" checked>{charts.sample(number)} {escape(label)}</label>'
        for number, label, _ in named
    )
    return f'<fieldset class="legend"><legend>Shown in all charts</legend>{items}</fieldset>'


def curves(named: Sequence[Named]) -> Iterator[str]:
    """A section of loss curves for each data set and number of epochs."""
    for settings in dict.fromkeys(report.settings for _, _, report in named):
        figures = []
        for metric, title in METRICS.items():
            for model in MODELS:
                same = [(n, label, r.trainings) for n, label, r in named if r.settings == settings and model in r.trainings]
                runs = [(n, label, trainings[model]) for n, label, trainings in same]
                lines = [(n, label, run["history"][metric]) for n, label, run in runs if run["history"].get(metric)]
                if lines:
                    band = next((run["bands"][metric] for _, _, run in runs if metric in run["bands"]), None)
                    name = f"{model}, {title}"
                    figures.append(figure(name, charts.loss_chart(name, lines, band), numbers(lines)))
        if figures:
            yield section(f"Loss curves: {settings}", CURVES, f'<div class="charts">{"".join(figures)}</div>')


def numbers(lines: Sequence[charts.Curve]) -> str:
    """The losses of a chart as a table, a row per stack."""
    epochs = max(len(losses) for _, _, losses in lines)
    rows = [[escape(label), *(f"{loss:.4f}" for loss in losses)] for _, label, losses in lines]
    return table("Losses by epoch", ("environment", *(f"epoch {epoch}" for epoch in range(1, epochs + 1))), rows)


def speeds(named: Sequence[Named]) -> Iterator[str]:
    """A section of seconds per epoch for each hardware and data set."""
    places = dict.fromkeys((report.hardware, report.options["dataset"]) for _, _, report in named if report.trainings)
    for place in places:
        here = [item for item in named if (item[2].hardware, item[2].options["dataset"]) == place]
        figures = []
        for model in MODELS:
            rows = [timed(*item, model) for item in here if model in item[2].trainings]
            if rows:
                figures.append(f"<figure><figcaption>{model}</figcaption>{charts.speed_chart(model, rows)}</figure>")
        yield section(f"Seconds per epoch: {', '.join(place)}", SPEEDS, f'<div class="charts">{"".join(figures)}</div>')


def timed(number: int, label: str, report: Report, model: str) -> charts.Speed:
    """A row of a speed chart: number, label, seconds of the first epoch, median of the later ones or None."""
    first, *later = report.trainings[model]["history"]["seconds"]
    workers = report.options["workers"]
    name = label if workers == 1 else f"{label} ({workers} workers)"
    return number, name, first, statistics.median(later) if later else None
