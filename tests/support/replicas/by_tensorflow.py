"""Replicas of TensorFlow: MirroredStrategy on GPUs where there are enough, else on logical devices of the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow


class One:
    """One device, without a strategy."""

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def made(self, build: Callable[[], Any]) -> Any:
        """A model whose variables are where the replicas look for them."""
        with self.scope():
            return build()

    def fit(self, model: Any, x: Any, y: Any, batch: int, epochs: int) -> list[float]:
        """Losses of the epochs of Keras' own fit, without shuffling; `batch` is that of all replicas together."""
        return model.fit(x, y, batch_size=batch, epochs=epochs, shuffle=False, verbose=0).history["loss"]


class Replicas(One):
    """Several devices of one process."""

    def watch(self, model: Any) -> list[int]:
        """A list that gets the number of images of every step of every replica."""
        seen: list[int] = []
        step = model.train_step

        def counted(data: Any) -> Any:
            tensorflow.numpy_function(lambda images: seen.append(int(images)), [tensorflow.shape(data[0])[0]], [])
            return step(data)

        model.train_step = counted
        return seen

    def __init__(self, count: int, rank: int, folder: Path) -> None:
        gpus = tensorflow.config.get_visible_devices("GPU")
        kind = "GPU" if len(gpus) >= count else "CPU"
        self.strategy = tensorflow.distribute.MirroredStrategy([f"{kind}:{place}" for place in range(count)])

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return self.strategy.scope()


def prepare(count: int) -> None:
    """Divide the CPU into logical devices where there are too few GPUs. Call it before TensorFlow has computed anything."""
    if len(tensorflow.config.get_visible_devices("GPU")) >= count:
        return
    cpu = tensorflow.config.list_physical_devices("CPU")[0]
    tensorflow.config.set_logical_device_configuration(cpu, [tensorflow.config.LogicalDeviceConfiguration()] * count)
