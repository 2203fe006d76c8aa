"""How rare are faults of which none was seen? The rule of three, and its words."""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def upper(checked: float) -> float:
    """The largest rate that `checked` trials without an error leave open at CONFIDENCE, if errors are independent.

    At that rate p, (1 − p)^n, the chance to see none, is 1 − CONFIDENCE: p = −ln(1 − CONFIDENCE) / n for a small p.
    """
    return min(1.0, -math.log(1 - CONFIDENCE) / checked) if checked else 1.0


def words(wrong: int, checked: float, one: str) -> str:
    """A count and, where nothing was wrong, its bound; `one` is the name of one trial, `product` or `exact step`."""
    if not checked:
        return f"no {one} was checked"
    counted = f"{number(wrong)} of {number(checked)} {one}s wrong"
    if wrong:
        return counted
    percent = f"{100 * CONFIDENCE:.0f} %"
    return f"{counted}: below {number(upper(checked))} a {one.split()[-1]} at {percent}, if errors are independent"


def number(value: float) -> str:
    """A number with two digits: 4.1·10^12, 7.3·10^-13; whole numbers below a million as they are."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if 0.001 <= abs(value) < 1e6:
        return f"{value:.2g}" if abs(value) < 1000 else f"{value:,.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}·10^{int(exponent)}"
