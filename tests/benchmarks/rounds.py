"""Epochs are measured in rounds, each right after plain fit, so that both see the same load; their losses are checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnspec.benchmarks.flops import flops_per_image
from cnnspec.benchmarks.timings import Timing
from cnnspec.ensembles import bands, quantities, store
from cnnspec.facts import reading
from tests.support import ensembles

if TYPE_CHECKING:
    from tests.benchmarks.process import Measuring
    from tests.plugin.benchmarks import BenchmarkRun
    from tests.support.trainings import Settings

SECONDS = 10.0  # for all rounds of one timing; their number is within ROUNDS
ROUNDS = (3, 5)
ROUND = 2.0  # least seconds of a round; short epochs are repeated,
REPETITIONS = 8  # but so often at most: on a GPU an epoch takes a tenth of a second
LONGEST = 3  # at most so many times the planned number of rounds, if rounds differ too much
JUDGED = 10  # epochs of a reference ensemble


def rounds_for(seconds: float) -> int:
    """Number of rounds, where one takes so many seconds."""
    return int(min(max(SECONDS / seconds, ROUNDS[0]), ROUNDS[1]))


def repeat(
    benchmark: Any, once: Callable[[], float], neighbour: Callable[[], float] = lambda: 0.0
) -> tuple[list[float], list[float], list[float]]:
    """Measure rounds of `once`, each after as many repetitions of `neighbour`; both return their seconds.

    Returns for each round the mean seconds of `once`, its fewest seconds, and the mean seconds of `neighbour`. The first
    call of `once` warms up and is not counted. A round repeats it for about ROUND seconds, at most REPETITIONS times. If the
    rounds differ too much, more follow one by one, up to LONGEST times the planned number; the last ones count.
    """
    means: list[float] = []
    fewest: list[float] = []
    beside: list[float] = []
    warm = once()
    size = min(math.ceil(ROUND / warm), REPETITIONS)
    count = rounds_for(size * warm)

    def before() -> None:
        beside.append(sum(neighbour() for _ in range(size)) / size)

    def one_round() -> None:
        each = [once() for _ in range(size)]
        means.append(sum(each) / size)
        fewest.append(min(each))

    benchmark.group = "whole rounds of several repetitions; the first table has the seconds of one"
    benchmark.pedantic(one_round, setup=before, rounds=count, iterations=1)
    while not Timing(None, "rounds", fewest[-count:]).trusted and len(fewest) < LONGEST * count:
        before()
        one_round()
    benchmark.extra_info.update(repeated_in_a_round=size, rounds_taken=len(fewest))
    return means[-count:], fewest[-count:], beside[-count:]


def measure(
    benchmark: Any,
    model: str,
    what: str,
    settings: Settings,
    beside: Measuring,
    process: Measuring,
    run: BenchmarkRun,
) -> None:
    """Measure epochs of `process`, each round after plain fit in `beside`; check the losses; add the Timing to `run`.

    The process is ended.
    """
    try:
        seconds, fewest, others = repeat(benchmark, process.epoch, lambda: beside.ask("epoch")["seconds"])
        judge_losses(f"{model}, {what}", model, settings, process.losses[:JUDGED])
        ratios = [mine / theirs for mine, theirs in zip(seconds, others, strict=True)]
        timing = timing_of(process, model, what, seconds, fewest, ratios)
        run.add(timing)
        benchmark.extra_info.update(dataset=settings.dataset, images_per_second=timing.images_per_second)
    finally:
        process.close()


def judge_losses(subject: str, model: str, settings: Settings, losses: list[float]) -> None:
    """The losses of the first and the last epoch lie in the bands of the reference ensemble: a fast wrong result fails.

    Only the mean losses of the epochs are asked for: on full MNIST an ensemble has the evaluated ones after the last alone.
    An ensemble may be small as long as its band does not accept chance, since this looks for results that are far off.
    """
    path = settings.ensembles / f"{model}.csv"
    name = "loss, last epoch"
    calibrate = f"python -m cnnspec calibrate --models {model} --dataset {settings.dataset}"
    calibrate += f" --out {reading.shown(path.parent)}"
    source = reading.shown(path)
    for epochs in (1, len(losses)):
        judged = quantities.of(settings.dataset, epochs)[name]
        values = [judged.measure(run) for run in store.losses(path, epochs, settings.dataset)]
        band = bands.band(judged, values, bands.alpha(epochs), shift=bands.shift(name))
        value = judged.measure({"loss": losses[:epochs]})
        if band.used(value) <= 1 and not band.accepts_chance:
            continue
        ensembles.within_band(
            f"{subject}: loss of epoch {epochs}, {settings.dataset}",
            judged,
            band,
            value,
            source=source,
            next=f"pytest tests/test_training.py -k {model}; if it passes, only this variant computes something else",
            enlarge=calibrate,
        )


def timing_of(
    process: Measuring, model: str, what: str, seconds: list[float], fewest: list[float], ratios: list[float]
) -> Timing:
    """The Timing of epochs that were measured in a process, with its memory and the limits of this machine."""
    memory = process.ask("memory")
    has_ops = not process.ready["stack"]["keras"].startswith("2.")  # the limits are measured with keras.ops
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
