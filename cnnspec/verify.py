"""`cnnspec verify` and `cnnspec bench`: the suite that this package carries, in a process of its own, and its exit code.

The process writes its outcome to a file (`--outcome` of `tests/plugin/outcome.py`). A process that ends without one has
crashed, or was stopped: that is no verdict. Nothing is written beside the package.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnspec.errors import OutUnusable
from cnnspec.facts.reading import INSTALLED, PROJECT

PASS, FAIL, NO_VERDICT = 0, 1, 2
CODES = {0: PASS, 1: FAIL}  # exit code of pytest -> that of a run whose tests decide; after every other: NO_VERDICT
ENDED = {  # exit code of pytest -> why there is no outcome
    1: "pytest could not start",
    2: "it was interrupted",
    3: "pytest had an internal error",
    4: "pytest refused its arguments",
    5: "no test was selected",
}
PLUGINS = ("benchmark", "syrupy", "xdist")  # of pytest; others that happen to be installed are not loaded
MOVES_BASELINES = ("--snapshot-update", "--store-figures")
FIELDS = ("verdict", "stack", "device", "level", "seconds", "reason", "report")
UNWANTED = ("PYTHONSAFEPATH", "PYTHONOPTIMIZE")  # in the environment of the suite, whose checks are assertions
BENCHMARKS = "tests/benchmarks/test_epochs.py"


def verify(options: Namespace) -> int:
    """The command `verify`: run the suite, say what it found, as one line of JSON if asked for; returns the exit code."""
    try:
        out = writable(options.out)
        for_pytest = own(options.pytest)
    except OutUnusable as error:
        outcome, code = nothing(str(error)), NO_VERDICT
    else:
        arguments = [f"--report={out / 'reports'}{os.sep}", f"--out={out / 'runs' / 'verify'}"]
        arguments += [f"--device={options.device}"] if options.device != "auto" else []
        arguments += [f"--level={options.level}"] if options.level else []
        arguments += [f"--replicas={options.replicas}"] if options.replicas else []
        arguments += [f"--ensembles={options.ensembles.resolve()}"] if options.ensembles else []
        outcome, code = judged(*run([*arguments, *for_pytest], places(for_pytest), quiet=options.json))
    return concluded(options, outcome, code)


def concluded(options: Namespace, outcome: dict[str, Any], code: int) -> int:
    """Tell the outcome as `verify` does, and return the exit code."""
    if options.json:
        outcome = {**dict.fromkeys(FIELDS), "level": options.level or "default", **outcome}
        print(json.dumps({"exit_code": code, **outcome}))
    elif outcome.get("stack") or "stack" not in outcome:  # a run that ends before its first test has said why
        reason = f": {outcome['reason']}" if outcome["reason"] else ""
        print(f"\n{outcome['verdict']} (exit code {code}){reason}", flush=True)
    return code


def bench(options: Namespace) -> int:
    """The command `bench`: measure speed; returns 0, 1 where this machine became slower, 2 where nothing is known."""
    out = writable(options.out)
    arguments = [f"--device={options.device}", "--benchmark-enable", f"--out={out / 'runs' / 'bench'}"]
    _, code = run([*arguments, *own(options.pytest)], [str(PROJECT / BENCHMARKS)])
    return CODES.get(code, NO_VERDICT)


def run(arguments: Sequence[str], where: Sequence[str], quiet: bool = False) -> tuple[dict[str, Any] | None, int]:
    """Run pytest on the places `where` of the suite. Returns its outcome, None if it wrote none, and its exit code.

    `quiet` sends its output to stderr. SIGTERM is passed on to the process, and SIGINT reaches both from the terminal.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "outcome.json"
        command = pytest_command(sys.executable, folder, [f"--outcome={told}", *arguments, *where])
        process = subprocess.Popen(command, env=environment(os.environ), stdout=2 if quiet else None)
        before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            code = ended(process)
        finally:
            signal.signal(signal.SIGTERM, before)
        return (json.loads(told.read_text(encoding="utf-8")) if told.exists() else None), code


def pytest_command(python: str | Path, storage: str | Path, arguments: Sequence[str]) -> list[str]:
    """The command that runs the suite by an interpreter; pytest-benchmark looks for its own files in `storage`."""
    command = [str(python), "-P", "-B", "-m", "pytest", "-c", str(PROJECT / "pyproject.toml"), f"--rootdir={PROJECT}"]
    command += ["--disable-plugin-autoload"]
    command += [word for name in ("no:cacheprovider", *PLUGINS) for word in ("-p", name)]
    command += [f"--benchmark-storage=file://{storage}", f"--ignore={PROJECT / 'tests' / 'meta'}", *arguments]
    return command


def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process, through interruptions that it gets too, and return its exit code."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def judged(outcome: dict[str, Any] | None, code: int) -> tuple[dict[str, Any], int]:
    """The outcome of a run, also where it wrote none, and the exit code: of what is unknown never 0."""
    if outcome is None:
        died = f"it was ended by {signal.Signals(-code).name}" if code < 0 else ENDED.get(code, f"exit code {code}")
        return nothing(f"the suite ended without a verdict: {died}; its output says more"), NO_VERDICT
    if outcome["verdict"] == "fail":
        return outcome, FAIL
    return outcome, CODES.get(code, NO_VERDICT) if outcome["verdict"] == "pass" else NO_VERDICT


def nothing(reason: str) -> dict[str, Any]:
    """The outcome of a run that found nothing."""
    return {"verdict": "no verdict", "reason": reason}


def writable(out: Path | None) -> Path:
    """The folder for reports and runs, by default the working folder, made if it is missing. Raises OutUnusable."""
    folder = (out or Path()).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise OutUnusable(
            f"nothing can be written to {folder} ({error.strerror}); name a folder for the report: --out DIR"
        ) from error


def own(arguments: Sequence[str]) -> list[str]:
    """Arguments of pytest, with `tests/…` found in the suite. Raises OutUnusable for what would change the package."""
    changes = [word for word in arguments if INSTALLED and word.split("=")[0] in MOVES_BASELINES]
    if changes:
        raise OutUnusable(f"{changes[0]} would change the installed package; use it in a clone of the repository")
    return [str(PROJECT / word) if is_place(word) else word for word in arguments]


def is_place(word: str) -> bool:
    """Whether an argument names tests of the suite: tests/test_exact.py, tests/test_exact.py::test_name."""
    return word.startswith("tests/") and (PROJECT / word.split("::")[0]).exists()


def places(arguments: Sequence[str]) -> list[str]:
    """Where pytest looks for tests: nothing more where the arguments name a place, else what its configuration says."""
    if any(word.startswith(str(PROJECT / "tests")) for word in arguments):
        return []
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    return [str(path) for pattern in settings["testpaths"] for path in sorted(PROJECT.glob(pattern))]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables for the process of the suite and for those that it starts in its own folder.

    No bytecode is written, and relative places of modules stay where they are.
    """
    found = {name: value for name, value in variables.items() if name not in UNWANTED}
    if found.get("PYTHONPATH"):
        found["PYTHONPATH"] = os.pathsep.join(os.path.abspath(part) for part in found["PYTHONPATH"].split(os.pathsep))
    return {**found, "PYTHONDONTWRITEBYTECODE": "1"}
