"""What the stored results of the catalogue say of the suite: how many faults of each kind each level catches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cnnspec.faults import store
from cnnspec.faults.store import CAUGHT, HEALTHY, MISSED, RESULTS
from cnnspec.names import LEVELS

Rows = Sequence[Mapping[str, str]]
TITLE = "faults of the catalogue by kind, and what a run of each level catches"
HEADER = ("kind", "faults", "caught in quick", "caught in default", "seen, not named", "missed", "error")


def faults(rows: Rows) -> list[Mapping[str, str]]:
    """The rows of faults, without that of the healthy suite."""
    return [row for row in rows if row["fault"] != HEALTHY]


def caught_in(rows: Rows, level: str) -> int:
    """Number of faults that a run of a level catches: the levels below it are parts of it."""
    within = LEVELS[: LEVELS.index(level) + 1]
    return sum(row["result"] == CAUGHT and row["level"] in within for row in faults(rows))


def by_kind(rows: Rows) -> list[list[str]]:
    """A row of the table for each kind, by name, and one of all."""
    kinds = sorted({row["kind"] for row in faults(rows)})
    groups = [(kind, [row for row in rows if row["kind"] == kind]) for kind in kinds] + [("all", faults(rows))]
    return [
        [
            kind,
            str(len(group)),
            *(str(caught_in(group, level)) for level in LEVELS[:2]),
            *(str(sum(row["result"] == result for row in group)) for result in RESULTS[1:]),
        ]
        for kind, group in groups
    ]


def by_tier(rows: Rows) -> dict[str, int]:
    """Number of faults that each tier was the first to name."""
    return dict(Counter(row["tier"] for row in faults(rows) if row["result"] == CAUGHT).most_common())


def unexplained(rows: Rows, seen_by: Mapping[str, str]) -> list[str]:
    """Names of the faults that are not caught, without those that are listed and missed; and of those listed and caught."""
    due = [MISSED if row["fault"] in seen_by else CAUGHT for row in faults(rows)]
    return [row["fault"] for row, result in zip(faults(rows), due, strict=True) if row["result"] != result]


def summary(rows: Rows, seen_by: Mapping[str, str]) -> str:
    """The tables of a run of the catalogue, and what needs a look."""
    widths = [max(len(line[column]) for line in [HEADER, *by_kind(rows)]) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in [HEADER, *by_kind(rows)]
    ]
    lines += ["named first by: " + ", ".join(f"{tier or 'no tier'} {count}" for tier, count in by_tier(rows).items())]
    for name in unexplained(rows, seen_by):
        row = next(row for row in rows if row["fault"] == name)
        lines.append(
            f"{name}: caught, but listed as missed; remove it from the list"
            if row["result"] == CAUGHT
            else f"{name}: {row['result']}: {row['seen'] or 'no test failed'}: {row['message'] or 'list what sees it'}"
        )
    return "\n".join(line.rstrip() for line in lines)


def line_of_level(level: str, path: Path | None = None) -> str:
    """One line that says how many of the stored faults a level catches; empty where none are stored.

    Raises BaselineError where the file is damaged.
    """
    path = path or store.PATH
    if not path.exists() or level not in LEVELS[:2]:
        return ""
    rows = store.CATALOGUE.read(path)
    count, whole = len(faults(rows)), caught_in(rows, "default")
    rest = f"; default catches {whole}" if level == "quick" else ""
    return f"power: {level} catches {caught_in(rows, level)} of the {count} faults of the stored catalogue{rest}"
