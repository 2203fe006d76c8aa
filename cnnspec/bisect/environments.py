"""An environment for one release, made by uv or by venv and pip, and the run of the suite in it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cnnspec import verify
from cnnspec.bisect.releases import OFFLINE
from cnnspec.bisect.search import FAILS, PASSES, SKIPPED, Tried
from cnnspec.calls import PACKAGE, PROJECT
from cnnspec.errors import BisectError, MalformedReport
from cnnspec.reports.report import Report

Call = Callable[[Sequence[str], Path, Mapping[str, str]], int]
# Variables that would bring modules or wishes of this environment into that of a release.
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CNNSPEC_EXPECT", "CNNSPEC_ENVIRONMENT", "TOX_ENV_NAME")
NO_SPACE = "No space left on device"
LONGEST = 160  # characters of a reason


def call(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Run a command with its output at the end of `log`; returns its exit code. It ends when this process is stopped."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=dict(environment)
        )
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


class Environments:
    """The environments of a bisect, below `place`: each is made, used once and removed; its log stays."""

    def __init__(
        self,
        place: Path,
        python: str,
        uv: str | None,
        backend: str,
        arguments: Sequence[str],
        call: Call = call,
        repeat: int = 1,
    ) -> None:
        self.place, self.python, self.uv, self.call = place, python, uv, call
        self.backend, self.repeat = backend, repeat
        self.arguments = [*arguments, *verify.places(arguments)]

    def tried(self, release: str, requirements: Sequence[str]) -> Tried:
        """Install the requirements, run the suite, and say what it found. Raises BisectError where nothing can be made."""
        started = time.monotonic()
        log = self.place / f"{release}.log"
        log.unlink(missing_ok=True)
        home = self.place / "environments" / release
        shutil.rmtree(home, ignore_errors=True)  # of a call that was ended
        try:
            refused = self.installed(home, log, requirements)
            found = Tried(SKIPPED, refused) if refused else self.repeated(home, log, release)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        seconds = round(time.monotonic() - started, 1)
        return Tried(found.verdict, found.reason, found.code, seconds, tuple(requirements))

    def installed(self, home: Path, log: Path, requirements: Sequence[str]) -> str | None:
        """Make the environment; returns why the requirements cannot be installed, or None. Raises BisectError."""
        python = str(home / "bin" / "python")
        make = [self.uv, "venv", "-q", "--python", self.python] if self.uv else [self.python, "-m", "venv"]
        install = [self.uv, "pip", "install", "--python", python] if self.uv else [python, "-m", "pip", "install", "-q"]
        install += [] if self.uv else ["--disable-pip-version-check", "--retries", "1"]
        if self.called([*make, str(home)], log):
            raise BisectError(f"no environment can be made by {self.python}: {last_line(log)}; {log} says more")
        if not self.called([*install, *requirements, *dependencies()], log):
            return None
        text = log.read_text(encoding="utf-8", errors="replace")
        if NO_SPACE in text or OFFLINE.search(text):
            trouble = "the disk is full" if NO_SPACE in text else "the package index cannot be reached"
            raise BisectError(f"{trouble}, so nothing can be installed ({log}); mend it, and the same command goes on")
        return f"it cannot be installed: {last_line(log)}"

    def repeated(self, home: Path, log: Path, release: str) -> Tried:
        """Run the suite until a run does not pass, at most `repeat` times; the last run is what the release is."""
        number, found = 1, self.judged(home, log, release)
        while found.verdict == PASSES and number < self.repeat:
            number, found = number + 1, self.judged(home, log, release)
        if self.repeat == 1:
            return found
        return dataclasses.replace(found, reason=f"run {number} of {self.repeat}: {found.reason}")

    def judged(self, home: Path, log: Path, release: str) -> Tried:
        """Run the suite in an environment. Only passed tests are a pass, only a failed test is a failure."""
        report = self.place / f"{release}.json"
        report.unlink(missing_ok=True)
        arguments = [f"--report={report}", "--runxfail", *self.arguments]
        code = self.called(verify.pytest_command(home / "bin" / "python", home / "benchmarks", arguments), log)
        try:
            read = Report.from_json(report) if report.exists() else None
        except MalformedReport:
            read = None
        if read and code == 0 and read.total("passed") + read.others["passed"]:
            return Tried(PASSES, f"{read.total('passed') + read.others['passed']} passed", code)
        if read and code == 1 and read.failed:
            return Tried(FAILS, shortened(f"{read.failed[0]['test'].split('/')[-1]}: {read.failed[0]['reason']}"), code)
        if code < 0:
            return Tried(SKIPPED, f"it was ended by {signal.Signals(-code).name}", code)
        why = {0: "no test passed", 2: last_line(log)}
        ended = why.get(code) or verify.ENDED.get(code, f"exit code {code}")
        return Tried(SKIPPED, ended, code)

    def called(self, command: Sequence[str | Path], log: Path) -> int:
        """Run a command of an environment, which stands in the log before its output."""
        words = [str(word) for word in command]
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(words)}\n")
        kept = {name: value for name, value in verify.environment(os.environ).items() if name not in LEFT_OUT}
        return self.call(words, log, {**kept, "KERAS_BACKEND": self.backend, "PYTHONPATH": str(self.path())})

    def path(self) -> Path:
        """A folder in which Python finds this package and nothing else."""
        folder = self.place / "path"
        link = folder / PACKAGE.name
        if not link.exists():
            folder.mkdir(parents=True, exist_ok=True)
            link.symlink_to(PACKAGE)
        return folder


def dependencies() -> list[str]:
    """What this package needs, frameworks apart, as pyproject.toml has it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


def interpreter(wanted: str, version: str, uv: str | None) -> str:
    """The interpreter `wanted`, a path or a version, or else one of the `version` of the matrix. Raises BisectError."""
    if not wanted and version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    named = wanted or version
    tried = [named, f"python{named}"] if wanted else [f"python{named}"]
    for candidate in tried:
        path = shutil.which(candidate)
        if path and runs(path):
            return path
    if uv:
        found = subprocess.run([uv, "python", "find", named], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    why = "no interpreter" if wanted else "the matrix has these releases on this Python, and it is not here"
    raise BisectError(f"Python {named}: {why}; name one: --python PATH")


def runs(python: str) -> bool:
    """Whether an interpreter starts; a shim may stand for one that is not there."""
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def last_line(log: Path) -> str:
    """The last line of a log that says something: the last error where there is one."""
    lines = [" ".join(line.split()) for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("$ ")] or ["it said nothing"]
    errors = [line for line in lines if line.lower().startswith(("error", "×", "e  "))]
    return shortened((errors or lines)[-1])


def shortened(words: str) -> str:
    """Words cut to a length that fits on a line."""
    words = " ".join(words.split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
