"""Wiring of the benchmarks: whether they run, the processes that they measure, and the figures of this run."""

import contextlib
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cnnspec import baselines

PROJECT = baselines.BASELINES.parent
FOLDER = baselines.BASELINES / "benchmarks"
MODULES = ("test_benchmark.py", "test_benchmark_peers.py", "test_benchmark_scale.py")
HOW = "tox run -e bench turns them on (pytest tests/test_benchmark.py --benchmark-enable)"
OFF = f"benchmarks: off; {HOW}"
ALONE = "benchmarks measure one thing at a time, on the whole machine: leave -n out, or leave --benchmark-enable out"
measured = {}  # name -> Figure, of this run
compared = {}  # name -> Comparison with the stored figures of this machine
said = []  # further lines of this run, with what follows from its figures


def asked_for(config):
    """True where benchmarks were turned on. Raises UsageError under xdist, where they would measure each other."""
    if not config.getoption("benchmark_enable", False):
        return False
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError(ALONE)
    return True


def deselect(config, items):
    """Leave the benchmarks out unless they were asked for."""
    if asked_for(config):
        return
    off = [item for item in items if item.path.name in MODULES]
    if off:
        config.hook.pytest_deselected(items=off)
        items[:] = [item for item in items if item.path.name not in MODULES]


def header(config):
    """Line of pytest's header: whether benchmarks run."""
    return [] if asked_for(config) else [OFF]


class MeasuringFailed(RuntimeError):
    """A process that measures ended early; the message holds its command and the end of what it printed."""


class Measuring:
    """A process of `cnnspec.measure` for one model and Variant; `ask` sends it a request and waits for the answer.

    `python` and `environment` are those of a peer, by default this process'; `images` so many of the train set, by default
    all. Raises MeasuringFailed.
    """

    def __init__(self, model, variant, settings, python=sys.executable, environment=None, images=None):
        path = settings.mnist and str(Path(settings.mnist).resolve())
        wish = {"model": model, "dataset": settings.dataset, "mnist": path, "images": images, "seed": settings.seed}
        wish["variant"] = dataclasses.asdict(variant)
        threads = (
            dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(variant.threads)) if variant.threads else {}
        )
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        self.process = subprocess.Popen(
            [python, "-m", "cnnspec.measure", json.dumps(wish)],
            cwd=PROJECT,
            env=os.environ | threads | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.ready = self.answer()
        self.first = self.ask("epoch")
        self.losses = [self.first["loss"]]

    def answer(self):
        """The next line of JSON that the process prints."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read()[-2000:]
        self.close()
        raise MeasuringFailed(f"{' '.join(self.process.args)} ended with {code}:\n{said}")

    def ask(self, request):
        """The answer to a request of `cnnspec.measure`."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, and the answer says why
            self.process.stdin.write(f"{request}\n")
            self.process.stdin.flush()
        return self.answer()

    def epoch(self):
        """Train one more epoch; returns its seconds as the process itself measured them."""
        answer = self.ask("epoch")
        self.losses.append(answer["loss"])
        return answer["seconds"]

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.errors):
            stream.close()
        with contextlib.suppress(BrokenPipeError):  # a request that nobody reads any more
            self.process.stdin.close()


def write(terminal, config):
    """The figures of this run, and the stored ones of all machines, in pytest's terminal; file and page of it in --out."""
    if not measured and not said:
        return
    from cnnspec import figures, figures_table, report_page, stack
    from cnnspec.files import write_whole

    terminal.section("benchmarks")
    for line in [*(figures_table.run(measured, config.option.dataset) if measured else []), *said]:
        terminal.line(line)
    if not measured:
        return
    for name, comparison in compared.items():
        terminal.line(f"{comparison.outcome}: {name}, {comparison.text}")
    lines = figures_table.across([figures.read(path) for path in sorted(FOLDER.glob("*/*.json"))])
    for line in ["", "stored, the last run of each stack", *lines] if lines else []:
        terminal.line(line)
    folder = Path(config.option.out or "runs/bench").resolve()
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    run = {"date": date, "command": " ".join(["pytest", *map(str, config.invocation_params.args)]), "figures": measured}
    figures.write(folder / "figures.json", stack.current(), config.option.dataset, [run])
    write_whole(folder / "benchmarks.html", report_page.page([], benchmarks=[figures.read(folder / "figures.json")]))
    terminal.line(f"charts: {folder / 'benchmarks.html'}, of {folder / 'figures.json'}")
