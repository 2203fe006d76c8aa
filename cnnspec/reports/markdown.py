"""Reports as Markdown: one table with a row per environment, then what needs a reason."""

from __future__ import annotations

from cnnspec.reports.report import TIERS_WITH_MARGINS, missing
from cnnspec.reports.words import COLUMNS, NO_REPORT, losses, reasons, row, summary, used


def markdown(reports, expected=()):
    """One table of all reports, what did not run or differs with its reasons, and how the columns are to be read."""
    header = [*COLUMNS, *TIERS_WITH_MARGINS, "test loss, model 1 to 4", "seconds", "date"]
    rows = [
        [
            *row(report),
            *(used(report, tier) for tier in TIERS_WITH_MARGINS),
            " ".join(losses(report)),
            f"{report.seconds:.0f}",
            report.date[:10],
        ]
        for report in reports
    ]
    absent = missing(reports, expected)
    rows += [[name, NO_REPORT, *["–"] * (len(header) - 2)] for name in absent]
    parts = [summary(reports, absent), aligned(header, rows), LEGEND]
    for title, found in reasons(reports).items():
        parts.append("\n".join([f"**{title}**", "", *(f"- {', '.join(who)}: {line}" for line, who in found.items())]))
    return "\n\n".join(parts) + "\n"


LEGEND = (
    "numerics to results: the largest share of its bound that a check of the tier used; above 100% it failed. "
    "Seconds are of the whole run of the suite, one run each, and can be compared on one machine only."
)


def aligned(header, rows):
    """A Markdown table whose columns are as wide in the terminal as their widest cell."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in [header, *rows]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
