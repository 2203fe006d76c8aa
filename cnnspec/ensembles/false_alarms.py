"""Do the checks of trainings keep the declared false-alarm rate? Measured on the stored runs and on simulated suites.

One *suite* trains each model once. It is judged by every band of `bands.by_quantity`, by the distance of each model and by
the cells of the results table, and fails if any of them fails. Quantities of one run are correlated (they share its
weights), so the rate of a suite is below the sum of its checks' rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from cnnspec.ensembles import bands, distance, quantities, store
from cnnspec.names import MODELS

RUNS = (1, 3, 5)  # numbers of new runs for which the table gives the smallest shift
CELLS = ("test loss, last epoch", "train loss, evaluated")  # quantities that the results table compares as well
BATCH = 5000  # suites drawn at a time, to limit the memory
ALL = "all quantities together"

Draw = Callable[[np.random.Generator, np.ndarray, tuple[int, ...]], np.ndarray]  # (generator, stored, shape) -> draws


class Placed(NamedTuple):
    """New runs among others, by the arithmetic of `bands` and `distance` for many ensembles at once."""

    size: int  # runs in an ensemble
    deviations: np.ndarray  # (…, quantities) of the ensembles, at least those of rounding a count
    residuals: np.ndarray  # (…, quantities) of the new runs from the ensembles' means, in SD
    correlation: np.ndarray  # (…, quantities, quantities) of the ensembles

    def outside(self, alpha: float) -> np.ndarray:
        """Which quantities of the new runs lie outside their bands."""
        limit = stats.t.isf(alpha / 2, self.size - 1) * np.sqrt(1 + 1 / self.size)
        return np.abs(self.residuals) > limit

    def distances(self) -> np.ndarray:
        """`distance.Cloud.distance` of the new runs."""
        solved = np.linalg.solve(distance.shrunk(self.correlation).astype(self.residuals.dtype), self.residuals[..., None])
        return np.sqrt((self.residuals * solved[..., 0]).sum(axis=-1) / (1 + 1 / self.size))


class Stored:
    """The stored runs of one model after a number of epochs, in the quantities that are judged."""

    def __init__(self, path: Path, dataset: str, epochs: int) -> None:
        curves = store.curves(path, epochs, dataset)
        pairs = {name: pair for name, pair in bands.by_quantity(curves, dataset).items() if pair[1].judged}
        self.names, self.epochs = list(pairs), epochs
        self.quantities = [quantity for quantity, _ in pairs.values()]
        self.values = np.array(
            [[quantity.measure(run) for quantity in self.quantities] for run in curves]
        )  # (runs, quantities)

    def placed(self, runs: np.ndarray, new: np.ndarray) -> Placed:
        """One new run (…, quantities) among the runs (…, N, quantities)."""
        size, mean = runs.shape[-2], runs.mean(axis=-2)
        centred = runs - mean[..., None, :]
        covariance = np.swapaxes(centred, -1, -2) @ centred / (size - 1)
        least = [quantity.least_deviation(mean[..., place]) for place, quantity in enumerate(self.quantities)]
        floors = np.stack(np.broadcast_arrays(*least, mean[..., 0])[:-1], axis=-1)
        deviations = np.maximum(np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1)), floors)
        correlation = covariance / deviations[..., None] / deviations[..., None, :]
        return Placed(size, deviations, (new - mean) / deviations, correlation)

    def alarms(self, runs: np.ndarray, new: np.ndarray, table: np.ndarray | None = None, times: float = 1.0) -> np.ndarray:
        """Which new runs (…, quantities) fail by the runs (…, N, quantities) or by the run of a stored results table.

        `times` multiplies the false-alarm rate of every check.
        """
        place, alpha = self.placed(runs, new), bands.alpha(self.epochs) * times
        failed = place.outside(alpha).any(axis=-1)
        failed |= place.distances() > distance.limit(place.size, len(self.names), distance.alpha(self.epochs) * times)
        if table is not None:
            cells = [self.names.index(cell) for cell in CELLS if cell in self.names]
            limit = stats.t.isf(alpha / 2, place.size - 1) * np.sqrt(2)
            failed |= (np.abs(new - table) > limit * place.deviations)[..., cells].any(axis=-1)
        return failed

    def left_out(self) -> np.ndarray:
        """Which of the N stored runs fail by the other runs."""
        others = np.stack([np.delete(self.values, number, axis=0) for number in range(len(self.values))])
        return self.alarms(others, self.values)


def stored(folder: str | Path, dataset: str, epochs: int) -> list[Stored]:
    """Stored of each model in a folder of one CSV per model. Raises EnsembleError."""
    return [Stored(Path(folder) / f"{model}.csv", dataset, epochs) for model in MODELS]


def simulated_suites(models: Sequence[Stored], suites: int, draw: Draw | None = None, times: float = 1.0) -> float:
    """Share of healthy suites that fail, of `suites` simulated ones, with a fixed seed.

    For each model a suite draws N runs for its ensemble, the run of a stored results table, and a new run, all in the same
    way: `draw(generator, stored, shape)` gives (*shape, quantities), by default normal with the mean and the covariance of
    the stored runs. `times` multiplies the false-alarm rate of every check.
    """
    generator = np.random.default_rng(0)
    failed = 0
    for first in range(0, suites, BATCH):
        each = np.zeros(min(BATCH, suites - first), dtype=bool)
        for model in models:
            size = len(model.values)
            runs = (draw or normal)(generator, model.values, (len(each), size + 2))
            each |= model.alarms(runs[:, :size], runs[:, size + 1], runs[:, size], times)
        failed += int(each.sum())
    return failed / suites


def normal(generator: np.random.Generator, stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draws in float32 from the normal distribution with the mean and the covariance of the stored values."""
    values, vectors = np.linalg.eigh(np.cov(stored, rowvar=False))
    root = (vectors * np.sqrt(np.clip(values, 0, None))).T.astype(np.float32)
    drawn = generator.standard_normal((*shape, stored.shape[1]), dtype=np.float32)
    return drawn @ root + stored.mean(axis=0, dtype=np.float64).astype(np.float32)


def resampled(generator: np.random.Generator, stored: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A smoothed bootstrap, in float32: draws from the stored runs themselves, each with noise from a normal kernel.

    The kernel's width is Silverman's for one dimension, (4/3N)^(1/5) · s, and the result is shrunk back to the stored
    variance (Silverman, *Density Estimation*, 1986, section 6.4.1).
    """
    size, mean = len(stored), stored.mean(axis=0)
    width = (4 / (3 * size)) ** 0.2
    chosen = (stored - mean).astype(np.float32)[generator.integers(size, size=shape)]
    noise = normal(generator, stored - mean, shape)
    return mean.astype(np.float32) + (chosen + np.float32(width) * noise) / np.float32(np.sqrt(1 + width**2))


def measured(folder: str | Path, dataset: str, epochs: int, suites: int = 20_000) -> dict[str, float]:
    """{how it was measured: share of healthy suites that fail}; FALSE_ALARM_RATE is the declared one."""
    models = stored(folder, dataset, epochs)
    passed = [1 - float(model.left_out().mean()) for model in models]
    return {
        "stored runs, each judged by the others of its model, in all combinations": 1 - float(np.prod(passed)),
        f"{suites} suites, normal with the stored covariance": simulated_suites(models, suites),
        f"{suites} suites, smoothed bootstrap of the stored runs": simulated_suites(models, suites, draw=resampled),
    }


def smallest_shifts(folder: str | Path, dataset: str, epochs: int) -> pd.DataFrame:
    """A frame with a row per check of the trainings. Raises EnsembleError.

    Columns: size and mean of the ensemble, the band of one run, and for each of RUNS the smallest shift that is detected in
    95 % of all cases, in the quantity's units and in standard deviations (SD).
    """
    rows = []
    for model in MODELS:
        curves = store.curves(Path(folder) / f"{model}.csv", epochs)
        judged = {runs: bands.by_quantity(curves, dataset, runs) for runs in RUNS}
        for name, (quantity, band) in judged[1].items():
            low, high = (quantity.show(band.mean + side * band.half_width) for side in (-1, 1))
            row = {"model": model, "check": name, "runs": str(band.size), "mean": quantity.show(band.mean)}
            row["band of 1 new run"] = f"{low} to {high}"
            row.update({column(runs): detects(quantity, judged[runs][name][1]) for runs in RUNS})
            rows.append(row)
        row = {"model": model, "check": ALL, "runs": str(len(curves)), "mean": "", "band of 1 new run": ""}
        clouds = {runs: distance.cloud(curves, judged[runs]) for runs in RUNS}
        row["band of 1 new run"] = f"at most {clouds[1].limit:.1f} SD"
        row.update({column(runs): f"{cloud.smallest_shift:.1f} SD of all" for runs, cloud in clouds.items()})
        rows.append(row)
    return pd.DataFrame(rows)


def column(runs: int) -> str:
    """Name of a column of `smallest_shifts`."""
    return f"{runs} new {'run' if runs == 1 else 'runs'}: detects"


def detects(quantity: quantities.Quantity, band: bands.Band) -> str:
    """The smallest shift that a Band detects, in words; "not judged" where that is of no use."""
    shift = band.smallest_shift
    words = f"{quantity.show_shift(band.mean, shift)} ({shift / band.deviation:.1f} SD)"
    return words if band.judged else f"not judged ({words})"


def not_judged(models: Mapping[str, Sequence[quantities.Curves]], dataset: str, runs: int = 1) -> dict[str, dict[str, str]]:
    """{model: {quantity: why it is not judged}} of ensembles, {model: curves of its runs}."""
    found = {}
    for model, curves in models.items():
        pairs = bands.by_quantity(curves, dataset, runs).items()
        found[model] = {name: bands.weakness(quantity, band) for name, (quantity, band) in pairs if not band.judged}
    return found
