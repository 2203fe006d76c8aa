"""The worst element of a tensor: one wrong element of a million hardly moves a norm over all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cnnspec.oracle.layers import run_layer
from tests.support import numerics


class Scales:
    """For each element of a layer's output and gradients, an upper limit of the sum of the absolute values of its terms.

    Only for the layers that sum products, Conv2D and Dense. Each element is a sum Σ aₖ bₖ, and Σ |aₖ bₖ| ≤ ‖a‖₂ ‖b‖₂ (Cauchy
    and Schwarz); the norms of windows, filters and gradients come from the layer with a single filter or unit, so that
    they cost little beside the layer itself.
    """

    def __init__(self, layer: dict[str, Any], weights: list[np.ndarray], inputs: np.ndarray) -> None:
        self.kernel, self.bias = (np.asarray(array, np.float64) for array in weights)
        self.single = {**layer, "filters": 1, "units": 1, "activation": "linear"}
        self.inputs = np.asarray(inputs, np.float64)

    def output(self) -> np.ndarray:
        """Scale of each element of the output, before the activation."""
        ones = np.ones((*self.kernel.shape[:-2], 1, 1))  # all channels of an input weigh the same: they are summed first
        windows, _ = run_layer(self.single, [ones, np.zeros(1)], (self.inputs**2).sum(axis=-1, keepdims=True))
        return np.sqrt(windows) * np.linalg.norm(self.kernel.reshape(-1, self.kernel.shape[-1]), axis=0) + np.abs(self.bias)

    def gradients(self, gradient: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Scales of the gradient at the input and of kernel and bias, for a gradient at the output."""
        norms = np.linalg.norm(self.kernel, axis=-1, keepdims=True)
        _, pullback = run_layer(self.single, [norms, np.zeros(1)], self.inputs)
        input_scale, _ = pullback(np.linalg.norm(gradient, axis=-1, keepdims=True))
        squares = (self.inputs**2).sum(axis=0, keepdims=True)  # every image weighs the same: they are summed first
        _, of_squares = run_layer(self.single, [norms, np.zeros(1)], squares)
        _, (sums, _) = of_squares(np.ones((1, *gradient.shape[1:-1], 1)))
        flat = np.asarray(gradient, np.float64).reshape(-1, gradient.shape[-1])
        return input_scale, [np.sqrt(sums) * np.linalg.norm(flat, axis=0), np.abs(flat).sum(axis=0)]


def normalised(epsilon: float, inputs: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The same for the gradient of a BatchNormalization's gamma: Σ |g x| / √(variance + ε), per channel (the last axis).

    Where every image is the same, x is its own mean: the gradient is exactly zero, and rounding is all that can be found.
    """
    axes, x = tuple(range(inputs.ndim - 1)), np.asarray(inputs, np.float64)
    return np.abs(gradient * x).sum(axis=axes) / np.sqrt(x.var(axis=axes) + epsilon)


class Element(NamedTuple):
    """The worst element of a tensor: its place, its two values, its error in units of the rounding of its scale."""

    place: tuple[int, ...]
    expected: float
    obtained: float
    units: float

    def __str__(self) -> str:
        return f"{self.place}, expected {self.expected:.7g}, obtained {self.obtained:.7g}"


def worst(obtained: np.ndarray, expected: np.ndarray, scale: np.ndarray, undecided: np.ndarray | float = 0.0) -> Element:
    """The element with the largest error by its own scale; a NaN is the worst.

    A unit is the scale times float32's unit roundoff: a sum of n terms is off by at most n − 1 units, by about √n of them
    (Higham, *Accuracy and Stability of Numerical Algorithms*, section 4.2). `undecided` is how much of an element depends
    on rounding alone (a ReLU whose sum is nearly zero). Where the scale is zero, any difference is infinitely many units.
    """
    obtained, expected = np.asarray(obtained, np.float64), np.asarray(expected, np.float64)
    distance = np.maximum(np.abs(obtained - expected) - undecided, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.where(distance == 0, 0.0, distance / (numerics.UNIT_ROUNDOFF["float32"] * scale))
    units = np.where(np.isnan(units), np.inf, units)
    place = np.unravel_index(int(units.argmax()), units.shape)
    return Element(tuple(int(axis) for axis in place), float(expected[place]), float(obtained[place]), float(units[place]))
