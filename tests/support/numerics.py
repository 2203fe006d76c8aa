"""The error of a stack relative to float64, the precision it is typical of, the limit for the declared precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from cnnspec import stack
from cnnspec.benchmarks.flops import cheapest
from cnnspec.facts import reading

# Largest relative error of one rounding, 2^-p for p significant bits (IEEE 754; bfloat16 and TF32 by their makers' formats).
UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
PRODUCTS = ("Conv2D", "Dense")  # the layers that multiply, possibly in a lower precision
CHEAPEST = cheapest()
TYPICAL = {"TF32 or float16": UNIT_ROUNDOFF["tf32"], "bfloat16": UNIT_ROUNDOFF["bfloat16"]}
POLICIES = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


WITH_TF32 = {"on": PRODUCTS, "convolutions only": ("Conv2D",), "matrix products only": ("Dense",)}


def declared(layer: str = "") -> str:
    """The declared precision of products: Keras' policy, or the lower one that the stack says its device computes in.

    That is TF32 where a GPU has it and has it switched on, and bfloat16 on a TPU. PyTorch switches TF32 for convolutions and
    for matrix products apart; `layer`, one of PRODUCTS, asks for one of them, and anything else for the lowest of all.
    """
    policy = stack.precision()
    if policy == "float32":
        facts = stack.current()
        shortened = WITH_TF32.get(facts.get("tf32", ""), ())
        if layer in shortened or (shortened and layer not in PRODUCTS):
            return "tf32"
        return str(facts.get("products", policy))
    return POLICIES.get(policy, policy)


def error(obtained: ArrayLike, expected: ArrayLike) -> float:
    """‖obtained − expected‖₂ / ‖expected‖₂ in float64.

    Infinite for a NaN, and where zeros are expected and something else is obtained.
    """
    obtained, expected = np.asarray(obtained, np.float64), np.asarray(expected, np.float64)
    if obtained.shape != expected.shape:
        raise ValueError(f"shapes {obtained.shape} and {expected.shape} cannot be compared")
    distance, size = np.linalg.norm(obtained - expected), np.linalg.norm(expected)
    if math.isnan(distance):
        return math.inf
    if size == 0:
        return 0.0 if distance == 0 else math.inf
    return float(distance / size)


def as_numpy(tensor: Any) -> np.ndarray:
    """A tensor of the backend as a NumPy array."""
    return keras.ops.convert_to_numpy(tensor) if hasattr(keras, "ops") else tensor.numpy()


def share(part: ArrayLike, whole: ArrayLike) -> float:
    """‖part‖₂ / ‖whole‖₂; 0 where the part is zero."""
    size = float(np.linalg.norm(part))
    return size / float(np.linalg.norm(whole)) if size else 0.0


def typical_of(layer: str, error: float) -> str:
    """The lower precision that a layer's error is typical of; empty where that would be a guess.

    A precision is named only for layers that multiply, and only for an error of 0.2 to 1 unit roundoffs of it.
    """
    found = [name for name, roundoff in TYPICAL.items() if 0.2 * roundoff <= error <= roundoff]
    return found[0] if found and layer in PRODUCTS else ""


def element_bound(layer: str, quantity: str) -> tuple[float, str]:
    """Largest accepted error of a single element, in roundings of its scale in the declared precision, and the reason."""
    entry = reading.tolerance(f"elements.{layer}")
    return entry[quantity] * max(1.0, UNIT_ROUNDOFF[declared(layer)] / UNIT_ROUNDOFF["float32"]), entry["why"]


def with_products(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A tolerance whose `relative` holds for float32, widened by its `roundoffs` of the products' lowest declared precision.

    Two batch sizes may have kernels of another precision each, where a GPU's library chooses them by measuring.
    """
    roundoff = UNIT_ROUNDOFF[declared()]
    widened = entry["roundoffs"] * roundoff if roundoff > UNIT_ROUNDOFF["float32"] else 0.0
    return {**entry, "relative": entry["relative"] + widened}


def bound(layer: str, quantity: str) -> tuple[float, str]:
    """The limit of the error of a quantity of a layer class under the declared precision, and the limit's reason."""
    entry = reading.tolerance(f"numerics.{layer}")
    roundoff = UNIT_ROUNDOFF[declared(layer)]
    return entry[quantity] + (16 * roundoff if roundoff > UNIT_ROUNDOFF["float32"] else 0.0), entry["why"]
