"""Trajectories in files: two CSVs for each model and optimizer, with losses and norms by step, and final probabilities."""

from __future__ import annotations

from pathlib import Path

from cnnspec.facts.reading import read_table
from cnnspec.files import write_whole
from cnnspec.trajectory.start import Trajectory, weight_names


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
