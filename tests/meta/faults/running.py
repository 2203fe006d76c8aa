"""Faults one after the other, or several at once: processes that run the suite, what they show, and where it is stored.

A fault that was caught before, by another text of the suite, is first shown to the test that named it. Where that test names
it again, the row is kept, with the new message; where not, the whole suite runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec.facts.reading import PROJECT
from cnnspec.faults import power, store
from cnnspec.faults.store import ALONE, CAUGHT, ERROR, HEALTHY, MISSED, NOT_NAMED
from tests.meta.faults import child, sources
from tests.meta.faults.catalogue.entries import CATALOGUE
from tests.meta.faults.missed import SEEN_BY

LOGS = PROJECT / "runs" / "faults"
LONGEST = 900  # seconds of a run, after which it is ended
DONE, NOT_CAUGHT, NOT_HEALTHY = 0, 1, 2


class Running(NamedTuple):
    """A process with a fault: its number, the file of its result, when it began, and the row whose test runs alone."""

    name: str
    process: int
    result: Path
    since: float
    before: Mapping[str, str] | None


def run(names: Sequence[str], options: argparse.Namespace) -> int:
    """Run faults, store and tell each result, and sum up; returns the exit code."""
    options.out, options.logs = options.out or store.PATH, options.logs or LOGS
    if not options.fresh:
        child.prepare()
    options.logs.mkdir(parents=True, exist_ok=True)
    stack = json.loads(in_a_child("the stack", child.tell_stack, options.logs))
    facts = {**{name: str(stack[name]) for name in (*store.STACK, "cores")}, "threads": str(stack.get("threads", ""))}
    facts |= {"suite_text": sources.of_suite(), "run": options.level}
    stored = store.CATALOGUE.read(options.out) if options.out.exists() else []
    ways = [facts] if options.whole else [facts, facts | {"run": ALONE}]
    held = lambda name: any(store.CATALOGUE.holds(stored, identity(name, way)) for way in ways)  # noqa: E731
    due = [name for name in names if options.again or not held(name)]
    before = {} if options.whole else caught_before(due, stored, options.level)
    print(f"{len(names)} faults, {len(names) - len(due)} of them stored for this suite and stack", flush=True)
    if due and not (options.names or options.kind or store.CATALOGUE.holds(stored, identity(HEALTHY, facts))):
        due = [HEALTHY, *due]  # a whole catalogue says nothing where the suite fails without a fault
    with tempfile.TemporaryDirectory(prefix="cnnspec-faults-") as folder:
        for number, (name, told, kept) in enumerate(results(due, options, Path(folder), before), start=1):
            row = row_of(name, told, facts, kept)
            store.CATALOGUE.add(options.out, row)
            print(line_of(row, len(due) - number), flush=True)
            if name == HEALTHY and row["result"] != MISSED:
                print(
                    f"error: the suite fails without a fault, so its failures tell nothing about faults; see {options.logs}",
                    file=sys.stderr,
                )
                return NOT_HEALTHY
    rows = {row["fault"]: row for row in store.CATALOGUE.read(options.out)}
    found = [rows[name] for name in names if name in rows]
    print(power.summary(found, SEEN_BY))
    return NOT_CAUGHT if power.unexplained(found, SEEN_BY) else DONE


def identity(name: str, facts: Mapping[str, str]) -> dict[str, str]:
    """What tells a result from another: the fault, its text, the suite's text, the level and the stack."""
    return {**facts, "fault": name, "fault_text": sources.of_fault(name) if name != HEALTHY else "0" * sources.LENGTH}


def caught_before(names: Sequence[str], stored: Sequence[Mapping[str, str]], level: str) -> dict[str, Mapping[str, str]]:
    """{fault: its stored row} of those that a test of this level named, whatever the suite's text was."""
    rows = {row["fault"]: row for row in stored if row["result"] == CAUGHT and level in (row["level"], "default")}
    return {name: rows[name] for name in names if name in rows and rows[name]["fault_text"] == sources.of_fault(name)}


def results(
    names: Sequence[str], options: argparse.Namespace, folder: Path, before: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, dict[str, Any], Mapping[str, str] | None]]:
    """(name, what its run showed, the row whose test ran alone) of each fault as it ends, the healthy suite first and alone.

    Faults of `before` are shown to one test, and to the whole suite only where that does not name them.
    """
    waiting, running = [(name, before.get(name)) for name in names], []
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs and HEALTHY not in [each.name for each in running]:
                running.append(begin(*waiting.pop(0), options, folder))
            ended = [each for each in running if has_ended(each)]
            for each in ended:
                running.remove(each)
                told = result_of(each)
                if each.before and not told.get("named"):
                    waiting.insert(0, (each.name, None))
                    continue
                yield each.name, told, each.before
            if not ended:
                time.sleep(0.05)
    finally:
        for each in running:
            end(each)


def begin(name: str, before: Mapping[str, str] | None, options: argparse.Namespace, folder: Path) -> Running:
    """Start a process with a fault; its output goes to a file of its name."""
    result, log = folder / f"{name}.json", options.logs / f"{name}.log"
    result.unlink(missing_ok=True)
    test = before["test"] if before else ""
    if options.fresh:
        command = [sys.executable, "-m", child.__name__, name, str(result), options.level, *filter(None, [test])]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        process.returncode = 0  # waited for by number, as a fork is
        return Running(name, process.pid, result, time.monotonic(), before)
    forked = fork(lambda: child.judge(name, result, options.level, test), log)
    return Running(name, forked, result, time.monotonic(), before)


def fork(act: Callable[[], None], log: Path) -> int:
    """Number of a new process that does `act` and ends; what it prints goes to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        act()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's, such as its temporary folder, is cleaned up here


def has_ended(running: Running) -> bool:
    """Whether a process has ended. One that takes too long is ended, with those that it started."""
    if time.monotonic() - running.since > LONGEST:
        end(running)
        return True
    return os.waitpid(running.process, os.WNOHANG)[0] != 0


def end(running: Running) -> None:
    """End a process and those that it started."""
    os.killpg(running.process, signal.SIGKILL)
    os.waitpid(running.process, 0)


def result_of(running: Running) -> dict[str, Any]:
    """What a process that has ended showed; only its seconds where it ended without a result."""
    took = round(time.monotonic() - running.since, 1)
    return {"took": took} | (json.loads(running.result.read_text(encoding="utf-8")) if running.result.exists() else {})


def in_a_child(name: str, act: Callable[[Path], None], logs: Path) -> str:
    """What `act` writes to a file, in a process that ends before it could leave threads here. Raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="cnnspec-faults-") as folder:
        result, log = Path(folder, "result"), logs / "start.log"
        os.waitpid(fork(lambda: act(result), log), 0)
        if not result.exists():
            raise RuntimeError(f"{name} is unknown: {log.read_text(errors='replace')[-500:]}")
        return result.read_text(encoding="utf-8")


def row_of(
    name: str, told: Mapping[str, Any], facts: Mapping[str, str], before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The row of the CSV for what a run with a fault showed; `before` is the row of which the test alone ran.

    What the whole suite told is kept then: the first test that failed, and the seconds to the one that named the fault.
    """
    seen, named = told.get("seen"), told.get("named")
    ended = told.get("code") in (0, 1)
    result = CAUGHT if named else ERROR if not ended else NOT_NAMED if seen else MISSED
    shown = named or seen or {}
    row = identity(name, facts) | {
        "kind": CATALOGUE[name].kind if name != HEALTHY else HEALTHY,
        "result": result,
        "level": named["level"] if named else "",
        "tier": shown.get("tier", ""),
        "test": named["test"] if named else "",
        "seen": seen["test"] if seen else "",
        "seconds": f"{shown.get('seconds', told['took']):.1f}",
        "message": shown.get("message", "" if ended else f"pytest ended with code {told.get('code')}"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    if before:
        row |= {"run": ALONE, "seen": before["seen"], "seconds": before["seconds"]}
    return {column: row[column] for column in store.COLUMNS}


def line_of(row: Mapping[str, str], left: int) -> str:
    """A result in one line."""
    if row["fault"] == HEALTHY:
        return f"without a fault: {'green' if row['result'] == MISSED else 'RED'}, {row['seconds']} s; {left} left"
    where = f" by {row['tier'] or row['test']}" if row["tier"] or row["test"] else ""
    return f"{row['fault']}: {row['result']}{where}, {row['seconds']} s; {left} left"
