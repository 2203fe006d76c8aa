"""Stored runs of known-good stacks: one CSV per data set and model, one row per run, written whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cnnspec import content
from cnnspec.ensembles import rows
from cnnspec.ensembles.rows import IDENTITY, PER_EPOCH, SAME, SCORES, STACK
from cnnspec.errors import EnsembleError
from cnnspec.facts import reading
from cnnspec.files import locked, with_row, write_whole
from cnnspec.names import DATASETS, OPTIMIZERS
from cnnspec.runs import TrainingRun
from cnnspec.shapes import Number


def row_of(run: TrainingRun) -> dict[str, str]:
    """A TrainingRun as one flat row: identity, stack, scores, then every per-epoch metric as `metric_epoch`."""
    row = {key: getattr(run, key) for key in IDENTITY}
    row.update({key: run.stack.get(key, "") for key in STACK})
    row["untrained_loss"] = run.untrained_loss
    row.update({f"final_{key}": run.scores[key] for key in SCORES})
    for metric in PER_EPOCH:
        row.update({f"{metric}_{epoch}": value for epoch, value in enumerate(run.history.get(metric, ()), start=1)})
    return {key: f"{value:.7g}" if isinstance(value, float) else str(value) for key, value in row.items()}


def command(path: Path, runs: int = 24, row: Mapping[str, str] | None = None) -> str:
    """The command that makes the ensemble at `path`, with the settings of one of its rows, else those its folder names."""
    dataset = "mnist5k" if path.parent.name.startswith("mnist5k") else "mnist"
    last = path.parent.name.rpartition("-")[2]
    optimizer = last if last in OPTIMIZERS else OPTIMIZERS[0]
    named = {"dataset": dataset, "optimizer": optimizer, "epochs": "10", **(row or {})}
    settings = " ".join(f"--{key} {named[key]}" for key in ("dataset", "optimizer", "epochs"))
    return f"python -m cnnspec calibrate --models {path.stem} {settings} --runs {runs} --out {path.parent}"


def remedy(path: Path, line: int | None, row: Mapping[str, str] | None = None) -> str:
    """What to do about a fault in a line of the ensemble at `path`, or in the whole file, as the end of a message."""
    if reading.BASELINES in path.resolve().parents:
        return reading.restore(path)
    if line is None:
        return f"remove the file, and make it again with: {command(path)}"
    return f"remove line {line}; what is missing then is trained by: {command(path, row=row)}"


def text_of(path: Path) -> str:
    """The text of the ensemble at `path`, which ends with a line end. Raises EnsembleError."""
    if path.is_dir():
        raise EnsembleError(f"{path} cannot be read (Is a directory); name a folder of one CSV per model")
    with content.told_as(EnsembleError, path, lambda line: remedy(path, line), f"make it with: {command(path)}"):
        text = content.text_of(path)
    return text if text.endswith("\n") or not text else text + "\n"


def rows_of(path: Path, text: str, texts: bool = True) -> list[dict[str, Any]]:
    """The rows of the ensemble at `path`, whose text is `text`; numbers as written, or as numbers. Raises EnsembleError."""
    settings = first_settings(text)
    return rows.checked(path, text, lambda line: remedy(path, line, settings), texts)


def first_settings(text: str) -> dict[str, str]:
    """Data set, optimizer and epochs of the first row of a text, where they can be those of a command; else nothing."""
    header, first = ([*text.split("\n", 2), "", ""][place].split(",") for place in (0, 1))
    row = dict(zip(header, first))
    known = row.get("dataset") in DATASETS and row.get("optimizer") in OPTIMIZERS and row.get("epochs", "").isdigit()
    return {key: row[key] for key in ("dataset", "optimizer", "epochs")} if known else {}


def read(path: str | Path, dataset: str | None = None) -> pd.DataFrame:
    """The ensemble stored at `path`: a frame with a row per run, metrics as floats.

    Raises EnsembleError for a file with a fault, or with rows that are not all of one stack, one setting and, where it is
    given, the data set `dataset`.
    """
    path = Path(path)
    text = text_of(path)
    stored = rows_of(path, text, texts=False)
    if dataset and stored and stored[0]["dataset"] != dataset:
        found = stored[0]["dataset"]
        raise EnsembleError(f"{path} holds runs on {found}, and {dataset} is judged; name a folder of runs on {dataset}")
    header = next(csv.reader(io.StringIO(text)))
    shapes = rows.shapes(header, path.stem)
    frame = pd.DataFrame(stored, columns=header).astype(
        {column: float for column in header if isinstance(shapes[column], Number)}
    )
    return frame.astype({"seed": int, "batch_size": int, "epochs": int}).assign(redrawn=frame["redrawn"] == "True")


def seeds(path: str | Path) -> set[int]:
    """The seeds stored at `path`; none if the file does not exist."""
    return set(read(path).seed) if Path(path).exists() else set()


def append(path: str | Path, run: TrainingRun) -> None:
    """Add a run to the ensemble at `path`; the file is made if it is missing. A seed that is stored is not stored again.

    Raises EnsembleError, and leaves the file unchanged, for a run from another stack or of other settings.
    """
    path = Path(path)
    row = row_of(run)
    with locked(path):
        text = text_of(path) if path.exists() else ""
        if text:
            stored = rows_of(path, text)
            if row["seed"] in {other["seed"] for other in stored}:
                return
            check_same(path, stored[0] if stored else dict.fromkeys(next(csv.reader(io.StringIO(text)))), row)
        fault = rows.fault_of(row, path.stem)
        if fault:
            raise EnsembleError(f"the run of seed {row['seed']}, {fault}: it is not stored in {path}; look at this training")
        write_whole(path, with_row(text, row))


def check_same(path: Path, stored: Mapping[str, str | None], row: Mapping[str, str]) -> None:
    """Raise EnsembleError unless two rows have the same columns, settings and stack; `stored` may have None for a cell."""
    if list(stored) != list(row):
        raise EnsembleError(f"{path} has other columns than a run of {row['epochs']} epochs; choose another --out")
    require_same(path, stored, row)


def require_same(path: Path, stored: Mapping[str, str | None], row: Mapping[str, str]) -> None:
    """Raise EnsembleError unless a stored row has the setting and stack of `row`, as far as each of them has these."""
    keys = [key for key in SAME if stored[key] is not None and key in row]
    different = [f"{key}: {stored[key]} stored, {row[key]} new" for key in keys if stored[key] != row[key]]
    if different:
        raise EnsembleError(f"{path} holds runs of another stack or setting ({'; '.join(different)}); choose another --out")


def prepare(path: str | Path, planned: Mapping[str, object]) -> None:
    """See before a training whether its run can be stored at `path`; `planned` is what is known of its row by then.

    Raises EnsembleError as `append` would, and without the package that locks files; OSError where nothing can be written.
    """
    path = Path(path)
    try:
        with locked(path):
            stored = rows_of(path, text_of(path)) if path.exists() else []
    except ModuleNotFoundError as error:
        raise EnsembleError(f"{path} cannot be locked ({error}): python -m pip install {error.name}") from error
    if stored:
        require_same(path, stored[0], {key: str(value) for key, value in planned.items()})


def run_curves(run: TrainingRun) -> dict[str, list[float]]:
    """Curves of a TrainingRun for `bands.mean`: history, untrained loss, the train set evaluated after the last epoch."""
    return {
        **run.history,
        "untrained_loss": [math.nan if run.untrained_loss is None else run.untrained_loss],
        "train_loss": [run.scores["train_loss"]],
        "train_accuracy": [run.scores["train_accuracy"]],
    }


def losses(path: str | Path, epochs: int, dataset: str | None = None) -> list[dict[str, list[float]]]:
    """The mean losses of the first `epochs` epochs of every run stored at `path`, as curves. Raises EnsembleError."""
    frame, _ = _long_enough(path, epochs, dataset)
    return [{"loss": [row[f"loss_{epoch}"] for epoch in range(1, epochs + 1)]} for row in frame.to_dict("records")]


def _long_enough(path: str | Path, epochs: int, dataset: str | None) -> tuple[pd.DataFrame, int]:
    """The runs stored at `path` and their number of epochs. Raises EnsembleError for fewer than `epochs`."""
    frame = read(path, dataset)
    trained = rows.epochs_of(map(str, frame.columns))
    if epochs > trained:
        raise EnsembleError(f"{path} holds runs of {trained} epochs, too few to judge {epochs}; use --epochs {trained}")
    return frame, trained


def curves(path: str | Path, epochs: int, dataset: str | None = None) -> list[dict[str, list[float]]]:
    """Curves of every run stored at `path`, as if each had ended after `epochs` epochs. Raises EnsembleError, see `read`.

    The evaluated train set is known after every epoch if the runs recorded it, else only after the last epoch.
    """
    frame, trained = _long_enough(path, epochs, dataset)
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
