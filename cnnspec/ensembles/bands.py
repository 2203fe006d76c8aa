"""Bands from ensembles: which values a healthy run may have, how often it fails wrongly, and which shift is detected.

A new mean m of K runs passes against N stored runs with mean μ and standard deviation s when

    |m − μ| ≤ t(1 − α/2; N − 1) · s · √(1/K + 1/N)

the prediction interval for the mean of K further draws from a normal distribution (Hahn & Meeker, *Statistical
Intervals*, 1991, section 4.7). `distance` judges all quantities of a model together. The promise is about the whole suite:
where runs are distributed as the stored ones are, at most FALSE_ALARM_RATE of all pairs (ensembles, new runs) fail.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from cnnspec.ensembles import quantities
from cnnspec.ensembles.quantities import Curves, Quantity
from cnnspec.facts import reading
from cnnspec.names import MODELS, RESULTS

FALSE_ALARM_RATE = 0.001  # declared for one whole run of the suite: all its comparisons of trainings with ensembles
POWER = 0.95  # share of the cases in which the smallest shift that a band detects is detected
WIDEST = 2.0  # times the band of an ensemble of infinitely many runs; a wider band gives no verdict
LARGEST = 300.0  # on the judged scale; wider bands and larger shifts are cut to it, so that e^300 still is a number
ROUNDING = 1e-7 / math.sqrt(12)  # standard deviation of the logarithm of a loss that is stored to seven digits
DISTANCES = 0.5  # share of the rate for the distances of whole models; bands and cells of the results table have the rest


def reserve(epochs: int) -> int:
    """What the rate is divided by, for tails heavier than the normal distribution's.

    After the first epoch a smoothed bootstrap of the stored runs has lighter tails than the normal distribution, later
    heavier ones. With this reserve both keep the declared rate after 1 to 10 epochs (tests/meta/test_false_alarms.py).
    """
    return 1 if epochs == 1 else 16


def alpha(epochs: int) -> float:
    """False-alarm rate of one band, or of one cell of the results table, after a number of epochs."""
    checks = len(MODELS) * (len(quantities.names(epochs)) + len(RESULTS))
    return FALSE_ALARM_RATE * (1 - DISTANCES) / reserve(epochs) / checks


@dataclasses.dataclass(frozen=True)
class Band:
    """The interval that a new mean of `runs` runs must fall in, on the judged scale of a Quantity."""

    mean: float
    deviation: float
    size: int
    runs: int
    alpha: float
    quartiles: tuple[float, ...] = ()  # of the ensemble's values: least, lower quartile, median, upper quartile, greatest
    chance: float = math.inf  # the Quantity's
    most: float = math.inf  # largest shift that a useful check may leave undetected, judged scale

    @property
    def factor(self) -> float:
        """√(1/K + 1/N): standard error of the difference between the new mean and the ensemble's, in SD."""
        return math.sqrt(1 / self.runs + 1 / max(self.size, 1))

    @property
    def scale(self) -> float:
        """Standard error of the difference between the new mean and the ensemble's: s √(1/K + 1/N)."""
        return self.deviation * self.factor

    @property
    def critical(self) -> float:
        """t(1 − α/2; N − 1); infinite for fewer runs than two, which have no spread."""
        return float(stats.t.ppf(1 - self.alpha / 2, self.size - 1)) if self.size > 1 else math.inf

    @property
    def half_width(self) -> float:
        """Largest accepted distance from the ensemble's mean, at most LARGEST."""
        return min(self.critical * self.scale, LARGEST)

    @property
    def smallest_shift(self) -> float:
        """Smallest true shift that this band detects in POWER of all cases, from the noncentral t distribution.

        At most LARGEST: that stands also for ensembles of fewer runs than three, which detect hardly anything.
        """
        if self.size < 3:
            return LARGEST
        freedom, critical = self.size - 1, self.critical

        def missing_power(shift: float) -> float:
            return float(stats.nct.sf(critical, freedom, shift)) - POWER

        return min(float(optimize.brentq(missing_power, critical, 4 * critical + 20)) * self.scale, LARGEST)

    @property
    def width(self) -> float:
        """How many times wider the band is than if the ensemble's mean and deviation were known exactly."""
        return self.critical * self.factor / (float(stats.norm.ppf(1 - self.alpha / 2)) / math.sqrt(self.runs))

    @property
    def large_enough(self) -> bool:
        """True where the ensemble is large enough for α: the band is at most WIDEST times as wide as it could be."""
        return self.width <= WIDEST

    @property
    def accepts_chance(self) -> bool:
        """Whether a model that learnt nothing lies inside the band."""
        return self.mean + self.half_width >= self.chance

    @property
    def useful(self) -> bool:
        """True where the band does not accept chance and its smallest detectable shift is no larger than `most`."""
        return not self.accepts_chance and self.smallest_shift <= self.most

    @property
    def judged(self) -> bool:
        """False where the ensemble is large enough and its band still useless: nothing is judged by it."""
        return self.useful or not self.large_enough

    @property
    def conclusive(self) -> bool:
        """True where the ensemble is large enough and the band useful: a value inside it says something."""
        return self.large_enough and self.useful

    @property
    def runs_needed(self) -> int:
        """Size of the smallest ensemble that would be large enough for this α and this number of new runs."""
        size = 2
        while not dataclasses.replace(self, size=size).large_enough:
            size += 1
        return size

    def used(self, value: float) -> float:
        """Distance of a value from the mean relative to the half width: above 1 fails. A NaN counts as infinite."""
        share = abs(value - self.mean) / self.half_width
        return math.inf if math.isnan(share) else share


def band(quantity: Quantity, values: ArrayLike, alpha: float, runs: int = 1, shift: float = math.inf) -> Band:
    """Band of a Quantity for the mean of `runs` new runs, from its values in an ensemble.

    `shift` is the largest shift that a useful check may leave undetected, in the Quantity's real units. Fewer values than
    two have no spread: their band holds every value, and is not conclusive.
    """
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        where = float(array.mean()) if len(array) else 0.0
        return Band(where, 1.0, len(array), runs, alpha, (where,) * 5 if len(array) else (), quantity.chance)
    mean = float(array.mean())
    deviation = max(float(array.std(ddof=1)), quantity.least_deviation(mean), ROUNDING)
    quartiles = tuple(float(value) for value in np.quantile(array, [0, 0.25, 0.5, 0.75, 1]))
    most = math.inf if shift == math.inf else quantity.moved(mean, shift) - mean
    return Band(mean, deviation, len(array), runs, alpha, quartiles, quantity.chance, most)


def weakness(quantity: Quantity, band: Band) -> str:
    """Why a value inside a Band says nothing, in words; empty for a conclusive Band."""
    if band.size < 2:
        return f"an ensemble of {band.size} {'run' if band.size == 1 else 'runs'} has no spread; at least 2 runs are needed"
    if not band.large_enough:
        return f"with {band.size} runs the band is {band.width:.1f} times as wide as with infinitely many, limit {WIDEST:g}"
    if band.accepts_chance:
        end, chance = quantity.show(band.mean + band.half_width), quantity.show(band.chance)
        return f"healthy runs spread so much that the band reaches {end}, and chance gives {chance}"
    if not band.useful:
        found, due = (quantity.show_shift(band.mean, shift) for shift in (band.smallest_shift, band.most))
        return f"healthy runs spread so much that only a shift of {found} is detected; one of {due} must be"
    return ""


def mean(quantity: Quantity, runs: Iterable[Curves]) -> float:
    """Mean of a Quantity over the curves of runs; the Band of as many runs judges it."""
    return float(np.mean([quantity.measure(curves) for curves in runs]))


def by_quantity(ensemble: Sequence[Curves], dataset: str, runs: int = 1) -> dict[str, tuple[Quantity, Band]]:
    """Quantity and Band by name, from the curves of an ensemble's runs on a data set (`store.curves`).

    An ensemble without runs has a band for each quantity that any number of epochs has, and none of them is conclusive.
    """
    epochs = epochs_of(ensemble)
    return {
        name: (quantity, band(quantity, [quantity.measure(curves) for curves in ensemble], alpha(epochs), runs, shift(name)))
        for name, quantity in quantities.of(dataset, epochs).items()
    }


def epochs_of(ensemble: Sequence[Curves]) -> int:
    """Number of epochs of an ensemble's runs; 2, after which there is every quantity, where it has none."""
    return len(ensemble[0]["loss"]) if ensemble else 2


def shift(name: str) -> float:
    """The largest shift of a quantity that a useful check may leave undetected, from `tolerances.toml`."""
    return float(reading.tolerance(f"bands.{name}")["shift"])
