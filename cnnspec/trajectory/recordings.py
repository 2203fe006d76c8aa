"""Trajectories in files: two CSVs per model and optimizer, losses and norms of each step, and the final probabilities."""

from __future__ import annotations

from pathlib import Path

from cnnspec.facts import notebook
from cnnspec.facts.reading import read_table
from cnnspec.files import write_whole
from cnnspec.names import CLASSES
from cnnspec.shapes import COUNT, LOSS, SHARE
from cnnspec.trajectory.start import STEPS, WITNESSES, Trajectory, weight_names

# Who computed the recordings of a folder in baselines/trajectories -> the command that makes the folder anew.
COMMANDS = {
    "2019": "tox run -e legacy -- baselines/trajectories/2019",
    "float64": "python -m cnnspec trajectory --by float64 --out baselines/trajectories/float64",
    "float64-2019": "python -m cnnspec trajectory --by float64-2019 --out baselines/trajectories/float64-2019",
}


def record(folder: str | Path, name: str, optimizer: str, steps: Trajectory) -> None:
    """Write a trajectory of model `name` to two CSV files in `folder`, each whole or not at all.

    Variables are named after the classes of the model's layers.
    """
    from cnnspec.architectures import ARCHITECTURES  # it needs Keras, and reading a recording does not

    losses, lengths, probabilities = steps
    classes = [type(layer).__name__ for layer in ARCHITECTURES[name]().layers]
    lines = [["step", "loss", *weight_names(classes)]]
    for number, (loss, row) in enumerate(zip(losses, lengths), start=1):
        lines.append([str(number), f"{loss:.9g}"] + [f"{value:.9g}" for value in row])
    write_whole(Path(folder) / f"{name}-{optimizer}.csv", "".join(",".join(line) + "\n" for line in lines))
    rows = [",".join(f"{value:.9g}" for value in row) + "\n" for row in probabilities]
    header = ",".join(f"digit_{digit}" for digit in range(probabilities.shape[1])) + "\n"
    write_whole(Path(folder) / f"{name}-{optimizer}-probabilities.csv", header + "".join(rows))


def recorded(folder: str | Path, name: str, optimizer: str, steps: int = STEPS) -> tuple[list[str], Trajectory]:
    """(variable names, trajectory of so many steps) as `record` wrote them. Raises BaselineError."""
    command = COMMANDS.get(Path(folder).name, f"python -m cnnspec trajectory --out {folder}")
    remedy = f"record it with: {command}"
    variables = weight_names([layer["class"] for layer in notebook.layers(name)])
    columns = {"step": COUNT, "loss": LOSS, **dict.fromkeys(variables, LOSS)}
    rows = read_table(Path(folder) / f"{name}-{optimizer}.csv", columns, steps, remedy, first="step")
    shares = {f"digit_{digit}": SHARE for digit in range(CLASSES)}
    predicted = read_table(Path(folder) / f"{name}-{optimizer}-probabilities.csv", shares, WITNESSES, remedy)
    return variables, Trajectory(rows[:, 1], rows[:, 2:], predicted)
