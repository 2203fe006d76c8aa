"""The command line, `python -m cnnspec`: train by hand, make and compare ensembles, put reports together."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cnnspec import commands
from cnnspec.errors import CnnspecError
from cnnspec.names import DATASETS, MODELS

EXIT_CODES = """\
exit codes:
  0  done
  1  report: an environment failed, has no verdict or has no report
  2  the command line is wrong
  3  a file is missing, damaged or not what it should be: data, baseline, ensemble, report or timings
  4  a loss became NaN or infinite
  5  --device gpu: the framework finds no GPU
  6  --dask: the cluster cannot be reached, or Dask is not installed
  7  calibrate: a training failed
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    hide_gpus(options)
    try:
        return options.command(options) or 0
    except CnnspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        prog="python -m cnnspec",
        description="Train the notebook's models by hand, make and compare reference ensembles, put reports together.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, purpose: str) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        described = purpose[0].upper() + purpose[1:] + "."
        return names.add_parser(name, help=purpose, description=described, epilog=EXIT_CODES, formatter_class=form)

    train = add("train", "train a model, write its run as JSON and its loss curves, print the results table")
    train.add_argument("model", choices=(*MODELS, "all"), help="the notebook's name of the model, or all models")
    add_data_options(train)
    train.add_argument("--seed", type=int, default=0, help="seed of Python, NumPy and the backend (default: 0)")
    train.add_argument("--out", type=Path, default=Path("runs"), help="folder for the JSON and the curves (default: runs)")
    train.add_argument("--json-only", action="store_true", help="draw no curves")
    train.add_argument(
        "--train-each-epoch", action="store_true", help="evaluate the train set after every epoch, too (slower)"
    )
    train.add_argument(
        "--redraw",
        action="store_true",
        help="draw the kernels that the notebook seeds with 1 from --seed instead, as in the runs of an ensemble",
    )
    train.set_defaults(command=commands.train)

    trajectory = add(
        "trajectory", "record the first thirty training steps from fixed weights, without dropout and shuffling"
    )
    trajectory.add_argument("--out", type=Path, required=True, help="folder for the recordings and provenance.toml")
    add_models(trajectory)
    trajectory.add_argument(
        "--by",
        choices=("stack", "float64", "float64-2019", "fit-float64", "fit-float64-keras-2"),
        default="stack",
        help="what computes the steps: this stack (default), or float64 by today's or 2019's conventions; "
        "fit-float64: two epochs of `fit` in float64, by the conventions of Keras 3 or of Keras 2",
    )
    add_device(trajectory)
    trajectory.set_defaults(command=commands.trajectory)

    calibrate = add(
        "calibrate",
        "train many seeds and store the runs as a reference ensemble; an interrupted command continues when rerun",
    )
    add_models(calibrate)
    add_data_options(calibrate)
    calibrate.add_argument("--runs", type=int, default=24, help="number of seeds (default: 24)")
    calibrate.add_argument("--first-seed", type=int, default=0, help="the first seed (default: 0)")
    calibrate.add_argument("--out", type=Path, required=True, help="folder of the ensemble, one CSV per model")
    calibrate.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="train on the workers of a Dask cluster; tcp://host:port of its scheduler (default: here, one run at a time)",
    )
    calibrate.set_defaults(command=commands.calibrate)

    report = add("report", "put the reports of several runs of the suite together in one table and one page")
    report.add_argument("reports", type=Path, nargs="*", metavar="JSON", help="reports that pytest wrote to reports/")
    report.add_argument(
        "--expect",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME",
        help="environments that must have a report; a missing one gets a row in the table, and the exit code is 1",
    )
    report.add_argument(
        "--figures",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="benchmarks to show, too: runs/bench/figures.json, or the stored baselines/benchmarks/*/*.json",
    )
    report.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE, too")
    report.add_argument("--html", type=Path, metavar="FILE", help="write a page with curves, margins and benchmarks to FILE")
    report.set_defaults(command=commands.report)

    bands = add("bands", "print the bands of an ensemble, which shifts they detect and how often a healthy run fails")
    bands.add_argument("--dataset", choices=DATASETS, default="mnist5k", help="data set of the ensemble (default: mnist5k)")
    bands.add_argument("--epochs", type=positive, default=1, help="epochs after which runs are judged (default: 1)")
    bands.add_argument(
        "--suites",
        type=positive,
        default=20_000,
        help="simulated runs of the suite by which the rate is measured (default: 20,000)",
    )
    bands.set_defaults(command=commands.bands)

    compare = add(
        "compare", "test whether two ensembles reach the same losses: two one-sided tests, margin one tenth of the loss"
    )
    compare.add_argument("folders", nargs=2, type=Path, metavar="FOLDER", help="two folders with a CSV per model")
    compare.add_argument("--epochs", type=positive, default=10, help="epochs after which runs are compared (default: 10)")
    compare.set_defaults(command=commands.compare)

    place = add("place", "compare the notebook's own runs with ensembles on full MNIST, by distance and by likelihood")
    place.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders with a CSV per model")
    place.set_defaults(command=commands.place)
    return top


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


def hide_gpus(options: argparse.Namespace) -> None:
    """With --device cpu, hide GPUs from the framework, which looks for devices when the command imports it."""
    if getattr(options, "device", None) == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


if __name__ == "__main__":
    sys.exit(main())
