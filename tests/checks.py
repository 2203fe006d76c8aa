"""Every comparison of the suite, and every message that a failing one prints.

A message stands alone: the quantity, what was expected and from where, what came, by how much, what to run next.
"""

import math

import pytest


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
    if isinstance(expected, float) and isinstance(obtained, (int, float)):
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
    if not difference <= tolerance["relative"]:  # a NaN must fail
        lines = [
            f"expected  {expected:.9g}   (from {source})",
            f"obtained  {obtained:.9g}",
            f"apart by  {difference:.2g} relative, at most {tolerance['relative']:.2g}: {tolerance['why']}",
        ]
        fail(subject, lines, following)


def within_band(subject, quantity, band, value, source, following):
    """A measured value lies in the Band of an ensemble; too good fails as well as too bad."""
    __tracebackhide__ = True
    if band.used(value) <= 1:
        return
    low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
    side = "above" if value > band.mean else "below"
    lines = [
        f"expected  {quantity.show(low)} to {quantity.show(high)}, "
        f"around {quantity.show(band.mean)}   (from {source}, {band.size} runs)",
        f"obtained  {quantity.show(value)}   {picture(band, value)}",
        f"apart by  {abs(value - band.mean) / band.deviation:.1f} s {side} the mean, accepted up to "
        f"{band.half_width / band.deviation:.1f} s (false-alarm rate {band.alpha:.1g})",
    ]
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
        "text": f"{quantity.show(value):>8}  {picture(band, value)}  {quantity.show(low):>8} to {quantity.show(high):<8}"
        f" catches {band.smallest_shift / band.deviation:.1f} s{quantity.show_shift(band.smallest_shift)}",
    }
