"""Options and values that several commands of the command line share."""

from __future__ import annotations

import argparse
from pathlib import Path

from cnnspec.names import DATASETS, LARGEST_SEED, MODELS


def add_models(command: argparse.ArgumentParser) -> None:
    """Add the option that names models, by default all."""
    command.add_argument(
        "--models",
        nargs="+",
        choices=(*MODELS, "all"),
        default=["all"],
        metavar="MODEL",
        help="names of models (default: all)",
    )


def add_data_options(command: argparse.ArgumentParser) -> None:
    """Add the options that every training shares."""
    command.add_argument(
        "--dataset", choices=DATASETS, default="mnist5k", help="the 5,000 embedded digits (default), or full MNIST"
    )
    command.add_argument(
        "--mnist",
        type=Path,
        metavar="PATH",
        help="file of full MNIST: an .npz, or a folder of the four IDX files (default: Keras downloads it)",
    )
    command.add_argument("--epochs", type=positive, default=10, help="number of epochs (default: 10, as in the notebook)")
    command.add_argument(
        "--optimizer",
        choices=("adam", "adadelta"),
        default="adam",
        help="default: adam, which the notebook most likely used",
    )
    add_device(command)


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the option that names the device."""
    command.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto: what the framework chooses (default); gpu: fail if the framework finds none",
    )


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number; give a whole number of at least 1")
    return number


def seed(text: str) -> int:
    """A whole number that NumPy takes as a seed."""
    number = int(text)
    if not 0 <= number <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} is no seed; give a whole number from 0 to {LARGEST_SEED}")
    return number


def add_out(command: argparse.ArgumentParser, what: str) -> None:
    """Add the option that names the folder for what a command writes."""
    command.add_argument("--out", type=Path, metavar="DIR", help=f"{what} (default: the working folder)")
