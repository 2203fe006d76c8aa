"""Trajectories in files: two CSVs for each model and optimizer, with losses and norms by step, and final probabilities.

A `fit` has three for each model: what is known after each epoch, the losses of its batches, those of the validation images.
"""

from __future__ import annotations

from pathlib import Path

from cnnspec.errors import BaselineError
from cnnspec.facts.reading import read_table
from cnnspec.files import write_whole
from cnnspec.trajectory import fitted
from cnnspec.trajectory.start import Trajectory, weight_names

FIT = "python -m cnnspec trajectory --by {folder} --out baselines/trajectories/{folder}"


def record(folder: str | Path, name: str, optimizer: str, walked: Trajectory) -> None:
    """Write a trajectory to two CSV files in `folder`, each whole or not at all.

    Its variables are named by the classes of the layers that model `name` is built of.
    """
    from cnnspec.architectures import ARCHITECTURES  # it needs Keras, and reading a recording does not

    losses, lengths, probabilities = walked
    classes = [type(layer).__name__ for layer in ARCHITECTURES[name]().layers]
    lines = [["step", "loss", *weight_names(classes)]]
    for step, (loss, row) in enumerate(zip(losses, lengths), start=1):
        lines.append([str(step), f"{loss:.9g}"] + [f"{value:.9g}" for value in row])
    write_whole(Path(folder) / f"{name}-{optimizer}.csv", "".join(",".join(line) + "\n" for line in lines))
    rows = [",".join(f"{value:.9g}" for value in row) + "\n" for row in probabilities]
    header = ",".join(f"digit_{digit}" for digit in range(probabilities.shape[1])) + "\n"
    write_whole(Path(folder) / f"{name}-{optimizer}-probabilities.csv", header + "".join(rows))


def recorded(folder: str | Path, name: str, optimizer: str) -> tuple[list[str], Trajectory]:
    """(variable names, trajectory) as `record` wrote them. Raises BaselineError."""
    remedy = "record it with: tox run -e legacy -- baselines/trajectories/2019"
    steps = read_table(Path(folder) / f"{name}-{optimizer}.csv", remedy)
    probabilities = read_table(Path(folder) / f"{name}-{optimizer}-probabilities.csv", remedy)
    lengths = steps.drop(columns=["step", "loss"])
    return list(lengths), Trajectory(steps["loss"].to_numpy(), lengths.to_numpy(), probabilities.to_numpy())


def fit_columns(variables: list[str]) -> dict[str, list[str]]:
    """{field of `fitted.Fitted`: its columns in the first file} for the names of a model's variables."""
    trained = [name for name in variables if "/moving_" not in name]
    return {
        "metrics": list(fitted.METRICS),
        "norms": [f"norm of {name}" for name in variables],
        "moved": [f"movement of {name}" for name in variables],
        "slots": [f"{moment} moment of {name}" for name in trained for moment in ("first", "second")],
    }


def record_fit(folder: str | Path, name: str, variables: list[str], numbers: fitted.Fitted) -> None:
    """Write what a `fit` of model `name` went through to three CSV files in `folder`, each whole or not at all."""
    columns = fit_columns(variables)
    lines = [["epoch", *(column for group in columns.values() for column in group)]]
    for epoch in range(len(numbers.metrics)):
        values = [value for field in columns for value in getattr(numbers, field)[epoch]]
        lines.append([str(epoch + 1), *(f"{value:.9g}" for value in values)])
    write_whole(Path(folder) / f"{name}.csv", "".join(",".join(line) + "\n" for line in lines))
    for field in ("steps", "images"):
        lines = [[f"epoch_{epoch + 1}" for epoch in range(len(numbers.metrics))]]
        lines += [[f"{value:.9g}" for value in row] for row in getattr(numbers, field).T]
        write_whole(Path(folder) / f"{name}-{field}.csv", "".join(",".join(line) + "\n" for line in lines))


def recorded_fit(folder: str | Path, name: str, variables: list[str]) -> fitted.Fitted:
    """What `record_fit` wrote. Raises BaselineError, also where a variable is missing."""
    folder = Path(folder)
    remedy = f"record it with: {FIT.format(folder=folder.name)}"
    table = read_table(folder / f"{name}.csv", remedy)
    columns = fit_columns(variables)
    expected = ["epoch", *(column for group in columns.values() for column in group)]
    if list(table.columns) != expected:
        raise BaselineError(f"{folder / name}.csv has columns {list(table.columns)}, expected {expected}; {remedy}")
    others = {field: read_table(folder / f"{name}-{field}.csv", remedy).to_numpy().T for field in ("steps", "images")}
    return fitted.Fitted(**{field: table[group].to_numpy() for field, group in columns.items()}, **others)
