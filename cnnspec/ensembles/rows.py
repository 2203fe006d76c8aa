"""The rows of an ensemble's CSV: what every cell must be, and what all rows of one file must have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnspec import content
from cnnspec.errors import EnsembleError
from cnnspec.names import DATASETS
from cnnspec.shapes import NAME, SEED, TEXT, Number, Text

IDENTITY = ("model", "dataset", "optimizer", "redrawn", "batch_size", "epochs", "seed")
STACK = ("python", "platform", "keras", "backend", "framework", "numpy", "device", "cpu", "cores", "memory_gib", "precision")
SAME_STACK = ("python", "keras", "backend", "framework", "numpy", "device", "cpu", "cores", "precision")
SAME = tuple(key for key in IDENTITY if key != "seed") + SAME_STACK  # all rows of one file have the same
SCORES = ("test_loss", "test_accuracy", "train_loss", "train_accuracy")
PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "train_loss", "train_accuracy", "seconds")
SOMETIMES = ("train_loss", "train_accuracy")  # evaluated after every epoch only where that is cheap

ABOVE_0 = Number(0, 1e200, above=True)
STACK_SHAPES = dict.fromkeys(STACK, TEXT)


def checked(path: Path, text: str, remedy: Callable[[int | None], str], texts: bool = True) -> list[dict[str, Any]]:
    """The rows of a CSV with the text `text`; numbers as written, or as numbers. Raises EnsembleError.

    `remedy` says what to do about a line, or about the whole file (None), as the end of the message.
    """
    with content.told_as(EnsembleError, path, remedy):
        columns = shapes(next(content.lines_of(text))[1], path.stem)
        return content.rows_of(text, columns, key=("seed",), same=SAME, texts=texts)


def epochs_of(header: Iterable[str]) -> int:
    """Number of epochs that the columns of a file are for."""
    return sum(bool(re.fullmatch("loss_[0-9]+", column)) for column in header)


def shapes(header: Sequence[str], model: str) -> dict[str, Any]:
    """{column: its shape} of a file of runs of a model, of as many epochs as its first line has."""
    epochs = epochs_of(header)
    found: dict[str, Any] = {
        "model": Text((model,)),
        "dataset": Text(DATASETS),
        "optimizer": NAME,
        "redrawn": Text(("True", "False")),
        "batch_size": Number(1, 1e6, whole=True),
        "epochs": Text((str(epochs),)),
        "seed": SEED,
        **STACK_SHAPES,
        "untrained_loss": ABOVE_0,
        **{f"final_{score}": limits(score) for score in SCORES},
    }
    kept = [metric for metric in PER_EPOCH if metric not in SOMETIMES or f"{metric}_1" in header]
    return {**found, **{f"{m}_{epoch}": limits(m) for m in kept for epoch in range(1, max(epochs, 1) + 1)}}


def limits(metric: str) -> Number:
    """What values a metric can have in an ensemble, where the logarithm of every loss is needed."""
    return Number(0, 1) if "accuracy" in metric else ABOVE_0


def fault_of(row: Mapping[str, str], model: str) -> str:
    """The first cell of a row that cannot be that of a run of a model, in words; empty where every cell can."""
    return content.fault_of_cells(row.values(), shapes(list(row), model))
