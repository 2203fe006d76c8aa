"""One visit: the environment of one side of an exhibit, the tests in it, and what came of them as a row of the results."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cnnspec import verify
from cnnspec.bisect.environments import Call, Environments, call
from cnnspec.bisect.search import FAILS
from cnnspec.errors import MalformedReport
from cnnspec.reports.report import Report
from tests.meta.museum.exhibits import Side

LONGEST = 1000  # characters of a message that is kept


class Visits:
    """Visits that leave their logs in the folder `place`. `uv` makes the environments, or venv and pip where it is None."""

    def __init__(self, place: Path, python: Mapping[str, str], uv: str | None, call: Call = call) -> None:
        self.place, self.python, self.uv, self.call = place, python, uv, call

    def visit(self, name: str, which: str, side: Side) -> dict[str, Any]:
        """The row of one side. Its environment is made, used and removed. Raises BisectError where nothing can be made."""
        spent = [0.0]

        def timed(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
            started = time.monotonic()
            code = self.call(command, log, {**environment, **side.variables})
            spent[0] = time.monotonic() - started  # of the last command, which is pytest's
            return code

        release = f"{name}-{which}"
        xml = self.place / f"{release}.xml"
        xml.unlink(missing_ok=True)
        tests = verify.own([word for word in side.tests])
        arguments = [*tests, "--exitfirst", f"--junit-xml={xml}"]
        rooms = Environments(self.place, self.python[side.python], self.uv, side.backend, arguments, timed)
        tried = rooms.tried(release, side.requirements)
        test, message = first_failure(xml) if tried.verdict == FAILS else ("", tried.reason)
        stack, passed = of_report(self.place / f"{release}.json")
        return {
            "exhibit": name,
            "side": which,
            "verdict": tried.verdict,
            "test": test,
            "message": shortened(message or tried.reason),
            "passed": passed,
            "seconds": round(spent[0], 1),
            "stack": stack,
            "asked": side.digest,
            "date": datetime.date.today().isoformat(),
        }


def first_failure(xml: Path) -> tuple[str, str]:
    """(test, its whole message) of the first test that failed, by pytest's own XML; two empty texts where none did."""
    for case in ElementTree.parse(xml).iter("testcase"):
        for found in case:
            if found.tag in ("failure", "error"):
                place = case.get("file") or case.get("classname", "").replace(".", "/") + ".py"
                return f"{place}::{case.get('name')}", found.get("message") or found.text or ""
    return "", ""


def of_report(path: Path) -> tuple[str, int]:
    """(stack, number of tests that passed) of a report; ("", 0) where there is none that can be read."""
    if not path.exists():
        return "", 0
    try:
        report = Report.from_json(path)
    except MalformedReport:
        return "", 0
    names = ("framework", "keras", "python", "numpy")
    stack = report.stack
    return ", ".join(f"{'' if name == 'framework' else name + ' '}{stack[name]}" for name in names), report.total("passed")


def shortened(message: str) -> str:
    """A message on one line, cut to what is kept."""
    words = " ".join(message.split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
