"""The rows of an ensemble's CSV: what every cell must be, and what all rows of one file must have in common."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from cnnspec.errors import EnsembleError
from cnnspec.names import DATASETS

IDENTITY = ("model", "dataset", "optimizer", "redrawn", "batch_size", "epochs", "seed")
STACK = ("python", "platform", "keras", "backend", "framework", "numpy", "device", "cpu", "cores", "memory_gib", "precision")
SAME_STACK = ("python", "keras", "backend", "framework", "numpy", "device", "cpu", "cores", "precision")
SAME = tuple(key for key in IDENTITY if key != "seed") + SAME_STACK  # all rows of one file have the same
SCORES = ("test_loss", "test_accuracy", "train_loss", "train_accuracy")
PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "train_loss", "train_accuracy", "seconds")
SOMETIMES = ("train_loss", "train_accuracy")  # evaluated after every epoch only where that is cheap

WHOLE = re.compile(r"[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def checked(path: Path, text: str, remedy: Callable[[int | None], str]) -> list[dict[str, str]]:
    """The rows of a CSV with the text `text`. Raises EnsembleError, which names the place of the first fault.

    `remedy` says what to do about a line, or about the whole file (None), as the end of the message.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    lines = []
    try:
        for cells in reader:
            lines.append((reader.line_num, cells))
    except csv.Error as error:
        line = lines[-1][0] + 1 if lines else 1  # where the row begins: an open quote takes all lines below it
        raise EnsembleError(f"{path}, line {line} is malformed ({error}); {remedy(line)}") from error
    if not lines:
        raise EnsembleError(f"{path} is malformed (it is empty); {remedy(None)}")
    (_, header), found = lines[0], lines[1:]
    fault = fault_of_header(header)
    if fault:
        raise EnsembleError(f"{path} {fault}; {remedy(None)}")
    rows: list[dict[str, str]] = []
    seeds: dict[int, int] = {}
    for line, cells in found:
        if len(cells) != len(header):
            raise EnsembleError(f"{path}, line {line} has {len(cells)} cells, the header {len(header)}; {remedy(line)}")
        row = dict(zip(header, cells))
        fault = fault_of(row, path.stem) or other(row, rows[0] if rows else row, found[0][0])
        if fault:
            raise EnsembleError(f"{path}, line {line}, {fault}; {remedy(line)}")
        seed = int(row["seed"])
        if seed in seeds:
            raise EnsembleError(f"{path}, line {line}, column seed: {seed} is in line {seeds[seed]} too; {remedy(line)}")
        seeds[seed] = line
        rows.append(row)
    return rows


def epochs_of(header: Iterable[str]) -> int:
    """Number of epochs that the columns of a file are for."""
    return sum(bool(re.fullmatch("loss_[0-9]+", column)) for column in header)


def fault_of_header(header: list[str]) -> str:
    """What is wrong with the columns of a file, in words; empty where nothing is."""
    epochs = epochs_of(header)
    numbered = {metric: [f"{metric}_{epoch}" for epoch in range(1, epochs + 1)] for metric in PER_EPOCH}
    kept = [metric for metric in PER_EPOCH if metric not in SOMETIMES or f"{metric}_1" in header]
    due = [*IDENTITY, *STACK, "untrained_loss", *(f"final_{score}" for score in SCORES)]
    due += [column for metric in kept for column in numbered[metric]]
    missing = [column for column in due if column not in header]
    if missing or not epochs:
        return f"lacks the columns {some(missing or ['loss_1'])}"
    unknown = [column for column in header if column not in due]
    if unknown:
        return f"has the unknown columns {some(unknown)}"
    repeated = sorted({column for column in header if header.count(column) > 1})
    return f"has more than once the columns {some(repeated)}" if repeated else ""


def some(columns: list[str]) -> str:
    """The first names of columns in words."""
    more = f" and {len(columns) - 5} more" if columns[5:] else ""
    return ", ".join(repr(column[:60]) for column in columns[:5]) + more


def fault_of(row: Mapping[str, str], model: str) -> str:
    """The first cell of a row that cannot be that of a run of a model, in words; empty where every cell can."""
    epochs = epochs_of(list(row))
    for column, cell in row.items():
        if column in STACK:
            continue
        if column == "model":
            due = "" if cell == model else model
        elif column == "dataset":
            due = "" if cell in DATASETS else f"one of {', '.join(DATASETS)}"
        elif column == "optimizer":
            due = "" if cell else "a name"
        elif column == "redrawn":
            due = "" if cell in ("True", "False") else "True or False"
        elif column == "seed":
            due = "" if WHOLE.fullmatch(cell) else "a whole number"
        elif column == "epochs":
            due = "" if cell == str(epochs) else f"{epochs}, as many as the columns are for"
        elif column == "batch_size":
            due = "" if WHOLE.fullmatch(cell) and int(cell) else "a whole number above 0"
        else:
            due = fault_of_number(column, cell)
        if due:
            return f"column {column}: expected {due}, found {cell[:60]!r}"
    return ""


def fault_of_number(column: str, cell: str) -> str:
    """What belongs into a column of losses, accuracies or seconds, where a cell is not it; else empty."""
    value = float(cell) if NUMBER.fullmatch(cell) else math.nan
    if "accuracy" in column:
        return "" if 0 <= value <= 1 else "a share from 0 to 1"
    return "" if 0 < value < math.inf else "a finite number above 0"


def other(row: Mapping[str, str], first: Mapping[str, str], line: int) -> str:
    """The first column in which a row is of another stack or setting than the file's first, in words; else empty."""
    different = [key for key in SAME if row[key] != first[key]]
    if not different:
        return ""
    key = different[0]
    return f"column {key}: a run of another stack or setting, {row[key][:60]!r}, and line {line} has {first[key][:60]!r}"
