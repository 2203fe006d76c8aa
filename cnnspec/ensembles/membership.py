"""Is a training on full MNIST, in particular the notebook's, a plausible member of a reference ensemble?

The ensembles on full MNIST are small (a run takes minutes): a band for each single number, from Student's t, would be too
wide to detect anything. A run is therefore judged as a whole, by its residuals from the N runs of its model's ensemble,

    r_me = (x_me − μ_me) / (s_m √(1 + 1/N))     for metrics m and epochs e

with x the logarithm of a loss or the square root of a number of errors and μ the ensemble's mean. There is one standard
deviation s_m per metric, pooled over the epochs. It is moderated, because an estimate from so few runs is inexact:
s_m² = (d g_m² + (N − 1) v_m) / (d + N − 1) with v_m the model's own variance, g_m the geometric mean of all models' standard
deviations, and d = PRIOR_RUNS (Smyth, *Statistical Applications in Genetics and Molecular Biology* 3, 2004, article 3, which
fits d to the data).

Two figures are judged: the distance D, the square root of the mean of r², and the farthest single value, max |r|. Both are
in standard deviations (SD). Their values for healthy runs are measured: each stored run of each model is left out of its own
ensemble and judged by the others. The logarithm of a new run's figure must lie in the prediction interval of those
(Student's t, one-sided: a run cannot be too near).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from cnnspec.ensembles import bands, quantities, store
from cnnspec.errors import TooFewRuns
from cnnspec.names import MODELS, RESULTS, SAMPLES

FALSE_ALARM_RATE = (
    0.001  # declared for one replication: the fresh runs of all models, by both figures and in the final table
)
CHECKS = len(MODELS) * (2 + len(RESULTS))
# A part of the rate sets the limits; the rest is reserved for tails heavier than the normal distribution's, as in `bands`.
# False alarms were counted on small ensembles drawn from the stored runs on mnist5k: baselines/ensembles/README.md.
RESERVE = 6
ALPHA = FALSE_ALARM_RATE / RESERVE / CHECKS
# Weight of the other models' spread, as a number of runs. Of 0, 2, 4 and 8, the value 2 detected most of the stored faults,
# with no more false alarms.
PRIOR_RUNS = 2
LOSSES = ("loss", "val_loss", "train_loss")
ERRORS = ("accuracy", "val_accuracy", "train_accuracy")
TEST_METRICS = ("val_loss", "val_accuracy")

Run = dict[str, np.ndarray]  # {metric: array (epochs,)}: a run as `judged` gives it, or its residuals
Figure = Callable[[Run], float]  # `distance` or `farthest`


def judged(curves: Mapping[str, Sequence[float]], dataset: str = "mnist") -> Run:
    """{metric: array (epochs,)} of a run's curves on the judged scale: log nats, √errors; train_… in the last epoch only."""
    train, test = SAMPLES[dataset]
    values = {metric: np.array([quantities.logarithm(loss) for loss in curves[metric]]) for metric in LOSSES}
    for metric in ERRORS:
        samples = test if metric in TEST_METRICS else train
        values[metric] = np.sqrt(np.round((1 - np.asarray(curves[metric])) * samples))
    return values


def show(metric: str, value: float) -> str:
    """A value on the judged scale as text: a loss in nats, or a number of errors."""
    return f"{math.exp(value):.4f}" if metric in LOSSES else f"{value**2:.0f} errors"


def deviation(metric: str, others: np.ndarray) -> float:
    """s_m of an ensemble's values (runs, epochs) of a metric; at least that of rounding, 1/√12 of an error."""
    least = 1 / math.sqrt(12) / (2 * max(float(others.mean()), 1.0)) if metric in ERRORS else bands.ROUNDING
    return max(math.sqrt(others.var(axis=0, ddof=1).mean()), least)


class Reference:
    """Ensembles of several models on one data set, {model: [run, …]} with runs as `judged` gives them, stored in `folder`.

    `healthy` holds the residuals of every run of every model from the other runs of its model. Raises TooFewRuns for
    fewer than three runs of a model: with one left out, two must remain to have a spread.
    """

    def __init__(self, runs: dict[str, list[Run]], folder: str | Path = "FOLDER") -> None:
        few = {model: len(ensemble) for model, ensemble in runs.items() if len(ensemble) < 3}
        if few or not runs:
            counts = ", ".join(f"{model} has {size}" for model, size in few.items()) or "there is no model"
            command = store.command(Path(folder) / f"{next(iter(few), 'model1')}.csv", runs=3)
            raise TooFewRuns(f"the ensemble in {folder} needs at least 3 runs per model, but {counts}; add runs: {command}")
        self.runs = runs
        deviations = {model: self._deviations(ensemble) for model, ensemble in runs.items()}
        metrics = next(iter(deviations.values()))
        self.common = {m: math.exp(np.mean([math.log(each[m]) for each in deviations.values()])) for m in metrics}
        self.healthy = [
            self.residuals(run, ensemble[:number] + ensemble[number + 1 :])
            for ensemble in runs.values()
            for number, run in enumerate(ensemble)
        ]

    def residuals(self, run: Run, ensemble: list[Run]) -> Run:
        """{metric: array (epochs,)} of the residuals r of a run from those of an ensemble."""
        scales = self.scales(ensemble)
        return {
            metric: (values - np.mean([other[metric] for other in ensemble], axis=0)) / scales[metric]
            for metric, values in run.items()
        }

    def scales(self, ensemble: list[Run]) -> dict[str, float]:
        """{metric: s_m √(1 + 1/N)}, the standard error of a residual from an ensemble, with the moderated s_m."""
        size = len(ensemble)
        weight, total = size - 1, PRIOR_RUNS + size - 1
        return {
            metric: math.sqrt((PRIOR_RUNS * self.common[metric] ** 2 + weight * own**2) / total * (1 + 1 / size))
            for metric, own in self._deviations(ensemble).items()
        }

    def log_density(self, run: Run, model: str) -> Run:
        """{metric: array (epochs,)} of the logarithm of a run's predictive density among the N runs of a model, in nats.

        Student's t around the ensemble's mean, with the scale of a residual and d + N − 1 degrees of freedom: what a normal
        distribution predicts of its next draw (Gelman et al., *Bayesian Data Analysis*, 3rd edition, section 3.3).
        """
        ensemble = self.runs[model]
        scales, freedom = self.scales(ensemble), PRIOR_RUNS + len(ensemble) - 1
        found = self.residuals(run, ensemble)
        return {metric: stats.t.logpdf(values, freedom) - math.log(scales[metric]) for metric, values in found.items()}

    def plausibility(self, found: Run, figure: Figure, alpha: float | None = None) -> Plausibility:
        """Plausibility of a run's residuals by a figure, `distance` or `farthest`; the default of `alpha` is ALPHA."""
        return plausibility(figure(found), [figure(other) for other in self.healthy], alpha or ALPHA)

    def smallest_shift(self, place: Plausibility, figure: Figure) -> float:
        """Smallest shift of all values at once, in SD, with which `bands.POWER` of the healthy runs exceed a limit.

        The limit is `place.bound`. Each healthy run counts twice, shifted up and shifted down.
        """

        def detected(shift: float) -> bool:
            moved = [{m: r + side * shift for m, r in run.items()} for run in self.healthy for side in (-1, 1)]
            return bool(np.mean([figure(run) > place.bound for run in moved]) >= bands.POWER)

        return next(float(shift) for shift in np.arange(0.1, 1000, 0.1) if detected(shift))

    @staticmethod
    def _deviations(ensemble: list[Run]) -> dict[str, float]:
        return {metric: deviation(metric, np.array([run[metric] for run in ensemble])) for metric in ensemble[0]}


def stored(folder: str | Path, models: Iterable[str] = MODELS, epochs: int = 10) -> Reference:
    """Reference of the runs on full MNIST stored in a folder of one CSV per model.

    Raises EnsembleError, also for a missing model and for runs on another data set.
    """
    runs = {model: store.curves(Path(folder) / f"{model}.csv", epochs, "mnist") for model in models}
    return Reference({model: [judged(run) for run in curves] for model, curves in runs.items()}, folder)


def distance(found: Run) -> float:
    """D of the residuals of a run."""
    return math.sqrt(np.mean(np.concatenate(list(found.values())) ** 2))


def farthest(found: Run) -> float:
    """max |r| of the residuals of a run."""
    return float(np.abs(np.concatenate(list(found.values()))).max())


@dataclasses.dataclass(frozen=True)
class Plausibility:
    """One figure of a run, D or max |r|, compared with those of healthy runs."""

    value: float
    usual: float  # geometric mean of the healthy runs'
    bound: float  # largest plausible value
    runs: int  # healthy runs that the bound is computed from
    probability: float  # that a healthy run's figure is as large
    alpha: float

    @property
    def plausible(self) -> bool:
        """Whether the run is a plausible member; a NaN is not."""
        return self.value <= self.bound

    @property
    def conclusive(self) -> bool:
        """Whether there are enough healthy runs for `alpha`: the bound is at most `bands.WIDEST` times as far out as with
        infinitely many."""
        return _reach(self.alpha, self.runs) <= bands.WIDEST * float(stats.norm.ppf(1 - self.alpha))


def plausibility(value: float, healthy: Sequence[float], alpha: float) -> Plausibility:
    """Plausibility of a figure's value, compared with those of healthy runs, at a false-alarm rate."""
    logs = np.log(healthy)
    size, scale = len(logs), float(logs.std(ddof=1))
    bound = math.exp(logs.mean() + _reach(alpha, size) * scale)
    probability = float(stats.t.sf((math.log(value) - logs.mean()) / (scale * math.sqrt(1 + 1 / size)), size - 1))
    return Plausibility(value, math.exp(logs.mean()), bound, size, probability, alpha)


def _reach(alpha: float, size: int) -> float:
    """Distance, in SD, of the bound from the mean of `size` healthy runs; a further one exceeds it with probability α."""
    return float(stats.t.ppf(1 - alpha, size - 1)) * math.sqrt(1 + 1 / size)
