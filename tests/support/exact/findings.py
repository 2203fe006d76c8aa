"""Comparing results with exact ones to the last bit, and saying what is wrong with those that differ."""

from __future__ import annotations

import math

import numpy as np

from tests.support.exact import cases

ROUNDED = {8: "bfloat16", 11: "TF32 or float16", 24: "float32"}  # significant bits -> the precision of that name
# An algorithm such as Winograd's or a Fourier transform rounds in between: each error is a small part of what is summed.
INEXACT_SHARE = 0.01  # at least this part of all elements differs: a fault in few elements is none
INEXACT_ERROR = 64 * 2.0**-24  # of the sum of the terms' absolute values: the largest error of an element
INEXACT_BIAS = 0.25  # mean error over root mean square error: roundings go either way
# What a GPU's convolutions may err by, whatever the signs and wherever the errors lie. JAX on an H200: 0.65 · 2^-24 of the
# largest sum in a kernel of 27 elements, with one sign; 0.07 · 2^-24 where all terms of an element are zero.
LAST_PLACE = 4 * 2.0**-24  # of the largest sum of the terms' absolute values
HALF = 0.5  # and less than this: results are integers, and a fault that adds or drops a unit is seen


def bits(array):
    """The bits of float32 numbers as integers; −0, whose sign depends on the order of summation, counts as 0."""
    return (np.asarray(array, np.float32) + np.float32(0)).view(np.uint32)


def differing(expected, obtained):
    """Where two arrays differ, as a boolean array; None where their shapes do."""
    return bits(expected) != bits(obtained) if np.shape(expected) == np.shape(obtained) else None


def described(name, expected, obtained, guess=""):
    """One line about a result that differs: how many elements, the first and the worst of them, with their bits."""
    wrong = differing(expected, obtained)
    if wrong is None:
        return f"{name}: expected shape {np.shape(expected)}, obtained {np.shape(obtained)}"
    first = np.unravel_index(int(wrong.argmax()), wrong.shape)
    distance = np.where(wrong, np.abs(np.float64(obtained) - np.float64(expected)), 0.0)
    distance = np.where(np.isnan(distance), np.inf, distance)
    worst = np.unravel_index(int(distance.argmax()), wrong.shape)
    pair = f"expected {shown(expected[first])}, obtained {shown(obtained[first])}"
    furthest = "" if worst == first else f"; furthest {place(worst)}, off by {distance[worst]:g}"
    count = f"{int(wrong.sum()):,} of {wrong.size:,} elements differ"
    return f"{name}: {count}, first {place(first)}: {pair}{furthest}" + (f"; {guess}" if guess else "")


def place(index):
    """An index as it is written in NumPy."""
    return f"[{', '.join(str(int(i)) for i in index)}]"


def shown(value):
    """A float32 with its bits."""
    return f"{float(value) + 0.0:.9g} (0x{int(bits(value)):08x})"


def pattern(expected, obtained):
    """What the whole result looks like, where that is certain: NaN, zeros, a factor. Empty otherwise."""
    if not np.isfinite(obtained).all():
        return f"{int((~np.isfinite(obtained)).sum()):,} are NaN or infinite"
    if not obtained.any():
        return "all are 0"
    there = expected != 0
    if there.sum() < 2 or not obtained[there].all():
        return ""
    factor = float(f"{np.median(np.float64(obtained[there]) / np.float64(expected[there])):.6g}")
    if factor != 1 and np.array_equal(np.float32(np.float64(expected) * factor), obtained):
        return f"all are {factor:g} times what they should be"
    return ""


def rounded(array, significant, how=np.rint):
    """Numbers rounded to `significant` bits, to the nearest (even) or, with np.trunc, towards zero."""
    fraction, exponent = np.frexp(np.asarray(array, np.float64))
    return np.ldexp(how(np.ldexp(fraction, significant)), exponent - significant)


def rounding(case, given, expected, obtained):
    """The number of bits to which rounding a layer's operands gives exactly this output, as words; empty if none.

    Tried on the first two images whose output is wrong, of one layer: in a model activations would be rounded, too.
    """
    if len(case.layers) > 1 or not given.weights:
        return ""
    images = np.flatnonzero(differing(expected, obtained).reshape(len(obtained), -1).any(axis=1))[:2]
    kernel, bias = given.weights[0]
    for significant in range(10, 3, -1):
        for how, word in ((np.rint, "rounded"), (np.trunc, "cut off")):
            x, weights = rounded(given.x[images], significant, how), [[rounded(kernel, significant, how), bias]]
            computed = cases.expected_of(case, cases.Operands(x, weights, given.gradient[images]))
            if np.array_equal(computed.output, obtained[images]):
                return f"operands {word} to {significant} bits{named(significant)} give exactly this output"
    return ""


def named(significant):
    """The name of a precision of so many bits, in brackets; empty if it has none."""
    return f" ({ROUNDED[significant]})" if significant in ROUNDED else ""


def inexact(expected, obtained, terms):
    """Whether the errors are those of an inexact algorithm (Winograd, Fourier) in float32, not of a fault.

    `terms` is the sum of the absolute values of each element's terms. Such an algorithm errs in many elements, in each by a
    small part of that sum, and up as often as down.
    """
    wrong = differing(expected, obtained)
    if wrong is None or not np.isfinite(obtained).all() or wrong.mean() < INEXACT_SHARE:
        return False
    errors = (np.float64(obtained) - np.float64(expected))[wrong]
    if (np.abs(errors) > INEXACT_ERROR * np.float64(terms)[wrong]).any():
        return False
    return abs(errors.mean()) <= INEXACT_BIAS * math.sqrt((errors**2).mean())


def in_last_places(expected, obtained, terms):
    """Whether many elements differ, none by LAST_PLACE of the largest sum of absolute terms or by HALF; see `inexact`."""
    errors = np.abs(np.float64(obtained) - np.float64(expected))
    close = bool((errors < min(HALF, LAST_PLACE * np.max(terms))).all())  # a NaN is not
    return close and bool(differing(expected, obtained).mean() >= INEXACT_SHARE)


def near(expected, obtained, units=2):
    """Where obtained lies within so many units of the last place of what is expected, as a boolean array."""
    return np.abs(np.float64(obtained) - np.float64(expected)) <= units * np.spacing(np.abs(expected).astype(np.float32))
