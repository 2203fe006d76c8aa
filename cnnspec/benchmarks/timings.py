"""Figures of benchmarks, and the stored ones: one JSON per hardware, stack and data set.

A file holds several runs of the suite's benchmarks, each with the seconds of every round: rounds show whether the machine
was quiet, runs show how far one differs from the next.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from pathlib import Path

from cnnspec.errors import FiguresError
from cnnspec.files import write_whole
from cnnspec.names import hardware, slug

TRUSTED_SPREAD = 0.10  # quartile distance by median; above it the machine was busy or throttled
KEPT_RUNS = 10
SAME_STACK = ("python", "keras", "framework", "device", "threads", "precision", "onednn", "tf32", "cuda", "cudnn")


@dataclasses.dataclass
class Figure:
    """What was measured of one thing: seconds of each round, and what a round did.

    Where a round repeats it, `seconds` are means and `fewest` those of the fastest repetition, which waits inside the
    framework leave alone. `images` a repetition, `flops` an image (`flops.py`), limits in GFLOP/s and GB/s, memory in MiB,
    `first` the seconds of the first round, with its compilation, `ratios` the seconds of each round by those of the
    plain fit beside it. None: not measured.
    """

    seconds: list
    images: int = 0
    flops: int = 0
    first: float = None
    limit_gflops: float = None
    limit_gbytes: float = None
    host_mib: float = None
    device_mib: float = None
    ratios: list = dataclasses.field(default_factory=list)
    fewest: list = dataclasses.field(default_factory=list)

    @property
    def median(self):
        """Median seconds of a round."""
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """Distance of the quartiles of the rounds' fewest seconds by their median; infinite for fewer than three rounds."""
        rounds = self.fewest or self.seconds
        if len(rounds) < 3:
            return math.inf
        lower, median, upper = statistics.quantiles(rounds, n=4, method="inclusive")
        return (upper - lower) / median

    @property
    def trusted(self):
        """True where the rounds agree within TRUSTED_SPREAD."""
        return self.spread <= TRUSTED_SPREAD

    @property
    def images_per_second(self):
        """Images a second, None where no images are counted."""
        return self.images / self.median if self.images else None

    @property
    def gflops(self):
        """Achieved GFLOP/s, None where none are counted."""
        return self.flops * self.images / self.median / 1e9 if self.flops else None

    @property
    def share(self):
        """Achieved arithmetic as a share of the limit measured beside it, None without either."""
        return self.gflops / self.limit_gflops if self.flops and self.limit_gflops else None


def file_name(stack, dataset):
    """File name of a stack's figures on a data set."""
    return slug(f"{stack['framework']} keras {stack['keras']} {dataset}") + ".json"


def read(path):
    """The content of a file of figures: hardware, stack, dataset, runs. Raises FiguresError."""
    remedy = "restore it with git, or remove it and measure again: tox run -e bench-update"
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        for run in content["runs"]:
            run["figures"] = {name: Figure(**figure) for name, figure in run["figures"].items()}
            if not all(figure.seconds and min(figure.seconds) > 0 for figure in run["figures"].values()):
                raise ValueError("a figure without positive seconds")
        content["stack"]["framework"], content["dataset"], content["hardware"]
    except OSError as error:
        raise FiguresError(f"{path} cannot be read ({error.strerror}); tox run -e bench writes such a file") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FiguresError(f"{path} is malformed ({type(error).__name__}: {error}); {remedy}") from error
    return content


def stored(folder, stack, dataset):
    """The content that a stack is compared with in the folder of its hardware, None where nothing is stored for it.

    That of the same framework version, else the latest of the same framework; other data sets never.
    """
    folder = Path(folder)
    backend = stack["framework"].split()[0]
    contents = [read(path) for path in sorted(folder.glob("*.json"))]
    fitting = [each for each in contents if each["dataset"] == dataset and each["stack"]["framework"].split()[0] == backend]
    same = [each for each in fitting if each["stack"]["framework"] == stack["framework"]]
    return max(same or fitting, key=lambda each: each["runs"][-1]["date"], default=None)


def store(folder, stack, dataset, figures, date, command):
    """Add a run to the file of its stack in `folder`, whole or not at all; returns (path, names of figures left out).

    Left out are figures that are not to be trusted. A run of another stack (SAME_STACK) under the same name begins the
    file anew; KEPT_RUNS are kept. Raises FiguresError, and stores nothing, where no figure is to be trusted.
    """
    doubtful = [name for name, figure in figures.items() if not figure.trusted]
    kept = {name: figure for name, figure in figures.items() if name not in doubtful}
    if not kept:
        raise FiguresError(
            f"not stored: the rounds of every figure spread by more than {TRUSTED_SPREAD:.0%}; this machine was busy or "
            f"throttled: leave it alone and run tox run -e bench-update again"
        )
    path = Path(folder) / file_name(stack, dataset)
    runs = []
    if path.exists():
        before = read(path)
        if all(before["stack"].get(key) == stack.get(key) for key in SAME_STACK):
            runs = before["runs"]
    runs = [*runs, {"date": date, "command": command, "figures": kept}][-KEPT_RUNS:]
    write(path, stack, dataset, runs)
    return path, doubtful


def write(path, stack, dataset, runs):
    """Write a file of figures, whole or not at all; `runs` have date, command and figures, {name: Figure}."""
    content = {"hardware": hardware(stack), "stack": stack, "dataset": dataset, "runs": runs}
    write_whole(path, json.dumps(content, indent=1, default=dataclasses.asdict) + "\n")
