"""The stored results of the catalogue of faults, `baselines/faults/catalogue.csv`: one row for each fault.

`python -m tests.meta.faults.run` puts each fault into a process of its own and runs the suite there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnspec import content
from cnnspec.errors import BaselineError
from cnnspec.facts import reading
from cnnspec.files import locked, write_whole
from cnnspec.names import LEVELS
from cnnspec.shapes import COUNT, NAME, TEXT, Number, Text

PATH = reading.BASELINES / "faults" / "catalogue.csv"
MAKE = "python -m tests.meta.faults.run"
CAUGHT, NOT_NAMED, MISSED, ERROR = "caught", "seen, not named", "missed", "error"
RESULTS = (CAUGHT, NOT_NAMED, MISSED, ERROR)
HEALTHY = "none"  # the fault of the suite without one, which must be missed
DIGEST = Text(form=("[0-9a-f]{12}", "twelve hexadecimal digits"))
STACK = ("python", "framework", "keras", "numpy", "device", "cpu")
COLUMNS: dict[str, Any] = {
    "fault": NAME,
    "kind": NAME,
    "result": Text(RESULTS),
    "level": Text(("", *LEVELS)),  # the smallest level with a test that names the fault
    "tier": TEXT,
    "test": TEXT,  # the first test whose message holds one of the fault's words
    "seen": TEXT,  # the first test that failed
    "seconds": Number(0, 1e6),
    "message": TEXT,
    "run": Text(LEVELS),  # the level that ran
    "fault_text": DIGEST,
    "suite_text": DIGEST,
    "date": Text(form=(r"\d{4}-\d\d-\d\d", "a date such as 2026-11-26")),
    **dict.fromkeys(STACK, NAME),
    "cores": COUNT,
    "threads": TEXT,
}
IDENTITY = ("fault_text", "suite_text", "run", *STACK, "cores")  # a row with the same is not made again


def read(path: str | Path = PATH) -> list[dict[str, Any]]:
    """The rows stored at `path`. Raises BaselineError where it is missing or damaged."""
    with content.told_as(BaselineError, path, remedy(path), f"make it: {MAKE} --out {path}"):
        return rows_of(content.text_of(path))


def rows_of(text: str) -> list[dict[str, Any]]:
    """The rows of a CSV. Raises content.Fault, also where a fault is caught by no test, or not caught by one."""
    rows = content.rows_of(text, COLUMNS, ("fault",), texts=True)
    for row in rows:
        if len({row["result"] == CAUGHT, bool(row["level"]), bool(row["test"])}) > 1:
            told = f"level {row['level'] or 'none'}, test {row['test'][:60] or 'none'}"
            raise content.Fault(f": {row['fault'][:60]} is told as {row['result']}, with {told}")
    return rows


def add(path: str | Path, row: Mapping[str, str]) -> None:
    """Store a row in the place of that of the same fault. Raises BaselineError, and stores nothing, for a damaged one."""
    path = Path(path)
    with locked(path):
        rows = [each for each in read(path) if each["fault"] != row["fault"]] if path.exists() else []
        text = written([*rows, row])
        with content.told_as(BaselineError, f"{path}, with {row['fault']} added", "it is not stored; look at its log"):
            rows_of(text)
        write_whole(path, text)


def written(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as the text of a CSV, by kind and name."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: (row["kind"], row["fault"])))
    return out.getvalue()


def is_stored(rows: Sequence[Mapping[str, str]], row: Mapping[str, str]) -> bool:
    """Whether rows hold the result of the same fault, suite and stack as `row` has."""
    return any(all(each[name] == row[name] for name in ("fault", *IDENTITY)) for each in rows)


def remedy(path: str | Path) -> str:
    """What to do about a damaged file."""
    if reading.BASELINES in Path(path).resolve().parents:
        return reading.restore(path)
    return f"remove it and make it again: {MAKE} --out {path}"
