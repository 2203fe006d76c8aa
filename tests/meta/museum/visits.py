"""One visit: the environment of a stack, the tests of its exhibits in one process, and a row of results for each side."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from cnnspec import verify
from cnnspec.bisect.environments import Call, Environments, call
from cnnspec.bisect.search import FAILS, PASSES, SKIPPED
from cnnspec.errors import MalformedReport
from cnnspec.reports.report import Report
from tests.meta.museum.exhibits import Side, Stack

LONGEST = 1000  # characters of a message that is kept
Wanted = tuple[str, str, Side]  # an exhibit, ILL or HEALTHY, and that side of it


class Case(NamedTuple):
    """A test as pytest's own XML has it."""

    test: str
    ended: str  # FAILS, PASSES or SKIPPED
    message: str
    seconds: float


class Visits:
    """Visits that leave their logs in the folder `place`. `uv` makes the environments, or venv and pip where it is None."""

    def __init__(self, place: Path, python: Mapping[str, str], uv: str | None, call: Call = call) -> None:
        self.place, self.python, self.uv, self.call = place, python, uv, call

    def visit(self, stack: Stack, wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
        """The rows of all sides that have a stack. Its environment is made, used and removed. Raises BisectError."""
        spent = [0.0]

        def timed(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
            started = time.monotonic()
            code = self.call(command, log, {**environment, **dict(stack.variables)})
            spent[0] = time.monotonic() - started  # of the last command, which is pytest's
            return code

        xml = self.place / f"{stack.digest}.xml"
        xml.unlink(missing_ok=True)
        tests = list(dict.fromkeys(test for _, _, side in wanted for test in side.tests))
        arguments = [*verify.own(tests), f"--junit-xml={xml}"]
        rooms = Environments(self.place, self.python[stack.python], self.uv, stack.backend, arguments, timed)
        tried = rooms.tried(stack.digest, stack.requirements)
        cases = cases_of(xml) if tried.verdict != SKIPPED else []
        common = {
            "process": round(spent[0], 1),
            "stack": imported(self.place / f"{stack.digest}.json"),
            "date": datetime.date.today().isoformat(),
        }
        return [
            {"exhibit": name, "side": which, **result(side.tests, cases, tried.reason), **common, "asked": side.digest}
            for name, which, side in wanted
        ]


def result(tests: Sequence[str], cases: Sequence[Case], reason: str) -> dict[str, Any]:
    """What came of the tests of a side: FAILS with the first failure, PASSES where each passed, or SKIPPED with `reason`."""
    mine = [case for case in cases if any(case.test == test or case.test.startswith(f"{test}[") for test in tests)]
    failed = next((place for place, case in enumerate(mine) if case.ended == FAILS), None)
    counted = mine if failed is None else mine[: failed + 1]
    passed = sum(case.ended == PASSES for case in mine)
    if failed is not None:
        verdict, test, message = FAILS, mine[failed].test, mine[failed].message
    elif mine and passed == len(mine):
        verdict, test, message = PASSES, "", f"{passed} passed"
    else:
        verdict, test, message = SKIPPED, "", next((case.message for case in mine if case.ended == SKIPPED), reason)
    seconds = round(sum(case.seconds for case in counted), 2)
    return {"verdict": verdict, "test": test, "message": shortened(message), "passed": passed, "seconds": seconds}


def cases_of(xml: Path) -> list[Case]:
    """The tests of a run, in their order, by pytest's own XML."""
    found = []
    for case in ElementTree.parse(xml).iter("testcase"):
        ends = {each.tag: each for each in case}
        worst = next((ends[tag] for tag in ("failure", "error", "skipped") if tag in ends), None)
        ended = PASSES if worst is None else SKIPPED if worst.tag == "skipped" else FAILS
        message = "" if worst is None else worst.get("message") or worst.text or ""
        place = case.get("file") or case.get("classname", "").replace(".", "/") + ".py"
        found.append(Case(f"{place}::{case.get('name')}", ended, message, float(case.get("time", 0))))
    return found


def imported(path: Path) -> str:
    """The stack that a report names, in words; empty where there is no report that can be read."""
    if not path.exists():
        return ""
    try:
        stack = Report.from_json(path).stack
    except MalformedReport:
        return ""
    return ", ".join([stack["framework"], *(f"{name} {stack[name]}" for name in ("keras", "python", "numpy"))])


def shortened(message: str) -> str:
    """A message on one line, cut to what is kept."""
    words = " ".join(message.split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
