"""The first steps of training without randomness: weights drawn by NumPy, fixed batches in order, dropout off.

Every stack, also the notebook's own of 2019, and the float64 implementation compute the same steps, so that they can be
compared number by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from cnnspec.mnist import Dataset  # it needs Keras, and these steps do not

STEPS = 30
BATCH = 16  # images per step; few, because the float64 implementation is slow
WITNESSES = 64  # test images that are predicted after the last step
SEED = 1905
OPTIMIZERS = ("adam", "sgd")  # of training.OPTIMIZERS
SGD_RATE = 0.001


class Trajectory(NamedTuple):
    """Loss and norms of the variables at each step, and the probabilities that are predicted after the last step."""

    losses: np.ndarray  # (STEPS,)
    norms: np.ndarray  # (STEPS, variables), of every variable after the step, in the order of `weight_names`
    probabilities: np.ndarray  # (WITNESSES, 10), of the first test images


def draw_weights(shapes: Iterable[Sequence[Sequence[int]]], seed: int = SEED) -> list[list[np.ndarray]]:
    """Weights of a model, one list of float32 arrays per layer, for the shapes of each layer's weights in Keras' order.

    Kernels are uniform with LeCun's bound √(3 / fan in), which keeps the softmax from saturating. Every second input
    channel has the negative weights of the one before it: otherwise the mean of an image could turn a unit off for a whole
    batch, and a BatchNormalization behind that unit would magnify rounding. Biases are uniform in ±0.05.
    BatchNormalization's gamma, beta, moving mean and moving variance lie around 1, 0, 0, 1. The stream of RandomState is
    frozen (NEP 19), so the weights are the same on every stack.
    """
    generator = np.random.RandomState(seed)

    def uniform(shape: Sequence[int], low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, size=tuple(int(length) for length in shape)).astype("float32")

    drawn: list[list[np.ndarray]] = []
    for layer in shapes:
        if len(layer) == 4:
            bounds = ((0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1), (0.6, 1.4))
            drawn.append([uniform(shape, *bound) for shape, bound in zip(layer, bounds)])
        elif len(layer) == 2:
            kernel, bias = layer
            limit = np.sqrt(3.0 / np.prod([int(length) for length in kernel[:-1]]))
            array = uniform(kernel, -limit, limit)
            pairs = array.shape[-2] // 2
            array[..., 1 : 2 * pairs : 2, :] = -array[..., 0 : 2 * pairs : 2, :]
            drawn.append([array, uniform(bias, -0.05, 0.05)])
        else:
            drawn.append([])
    return drawn


def weight_names(layers: Iterable[str]) -> list[str]:
    """Name of each weight array, `row-class/array`, for the layer classes of a model in order."""
    arrays = {
        "Conv2D": ("kernel", "bias"),
        "Dense": ("kernel", "bias"),
        "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    }
    return [f"{row}-{name}/{array}" for row, name in enumerate(layers, start=1) for array in arrays.get(name, ())]


def batches(data: Dataset, steps: int = STEPS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The first `steps` batches of the train set of a Dataset, in its order: (images, one-hot labels) pairs."""
    for step in range(steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        yield data.x_train[rows], data.y_train[rows]


def norms(weights: Iterable[np.ndarray]) -> list[float]:
    """Euclidean norm of each array, in float64."""
    return [float(np.linalg.norm(np.asarray(array, np.float64))) for array in weights]
