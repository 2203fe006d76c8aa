"""Limits of this hardware, measured with the backend under test: a matrix product, and an addition in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

SIZE = {"cpu": 2048, "gpu": 8192}  # rows and columns of the matrices
COPIED = 2**26  # float32 numbers, 256 MiB: more than any cache holds
REPEATS = 5


def measure(
    precision: str = "float32", gpu: bool = False, size: int | None = None, copied: int = COPIED, repeats: int = REPEATS
) -> dict[str, float]:
    """{"gflops": of a square matrix product, "gbytes": per second of an addition}, the best of `repeats`.

    `precision` is the policy of the model; the product is computed in its compute type. The addition reads and writes each
    number once, and allocates its result. Needs Keras 3 (keras.ops).
    """
    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    size = size or SIZE["gpu" if gpu else "cpu"]
    generator = np.random.RandomState(0)
    matrix = keras.ops.cast(keras.ops.convert_to_tensor(generator.rand(size, size).astype("float32")), dtype)
    product = best(lambda: keras.ops.matmul(matrix, matrix), repeats)
    numbers = keras.ops.zeros((copied,), "float32")
    addition = best(lambda: numbers + 1.0, repeats)
    return {"gflops": 2 * size**3 / product / 1e9, "gbytes": 2 * 4 * copied / addition / 1e9}


def best(compute: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of `repeats` computations, after one that is not counted."""

    def seconds() -> float:
        started = time.perf_counter()
        wait(compute())
        return time.perf_counter() - started

    seconds()
    return min(seconds() for _ in range(repeats))


def wait(tensor: Any) -> None:
    """Wait until a tensor is computed, by reading one number of it."""
    keras.ops.convert_to_numpy(keras.ops.cast(tensor[(0,) * len(tensor.shape)], "float32"))  # NumPy has no bfloat16
