"""`cnnspec verify --device each` and `pytest --device each`: the runs of the suite, and what they end with."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnnspec import verify
from cnnspec.each import devices, run
from cnnspec.errors import CnnspecError
from cnnspec.facts.reading import PROJECT
from cnnspec.reports import verdicts

OURS = ("--device", "--report", "--outcome")  # options of pytest that every device has its own value of


def of_verify(options: Namespace) -> int:
    """The command `verify` with --device each; returns its exit code."""
    stream = sys.stderr if options.json else sys.stdout
    say = lambda text: print(text, file=stream, flush=True)  # noqa: E731
    try:
        out, words = verify.writable(options.out), verify.own(options.pytest)
        due = () if not verify.places(words) else tiers(options.level)
        level = [f"--level={options.level}"] if options.level else []
        given = [f"--out={out / 'runs' / 'verify'}", *level, *words, *modules(due)]
        with tempfile.TemporaryDirectory() as storage:
            outcome, code = on_each(
                lambda mine: verify.pytest_command(sys.executable, storage, [*mine, *given]), out / "reports", due, say
            )
    except CnnspecError as error:
        outcome, code = verify.nothing(str(error)), verify.NO_VERDICT
    return verify.concluded(options, outcome, code)


def of_pytest(words: Sequence[str], places: Sequence[str], level: str, folder: Path) -> tuple[dict[str, Any], int]:
    """(outcome, exit code) of `pytest --device each`; `words` are its arguments, `places` those of them that name tests."""
    due = () if places else tiers(level)
    command = [sys.executable, "-m", "pytest", *without(words, OURS)]
    try:
        outcome, code = on_each(
            lambda mine: [*command, *mine, *modules(due)], folder, due, lambda text: print(text, flush=True)
        )
    except CnnspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return {**verify.nothing(str(error)), **dict.fromkeys(("stack", "device", "seconds", "report"))}, verify.NO_VERDICT
    if outcome["verdict"] == "no verdict" and not due and outcome["reason"] == run.IN_PART:
        code = verify.PASS  # as of every part of the suite that passed
    return outcome, code


def on_each(
    command: Callable[[Sequence[str]], Sequence[str]], folder: Path, due: Sequence[str], say: Callable[[str], object]
) -> tuple[dict[str, Any], int]:
    """(outcome, exit code) of the runs on all devices; `command` is given each run's own options. Raises DeviceMissing."""
    there, folder = devices.found(), folder / run.FOLDER
    found = run.run(there, lambda device, report: command([f"--device={device}", f"--report={report}"]), folder, due, say)
    code = {"pass": verify.PASS, "fail": verify.FAIL}.get(found.word, verify.NO_VERDICT)
    outcome = {"verdict": found.word, "stack": found.stack, "device": ", ".join(there), "seconds": found.seconds}
    return {**outcome, "reason": found.reason or None, "report": str(folder)}, code


def tiers(level: str | None) -> tuple[str, ...]:
    """The tiers that run on every device."""
    return verdicts.QUICK if level == "quick" else verdicts.SHARP


def modules(due: Sequence[str]) -> list[str]:
    """The paths of the modules of tiers."""
    return [os.path.join(PROJECT, "tests", f"test_{tier}.py") for tier in due]


def without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Arguments without some options, written as `--name value` or `--name=value`."""
    kept, value = [], False
    for word in words:
        if value:
            value = False
        elif word in options:
            value = True
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return kept
