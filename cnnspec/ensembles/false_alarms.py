"""Do the bands keep the false-alarm rate that they declare? Measured on the stored runs and on simulated suites.

One *suite* trains each model once and is judged by every band of statistics.QUANTITIES and by the cells of the results
table; it is blamed when any of them fails. Quantities of one run hang together (they share its weights), so the rate of
a suite is below the sum of its checks' rates, which is what statistics.ALPHA was set by.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cnnspec.ensembles import bands, store
from cnnspec.names import MODELS, SAMPLES

RUNS = (1, 3, 5)  # numbers of new runs whose smallest shifts are told
CELLS = ("test loss, last epoch", "train loss, evaluated")  # quantities that the results table compares as well


def values(ensemble, dataset):
    """Every Quantity of every run of an ensemble (`store.curves`): an array (runs, quantities), judged scale."""
    samples = SAMPLES[dataset]
    return np.array([[quantity.measure(curves, samples) for quantity in bands.QUANTITIES.values()] for curves in ensemble])


def deviations(runs):
    """Standard deviation of each quantity over the runs (…, N, quantities), at least what rounding of counts gives."""
    mean = runs.mean(axis=-2)
    least = [quantity.least_deviation for quantity in bands.QUANTITIES.values()]
    floors = np.stack([np.vectorize(floor)(mean[..., column]) for column, floor in enumerate(least)], axis=-1)
    return np.maximum(runs.std(axis=-2, ddof=1), floors)


def blamed(runs, new, alpha):
    """Which quantities of one new run (…, quantities) lie outside the bands of the runs (…, N, quantities)."""
    size = runs.shape[-2]
    accepted = stats.t.ppf(1 - alpha / 2, size - 1) * np.sqrt(1 + 1 / size)
    return np.abs(new - runs.mean(axis=-2)) > accepted * deviations(runs)


def left_out(runs, alpha):
    """Each of N runs (N, quantities) judged by the bands of the others: booleans (N, quantities)."""
    others = np.stack([np.delete(runs, number, axis=0) for number in range(len(runs))])
    return blamed(others, runs, alpha)


def simulated_suites(models, suites, alpha=bands.ALPHA, draw=None, seed=0):
    """Share of healthy suites that are blamed, of `suites` simulated ones.

    `models` are the stored values of each model, (N, quantities). A suite draws, per model, N runs to take its bands
    from, a stored table's run and a new run, all alike: `draw(generator, stored, shape)` gives (*shape, quantities),
    by default normal with the mean and the covariance of the stored runs.
    """
    generator = np.random.default_rng(seed)
    draw = draw or normal
    cells = [list(bands.QUANTITIES).index(cell) for cell in CELLS]
    failed = np.zeros(suites, dtype=bool)
    for stored in models:
        size = len(stored)
        runs = draw(generator, stored, (suites, size + 2))
        ensemble, table, new = runs[:, :size], runs[:, size], runs[:, size + 1]
        failed |= blamed(ensemble, new, alpha).any(axis=1)
        apart = stats.t.ppf(1 - alpha / 2, size - 1) * np.sqrt(2) * deviations(ensemble)
        failed |= (np.abs(new - table) > apart)[:, cells].any(axis=1)
    return float(failed.mean())


def normal(generator, stored, shape):
    """Draws from the normal distribution with the mean and the covariance of the stored values."""
    return generator.multivariate_normal(stored.mean(axis=0), np.cov(stored, rowvar=False), size=shape, method="svd")


def resampled(generator, stored, shape):
    """Draws from the stored runs themselves, blurred by a normal kernel so that no two are equal (a smoothed bootstrap).

    The kernel's width is Silverman's for one dimension, (4/3N)^(1/5) · s, and the result is shrunk back to the stored
    variance (Silverman, *Density Estimation*, 1986, section 6.4.1).
    """
    size = len(stored)
    width = (4 / (3 * size)) ** 0.2
    chosen = stored[generator.integers(size, size=shape)]
    noise = normal(generator, stored - stored.mean(axis=0), shape)
    mean = stored.mean(axis=0)
    return mean + (chosen - mean + width * noise) / np.sqrt(1 + width**2)


def smallest_shifts(folder, dataset, epochs):
    """A frame, a row per check of the trainings: the ensemble's size and middle, the band of one run, and for each of
    RUNS the smallest shift that is caught in 95 % of all cases, in s and, for losses, in per cent. Raises EnsembleError.
    """
    rows = []
    for model in MODELS:
        curves = store.curves(Path(folder) / f"{model}.csv", epochs)
        judged = {runs: bands.by_quantity(curves, dataset, runs) for runs in RUNS}
        for name, (quantity, band) in judged[1].items():
            low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
            row = {"model": model, "check": name, "runs": band.size, "middle": quantity.show(band.mean)}
            row["accepted"] = f"{quantity.show(low)} to {quantity.show(high)}"
            for runs in RUNS:
                shift = judged[runs][name][1].smallest_shift
                row[f"detects, {runs} new"] = f"{quantity.show_shift(shift)} ({shift / band.deviation:.1f} SD)"
            rows.append(row)
    return pd.DataFrame(rows)


def measured(folder, dataset, epochs, suites=20_000):
    """{how it was measured: share of healthy suites that were blamed}, against the declared FALSE_ALARM_RATE."""
    models = [values(store.curves(Path(folder) / f"{model}.csv", epochs), dataset) for model in MODELS]
    blamed_runs = [left_out(runs, bands.ALPHA).any(axis=1).mean() for runs in models]
    return {
        "stored runs, each judged by the others of its model, in all combinations": 1
        - float(np.prod(1 - np.array(blamed_runs))),
        f"{suites} suites, normal with the stored covariance": simulated_suites(models, suites),
        f"{suites} suites, smoothed bootstrap of the stored runs": simulated_suites(models, suites, draw=resampled),
    }
