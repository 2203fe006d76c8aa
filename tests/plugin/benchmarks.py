"""Benchmarks under pytest: whether they run, and what they measured in this run."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnspec.calls import as_called
from cnnspec.facts import reading
from tests.plugin import group

if TYPE_CHECKING:
    from cnnspec.benchmarks.slowdowns import Comparison
    from cnnspec.benchmarks.timings import Key, Timing
    from tests.benchmarks.process import PlainFits

FOLDER = reading.BASELINES / "benchmarks"
MODULES = reading.PROJECT / "tests" / "benchmarks"
HOW = as_called("tox run -e bench turns them on (pytest tests/benchmarks/test_epochs.py --benchmark-enable)")
OFF = f"benchmarks: off; {HOW}"
ALONE = "benchmarks need the whole machine: run pytest with --benchmark-enable or with -n, not with both"


@dataclasses.dataclass
class BenchmarkRun:
    """What the benchmarks of one run of pytest found: timings, their comparison with stored timings, other lines.

    `date` is when they began, in ISO 8601; it names the run among the stored ones.
    """

    date: str = dataclasses.field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    measured: dict[Key, Timing] = dataclasses.field(default_factory=dict)
    compared: dict[Key, Comparison] = dataclasses.field(default_factory=dict)
    said: list[str] = dataclasses.field(default_factory=list)

    def add(self, timing: Timing) -> None:
        """Keep a timing of this run."""
        self.measured[timing.key] = timing


RUN = pytest.StashKey[BenchmarkRun]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--store-figures",
        action="store_true",
        help="with --benchmark-enable: add the timings of this run to baselines/benchmarks instead of comparing them",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.option.store_figures and not asked_for(config):
        raise pytest.UsageError(f"--store-figures does nothing while benchmarks are off; {HOW}")
    config.stash[RUN] = BenchmarkRun()


@pytest.fixture(scope="session")
def benchmark_run(pytestconfig: pytest.Config) -> BenchmarkRun:
    """What the benchmarks of this run of pytest have found so far."""
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def plain_fits() -> Iterator[PlainFits]:
    """The processes that train by plain fit, with which others are compared. They end with the session at the latest."""
    from tests.benchmarks.process import PlainFits

    fits = PlainFits()
    yield fits
    fits.close()


def asked_for(config: pytest.Config) -> bool:
    """Whether benchmarks were turned on. Raises UsageError under xdist, where they would slow each other down."""
    if not config.getoption("benchmark_enable", False):
        return False
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError(ALONE)
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the benchmarks unless they were asked for."""
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
    """Write the timings of this run and the stored timings of all machines; keep a file and a page of them in --out."""
    run = config.stash[RUN]
    if not run.measured and not run.said:
        return
    from cnnspec import stack
    from cnnspec.benchmarks import tables, timings
    from cnnspec.files import write_whole
    from cnnspec.names import hardware
    from cnnspec.reports import markdown, page

    terminalreporter.section("benchmarks")
    lines = []
    if run.measured:
        table = markdown.table(tables.COLUMNS, tables.rows_of(run.measured.values()))
        lines += [tables.title(config.option.dataset), *table.splitlines()]
        lines += [] if all(timing.trusted for timing in run.measured.values()) else [tables.DOUBTFUL]
    lines += run.said
    lines += [f"{comparison.outcome}: {key}, {comparison.text}" for key, comparison in run.compared.items()]
    across = tables.rows_across(timings.read(path) for path in sorted(FOLDER.glob("*/*.json"))) if run.measured else []
    lines += (
        ["", "stored timings: the last run of each stack", *markdown.table(tables.ACROSS, across).splitlines()]
        if across
        else []
    )
    for line in lines:
        terminalreporter.line(as_called(line))
    if not run.measured:
        return
    folder = Path(config.option.out or "runs/bench").resolve()
    command = " ".join(["pytest", *map(str, config.invocation_params.args)])
    kept = {"date": run.date, "command": command, "timings": run.measured}
    here = stack.current()
    timings.write(folder / "figures.json", here, config.option.dataset, [kept])
    measured = timings.read(folder / "figures.json")
    before = [timings.read(path) for path in sorted((FOLDER / hardware(here)).glob("*.json"))]
    same = [each for each in before if each["dataset"] == config.option.dataset]
    write_whole(folder / "benchmarks.html", page.page([], timings=[measured], before=same))
    terminalreporter.line(f"charts: {folder / 'benchmarks.html'}; timings: {folder / 'figures.json'}")
