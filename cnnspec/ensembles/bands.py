"""Bands from ensembles: which values a healthy run may have, how often it fails wrongly, and which shift is detected.

A new mean m of K runs passes against N stored runs with mean μ and standard deviation s when

    |m − μ| ≤ t(1 − α/2; N − 1) · s · √(1/K + 1/N)

the prediction interval for the mean of K further draws from a normal distribution (Hahn & Meeker, *Statistical
Intervals*, 1991, section 4.7). Losses are judged on their natural logarithm, accuracies on the logarithm of the number of
errors and one: on the square root, which suits Poisson counts, unlucky draws of the weights leave a heavier upper tail
(of 24 stored runs of each model, judged by the others after 1 to 10 epochs, the farthest lies 7.2 SD from the mean on the
square root and 6.0 SD on the logarithm).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from cnnspec.names import MODELS, RESULTS, SAMPLES

FALSE_ALARM_RATE = 0.001  # declared for one whole run of the suite, divided evenly among its checks of trainings
POWER = 0.95  # share of the cases in which the smallest shift that a band detects is detected
WIDEST = 2.0  # times the band of an ensemble of infinitely many runs; a wider band gives no verdict

Curves = Mapping[str, Sequence[float]]  # {metric: value of each epoch} of a run, as `store.curves` gives them


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One quantity of a run that is judged: how it is measured, on a scale where its spread is even, and shown."""

    measure: Callable[[Curves, tuple[int, int]], float]  # (curves, (train images, test images)) -> value, judged scale
    show: Callable[[float], str]  # value on the judged scale -> text in the units of the training log
    least_deviation: Callable[[float], float] = lambda mean: 0.0  # mean of an ensemble -> smallest SD it can have
    lowest: float = -math.inf  # end of the judged scale
    show_shift: Callable[[float], str] = lambda shift: ""  # shift on the judged scale -> text, where it has its own size


def log_loss(metric: str, epoch: int) -> Quantity:
    """Logarithm of the loss `metric` in an epoch; `epoch` −1 is the last of the run."""
    return Quantity(lambda curves, samples: math.log(curves[metric][epoch]), _show_loss, show_shift=_show_factor)


def log_area(metric: str) -> Quantity:
    """Mean over the epochs of the logarithm of a loss: the area under its log curve, per epoch."""
    return Quantity(lambda curves, samples: float(np.mean(np.log(curves[metric]))), _show_loss, show_shift=_show_factor)


def log_errors(metric: str) -> Quantity:
    """Logarithm of one more than the number of wrong answers behind an accuracy in the last epoch.

    Errors are whole numbers, so a count that does not vary in the ensemble keeps the standard deviation of rounding, 1/√12
    of an error, on the scale of the logarithm.
    """
    split = 1 if metric == "val_accuracy" else 0
    return Quantity(
        lambda curves, samples: math.log1p(round((1 - curves[metric][-1]) * samples[split])),
        lambda value: f"{math.expm1(value):.1f}",
        lambda mean: 1 / math.sqrt(12) / math.exp(mean),
        lowest=0.0,
        show_shift=_show_factor,
    )


def _show_loss(value: float) -> str:
    return f"{math.exp(value):.4f}"


def _show_factor(shift: float) -> str:
    return f"{math.expm1(shift):+.0%}"


# The judged quantities of each model. untrained_loss is the test set's before the first step. loss and accuracy are means
# over an epoch's batches, with dropout on. val_ is the test set and train_ the train set, both evaluated after the epoch.
QUANTITIES = {
    "test loss, untrained": log_loss("untrained_loss", 0),
    "loss, first epoch": log_loss("loss", 0),
    "loss, last epoch": log_loss("loss", -1),
    "loss, area under the log curve": log_area("loss"),
    "test loss, first epoch": log_loss("val_loss", 0),
    "test loss, last epoch": log_loss("val_loss", -1),
    "test loss, area under the log curve": log_area("val_loss"),
    "train loss, evaluated": log_loss("train_loss", -1),
    "errors while training, last epoch": log_errors("accuracy"),
    "test errors": log_errors("val_accuracy"),
    "train errors, evaluated": log_errors("train_accuracy"),
}


# Each quantity of each model is one check, and so is each cell of the results table. They share a part of the declared rate.
# The rest is reserved for tails heavier than the normal distribution's: with this RESERVE, suites drawn from the stored runs
# themselves keep the declared rate too (tests/meta/test_false_alarms.py).
RESERVE = 6
CHECKS = len(MODELS) * (len(QUANTITIES) + len(RESULTS))
ALPHA = FALSE_ALARM_RATE / RESERVE / CHECKS


@dataclasses.dataclass(frozen=True)
class Band:
    """The interval that a new mean of `runs` runs must fall in, in the units of the quantity (log nats, log errors)."""

    mean: float
    deviation: float
    size: int
    runs: int
    alpha: float
    quartiles: tuple[float, ...] = ()  # of the ensemble's values: least, lower quartile, median, upper quartile, greatest

    @property
    def scale(self) -> float:
        """Standard error of the difference between the new mean and the ensemble's: s √(1/K + 1/N)."""
        return self.deviation * math.sqrt(1 / self.runs + 1 / self.size)

    @property
    def half_width(self) -> float:
        """Largest accepted distance from the ensemble's mean."""
        return float(stats.t.ppf(1 - self.alpha / 2, self.size - 1)) * self.scale

    @property
    def smallest_shift(self) -> float:
        """Smallest true shift that this band detects in POWER of all cases, from the noncentral t distribution."""
        freedom = self.size - 1
        critical = stats.t.ppf(1 - self.alpha / 2, freedom)

        def missing_power(shift: float) -> float:
            return stats.nct.sf(critical, freedom, shift) - POWER

        return float(optimize.brentq(missing_power, critical, 4 * critical + 20)) * self.scale

    @property
    def width(self) -> float:
        """How many times wider the band is than if the ensemble's mean and deviation were known exactly."""
        known = float(stats.norm.ppf(1 - self.alpha / 2)) * self.deviation / math.sqrt(self.runs)
        return self.half_width / known

    @property
    def conclusive(self) -> bool:
        """True where the ensemble is large enough for α: the band is at most WIDEST times as wide as it could be."""
        return self.width <= WIDEST

    @property
    def runs_needed(self) -> int:
        """Size of the smallest ensemble that would be conclusive for this α and this number of new runs."""
        size = 2
        while not dataclasses.replace(self, size=size).conclusive:
            size += 1
        return size

    def used(self, value: float) -> float:
        """Distance of a value from the mean relative to the half width: above 1 fails. A NaN counts as infinite."""
        share = abs(value - self.mean) / self.half_width
        return math.inf if math.isnan(share) else share


def band(quantity: Quantity, values: ArrayLike, alpha: float, runs: int = 1) -> Band:
    """Band of a Quantity for the mean of `runs` new runs, from its values in an ensemble.

    Raises ValueError for fewer values than two, which have no spread.
    """
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        number = "1 run" if len(array) == 1 else f"{len(array)} runs"
        raise ValueError(f"an ensemble of {number} has no spread; at least 2 runs are needed")
    mean = float(array.mean())
    deviation = max(float(array.std(ddof=1)), quantity.least_deviation(mean))
    quartiles = tuple(float(value) for value in np.quantile(array, [0, 0.25, 0.5, 0.75, 1]))
    return Band(mean, deviation, len(array), runs, alpha, quartiles)


def mean(quantity: Quantity, runs: Iterable[Curves], samples: tuple[int, int]) -> float:
    """Mean of a Quantity over the curves of runs; the Band of as many runs judges it."""
    return float(np.mean([quantity.measure(curves, samples) for curves in runs]))


def by_quantity(
    ensemble: Sequence[Curves], dataset: str, runs: int = 1, alpha: float = ALPHA
) -> dict[str, tuple[Quantity, Band]]:
    """Quantity and Band by name, from the curves of an ensemble's runs on a data set (`store.curves`)."""
    samples = SAMPLES[dataset]
    return {
        name: (quantity, band(quantity, [quantity.measure(curves, samples) for curves in ensemble], alpha, runs))
        for name, quantity in QUANTITIES.items()
    }
