"""Every kind of file that is read: a sound one, its reader, and what of it may be changed without being wrong."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import content, runs
from cnnspec.benchmarks import timings
from cnnspec.ensembles import store as ensembles
from cnnspec.errors import (
    BaselineError,
    CnnspecError,
    EnsembleError,
    MalformedReport,
    MalformedRun,
    TimingsError,
)
from cnnspec.facts import notebook, reading, schema
from cnnspec.faults import store as faults
from cnnspec.paired import setting
from cnnspec.paired import store as paired
from cnnspec.reports.report import FORMAT, Report
from cnnspec.trajectory import fit_recordings, recordings
from tests.meta import test_ensembles, test_files, test_timings
from tests.meta.faults import made_rows
from tests.meta.reports.made_reports import made
from tests.support import snapshots

STORED = reading.BASELINES
Tree = Any  # what a file holds: objects and lists of JSON and TOML, or the rows of a CSV, lists of cells, the header first


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    `read` takes a path and gives what was read as `parsed` would give it. `free` names fields and columns of which any
    text or any number may be true, `optional` those that need not be there (None: all but `needed`), `identity` those whose
    change must be noticed, each with another value. `whole`: no row may be missing.
    """

    name: str
    form: str  # json, csv or toml
    sound: Callable[[], str]
    read: Callable[[Path], Tree]
    error: type[CnnspecError]
    free: Collection[str] = ()
    optional: Collection[str] | None = ()
    needed: Collection[str] = ()
    identity: tuple[tuple[str, Any], ...] = ()
    whole: bool = False

    def may_lack(self, name: str) -> bool:
        """Whether a field or a column of this name need not be there."""
        return name not in self.needed if self.optional is None else name in self.optional

    @property
    def file(self) -> str:
        """Name of the file, on which the reader may depend."""
        return self.name.split(", ")[-1]

    def parsed(self, data: bytes) -> Tree:
        """What bytes hold, by another parser than the reader's. Raises ValueError."""
        text = data.decode("utf-8").removeprefix("\ufeff")
        if self.form == "json":
            return json.loads(text)
        if self.form == "toml":
            return tomllib.loads(text)
        lines = [line for line in text.splitlines(keepends=True) if self.name[:8] != "snapshot" or line[0] != "#"]
        return [row for row in csv.reader(io.StringIO("".join(lines), newline="")) if row]


def same(read: Tree, written: Tree) -> bool:
    """Whether what was read is what is written. A number equals the cell that it was read from."""
    if isinstance(read, dict) and isinstance(written, dict):
        return read.keys() == written.keys() and all(same(read[key], written[key]) for key in read)
    if isinstance(read, (list, tuple)) and isinstance(written, list):
        return len(read) == len(written) and all(map(same, read, written))
    if isinstance(read, bool) or isinstance(written, bool):
        return str(read) == str(written)
    if isinstance(read, (int, float)) and isinstance(written, str):
        return read == float(written)
    both = isinstance(read, (int, float)) and isinstance(written, (int, float))
    return (both or type(read) is type(written)) and read == written


def finite(tree: Tree) -> bool:
    """Whether no number of what was read is a NaN or infinite."""
    if isinstance(tree, (dict, list, tuple)):
        return all(map(finite, tree.values() if isinstance(tree, dict) else tree))
    return not isinstance(tree, float) or math.isfinite(tree)


def table(frame: Any) -> Tree:
    """A frame as the rows of a CSV."""
    return [list(frame.columns), *(list(row) for row in frame.astype(object).itertuples(index=False, name=None))]


def numbers(header: list[str], *arrays: Any) -> Tree:
    """Columns of numbers as the rows of a CSV."""
    return [header, *np.column_stack(arrays).tolist()]


def ensemble() -> str:
    """Three made-up runs of two epochs."""
    text = ""
    for seed in (1, 2, 3):
        text = content_with(text, ensembles.row_of(test_ensembles.run(seed)))
    return text


def content_with(text: str, row: dict[str, str]) -> str:
    """A CSV with one row more."""
    from cnnspec.files import with_row

    return with_row(text, row)


def report() -> str:
    """A made-up report of one model's training."""
    whole = made(known_differences=[{"test": "a.py::b", "reason": "c"}], precision=["matrix products: float32"])
    whole.trainings = {"model1": whole.trainings["model1"]}
    whole.table = {"Test Loss": {"model1": 0.2}}
    whole.tiers = {"numerics": whole.tiers["numerics"]}
    return json.dumps({"format": FORMAT, **dataclasses.asdict(whole)})


def read_report(path: Path) -> Tree:
    """A report as JSON has it."""
    return {"format": FORMAT, **dataclasses.asdict(Report.from_json(path))}


def figures() -> str:
    """A made-up run of two benchmarks."""
    stack = test_timings.STACK
    timed = [test_timings.timed(1.0, "plain fit", "model1", images=10, flops=5, first=2.0), test_timings.timed(2.0)]
    listed = [dataclasses.asdict(each) for each in timed]
    file = {"hardware": timings.hardware(stack), "stack": stack, "dataset": "mnist5k"}
    return json.dumps({**file, "runs": [{"date": "today", "command": "tox", "timings": listed}]})


def read_figures(path: Path) -> Tree:
    """Benchmark figures as JSON has them."""
    found = timings.read(path)
    for run in found["runs"]:
        run["timings"] = [dataclasses.asdict(each) for each in run["timings"].values()]
    return found


def first_lines(path: str, lines: int) -> str:
    """The first lines of a stored file."""
    return "".join((STORED / path).read_text(encoding="utf-8").splitlines(keepends=True)[:lines])


def read_steps(path: Path) -> Tree:
    """A recording's losses and norms; the probabilities beside it are sound."""
    beside = path.parent / "model1-sgd-probabilities.csv"
    if not beside.exists():
        beside.write_bytes((STORED / "trajectories" / "2019" / beside.name).read_bytes())
    variables, steps = recordings.recorded(path.parent, "model1", "sgd")
    return numbers(["step", "loss", *variables], np.arange(1, len(steps.losses) + 1), steps.losses, steps.norms)


def read_probabilities(path: Path) -> Tree:
    """A recording's probabilities; the losses beside them are sound."""
    beside = path.parent / "model1-sgd.csv"
    if not beside.exists():
        beside.write_bytes((STORED / "trajectories" / "2019" / beside.name).read_bytes())
    shares = recordings.recorded(path.parent, "model1", "sgd")[1].probabilities
    return numbers([f"digit_{digit}" for digit in range(10)], shares)


def read_fit(path: Path) -> Tree:
    """What a `fit` of model1 went through; the losses of steps and images beside it are sound."""
    for field in ("steps", "images"):
        beside = path.parent / f"model1-{field}.csv"
        beside.write_bytes((STORED / "trajectories" / "fit-float64" / beside.name).read_bytes())
    variables = setting.variables("model1")
    found = fit_recordings.recorded(path.parent, "model1", variables)
    columns = fit_recordings.columns_of(variables)
    epochs = np.arange(1, len(found.metrics) + 1)
    header = ["epoch", *(column for group in columns.values() for column in group)]
    return numbers(header, epochs, *(getattr(found, field) for field in columns))


def read_snapshot(path: Path) -> Tree:
    """A stored results table."""
    with content.told_as(BaselineError, path, "store it again"):
        return table(snapshots.stored_table(content.text_of(path)).reset_index())


def facts_of(name: str) -> Callable[[Path], Tree]:
    """The reader of one file of the notebook's facts."""

    def read(path: Path) -> Tree:
        before, notebook.FOLDER = notebook.FOLDER, path.parent
        try:
            return table(notebook.facts(name))
        finally:
            notebook.FOLDER = before

    return read


def read_globals(path: Path) -> Tree:
    """What the notebook states once for all models."""
    before, notebook.FOLDER = notebook.FOLDER, path.parent
    try:
        return notebook.globals_toml()
    finally:
        notebook.FOLDER = before


def toml(path: str, name: str, shape: Any, **more: Any) -> Kind:
    """The kind of a stored TOML file with a shape."""
    read = lambda file: reading.read_toml(file, shape)  # noqa: E731
    return Kind(
        f"{name}, {Path(path).name}", "toml", lambda: (STORED / path).read_text("utf-8"), read, BaselineError, **more
    )


RECORDED = "trajectories/2019/model1-sgd"
KINDS = [
    Kind(
        "ensemble, model1.csv",
        "csv",
        ensemble,
        lambda path: table(ensembles.read(path, "mnist5k")),
        EnsembleError,
        free=ensembles.STACK,
        identity=(
            *(("dataset", other) for other in ("mnist", "cifar")),
            ("model", "model2"),
            ("epochs", "3"),
            ("keras", "y"),
        ),
    ),
    Kind(
        "report, report.json",
        "json",
        report,
        read_report,
        MalformedReport,
        free=("backend", "memory_gib"),
        optional=(
            *("backend", "memory_gib", "loss", "val_loss", "test_loss", "train_loss", "Test Loss", "model1", "numerics"),
            *("tests/test_numerics.py::test_layer_outputs[model1]", "layer 1", "layer 2", "variable 1"),
            "tests/test_optimizer.py::test_adam[model1-1]",
        ),
        identity=(("format", "cnnspec report 2"), ("backend", "jax"), ("epochs", 3), ("dataset", "cifar"), ("level", "all")),
    ),
    Kind(
        "benchmark figures, figures.json",
        "json",
        figures,
        read_figures,
        TimingsError,
        free=("threads",),
        optional=("threads",),
        identity=(
            ("hardware", "x"),
            ("cpu", "x"),
            ("cores", 64),
            ("device", "H100"),
            ("framework", "jax"),
            ("dataset", "x"),
        ),
    ),
    Kind(
        "run, run.json",
        "json",
        lambda: json.dumps(dataclasses.asdict(test_files.RUN)),
        lambda path: dataclasses.asdict(runs.TrainingRun.from_json(path)),
        MalformedRun,
        identity=(("epochs", 2), ("dataset", "cifar"), ("seed", 2**32)),
    ),
    Kind(
        "paired runs, model1.csv",
        "csv",
        lambda: first_lines("paired/model1.csv", 4),
        lambda path: table(paired.read(path, "model1")),
        EnsembleError,
        free=[fact for fact in paired.FACTS if fact not in ("model", "xla", "start", "seconds")],
        identity=(("model", "model2"), ("start", "x"), ("xla", "maybe")),
    ),
    Kind(
        "results of faults, catalogue.csv",
        "csv",
        lambda: faults.CATALOGUE.written([made_rows.row("a"), made_rows.row("b", faults.MISSED)]),
        lambda path: [list(faults.COLUMNS), *(list(row.values()) for row in faults.CATALOGUE.read(path))],
        BaselineError,
        free=("fault", "kind", "tier", "test", "seen", "message", "threads", *faults.STACK),
        identity=(("result", "seen"), ("level", "all"), ("run", "x"), ("suite_text", "x"), ("date", "today")),
    ),
    Kind(
        "recording, model1-sgd.csv",
        "csv",
        lambda: first_lines(f"{RECORDED}.csv", 31),
        read_steps,
        BaselineError,
        whole=True,
        identity=(("step", "31"),),
    ),
    Kind(
        "recorded probabilities, model1-sgd-probabilities.csv",
        "csv",
        lambda: first_lines(f"{RECORDED}-probabilities.csv", 65),
        read_probabilities,
        BaselineError,
        whole=True,
    ),
    Kind(
        "recorded fit, model1.csv",
        "csv",
        lambda: first_lines("trajectories/fit-float64/model1.csv", 3),
        read_fit,
        BaselineError,
        whole=True,
        identity=(("epoch", "3"),),
    ),
    Kind(
        "snapshot, table.csv",
        "csv",
        lambda: first_lines("snapshots/mnist5k-1-epochs/test_results_table.csv", 4),
        read_snapshot,
        BaselineError,
        optional=("model1", "model2", "model3", "model4"),
        identity=(("row", "Loss"),),
    ),
    toml(
        "tolerances.toml",
        "tolerances",
        schema.TOLERANCES,
        optional=None,
        needed=("why", "measured", "first", "growth", "shift"),
    ),
    toml("datasets.toml", "digests", schema.DATASETS, optional=("mnist", "mnist5k", "split")),
    toml("exact.toml", "exact digests", schema.EXACT, optional=None, needed=("source", "digests")),
    Kind(
        "globals, globals.toml",
        "toml",
        lambda: (STORED / "notebook" / "globals.toml").read_text("utf-8"),
        read_globals,
        BaselineError,
        free=("value",),
        optional=None,
        needed=("value", "cell"),
    ),
    *(
        Kind(
            f"facts, {name}.csv",
            "csv",
            lambda name=name: (STORED / "notebook" / f"{name}.csv").read_text("utf-8"),
            facts_of(name),
            BaselineError,
            free=[column for column, shape in columns.items() if str(shape).startswith("a text")],
        )
        for name, (columns, _) in schema.NOTEBOOK.items()
    ),
]
