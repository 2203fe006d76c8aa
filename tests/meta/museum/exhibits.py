"""The exhibits: releases with a known defect, what must fail on them, and the healthy neighbours. Data, and its reading."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnspec.bisect import fits
from cnnspec.bisect.search import FAILS, PASSES, SKIPPED
from cnnspec.facts.reading import BASELINES, read_csv, read_toml
from cnnspec.shapes import COUNT, NAME, TEXT, Maybe, Number, Text

FOLDER = BASELINES / "museum"
FILE, RESULTS = FOLDER / "exhibits.toml", FOLDER / "results.csv"
ILL, HEALTHY = "ill", "healthy"
DUE = {ILL: FAILS, HEALTHY: PASSES}  # what the tests must do on each side
SIDE = {
    "beside": NAME,  # an environment of tox.ini, whose Python and pins hold
    Maybe("with"): [NAME],  # requirements that replace pins, or come behind them
    Maybe("variables"): {str: TEXT},
}
EXHIBIT = {
    "issue": NAME,  # where the defect is public
    "story": NAME,
    "tests": [NAME],  # as pytest takes them
    "words": [NAME],  # each must stand in the message of the first test that fails
    ILL: SIDE,
    HEALTHY: SIDE,
}
COLUMNS: dict[str, Any] = {
    "exhibit": NAME,
    "side": Text((ILL, HEALTHY)),
    "verdict": Text((FAILS, PASSES, SKIPPED)),
    "test": TEXT,  # the first that failed
    "message": TEXT,
    "passed": COUNT,
    "seconds": Number(0, 1e6),  # of the exhibit's tests, up to the first that failed
    "process": Number(0, 1e6),  # seconds of the process of pytest, start and imports included, with all tests of its stack
    "stack": TEXT,
    "asked": NAME,  # a digest of what decides the result: Side.digest
    "date": NAME,
}
KEY = ("exhibit", "side")


@dataclasses.dataclass(frozen=True)
class Stack:
    """What is installed, with which Python, and the variables that are set there."""

    python: str
    backend: str
    requirements: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Eight digits that change with anything in it."""
        return digest_of(self)


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of an exhibit: a stack and the tests that run on it."""

    stack: Stack
    tests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Eight digits that change with anything that decides the result, the suite itself apart."""
        return digest_of(self)


def digest_of(value: Any) -> str:
    """The first eight digits of a digest of a dataclass."""
    return hashlib.sha256(json.dumps(dataclasses.asdict(value), sort_keys=True).encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A defect of a release: where it is public, what it does, and how the suite must see it."""

    name: str
    issue: str
    story: str
    words: tuple[str, ...]
    sides: Mapping[str, Side]  # ILL and HEALTHY


def exhibits(path: Path = FILE) -> list[Exhibit]:
    """Every exhibit of the file. Raises BaselineError, and BisectError where tox.ini lacks an environment."""
    rows = {row.environment: row for row in fits.matrix()}
    return [
        Exhibit(
            name,
            fields["issue"],
            fields["story"],
            tuple(fields["words"]),
            {which: side(fields[which], fields["tests"], rows) for which in DUE},
        )
        for name, fields in read_toml(path, {str: EXHIBIT}).items()
    ]


def side(fields: Mapping[str, Any], tests: Sequence[str], rows: Mapping[str, fits.Row]) -> Side:
    """One side from its fields and the matrix, {environment: its row}."""
    row = rows[fields["beside"]]
    pins = tuple(f"{name}=={pin}" for name, pin in row.pins.items())
    wanted = fields.get("with", [])
    requirements = fits.replaced(pins, wanted)
    backend = row.environment if row.environment in fits.BACKENDS else "tensorflow"
    variables = tuple(sorted(fields.get("variables", {}).items()))
    return Side(Stack(row.python, backend, requirements, variables), tuple(tests))


def results(path: Path = RESULTS) -> dict[tuple[str, str], dict[str, Any]]:
    """{(exhibit, side): its row} of a file of results; nothing where there is no file yet. Raises BaselineError."""
    if not path.exists():
        return {}
    remedy = "tox run -e museum -- --store makes it again" if path == RESULTS else "remove it to begin again"
    return {(row["exhibit"], row["side"]): row for row in read_csv(path, COLUMNS, KEY, remedy)}


def wrong(exhibit: Exhibit, which: str, row: Mapping[str, Any] | None) -> str:
    """What in the result of one side is not as the exhibit says, in words; empty where all is."""
    if row is None:
        return "was not run"
    if row["asked"] != exhibit.sides[which].digest:
        return "was run with other versions or tests"
    if row["verdict"] != DUE[which]:
        return f"{row['verdict']}, and must be one that {DUE[which]}: {row['message']}"
    if which == HEALTHY:
        return "" if row["passed"] else "no test passed"
    missing = [word for word in exhibit.words if word not in row["message"]]
    return f"its message lacks {', '.join(map(repr, missing))}: {row['message']}" if missing else ""
