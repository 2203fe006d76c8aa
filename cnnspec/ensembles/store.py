"""Stored runs of known-good stacks: one CSV per data set and model, one row per run, written whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from filelock import FileLock

from cnnspec.errors import EnsembleError
from cnnspec.files import write_whole

if TYPE_CHECKING:
    from cnnspec.training import TrainingRun  # it needs Keras, and reading stored runs does not

IDENTITY = ("model", "dataset", "optimizer", "redrawn", "batch_size", "epochs", "seed")
STACK = ("python", "platform", "keras", "backend", "framework", "numpy", "device", "cpu", "cores", "memory_gib", "precision")
SAME_STACK = ("python", "keras", "backend", "framework", "numpy", "device", "cpu", "cores", "precision")
SCORES = ("test_loss", "test_accuracy", "train_loss", "train_accuracy")
PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "train_loss", "train_accuracy", "seconds")


def row_of(run: TrainingRun) -> dict[str, str]:
    """A TrainingRun as one flat row: identity, stack, scores, then every per-epoch metric as `metric_epoch`."""
    row = {key: getattr(run, key) for key in IDENTITY}
    row.update({key: run.stack.get(key, "") for key in STACK})
    row["untrained_loss"] = run.untrained_loss
    row.update({f"final_{key}": run.scores[key] for key in SCORES})
    for metric in PER_EPOCH:
        row.update({f"{metric}_{epoch}": value for epoch, value in enumerate(run.history.get(metric, ()), start=1)})
    return {key: f"{value:.7g}" if isinstance(value, float) else str(value) for key, value in row.items()}


def command(path: Path, runs: int = 24) -> str:
    """The command that makes the ensemble at `path`, with data set and optimizer by the folder's name."""
    dataset = "mnist5k" if path.parent.name.startswith("mnist5k") else "mnist"
    optimizer = "adadelta" if "adadelta" in path.parent.name else "adam"
    settings = f"--dataset {dataset} --optimizer {optimizer} --epochs 10 --runs {runs}"
    return f"python -m cnnspec calibrate --models {path.stem} {settings} --out {path.parent}"


def read(path: str | Path) -> pd.DataFrame:
    """The ensemble stored at `path`: a frame with a row per run, metrics as floats. Raises EnsembleError."""
    path = Path(path)
    remedy = f"restore it from git, or remove it and make it again with: {command(path)}"
    try:
        frame = pd.read_csv(str(path), dtype={"python": str, "numpy": str, "keras": str})
    except FileNotFoundError as error:
        raise EnsembleError(f"{path} is missing; make it with: {command(path)}") from error
    except ValueError as error:
        raise EnsembleError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error
    missing = [column for column in (*IDENTITY, *STACK, "untrained_loss", "final_test_loss") if column not in frame]
    if missing:
        raise EnsembleError(f"{path} lacks the columns {missing}; {remedy}")
    numbers = frame.loc[:, "untrained_loss":]
    bad = [column for column in numbers if not pd.api.types.is_numeric_dtype(numbers[column])]
    bad += [column for column in numbers if column not in bad and numbers[column].isna().any()]
    if bad:
        raise EnsembleError(f"{path} has empty cells or text where numbers belong, in {bad}; {remedy}")
    if frame.seed.duplicated().any():
        repeated = sorted(frame.seed[frame.seed.duplicated()])
        raise EnsembleError(f"{path} has more than one row for the seeds {repeated}; remove the repeated rows")
    return frame


def seeds(path: str | Path) -> set[int]:
    """The seeds stored at `path`; none if the file does not exist."""
    return set(read(path).seed) if Path(path).exists() else set()


def append(path: str | Path, run: TrainingRun) -> None:
    """Add a run to the ensemble at `path`; the file is made if it is missing. A seed that is stored is not stored again.

    Raises EnsembleError, and leaves the file unchanged, for a run from another stack or of other settings.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    row = row_of(run)
    with FileLock(str(path) + ".lock"):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text:
            stored = list(csv.DictReader(io.StringIO(text)))
            if row["seed"] in {other["seed"] for other in stored}:
                return
            check_same(path, stored[0], row)
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(row), lineterminator="\n")
        if not text:
            writer.writeheader()
        writer.writerow(row)
        write_whole(path, text + out.getvalue())


def check_same(path: Path, stored: Mapping[str, str], row: Mapping[str, str]) -> None:
    """Raise EnsembleError unless two rows have the same columns, settings and stack."""
    if list(stored) != list(row):
        raise EnsembleError(f"{path} has other columns than a run of {row['epochs']} epochs; choose another --out")
    keys = [key for key in IDENTITY if key != "seed"] + list(SAME_STACK)
    different = [f"{key}: {stored[key]} stored, {row[key]} new" for key in keys if stored[key] != row[key]]
    if different:
        raise EnsembleError(f"{path} holds runs of another stack or setting ({'; '.join(different)}); choose another --out")


def run_curves(run: TrainingRun) -> dict[str, list[float]]:
    """Curves of a TrainingRun for `bands.mean`: history, untrained loss, the train set evaluated after the last epoch."""
    return {
        **run.history,
        "untrained_loss": [math.nan if run.untrained_loss is None else run.untrained_loss],
        "train_loss": [run.scores["train_loss"]],
        "train_accuracy": [run.scores["train_accuracy"]],
    }


def curves(path: str | Path, epochs: int) -> list[dict[str, list[float]]]:
    """Curves of every run stored at `path`, as if each had ended after `epochs` epochs. Raises EnsembleError.

    The evaluated train set is known after every epoch if the runs recorded it, else only after the last epoch.
    """
    frame = read(path)
    trained = int(frame.epochs.min())
    if epochs > trained:
        raise EnsembleError(f"{path} holds runs of {trained} epochs, too few to judge {epochs}; use --epochs {trained}")
    if f"train_loss_{epochs}" not in frame and epochs != trained:
        raise EnsembleError(f"{path} has the evaluated train loss only after {trained} epochs; use --epochs {trained}")
    every = {metric: range(1, epochs + 1) for metric in ("loss", "accuracy", "val_loss", "val_accuracy")}
    return [
        {
            "untrained_loss": [row["untrained_loss"]],
            **{metric: [row[f"{metric}_{epoch}"] for epoch in numbers] for metric, numbers in every.items()},
            **{
                metric: [row.get(f"{metric}_{epochs}", row[f"final_{metric}"])]
                for metric in ("train_loss", "train_accuracy")
            },
        }
        for row in frame.to_dict("records")
    ]
