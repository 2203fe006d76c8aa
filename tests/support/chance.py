"""Comparisons of random quantities: a training with an ensemble's band, draws with a distribution.

Each has a declared false-alarm rate: the probability that it fails on a healthy stack.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from cnnspec.ensembles import bands
from cnnspec.ensembles.bands import Band, Quantity
from tests.support import margins
from tests.support.checks import fail

CANNOT_TELL = "cannot tell"


def within_band(
    subject: str, quantity: Quantity, band: Band, value: float, *, source: object, next: str, enlarge: str
) -> None:
    """A measured value lies in the Band of an ensemble. A value that is too good fails too.

    If the ensemble is too small for the false-alarm rate, a value inside the band does not pass: the check cannot tell,
    fails, and names the command `enlarge`. A value outside the band always fails.
    """
    __tracebackhide__ = True
    margins.note("place in the band", band.used(value))
    low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
    if band.used(value) <= 1 and band.conclusive:
        return
    least, lower, median, upper, greatest = (quantity.show(point).strip() for point in band.quartiles)
    lines = [
        f"expected  {quantity.show(low)} to {quantity.show(high)}, "
        f"mean {quantity.show(band.mean)}   (from {source}, {band.size} runs)",
        f"obtained  {quantity.show(value)}   {picture(band, value)}",
        f"ensemble  minimum {least}, quartiles {lower} | {median} | {upper}, maximum {greatest}",
    ]
    if band.used(value) <= 1:
        lines += [
            f"width     with {band.size} runs the band is {band.width:.1f} times as wide as with infinitely many, limit "
            f"{bands.WIDEST:g} (false-alarm rate {band.alpha:.1g})",
            f"missing   {band.runs_needed - band.size} more runs in the ensemble",
        ]
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
    if not math.isfinite(value) or position(value) >= width:
        cells[-1] = ">"
    elif position(value) < 0:
        cells[0] = "<"
    else:
        cells[position(value)] = "o"
    return "".join(cells)


def banded(model: str, name: str, quantity: Quantity, band: Band, value: float) -> dict[str, Any]:
    """A value and its band for the verdict: the model, the quantity, the share of the band used, and a line of text."""
    low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
    detected = f"{quantity.show_shift(band.smallest_shift)} ({band.smallest_shift / band.deviation:.1f} SD)"
    return {
        "model": model,
        "quantity": name,
        "used": band.used(value),
        "conclusive": band.conclusive,
        "text": f"{quantity.show(value):>8}  {picture(band, value)}  {quantity.show(low):>8} to {quantity.show(high):<8}"
        f" detects {detected}",
    }


def drawn_from(subject: str, values: np.ndarray, distribution: Any, false_alarm: float, *, next: str) -> None:
    """Values are independent draws from a SciPy distribution.

    Mean, variance and shape (Kolmogorov-Smirnov) are tested, each with a third of the false-alarm rate.
    """
    __tracebackhide__ = True
    count, alpha = len(values), false_alarm / 3
    mean, variance = distribution.stats()
    fourth = distribution.moment(4) if mean == 0 else distribution.expect(lambda x: (x - mean) ** 4)
    quantile = stats.norm.ppf(1 - alpha / 2)
    rows = {
        "mean": (values.mean(), mean, quantile * math.sqrt(variance / count)),
        "variance": (((values - mean) ** 2).mean(), variance, quantile * math.sqrt((fourth - variance**2) / count)),
    }
    for name, (value, due, margin) in rows.items():
        margins.note(name, margins.share(value - due, margin))
    lines = [
        f"{name}: expected {due:.6g} ± {margin:.2g}, obtained {value:.6g}"
        for name, (value, due, margin) in rows.items()
        if not abs(value - due) <= margin
    ]
    p = stats.kstest(values, distribution.cdf).pvalue
    margins.note("Kolmogorov-Smirnov", margins.share_of_p(p, alpha))
    if not p >= alpha:
        lines.append(f"Kolmogorov-Smirnov: p = {p:.2g}, limit {alpha:.2g}: the values do not follow the distribution")
    if lines:
        fail(
            subject,
            [
                *lines,
                f"expected  {count} draws from {distribution.dist.name}, by theory (false-alarm rate {false_alarm:.0e})",
            ],
            next=next,
        )


def proportion(subject: str, successes: int, trials: int, expected: float, false_alarm: float, *, next: str) -> None:
    """The share of successes in independent trials is the expected one, by the exact binomial test."""
    __tracebackhide__ = True
    p = stats.binomtest(successes, trials, expected).pvalue
    margins.note(subject, margins.share_of_p(p, false_alarm))
    if not p >= false_alarm:
        lines = [
            f"expected  {expected:.6g} of {trials} trials   (from theory, false-alarm rate {false_alarm:.0e})",
            f"obtained  {successes / trials:.6g}   (p = {p:.2g}, limit {false_alarm:.0e})",
        ]
        fail(subject, lines, next=next)


def uncorrelated(subject: str, first: np.ndarray, second: np.ndarray, false_alarm: float, *, next: str) -> None:
    """Two series of equal length are uncorrelated, by Fisher's transformation of Pearson's coefficient."""
    __tracebackhide__ = True
    correlation = float(np.corrcoef(first, second)[0, 1])
    bound = math.tanh(stats.norm.ppf(1 - false_alarm / 2) / math.sqrt(len(first) - 3))
    margins.note(subject, margins.share(correlation, bound))
    if not abs(correlation) <= bound:
        lines = [
            f"expected  a correlation of 0 ± {bound:.2g}   (from theory, false-alarm rate {false_alarm:.0e})",
            f"obtained  {correlation:.3g}",
        ]
        fail(subject, lines, next=next)


def no_period(subject: str, draws: np.ndarray, false_alarm: float, *, next: str) -> None:
    """A sequence of draws is uncorrelated with itself at every distance up to half of its length.

    The autocorrelation comes from the Fourier transform (Wiener and Khinchin); of n draws, one at a distance has a standard
    deviation of about 1/√n, and the limit is shared by all distances (Bonferroni).
    """
    __tracebackhide__ = True
    centred = np.asarray(draws, np.float64).ravel() - np.mean(draws)
    size = len(centred)
    spectrum = np.fft.rfft(centred, 2 * size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[1 : size // 2] / (centred**2).sum()
    bound = float(stats.norm.isf(false_alarm / 2 / len(correlation))) / math.sqrt(size)
    worst = int(np.abs(correlation).argmax())
    margins.note(subject, margins.share(correlation[worst], bound))
    if not abs(correlation[worst]) <= bound:
        lines = [
            f"expected  a correlation of 0 ± {bound:.2g} at any distance   (theory, false-alarm rate {false_alarm:.0e})",
            f"obtained  {correlation[worst]:.3g} at a distance of {worst + 1} draws, of {size}",
        ]
        fail(subject, lines, next=next)


def spread_of_counts(
    subject: str, counts: np.ndarray, trials: int, probability: float, false_alarm: float, *, next: str
) -> None:
    """Counts of successes in some trials spread as a binomial distribution's: their variance is n p (1 − p).

    The variance of the sample variance of N counts is (μ₄ − σ⁴) / N, with the fourth central moment μ₄ of the distribution.
    """
    __tracebackhide__ = True
    binomial = stats.binom(trials, probability)
    variance = float(binomial.var())
    fourth = float(binomial.expect(lambda count: (count - binomial.mean()) ** 4))
    obtained = float(((counts - binomial.mean()) ** 2).mean())
    bound = float(stats.norm.isf(false_alarm / 2)) * math.sqrt((fourth - variance**2) / counts.size)
    margins.note(subject, margins.share(obtained - variance, bound))
    if not abs(obtained - variance) <= bound:
        lines = [
            f"expected  a variance of {variance:.6g} ± {bound:.2g}   (binomial, false-alarm rate {false_alarm:.0e})",
            f"obtained  {obtained:.6g}",
        ]
        fail(subject, lines, next=next)
