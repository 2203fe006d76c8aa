"""The suite in each healthy variant, some at once, each in a new process; results are stored as they come."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cnnspec.errors import MalformedReport
from cnnspec.facts.reading import PROJECT
from cnnspec.faults import store
from cnnspec.faults.store import ERROR
from cnnspec.faults.store import VARIANTS as STORED
from cnnspec.reports.report import Report
from tests.meta.copies import POWERLESS, copy_project
from tests.meta.faults import sources
from tests.meta.faults.healthy import building, imitations, order
from tests.meta.faults.healthy.variants import CLONE, READ_ONLY, VARIANTS, WITH_SPACES, Variant, seed_of

LOGS = PROJECT / "runs" / "healthy"
SLICE = 0.1  # seconds that a throttled process runs, and then stands still
ALL_GREEN, RED, WRONG = 0, 1, 2
_processes: set[subprocess.Popen[bytes]] = set()  # of the runs that go on


def run(names: Sequence[str], options: argparse.Namespace) -> int:
    """Run variants, store and tell each result; returns 0 where all that ran passed."""
    pythons = dict(each.split("=", 1) for each in options.python)
    out, logs = options.out or store.VARIANTS_PATH, options.logs or LOGS
    logs.mkdir(parents=True, exist_ok=True)
    stored = STORED.read(out) if out.exists() else []
    left_out = [name for name in names if VARIANTS[name].interpreter not in ("", *pythons)]
    due = [name for name in names if name not in left_out]
    due = [name for name in due if options.again or not STORED.holds(stored, identity(name, options.level))]
    print(f"{len(names)} variants, {len(due)} to run", flush=True)
    for name in left_out:
        print(f"{name}: not run; it needs --python {VARIANTS[name].interpreter}=PATH of an interpreter", flush=True)
    for number, row in enumerate(rows_of(due, options, pythons, logs), start=1):
        STORED.add(out, row)
        reason = f": {row['first_failed']}" if row["verdict"] != "pass" else ""
        print(f"{row['variant']}: {row['verdict']}, {row['seconds']} s; {len(due) - number} left{reason}", flush=True)
    rows = [row for row in STORED.read(out) if row["variant"] in names] if out.exists() else []
    red = [row["variant"] for row in rows if row["verdict"] != "pass"]
    print(f"{len(rows) - len(red)} of {len(rows)} stored variants pass" + (f"; not: {', '.join(red)}" if red else ""))
    return RED if red or not rows else ALL_GREEN


def rows_of(
    names: Sequence[str], options: argparse.Namespace, pythons: Mapping[str, str], logs: Path
) -> Iterator[dict[str, str]]:
    """The row of each variant as its run ends, `options.jobs` at once. Where this ends before, so do the runs."""
    with ThreadPoolExecutor(options.jobs) as pool:
        due = [pool.submit(run_one, name, options.level, pythons, logs) for name in names]
        try:
            for each in as_completed(due):
                yield each.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(each.done() for each in due):  # one may only just begin
                for process in list(_processes):
                    with suppress(ProcessLookupError):  # it has just ended
                        os.killpg(process.pid, signal.SIGKILL)
                time.sleep(SLICE)


def identity(name: str, level: str) -> dict[str, str]:
    """What tells a result from another, as far as it is known before the run."""
    text = repr(VARIANTS[name]) + "".join(inspect.getsource(each) for each in (building, imitations, order))
    digest = hashlib.sha256(text.encode()).hexdigest()[: sources.LENGTH]
    return {"variant": name, "variant_text": digest, "suite_text": sources.of_suite(), "run": level}


def run_one(name: str, level: str, pythons: Mapping[str, str], logs: Path) -> dict[str, str]:
    """The row of the CSV for a run of a variant."""
    variant, log = VARIANTS[name], logs / f"{name.replace(' ', '-')}.log"
    with tempfile.TemporaryDirectory(prefix="cnnspec-healthy-") as temporary:
        folder = Path(temporary)
        report = folder / "report.json"
        began = time.monotonic()
        with placed(variant, folder) as project, log.open("wb") as output:
            process = subprocess.Popen(
                command(variant, pythons, level, seed_of(name), report),
                cwd=project,
                env=environment(variant, project),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            _processes.add(process)
            wait(process, variant.throttled)
            _processes.discard(process)
        seconds = time.monotonic() - began
        return row_of(name, level, report, process.returncode, seconds)


def command(variant: Variant, pythons: Mapping[str, str], level: str, seed: int, report: Path) -> list[str]:
    """The command of a variant's run."""
    found = [pythons.get(variant.interpreter, sys.executable), *variant.of_python, "-m", "pytest"]
    found += ["-p", "no:cacheprovider", f"--level={level}", f"--seed={seed}", f"--report={report}"]
    found += [f"--basetemp={report.parent / 'tmp'}", *variant.options]
    found += ["-p", variant.plugin] if variant.plugin else []
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not variant.network:
        found = ["unshare", "--net", *([] if root else ["--map-root-user"]), *found]
    if variant.niceness:
        found = ["nice", "-n", str(variant.niceness), *found]
    return [*POWERLESS, *found] if root and (variant.place == READ_ONLY or variant.niceness) else found


def environment(variant: Variant, project: Path) -> dict[str, str]:
    """The environment of a variant's run."""
    found: dict[str, str | None] = {**os.environ, "PYTHONPATH": str(project), **variant.environment}
    found |= {"PYTHONDONTWRITEBYTECODE": "1"} if variant.place == READ_ONLY else {}
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def placed(variant: Variant, folder: Path) -> Iterator[Path]:
    """The folder of the project in which a variant runs."""
    if variant.place == CLONE:
        yield PROJECT
        return
    project = folder / ("a path with spaces" if variant.place == WITH_SPACES else "project")
    project.mkdir()
    copy_project(project)
    if variant.place == READ_ONLY:
        for path in [project, *project.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield project
    finally:
        for path in [project, *project.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(project)


def wait(process: subprocess.Popen[bytes], throttled: bool) -> None:
    """Wait until a process ends; one that is throttled is stopped, with its own processes, half of the time."""
    ended = threading.Event()
    while throttled and process.poll() is None:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            ended.wait(SLICE)
    process.wait()


def row_of(name: str, level: str, path: Path, code: int, seconds: float) -> dict[str, str]:
    """The row of the CSV, from the report of a run; a run that left none is an error."""
    row = identity(name, level) | {"seed": str(seed_of(name)), "seconds": f"{seconds:.1f}"}
    row |= {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    try:
        report = Report.from_json(path)
    except MalformedReport as error:
        nothing = dict.fromkeys(("passed", "failed", "skipped", "known_differences", "tightest", "cores"), "0")
        row |= nothing | dict.fromkeys(store.STACK, "unknown") | {"tightest_check": "", "threads": "", "verdict": ERROR}
        row["first_failed"] = f"exit code {code}: {error}"[:300]
    else:
        shares = [
            (share or 0.0, f"{test}: {what}") for test, found in report.margins.items() for what, share in found.items()
        ]
        tightest, check = max(shares, default=(0.0, ""))
        first = report.failed[0] if report.failed else {"test": "", "reason": ""}
        row |= {
            "verdict": "fail" if report.failed else "pass" if report.verdict == "pass" else "no verdict",
            "passed": str(report.total("passed")),
            "failed": str(len(report.failed)),
            "skipped": str(report.total("skipped")),
            "known_differences": str(report.total("xfailed")),
            "first_failed": f"{first['test']}: {first['reason']}"[:300] if report.failed else "",
            "tightest": f"{tightest:.3g}",
            "tightest_check": check,
            **{fact: str(report.stack[fact]) for fact in (*store.STACK, "cores")},
            "threads": str(report.stack.get("threads", "")),
        }
    return {column: row[column] for column in STORED.columns}


def told(name: str) -> str:
    """A variant in one line, for --list."""
    variant: Any = VARIANTS[name]
    needs = f" (--python {variant.interpreter}=PATH)" if variant.interpreter else ""
    return f"{name} | {variant.story}{needs}"
