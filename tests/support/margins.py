"""How much of its bound each check used, noted beside the running test's other properties for the report of the run."""

import math

from scipy import stats

_properties = []


def collect_into(properties):
    """Margins go into this list from now on: the `user_properties` of the test that starts."""
    global _properties
    _properties = properties


def note(name, used):
    """Note one margin of the running test: the share of the bound that `name` used, above 1 where it failed.

    A NaN is noted as infinite.
    """
    _properties.append(("margin", (name, math.inf if math.isnan(used) else float(used))))


def share(value, bound):
    """|value| as a share of its bound; of a bound of zero anything but zero is infinitely much."""
    if bound == 0:
        return 0.0 if value == 0 else math.inf
    return abs(float(value)) / bound


def share_of_p(p, alpha):
    """A p-value beside its false-alarm rate, both told as the distance from a normal distribution's mean."""
    return float(stats.norm.isf(p / 2) / stats.norm.isf(alpha / 2))
