"""Run the catalogue of faults: `python -m tests.meta.faults.run` puts each into a process of its own and runs the suite.

The framework is imported once; each fault gets a fork of that process, in which nothing of the framework has run. Results
are stored as they come. What is stored for the same fault, suite and stack is not run again. A fault that a test named
before is shown to that test alone, and to the whole suite where it does not name it any more (`--whole`: always).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cnnspec.errors import CnnspecError
from cnnspec.names import LEVELS
from tests.meta.faults.catalogue.entries import KINDS
from tests.plugin import devices

WRONG = 2  # exit code: the command line is wrong, or the suite fails without a fault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns 0 where every fault is caught, or missed as `missed.py` says, and 1 elsewhere."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the runs that go on are ended then
    share_cores(options.jobs)
    from tests.meta.faults import put, running  # they import NumPy, which takes the settings above

    if options.healthy:
        return healthy(options)
    catalogue = put.loaded()
    unknown = [name for name in options.names if name not in catalogue]
    if unknown:
        print(f"error: the catalogue has no fault {', '.join(unknown)}; --list shows its names", file=sys.stderr)
        return WRONG
    names = options.names or sorted(catalogue, key=lambda name: KINDS.index(catalogue[name].kind))
    names = [name for name in names if not options.kind or catalogue[name].kind in options.kind]
    if options.list:
        print("\n".join(f"{name} | {catalogue[name].kind} | {catalogue[name].story}" for name in names))
        return 0
    try:
        return running.run(names, options)
    except CnnspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def healthy(options: argparse.Namespace) -> int:
    """Run the healthy variants that were asked for."""
    from tests.meta.faults.healthy import running
    from tests.meta.faults.healthy.variants import VARIANTS

    names = options.names or list(VARIANTS)
    unknown = [name for name in names if name not in VARIANTS]
    if unknown or any("=" not in each for each in options.python):
        wrong = (
            f"there is no variant {', '.join(unknown)}; --healthy --list shows them" if unknown else "--python is NAME=PATH"
        )
        print(f"error: {wrong}", file=sys.stderr)
        return WRONG
    if options.list:
        print("\n".join(map(running.told, names)))
        return 0
    try:
        return running.run(names, options)
    except CnnspecError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    found = argparse.ArgumentParser(prog="python -m tests.meta.faults.run", description=str(__doc__).split("\n\n")[0])
    found.add_argument("names", nargs="*", metavar="FAULT", help="names of faults (default: the whole catalogue)")
    found.add_argument("--kind", action="append", choices=KINDS, help="only faults of this kind; may be repeated")
    found.add_argument("--list", action="store_true", help="print names, kinds and stories, and run nothing")
    found.add_argument("--out", type=Path, metavar="CSV", help="where results are stored (default: baselines/faults)")
    found.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once; they share the cores (default: 1)")
    found.add_argument(
        "--whole", action="store_true", help="run the whole suite also where one of its tests named the fault before"
    )
    found.add_argument("--again", action="store_true", help="run what is stored again")
    found.add_argument("--level", choices=LEVELS[:2], default="default", help="level of the runs (default: default)")
    found.add_argument(
        "--healthy", action="store_true", help="run the healthy variants in the place of faults: the suite must pass in each"
    )
    found.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="with --healthy: the interpreter of the variants that need another one: jax, torch, tf_keras, numpy",
    )
    found.add_argument("--fresh", action="store_true", help="a new interpreter for each fault in the place of a fork")
    found.add_argument("--logs", type=Path, metavar="DIR", help="folder of pytest's output (default: runs/faults)")
    return found


def share_cores(jobs: int) -> None:
    """Make the settings that pytest makes before the framework is imported; several runs at once share the cores."""
    if jobs > 1:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(variable, str(max(1, cores // jobs)))
    devices.share_out()


if __name__ == "__main__":
    sys.exit(main())
