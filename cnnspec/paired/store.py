"""Stored paired trainings: one CSV per model, a row for each run, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from cnnspec.ensembles.store import STACK
from cnnspec.errors import EnsembleError
from cnnspec.facts.reading import restore
from cnnspec.files import with_row, write_whole
from cnnspec.paired import setting

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

    Raises EnsembleError, and leaves the file unchanged, where the columns of the file are others.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {**told, **{name: f"{value:.9g}" for name, value in numbers.items()}}
    with FileLock(f"{path}.lock"):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text and next(csv.reader(io.StringIO(text))) != list(row):
            raise EnsembleError(f"{path} has other columns than a paired training of {told['model']}; choose another --out")
        if has(path, told):
            return
        write_whole(path, with_row(text, row))


def has(path: str | Path, told: Mapping[str, str]) -> bool:
    """Whether the file at `path` holds the run with these facts."""
    if not Path(path).exists():
        return False
    with Path(path).open(encoding="utf-8", newline="") as lines:
        return any(all(row[fact] == told[fact] for fact in IDENTITY) for row in csv.DictReader(lines))


def read(path: str | Path, model: str) -> pd.DataFrame:
    """The runs stored at `path`: a row for each, facts as text and quantities as floats. Raises EnsembleError."""
    path = Path(path)
    try:
        frame = pd.read_csv(str(path), dtype=dict.fromkeys(FACTS, str), keep_default_na=False)
    except FileNotFoundError as error:
        command = f"python -m cnnspec paired --models {model} --out {path.parent}"
        raise EnsembleError(f"{path} is missing; make it with: {command}") from error
    except ValueError as error:
        raise EnsembleError(f"{path} is malformed ({str(error).strip()}); {restore(path)}") from error
    expected = [*FACTS, *setting.quantities(model)]
    if list(frame.columns) != expected:
        different = sorted(set(frame.columns) ^ set(expected))
        raise EnsembleError(f"{path} has other columns than a paired training of {model}: {different}; {restore(path)}")
    bad = [name for name in setting.quantities(model) if not pd.api.types.is_numeric_dtype(frame[name])]
    if bad:
        raise EnsembleError(f"{path} has empty cells or text where numbers belong, in {bad}; {restore(path)}")
    return frame
