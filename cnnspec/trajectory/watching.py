"""A callback that notes after every epoch of `fit` what became of the variables and of the batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from cnnspec.compat import metric_name
from cnnspec.trajectory import start


class Watcher(keras.callbacks.Callback):
    """Notes after every epoch the norm and the movement of every variable from `first`, the logs, steps and batches."""

    def __init__(self, first: list[np.ndarray]) -> None:
        super().__init__()
        self.first = first
        self.rows: dict[str, list[Any]] = {"norms": [], "moved": []}
        self.logs: list[dict[str, float]] = []
        self.iterations: list[int] = []  # of the optimizer
        self.batches: list[int] = []  # as callbacks see them; joined steps are counted by the execution

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._last = int(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        weights = arrays_of(self.model)
        moved = [np.asarray(now, np.float64) - was for now, was in zip(weights, self.first, strict=True)]
        self.rows["norms"].append(start.norms(weights))
        self.rows["moved"].append(start.norms(moved))
        self.logs.append({metric_name(name): float(value) for name, value in logs.items()})
        self.iterations.append(int(np.asarray(self.model.optimizer.iterations)))
        self.batches.append(self._last + 1)


def arrays_of(model: Any) -> list[np.ndarray]:
    """Every weight of a model in the order of `start.weight_names`."""
    return [array for layer in model.layers for array in layer.get_weights()]
