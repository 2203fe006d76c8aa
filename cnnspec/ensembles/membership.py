"""Is a training of full MNIST, the notebook's above all, a plausible member of a reference ensemble?

The ensembles on full MNIST are small (a run takes minutes), so that Student's t for one number after another could
hardly blame anything. A run is therefore judged as a whole, by its residuals from the N runs of its model's ensemble,

    r_me = (x_me − μ_me) / (s_m √(1 + 1/N))     for metrics m and epochs e

with x the logarithm of a loss or the square root of a number of errors and μ the ensemble's mean. There is one deviation
s_m per metric, pooled over the epochs and moderated, because so few runs tell it badly: s_m² = (d g_m² + (N − 1) v_m) /
(d + N − 1) with v_m the model's own variance, g_m the geometric mean of all models' deviations, and d = PRIOR_RUNS
(Smyth, *Statistical Applications in Genetics and Molecular Biology* 3, 2004, article 3; there d is fitted).

Two figures are judged: the distance D, which is the root of the mean of r², and the farthest single value, max |r|. What
healthy runs have is measured by leaving each stored run of each model out of its own ensemble; the logarithm of either must
then lie in the prediction interval of those (Student's t, one sided: a run cannot be too near).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cnnspec.ensembles import bands, store
from cnnspec.errors import EnsembleError
from cnnspec.names import MODELS, SAMPLES

FALSE_ALARM_RATE = 0.001  # declared for each of the two figures of one model's run
# A part of it sets the bound; the rest is kept back for tails heavier than the normal's, as in `bands`. What is blamed
# was counted on small ensembles drawn from the stored runs on mnist5k: baselines/ensembles/README.md.
ALPHA = FALSE_ALARM_RATE / bands.RESERVE
# Runs that the other models' spread weighs. Of 0, 2, 4 and 8 it caught most of the stored faults, and blamed no more.
PRIOR_RUNS = 2
LOSSES = ("loss", "val_loss", "train_loss")
ERRORS = ("accuracy", "val_accuracy", "train_accuracy")
TEST_METRICS = ("val_loss", "val_accuracy")

Run = dict[str, np.ndarray]  # {metric: array (epochs,)}: a run as `judged` gives it, or its residuals
Figure = Callable[[Run], float]  # `distance` or `farthest`


def judged(curves: Mapping[str, Sequence[float]], dataset: str = "mnist") -> Run:
    """{metric: array (epochs,)} of a run's curves on the judged scale: log nats, √errors; train_… at the end only."""
    train, test = SAMPLES[dataset]
    values = {metric: np.log(curves[metric]) for metric in LOSSES}
    for metric in ERRORS:
        samples = test if metric in TEST_METRICS else train
        values[metric] = np.sqrt(np.round((1 - np.asarray(curves[metric])) * samples))
    return values


def show(metric: str, value: float) -> str:
    """A value on the judged scale as text: a loss in nats, or a number of errors."""
    return f"{math.exp(value):.4f}" if metric in LOSSES else f"{value**2:.0f} errors"


def deviation(metric: str, others: np.ndarray) -> float:
    """s_m of an ensemble's values (runs, epochs) of a metric, at least that of rounding a number of errors, 1/√12 of one."""
    least = 1 / math.sqrt(12) / (2 * max(float(others.mean()), 1.0)) if metric in ERRORS else 0.0
    return max(math.sqrt(others.var(axis=0, ddof=1).mean()), least)


class Reference:
    """Ensembles of several models on one data set, {model: [run, …]} with runs as `judged` gives them.

    `healthy` holds the residuals of every run of every model from the others of its model. Raises EnsembleError for fewer
    than three runs of a model: with one left out, two are the least that have a spread.
    """

    def __init__(self, runs: dict[str, list[Run]]) -> None:
        few = {model: len(ensemble) for model, ensemble in runs.items() if len(ensemble) < 3}
        if few or not runs:
            counts = ", ".join(f"{model} has {size}" for model, size in few.items()) or "there is none"
            raise EnsembleError(f"an ensemble needs three runs at least, {counts}; calibrate with more --runs")
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
        """Shift of all values at once, in units of r, with which `bands.POWER` of the healthy runs exceed a bound.

        `place` is the Plausibility whose bound it is. Each healthy run counts twice, shifted up and down.
        """

        def caught(shift: float) -> bool:
            moved = [{m: r + side * shift for m, r in run.items()} for run in self.healthy for side in (-1, 1)]
            return bool(np.mean([figure(run) > place.bound for run in moved]) >= bands.POWER)

        return next(float(shift) for shift in np.arange(0.1, 1000, 0.1) if caught(shift))

    @staticmethod
    def _deviations(ensemble: list[Run]) -> dict[str, float]:
        return {metric: deviation(metric, np.array([run[metric] for run in ensemble])) for metric in ensemble[0]}


def stored(folder: str | Path, models: Iterable[str] = MODELS, epochs: int = 10) -> Reference:
    """Reference of the runs stored in a folder of one CSV per model. Raises EnsembleError, also for a model it lacks."""
    runs = {model: store.curves(Path(folder) / f"{model}.csv", epochs) for model in models}
    return Reference({model: [judged(run) for run in curves] for model, curves in runs.items()})


def distance(found: Run) -> float:
    """D of the residuals of a run."""
    return math.sqrt(np.mean(np.concatenate(list(found.values())) ** 2))


def farthest(found: Run) -> float:
    """max |r| of the residuals of a run."""
    return float(np.abs(np.concatenate(list(found.values()))).max())


@dataclasses.dataclass(frozen=True)
class Plausibility:
    """One figure of a run, D or max |r|, among those of healthy runs."""

    value: float
    usual: float  # geometric mean of the healthy runs'
    bound: float
    runs: int  # healthy runs behind the bound
    probability: float  # that a healthy run's is as large
    alpha: float

    @property
    def plausible(self) -> bool:
        """Whether the run is a plausible member, a NaN is not."""
        return self.value <= self.bound

    @property
    def conclusive(self) -> bool:
        """Whether the healthy runs are enough for `alpha`: of infinitely many the bound would reach half as far."""
        return _reach(self.alpha, self.runs) <= bands.WIDEST * float(stats.norm.ppf(1 - self.alpha))


def plausibility(value: float, healthy: Sequence[float], alpha: float) -> Plausibility:
    """Plausibility of a figure's value among those of healthy runs, at a false-alarm rate."""
    logs = np.log(healthy)
    size, scale = len(logs), float(logs.std(ddof=1))
    bound = math.exp(logs.mean() + _reach(alpha, size) * scale)
    probability = float(stats.t.sf((math.log(value) - logs.mean()) / (scale * math.sqrt(1 + 1 / size)), size - 1))
    return Plausibility(value, math.exp(logs.mean()), bound, size, probability, alpha)


def _reach(alpha: float, size: int) -> float:
    """Standard deviations from the mean of `size` healthy runs to the bound that one more exceeds with probability α."""
    return float(stats.t.ppf(1 - alpha, size - 1)) * math.sqrt(1 + 1 / size)


def likelihood_table(
    run_of: Callable[[str], Mapping[str, Sequence[float]]], folders: Iterable[str | Path], epochs: int = 10
) -> pd.DataFrame:
    """A frame, a row per model that all folders hold: how a run, `run_of(model)` -> curves, sits in each folder's ensemble.

    Per folder: the two figures with their probability among the folder's own left-out runs, and the log-likelihood summed
    over all values, and averaged over the epochs of a metric and summed over metrics. Epochs of a run hang together, so that
    the evidence lies between the two: the sum counts every epoch as news, the other counts a curve as one number. The last
    row adds the models' log-likelihoods up. Raises EnsembleError.
    """
    references = {}
    for folder in map(Path, folders):
        models = [model for model in MODELS if (folder / f"{model}.csv").exists()]
        if not models:
            raise EnsembleError(f"{folder} holds no ensemble; name a folder of one CSV per model")
        references[folder.name] = stored(folder, models, epochs)
    rows: list[dict[str, str]] = []
    sums: dict[str, float] = {}
    for model in MODELS:
        if not all(model in reference.runs for reference in references.values()):
            continue
        row, run = {"model": model}, judged(run_of(model))
        for name, reference in references.items():
            found = reference.residuals(run, reference.runs[model])
            row[f"{name}: runs"] = str(len(reference.runs[model]))
            for figure in (distance, farthest):
                place = reference.plausibility(found, figure)
                row[f"{name}: {figure.__name__}"] = f"{place.value:.2f} s (p = {place.probability:.2g})"
            densities = reference.log_density(run, model).values()
            for how, value in {
                "every epoch": sum(values.sum() for values in densities),
                "a curve as one": sum(values.mean() for values in densities),
            }.items():
                column = f"{name}: log-likelihood, {how}"
                row[column] = _nats(value)
                sums[column] = sums.get(column, 0.0) + value
        rows.append(row)
    rows.append({"model": "together", **{column: _nats(value) for column, value in sums.items()}})
    return pd.DataFrame(rows).fillna("")


def _nats(value: float) -> str:
    """A log-likelihood with one decimal; adding 0.0 takes the sign from a zero."""
    return f"{round(value, 1) + 0.0:.1f}"
