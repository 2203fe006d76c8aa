"""The update rules of the optimizers in float64: one array at a time, or all arrays of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnnspec.oracle.layers import Array

Update = Callable[..., tuple[Array, Any]]  # (weight, gradient, slots, **hyperparameters) -> (new weight, new slots)


def sgd_update(
    weight: ArrayLike, gradient: ArrayLike, slots: tuple[()] | None = None, *, learning_rate: float
) -> tuple[Array, tuple[()]]:
    """(weight - learning_rate gradient, ()): plain gradient descent has no slots."""
    return np.asarray(weight, np.float64) - learning_rate * np.asarray(gradient, np.float64), ()


def adam_update(
    weight: ArrayLike,
    gradient: ArrayLike,
    slots: tuple[Array, Array, int] | None = None,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[Array, tuple[Array, Array, int]]:
    """(new weight, new slots) of one array; slots are (m, v, step), and None, all 0, before the first step.

    step += 1, m = beta_1 m + (1 - beta_1) g, v = beta_2 v + (1 - beta_2) g^2,
    w -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon). Source: Kingma & Ba
    2015, algorithm 1, in the order at the end of section 2, as Keras does: epsilon is "epsilon hat".
    """
    weight, gradient = np.asarray(weight, np.float64), np.asarray(gradient, np.float64)
    m, v, step = slots or (np.zeros_like(weight), np.zeros_like(weight), 0)
    step += 1
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    rate = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    return weight - rate * m / (np.sqrt(v) + epsilon), (m, v, step)


def optimize(
    update: Update,
    weights: Sequence[Sequence[Array]],
    gradients: Sequence[Sequence[ArrayLike | None]],
    slots: Sequence[Sequence[Any]] | None = None,
    **hyperparameters: float,
) -> tuple[list[list[Array]], list[list[Any]]]:
    """(new weights, new slots): `update` of every array of every layer whose gradient is not None."""
    slots = slots or [[None] * len(group) for group in weights]
    updated = [
        [(w, s) if g is None else update(w, g, s, **hyperparameters) for w, g, s in zip(*layer, strict=True)]
        for layer in zip(weights, gradients, slots, strict=True)
    ]
    return [[w for w, _ in layer] for layer in updated], [[s for _, s in layer] for layer in updated]
