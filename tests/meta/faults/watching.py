"""What a run with a fault shows: the first test that fails, and the first whose message holds one of the fault's words."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, NamedTuple

import pytest

LONGEST = 300  # characters of a stored message
# What code raises that is wrong itself: the code of a fault, most likely. It shows nothing about the suite.
CRASHES = ("AttributeError: ", "NameError: ", "UnboundLocalError: ", "TypeError: ", "KeyError: ", "IndexError: ")


class Failure(NamedTuple):
    """A failed test: its name, the smallest level that runs it, its message, and the seconds since the run began."""

    test: str
    tier: str  # empty for what is no tier's
    level: str
    message: str
    seconds: float


class Watcher:
    """A pytest plugin that looks at the message of every failed test, and ends the run when all is known.

    A failure without one of the `words`, or by one of CRASHES, does not end the run: a later message may name the fault.
    After a failure of a test that the quick level leaves out, that level's tiers go on: one of their tests may name it too.
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.seen: Failure | None = None
        self.named: Failure | None = None
        self.passed = 0
        self.levels: dict[str, str] = {}
        self.started = time.monotonic()

    def found(self) -> dict[str, Any]:
        """What the run showed, for JSON."""
        told = {name: failure and failure._asdict() for name, failure in (("seen", self.seen), ("named", self.named))}
        return {"passed": self.passed, "seconds": round(time.monotonic() - self.started, 1), **told}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from tests.support import two_processes

        self.levels = {item.nodeid: level_of(item) for item in session.items}
        two_processes.start_early = lambda session: None  # most runs end before the tier that waits for them

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.look_at(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.look_at(report)
        elif report.when == "call":
            self.passed += report.passed

    def look_at(self, report: Any) -> None:
        """Keep the first failure, the first that names the fault, and of these the first of the quick level."""
        level = self.levels.get(report.nodeid, "default")
        message = message_of(report)
        failure = Failure(
            report.nodeid,
            tier_of(report.nodeid),
            level,
            told(message, self.words),
            round(time.monotonic() - self.started, 1),
        )
        self.seen = self.seen or failure
        names = any(word in message for word in self.words) and not any(crash in message for crash in CRASHES)
        if names and (self.named is None or (self.named.level != "quick" and level == "quick")):
            self.named = failure

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        done = yield
        if self.named and (self.named.level == "quick" or nextitem is None or not in_quick(nextitem)):
            item.session.shouldstop = "the fault is named"
        return done


def level_of(item: pytest.Item) -> str:
    """The smallest level that runs a test."""
    from tests.plugin import levels  # imported by then; before, pytest would not rewrite it

    return next(level for level in levels.LEVELS if levels.belongs(item, level, item.config))


def in_quick(item: pytest.Item) -> bool:
    """Whether a test is of a tier of the quick level."""
    from tests.plugin import levels

    return levels.module_of(item.nodeid) in levels.QUICK


def tier_of(test: str) -> str:
    """The tier of a test, `exact` of tests/test_exact.py::test_name; what is no tier's has none."""
    from tests.plugin import levels, verdict

    module = levels.module_of(test)
    return module.removeprefix("test_") if module in verdict.TIERS | verdict.ASKED_FOR else ""


def message_of(report: Any) -> str:
    """The message of a failed test without its source: what a person reads who looks for the cause."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).removeprefix("Failed: ")


def told(message: str, words: tuple[str, ...]) -> str:
    """A message on one line: its first line, and the line that holds one of the words where that is another."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()] or ["no message"]
    holding = [line for line in lines[1:] if any(word in line for word in words)]
    named = any(word in lines[0] for word in words)
    text = " | ".join(lines[:1] + ([] if named else holding[:1]))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
