"""Stored figures of benchmarks: one JSON per hardware, stack and data set, and what a new run is compared with.

A file holds several runs of the suite's benchmarks, each with the seconds of every round: rounds show whether the machine
was quiet, runs show how far one differs from the next.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
from pathlib import Path

from cnnspec.files import write_whole

TRUSTED_SPREAD = 0.10  # quartile distance by median; above it the machine was busy or throttled
FALSE_ALARM = 0.01  # of a whole run that is compared with the stored ones, shared out evenly among its figures
LEAST_RUNS = 3  # stored runs that a spread from run to run is taken from
KEPT_RUNS = 10
SAME_STACK = ("python", "keras", "framework", "device", "threads", "precision", "onednn", "tf32", "cuda", "cudnn")


class FiguresError(ValueError):
    """Stored figures are malformed, or new ones cannot be stored; the message names the file and what to do."""


@dataclasses.dataclass
class Figure:
    """What was measured of one thing: seconds of each round, and what a round did.

    Where a round repeats it, `seconds` are means and `fewest` those of the fastest repetition, which waits inside the
    framework leave alone. `images` a repetition, `flops` an image (see `workload`), limits in GFLOP/s and GB/s, memory in
    MiB, `first` the seconds of the first round, with its compilation, `ratios` the seconds of each round by those of the
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


def hardware(stack):
    """Folder name of a machine: GPU or CPU model, cores, memory where the operating system tells it."""
    device = "" if stack["device"] == "CPU" else f"{stack['device']} "
    memory = f"{stack['memory_gib']} GiB" if stack["memory_gib"] else "unknown memory"
    return slug(f"{device}{stack['cpu']} {stack['cores']} cores {memory}")


def file_name(stack, dataset):
    """File name of a stack's figures on a data set."""
    return slug(f"{stack['framework']} keras {stack['keras']} {dataset}") + ".json"


def slug(text):
    """Lower case, with hyphens for whatever is neither letter, digit nor dot."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.").lower()


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


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A figure beside the stored runs: `outcome` is one of OUTCOMES, `text` says it in a line."""

    outcome: str
    text: str


OUTCOMES = ("new", "no spread yet", "not to be trusted", "slower", "faster", "as before")
FAILED = ("not to be trusted", "slower")  # a figure that cannot be trusted has shown nothing


def compare(figures, runs):
    """{name: Comparison} of a run's {name: Figure} with stored runs, a list of the same.

    One-sided on either side: with N stored medians of mean m on the log scale, a figure is slower when
    log(median) − m > t(1 − α; f) · s · √(1 + 1/N), the prediction bound of one further run. s is the figure's own standard
    deviation or, where it is larger, that of its kind, pooled over the models with f degrees of freedom: stored runs that
    agree by chance are no reason to blame the next. α is FALSE_ALARM by the number of figures.
    """
    stored = {}
    for run in runs:
        for name, figure in run.items():
            stored.setdefault(name, []).append(figure)
    logs = {name: [math.log(figure.median) for figure in before] for name, before in stored.items()}
    alpha = FALSE_ALARM / len(figures)
    pooled = {what: _pooled(what, logs) for what in map(kind, figures)}
    return {name: _compared(figure, stored.get(name, []), pooled[kind(name)], alpha) for name, figure in figures.items()}


def kind(name):
    """What a figure has in common with those of the other models; what has no model is the suite's own."""
    return name.split(", ", 1)[1] if name.startswith("model") else "the suite itself"


def _pooled(of, logs):
    """(degrees of freedom, standard deviation) pooled over the figures of a kind; `logs` are {name: stored logarithms}."""
    fitting = [values for name, values in logs.items() if kind(name) == of and len(values) > 1]
    freedom = sum(len(values) - 1 for values in fitting)
    squares = sum(statistics.variance(values) * (len(values) - 1) for values in fitting)
    return freedom, math.sqrt(squares / freedom) if freedom else math.nan


def _limits(figure, before):
    """What was reached beside a Figure and beside the stored ones, which tells a slower machine from slower code."""
    limits = [other.limit_gflops for other in before if other.limit_gflops]
    if not (limits and figure.limit_gflops):
        return ""
    return f"; a matrix product beside it reached {figure.limit_gflops:.0f} GFLOP/s, {statistics.fmean(limits):.0f} there"


def _compared(figure, before, pooled, alpha):
    """The Comparison of a Figure with the same figure of stored runs."""
    from scipy import stats

    now = f"{figure.median:.4g} s, rounds spread by {figure.spread:.1%}"
    if not figure.trusted:
        return Comparison(
            "not to be trusted", f"{now}, above {TRUSTED_SPREAD:.0%}: a busy or throttled machine; leave it alone, try again"
        )
    if not before:
        return Comparison("new", f"{now}; nothing is stored for it, tox run -e bench-update stores it")
    logs = [math.log(other.median) for other in before]
    centre = statistics.fmean(logs)
    change = math.exp(math.log(figure.median) - centre) - 1
    said = f"{now}, {change:+.1%} to {math.exp(centre):.4g} s in {len(logs)} stored runs"
    if len(logs) < LEAST_RUNS:
        return Comparison("no spread yet", f"{said}; {LEAST_RUNS} show how far runs differ: tox run -e bench-update")
    freedom, deviation = pooled
    deviation = max(deviation, statistics.stdev(logs))
    bound = stats.t.ppf(1 - alpha, freedom) * deviation * math.sqrt(1 + 1 / len(logs))
    said += f", which may differ by {math.expm1(bound):.1%}"
    if math.log1p(change) > bound:
        return Comparison("slower", said + _limits(figure, before))
    return Comparison("faster" if math.log1p(change) < -bound else "as before", said)
