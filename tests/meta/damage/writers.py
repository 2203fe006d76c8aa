"""Every kind of file that is written by a process that may be killed, or beside another. No framework is imported.

`python -m tests.meta.damage.writers KIND FOLDER FIRST COUNT` writes COUNT numbers from FIRST on; with the word kills in the
place of FIRST it kills a writer COUNT times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec.benchmarks import timings
from cnnspec.ensembles import rows
from cnnspec.ensembles import store as ensembles
from cnnspec.errors import CnnspecError
from cnnspec.faults import store as faults
from cnnspec.files import PART, locked, write_whole
from cnnspec.paired import setting
from cnnspec.paired import store as paired
from cnnspec.reports.report import Report
from cnnspec.runs import TrainingRun
from tests.meta.faults import made_rows
from tests.meta.reports.made_reports import STACK, made

FACTS = dict.fromkeys(rows.STACK, "x") | STACK | {"threads": 2}
VALUES = {"accuracy": 0.5, setting.STEPS: 32.0}


def run(number: int) -> TrainingRun:
    """A made-up training whose seed is `number`."""
    history, scores = {metric: [0.5] for metric in rows.PER_EPOCH}, dict.fromkeys(rows.SCORES, 0.5)
    return TrainingRun("model1", "mnist5k", number, 1, 128, "adam", True, history, scores, FACTS, 2.4)


class Writer(NamedTuple):
    """How number N is written into a folder, and which numbers a folder holds. `last`: only the last one stays."""

    write: Callable[[Path, int], Any]
    held: Callable[[Path], list[int]]
    last: bool = False


def store_figures(folder: Path, number: int) -> None:
    """Add a run of the benchmarks."""
    timings.store(folder, FACTS, "mnist5k", [timings.Timing(None, "a", [1.0, 1.0, 1.0])], str(number), "tox")


def held_figures(folder: Path) -> list[int]:
    """The runs of the benchmarks."""
    return [int(each["date"]) for path in folder.glob("*.json") for each in timings.read(path)["runs"]]


def store_paired(folder: Path, number: int) -> None:
    """Add a paired training."""
    numbers = {name: VALUES.get(setting.kind(name), 1.25) for name in setting.quantities("model1")}
    paired.append(folder / "model1.csv", paired.facts("model1", FACTS, number), numbers)


def write_table(folder: Path, number: int) -> None:
    """Write a table as a snapshot is written."""
    with locked(folder / "table.csv"):
        write_whole(folder / "table.csv", f"# {number}\n" + "row,model1\nTest Loss,0.1\n" * 50 + "# end\n")


def held_table(folder: Path) -> list[int]:
    """The table that is stored."""
    if not (folder / "table.csv").exists():
        return []
    first, *_, last = (folder / "table.csv").read_text().splitlines()
    assert last == "# end"
    return [int(first.removeprefix("# "))]


WRITERS = {
    "ensemble": Writer(
        lambda folder, number: ensembles.append(folder / "model1.csv", run(number)),
        lambda folder: sorted(ensembles.seeds(folder / "model1.csv")),
    ),
    "paired": Writer(
        store_paired,
        lambda folder: (
            [int(start) for start in paired.read(folder / "model1.csv", "model1").start]
            if (folder / "model1.csv").exists()
            else []
        ),
    ),
    "results of faults": Writer(
        lambda folder, number: faults.CATALOGUE.add(folder / "catalogue.csv", made_rows.row(f"{number:06d}")),
        lambda folder: (
            [int(row["fault"]) for row in faults.CATALOGUE.read(folder / "catalogue.csv")]
            if (folder / "catalogue.csv").exists()
            else []
        ),
    ),
    "figures": Writer(store_figures, held_figures),
    "report": Writer(
        lambda folder, number: made(seconds=1.0 + number).to_json(folder / "report.json"),
        lambda folder: [
            round(Report.from_json(path).trainings["model1"]["history"]["seconds"][1]) - 1 for path in folder.glob("*.json")
        ],
        last=True,
    ),
    "run": Writer(
        lambda folder, number: run(number).to_json(folder / "run.json"),
        lambda folder: [TrainingRun.from_json(path).seed for path in folder.glob("*.json")],
        last=True,
    ),
    "snapshot": Writer(write_table, held_table, last=True),
}


def numbers(first: int) -> Iterator[int]:
    """Numbers from `first` on, without end."""
    while True:
        yield first
        first += 1


def main(kind: str, folder: str, first: int, count: int) -> None:
    """Write `count` numbers, one after the other."""
    for number in range(first, first + count):
        WRITERS[kind].write(Path(folder), number)


def killed(kind: str, folder: Path, first: int, seconds: float) -> list[int]:
    """Write from `first` on in another process, kill it after some time, and return the numbers that it told as written."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        for number in numbers(first):
            WRITERS[kind].write(folder, number)
            os.write(write, f"{number}\n".encode())
    os.close(write)
    with os.fdopen(read) as told:
        found = [int(told.readline())]
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return found + [int(line) for line in told]


def kills(kind: str, folder: Path, count: int) -> dict[str, int]:
    """Kill a writer `count` times; how many numbers it wrote, how many of them were lost, and how many files were torn."""
    writer, generator, told, first = WRITERS[kind], random.Random(kind), set(), 0
    lost = torn = parts = 0
    for _ in range(count):
        found = killed(kind, folder, first, generator.uniform(0, 0.05))
        told |= set(found)
        parts += len(left_over(folder))
        try:
            held = writer.held(folder)
        except CnnspecError:
            torn += 1
            break
        due = {max(told)} if writer.last else told
        more = set(held) - told  # written, and not yet told
        lost += len(due - set(held)) if not (writer.last and more) else 0
        torn += len(held) != len(set(held)) or not more <= {max(told) + 1}
        told |= more
        first = max(told) + 1
    writer.write(folder, first)
    return {"written": len(told), "lost": lost, "torn": torn, "parts": parts, "parts left": len(left_over(folder))}


def left_over(folder: Path) -> list[str]:
    """Names of temporary files in a folder."""
    return [path.name for path in folder.iterdir() if path.name.endswith(PART)]


if __name__ == "__main__":
    timings.KEPT_RUNS = 10**6
    what, place = sys.argv[1], sys.argv[2]
    if sys.argv[3] == "kills":
        print(json.dumps(kills(what, Path(place), int(sys.argv[4]))))
    else:
        main(what, place, int(sys.argv[3]), int(sys.argv[4]))
