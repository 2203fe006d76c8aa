"""Reports as one HTML page without other files: table, reasons, margins, loss curves, speeds."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cnnspec import __version__
from cnnspec.names import MODELS
from cnnspec.reports import benchmarks, charts, curves, fleets, speeds
from cnnspec.reports.html import Named, section, table
from cnnspec.reports.report import TIERS_WITH_MARGINS, Report, missing, tier_of
from cnnspec.reports.words import COLUMNS, NO_REPORT, counted, losses, outcome, percent, reasons, row, summary

Check = tuple[tuple[str, str], list[charts.Share]]  # (test, what) and its share on each stack
Anchors = dict[tuple[str, str], str]  # {(reason, label): id of the place where the stack stands with it}

WITHOUT_CHANCE = ("numerics", "optimizer", "trajectory")
ORDER = ("fail", NO_REPORT, "cannot tell", "no verdict", "pass")  # of the rows: every outcome, failures first
SYMBOLS = {"pass": "✓", "fail": "✗", "cannot tell": "?", "no verdict": "–"}
NEAR = 0.8  # shares of a tolerance from here on are marked


def page(
    reports: Sequence[Report],
    expected: Sequence[str] = (),
    timings: Iterable[dict[str, Any]] = (),
    before: Iterable[dict[str, Any]] = (),
) -> str:
    """The page as HTML. Reports keep their order; `expected` names environments that must have one.

    `timings` are files of timings as `timings.read` returns them, and `before` others that are shown over time alone.
    """
    absent = missing(reports, expected)
    found = reasons(reports)
    anchors = anchored(reports, found)
    named = [(number, report.label, report) for number, report in enumerate(reports)]
    hiding = "".join(f"body:has(#show-{n}:not(:checked)) svg .s-{n}{{display:none!important}}" for n, _, _ in named)
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    sections = []
    if reports or absent:
        sections.append(section("Stacks", summary(reports, absent), stacks(reports, absent, anchors)))
        sections += [section(title, "", listed(lines, anchors)) for title, lines in found.items()]
        sections += equal_machines(reports)
    if reports:
        sections += [
            section("Margins", MARGINS, tiers(named) + legend(named)),
            *curves.sections(named),
            section("Checks that differ most between stacks", MOVED, moved(named)) if len(named) > 1 else "",
            section("Tightest checks, by tier", "", nearest(named)),
            *speeds.sections(named),
        ]
    sections += benchmarks.sections(timings, before)
    choosing = curves.choosing(named)
    return PAGE.format(style=style + hiding + choosing, made=escape(origin(reports)), body="\n".join(sections))


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
<p>Does each stack build the same models, compute the same numbers and reach the same losses?</p>
<p>{made}</p></header>
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


def origin(reports: Sequence[Report]) -> str:
    """What made the page, when, and from runs of which days and versions."""
    made = f"Page made by cnnspec {__version__} on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}."
    if not reports:
        return made
    days = sorted({report.date[:10] for report in reports})
    versions = ", ".join(sorted({report.cnnspec for report in reports}))
    return f"{made} Runs of {' to '.join(dict.fromkeys((days[0], days[-1])))} by cnnspec {versions}."


def anchored(reports: Sequence[Report], found: Mapping[str, Mapping[str, Sequence[str]]]) -> Anchors:
    """The places that the verdicts of failing stacks lead to: of each stack the first reason, failures first."""
    anchors: Anchors = {}
    for number, report in enumerate(reports):
        lines = (line for lines in found.values() for line, who in lines.items() if report.label in who)
        first = None if report.good else next(lines, None)
        if first:
            anchors[first, report.label] = f"why-{number}"
    return anchors


def stacks(reports: Sequence[Report], absent: Sequence[str], anchors: Anchors) -> str:
    """The table of all environments, the failing ones first and tinted."""
    header = [*COLUMNS, *(f"test loss, {model}" for model in MODELS), "seconds", "date", "cnnspec", "NumPy", "hardware"]
    places = {label: place for (_, label), place in anchors.items()}
    rows = []
    for report in reports:
        cells = [escape(cell) for cell in row(report)]
        kind = "good" if report.good else "bad"
        symbol, place = SYMBOLS.get(outcome(report), "–"), places.get(report.label)
        word = f'<a href="#{place}">{symbol} {cells[1]}</a>' if place and not report.good else f"{symbol} {cells[1]}"
        cells[1] = f'<span class="verdict {kind}">{word}</span>'
        last = [f"{report.seconds:.0f}", report.date[:10], report.cnnspec, report.stack["numpy"], report.hardware]
        rows.append((outcome(report), [*cells, *losses(report), *(escape(cell) for cell in last)]))
    for name in absent:
        word = f'<span class="verdict bad">✗ {NO_REPORT}</span>'
        rows.append((NO_REPORT, [escape(name), word, *["–"] * (len(header) - 2)]))
    rows.sort(key=lambda each: ORDER.index(each[0]))
    tints = ["" if kind == "pass" else "doubt" if kind in ("cannot tell", "no verdict") else "tint" for kind, _ in rows]
    return table("Stacks", header, [cells for _, cells in rows], "stacks", tints)


def listed(lines: Mapping[str, Sequence[str]], anchors: Anchors, most: int = 8) -> str:
    """Reasons with the environments that have them. Those that a verdict leads to are first and never folded.

    Of the others so many follow that `most` are open; the rest is folded.
    """
    items = []
    for line, who in lines.items():
        places = [anchors.get((line, label)) for label in who]
        named = [
            f'<span id="{place}">{escape(label)}</span>' if place else escape(label)
            for label, place in zip(who, places, strict=True)
        ]
        items.append((not any(places), f"<li><strong>{', '.join(named)}</strong> {coded(escape(line))}</li>"))
    items.sort(key=lambda item: item[0])
    most = max(most, sum(not other for other, _ in items))
    shown = [item for _, item in items]
    folded = f"<details><summary>{len(shown) - most} more</summary><ul>{''.join(shown[most:])}</ul></details>"
    return f"<ul>{''.join(shown[:most])}</ul>{folded if len(shown) > most else ''}"


def equal_machines(reports: Sequence[Report]) -> list[str]:
    """A section on machines that have to agree, with the odd one out of each group; none where no report has an equal."""
    parts = []
    for compared, lines in fleets.paragraphs(reports):
        items = "".join(f"<li>{escape(line.strip())}</li>" for line in lines)
        parts.append(f"<p>{escape(compared)}</p>" + (f"<ul>{items}</ul><p>{escape(fleets.NEXT)}</p>" if lines else ""))
    title = fleets.TITLE[0].upper() + fleets.TITLE[1:]
    return [section(title, "", "".join(parts))] if parts else []


def coded(line: str) -> str:
    """A line that begins with Markdown's `name`, as HTML."""
    _, name, rest = line.split("`", 2)
    return f"<code>{name}</code>{rest}"


def tiers(named: Sequence[Named]) -> str:
    """Largest share per stack and tier, each with a bar, the failing stacks first."""
    ordered = sorted(named, key=lambda each: ORDER.index(outcome(each[2])))
    rows = [[escape(label), *(cell(report.used(tier)) for tier in TIERS_WITH_MARGINS)] for _, label, report in ordered]
    return table("Margins", ("environment", *TIERS_WITH_MARGINS), rows)


def cell(used: tuple[float, str, str] | None) -> str:
    """A share of a tolerance as a number over a bar. Its title names the check."""
    if not used:
        return "–"
    share, test, what = used
    mark = "✗ " if share > 1 else "▲ " if share >= NEAR else ""
    over = " over" if share > 1 else ""
    title = escape(f"{short(test)}: {what}", quote=True)
    return f'<span class="bar{over}" style="--share:{min(share, 1):.3f}" title="{title}">{mark}{percent(share)}</span>'


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
    head = f"<li><span>check</span>{charts.share_axis()}<span>smallest to largest share of the tolerance</span></li>"
    return f'<ul class="strips">{head}{"".join(rows)}</ul>'


def legend(named: Sequence[Named]) -> str:
    """A checkbox per stack. It shows or hides the stack in all charts."""
    items = "".join(
        f'<label><input type="checkbox" id="show-{number}" checked>{charts.sample(number)} {escape(label)}</label>'
        for number, label, _ in named
    )
    return f'<fieldset class="legend"><legend>Shown in all charts</legend>{items}</fieldset>'
