"""Timings of benchmarks, and the stored ones: one JSON per hardware, stack and data set.

A file holds several runs of the suite's benchmarks, each with the seconds of every round. The spread of the rounds shows
whether the machine was quiet; the runs show how much one differs from the next.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec import content
from cnnspec.errors import TimingsError
from cnnspec.files import locked, write_whole
from cnnspec.names import DATASETS, hardware, slug
from cnnspec.shapes import NAME, SECONDS, STACK, TEXT, Number, Text, fault_of_framework, one_line, shown

TRUSTED_SPREAD = 0.10  # quartile distance divided by median; above it the machine was busy or throttled
KEPT_RUNS = 10
REMEDY = "restore it from git, or remove it and measure again: tox run -e bench-update"
NO_FILE = "tox run -e bench writes runs/bench/figures.json"
SPEED = Number(0, 1e9, null=True, above=True)
SIZE = Number(0, 1e18, whole=True)
# Shapes of a file, its runs and its timings; `shapes.misfit` says what a shape is.
TIMING = {
    "model": Text(null=True),
    "what": NAME,
    "seconds": [SECONDS],
    "images": SIZE,
    "flops": SIZE,
    "first": dataclasses.replace(SECONDS, null=True),
    **dict.fromkeys(("limit_gflops", "limit_gbytes", "host_mib", "device_mib"), SPEED),
    "ratios": [Number(0, 1e9, above=True)],
    "fewest": [SECONDS],
}
RUN = {"date": NAME, "command": TEXT, "timings": [TIMING]}
MEMORY = Number(0, 1e9, whole=True, null=True)
FILE = {"hardware": NAME, "stack": {**STACK, "memory_gib": MEMORY}, "dataset": Text(DATASETS), "runs": [RUN]}
SAME_STACK = ("python", "keras", "framework", "device", "threads", "precision", "onednn", "xla", "tf32", "cuda", "cudnn")


class Key(NamedTuple):
    """What was timed: a model (None for the suite itself), and what of it, such as "plain fit" or "inference by 128"."""

    model: str | None
    what: str

    def __str__(self) -> str:
        return f"{self.model}, {self.what}" if self.model else self.what


@dataclasses.dataclass
class Timing:
    """The timing of one thing: seconds of each round, and what a round computed.

    If a round repeats it, `seconds` are the means of the rounds and `fewest` the seconds of the fastest repetition, which
    waits inside the framework do not change. `images` per repetition, `flops` per image (`flops.py`), limits in GFLOP/s and
    GB/s, memory in MiB. `first` are the seconds of the first round, with its compilation. `ratios` are the seconds of each
    round relative to the plain fit right before it. None: not measured.
    """

    model: str | None
    what: str
    seconds: list[float]
    images: int = 0
    flops: int = 0
    first: float | None = None
    limit_gflops: float | None = None
    limit_gbytes: float | None = None
    host_mib: float | None = None
    device_mib: float | None = None
    ratios: list[float] = dataclasses.field(default_factory=list)
    fewest: list[float] = dataclasses.field(default_factory=list)

    @property
    def key(self) -> Key:
        """What was timed; it identifies this timing among others."""
        return Key(self.model, self.what)

    @property
    def median(self) -> float:
        """Median seconds of a round."""
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        """Seconds of the fastest repetition of all rounds."""
        return min(self.fewest or self.seconds)

    @property
    def spread(self) -> float:
        """Quartile distance of the rounds' fewest seconds divided by their median; infinite for fewer than three rounds."""
        rounds = self.fewest or self.seconds
        if len(rounds) < 3:
            return math.inf
        lower, median, upper = statistics.quantiles(rounds, n=4, method="inclusive")
        return (upper - lower) / median

    @property
    def trusted(self) -> bool:
        """Whether the rounds agree within TRUSTED_SPREAD."""
        return self.spread <= TRUSTED_SPREAD

    @property
    def images_per_second(self) -> float | None:
        """Images per second; None if no images are counted."""
        return self.images / self.median if self.images else None

    @property
    def gflops(self) -> float | None:
        """Achieved GFLOP/s; None if none are counted."""
        return self.flops * self.images / self.median / 1e9 if self.flops else None

    @property
    def share(self) -> float | None:
        """Achieved arithmetic as a share of the limit measured in the same run; None without either."""
        return self.gflops / self.limit_gflops if self.gflops and self.limit_gflops else None


def by_key(timings: Iterable[Timing]) -> dict[Key, Timing]:
    """{Key: Timing} of timings."""
    return {timing.key: timing for timing in timings}


def file_name(stack: dict[str, Any], dataset: str) -> str:
    """File name of a stack's timings on a data set."""
    return slug(f"{stack['framework']} keras {stack['keras']} {dataset}") + ".json"


def read(path: Path | str) -> dict[str, Any]:
    """The content of a file of timings: hardware, stack, dataset, runs with date, command and timings {Key: Timing}.

    Raises TimingsError.
    """
    with content.told_as(TimingsError, path, REMEDY, NO_FILE):
        found = content.json_of(path, FILE)
        fault = disagreement(found)
        if fault:
            raise content.Fault(f": {fault}")
        for run in found["runs"]:
            run["timings"] = by_key(Timing(**timing) for timing in run["timings"])
        return found


def disagreement(found: dict[str, Any]) -> str | None:
    """The first fact of a file of timings that does not agree with another, in words; `found` has the shape FILE."""
    named, machine = found["hardware"], hardware(found["stack"])
    if named != machine:
        return f"hardware is {shown(named)}, and the stack is that of {shown(machine)}"
    if not found["runs"]:
        return "runs is empty"
    for number, run in enumerate(found["runs"]):
        keys = [Key(timing["model"], timing["what"]) for timing in run["timings"]]
        for place, timing in enumerate(run["timings"]):
            here = f"runs[{number}].timings[{place}]"
            if keys.index(keys[place]) < place:
                return f"{here} is of {one_line(str(keys[place]))}, as one before it"
            rounds = len(timing["seconds"])
            if not rounds:
                return f"{here}.seconds is empty"
            for name in ("ratios", "fewest"):
                if timing[name] and len(timing[name]) != rounds:
                    return f"{here}.{name} has {len(timing[name])} of {rounds} rounds"
    return fault_of_framework(found["stack"])


def stored(folder: Path | str, stack: dict[str, Any], dataset: str) -> dict[str, Any] | None:
    """The stored file that a stack is compared with, from the folder of its hardware; None if there is none.

    The file of the same framework version, else the latest of the same framework, always of the same data set.
    """
    backend = stack["framework"].split()[0]
    contents = [read(path) for path in sorted(Path(folder).glob("*.json"))]
    fitting = [each for each in contents if each["dataset"] == dataset and each["stack"]["framework"].split()[0] == backend]
    same = [each for each in fitting if each["stack"]["framework"] == stack["framework"]]
    return max(same or fitting, key=lambda each: each["runs"][-1]["date"], default=None)


def store(
    folder: Path | str, stack: dict[str, Any], dataset: str, timings: Iterable[Timing], date: str, command: str
) -> tuple[Path, list[Key]]:
    """Add a run to the file of its stack in `folder`, whole or not at all; returns (path, keys of the timings left out).

    Timings that are not to be trusted are left out. If the file holds runs of another stack (SAME_STACK), it is replaced;
    the last KEPT_RUNS runs are kept. Raises TimingsError, and stores nothing, if no timing is to be trusted.
    """
    measured = by_key(timings)
    doubtful = [key for key, timing in measured.items() if not timing.trusted]
    kept = {key: timing for key, timing in measured.items() if timing.trusted}
    if not kept:
        raise TimingsError(
            f"not stored: the rounds of every timing spread by more than {TRUSTED_SPREAD:.0%}, so the machine was busy or "
            f"throttled; stop other work on it and measure again: tox run -e bench-update"
        )
    path = Path(folder) / file_name(stack, dataset)
    runs: list[dict[str, Any]] = []
    with locked(path):
        if path.exists():
            before = read(path)
            if all(before["stack"].get(key) == stack.get(key) for key in SAME_STACK):
                runs = before["runs"]
        runs = [*runs, {"date": date, "command": command, "timings": kept}][-KEPT_RUNS:]
        write(path, stack, dataset, runs)
    return path, doubtful


def write(path: Path | str, stack: dict[str, Any], dataset: str, runs: list[dict[str, Any]]) -> None:
    """Write a file of timings, whole or not at all; each of `runs` has date, command and timings {Key: Timing}."""
    listed = [{**run, "timings": [dataclasses.asdict(timing) for timing in run["timings"].values()]} for run in runs]
    content = {"hardware": hardware(stack), "stack": stack, "dataset": dataset, "runs": listed}
    write_whole(path, json.dumps(content, indent=1) + "\n")
