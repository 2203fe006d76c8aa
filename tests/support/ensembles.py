"""Comparisons of a training with an ensemble: each quantity with its band, and all of a model together.

Each has a declared false-alarm rate: the probability that it fails on a healthy stack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cnnspec.ensembles import bands
from cnnspec.ensembles.bands import Band
from cnnspec.ensembles.distance import Cloud
from cnnspec.ensembles.quantities import Quantity
from cnnspec.reports.words import counted
from tests.support import margins
from tests.support.checks import fail

CANNOT_TELL = "cannot tell"


def within_band(
    subject: str, quantity: Quantity, band: Band, value: float, *, source: object, next: str, enlarge: str
) -> None:
    """A measured value lies in the Band of an ensemble. A value that is too good fails too.

    If the band is not conclusive, a value inside it does not pass: the check cannot tell, fails, and names the command
    `enlarge`. A value outside the band always fails.
    """
    __tracebackhide__ = True
    margins.note("place in the band", band.used(value))
    low, high = band.mean - band.half_width, band.mean + band.half_width
    if band.used(value) <= 1 and band.conclusive:
        return
    lines = [
        f"expected  {quantity.show(low)} to {quantity.show(high)}, "
        f"mean {quantity.show(band.mean)}   (from {source}, {counted(band.size, 'run')})",
        f"obtained  {quantity.show(value)}   {picture(band, value)}",
    ]
    if band.size > 1:
        least, lower, median, upper, greatest = (quantity.show(point).strip() for point in band.quartiles)
        lines.append(f"ensemble  minimum {least}, quartiles {lower} | {median} | {upper}, maximum {greatest}")
    if band.used(value) <= 1:
        lines.append(f"reason    {bands.weakness(quantity, band)} (false-alarm rate {band.alpha:.1g})")
        if not band.large_enough:
            lines.append(f"missing   {counted(band.runs_needed - band.size, 'more run')} in the ensemble")
        fail(f"{CANNOT_TELL}: {subject}", lines, next=enlarge)
    side = "above" if value > band.mean else "below"
    lines.append(
        f"distance  {abs(value - band.mean) / band.deviation:.1f} SD {side} the mean, limit "
        f"{band.half_width / band.deviation:.1f} SD (false-alarm rate {band.alpha:.1g})"
    )
    fail(subject, lines, next=next)


def picture(band: Band, value: float, width: int = 41) -> str:
    """The band as a line of text: `[` and `]` are its ends, `|` the ensemble's mean, `o` the value.

    `<` or `>`: the value lies beyond the line.
    """
    cells = [" "] * width

    def position(x: float) -> int:
        return round((width - 1) * (0.5 + (x - band.mean) / band.half_width / 4))

    for x, mark in ((band.mean - band.half_width, "["), (band.mean, "|"), (band.mean + band.half_width, "]")):
        cells[position(x)] = mark
    if value == -math.inf or (math.isfinite(value) and position(value) < 0):
        cells[0] = "<"
    elif not math.isfinite(value) or position(value) >= width:
        cells[-1] = ">"
    else:
        cells[position(value)] = "o"
    return "".join(cells)


def banded(model: str, name: str, quantity: Quantity, band: Band, value: float) -> dict[str, Any]:
    """A value and its band for the verdict: the model, the quantity, the share of the band used, and a line of text."""
    low, high = band.mean - band.half_width, band.mean + band.half_width
    detected = f"{quantity.show_shift(band.mean, band.smallest_shift)} ({band.smallest_shift / band.deviation:.1f} SD)"
    return {
        "model": model,
        "quantity": name,
        "used": band.used(value),
        "conclusive": band.conclusive,
        "text": f"{quantity.show(value):>8}  {picture(band, value)}  {quantity.show(low):>8} to {quantity.show(high):<8}"
        f" detects {detected}",
    }


def within_cloud(
    subject: str, cloud: Cloud, values: Mapping[str, float], *, source: object, next: str, enlarge: str
) -> None:
    """The values of all quantities together are no farther from an ensemble than its Cloud allows.

    The message names the quantity that is farthest by itself. In an ensemble that is too small the check cannot tell, as in
    `within_band`.
    """
    __tracebackhide__ = True
    distance = cloud.distance(values)
    margins.note("distance", distance / cloud.limit)
    if distance <= cloud.limit and cloud.large_enough:
        return
    lines = [
        f"expected  a distance of at most {cloud.limit:.1f} SD   (from {source}, {counted(cloud.size, 'run')})",
        f"obtained  {distance:.1f} SD (false-alarm rate {cloud.alpha:.1g}); each quantity by itself:",
        *(f"          {residual:+.1f} SD  {name}" for name, residual in by_distance(cloud, values)),
    ]
    if distance <= cloud.limit:
        lines.append(f"missing   {counted(cloud.runs_needed - cloud.size, 'more run')} in the ensemble")
        fail(f"{CANNOT_TELL}: {subject}", lines, next=enlarge)
    fail(f"{subject}; farthest: {by_distance(cloud, values)[0][0]}", lines, next=next)


def by_distance(cloud: Cloud, values: Mapping[str, float]) -> list[tuple[str, float]]:
    """(quantity, its distance from the mean in SD), the farthest first; a NaN is the farthest."""
    found = cloud.residuals(values).items()
    return sorted(found, key=lambda pair: -math.inf if math.isnan(pair[1]) else -abs(pair[1]))


def placed(model: str, cloud: Cloud, values: Mapping[str, float]) -> dict[str, Any]:
    """The distance of a model's values for the verdict, like `banded`."""
    distance, (name, residual) = cloud.distance(values), by_distance(cloud, values)[0]
    return {
        "model": model,
        "quantity": "all quantities together",
        "used": distance / cloud.limit,
        "conclusive": cloud.large_enough,
        "text": f"distance {distance:.1f} SD, limit {cloud.limit:.1f}; farthest: {name} ({residual:+.1f} SD); "
        f"detects a shift of all by {cloud.smallest_shift:.1f} SD",
    }
