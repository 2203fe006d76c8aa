"""Make an ensemble of many runs: a process of its own for each, resumable, on any concurrent.futures.Executor."""

from __future__ import annotations

import collections
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from cnnspec.ensembles import store
from cnnspec.errors import ClusterMissing, RunFailed
from cnnspec.facts import reading
from cnnspec.runs import TrainingRun

EVERY = 20.0  # seconds between two lines about the epochs of a training
LAST_LINES = 40  # of the output of a training that failed


@contextlib.contextmanager
def executor(dask: str | None = None) -> Iterator[Executor]:
    """The concurrent.futures.Executor for the runs: one run at a time on this machine, or the Dask cluster at an address.

    Workers of a cluster need this package, the stack to calibrate and, for full MNIST, the file under the same path. If a
    worker dies, only its current run is lost, and Dask gives that run to another worker. Raises ClusterMissing.
    """
    if dask is None:
        with ThreadPoolExecutor(max_workers=1) as local:
            yield local
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterMissing(
            "Dask is not installed in this environment; install it: python -m pip install distributed"
        ) from error
    try:
        client = Client(dask, timeout="10s")
    except (OSError, ValueError) as error:
        raise ClusterMissing(
            f"no Dask scheduler answers at {dask} ({error}); start one with `dask scheduler`, and workers"
        ) from error
    with client, client.get_executor() as cluster:
        yield cluster


def train_in_fresh_process(
    model: str,
    dataset: str,
    seed: int,
    epochs: int,
    optimizer: str,
    mnist: Path | None = None,
    train_each_epoch: bool = True,
    device: str = "auto",
    report: Callable[[str], object] = print,
    redraw: bool = True,
) -> TrainingRun:
    """Train in a process of its own through `python -m cnnspec train` and return the TrainingRun.

    `redraw` draws the seeded kernels from `seed`, as `train --redraw`. `report` gets a line about the epochs now and then.
    Raises RunFailed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cnnspec", "train", model, "--dataset", dataset, "--seed", str(seed)]
        command += ["--epochs", str(epochs), "--optimizer", optimizer, "--out", folder, "--json-only"]
        command += ["--redraw"] if redraw else []
        command += ["--mnist", str(mnist)] if mnist else []
        command += ["--train-each-epoch"] if train_each_epoch else []
        command += ["--device", device] if device != "auto" else []
        code, output = run_and_tell(command, report)
        if code:
            raise RunFailed(
                f"a training ended with exit code {code}; run its command by hand to find the cause: "
                f"{' '.join(command)}\nIts last output:\n{output}"
            )
        return TrainingRun.from_json(next(Path(folder).glob("*.json")))


def run_and_tell(command: Sequence[str], report: Callable[[str], object], every: float = EVERY) -> tuple[int, str]:
    """Run a training; returns its exit code and the end of its output.

    `report` gets the line of an epoch when `every` seconds have gone by since the start or the line before.
    """
    last: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
    told = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=str(reading.PROJECT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            last.append(line)
            if re.search(r": epoch \d+ of \d+, ", line) and time.monotonic() - told >= every:
                report(f"  {line.strip()}")
                told = time.monotonic()
    return process.returncode, "".join(last)[-2000:]


def calibrate(
    workers: Executor,
    out: str | Path,
    models: Iterable[str],
    dataset: str,
    seeds: Sequence[int],
    epochs: int,
    optimizer: str = "adam",
    mnist: Path | None = None,
    report: Callable[[str], object] = print,
    device: str = "auto",
    redraw: bool = True,
    stack: Mapping[str, object] | None = None,
) -> None:
    """Train every seed that the ensembles in `out` (one CSV per model) lack, and store its run.

    `report` gets a line after each run, and now and then one about the epochs of a long run; on a cluster the latter stand
    in the worker's log. Runs are submitted to the Executor `workers` seed by seed, so that after an interruption each model
    has about as many runs. Each row is stored when its run ends. `train_each_epoch` is on for mnist5k, where it is cheap,
    and off for full MNIST. Without `redraw` all runs start from the kernels that the stack itself draws by the notebook's
    `he_uniform(seed=1)`. Raises EnsembleError for a run from another stack, RunFailed. What is known beforehand, the
    settings and, where given, the `stack` that will train, is looked at before the first training.
    """
    files = {model: Path(out) / f"{model}.csv" for model in models}
    stored = {model: store.seeds(file) for model, file in files.items()}
    wanted = [(model, seed) for seed in seeds for model in models if seed not in stored[model]]
    known = {"dataset": dataset, "optimizer": optimizer, "redrawn": redraw, "epochs": epochs, **(stack or {})}
    for model in dict.fromkeys(model for model, _ in wanted):
        store.prepare(files[model], known)
    number = "1 run" if len(wanted) == 1 else f"{len(wanted)} runs"
    report(f"{number} to train, {len(files) * len(list(seeds)) - len(wanted)} already stored in {out}")
    settings: dict[str, Any] = {
        "epochs": epochs,
        "optimizer": optimizer,
        "mnist": mnist,
        "train_each_epoch": dataset == "mnist5k",
        "device": device,
        "redraw": redraw,
        "report": report if isinstance(workers, ThreadPoolExecutor) else print,
    }
    futures = {workers.submit(train_in_fresh_process, model, dataset, seed, **settings): model for model, seed in wanted}
    started = time.time()
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            run = future.result()
            store.append(files[futures[future]], run)
            left = (time.time() - started) / done * (len(wanted) - done)
            report(
                f"[{done}/{len(wanted)}] {run.model} seed {run.seed}: test loss {run.scores['test_loss']:.4f}, "
                f"train loss {run.scores['train_loss']:.4f}; about {left / 60:.0f} min left"
            )
    finally:
        for future in futures:
            future.cancel()
