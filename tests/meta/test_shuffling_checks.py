"""Do the checks of shuffling fail where epochs, or seeds, have one order?"""

import numpy as np
import pytest

from tests import test_stochastic as checks

SAMPLES, BATCH = 1000, 128


class Shown:
    """What a Roll notes of two epochs: the samples in each batch."""

    def __init__(self, *orders):
        self.batches = [[set(order[at : at + BATCH].tolist()) for at in range(0, SAMPLES, BATCH)] for order in orders]


def orders(seed):
    """Two orders of the samples, drawn from a seed."""
    generator = np.random.default_rng(seed)
    return [generator.permutation(SAMPLES) for _ in range(2)]


def test_one_order_for_all_seeds_is_seen(monkeypatch):
    """Two seeds with the same orders fail, also in the second epoch alone; other orders pass."""
    monkeypatch.setattr(checks, "seen_in_fit", lambda seed: Shown(*orders(seed + 5)))
    checks.test_shuffling_depends_on_the_seed()
    monkeypatch.setattr(checks, "seen_in_fit", lambda seed: Shown(*orders(5)))
    with pytest.raises(pytest.fail.Exception, match=r"(?s)in epoch 1 under seeds 0 and 1.*obtained  1\n"):
        checks.test_shuffling_depends_on_the_seed()
    monkeypatch.setattr(checks, "seen_in_fit", lambda seed: Shown(orders(seed + 5)[0], orders(9)[0]))
    with pytest.raises(pytest.fail.Exception, match=r"(?s)in epoch 2 under seeds 0 and 1.*obtained  1\n"):
        checks.test_shuffling_depends_on_the_seed()


def test_one_order_for_all_epochs_is_seen(monkeypatch):
    """Two epochs with one order fail; other orders pass."""
    monkeypatch.setattr(checks, "seen_in_fit", lambda seed: Shown(*orders(5)))
    checks.test_shuffling_is_new_every_epoch(None)
    monkeypatch.setattr(checks, "seen_in_fit", lambda seed: Shown(orders(5)[0], orders(5)[0]))
    with pytest.raises(pytest.fail.Exception, match=r"(?s)in epoch 1 and in epoch 2.*obtained  1\n"):
        checks.test_shuffling_is_new_every_epoch(None)
