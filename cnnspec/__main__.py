"""`python -m cnnspec`: the harness by hand."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cnnspec import commands
from cnnspec.errors import CnnspecError
from cnnspec.names import MODELS

EXIT_CODES = """\
exit codes:
  0  done
  1  report: an environment failed, has no verdict or no report
  2  the command line is wrong
  3  the data are missing, damaged or not MNIST; a baseline or a report is missing or malformed
  4  a loss became NaN or infinite
  5  the device that was asked for is not there
  6  the Dask cluster that was asked for cannot be reached
  7  a run of an ensemble failed in its own process
"""


def main(arguments=None):
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    hide_gpus(options)
    try:
        return options.command(options) or 0
    except CnnspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parser():
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m cnnspec",
        description="Build and train the four models of the notebook, by hand.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name, purpose):
        form = argparse.RawDescriptionHelpFormatter
        return names.add_parser(name, help=purpose, epilog=EXIT_CODES, formatter_class=form)

    train = add("train", "train a model, write its JSON and its loss curves, print the results table")
    train.add_argument("model", choices=(*MODELS, "all"), help="the notebook's name of the model, or all four")
    add_data_options(train)
    train.add_argument("--seed", type=int, default=0, help="seed of Python, NumPy and the backend (default: 0)")
    train.add_argument("--out", type=Path, default=Path("runs"), help="folder for JSON and figures (default: runs)")
    train.add_argument("--json-only", action="store_true", help="draw no figures")
    train.add_argument(
        "--train-each-epoch", action="store_true", help="also evaluate the train set after every epoch (slower)"
    )
    train.add_argument(
        "--redraw",
        action="store_true",
        help="draw the kernels that the notebook seeds with 1 from --seed instead, as every run of an ensemble does",
    )
    train.set_defaults(command=commands.train)

    trajectory = add(
        "trajectory", "take the first thirty steps from fixed weights, without dropout and shuffle, and record them"
    )
    trajectory.add_argument("--out", type=Path, required=True, help="folder for the recordings and their provenance")
    add_models(trajectory)
    trajectory.add_argument(
        "--by",
        choices=("stack", "float64", "float64-2019", "fit-float64", "fit-float64-keras-2"),
        default="stack",
        help="who takes the steps: this stack (default), or the float64 implementation in today's or 2019's conventions; "
        "fit-float64: float64 takes two epochs of `fit` instead, in the conventions of Keras 3 or of Keras 2",
    )
    trajectory.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="default: auto")
    trajectory.set_defaults(command=commands.trajectory)

    calibrate = add(
        "calibrate", "train many seeds and store them as a reference ensemble; started again, it goes on where it stopped"
    )
    add_models(calibrate)
    add_data_options(calibrate)
    calibrate.add_argument("--runs", type=int, default=24, help="number of seeds (default: 24)")
    calibrate.add_argument("--first-seed", type=int, default=0, help="the first of them (default: 0)")
    calibrate.add_argument("--out", type=Path, required=True, help="folder of the ensemble, one CSV per model")
    calibrate.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="run on the workers of a Dask cluster, tcp://host:port of its scheduler (default: one run at a time, here)",
    )
    calibrate.set_defaults(command=commands.calibrate)

    report = add("report", "make one table, and a page, of the reports that runs of the suite wrote")
    report.add_argument("reports", type=Path, nargs="*", metavar="JSON", help="reports, as pytest writes them to reports/")
    report.add_argument(
        "--expect",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME",
        help="environments that must have a report; one without is a line of the table, and exit code 1",
    )
    report.add_argument(
        "--figures",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="benchmarks to show as well: runs/bench/figures.json, or the stored baselines/benchmarks/*/*.json",
    )
    report.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE too")
    report.add_argument("--html", type=Path, metavar="FILE", help="write a page with curves, margins and speeds to FILE")
    report.set_defaults(command=commands.report)

    bands = add("bands", "say what the bands of an ensemble accept, what they catch, and how often they blame a healthy run")
    bands.add_argument("--dataset", choices=("mnist5k", "mnist"), default="mnist5k", help="default: mnist5k")
    bands.add_argument("--epochs", type=positive, default=4, help="epochs that the runs are judged after (default: 4)")
    bands.set_defaults(command=commands.bands)

    compare = add(
        "compare", "say whether two ensembles train to the same losses: two one-sided tests, margin 10 %% of the loss"
    )
    compare.add_argument("folders", nargs=2, type=Path, metavar="FOLDER", help="folders of one CSV per model")
    compare.add_argument("--epochs", type=positive, default=10, help="epochs that the runs are compared after (default: 10)")
    compare.set_defaults(command=commands.compare)

    place = add("place", "place the notebook's own runs in ensembles on full MNIST, by distance and by likelihood")
    place.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of one CSV per model")
    place.set_defaults(command=commands.place)
    return top


def add_models(command):
    """The option that names models, all by default."""
    command.add_argument(
        "--models", nargs="+", choices=(*MODELS, "all"), default=["all"], metavar="MODEL", help="models (default: all)"
    )


def add_data_options(command):
    """Options that every training shares."""
    command.add_argument("--dataset", choices=("mnist5k", "mnist"), default="mnist5k", help="default: mnist5k, embedded")
    command.add_argument(
        "--mnist",
        type=Path,
        metavar="PATH",
        help="full MNIST in a file: an .npz, or a folder of the four IDX files (default: Keras downloads it)",
    )
    command.add_argument("--epochs", type=positive, default=10, help="default: 10, as the notebook")
    command.add_argument(
        "--optimizer", choices=("adam", "adadelta"), default="adam", help="default: adam, the notebook's (assumed)"
    )
    command.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto", help="default: auto")


def positive(text):
    """A whole number of at least one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def hide_gpus(options):
    """With --device cpu, keep the framework from seeing a GPU: it looks for devices when it is imported, by the command."""
    if getattr(options, "device", None) == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


if __name__ == "__main__":
    sys.exit(main())
