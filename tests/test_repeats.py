"""Does one training step give the same every time, from the same weights and batch, in compiled steps?

A fault that strikes in one step of twenty shows in no single comparison with float64; here it is named intermittent.
"""

import pytest

from cnnspec.facts import reading
from tests.support import repeats

NEXT = (
    "run it again with one thread (TF_NUM_INTRAOP_THREADS=1, OMP_NUM_THREADS=1) and on another device; look for races in "
    "copies from host to device, and for memory errors (ECC, dmesg)"
)
# model2 is the cheapest, model4 has every kind of layer: two hundred steps in all.
CASES = [
    pytest.param(repeats.by_fit, "model2", 120, id="model2-fit"),
    pytest.param(repeats.by_train_on_batch, "model4", 80, id="model4-train_on_batch"),
]


@pytest.mark.parametrize(("way", "model", "steps"), CASES)
def test_a_step_repeats(way, model, steps):
    """Loss and all gradients of each step are those of the first, but for the order of summation."""
    repeats.judged(
        f"{model}, one training step {steps} times, {way.__name__.removeprefix('by_')}",
        way(model, steps),
        reading.tolerance("repeats"),
        next=NEXT,
    )
