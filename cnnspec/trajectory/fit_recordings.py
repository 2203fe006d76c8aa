"""Results of a `fit` in files, three CSVs for each model: what is known after each epoch, losses of batches, of images."""

from __future__ import annotations

from pathlib import Path

from cnnspec.facts.reading import read_csv, read_table
from cnnspec.files import write_whole
from cnnspec.trajectory import fitted

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
    table = read_csv(folder / f"{name}.csv", expected, remedy).astype(float)
    others = {field: read_table(folder / f"{name}-{field}.csv", remedy).to_numpy().T for field in ("steps", "images")}
    return fitted.Fitted(**{field: table[group].to_numpy() for field, group in columns.items()}, **others)
