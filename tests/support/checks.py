"""Every comparison of the suite, and every message that a failing one prints.

A message stands alone: the quantity, what was expected and from where, what came, by how much, what to run next.
"""

import math

import numpy as np
import pytest
from scipy import stats

from cnnspec.ensembles import bands
from tests.support import margins


def fail(subject, lines, following):
    """Fail the test: a headline, its evidence line by line, and the next thing to do."""
    __tracebackhide__ = True
    pytest.fail("\n".join([subject, *(f"  {line}" for line in lines), f"  next      {following}"]), pytrace=False)


def equal(subject, expected, source, obtained, following):
    """An exact fact: `obtained` from the stack is `expected`, which comes from `source`."""
    __tracebackhide__ = True
    if obtained != expected:
        fail(subject, [f"expected  {expected}   (from {source})", f"obtained  {obtained}"], following)


def same_settings(subject, expected, sources, obtained, following):
    """Two dicts of settings are the same, keys compared both ways; all differences stand in one message.

    A setting that only the stack has passes while it is switched off (None, False, zero, empty): 2019 had no name for it.
    """
    __tracebackhide__ = True
    lines = []
    for name, value in expected.items():
        if name not in obtained:
            lines.append(f"{name}: expected {value!r} (from {sources[name]}), the stack has no such setting")
        elif not same_value(value, obtained[name]):
            lines.append(f"{name}: expected {value!r} (from {sources[name]}), obtained {obtained[name]!r}")
    for name, value in obtained.items():
        if name not in expected and not is_off(value):
            lines.append(f"{name}: obtained {value!r}, a setting that 2019 did not have and that is not off")
    if lines:
        fail(subject, lines, following)


def same_value(expected, obtained):
    """Equality of settings; floats are compared as the float32 that a framework stores."""
    if isinstance(expected, float) and isinstance(obtained, (int, float, np.floating)):
        return math.isclose(expected, obtained, rel_tol=1e-7, abs_tol=0.0) or (expected == obtained == 0)
    if isinstance(expected, (list, tuple)) and isinstance(obtained, (list, tuple)):
        return list(expected) == list(obtained)
    return expected == obtained and isinstance(expected, bool) == isinstance(obtained, bool)


def is_off(value):
    """True for the value of a setting that is switched off."""
    return value is None or value is False or value == 0 or value in ({}, [], ())


def close(subject, expected, source, obtained, tolerance, following):
    """`obtained` is `expected` within tolerance["relative"], whose reason is printed with a failure."""
    __tracebackhide__ = True
    difference = abs(obtained - expected) / abs(expected)
    margins.note("difference", margins.share(difference, tolerance["relative"]))
    if not difference <= tolerance["relative"]:  # a NaN must fail
        lines = [
            f"expected  {expected:.9g}   (from {source})",
            f"obtained  {obtained:.9g}",
            f"apart by  {difference:.2g} relative, at most {tolerance['relative']:.2g}: {tolerance['why']}",
        ]
        fail(subject, lines, following)


CANNOT_TELL = "cannot tell"


def within_band(subject, quantity, band, value, source, following, enlarge):
    """A measured value lies in the Band of an ensemble; too good fails as well as too bad.

    Where the ensemble is too small for the asked error rate, a value inside is no pass: the check cannot tell, and
    fails with the command `enlarge`. A value outside fails in any case.
    """
    __tracebackhide__ = True
    margins.note("place in the band", band.used(value))
    low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
    if band.used(value) <= 1 and band.conclusive:
        return
    least, lower, median, upper, greatest = (quantity.show(point).strip() for point in band.quartiles)
    lines = [
        f"expected  {quantity.show(low)} to {quantity.show(high)}, "
        f"around {quantity.show(band.mean)}   (from {source}, {band.size} runs)",
        f"obtained  {quantity.show(value)}   {picture(band, value)}",
        f"ensemble  {least} least, {lower} | {median} | {upper} quartiles, {greatest} greatest",
    ]
    if band.used(value) <= 1:
        lines += [
            f"the band of {band.size} runs is {band.width:.1f} times as wide as it could be, at most "
            f"{bands.WIDEST:g} for a verdict at a false-alarm rate of {band.alpha:.1g}",
            f"missing   {band.runs_needed - band.size} more runs in the ensemble",
        ]
        fail(f"{CANNOT_TELL}: {subject}", lines, enlarge)
    side = "above" if value > band.mean else "below"
    lines.append(
        f"apart by  {abs(value - band.mean) / band.deviation:.1f} s {side} the mean, accepted up to "
        f"{band.half_width / band.deviation:.1f} s (false-alarm rate {band.alpha:.1g})"
    )
    fail(subject, lines, following)


def picture(band, value, width=41):
    """The band as a line of text: `[`, `]` its ends, `|` the ensemble's mean, `o` the value, `<` or `>` beyond the line."""
    cells = [" "] * width
    position = lambda x: round((width - 1) * (0.5 + (x - band.mean) / band.half_width / 4))  # noqa: E731
    for x, mark in ((band.mean - band.half_width, "["), (band.mean, "|"), (band.mean + band.half_width, "]")):
        cells[position(x)] = mark
    if not math.isfinite(value) or position(value) >= width:
        cells[-1] = ">"
    elif position(value) < 0:
        cells[0] = "<"
    else:
        cells[position(value)] = "o"
    return "".join(cells)


def line(subject, quantity, band, value):
    """One line for the verdict: the value in its band, how much of the band it used, and what the band would catch."""
    low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
    return {
        "subject": subject,
        "used": band.used(value),
        "conclusive": band.conclusive,
        "text": f"{quantity.show(value):>8}  {picture(band, value)}  {quantity.show(low):>8} to {quantity.show(high):<8}"
        f" catches {band.smallest_shift / band.deviation:.1f} s{quantity.show_shift(band.smallest_shift)}",
    }


def near_float64(subject, findings, following):
    """Every tensor lies within its bound of the float64 implementation.

    `findings` are (name, error, bound, reason, precision betrayed) tuples; all that fail stand in one message.
    """
    __tracebackhide__ = True
    for name, error, bound, _, _ in findings:
        margins.note(name, margins.share(error, bound))
    lines = [
        f"{name}: off by {error:.2g} relative, at most {bound:.2g} ({why}); that looks like {precision}"
        for name, error, bound, why, precision in findings
        if not error <= bound
    ]
    if lines:
        fail(subject, [*lines, "expected  the float64 implementation in cnnspec/oracle/"], following)


LEAST_NORM = 1e-3  # of a variable; below it a relative error would be one of zero


def same_path(subject, names, expected, obtained, tolerance, source, following):
    """Two trajectories agree: (losses (steps,), norms (steps, variables), final probabilities (images, classes)) each.

    In step k the relative error of the loss and of each norm is at most first · growth^(k − 1), and never above `most`;
    probabilities lie on average within their bound. The message names the first step and variable that leave the path.
    """
    __tracebackhide__ = True
    lines, used = [], {}
    for step in range(len(expected[0])):
        pairs = [("loss", "loss", expected[0][step], obtained[0][step])]
        norms = zip(names, expected[1][step], obtained[1][step], strict=True)
        pairs += [(f"norm of {name}", "norm", was, now) for name, was, now in norms]
        for name, kind, was, now in pairs:
            bound = min(tolerance[kind]["first"] * tolerance[kind]["growth"] ** step, tolerance[kind]["most"])
            apart = abs(now - was) / max(abs(was), LEAST_NORM)
            used[kind] = max(used.get(kind, 0.0), margins.share(apart, bound))
            if not apart <= bound:
                values = f"expected {was:.7g}, obtained {now:.7g}, off by {apart:.2g}, at most {bound:.2g}"
                lines.append(f"step {step + 1}, {name}: {values}")
        if lines:  # later steps only follow
            lines[0] = f"first divergent: {lines[0]}"
            break
    apart = float(abs(obtained[2] - expected[2]).mean())
    used["probabilities"] = margins.share(apart, tolerance["probability"])
    for kind, share in used.items():
        margins.note(kind, share)
    if not apart <= tolerance["probability"]:
        lines.append(
            f"probabilities after the last step: {apart:.2g} apart on average, at most {tolerance['probability']:.2g}"
        )
    if lines:
        fail(subject, [*lines[:8], f"expected  {source}; bounds: {tolerance['why']}"], following)


def at_most(subject, value, bound, source, following):
    """A number does not exceed a bound; a NaN does. No margin: the largest of many draws always lies near its bound."""
    __tracebackhide__ = True
    if not value <= bound:
        fail(subject, [f"expected  at most {bound:.9g}   (from {source})", f"obtained  {value:.9g}"], following)


def drawn_from(subject, values, distribution, false_alarm, following):
    """Values are independent draws from a SciPy distribution: mean, variance, Kolmogorov-Smirnov, each with a third of α."""
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
        lines.append(f"Kolmogorov-Smirnov: p = {p:.2g}, the values do not follow the distribution")
    if lines:
        fail(subject, [*lines, f"expected  {count} draws from theory (false-alarm rate {false_alarm:.0e})"], following)


def proportion(subject, successes, trials, expected, false_alarm, following):
    """A share of independent trials is the expected one, by the exact binomial test."""
    __tracebackhide__ = True
    p = stats.binomtest(successes, trials, expected).pvalue
    margins.note(subject, margins.share_of_p(p, false_alarm))
    if not p >= false_alarm:
        lines = [
            f"expected  {expected:.6g} of {trials}   (from theory, false-alarm rate {false_alarm:.0e})",
            f"obtained  {successes / trials:.6g}   (p = {p:.2g})",
        ]
        fail(subject, lines, following)


def uncorrelated(subject, first, second, false_alarm, following):
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
        fail(subject, lines, following)
