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

    Mean, variance and shape (Kolmogorov-Smirnov, in both directions) are tested, each with a third of the rate.
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
    margins.note("Kolmogorov-Smirnov", margins.share_of_p(min(2 * min(p, 1 - p), 1.0), alpha))
    if not 2 * p >= alpha:
        lines.append(f"Kolmogorov-Smirnov: p = {p:.2g}, limit {alpha / 2:.2g}: the values do not follow the distribution")
    elif 2 * (1 - p) < alpha:
        lines.append(f"Kolmogorov-Smirnov: p = 1 − {1 - p:.2g}, limit {alpha / 2:.2g}: the values are too even to be random")
    if lines:
        fail(
            subject,
            [
                *lines,
                f"expected  {count} draws from {distribution.dist.name}, by theory (false-alarm rate {false_alarm:.0e})",
            ],
            next=next,
        )


def uniform_parts(subject: str, values: np.ndarray, axis: int, bound: float, false_alarm: float, *, next: str) -> None:
    """The part of each index along an axis is drawn uniformly from −bound to bound: it is not too small, nor leans.

    Of n draws the largest is at most t · bound with probability t^n, exactly; their mean has a standard deviation of
    bound / √(3 n), and lighter tails than the normal distribution. The rate is shared by both and by all parts.
    """
    __tracebackhide__ = True
    parts = np.moveaxis(np.asarray(values, np.float64), axis, 0).reshape(values.shape[axis], -1)
    count, alarm = parts.shape[1], false_alarm / len(parts) / 2
    least = bound * alarm ** (1 / count)
    margin = float(stats.norm.isf(alarm / 2)) * bound / math.sqrt(3 * count)
    largest, means = np.abs(parts).max(1), parts.mean(1)
    smallest, leaning = int(largest.argmin()), int(np.abs(means).argmax())
    margins.note(f"{subject}, largest", margins.share(bound - largest[smallest], bound - least))
    margins.note(f"{subject}, mean", margins.share(means[leaning], margin))
    lines = []
    if not largest[smallest] >= least:
        lines.append(
            f"number {smallest + 1}: expected a number of {least:.3g} or more, the largest is {largest[smallest]:.3g}"
        )
    if not abs(means[leaning]) <= margin:
        lines.append(f"number {leaning + 1}: expected a mean of 0 ± {margin:.2g}, obtained {means[leaning]:.3g}")
    if lines:
        drawn = f"expected  {len(parts)} parts of {count} draws from −{bound:.3g} to {bound:.3g}"
        fail(subject, [*lines, f"{drawn}   (by theory, false-alarm rate {false_alarm:.0e})"], next=next)


def no_more_than(subject: str, times: np.ndarray, trials: int, probability: float, false_alarm: float, *, next: str) -> None:
    """No count of successes in independent trials is too large for its binomial distribution; all counts share the rate."""
    __tracebackhide__ = True
    most = int(np.max(times))
    p = min(float(stats.binom.sf(most - 1, trials, probability)) * np.size(times), 1.0)
    margins.note(subject, margins.share_of_p(p, false_alarm))
    if not p >= false_alarm:
        lines = [
            f"expected  {probability:.4g} of {trials} in each of {np.size(times)} counts   (random order, false-alarm rate "
            f"{false_alarm:.0e})",
            f"obtained  {most} of {trials}   (p = {p:.2g} for any of them)",
        ]
        fail(subject, lines, next=next)


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
    subject: str, counts: np.ndarray, trials: int | np.ndarray, probability: float, false_alarm: float, *, next: str
) -> None:
    """Counts of successes, each of its number of trials, spread as binomial distributions do: by n p (1 − p), and no less.

    Of N counts the mean of (count − n p)² / (n p (1 − p)) is 1, with a variance of the mean of 2 + (1 − 6 p (1 − p)) /
    (n p (1 − p)), divided by N, from the binomial's fourth moment. Its distribution is that of χ² with the same variance.
    """
    __tracebackhide__ = True
    counts = np.asarray(counts, np.float64).ravel()
    variance = np.broadcast_to(np.asarray(trials, np.float64) * probability * (1 - probability), counts.shape)
    obtained = float(((counts - trials * probability) ** 2 / variance).mean())
    terms = 2 + (1 - 6 * probability * (1 - probability)) / variance
    freedom = 2 * counts.size / float(terms.mean())
    low, high = (float(stats.chi2.ppf(part, freedom)) / freedom for part in (false_alarm / 2, 1 - false_alarm / 2))
    margins.note(subject, margins.share(obtained - 1, high - 1 if obtained > 1 else 1 - low))
    if not low <= obtained <= high:
        lines = [
            f"expected  a variance of {low:.4g} to {high:.4g} times n p (1 − p)   (binomial, {counts.size} counts, "
            f"false-alarm rate {false_alarm:.0e})",
            f"obtained  {obtained:.4g} times",
        ]
        fail(subject, lines, next=next)


def unrelated(subject: str, groups: np.ndarray, batches: np.ndarray, false_alarm: float, *, next: str) -> None:
    """Each batch has members of each group as a random order has them: neither too uneven nor too even, by Pearson's χ²."""
    __tracebackhide__ = True
    table = np.zeros((groups.max() + 1, batches.max() + 1))
    np.add.at(table, (groups, batches), 1)
    due = np.outer(table.sum(1), table.sum(0)) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    obtained = float(((table - due) ** 2 / due).sum())
    p = min(2 * float(min(stats.chi2.sf(obtained, freedom), stats.chi2.cdf(obtained, freedom))), 1.0)
    margins.note(subject, margins.share_of_p(p, false_alarm))
    if not p >= false_alarm:
        lines = [
            f"expected  χ² around {freedom}, the degrees of freedom   (random order, false-alarm rate {false_alarm:.0e})",
            f"obtained  {obtained:.4g}: too {'uneven' if obtained > freedom else 'even'}   (p = {p:.2g})",
        ]
        fail(subject, lines, next=next)


def scattered(subject: str, batches: np.ndarray, false_alarm: float, *, next: str) -> None:
    """Samples at any distance in the data, up to half of its length, are in one batch as often as a random order has it.

    `batches` has the number of each sample's batch. Pairs at one distance count as binomial; the rate is shared by all.
    """
    __tracebackhide__ = True
    count, sizes = len(batches), np.bincount(batches)
    expected = float((sizes * (sizes - 1)).sum() / count / (count - 1))
    same = np.array([int((batches[:-distance] == batches[distance:]).sum()) for distance in range(1, count // 2)])
    pairs = count - np.arange(1, count // 2)
    p = 2 * np.minimum(stats.binom.sf(same - 1, pairs, expected), stats.binom.cdf(same, pairs, expected))
    worst, alarm = int(p.argmin()), false_alarm / len(pairs)
    margins.note(subject, margins.share_of_p(min(float(p[worst]), 1.0), alarm))
    if not p[worst] >= alarm:
        lines = [
            f"expected  {expected:.4g} of the pairs at any distance   (random order, false-alarm rate {false_alarm:.0e})",
            f"obtained  {same[worst] / pairs[worst]:.4g} at a distance of {worst + 1}   (p = {p[worst]:.2g})",
        ]
        fail(subject, lines, next=next)
