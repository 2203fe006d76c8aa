"""Is a training of full MNIST, the notebook's above all, a plausible member of a reference ensemble?

The ensembles on full MNIST are small (a run takes minutes), so that Student's t for one number after another could
hardly blame anything. A run is therefore judged as a whole, by its distance from the ensemble,

    D = √ mean over all values, of metrics m and epochs e, of ((x_me − μ_me) / (s_m √(1 + 1/N)))²

with x the logarithm of a loss or the square root of a number of errors, μ the ensemble's mean, and s_m one deviation per
metric, pooled over the epochs. What distances healthy runs have is measured by leaving each stored run of each model out
of its own ensemble; the logarithm of D must then lie in the prediction interval of those distances (Student's t, one
sided: a run cannot be too near).
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cnnspec import ensembles, statistics
from cnnspec.notebook import MODELS

ALPHA = 0.001  # false-alarm rate of one model's combined test
LOSSES = ("loss", "val_loss", "train_loss")
ERRORS = ("accuracy", "val_accuracy", "train_accuracy")
TEST_METRICS = ("val_loss", "val_accuracy")


def judged(curves, dataset="mnist"):
    """{metric: array (epochs,)} of a run's curves on the judged scale: log nats, √errors; train_… at the end only."""
    train, test = statistics.SAMPLES[dataset]
    values = {metric: np.log(curves[metric]) for metric in LOSSES}
    for metric in ERRORS:
        samples = test if metric in TEST_METRICS else train
        values[metric] = np.sqrt(np.round((1 - np.asarray(curves[metric])) * samples))
    return values


def residuals(run, ensemble):
    """{metric: array (epochs,)} of standardised residuals of a run, as `judged` gives it, against N ≥ 2 others."""
    size = len(ensemble)
    found = {}
    for metric, values in run.items():
        others = np.array([other[metric] for other in ensemble])
        deviation = math.sqrt(others.var(axis=0, ddof=1).mean())
        found[metric] = (values - others.mean(axis=0)) / (deviation * math.sqrt(1 + 1 / size))
    return found


def distance(run, ensemble):
    """D of a run against the runs of an ensemble, in standard deviations."""
    return math.sqrt(np.mean(np.concatenate(list(residuals(run, ensemble).values())) ** 2))


def left_out(ensemble):
    """D of each run of an ensemble against its others."""
    return [distance(run, ensemble[:number] + ensemble[number + 1 :]) for number, run in enumerate(ensemble)]


@dataclasses.dataclass(frozen=True)
class Plausibility:
    """How far a run is from an ensemble, and how far healthy runs are: distances in s, and the probability of as far."""

    distance: float
    usual: float  # geometric mean of the distances of healthy runs
    bound: float
    runs: int  # healthy runs behind the bound
    probability: float

    @property
    def plausible(self):
        """Whether the run is a plausible member, at the false-alarm rate ALPHA."""
        return self.distance <= self.bound


def plausibility(run, ensemble, healthy, alpha=ALPHA):
    """Plausibility of a run in an ensemble (both as `judged` gives them), by the distances of `healthy` left-out runs."""
    found = distance(run, ensemble)
    logs = np.log(healthy)
    size = len(logs)
    scale = float(logs.std(ddof=1)) * math.sqrt(1 + 1 / size)
    bound = math.exp(logs.mean() + stats.t.ppf(1 - alpha, size - 1) * scale)
    probability = float(stats.t.sf((math.log(found) - logs.mean()) / scale, size - 1))
    return Plausibility(found, math.exp(logs.mean()), bound, size, probability)


def log_density(run, ensemble):
    """{metric: array (epochs,)} of the logarithm of a run's predictive density, in nats, with an ensemble of N runs.

    Student's t with N − 1 degrees of freedom around the ensemble's mean, scale s_m √(1 + 1/N): what a normal
    distribution predicts of its next draw after N (Gelman et al., *Bayesian Data Analysis*, 3rd edition, section 3.2).
    """
    size = len(ensemble)
    found = {}
    for metric, standardised in residuals(run, ensemble).items():
        others = np.array([other[metric] for other in ensemble])
        scale = math.sqrt(others.var(axis=0, ddof=1).mean() * (1 + 1 / size))
        found[metric] = stats.t.logpdf(standardised, size - 1) - math.log(scale)
    return found


def likelihood_table(run_of, folders, epochs=10):
    """A frame, a row per model that all folders hold: how a run, `run_of(model)` -> curves, sits in each folder's ensemble.

    Per folder: D, its probability among the folder's own left-out runs, and the log-likelihood summed over all values, and
    averaged over the epochs of a metric and summed over metrics. Epochs of a run hang together, so that the evidence lies
    between the two: the sum counts every epoch as news, the other counts a curve as one number. Raises EnsembleError.
    """
    stored = {folder: {} for folder in folders}
    for folder in folders:
        for model in MODELS:
            path = Path(folder) / f"{model}.csv"
            if path.exists():
                stored[folder][model] = [judged(curves) for curves in ensembles.curves(path, epochs)]
    rows = []
    for model in MODELS:
        if not all(model in stored[folder] for folder in folders):
            continue
        row = {"model": model}
        for folder in folders:
            name, runs = Path(folder).name, stored[folder][model]
            healthy = [distance for others in stored[folder].values() for distance in left_out(others)]
            run = judged(run_of(model))
            found, densities = plausibility(run, runs, healthy), log_density(run, runs)
            row[f"{name}: runs"] = len(runs)
            row[f"{name}: distance"] = f"{found.distance:.2f} s (p = {found.probability:.2g})"
            row[f"{name}: log-likelihood, every epoch"] = f"{sum(values.sum() for values in densities.values()):.1f}"
            row[f"{name}: log-likelihood, a curve as one"] = f"{sum(values.mean() for values in densities.values()):.1f}"
        rows.append(row)
    return pd.DataFrame(rows)
