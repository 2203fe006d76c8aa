"""The command line, `cnnspec` or `python -m cnnspec`: verify a stack, train by hand, make and compare ensembles."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cnnspec import __version__, command_checks, commands
from cnnspec.command_options import (
    add_bisect_options,
    add_calibrate_options,
    add_data_options,
    add_device,
    add_models,
    add_out,
    add_report_options,
    add_soak_options,
    add_verify_options,
    choose_device,
    positive,
    seed,
)
from cnnspec.errors import CnnspecError
from cnnspec.names import DATASETS, MODELS

EXIT_CODES = """\
exit codes:
  0  done; verify: pass; bisect: one release was found
  1  verify: the stack fails; bench: this machine became slower, or a benchmark failed
     compare: two reports differ by more than their bounds allow
     report: an environment failed, has no verdict or has no report; a machine differs from its equals
     soak: a result was wrong
  2  verify: no verdict: interrupted, crashed, skipped, in part, too few runs to judge by; bench: nothing was measured
     soak: nothing ran, or not every core; a process ended
     bisect: no release was found: a wrong end, several that cannot be judged, no network, stopped
     the command line is wrong; there is no framework; nothing can be written to --out
  3  a file is missing, damaged or not what it should be: data, baseline, ensemble, report, timings or state of a bisect
  4  a loss became NaN or infinite
  5  --device gpu: the framework finds no GPU (verify: 1)
  6  --dask: the cluster cannot be reached, or Dask is not installed
  7  calibrate: a training failed
"""
FOR_PYTEST = ("verify", "bench", "bisect")  # commands that give what stands after -- to pytest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parsed(list(sys.argv[1:] if arguments is None else arguments))
    choose_device(options)
    try:
        command_checks.check(options)
        return options.command(options) or 0
    except CnnspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parsed(words: list[str]) -> argparse.Namespace:
    """The options of a command line; `pytest` among them has the words behind --, of the commands that take such."""
    for_pytest = []
    if "--" in words and words[0] in FOR_PYTEST:
        words, for_pytest = words[: words.index("--")], words[words.index("--") + 1 :]
    options = parser().parse_args(words)
    options.pytest = for_pytest
    return options


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    form = argparse.RawDescriptionHelpFormatter
    program = "cnnspec" if os.path.basename(sys.argv[0]).startswith("cnnspec") else "python -m cnnspec"
    top = argparse.ArgumentParser(
        prog=program,
        description="Verify a TensorFlow stack; train the notebook's models by hand; make and compare reference ensembles; "
        "put reports together.",
        epilog=f"example: cnnspec verify --level quick --json\n\n{EXIT_CODES}",
        formatter_class=form,
    )
    top.add_argument("--version", action="version", version=f"cnnspec {__version__}", help="print the version")
    names = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, purpose: str, example: str, usage: str | None = None) -> argparse.ArgumentParser:
        described = f"{purpose[0].upper()}{purpose[1:]}."
        epilog = f"example: cnnspec {name} {example}\nexit codes: cnnspec --help lists them"
        usage = usage and f"{program} {name} {usage}"
        return names.add_parser(name, help=purpose, description=described, epilog=epilog, usage=usage, formatter_class=form)

    verify = add(
        "verify",
        "run the suite on the stack that is installed here, and end with an exit code: 0 pass, 1 fail, 2 no verdict",
        "--level quick --out verified --json",
        "[-h] [--level LEVEL] [--device DEVICE] [--out DIR] [--ensembles FOLDER] [--json] [-- arguments of pytest]",
    )
    add_verify_options(verify)
    verify.set_defaults(command=commands.verify)

    bench = add(
        "bench",
        "measure how long an epoch takes, and compare with the stored timings of this hardware",
        "--device gpu --out measured",
        "[-h] [--device DEVICE] [--out DIR] [-- arguments of pytest]",
    )
    add_device(bench)
    add_out(bench, "timings in DIR/runs/bench")
    bench.set_defaults(command=commands.bench)

    soak = add(
        "soak",
        "repeat exact products and training steps on the device and on every core, and say how rare a fault must be",
        "--minutes 10 --json",
    )
    add_soak_options(soak)
    soak.set_defaults(command=commands.soak)

    bisect = add(
        "bisect",
        "find the release of a package that brought or mended a failure, by a binary search; a stopped command goes on",
        "--package keras --good 2.12.0 --bad 3.3.3 -- -k shuffling",
        "[-h] --package NAME --good VERSION --bad VERSION [options] [-- arguments of pytest]",
    )
    add_bisect_options(bisect)
    bisect.set_defaults(command=commands.bisect)

    train = add(
        "train",
        "train a model, write its run as JSON and its loss curves, print the results table",
        "model3 --epochs 10 --seed 0 --out runs",
    )
    train.add_argument("model", choices=(*MODELS, "all"), help="the notebook's name of the model, or all models")
    add_data_options(train)
    train.add_argument("--seed", type=seed, default=0, help="seed of Python, NumPy and the backend (default: 0)")
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
        "trajectory",
        "record the first thirty training steps from fixed weights, without dropout and shuffling",
        "--models model1 --out recordings",
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
        "--models model1 --runs 24 --out ensembles",
    )
    add_calibrate_options(calibrate)
    calibrate.set_defaults(command=commands.calibrate)

    paired = add(
        "paired",
        "train with given weights and order, and store the runs; an interrupted command continues when rerun",
        "--models model2 --out runs/paired",
    )
    add_models(paired)
    paired.add_argument(
        "--starts",
        type=seed,
        nargs="+",
        default=[0],
        metavar="N",
        help="0: the drawn weights (default); another: a draw that moves each weight by one unit in the last place",
    )
    paired.add_argument("--xla", action="store_true", help="compile the steps with XLA")
    paired.add_argument("--out", type=Path, required=True, help="folder of the runs, one CSV per model")
    add_device(paired)
    paired.set_defaults(command=commands.paired)

    report = add(
        "report",
        "put reports of several runs together in one table and one page, and name a machine that differs from its equals",
        "reports/*.json --html report.html",
    )
    add_report_options(report)
    report.set_defaults(command=commands.report)

    bands = add(
        "bands",
        "print the bands of an ensemble, which shifts they detect and how often a healthy run fails",
        "--dataset mnist5k --epochs 4",
    )
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
        "compare",
        "put two reports side by side; or test whether two ensembles reach the same losses, within a tenth of each loss",
        "reports/tf219.json reports/tf220.json\n"
        "         cnnspec compare baselines/ensembles/mnist5k baselines/ensembles/mnist5k-2019",
    )
    compare.add_argument("paths", nargs=2, type=Path, metavar="PATH", help="two reports, or two folders of a CSV per model")
    compare.add_argument("--epochs", type=positive, help="folders: epochs after which runs are compared (default: 10)")
    compare.set_defaults(command=commands.compare)

    place = add(
        "place",
        "compare the notebook's own runs with ensembles on full MNIST, by distance and by likelihood",
        "baselines/ensembles/mnist",
    )
    place.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders with a CSV per model")
    place.set_defaults(command=commands.place)
    return top


if __name__ == "__main__":
    sys.exit(main())
