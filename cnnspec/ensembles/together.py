"""Why are a model's quantities judged by themselves and together? The smallest shifts that either way shows, simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from cnnspec.ensembles import bands, distance
from cnnspec.ensembles.false_alarms import Draw, Stored, normal, resampled
from cnnspec.names import MODELS

SUITES = 600
LARGEST = 99.0  # SD; no larger shift is looked for
# Name of a column -> what the distances have of the whole rate; the bands have the rest.
WAYS = {"bands alone": 0.0, "distances alone": 1.0, "both, as used": bands.DISTANCES}
# Shifts of one quantity of one model; those of whole models are in front of them.
SINGLE = (("model2", "loss, last epoch"), ("model4", "test loss, last epoch"))


class Drawn(NamedTuple):
    """New runs of one model in simulated suites, each among its own ensemble: arrays with a row per suite."""

    residuals: np.ndarray  # (suites, quantities): distance of the new run from the ensemble's mean, in the ensemble's SD
    scale: np.ndarray  # (suites, quantities): the SD that runs really have, in the ensemble's
    inverse: np.ndarray  # (suites, quantities, quantities): of the shrunk correlation
    size: int  # runs in an ensemble

    def outside(self, shift: np.ndarray, epochs: int, share: float) -> np.ndarray:
        """Which runs fail, moved by `shift` (quantities, in SD), if the distances have `share` of the rate."""
        moved = self.residuals + self.scale * shift
        failed = np.zeros(len(moved), dtype=bool)
        if share < 1:
            alpha = bands.alpha(epochs) / (1 - bands.DISTANCES) * (1 - share)
            limit = stats.t.isf(alpha / 2, self.size - 1) * np.sqrt(1 + 1 / self.size)
            failed |= (np.abs(moved) > limit).any(axis=1)
        if share > 0:
            alpha = distance.alpha(epochs) / bands.DISTANCES * share
            squared = np.einsum("si,sij,sj->s", moved, self.inverse, moved) / (1 + 1 / self.size)
            failed |= squared > distance.limit(self.size, moved.shape[1], alpha) ** 2
        return failed


def drawn(model: Stored, suites: int, draw: Draw, generator: np.random.Generator) -> Drawn:
    """Runs of `model` in `suites` suites, whose ensembles and new runs are drawn alike."""
    size = len(model.values)
    runs = np.asarray(draw(generator, model.values, (suites, size + 1)), np.float64)
    placed = model.placed(runs[:, :size], runs[:, size])
    scale = model.values.std(axis=0, ddof=1) / placed.deviations
    return Drawn(placed.residuals, scale, np.linalg.inv(distance.shrunk(placed.correlation)), size)


def smallest(models: Sequence[Drawn], shifts: Sequence[np.ndarray], epochs: int, share: float) -> float:
    """The smallest multiple of `shifts` (a row of quantities per model) that POWER of the suites show, at most LARGEST."""

    def missing_power(times: float) -> float:
        failed = [model.outside(times * shift, epochs, share) for model, shift in zip(models, shifts, strict=True)]
        return float(np.any(failed, axis=0).mean()) - bands.POWER

    if missing_power(LARGEST) < 0:
        return LARGEST
    return float(optimize.bisect(missing_power, 0.0, LARGEST, xtol=0.01))


def kinds(models: Sequence[Stored]) -> dict[str, list[np.ndarray]]:
    """{a shift in words: which quantities of each model it moves, 0 or 1}."""

    def moves(chosen: str | None, quantity: str | None = None) -> list[np.ndarray]:
        return [
            np.array([chosen in (None, name) and quantity in (None, each) for each in model.names], float)
            for name, model in zip(MODELS, models, strict=True)
        ]

    found = {"all quantities of all models": moves(None)}
    found |= {f"all quantities of {name}": moves(name) for name in MODELS}
    return found | {f"{name}, {quantity}": moves(name, quantity) for name, quantity in SINGLE}


def smallest_shifts(models: Sequence[Stored], suites: int = SUITES) -> pd.DataFrame:
    """A frame with a row per kind of shift: the smallest, in SD, that one run of each model shows in POWER of all cases.

    Each of WAYS has two figures: suites drawn from the normal distribution, and by a smoothed bootstrap, with a fixed seed.
    """
    epochs = models[0].epochs
    by_draw = []
    for draw in (normal, resampled):
        generator = np.random.default_rng(0)
        by_draw.append([drawn(model, suites, draw, generator) for model in models])
    rows = []
    for kind, shifts in kinds(models).items():
        if not np.any(np.concatenate(shifts)):  # a quantity that is not judged
            continue
        row = {"epochs": str(epochs), "shift": kind}
        for way, share in WAYS.items():
            row[way] = ", ".join(f"{smallest(each, shifts, epochs, share):.1f}" for each in by_draw)
        rows.append(row)
    return pd.DataFrame(rows)
