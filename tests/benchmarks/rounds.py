"""Epochs measured round by round, each right after plain fit so that both see the same load, and their losses judged."""

import math

from cnnspec.benchmarks import variants
from cnnspec.benchmarks.flops import flops_per_image
from cnnspec.benchmarks.timings import Timing
from cnnspec.ensembles import bands, store
from cnnspec.facts import reading
from tests.support import chance

SECONDS = 10.0  # that the rounds of one figure may take, between the two numbers of ROUNDS
ROUNDS = (3, 5)
ROUND = 2.0  # seconds that a round takes at least, as many epochs as it needs
LONGEST = 3  # times as many rounds are taken until the last ones agree
JUDGED = 10  # epochs of a reference ensemble


def rounds_for(seconds):
    """Number of rounds for one that takes so many seconds."""
    return int(min(max(SECONDS / seconds, ROUNDS[0]), ROUNDS[1]))


def repeat(benchmark, once, neighbour=lambda: 0.0):
    """Rounds of `once`, each after as many of `neighbour`: (mean seconds of one in each round, fewest, neighbour's mean).

    Both return seconds. One of `once`, not counted, warms up; a round has as many as fill ROUND seconds. Rounds that differ
    too much to be trusted are followed by more, one by one, up to LONGEST times as many; the last ones count.
    """
    means, fewest, beside = [], [], []
    warm = once()
    size = math.ceil(ROUND / warm)
    count = rounds_for(size * warm)

    def before():
        beside.append(sum(neighbour() for _ in range(size)) / size)

    def one_round():
        each = [once() for _ in range(size)]
        means.append(sum(each) / size)
        fewest.append(min(each))

    benchmark.pedantic(one_round, setup=before, rounds=count, iterations=1)
    while not Timing(None, "rounds", fewest[-count:]).trusted and len(fewest) < LONGEST * count:
        before()
        one_round()
    benchmark.extra_info.update(repeated_in_a_round=size, rounds_taken=len(fewest))
    return means[-count:], fewest[-count:], beside[-count:]


def measure(benchmark, model, what, settings, beside, process, run):
    """Measure epochs of a process that is then ended, judge their losses, and keep the Timing in a BenchmarkRun."""
    try:
        seconds, fewest, others = repeat(benchmark, process.epoch, lambda: beside.ask("epoch")["seconds"])
        judge_losses(f"{model}, {what}", model, settings, process.losses[:JUDGED])
        ratios = [mine / theirs for mine, theirs in zip(seconds, others, strict=True)]
        timing = timing_of(process, model, what, seconds, fewest, ratios)
        run.add(timing)
        benchmark.extra_info.update(dataset=settings.dataset, images_per_second=timing.images_per_second)
    finally:
        process.close()


def judge_losses(subject, model, settings, losses):
    """The first and the last epoch's loss lie in the band of the reference ensemble: a fast wrong answer is a failure."""
    path = settings.ensembles / f"{model}.csv"
    source = path.relative_to(reading.PROJECT)
    calibrate = f"python -m cnnspec calibrate --models {model} --dataset {settings.dataset} --out {source.parent}"
    for quantity, epochs in (("loss, first epoch", 1), ("loss, last epoch", len(losses))):
        judged, band = bands.by_quantity(store.curves(path, epochs), settings.dataset)[quantity]
        value = judged.measure({"loss": losses[:epochs]}, None)
        next_step = f"compare with {variants.PLAIN} of the same model: the variant computes something else"
        chance.within_band(
            f"{subject}: {quantity} of {epochs}", judged, band, value, source=source, next=next_step, enlarge=calibrate
        )


def timing_of(process, model, what, seconds, fewest, ratios):
    """The Timing of epochs that were measured in a process."""
    memory = process.ask("memory")
    has_ops = not process.ready["stack"]["keras"].startswith("2.")  # keras.ops, by which limits are measured
    limits = process.ask("limit") if has_ops else {}
    return Timing(
        model,
        what,
        seconds,
        fewest=fewest,
        images=process.ready["images"],
        flops=flops_per_image(model),
        first=process.first["seconds"],
        limit_gflops=limits.get("gflops"),
        limit_gbytes=limits.get("gbytes"),
        host_mib=memory["host"],
        device_mib=memory["device"],
        ratios=ratios,
    )
