"""Timings as tables: of one run, and of stored runs of several stacks and machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from cnnspec.benchmarks.timings import Key, Timing
from cnnspec.names import SAMPLES

COLUMNS = (
    "",
    "seconds",
    "spread",
    "first",
    "images/s",
    "GFLOP/s",
    "of limit",
    "limit",
    "GB/s",
    "host MiB",
    "device MiB",
    "relative to plain fit",
)
DOUBTFUL = "!: not to be trusted, the rounds differ too much; stop other work on this machine and measure again"


def rows_of(timings: Iterable[Timing]) -> list[tuple[str, ...]]:
    """Rows of a table of one run. limit: GFLOP/s of a matrix product; GB/s: of an addition in memory."""
    return [
        (
            str(timing.key),
            f"{timing.median:.4g}",
            f"{timing.spread:.1%}" + ("" if timing.trusted else " !"),
            number(timing.first, ".3g"),
            number(timing.images_per_second, ".0f"),
            number(timing.gflops, ".1f"),
            number(timing.share, ".0%"),
            number(timing.limit_gflops, ".0f"),
            number(timing.limit_gbytes, ".0f"),
            number(timing.host_mib, ".0f"),
            number(timing.device_mib, ".0f"),
            ratios(timing.ratios),
        )
        for timing in timings
    ]


def title(dataset: str) -> str:
    """Number of images in an epoch of the data set, compared with full MNIST's."""
    images, whole = SAMPLES[dataset][0], SAMPLES["mnist"][0]
    times = f"; full MNIST has {whole}, {whole / images:g} times as many" if images < whole else ""
    return f"{dataset}: an epoch has {images} images{times}"


def ratios(values: Sequence[float]) -> str:
    """Least, median and greatest of the ratios of the rounds."""
    return f"{min(values):.2f} {median(values):.2f} {max(values):.2f}" if values else ""


ACROSS = ("hardware", "stack", "data", "model", "seconds", "of limit", "relative to model2")


def rows_across(contents: Iterable[dict[str, Any]], of: str = "plain fit") -> list[tuple[str, ...]]:
    """Rows of a table of stored files: epochs of every model on each machine and stack.

    Machines are compared by the share of their own limit, and by each model's time relative to model2's, not by seconds.
    `contents` are files as `timings.read` gives them; `of` names the variant.
    """
    rows: list[tuple[str, ...]] = []
    for content in contents:
        measured: dict[Key, Timing] = content["runs"][-1]["timings"]
        base = measured.get(Key("model2", of))
        stack = f"{content['stack']['framework']}, Keras {content['stack']['keras']}"
        for timing in measured.values():
            if timing.model and timing.what == of:
                relative = f"{timing.median / base.median:.2f}" if base else ""
                names = (content["hardware"], stack, content["dataset"], timing.model)
                rows.append((*names, f"{timing.median:.4g}", number(timing.share, ".0%"), relative))
    return rows


def number(value: float | None, form: str) -> str:
    """A number in a format; an empty text for None."""
    return "" if value is None else format(value, form)
