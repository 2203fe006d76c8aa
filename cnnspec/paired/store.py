"""Stored paired trainings: one CSV per model, a row for each run, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cnnspec import content
from cnnspec.ensembles.store import STACK
from cnnspec.errors import EnsembleError
from cnnspec.facts import reading
from cnnspec.files import locked, with_row, write_whole
from cnnspec.paired import setting
from cnnspec.shapes import LOSS, SHARE, TEXT, Number, Text

WHOLE, SECONDS = r"[0-9]{1,10}", Text(form=(r"[0-9]+\.[0-9]", "seconds with one decimal"))
START = Text(form=(WHOLE, "a whole number from 0"))  # facts stay text
HEALTHY = "none"  # the fault of a run without one
# What tells a run from another: the model, the fault put into it, the stack, how its steps were compiled, and its start.
FACTS = ("model", "fault", *STACK, "threads", "onednn", "xla", "start", "seconds")
IDENTITY = tuple(fact for fact in FACTS if fact not in ("seconds", "memory_gib", "platform"))


def facts(
    model: str, stack: Mapping[str, Any], start: int, *, xla: bool = False, fault: str = HEALTHY, seconds: float = 0.0
) -> dict[str, str]:
    """The first columns of a run's row. `stack` is what `cnnspec.stack.current` tells, `seconds` what the run took."""
    told = {"model": model, "fault": fault, "xla": "on" if xla else "off", "start": start, "seconds": f"{seconds:.1f}"}
    return {name: str(told.get(name, stack.get(name, ""))) for name in FACTS}


def append(path: str | Path, told: Mapping[str, str], numbers: Mapping[str, float]) -> None:
    """Add a run to the file at `path`, which is made if it is missing. A run that is stored is not stored again.

    Raises EnsembleError, and leaves the file unchanged, where it has a fault or would have one.
    """
    path = Path(path)
    row = {**told, **{name: f"{value:.9g}" for name, value in numbers.items()}}
    with locked(path):
        text = text_of(path, told["model"]) if path.exists() else ""
        if text and next(csv.reader(io.StringIO(text))) != list(row):
            raise EnsembleError(f"{path} has other columns than a paired training of {told['model']}; choose another --out")
        if any(all(stored[fact] == told[fact] for fact in IDENTITY) for stored in rows_of(path, text, told["model"])):
            return
        added = with_row(text, row)
        what = f"{path}, with the run of start {told['start']} added"
        with content.told_as(EnsembleError, what, "it is not stored; look at this training"):
            content.rows_of(added, shapes(told["model"]))
        write_whole(path, added)


def has(path: str | Path, told: Mapping[str, str]) -> bool:
    """Whether the file at `path` holds the run with these facts. Raises EnsembleError for a file with a fault."""
    if not Path(path).exists():
        return False
    text = text_of(Path(path), told["model"])
    return any(all(row[fact] == told[fact] for fact in IDENTITY) for row in rows_of(Path(path), text, told["model"]))


def shapes(model: str) -> dict[str, Any]:
    """{column: its shape} of a file of a model's runs."""
    facts = {**dict.fromkeys(FACTS, TEXT), "model": Text((model,)), "xla": Text(("on", "off")), "seconds": SECONDS}
    return {**facts, "start": START, **{name: of(name) for name in setting.quantities(model)}}


def of(quantity: str) -> Number:
    """What values a quantity can have."""
    kind = setting.kind(quantity)
    return SHARE if kind == "accuracy" else Number(0, 1e9, whole=True) if kind == setting.STEPS else LOSS


def text_of(path: Path, model: str) -> str:
    """The text of the file at `path`. Raises EnsembleError."""
    with content.told_as(EnsembleError, path, remedy(path, model), missing(path, model)):
        text = content.text_of(path)
        return text if text.endswith("\n") or not text else text + "\n"


def rows_of(path: Path, text: str, model: str) -> list[dict[str, Any]]:
    """The rows of the file at `path` with the text `text`: facts as text, quantities as numbers. Raises EnsembleError.

    A model's runs may be of several stacks, but no run may be there twice.
    """
    with content.told_as(EnsembleError, path, remedy(path, model)):
        return content.rows_of(text, shapes(model), IDENTITY) if text else []


def remedy(path: Path, model: str) -> Callable[[int | None], str]:
    """What to do about a fault in a line of the file at `path`, or in the whole file."""

    def told(line: int | None) -> str:
        if reading.BASELINES in path.resolve().parents:
            return reading.restore(path)
        if line is None:
            return f"remove the file; then {missing(path, model)}"
        return f"remove line {line}; then train what is missing: {command(path, model)}"

    return told


def missing(path: Path, model: str) -> str:
    """What to do where there is no file."""
    return f"make it with: {command(path, model)}"


def command(path: Path, model: str) -> str:
    """The command that makes the file at `path`."""
    return f"python -m cnnspec paired --models {model} --out {path.parent}"


def read(path: str | Path, model: str) -> pd.DataFrame:
    """The runs stored at `path`: a row for each, facts as text and quantities as floats. Raises EnsembleError."""
    path = Path(path)
    text = text_of(path, model)
    if not text:
        raise EnsembleError(f"{path} is malformed (it is empty); {remedy(path, model)(None)}")
    numbers = dict.fromkeys(setting.quantities(model), float)
    return pd.DataFrame(rows_of(path, text, model), columns=list(shapes(model))).astype(numbers)
