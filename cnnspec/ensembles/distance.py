"""All judged quantities of a model together: how far is a run from the ensemble, as the stored runs are correlated?

Quantities of a run move together: an unlucky draw of weights raises all its losses. A fault that raises one of them alone,
or all by less than a band is wide, is farther from the stored runs than any band says. With the residuals r of a new mean,
in standard deviations, and the correlation R of the N stored runs,

    D² = rᵀ ((1 − λ) R + λ I)⁻¹ r / (1/K + 1/N)

is Mahalanobis' squared distance, with R shrunk by λ = SHRINKAGE, because N runs hardly determine it (Ledoit & Wolf,
*Journal of Portfolio Management* 30, 2004, 110-119). Its limit is p F(1 − α; p, N − 1) for p quantities, as if R were known
up to its scale. That is an approximation: the rate is measured with that of the bands (tests/meta/test_false_alarms.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize, stats

from cnnspec.ensembles import bands
from cnnspec.ensembles.bands import Band
from cnnspec.ensembles.quantities import Curves, Quantity
from cnnspec.names import MODELS

# Of 0.1, 0.3, 0.5 and 1 (no correlation), 0.3 detects common shifts and shifts of one quantity about equally well.
SHRINKAGE = 0.3


def alpha(epochs: int) -> float:
    """False-alarm rate of the distance of one model after a number of epochs."""
    return bands.FALSE_ALARM_RATE * bands.DISTANCES / bands.reserve(epochs) / len(MODELS)


def limit(size: int, count: int, alpha: float) -> float:
    """Largest accepted D of `count` quantities against `size` stored runs, in SD; fewer than two accept any."""
    if size < 2:
        return bands.LARGEST
    return math.sqrt(count * float(stats.f.isf(alpha, count, size - 1)))


def shrunk(correlation: np.ndarray) -> np.ndarray:
    """Correlations (…, p, p) shrunk towards none."""
    return (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(correlation.shape[-1])


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The stored runs of a model as one: {quantity: its Band} and the inverse of their shrunk correlation."""

    bands: Mapping[str, Band]
    inverse: np.ndarray
    alpha: float

    @property
    def size(self) -> int:
        """Number of stored runs."""
        return next(iter(self.bands.values())).size

    @property
    def scale(self) -> float:
        """√(1/K + 1/N): standard error of a residual, in SD."""
        return next(iter(self.bands.values())).factor

    @property
    def limit(self) -> float:
        """Largest accepted distance, in SD."""
        return limit(self.size, len(self.bands), self.alpha)

    @property
    def large_enough(self) -> bool:
        """Whether the limit is at most `bands.WIDEST` times that of infinitely many stored runs."""
        known = math.sqrt(float(stats.chi2.isf(self.alpha, len(self.bands))))
        return self.limit * self.scale <= bands.WIDEST * known * math.sqrt(1 / next(iter(self.bands.values())).runs)

    @property
    def runs_needed(self) -> int:
        """Size of the smallest ensemble that would be large enough, at least 3: fewer detect hardly anything."""
        size = 3
        while not self.of_size(size).large_enough:
            size += 1
        return size

    def of_size(self, size: int) -> Cloud:
        """The same for an ensemble of another size."""
        resized = {name: dataclasses.replace(band, size=size) for name, band in self.bands.items()}
        return dataclasses.replace(self, bands=resized)

    @property
    def smallest_shift(self) -> float:
        """Smallest shift of all quantities at once, in SD, that is detected in POWER of all cases, by a noncentral F.

        Infinite for fewer runs than three, which detect hardly anything.
        """
        if self.size < 3:
            return math.inf
        count = len(self.bands)
        critical = self.limit**2 / count

        def missing_power(off: float) -> float:
            return float(stats.ncf.sf(critical, count, self.size - 1, off)) - bands.POWER

        off = float(optimize.brentq(missing_power, 1e-6, 100 * count * critical + 1000))
        return math.sqrt(off / float(self.inverse.sum())) * self.scale

    def residuals(self, values: Mapping[str, float]) -> dict[str, float]:
        """{quantity: distance from its mean in SD} of a new mean's values."""
        return {name: (values[name] - band.mean) / band.deviation for name, band in self.bands.items()}

    def distance(self, values: Mapping[str, float]) -> float:
        """D of a new mean's values, in SD; infinite where one is a NaN or infinite."""
        found = np.array(list(self.residuals(values).values()))
        if not np.isfinite(found).all():
            return math.inf
        if self.size < 2:
            return 0.0  # without a spread nothing is far
        return math.sqrt(float(found @ self.inverse @ found)) / self.scale


def cloud(ensemble: Sequence[Curves], judged: Mapping[str, tuple[Quantity, Band]]) -> Cloud:
    """Cloud of an ensemble's runs in the quantities that their Band judges; `judged` is of `bands.by_quantity`."""
    pairs = {name: pair for name, pair in judged.items() if pair[1].judged}
    values = np.array([[quantity.measure(run) for quantity, _ in pairs.values()] for run in ensemble])
    found = {name: band for name, (_, band) in pairs.items()}
    deviations = np.array([band.deviation for band in found.values()])
    correlation = np.eye(len(found))
    if len(values) > 1:
        residuals = (values - values.mean(axis=0)) / deviations
        correlation = residuals.T @ residuals / (len(values) - 1)
    return Cloud(found, np.linalg.inv(shrunk(correlation)), alpha(bands.epochs_of(ensemble)))
