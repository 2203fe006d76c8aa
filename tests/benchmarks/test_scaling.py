"""How does the time of an epoch, of the suite and of `calibrate` depend on images, batch size, models and workers?

Compared trainings have separate processes whose rounds alternate, so that other load slows all of them. These tests measure
and have no limits: rounds that differ too much are marked. Only a training that does not learn fails.
"""

import dataclasses
import itertools
import math
import re
import statistics
import subprocess
import sys
import time

import pytest

from cnnspec.benchmarks import variants
from cnnspec.benchmarks.flops import flops_per_image
from cnnspec.benchmarks.timings import Timing
from cnnspec.compat import backend
from cnnspec.ensembles import store
from cnnspec.facts import reading
from cnnspec.names import MODELS
from cnnspec.reports import markdown
from tests.benchmarks import cluster, rounds
from tests.benchmarks.process import Measuring
from tests.support import checks

ROUNDS = 5
TURNS = 7  # rounds where ratios are compared
IMAGES = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)  # of the train set
BATCHES = (32, 64, 128, 256, 512)
WORKERS = (1, 2, 3)
RUNS = 6  # of an ensemble, for each number of workers
PLAIN = variants.VARIANTS[variants.PLAIN]
TRACED = ("Adam", *(kind + way for kind in ("convolution", "pooling", "dense layers") for way in ("", ", gradient")))


def turns(processes, count=ROUNDS):
    """{name: Timing} of processes whose rounds alternate: `count` rounds of about ROUND seconds. The processes are ended."""
    try:
        sizes = {name: math.ceil(rounds.ROUND / process.epoch()) for name, process in processes.items()}
        found = {
            name: Timing(None, name, [], images=process.ready["images"], first=process.first["seconds"])
            for name, process in processes.items()
        }
        for _, (name, timing) in itertools.product(range(count), found.items()):
            each = [processes[name].epoch() for _ in range(sizes[name])]
            timing.seconds.append(statistics.fmean(each))
            timing.fewest.append(min(each))
        wrong = [name for name, process in processes.items() if not process.losses[-1] < process.losses[0]]
        checks.equal(
            "trainings whose last loss is not below their first",
            [],
            wrong,
            source="a training that learns",
            next="pytest tests/test_training.py",
        )
        return found
    finally:
        for process in processes.values():
            process.close()


def ended_well(command, code, log):
    """A command of the project ended with exit code 0; if not, the message has the end of its log."""
    if code:
        checks.fail(f"{command} ended with exit code {code}", log.splitlines()[-8:], next=command)


def quickest(timing):
    """Median of the rounds' fastest epochs, in seconds; waits for tf.data's tuner are not in them."""
    return statistics.median(timing.fewest)


def keep(run, title, found, conclusions):
    """Add Timings to a BenchmarkRun, with lines of conclusions and the names of timings that cannot be trusted."""
    for name, timing in found.items():
        run.add(dataclasses.replace(timing, model=None, what=f"{title}: {name}"))
    doubtful = [name for name, timing in found.items() if not timing.trusted]
    conclusions = [
        *conclusions,
        *([f"not to be trusted, the rounds differ too much: {', '.join(doubtful)}"] if doubtful else []),
    ]
    run.said.extend(["", title, *(f"  {line}" for line in conclusions)])


def line_through(points):
    """(intercept, slope, largest distance relative to the largest y) of the least-squares line through (x, y) points."""
    xs, ys = zip(*points, strict=True)
    slope, intercept = statistics.linear_regression(xs, ys)
    return intercept, slope, max(abs(y - intercept - slope * x) for x, y in points) / max(ys)


@pytest.mark.parametrize("model", ["model2", "model4"])
def test_images(benchmark_run, settings, model):
    """Time of an epoch of plain fit by number of images, with a line through it."""
    start = Measuring(model, PLAIN, settings)
    total = start.ready["images"]
    start.close()
    counts = [int(total * part) for part in IMAGES]
    found = turns({f"{count} images": Measuring(model, PLAIN, settings, images=count) for count in counts})
    intercept, slope, distance = line_through([(timing.images, quickest(timing)) for timing in found.values()])
    line = (
        f"{slope * 1e6:.1f} µs per image plus {intercept * 1e3:.0f} ms per epoch; "
        f"largest distance from this line: {distance:.1%}"
    )
    keep(benchmark_run, f"{model}, epoch by images", found, [line])


@pytest.mark.parametrize("model", ["model2", "model4"])
def test_batch_size(benchmark_run, settings, model):
    """Time of an epoch of plain fit by batch size, with a line through it: time per step, and time for the images."""
    found = turns({f"batches of {size}": Measuring(model, variants.Variant(batch_size=size), settings) for size in BATCHES})
    steps = [-(-timing.images // size) for size, timing in zip(BATCHES, found.values(), strict=True)]
    intercept, slope, distance = line_through(
        [(count, quickest(timing)) for count, timing in zip(steps, found.values(), strict=True)]
    )
    line = (
        f"{slope * 1e3:.2f} ms per step plus {intercept * 1e3:.0f} ms for all images; "
        f"largest distance from this line: {distance:.1%}"
    )
    keep(benchmark_run, f"{model}, epoch by batch size", found, [line])


def test_model_size(benchmark_run, settings):
    """Time of an epoch of plain fit by the arithmetic of the model."""
    found = turns({model: Measuring(model, PLAIN, settings) for model in MODELS})
    lines = []
    for model, timing in found.items():
        timing.flops = flops_per_image(model)
        lines.append(
            f"{model}: {timing.flops / 1e6:.1f} MFLOP per image, {timing.median:.3g} s, {timing.gflops:.0f} GFLOP/s"
        )
    keep(benchmark_run, "epoch by model", found, lines)


@pytest.mark.parametrize("model", MODELS)
def test_floor(benchmark_run, settings, model):
    """Time of an epoch of the harness relative to plain fit and to the bare step right before it."""
    if backend() != "tensorflow":
        pytest.skip("harness and bare step are written for TensorFlow")
    ways = (variants.PLAIN, "bare step", "harness")
    found = turns({way: Measuring(model, variants.VARIANTS[way], settings) for way in ways}, TURNS)
    lines = []
    for other in ways[:2]:
        pairs = zip(found["harness"].seconds, found[other].seconds, strict=True)
        lower, middle, upper = statistics.quantiles([mine / theirs for mine, theirs in pairs], n=4, method="inclusive")
        lines.append(
            f"epoch time of the harness relative to {other}: {middle:.2f} "
            f"(median of {TURNS} rounds, quartiles {lower:.2f} and {upper:.2f})"
        )
    keep(benchmark_run, f"{model}, epoch by variant", found, lines)


@pytest.mark.parametrize("model", ["model2", "model4"])
def test_profile(benchmark_run, settings, model):
    """Time of a step by kind of operation, for plain fit, the harness and the bare step; every kind of layer takes time."""
    if backend() != "tensorflow":
        pytest.skip("the profile is written for TensorFlow")
    columns = {}
    for name in (variants.PLAIN, "harness", "bare step"):
        process = Measuring(model, variants.VARIANTS[name], settings)
        try:
            process.epoch()
            columns[name] = process.ask("profile")["profile"]
        finally:
            process.close()
    lost = [f"{name}: {what}" for name, column in columns.items() for what in TRACED if not column.get(what)]
    next_step = "add this TensorFlow's names of the operations to cnnspec/benchmarks/trace.py"
    checks.equal(f"{model}: kinds of operation without measured time", [], lost, source="the model's layers", next=next_step)
    rows = dict.fromkeys(what for column in columns.values() for what in column)
    cells = [[what, *(f"{column.get(what, 0.0):.2f}" for column in columns.values())] for what in rows]
    keep(
        benchmark_run,
        f"{model}, milliseconds per step by kind of operation",
        {},
        markdown.table(["", *columns], cells).splitlines(),
    )


def test_suite(benchmark_run, settings):
    """Time of the tiers by number of models, without the results table, which needs all models."""
    found, models = {}, MODELS
    for count in range(len(models) + 1):
        left_out = ["results", *models[count:]]
        command = [
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            f"not ({' or '.join(left_out)})",
        ]
        started = time.perf_counter()
        ended = subprocess.run([sys.executable, *command], cwd=reading.PROJECT, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        ended_well(" ".join(["python", *command]), ended.returncode, ended.stdout)
        passed = re.findall(r"(\d+) passed", ended.stdout)[-1]  # the last one: the verdict before it counts each tier
        found[count] = seconds, passed
    lines = [f"{count} models: {seconds:.0f} s, {passed} tests" for count, (seconds, passed) in found.items()]
    intercept, slope, distance = line_through([(count, seconds) for count, (seconds, _) in found.items()])
    lines.append(
        f"{intercept:.0f} s plus {slope:.0f} s per model; largest distance from this line: {distance:.0%}; one run each"
    )
    keep(benchmark_run, "time of the suite by number of models", {}, lines)


def test_workers(benchmark_run, settings, tmp_path):
    """Runs per minute of `calibrate` without a cluster and with 1, 2 and 3 workers of Dask, and the use of the cores."""
    import psutil

    command = ["cnnspec", "calibrate", "--models", "model2", "--epochs", "4", "--runs", str(RUNS), "--out"]
    lines = []
    for workers in (0, *WORKERS):
        folder = tmp_path / str(workers)
        folder.mkdir()
        with cluster.running(folder, workers) as (processes, address, _):
            psutil.cpu_percent()
            started = time.perf_counter()
            dask = ["--dask", address] if workers else []
            calibrating = processes.start("calibrate", *command, str(folder), *dask)
            code = calibrating.wait(timeout=900)
            seconds, busy = time.perf_counter() - started, psutil.cpu_percent()
            ended_well(" ".join(["python -m", *command, str(folder), *dask]), code, (folder / "calibrate.log").read_text())
        stored = len(store.read(folder / "model2.csv"))
        checks.equal(
            f"calibrate with {workers} workers: stored runs", RUNS, stored, source="--runs", next="pytest tests -m cluster"
        )
        name = f"{workers} workers" if workers else "no cluster"
        lines.append(f"{name}: {60 * RUNS / seconds:.1f} runs per minute, cores busy {busy:.0f}%")
    keep(benchmark_run, "calibrate by workers, model2 for four epochs", {}, lines)
