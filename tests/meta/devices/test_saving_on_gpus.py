"""What does the saving tier allow a GPU, whose second training may add up in another order, and what not?"""

import numpy as np
import pytest

from tests import test_saving

BEFORE = np.linspace(-1, 1, 64).astype("float32")
AFTER = BEFORE + np.float32(0.003) * np.sign(np.sin(np.arange(64)))  # three of Adam's first steps


@pytest.fixture
def gpu(monkeypatch):
    """A GPU for the tier."""
    monkeypatch.setattr(test_saving, "RELATIVE", 1e-3)


def other(share):
    """AFTER, moved by a share of its movement too far."""
    return AFTER + np.float32(share) * (AFTER - BEFORE)


def test_a_gpu_may_round_otherwise(gpu):
    """A step of one weight in the other direction is rounding; so are two per cent of the movement of all."""
    test_saving.moved_alike("weight", BEFORE, AFTER, other(0.02))
    flipped = AFTER.copy()
    flipped[5] += np.float32(0.0006)
    test_saving.moved_alike("weight", BEFORE, AFTER, flipped)


@pytest.mark.parametrize("wrong", [other(0.1), BEFORE, AFTER * np.nan], ids=["a tenth too far", "not moved", "NaN"])
def test_a_gpu_must_move_alike(gpu, wrong):
    """Slots that were lost change the movement by tens of per cent."""
    with pytest.raises(pytest.fail.Exception, match="difference from the saved model's, relative to their movement"):
        test_saving.moved_alike("weight", BEFORE, AFTER, wrong)


def test_a_cpu_repeats_its_bits():
    """One bit of one weight counts."""
    bit = AFTER.copy()
    bit[5] = np.nextafter(bit[5], np.float32(9))
    test_saving.moved_alike("weight", BEFORE, AFTER, AFTER.copy())
    with pytest.raises(pytest.fail.Exception, match="1 of 64 numbers differ"):
        test_saving.moved_alike("weight", BEFORE, AFTER, bit)


def test_a_weight_that_does_not_move_stays(gpu):
    """Where the saved model's did not move, the other's may not either."""
    test_saving.moved_alike("weight", BEFORE, BEFORE, BEFORE.copy())
    with pytest.raises(pytest.fail.Exception, match="numbers differ"):
        test_saving.moved_alike("weight", BEFORE, BEFORE, AFTER)
