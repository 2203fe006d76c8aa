"""The stored mutation scores: `baselines/mutation/`, a row for each module, and one for each mutant that no test noticed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnspec.facts import reading
from cnnspec.faults.store import DIGEST, Stored
from cnnspec.files import locked, write_whole
from cnnspec.shapes import COUNT, NAME, TEXT

NUMBERS = re.compile(r"\b\d+(?:\.\d+)?(?:e[+-]?\d+)?")
FOLDER = reading.BASELINES / "mutation"
MAKE = "python -m tests.meta.mutation"
BREAK = " ⏎ "  # between lines that are told as one
SCORES = Stored(
    {
        "module": NAME,
        **dict.fromkeys(("mutants", "killed", "survived"), COUNT),
        "text": DIGEST,  # of the module and of the tests that judged it
        **dict.fromkeys(("date", "python", "cosmic_ray"), NAME),
    },
    "module",
    ("module",),
    ("text",),
    lambda row: "" if int(row["killed"]) + int(row["survived"]) == int(row["mutants"]) else "does not add up",
    MAKE,
)
SURVIVORS = Stored(
    {"mutant": NAME, "before": TEXT, "after": TEXT, "reason": TEXT}, "mutant", ("mutant",), (), lambda row: "", MAKE
)


class Mutant(NamedTuple):
    """A mutant and what the tests made of it: `name` is module:function:operator:number, `before` and `after` are lines."""

    name: str
    before: str
    after: str
    killed: bool


def digest(*paths: str) -> str:
    """Of the texts of files, named from the project's folder."""
    sha = hashlib.sha256()
    for path in paths:
        sha.update((reading.PROJECT / path).read_bytes())
    return sha.hexdigest()[:12]


def mutants(module: str, dumped: str) -> list[Mutant]:
    """The mutants of a session, from what `cosmic-ray dump` prints. Raises ValueError where one did not run.

    Noticed is one on which the tests fail, do not end in time, or cannot be started because the module cannot be imported.
    """
    found: list[Mutant] = []
    numbers: dict[str, int] = {}
    for line in dumped.splitlines():
        item, result = json.loads(line)
        outcome = result and result["worker_outcome"]
        if outcome == "skipped":
            continue
        if outcome != "normal":  # an error of cosmic-ray itself is no test that noticed
            raise ValueError(f"a mutant did not run: {outcome or 'not reached'}")
        mutation = item["mutations"][0]
        place = f"{module}:{mutation['definition_name'] or 'module'}:{mutation['operator_name'].removeprefix('core/')}"
        numbers[place] = numbers.get(place, 0) + 1
        before, after = lines(result["diff"] or "")
        if without_effect(before, after):
            continue
        found.append(Mutant(f"{place}:{numbers[place]}", before, after, result["test_outcome"] != "survived"))
    return found


def without_effect(before: str, after: str) -> bool:
    """Whether a mutant is the same program, 1e200 for 1e+200, or takes away `zip`'s own check that lengths are equal."""
    unchecked = "".join(before.split()).replace("strict=True", "strict=False")
    strict = "zip(" in before and unchecked == "".join(after.split())
    numbers = [[float(number) for number in NUMBERS.findall(line)] for line in (before, after)]
    return strict or (numbers[0] == numbers[1] and NUMBERS.sub("", before).split() == NUMBERS.sub("", after).split())


def lines(diff: str) -> tuple[str, str]:
    """The lines that a unified diff takes away and adds, each on one line."""
    body = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    joined = lambda sign: BREAK.join(line[1:].strip() for line in body if line.startswith(sign))  # noqa: E731
    return joined("-"), joined("+")


def store(module: str, found: Sequence[Mutant], about: Mapping[str, str], folder: Path = FOLDER) -> None:
    """Store a module's score and its survivors; a survivor that was there with a reason keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    survived = [mutant for mutant in found if not mutant.killed]
    counts = {"mutants": len(found), "killed": len(found) - len(survived), "survived": len(survived)}
    path = folder / "survivors.csv"
    with locked(path):
        rows = SURVIVORS.read(path) if path.exists() else []
        explained = [row for row in rows if row["reason"]]
        reasons = {(row["mutant"].rpartition(":")[0], row["before"], row["after"]): row["reason"] for row in explained}
        mine = [
            {
                "mutant": mutant.name,
                "before": mutant.before,
                "after": mutant.after,
                "reason": reasons.get((mutant.name.rpartition(":")[0], mutant.before, mutant.after), ""),
            }
            for mutant in survived
        ]
        others = [row for row in rows if row["mutant"].partition(":")[0] != module]
        write_whole(path, SURVIVORS.written([*others, *mine]))
    SCORES.add(folder / "scores.csv", {"module": module, **{k: str(v) for k, v in counts.items()}, **about})


def unexplained(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the survivors without a reason."""
    return [row["mutant"] for row in rows if not row["reason"]]


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Cells of a row for each part of the code: its mutants, and those that a test noticed."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        part = row["module"].rpartition("/")[0]
        for name in (part, "all"):
            found = counts.setdefault(name, [0, 0, 0])
            counts[name] = [each + int(row[key]) for each, key in zip(found, ("mutants", "killed", "survived"), strict=True)]
    order = sorted(counts, key=lambda name: (name == "all", name))
    return [[name, *map(str, counts[name])] for name in order]


HEADER = ("part", "mutants", "noticed", "survived, with a reason")
