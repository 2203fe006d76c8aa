"""One run of the suite for each device, one after the other, and the verdict on all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec import verify
from cnnspec.calls import as_called
from cnnspec.each.devices import importing
from cnnspec.errors import MalformedReport
from cnnspec.reports import equals, verdicts
from cnnspec.reports.report import UNREACHED, Report
from cnnspec.shapes import counted

NAME = "CNNSPEC_ENVIRONMENT"  # the variable that names a run in its report
IN_PART = "a part of the sharp tiers"
FOLDER = "each"  # beside the other reports
RIGHT, WRONG, UNKNOWN = "right", "WRONG", "not known"
NEXT = "next: `cnnspec soak --device each`; if one device stays the odd one out, take it out of use"
ALIKE = "next: it is the stack or the driver rather than a device: run the check alone, on one of them"


class Result(NamedTuple):
    """What the run on one device gave; no report where it wrote none."""

    device: str
    code: int
    report: Report | None
    log: Path
    seconds: float


class Verdict(NamedTuple):
    """The verdict on all devices: pass, fail or no verdict; its reason, empty for a pass; and the lines that tell it.

    `stack` has the versions, in words, as far as a report tells them; `seconds` are those of all runs together.
    """

    word: str
    reason: str
    lines: list[str]
    stack: str | None = None
    seconds: float = 0.0


def run(
    devices: Sequence[str],
    command: Callable[[str, Path], Sequence[str]],
    folder: Path,
    due: Sequence[str],
    say: Callable[[str], object],
) -> Verdict:
    """Run the suite on each device; `command` makes the command from a device and the file of its report.

    Reports and outputs go to `folder`. `due` are the tiers that have to run; none where the user chose tests. SIGINT and
    SIGTERM end the run of the device that is at work, and leave the rest out. `say` gets a line after each device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    say(f"--device each: {', '.join(devices)}, one after the other; reports and outputs in {folder}")
    for device in devices:
        result = of_device(device, command, folder)
        results.append(result)
        say(line(result, due))
        if result.code in (-signal.SIGTERM, -signal.SIGINT, 2, 130):
            break
    found = judged(results, devices, due)
    say("\n".join(["", *found.lines]))
    reports = [result.report for result in results if result.report]
    stack = versions(reports[0].stack) if reports else None
    return found._replace(stack=stack, seconds=round(sum(result.seconds for result in results), 3))


def versions(stack: Mapping[str, Any]) -> str:
    """The versions of a stack in words."""
    return f"{stack['framework']}, Keras {stack['keras']}, NumPy {stack['numpy']}, Python {stack['python']}"


def of_device(device: str, command: Callable[[str, Path], Sequence[str]], folder: Path) -> Result:
    """The Result of the run on one device."""
    stem = folder / device.replace(":", "-")
    report, log = stem.with_suffix(".json"), stem.with_suffix(".log")
    report.unlink(missing_ok=True)
    named = " ".join(filter(None, [os.environ.get(NAME), device]))
    variables = importing(os.environ) | {NAME: named}
    started = time.monotonic()
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(command(device, report), env=variables, stdout=output, stderr=subprocess.STDOUT)
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            code = verify.ended(process)
        finally:
            signal.signal(signal.SIGTERM, before)
    try:
        told = Report.from_json(report)
    except MalformedReport:
        told = None
    return Result(device, code, told, log, time.monotonic() - started)


def state(result: Result, due: Sequence[str]) -> tuple[str, str]:
    """(RIGHT, WRONG or UNKNOWN, why) of one device."""
    if result.report is None:
        died = f"ended by {signal.Signals(-result.code).name}" if result.code < 0 else f"exit code {result.code}"
        return UNKNOWN, f"the run wrote no report: {died}; its output: {result.log}"
    report = result.report
    if report.failed:
        first = report.failed[0]
        return WRONG, f"{first['test']}: {first['reason']}"
    if result.code:
        return UNKNOWN, f"the run ended with exit code {result.code}; its output: {result.log}"
    unreached = [each["test"] for each in report.not_run if each["reason"] == UNREACHED]
    if unreached:
        return UNKNOWN, f"{unreached[0]}: {UNREACHED}"
    absent = [tier for tier in due if not verdicts.ran(report.tiers.get(tier))]
    if absent:
        return UNKNOWN, f"nothing passed in {', '.join(absent)}"
    if not any(verdicts.ran(count) for count in report.tiers.values()):
        return UNKNOWN, "no check ran"
    return RIGHT, ""


def line(result: Result, due: Sequence[str]) -> str:
    """A device in one line: its state, its name, how many tests had which outcome, and the seconds."""
    word, why = state(result, due)
    name, counts = "", ""
    if result.report:
        name = result.report.stack["device"]
        words = {"passed": "passed", "failed": "failed", "skipped": "skipped", "xfailed": "known differences"}
        counts = ", ".join(f"{count} {words[each]}" for each in words if (count := result.report.total(each)))
    parts = [part for part in (name, counts, f"{result.seconds:.0f} s", why) if part]
    return f"{result.device:<7} {word:<9} {', '.join(parts)}"


def judged(results: Sequence[Result], devices: Sequence[str], due: Sequence[str]) -> Verdict:
    """The verdict: fail for a wrong device or digests that differ, no verdict where one is not known, else pass."""
    lines = [line(result, due) for result in results]
    members = [member(result.report, result.device) for result in results if result.report]
    differences = equals.told(members)
    states = {result.device: state(result, due) for result in results}
    wrong = [device for device, (word, _) in states.items() if word == WRONG]
    unknown = [device for device in devices if states.get(device, (UNKNOWN, ""))[0] == UNKNOWN]
    right = [device for device in devices if device not in wrong + unknown]
    odd = [name for name in equals.odd(members) if name not in wrong]
    lines += ["", *differences] if differences else []
    if wrong or differences:
        who = f"wrong on {', '.join(wrong)}" if wrong else f"digests differ{' on ' + ', '.join(odd) if odd else ''}"
        others = f"; right on {', '.join(name for name in right if name not in odd)}" if wrong and right else ""
        others += f"; not known: {', '.join(unknown)}" if unknown else ""
        alike = len(wrong) == len(results) > 1 and not differences
        lines.append(as_called(ALIKE if alike else NEXT))
        reason = f"{who}{others}" + (f"; {wrong[0]}: {states[wrong[0]][1]}" if wrong else "")
        return Verdict("fail", reason, [*lines, f"FAIL: {'all devices fail alike: ' if alike else ''}{who}{others}"])
    if unknown:
        why = states[unknown[0]][1] if unknown[0] in states else "the run was stopped before"
        reason = f"{', '.join(unknown)} not known; {unknown[0]}: {why}"
        return Verdict("no verdict", reason, [*lines, f"NO VERDICT: {reason}"])
    agree = f"{counted(len(right), 'device')} computed what they should"
    if len(members) > 1 and (same := len(equals.shared(members))):
        agree += f", {counted(same, 'digest')} the same on all"
    if not due:
        return Verdict("no verdict", IN_PART, [*lines, f"NO VERDICT, a part of the tiers: {agree}"])
    return Verdict("pass", "", [*lines, f"PASS, before any training: {agree}"])


def member(report: Report, name: str) -> equals.Member:
    """A report as one of equals."""
    return equals.Member(name, {each["test"]: each["reason"] for each in report.failed}, report.digests)
