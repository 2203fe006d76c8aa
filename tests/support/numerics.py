"""How far a stack is from float64, what precision that distance betrays, and what its declared precision allows."""

import math

import numpy as np

from cnnspec import stack
from cnnspec.facts import reading

# Largest relative error of one rounding, 2^-p for p significant bits (IEEE 754; bfloat16 and TF32 by their makers' formats).
UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
# A sum of products whose factors were rounded to p bits is off by 0.2 to 1 unit roundoffs of p, so the limits below lie
# between neighbours, as geometric means: what is at most the limit looks like the precision named.
BETRAYED = (
    (1e-12, "float64"),
    (2e-5, "float32"),
    (8e-4, "TF32 or float16"),
    (1e-2, "bfloat16"),
)
POLICIES = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def declared():
    """Precision that products are declared to be computed in: Keras' policy, TF32 where a GPU has it switched on."""
    policy = stack.precision()
    if policy == "float32" and stack.current().get("tf32") not in (None, "off"):
        return "tf32"
    return POLICIES.get(policy, policy)


def error(obtained, expected):
    """‖obtained − expected‖₂ / ‖expected‖₂ in float64; infinite for a NaN, or for anything but zeros where zeros are due."""
    obtained, expected = np.asarray(obtained, np.float64), np.asarray(expected, np.float64)
    if obtained.shape != expected.shape:
        raise ValueError(f"shapes {obtained.shape} and {expected.shape} cannot be compared")
    distance, size = np.linalg.norm(obtained - expected), np.linalg.norm(expected)
    if math.isnan(distance):
        return math.inf
    if size == 0:
        return 0.0 if distance == 0 else math.inf
    return float(distance / size)


def share(part, whole):
    """‖part‖₂ / ‖whole‖₂, 0 for no part at all."""
    size = float(np.linalg.norm(part))
    return size / float(np.linalg.norm(whole)) if size else 0.0


def betrayed(error):
    """Name of the precision that an error of a product betrays."""
    for limit, name in BETRAYED:
        if error <= limit:
            return name
    return "none: the operation itself differs"


def bound(layer, quantity):
    """Largest accepted error of a quantity of a layer class under the declared precision, and its reason."""
    entry = reading.tolerance("numerics")[layer]
    roundoff = UNIT_ROUNDOFF[declared()]
    return entry[quantity] + (16 * roundoff if roundoff > UNIT_ROUNDOFF["float32"] else 0.0), entry["why"]
