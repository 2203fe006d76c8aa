"""Do the bands keep the false-alarm rate that they declare? Measured on the stored runs and on simulated suites.

One *suite* trains each model once. It is judged by every band of `bands.QUANTITIES` and by the cells of the results table,
and fails if any of them fails. Quantities of one run are correlated (they share its weights), so the rate of a suite is
below the sum of its checks' rates, from which `bands.ALPHA` was set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cnnspec.ensembles import bands, store
from cnnspec.names import MODELS, SAMPLES

RUNS = (1, 3, 5)  # numbers of new runs for which the table gives the smallest shift
CELLS = ("test loss, last epoch", "train loss, evaluated")  # quantities that the results table compares as well

Draw = Callable[[np.random.Generator, np.ndarray, tuple[int, ...]], np.ndarray]  # (generator, stored, shape) -> draws


def values(ensemble: Sequence[bands.Curves], dataset: str) -> np.ndarray:
    """Every Quantity of every run of an ensemble (`store.curves`): an array (runs, quantities), judged scale."""
    samples = SAMPLES[dataset]
    return np.array([[quantity.measure(curves, samples) for quantity in bands.QUANTITIES.values()] for curves in ensemble])


def deviations(runs: np.ndarray) -> np.ndarray:
    """Standard deviation of each quantity over the runs (…, N, quantities), at least that of rounding a count."""
    mean = runs.mean(axis=-2)
    least = [quantity.least_deviation for quantity in bands.QUANTITIES.values()]
    floors = np.stack([np.vectorize(floor)(mean[..., column]) for column, floor in enumerate(least)], axis=-1)
    return np.maximum(runs.std(axis=-2, ddof=1), floors)


def outside(runs: np.ndarray, new: np.ndarray, alpha: float) -> np.ndarray:
    """Which quantities of one new run (…, quantities) lie outside the bands of the runs (…, N, quantities)."""
    size = runs.shape[-2]
    limit = stats.t.ppf(1 - alpha / 2, size - 1) * np.sqrt(1 + 1 / size)
    return np.abs(new - runs.mean(axis=-2)) > limit * deviations(runs)


def left_out(runs: np.ndarray, alpha: float) -> np.ndarray:
    """Which quantities of each of N runs (N, quantities) lie outside the bands of the other runs."""
    others = np.stack([np.delete(runs, number, axis=0) for number in range(len(runs))])
    return outside(others, runs, alpha)


def simulated_suites(
    models: Sequence[np.ndarray], suites: int, alpha: float = bands.ALPHA, draw: Draw | None = None, seed: int = 0
) -> float:
    """Share of healthy suites that fail, of `suites` simulated ones.

    `models` are the stored values of each model, (N, quantities). For each model a suite draws N runs for its bands, the
    run of a stored results table, and a new run, all in the same way: `draw(generator, stored, shape)` gives
    (*shape, quantities), by default normal with the mean and the covariance of the stored runs.
    """
    generator = np.random.default_rng(seed)
    draw = draw or normal
    cells = [list(bands.QUANTITIES).index(cell) for cell in CELLS]
    failed = np.zeros(suites, dtype=bool)
    for stored in models:
        size = len(stored)
        runs = draw(generator, stored, (suites, size + 2))
        ensemble, table, new = runs[:, :size], runs[:, size], runs[:, size + 1]
        failed |= outside(ensemble, new, alpha).any(axis=1)
        limit = stats.t.ppf(1 - alpha / 2, size - 1) * np.sqrt(2) * deviations(ensemble)
        failed |= (np.abs(new - table) > limit)[:, cells].any(axis=1)
    return float(failed.mean())


def normal(generator: np.random.Generator, stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draws from the normal distribution with the mean and the covariance of the stored values."""
    return generator.multivariate_normal(stored.mean(axis=0), np.cov(stored, rowvar=False), size=shape, method="svd")


def resampled(generator: np.random.Generator, stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A smoothed bootstrap: draws from the stored runs themselves, each with noise from a normal kernel.

    The kernel's width is Silverman's for one dimension, (4/3N)^(1/5) · s, and the result is shrunk back to the stored
    variance (Silverman, *Density Estimation*, 1986, section 6.4.1).
    """
    size = len(stored)
    width = (4 / (3 * size)) ** 0.2
    chosen = stored[generator.integers(size, size=shape)]
    noise = normal(generator, stored - stored.mean(axis=0), shape)
    mean = stored.mean(axis=0)
    return mean + (chosen - mean + width * noise) / np.sqrt(1 + width**2)


def smallest_shifts(folder: str | Path, dataset: str, epochs: int) -> pd.DataFrame:
    """A frame with a row per check of the trainings. Raises EnsembleError.

    Columns: size and mean of the ensemble, the band of one run, and for each of RUNS the smallest shift that is detected in
    95 % of all cases, in percent and in standard deviations (SD).
    """
    rows = []
    for model in MODELS:
        curves = store.curves(Path(folder) / f"{model}.csv", epochs)
        judged = {runs: bands.by_quantity(curves, dataset, runs) for runs in RUNS}
        for name, (quantity, band) in judged[1].items():
            low, high = max(band.mean - band.half_width, quantity.lowest), band.mean + band.half_width
            row = {"model": model, "check": name, "runs": str(band.size), "mean": quantity.show(band.mean)}
            row["band of 1 new run"] = f"{quantity.show(low)} to {quantity.show(high)}"
            for runs in RUNS:
                shift = judged[runs][name][1].smallest_shift
                number = "1 new run" if runs == 1 else f"{runs} new runs"
                row[f"{number}: detects"] = f"{quantity.show_shift(shift)} ({shift / band.deviation:.1f} SD)"
            rows.append(row)
    return pd.DataFrame(rows)


def measured(folder: str | Path, dataset: str, epochs: int, suites: int = 20_000) -> dict[str, float]:
    """{how it was measured: share of healthy suites that fail}; FALSE_ALARM_RATE is the declared one."""
    models = [values(store.curves(Path(folder) / f"{model}.csv", epochs), dataset) for model in MODELS]
    passed = [1 - left_out(runs, bands.ALPHA).any(axis=1).mean() for runs in models]
    return {
        "stored runs, each judged by the others of its model, in all combinations": 1 - float(np.prod(passed)),
        f"{suites} suites, normal with the stored covariance": simulated_suites(models, suites),
        f"{suites} suites, smoothed bootstrap of the stored runs": simulated_suites(models, suites, draw=resampled),
    }
