"""The result of a training, and its file. Nothing here needs a framework: stored runs can be read where none is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from cnnspec import content
from cnnspec.content import Fault
from cnnspec.errors import MalformedRun
from cnnspec.files import write_whole
from cnnspec.names import DATASETS
from cnnspec.shapes import EPOCHS, LOSS, NAME, NUMBERS, SEED, SHARE, STACK, Number, Text, counted, fault_of_history

REMEDY = "train again: python -m cnnspec train"
HISTORY = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")  # of every training
SCORES = {"test_loss": LOSS, "test_accuracy": SHARE, "train_loss": LOSS, "train_accuracy": SHARE}
# {field of TrainingRun: shape}; `shapes.misfit` says what a shape is.
FIELDS: dict[Any, Any] = {
    "model": NAME,
    "dataset": Text(DATASETS),
    "seed": SEED,
    "epochs": EPOCHS,
    "batch_size": Number(1, 1e6, whole=True),
    "optimizer": NAME,
    "redrawn": bool,
    "history": {**{metric: [NUMBERS] for metric in HISTORY}, ...: [NUMBERS]},
    "scores": SCORES,
    "stack": STACK,
    "untrained_loss": Number(0, 1e200, null=True),
}


@dataclasses.dataclass
class TrainingRun:
    """One training of one model with one seed on one stack.

    `history` has one list per metric with a value per epoch: loss and accuracy (means over the epoch's batches, with dropout
    on), val_loss and val_accuracy (the test set), seconds and, if requested, train_loss and train_accuracy (the train set,
    evaluated after the epoch). `scores` are test_loss, test_accuracy, train_loss and train_accuracy after the last epoch.
    `untrained_loss` is the loss on the test set before the first step, which depends on the drawn weights; the notebook did
    not measure it. Losses are mean categorical cross-entropies in nats, accuracies fractions. For `redrawn` see
    `training.redraw_kernels`.
    """

    model: str
    dataset: str
    seed: int
    epochs: int
    batch_size: int
    optimizer: str
    redrawn: bool
    history: dict[str, list[float]]
    scores: dict[str, float]
    stack: dict[str, Any]
    untrained_loss: float | None = None

    def to_json(self, path: str | Path) -> None:
        """Write the run to `path`, whole or not at all."""
        write_whole(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def from_json(cls, path: str | Path) -> TrainingRun:
        """Read a run from `path`. Raises MalformedRun if the file is missing, damaged, or not a run in every field."""
        with content.told_as(MalformedRun, path, REMEDY):
            fields = content.json_of(path, FIELDS)
            fault = fault_of_history(fields["history"], "history")
            if not fault and len(fields["history"]["seconds"]) != fields["epochs"]:
                fault = f"history has {counted(len(fields['history']['seconds']), 'epoch')}, epochs is {fields['epochs']}"
            if fault:
                raise Fault(f": {fault}")
            return cls(**fields)
