"""Comparisons of random draws with a distribution.

Each has a declared false-alarm rate: the probability that it fails on a healthy stack.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from tests.support import margins
from tests.support.checks import fail


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
