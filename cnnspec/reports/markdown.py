"""Reports and results as Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnspec.names import MODELS
from cnnspec.reports import fleets
from cnnspec.reports.report import TIERS_WITH_MARGINS, Report, missing
from cnnspec.reports.words import COLUMNS, NO_REPORT, losses, reasons, row, summary, used

if TYPE_CHECKING:
    import pandas as pd

LEGEND = (
    "numerics to results: the largest share of its tolerance that a check of the tier used; above 100% it failed. "
    "seconds: duration of the whole run of the suite, one run each; compare them only on the same machine."
)


def of_reports(reports: Sequence[Report], expected: Sequence[str] = ()) -> str:
    """One table of all reports, how to read its columns, and why tests failed, did not run or are known to differ."""
    header = [*COLUMNS, *TIERS_WITH_MARGINS, f"test loss, {MODELS[0]} to {MODELS[-1]}", "seconds", "date"]
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
    parts = [escaped(summary(reports, absent)), table(header, rows), LEGEND]
    for title, found in reasons(reports).items():
        lines = [f"- {', '.join(map(escaped, who))}: {after_name(line)}" for line, who in found.items()]
        parts.append("\n".join([f"**{title}**", "", *lines]))
    parts += filter(None, [fleets.told(reports)])
    return "\n\n".join(parts) + "\n"


def of_frame(frame: pd.DataFrame) -> str:
    """A frame as a table without its index, without padding: for a document."""
    header = [str(column) for column in frame.columns]
    return table(header, frame.astype(str).to_numpy().tolist(), padded=False)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], padded: bool = True) -> str:
    """A Markdown table. With `padded`, cells are filled with spaces to the width of their column, for the terminal."""
    cells = [[escaped(cell) for cell in line] for line in [header, *rows]]
    widths = [max(len(line[column]) for line in cells) if padded else 0 for column in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "| " + " | ".join("-" * max(3, width) for width in widths) + " |", *lines[1:]])


def escaped(text: str) -> str:
    """A text on one line that Markdown shows as it is, in a table too: no code, no HTML, no link, no end of a cell."""
    marked = re.sub(r"[\\|`]|<(?=[A-Za-z/!?])|(?<=\])\(", r"\\\g<0>", text)
    return on_one_line(marked)


def after_name(line: str) -> str:
    """A line that begins with `name`, with the rest of it escaped."""
    _, name, rest = line.split("`", 2)
    return f"`{on_one_line(name)}`{escaped(rest)}"


def on_one_line(text: str) -> str:
    """A text without line breaks and control characters."""
    return re.sub(r"[^\S ]+|[\x00-\x1f\x7f-\x9f]+", " ", text)
