"""Benchmarks under pytest: whether they run, and what they measured in this run."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnspec.facts import reading
from tests.plugin import group

if TYPE_CHECKING:
    from cnnspec.benchmarks.slowdowns import Comparison
    from cnnspec.benchmarks.timings import Figure

FOLDER = reading.BASELINES / "benchmarks"
MODULES = reading.PROJECT / "tests" / "benchmarks"
HOW = "tox run -e bench turns them on (pytest tests/benchmarks/test_epochs.py --benchmark-enable)"
OFF = f"benchmarks: off; {HOW}"
ALONE = "benchmarks measure one thing at a time, on the whole machine: leave -n out, or leave --benchmark-enable out"


@dataclasses.dataclass
class BenchmarkRun:
    """What the benchmarks of one run of pytest found: figures by name, their comparison with stored ones, further lines."""

    measured: dict[str, Figure] = dataclasses.field(default_factory=dict)
    compared: dict[str, Comparison] = dataclasses.field(default_factory=dict)
    said: list[str] = dataclasses.field(default_factory=list)


RUN = pytest.StashKey[BenchmarkRun]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--store-figures",
        action="store_true",
        help="with --benchmark-enable: add this run's figures to baselines/benchmarks, and compare them with nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    asked_for(config)
    config.stash[RUN] = BenchmarkRun()


@pytest.fixture(scope="session")
def benchmark_run(pytestconfig: pytest.Config) -> BenchmarkRun:
    """What the benchmarks of this run of pytest have found so far."""
    return pytestconfig.stash[RUN]


def asked_for(config: pytest.Config) -> bool:
    """True where benchmarks were turned on. Raises UsageError under xdist, where they would measure each other."""
    if not config.getoption("benchmark_enable", False):
        return False
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError(ALONE)
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the benchmarks out unless they were asked for."""
    if asked_for(config):
        return
    off = [item for item in items if MODULES in item.path.parents]
    if off:
        config.hook.pytest_deselected(items=off)
        items[:] = [item for item in items if item not in off]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Line of pytest's header: whether benchmarks run."""
    return [] if asked_for(config) else [OFF]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures of this run, and the stored ones of all machines, in pytest's terminal; file and page of it in --out."""
    run = config.stash[RUN]
    if not run.measured and not run.said:
        return
    from cnnspec import stack
    from cnnspec.benchmarks import tables, timings
    from cnnspec.files import write_whole
    from cnnspec.reports import page

    terminalreporter.section("benchmarks")
    for line in [*(tables.run(run.measured, config.option.dataset) if run.measured else []), *run.said]:
        terminalreporter.line(line)
    if not run.measured:
        return
    for name, comparison in run.compared.items():
        terminalreporter.line(f"{comparison.outcome}: {name}, {comparison.text}")
    lines = tables.across([timings.read(path) for path in sorted(FOLDER.glob("*/*.json"))])
    for line in ["", "stored, the last run of each stack", *lines] if lines else []:
        terminalreporter.line(line)
    folder = Path(config.option.out or "runs/bench").resolve()
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    stored = {
        "date": date,
        "command": " ".join(["pytest", *map(str, config.invocation_params.args)]),
        "figures": run.measured,
    }
    timings.write(folder / "figures.json", stack.current(), config.option.dataset, [stored])
    write_whole(folder / "benchmarks.html", page.page([], timings=[timings.read(folder / "figures.json")]))
    terminalreporter.line(f"charts: {folder / 'benchmarks.html'}, of {folder / 'figures.json'}")
