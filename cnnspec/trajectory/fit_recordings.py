"""Results of a `fit` in files, three CSVs for each model: what is known after each epoch, losses of batches, of images."""

from __future__ import annotations

from pathlib import Path

from cnnspec.facts.reading import read_table
from cnnspec.files import write_whole
from cnnspec.shapes import COUNT, LOSS, SHARE
from cnnspec.trajectory import fitted

ROWS = {"steps": -(-fitted.SAMPLES // fitted.BATCH), "images": fitted.VALIDATION}  # file of a `fit` -> its rows
COMMAND = "python -m cnnspec trajectory --by {folder} --out baselines/trajectories/{folder}"


def columns_of(variables: list[str]) -> dict[str, list[str]]:
    """{field of `fitted.Fitted`: its columns in the first file} for the names of a model's variables."""
    trained = [name for name in variables if "/moving_" not in name]
    return {
        "metrics": list(fitted.METRICS),
        "norms": [f"norm of {name}" for name in variables],
        "moved": [f"movement of {name}" for name in variables],
        "slots": [f"{moment} moment of {name}" for name in trained for moment in ("first", "second")],
    }


def record(folder: str | Path, name: str, variables: list[str], numbers: fitted.Fitted) -> None:
    """Write what a `fit` of model `name` went through to three CSV files in `folder`, each whole or not at all."""
    columns = columns_of(variables)
    lines = [["epoch", *(column for group in columns.values() for column in group)]]
    for epoch in range(len(numbers.metrics)):
        values = [value for field in columns for value in getattr(numbers, field)[epoch]]
        lines.append([str(epoch + 1), *(f"{value:.9g}" for value in values)])
    write_whole(Path(folder) / f"{name}.csv", "".join(",".join(line) + "\n" for line in lines))
    for field in ("steps", "images"):
        lines = [[f"epoch_{epoch + 1}" for epoch in range(len(numbers.metrics))]]
        lines += [[f"{value:.9g}" for value in row] for row in getattr(numbers, field).T]
        write_whole(Path(folder) / f"{name}-{field}.csv", "".join(",".join(line) + "\n" for line in lines))


def recorded(folder: str | Path, name: str, variables: list[str]) -> fitted.Fitted:
    """What `record` wrote. Raises BaselineError, also where a variable is missing."""
    folder = Path(folder)
    remedy = f"record it with: {COMMAND.format(folder=folder.name)}"
    columns = columns_of(variables)
    expected = ["epoch", *(column for group in columns.values() for column in group)]
    shapes = {name: COUNT if name == "epoch" else SHARE if "accuracy" in name else LOSS for name in expected}
    table = read_table(folder / f"{name}.csv", shapes, fitted.EPOCHS, remedy, first="epoch")
    by_epoch = {f"epoch_{epoch + 1}": LOSS for epoch in range(fitted.EPOCHS)}
    others = {field: read_table(folder / f"{name}-{field}.csv", by_epoch, rows, remedy).T for field, rows in ROWS.items()}
    places = {field: [expected.index(column) for column in group] for field, group in columns.items()}
    return fitted.Fitted(**{field: table[:, place] for field, place in places.items()}, **others)
