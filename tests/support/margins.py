"""The margin of each check: the share of its tolerance that it used. The report of the run has them all.

A margin is noted as a property of the running test, so that it survives xdist.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar

_properties: ContextVar[list[tuple[str, object]] | None] = ContextVar("properties of the running test", default=None)


@contextlib.contextmanager
def collected_into(properties: list[tuple[str, object]]) -> Iterator[None]:
    """Within this context, margins go into this list: the `user_properties` of the test that runs.

    Contexts may be nested: the test of a test runs inside another test.
    """
    before = _properties.set(properties)
    try:
        yield
    finally:
        _properties.reset(before)


def note(name: str, used: float) -> None:
    """Note that the check `name` used this share of its tolerance: above 1 it failed, a NaN counts as infinite.

    Outside a test nothing is noted.
    """
    properties = _properties.get()
    if properties is not None:
        properties.append(("margin", (name, math.inf if math.isnan(used) else float(used))))


def share(value: float, limit: float) -> float:
    """|value| as a share of its limit. Of a limit of zero, zero uses nothing and any other value infinitely much."""
    if limit == 0:
        return 0.0 if value == 0 else math.inf
    return abs(float(value)) / limit


def share_of_p(p: float, alpha: float) -> float:
    """The share of its tolerance that a p-value used, at a false-alarm rate `alpha`.

    Both are converted to distances from the mean of a normal distribution, in SD.
    """
    from scipy import stats  # here: it takes a second to import, and every run imports this module first

    return float(stats.norm.isf(p / 2) / stats.norm.isf(alpha / 2))
