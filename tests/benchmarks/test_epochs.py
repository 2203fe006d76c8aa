"""How long is an epoch, what share of this machine's speed does it reach, and did it get slower?

No timing has a fixed limit. A benchmark fails if a loss is wrong, or if a timing is slower than the stored ones of the same
machine by more than these differ among each other. Each variant has a separate process, and each of its rounds runs right
after plain fit, so that both see the same load.
"""

import subprocess
import sys
from statistics import median

import pytest

from cnnspec import mnist, stack
from cnnspec.benchmarks import slowdowns, timings, variants
from cnnspec.benchmarks.flops import flops_per_image
from cnnspec.benchmarks.timings import Key, Timing
from cnnspec.compat import backend
from cnnspec.facts import reading
from cnnspec.names import MODELS, hardware
from tests.benchmarks import rounds
from tests.benchmarks.process import Measuring
from tests.plugin import benchmarks
from tests.support import checks

BATCHES = {1: 256, 128: 3840, 1024: 3072}  # of inference -> images predicted in a round
DATA = "data, read and prepared"
COMMAND = "tox run -e bench-update"
STARTS = {  # what starting the suite costs, each in a new process
    "import of the framework": ["-c", "import keras"],
    "import of cnnspec": ["-c", "import cnnspec.training"],
    "collection of the suite": ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
}


def left_out(variant):
    """Why a variant is not measured on this stack; None if it is measured."""
    return variants.unavailable(variants.VARIANTS[variant], backend(), len(stack.gpus()), stack.available_cores())


def due():
    """Keys of all timings that a complete run has on this stack."""
    kinds = [variant for variant in variants.VARIANTS if not left_out(variant)]
    kinds += [f"inference by {batch}" for batch in BATCHES]
    return {Key(model, kind) for model in MODELS for kind in kinds} | {Key(None, what) for what in (DATA, *STARTS)}


@pytest.mark.parametrize("variant", variants.VARIANTS)
@pytest.mark.parametrize("model", MODELS)
def test_epoch(benchmark, benchmark_run, plain_fits, settings, model, variant):
    """Time of an epoch, after one that compiles and one that warms up; the first and the last loss are in their bands."""
    if reason := left_out(variant):
        pytest.skip(reason)
    beside = plain_fits.of(model, settings)
    process = Measuring(model, variants.VARIANTS[variant], settings)
    rounds.measure(benchmark, model, variant, settings, beside, process, benchmark_run)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("model", MODELS)
def test_inference(benchmark, benchmark_run, plain_fits, settings, model, batch):
    """Time of predictions in batches of 1, 128 and 1024."""
    process, images = plain_fits.of(model, settings), BATCHES[batch]
    predict = lambda: process.ask(f"predict {batch} {images}")["seconds"]  # noqa: E731
    first = predict()
    seconds, fewest, _ = rounds.repeat(benchmark, predict)
    flops = flops_per_image(model, training=False)
    what = f"inference by {batch}"
    benchmark_run.add(Timing(model, what, seconds, fewest=fewest, images=images, flops=flops, first=first))


def test_data(benchmark, benchmark_run, settings):
    """Time of reading and preparing the digits from their file."""

    def forget():
        mnist.read_mnist5k.cache_clear()

    data = benchmark.pedantic(mnist.load, args=(settings.dataset, settings.mnist), setup=forget, rounds=5, warmup_rounds=1)
    images = len(data.x_train) + len(data.x_test)
    benchmark_run.add(Timing(None, DATA, list(benchmark.stats.stats.data), images=images))


@pytest.mark.parametrize("start", STARTS)
def test_start(benchmark, benchmark_run, start):
    """Time before the first test of a run of the suite."""

    def run():
        subprocess.run([sys.executable, *STARTS[start]], cwd=reading.PROJECT, check=True, capture_output=True)

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark_run.add(Timing(None, start, list(benchmark.stats.stats.data)))


def test_the_harness_is_no_slower_than_plain_fit(benchmark_run):
    """The harness is no slower than plain fit, the notebook's call, by the median ratio of neighbouring rounds."""
    ratios = {key: timing.ratios for key, timing in benchmark_run.measured.items() if key.what == "harness"}
    if not ratios:
        pytest.skip("no epoch of the harness was measured: run the whole module")
    bound, source = 1 + timings.TRUSTED_SPREAD, "plain fit plus the largest spread of a trusted timing"
    for key, values in ratios.items():
        checks.at_most(
            f"{key}: epoch time relative to plain fit, median of {len(values)} rounds",
            median(values),
            bound,
            source=source,
            next="pytest tests/benchmarks/test_scaling.py --benchmark-enable -k 'profile or floor'",
        )


def test_no_slower_than_before(benchmark_run, settings, pytestconfig):
    """No timing is slower than the stored ones of this machine by more than these differ; --store-figures stores them."""
    if not benchmark_run.measured:
        pytest.skip("nothing was measured: run the whole module")
    here = stack.current()
    folder = benchmarks.FOLDER / hardware(here)
    if pytestconfig.option.store_figures:
        missing = sorted(map(str, due() - set(benchmark_run.measured)))
        checks.equal(
            "timings missing from this run, which is not stored", [], missing, source="a complete run", next=COMMAND
        )
        path, doubtful = timings.store(
            folder, here, settings.dataset, benchmark_run.measured.values(), benchmark_run.date, COMMAND
        )
        checks.equal(
            f"timings whose rounds differ too much, left out of {path.name}",
            [],
            [str(key) for key in doubtful],
            source="a quiet machine",
            next=f"stop other programs on this machine, then {COMMAND}",
        )
        return
    content = timings.stored(folder, here, settings.dataset)
    runs = content["runs"] if content else []
    benchmark_run.compared.update(slowdowns.compare(benchmark_run.measured, [run["timings"] for run in runs]))
    bad = [
        f"{key}: {each.outcome}, {each.text}"
        for key, each in benchmark_run.compared.items()
        if each.outcome in slowdowns.FAILED
    ]
    if bad:
        known = f"stored runs of {content['stack']['framework']} on {content['hardware']}" if content else "no stored run"
        checks.fail(
            f"benchmarks on {settings.dataset}, compared with {known}",
            bad,
            next=f"tox run -e bench on a quiet machine; if a slower timing is intended: {COMMAND}",
        )
