"""Options and values that several commands of the command line share."""

from __future__ import annotations

import argparse
from pathlib import Path

from cnnspec import memory
from cnnspec.devices import asked
from cnnspec.names import DATASETS, LARGEST_SEED, LEVELS, MODELS, OPTIMIZERS


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
        choices=OPTIMIZERS,
        default="adam",
        help="default: adam, which the notebook most likely used",
    )
    add_device(command)


def add_device(command: argparse.ArgumentParser, each: str = "") -> None:
    """Add the option that names the device; `each` says what --device each does, empty where it cannot be asked for."""
    command.add_argument(
        "--device",
        type=asked.device_or_each if each else asked.device,
        default="auto",
        metavar=asked.METAVAR + ("|each" if each else ""),
        help="auto: what the framework chooses (default); cpu: hide every accelerator; gpu: fail where it would compute on "
        "no GPU; gpu:N: the GPU at place N, counted from 0; core:N: one thread on core N" + (each and f"; each: {each}"),
    )


def choose_device(options: argparse.Namespace) -> None:
    """Hide, choose and share devices, as --device says, before the command imports the framework, which looks for them.

    The C library's memory is kept from here on as well (`memory.keep`).
    """
    memory.keep()
    asked.share_memory()
    device = getattr(options, "device", "auto")
    if device != asked.EACH:
        asked.choose(device)
        asked.pin(device)


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


def add_verify_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `verify`."""
    command.add_argument("--level", choices=LEVELS, help="how much of the suite runs (default: default)")
    add_device(
        command, each="what computes, before any training, on every GPU or, on a CPU, on every core; names the odd one"
    )
    command.add_argument(
        "--replicas",
        type=positive,
        metavar="N",
        help="also train on N replicas at once, data-parallel, and compare with one device",
    )
    add_out(command, "reports in DIR/reports, trainings in DIR/runs/verify")
    command.add_argument(
        "--ensembles",
        type=Path,
        metavar="FOLDER",
        help="judge by the ensembles that `cnnspec calibrate --out FOLDER` made (default: those of the package)",
    )
    command.add_argument(
        "--json",
        action="store_true",
        help="print one line of JSON: exit_code, verdict, stack, device, level, seconds, reason, report; the rest to stderr",
    )


def add_soak_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `soak`."""
    command.add_argument(
        "--minutes", type=minutes, default=10.0, help="how long, from the first turn on (default: 10; 0.5 is half a minute)"
    )
    command.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu", asked.EACH),
        default="auto",
        help="auto: what the framework chooses, and every core (default); gpu: the GPU alone, fail if there is none; each: "
        "every GPU, and every core",
    )
    command.add_argument("--json", action="store_true", help="print one line of JSON to stdout; the rest to stderr")


def minutes(text: str) -> float:
    """A time above zero."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time to run for; give minutes, as 10 or 0.5")
    return number


def add_calibrate_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `calibrate`."""
    add_models(command)
    add_data_options(command)
    command.add_argument("--runs", type=positive, default=24, help="number of seeds (default: 24)")
    command.add_argument("--first-seed", type=seed, default=0, help="the first seed (default: 0)")
    command.add_argument(
        "--own-draw",
        action="store_true",
        help="leave the kernels that the notebook seeds with 1 as this stack draws them, the same in every run",
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of the ensemble, one CSV per model; `cnnspec verify --ensembles FOLDER` judges by it",
    )
    command.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="train on the workers of a Dask cluster; tcp://host:port of its scheduler (default: here, one run at a time)",
    )


def add_report_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    command.add_argument(
        "reports", type=Path, nargs="*", metavar="JSON", help="reports that pytest wrote to reports/, or folders of them"
    )
    command.add_argument(
        "--expect",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME",
        help="environments that must have a report; a missing one gets a row in the table, and the exit code is 1",
    )
    command.add_argument(
        "--figures",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="benchmarks to show, too: runs/bench/figures.json, or the stored baselines/benchmarks/*/*.json",
    )
    command.add_argument(
        "--faults",
        type=Path,
        metavar="CSV",
        help="stored results of the catalogue of faults to show, too: baselines/faults/catalogue.csv",
    )
    command.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE, too")
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with curves, margins and benchmarks to FILE"
    )


def add_bisect_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `bisect`."""
    command.add_argument("--package", required=True, metavar="NAME", help="package whose releases are searched: keras, …")
    command.add_argument("--good", required=True, metavar="VERSION", help="a release that passes the tests")
    command.add_argument(
        "--bad",
        required=True,
        metavar="VERSION",
        help="a release that fails them; an older one than --good: what mended it?",
    )
    command.add_argument("--pre", action="store_true", help="try pre-releases too")
    command.add_argument(
        "--repeat",
        type=positive,
        default=1,
        metavar="N",
        help="run the tests N times on each release, which passes if all pass, for what fails sometimes (default: 1)",
    )
    command.add_argument(
        "--with",
        dest="beside",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help="install this beside each release, in the place of the pin that the matrix has (tox.ini); may be repeated",
    )
    command.add_argument(
        "--python",
        default="",
        metavar="PATH",
        help="interpreter of the environments, a path or a version (default: that of the matrix for these releases)",
    )
    command.add_argument(
        "--by", choices=("auto", "uv", "pip"), default="auto", help="what installs (default: auto, uv if it is here)"
    )
    add_out(command, "results, logs and environments in DIR/runs/bisect")
