"""What is judged of a training: losses on their natural logarithm, numbers of wrong answers on the logit of their share.

On these scales healthy runs spread evenly, and the ends of a band are possible values: a loss above 0, and a number of wrong
answers between none and all images.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from cnnspec.names import CLASSES, SAMPLES

Curves = Mapping[str, Sequence[float]]  # {metric: value of each epoch} of a run, as `store.curves` gives them


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One quantity of a run that is judged: how it is measured, on a scale where its spread is even, and shown."""

    measure: Callable[[Curves], float]  # curves of a run -> value, judged scale
    show: Callable[[float], str]  # value on the judged scale -> text in the units of the training log
    moved: Callable[[float, float], float]  # (value on the judged scale, shift in real units) -> value on the judged scale
    show_shift: Callable[[float, float], str]  # (mean, shift), both on the judged scale -> text
    chance: float = math.inf  # value of a model that learnt nothing; infinite where even a healthy model has not learnt
    least_deviation: Callable[[Any], Any] = lambda mean: 0.0  # mean of an ensemble, or an array of means -> smallest SD


def logarithm(loss: float) -> float:
    """Natural logarithm of a loss: minus infinity for a loss of 0, NaN for one that no training can have."""
    return math.log(loss) if loss > 0 else -math.inf if loss == 0 else math.nan


def log_loss(metric: str, epoch: int) -> Quantity:
    """Logarithm of the loss `metric` in an epoch; `epoch` −1 is the last of the run. Shifts are relative: 0.5 is +50 %."""
    return _loss(lambda curves: logarithm(curves[metric][epoch]), math.inf if metric == "untrained_loss" else _CHANCE)


def log_area(metric: str) -> Quantity:
    """Mean over the epochs of the logarithm of a loss: the area under its log curve, per epoch."""
    return _loss(lambda curves: float(np.mean([logarithm(loss) for loss in curves[metric]])), _CHANCE)


_CHANCE = math.log(math.log(CLASSES))  # a uniform guess among ten digits has a loss of ln 10


_HUNDREDFOLD = math.log(100.99)


def shown(loss: float) -> str:
    """A loss as text, with four decimals where it is not huge."""
    return f"{loss:.4f}" if loss < 1e6 else f"{loss:.1e}"


def _loss(measure: Callable[[Curves], float], chance: float) -> Quantity:
    return Quantity(
        measure,
        show=lambda value: shown(math.exp(value)),
        moved=lambda value, shift: value + math.log1p(shift),
        show_shift=lambda mean, shift: f"{math.expm1(shift):+.0%}" if shift < _HUNDREDFOLD else ">+9999%",
        chance=chance,
    )


def logit_errors(metric: str, images: int) -> Quantity:
    """Logit of the share of wrong answers behind an accuracy in the last epoch, (errors + 1/2) / (images + 1).

    Errors are whole numbers, so a count that does not vary in the ensemble keeps the standard deviation of rounding, 1/√12
    of an error, on this scale. Shifts are shares of the images: 0.5 is half of them.
    """

    def errors(value: float) -> float:
        return min(max(float(expit(value)) * (images + 1) - 0.5, 0.0), images)

    def logit(part: float) -> float:
        return math.log(part / (1 - part)) if part < 1 else math.inf

    def measure(curves: Curves) -> float:
        return logit((round((1 - curves[metric][-1]) * images) + 0.5) / (images + 1))

    def least_deviation(mean: Any) -> Any:
        return 1 / math.sqrt(12) / ((images + 1) * expit(mean) * expit(-mean))

    return Quantity(
        measure,
        show=lambda value: f"{errors(value):.1f}",
        moved=lambda value, shift: logit(min(float(expit(value)) + shift, 1.0)),
        show_shift=lambda mean, shift: f"{errors(mean + shift) - errors(mean):+.0f} of {images}",
        chance=logit(1 - 1 / CLASSES),
        least_deviation=least_deviation,
    )


# The judged quantities of each model: (train images, test images) -> Quantity. untrained_loss is the test set's before the
# first step. loss and accuracy are means over an epoch's batches, with dropout on. val_ is the test set and train_ the train
# set, both evaluated after the epoch.
QUANTITIES: dict[str, Callable[[int, int], Quantity]] = {
    "test loss, untrained": lambda train, test: log_loss("untrained_loss", 0),
    "loss, first epoch": lambda train, test: log_loss("loss", 0),
    "loss, last epoch": lambda train, test: log_loss("loss", -1),
    "loss, area under the log curve": lambda train, test: log_area("loss"),
    "test loss, first epoch": lambda train, test: log_loss("val_loss", 0),
    "test loss, last epoch": lambda train, test: log_loss("val_loss", -1),
    "test loss, area under the log curve": lambda train, test: log_area("val_loss"),
    "train loss, evaluated": lambda train, test: log_loss("train_loss", -1),
    "errors while training, last epoch": lambda train, test: logit_errors("accuracy", train),
    "test errors": lambda train, test: logit_errors("val_accuracy", test),
    "train errors, evaluated": lambda train, test: logit_errors("train_accuracy", train),
}


def names(epochs: int) -> list[str]:
    """The quantities after a number of epochs: the first epoch and the areas only where there is more than one epoch."""
    return [name for name in QUANTITIES if epochs > 1 or not ("first epoch" in name or "area" in name)]


def of(dataset: str, epochs: int) -> dict[str, Quantity]:
    """{name: Quantity} of a run on a data set after a number of epochs."""
    return {name: QUANTITIES[name](*SAMPLES[dataset]) for name in names(epochs)}
