"""Replicas of PyTorch: DistributedDataParallel around the Keras model, a process each; gloo on a CPU, NCCL on GPUs.

Keras' own `fit` knows no DistributedDataParallel: the loop is the one of Keras' guide, with the model's own loss and
optimizer. The gradients that the optimizer is given are those that PyTorch has averaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from keras import ops

from tests.support.replicas import setting
from tests.support.replicas.one import One


def prepare(count: int) -> None:
    """Nothing: every replica is a process."""


class Replicas(One):
    """This process as one of several."""

    def __init__(self, count: int, rank: int, folder: Path) -> None:
        by = "nccl" if torch.cuda.is_available() and torch.cuda.device_count() else "gloo"
        met = f"file://{folder / 'meeting'}"
        torch.distributed.init_process_group(by, init_method=met, rank=rank, world_size=count)
        self.count, self.rank = count, rank
        self.seen: list[int] = []

    def watch(self, model: Any) -> list[int]:
        """A list that gets the number of images of every step of every replica, from now on."""
        self.seen = []
        return self.seen

    def fit(self, model: Any, x: Any, y: Any, batch: int, epochs: int) -> list[float]:
        """Losses of the epochs, of all replicas together; `batch` is that of all of them."""
        together = torch.nn.parallel.DistributedDataParallel(model)
        losses = []
        for _ in range(epochs):
            total = 0.0
            for at in range(0, len(x), batch):
                rows = setting.parts(len(x[at : at + batch]), self.count)[self.rank]
                shown = slice(at + rows.start, at + rows.stop)
                loss = self.step(together, model, x[shown], y[shown])
                total += loss * len(x[at : at + batch])
            losses.append(total / len(x))
        return losses

    def step(self, together: Any, model: Any, x: np.ndarray, y: np.ndarray) -> float:
        """One step on this replica's images; returns the mean of the replicas' losses."""
        images, labels = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
        model.zero_grad()
        loss = model.compute_loss(x=images, y=labels, y_pred=together(images, training=True))
        loss.backward()
        variables = list(model.trainable_weights)
        with torch.no_grad():
            model.optimizer.apply([variable.value.grad for variable in variables], variables)
        mean = loss.detach().clone()
        torch.distributed.all_reduce(mean)
        images = torch.zeros(self.count, dtype=mean.dtype, device=mean.device)
        images[self.rank] = len(x)
        torch.distributed.all_reduce(images)
        self.seen += [int(each) for each in images]
        return float(mean) / self.count
