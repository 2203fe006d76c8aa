"""The stored results of the catalogue of faults and of the healthy variants: `baselines/faults/*.csv`, one row for each.

`python -m tests.meta.faults.run` puts each fault into a process of its own and runs the suite there; with `--healthy` it
runs the suite in environments in which it must pass.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnspec import content
from cnnspec.errors import BaselineError
from cnnspec.facts import reading
from cnnspec.files import locked, write_whole
from cnnspec.names import LEVELS
from cnnspec.shapes import COUNT, NAME, SEED, TEXT, Number, Text

PATH = reading.BASELINES / "faults" / "catalogue.csv"
VARIANTS_PATH = reading.BASELINES / "faults" / "healthy.csv"
CAUGHT, NOT_NAMED, MISSED, ERROR = "caught", "seen, not named", "missed", "error"
RESULTS = (CAUGHT, NOT_NAMED, MISSED, ERROR)
ALONE = "its test alone"  # how a fault was run whose test is known from a run of the whole suite
HEALTHY = "none"  # the fault of the suite without one, which must be missed
VERDICTS = ("pass", "fail", "no verdict", ERROR)
DIGEST = Text(form=("[0-9a-f]{12}", "twelve hexadecimal digits"))
STACK = ("python", "framework", "keras", "numpy", "device", "cpu")
WHERE: dict[str, Any] = {
    "suite_text": DIGEST,
    "date": Text(form=(r"\d{4}-\d\d-\d\d", "a date such as 2026-11-26")),
    **dict.fromkeys(STACK, NAME),
    "cores": COUNT,
    "threads": TEXT,
}
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
    "run": Text((*LEVELS, ALONE)),  # the level that ran, or only the test that named the fault in a run of a level before
    "fault_text": DIGEST,
    **WHERE,
}
VARIANT_COLUMNS: dict[str, Any] = {
    "variant": NAME,
    "verdict": Text(VERDICTS),
    **dict.fromkeys(("passed", "failed", "skipped", "known_differences"), COUNT),
    "first_failed": TEXT,
    "seconds": Number(0, 1e6),
    "tightest": Number(0, 1e12),  # the largest share of its tolerance that a check used
    "tightest_check": TEXT,
    "run": Text(LEVELS),
    "seed": SEED,
    "variant_text": DIGEST,
    **WHERE,
}


@dataclasses.dataclass(frozen=True)
class Stored:
    """A kind of stored result: the columns of its CSV, what names a row, what decides a result, what is wrong with a row."""

    columns: Mapping[str, Any]
    key: str
    order: tuple[str, ...]
    identity: tuple[str, ...]
    wrong: Callable[[Mapping[str, str]], str]
    make: str

    def read(self, path: str | Path) -> list[dict[str, Any]]:
        """The rows stored at `path`. Raises BaselineError where it is missing or damaged."""
        with content.told_as(BaselineError, path, self.remedy(path), f"make it: {self.make} --out {path}"):
            return self.rows_of(content.text_of(path))

    def rows_of(self, text: str) -> list[dict[str, Any]]:
        """The rows of a CSV. Raises content.Fault."""
        rows = content.rows_of(text, self.columns, (self.key,), texts=True)
        for row in rows:
            if wrong := self.wrong(row):
                raise content.Fault(f": {row[self.key][:60]} {wrong}")
        return rows

    def add(self, path: str | Path, row: Mapping[str, str]) -> None:
        """Store a row in the place of that of the same name. Raises BaselineError, and stores nothing, for a damaged one."""
        path, name = Path(path), row[self.key]
        with locked(path):
            rows = [each for each in self.read(path) if each[self.key] != name] if path.exists() else []
            text = self.written([*rows, row])
            with content.told_as(BaselineError, f"{path}, with {name} added", "it is not stored; look at its log"):
                self.rows_of(text)
            write_whole(path, text)

    def written(self, rows: Sequence[Mapping[str, str]]) -> str:
        """Rows as the text of a CSV, in order."""
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(self.columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: [row[name] for name in self.order]))
        return out.getvalue()

    def holds(self, rows: Sequence[Mapping[str, str]], row: Mapping[str, str]) -> bool:
        """Whether rows hold the result of the same text, suite, level and stack as `row` has."""
        return any(all(each[name] == row[name] for name in (self.key, *self.identity)) for each in rows)

    def remedy(self, path: str | Path) -> str:
        """What to do about a damaged file."""
        if reading.BASELINES in Path(path).resolve().parents:
            return reading.restore(path)
        return f"remove it and make it again: {self.make} --out {path}"


def wrong_fault(row: Mapping[str, str]) -> str:
    """In words, that a fault is told as caught by no test, or as not caught by one; empty where the row agrees."""
    if len({row["result"] == CAUGHT, bool(row["level"]), bool(row["test"])}) == 1:
        return ""
    return f"is told as {row['result']}, with level {row['level'] or 'none'}, test {row['test'][:60] or 'none'}"


def wrong_variant(row: Mapping[str, str]) -> str:
    """In words, that a variant is told as passed with failed tests, or as failed without; empty where the row agrees."""
    agrees = (row["verdict"] == "fail") == (row["failed"] != "0")
    return "" if agrees else f"is told as {row['verdict']}, with {row['failed']} failed"


SUITE_AND_STACK = ("suite_text", "run", *STACK, "cores")
MAKE = "python -m tests.meta.faults.run"
CATALOGUE = Stored(COLUMNS, "fault", ("kind", "fault"), ("fault_text", *SUITE_AND_STACK), wrong_fault, MAKE)
VARIANTS = Stored(
    VARIANT_COLUMNS, "variant", ("variant",), ("variant_text", "suite_text", "run"), wrong_variant, f"{MAKE} --healthy"
)
