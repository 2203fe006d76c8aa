"""How long is an epoch, is that what this hardware can do, and did it get slower?

Benchmarks measure and tests judge: a timing has no bound of its own. What fails is a wrong loss, however fast, and a timing
that is slower than the stored ones of the same machine by more than those differ among each other. Each round of a
variant runs right after plain fit, in a process of its own, so that both see the same load.
"""

import datetime
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
STARTS = {  # the suite's own costs, each in a fresh process
    "import of the framework": ["-c", "import keras"],
    "import of cnnspec": ["-c", "import cnnspec.training"],
    "collection of the suite": ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
}


def left_out(variant):
    """Why a variant is not measured on this stack, None where it is."""
    return variants.unavailable(variants.VARIANTS[variant], backend(), len(stack.gpus()), stack.available_cores())


def due():
    """Keys of all timings that a whole run has on this stack."""
    kinds = [variant for variant in variants.VARIANTS if not left_out(variant)]
    kinds += [f"inference by {batch}" for batch in BATCHES]
    return {Key(model, kind) for model in MODELS for kind in kinds} | {Key(None, what) for what in (DATA, *STARTS)}


@pytest.mark.parametrize("variant", variants.VARIANTS)
@pytest.mark.parametrize("model", MODELS)
def test_epoch(benchmark, benchmark_run, plain_fits, settings, model, variant):
    """An epoch, after one that compiles and one that warms up; its first and last loss are judged."""
    if reason := left_out(variant):
        pytest.skip(reason)
    beside = plain_fits.of(model, settings)
    process = Measuring(model, variants.VARIANTS[variant], settings)
    rounds.measure(benchmark, model, variant, settings, beside, process, benchmark_run)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("model", MODELS)
def test_inference(benchmark, benchmark_run, plain_fits, settings, model, batch):
    """Predictions in batches of 1, 128 and 1024."""
    process, images = plain_fits.of(model, settings), BATCHES[batch]
    predict = lambda: process.ask(f"predict {batch} {images}")["seconds"]  # noqa: E731
    first = predict()
    seconds, fewest, _ = rounds.repeat(benchmark, predict)
    flops = flops_per_image(model, training=False)
    what = f"inference by {batch}"
    benchmark_run.add(Timing(model, what, seconds, fewest=fewest, images=images, flops=flops, first=first))


def test_data(benchmark, benchmark_run, settings):
    """The digits read and prepared, from the file."""

    def forget():
        mnist.read_mnist5k.cache_clear()

    data = benchmark.pedantic(mnist.load, args=(settings.dataset, settings.mnist), setup=forget, rounds=5, warmup_rounds=1)
    images = len(data.x_train) + len(data.x_test)
    benchmark_run.add(Timing(None, DATA, list(benchmark.stats.stats.data), images=images))


@pytest.mark.parametrize("start", STARTS)
def test_start(benchmark, benchmark_run, start):
    """What a run of the suite costs before its first test."""

    def run():
        subprocess.run([sys.executable, *STARTS[start]], cwd=reading.PROJECT, check=True, capture_output=True)

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark_run.add(Timing(None, start, list(benchmark.stats.stats.data)))


def test_the_harness_is_no_slower_than_plain_fit(benchmark_run):
    """What the suite trains with is no slower than the notebook's call: the median of ratios taken epoch by epoch."""
    ratios = {key: timing.ratios for key, timing in benchmark_run.measured.items() if key.what == "harness"}
    if not ratios:
        pytest.skip("no epoch of the harness was measured; run the whole module")
    bound, source = 1 + timings.TRUSTED_SPREAD, "plain fit beside it, and the spread that a trusted timing may have"
    for key, values in ratios.items():
        checks.at_most(
            f"{key}, relative to plain fit", median(values), bound, source=source, next="profile cnnspec/pipeline.py"
        )


def test_no_slower_than_before(benchmark_run, settings, pytestconfig):
    """No timing of this machine is slower than its stored ones by more than those differ; --store-figures adds them."""
    if not benchmark_run.measured:
        pytest.skip("nothing was measured; run the whole module")
    here = stack.current()
    folder = benchmarks.FOLDER / hardware(here)
    if pytestconfig.option.store_figures:
        missing = sorted(map(str, due() - set(benchmark_run.measured)))
        checks.equal("timings that a whole run has and this one has not", [], missing, source="the variants", next=COMMAND)
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        path, doubtful = timings.store(folder, here, settings.dataset, benchmark_run.measured.values(), date, COMMAND)
        checks.equal(
            f"timings not to be trusted, left out of {path.name}",
            [],
            [str(key) for key in doubtful],
            source="a quiet machine",
            next=COMMAND,
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
        known = f"{content['stack']['framework']} on {content['hardware']}" if content else "nothing stored"
        checks.fail(f"benchmarks beside {known}", bad, next=f"run them again on a quiet machine; if it is meant: {COMMAND}")
