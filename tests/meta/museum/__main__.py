"""`python -m tests.meta.museum`: visit every exhibit, say what came of it, and keep it; `tox run -m museum` runs it."""

from __future__ import annotations

import argparse
import csv
import io
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cnnspec.bisect.command import Stopped, stop
from cnnspec.bisect.environments import Call, call, interpreter
from cnnspec.errors import CnnspecError
from cnnspec.facts.reading import PROJECT
from cnnspec.files import write_whole
from tests.meta.museum.exhibits import COLUMNS, DUE, RESULTS, Exhibit, Stack, exhibits, results, wrong
from tests.meta.museum.visits import Visits, Wanted

README = RESULTS.parent / "README.md"
BEGIN, END = "<!-- results: tox run -e museum -- --store -->\n", "<!-- end of results -->"
Rows = dict[tuple[str, str], dict[str, Any]]


def main(words: Sequence[str] | None = None, call: Call = call, say: Callable[[str], None] = print) -> int:
    """Visit the exhibits; returns 0 where every one is as its row says, 1 where one is not, 2 where one cannot be judged."""
    options = parser().parse_args(words)
    options.out.mkdir(parents=True, exist_ok=True)
    every = exhibits()
    unknown = set(options.exhibits) - {each.name for each in every}
    if unknown:
        say(f"no exhibit is called {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in every)}")
        return 2
    asked = [each for each in every if not options.exhibits or each.name in options.exhibits]
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with FileLock(options.out / "lock", timeout=0):
            rows = visited(asked, options.out, options.again, call, say)
            faults = told(asked, rows, say)
            if options.store:
                store(every, rows)
                say(f"{RESULTS} and {README} hold these results")
    except Timeout:
        say(f"another visit of the museum is running, in {options.out}; wait for it, or end it")
        return 2
    except CnnspecError as error:
        say(str(error))
        return 2
    except (KeyboardInterrupt, Stopped):
        say("it was stopped; the same command goes on")
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)
    return 1 if faults else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m tests.meta.museum", description=__doc__)
    found.add_argument("exhibits", nargs="*", help="exhibits to visit (default: all)")
    found.add_argument("--again", action="store_true", help="visit those too whose results are kept from before")
    found.add_argument("--store", action="store_true", help="put the results into baselines/museum")
    found.add_argument("--out", type=Path, default=PROJECT / "runs" / "museum", help="folder for logs and results")
    return found


def visited(asked: Sequence[Exhibit], out: Path, again: bool, call: Call, say: Callable[[str], None]) -> Rows:
    """The rows of the exhibits, from before where nothing has changed; those of a stack are written when it is done."""
    rows: Rows = results(out / RESULTS.name)
    stacks: dict[Stack, list[Wanted]] = {}
    for each in asked:
        for which, side in each.sides.items():
            kept = rows.get((each.name, which))
            if again or kept is None or kept["asked"] != side.digest:
                stacks.setdefault(side.stack, []).append((each.name, which, side))
    uv = shutil.which("uv")
    pythons = {version: interpreter("", version, uv) for version in sorted({stack.python for stack in stacks})}
    visits = Visits(out, pythons, uv, call)
    for number, (stack, wanted) in enumerate(stacks.items(), start=1):
        set_to = [f"{name}={value}" for name, value in stack.variables]
        say(
            f"[{number}/{len(stacks)}] {' '.join([*stack.requirements, *set_to])}, Python {stack.python}: {stack.digest}.log"
        )
        for row in visits.visit(stack, wanted):
            rows[row["exhibit"], row["side"]] = row
            say(f"    {row['exhibit']}, {row['side']}, {row['verdict']} in {row['seconds']:.1f} s: {row['message'][:80]}")
        write_whole(out / RESULTS.name, as_csv(rows))
    return rows


def told(asked: Sequence[Exhibit], rows: Rows, say: Callable[[str], None]) -> list[str]:
    """Say what is not as the exhibits say, and how many are; returns the former."""
    faults = [
        f"{each.name}, {which}: {fault}"
        for each in asked
        for which in DUE
        if (fault := wrong(each, which, rows.get((each.name, which))))
    ]
    for fault in faults:
        say(fault)
    good = len(asked) - len({fault.split(", ")[0] for fault in faults})
    say(f"{good} of {len(asked)} exhibits are red for the documented reason and their neighbours green")
    return faults


def as_csv(rows: Rows) -> str:
    """The rows as a CSV with its header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return out.getvalue()


def store(every: Sequence[Exhibit], rows: Rows) -> None:
    """Put rows into the stored results, in the order of the exhibits, without those of exhibits that are gone."""
    known = results() | rows
    ordered = {(each.name, which): known[each.name, which] for each in every for which in DUE if (each.name, which) in known}
    write_whole(RESULTS, as_csv(ordered))
    text = README.read_text(encoding="utf-8")
    write_whole(README, re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}{table(every, ordered)}{END}", text, flags=re.DOTALL))


def table(every: Sequence[Exhibit], rows: Rows) -> str:
    """The stored results as the table of the README."""
    lines = ["| exhibit | red on | by | seconds | green on | seconds |", "|---|---|---|---|---|---|"]
    for each in every:
        found = [rows.get((each.name, which)) for which in DUE]
        if all(found):
            ill, healthy = (row or {} for row in found)
            test = ill["test"].removeprefix("tests/")
            lines.append(
                f"| {each.name} | {ill['stack']} | `{test}` | {ill['seconds']:.1f} | {healthy['stack']} | "
                f"{healthy['seconds']:.1f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(say=lambda line: print(line, flush=True)))
