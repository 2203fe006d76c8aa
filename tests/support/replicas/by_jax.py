"""Replicas of JAX: Keras' DataParallel on GPUs where there are enough, else on devices into which XLA divides the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras

from tests.support.replicas.one import One


def prepare(count: int) -> None:
    """Nothing: XLA_FLAGS has divided the CPU."""


class Replicas(One):
    """Several devices of one process, from now on."""

    def watch(self, model: Any) -> list[int]:
        """A list that gets the number of images of each device, when the step is compiled."""
        seen: list[int] = []
        step = model.train_step

        def counted(state: Any, data: Any) -> Any:
            images = data[0]

            def told(sharding: Any) -> None:
                seen.extend(sharding.shard_shape(images.shape)[0] for _ in sharding.device_set)

            jax.debug.inspect_array_sharding(images, callback=told)
            return step(state, data)

        model.train_step = counted
        return seen

    def __init__(self, count: int, rank: int, folder: Path) -> None:
        there = keras.distribution.list_devices()
        if len(there) < count:
            raise RuntimeError(f"{count} replicas need as many devices; JAX shows {', '.join(there)}")
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=there[:count]))
