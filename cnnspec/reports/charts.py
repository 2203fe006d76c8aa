"""Charts of the report's page as SVG: loss curves in their bands, shares of tolerances, seconds per epoch.

Each series has a number. It gives the series its colour, marker and dashes, the same in all charts, so that no meaning
depends on colour alone. The page hides a series by its class `s-<number>`. Colours are variables of page.css.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

COLOURS = 8  # --c0 to --c7 in page.css
DASHES = ("", "6 3", "2 3")
WIDTH = 300  # of every chart in user units, about its pixels on the page
FEW = 4  # curves; of more, their range is drawn, and above it the chosen ones
FAR = 4  # times the longest bar: limits up to here are on the axis
BEYOND = 1.15  # larger shares of a tolerance are drawn here, at the end of the strip
FARTHEST = 100  # times the smallest and the largest loss of a chart: a band of two runs is cut there

Point = tuple[float, float]
Curve = tuple[int, str, Sequence[float]]  # number, label, losses by epoch
Band = Mapping[str, Sequence[float]]  # low, mean and high, each by epoch
Share = tuple[int, str, float]  # number, label, share of a tolerance
Speed = tuple[int, str, float, float | None]  # number, label, seconds of the first epoch, median of the later ones
Limited = tuple[str, float, float, str]  # variant, GFLOP/s reached, limit in GFLOP/s, words at the end of its bar


def marker(number: int, x: float, y: float, size: float = 4.0) -> str:
    """The mark of a series at a point: circle, square, triangle or diamond."""
    colour = f'fill="var(--c{number % COLOURS})"'
    s = size
    if number % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s}" {colour}/>'
    corners = {
        1: ((-s, -s), (s, -s), (s, s), (-s, s)),
        2: ((0, -s), (s, s), (-s, s)),
        3: ((0, -1.3 * s), (1.3 * s, 0), (0, 1.3 * s), (-1.3 * s, 0)),
    }[number % 4]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {colour}/>'


def polyline(number: int, points: Sequence[Point]) -> str:
    """The line of a series through its points."""
    dashes = DASHES[number // COLOURS % len(DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{where}" fill="none" stroke="var(--c{number % COLOURS})" stroke-width="1.6"{dashed}/>'


def sample(number: int) -> str:
    """Line and marker of a series for the legend."""
    line = polyline(number, [(1, 6), (33, 6)]) + marker(number, 17, 6)
    return f'<svg class="sample" viewBox="0 0 34 12" aria-hidden="true">{line}</svg>'


def series(number: int, title: str, content: str) -> str:
    """A group that the page can hide. Its title is shown under the pointer."""
    return f'<g class="s-{number}"><title>{escape(title)}</title>{content}</g>'


def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def svg(height: float, label: str, content: str) -> str:
    """A chart with a description for screen readers."""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}">{content}</svg>'


def ticks_of_log(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`; only powers of ten where these are more than 8."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [tick for tick in fine if low <= tick <= high]
    return inside if len(inside) <= 8 else [tick for tick in inside if f"{tick:e}".startswith("1.0")]


def ticks_from_zero(most: float) -> list[float]:
    """Round numbers from 0 to `most`, at most five."""
    power = 10.0 ** math.floor(math.log10(most))
    # The last for a system whose logarithm of a power of ten lies below the whole number.
    step = next(power * part for part in (0.5, 1, 2, 5) if most / (power * part) < 5)
    return [step * number for number in range(int(most / step) + 1)]


def axis(x: Callable[[float], float], most: float, top: float, unit: str) -> str:
    """An axis of bars at height `top`: from 0 to `most`, with its unit at its right end. It needs 20 below it."""
    parts = [f'<line class="grid" x1="{x(0):.1f}" x2="{x(most):.1f}" y1="{top}" y2="{top}"/>']
    for tick in ticks_from_zero(most):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{top + 4}"/>')
        parts.append(text(x(tick), top + 15, f"{tick:g}", "middle" if tick else "start"))
    return "".join(parts) + text(WIDTH - 2, top + 15, unit, "end")


def loss_chart(title: str, curves: Sequence[Curve], band: Band | None) -> str:
    """Losses by epoch on a logarithmic scale, in the band of the reference ensemble where there is one.

    A loss of 0 is drawn at the lower edge.

    Of more than FEW curves the range is drawn, and above it those that the page chooses. The first and the last epoch have
    brackets: these are the epochs that the suite judges.
    """
    left, right, top, bottom, height = 40, 12, 20, 34, 222
    values = [loss for _, _, losses in curves for loss in losses if loss > 0] or [1.0]
    least, most = min(values) / FARTHEST, max(values) * FARTHEST
    ends = {end: [min(max(loss, least), most) for loss in losses] for end, losses in (band or {}).items()}
    values += [loss for losses in ends.values() for loss in losses]
    low, high = min(values) / 1.15, max(values) * 1.15
    banded = len(band["low"]) if band else 0
    epochs = max(banded, *(len(losses) for _, _, losses in curves))

    def x(epoch: int) -> float:
        return left + 14 + (WIDTH - left - right - 28) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5)

    def y(loss: float) -> float:
        return top + (height - top - bottom) * (1 - math.log(max(loss, low) / low) / math.log(high / low))

    parts = []
    if band:
        drawn = {end: [y(loss) for loss in losses] for end, losses in ends.items()}
        parts.append(band_shape([x(epoch) for epoch in range(1, banded + 1)], drawn))
    for tick in ticks_of_log(low, high):
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(text(left - 5, y(tick) + 3.5, f"{tick:g}", "end"))
    parts += [text(x(epoch), height - bottom + 14, str(epoch)) for epoch in range(1, epochs + 1)]
    parts.append(text((left + WIDTH - right) / 2, height - 4, "epoch"))
    parts.append(text(2, 11, "loss in nats", "start"))
    spread = ""
    if len(curves) > FEW:
        by_epoch = [[losses[epoch] for _, _, losses in curves if epoch < len(losses)] for epoch in range(epochs)]
        shape = area(
            [x(epoch + 1) for epoch in range(epochs)], *([y(end(losses)) for losses in by_epoch] for end in (max, min))
        )
        parts.append(f'<polygon class="range" points="{shape}"/>')
        spread = f"; range of {len(curves)} stacks {min(by_epoch[-1]):.4f} to {max(by_epoch[-1]):.4f}"
    lines = []
    for number, label, losses in curves:
        points = [(x(epoch), y(loss)) for epoch, loss in enumerate(losses, 1)]
        marks = "".join(marker(number, *point, size=3) for point in points)
        last = f"{label}: {losses[-1]:.4f} in epoch {len(losses)}"
        lines.append(series(number, last, (polyline(number, points) if len(points) > 1 else "") + marks))
    parts.append(f'<g class="{"many" if len(curves) > FEW else "few"}">{"".join(lines)}</g>')
    inside = f", in the band of the reference ensemble ({band['low'][-1]:.3g} to {band['high'][-1]:.3g})" if band else ""
    told = "; ".join(f"{label} {losses[-1]:.4f}" for _, label, losses in curves)
    return svg(height, f"{title} by epoch{inside}; last epoch: {told}{spread}", "".join(parts))


def band_shape(xs: Sequence[float], ends: Mapping[str, Sequence[float]]) -> str:
    """A band as an area, its mean as a line, brackets at the first and the last epoch. `xs` and `ends` are places."""
    parts = [f'<polygon class="band" points="{area(xs, ends["high"], ends["low"])}"/>']
    middle = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(*widened(xs, ends["mean"]), strict=True))
    parts.append(f'<polyline class="mean" points="{middle}"/>')
    for place in sorted({0, len(xs) - 1}):
        x, y1, y2 = xs[place], ends["high"][place], ends["low"][place]
        parts.append(f'<path class="bracket" d="M{x - 6:.1f} {y1:.1f}h12m-6 0V{y2:.1f}m-6 0h12"/>')
    return "".join(parts)


def widened(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    """Places of a line. A single place becomes a short line."""
    return (list(xs), list(ys)) if len(xs) > 1 else ([xs[0] - 14, xs[0] + 14], [*ys, *ys])


def area(xs: Sequence[float], upper: Sequence[float], lower: Sequence[float]) -> str:
    """Points of the polygon between two lines of places."""
    (wide, high), (_, low) = widened(xs, upper), widened(xs, lower)
    corners = [*zip(wide, high, strict=True), *zip(reversed(wide), reversed(low), strict=True)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def of_strip(share: float) -> float:
    """Where a share of a tolerance lies on its line, from 0 to above 100%."""
    return 8 + (WIDTH - 16) * min(share, BEYOND) / BEYOND


def share_axis() -> str:
    """The axis of the strips below it: 0 to 100% of the tolerance."""
    ticks = "".join(text(of_strip(tick), 12, f"{tick:.0%}") for tick in (0, 0.25, 0.5, 0.75, 1))
    return svg(16, "axis of the lines below: 0% to 100% of the tolerance", ticks)


def strip(shares: Sequence[Share]) -> str:
    """Shares of one tolerance on a line from 0 to above 100%."""
    x = of_strip
    parts = [f'<line class="grid" x1="{x(0)}" x2="{x(BEYOND)}" y1="11" y2="11"/>']
    parts += [f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="6" y2="16"/>' for tick in (0, 0.25, 0.5, 0.75)]
    parts.append(f'<line class="limit" x1="{x(1):.1f}" x2="{x(1):.1f}" y1="0" y2="22"/>')
    for number, label, share in shares:
        parts.append(series(number, f"{label}: {share:.1%}", marker(number, x(share), 11)))
    return svg(22, "; ".join(f"{label} {share:.0%}" for _, label, share in shares), "".join(parts))


def speed_chart(title: str, rows: Sequence[Speed]) -> str:
    """Seconds per epoch: a bar per stack, from zero to the median of the later epochs, and a line at the first epoch.

    Without a later epoch only the line is drawn. All rows must come from the same hardware.
    """
    left, right, step = 4, 58, 32
    most = max(second for _, _, *seconds in rows for second in seconds if second is not None)

    def x(second: float) -> float:
        return left + (WIDTH - left - right) * second / most

    parts = []
    for place, (number, label, first, later) in enumerate(rows):
        top, long = place * step, x(later or 0.0) - left
        bar = f'<rect x="{left}" y="{top + 16}" width="{long:.1f}" height="10" fill="var(--c{number % COLOURS})"/>'
        tick = f'<line class="first" x1="{x(first):.1f}" x2="{x(first):.1f}" y1="{top + 13}" y2="{top + 29}"/>'
        words = text(left, top + 12, label, "start") + text(WIDTH - 2, top + 25, f"{later or first:.2f} s", "end")
        parts.append(series(number, f"{label}: first epoch {first:.2f} s", words + bar + tick))
    told = "; ".join(f"{label} {later or first:.2f}" for _, label, first, later in rows)
    parts.append(axis(x, most, len(rows) * step + 4, "seconds"))
    return svg(len(rows) * step + 24, f"{title}, seconds per epoch: {told}", "".join(parts))


def limit_chart(title: str, rows: Sequence[Limited]) -> str:
    """GFLOP/s: a bar per variant from zero to what it reached, and a line at its limit.

    A limit of more than FAR times the longest bar, other than the lowest, would make all bars short: its line stands at the
    right end, with an arrow, and its number above it.
    """
    left, right, step = 4, 78, 32
    longest = max(reached for _, reached, _, _ in rows)
    limits = [limit for _, _, limit, _ in rows]
    most = max([1.25 * longest, *(limit for limit in limits if limit <= max(FAR * longest, min(limits)))])

    def x(gflops: float) -> float:
        return left + (WIDTH - left - right) * gflops / most

    parts = []
    for place, (name, reached, limit, words) in enumerate(rows):
        top = place * step
        parts.append(f'<rect x="{left}" y="{top + 16}" width="{x(reached) - left:.1f}" height="10" fill="var(--c0)"/>')
        place_of_limit = x(min(limit, most))
        parts.append(
            f'<line class="limit" x1="{place_of_limit:.1f}" x2="{place_of_limit:.1f}" y1="{top + 13}" y2="{top + 29}"/>'
        )
        if limit > most:
            parts.append(f'<path class="limit" d="M{place_of_limit - 10:.1f} {top + 21}h8m-3 -3l3 3l-3 3"/>')
            parts.append(text(WIDTH - 2, top + 12, f"limit {limit:.0f}", "end"))
        parts.append(text(left, top + 12, name, "start") + text(WIDTH - 2, top + 25, words, "end"))
    told = "; ".join(f"{name} {reached:.0f} of {limit:.0f}" for name, reached, limit, _ in rows)
    parts.append(axis(x, most, len(rows) * step + 4, "GFLOP/s"))
    return svg(len(rows) * step + 24, f"{title}, GFLOP/s reached and their limit: {told}", "".join(parts))
