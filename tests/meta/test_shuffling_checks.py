"""Do the checks of shuffling fail where epochs, or seeds, have one order?"""

import numpy as np
import pytest

from tests import test_stochastic as checks
from tests.support.orders import EIGHTHS, FULL_MNIST

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


def counted(order):
    """What `counted_in_fit` counts where an epoch shows row numbers in this order."""
    rows = [order[at : at + BATCH] for at in range(0, FULL_MNIST, BATCH)]
    parts, numbers = (
        [np.bincount(each, minlength=EIGHTHS) for each in found] for found in zip(*map(groups, rows), strict=True)
    )
    return np.concatenate([parts, numbers], axis=1)


def groups(rows):
    """The part of the data and the number modulo EIGHTHS of each row."""
    return rows * EIGHTHS // FULL_MNIST, rows % EIGHTHS


def nearby():
    """An order in which each row stays within 8,192 places of its own, as a small buffer leaves it."""
    return np.argsort(np.arange(FULL_MNIST) + np.random.default_rng(3).integers(0, 8192, FULL_MNIST))


def test_an_order_of_many_samples_is_judged(monkeypatch):
    """Of 60,000 samples a random order passes; one of a small buffer fails, and one that shows some rows twice."""
    random = np.random.default_rng(5).permutation(FULL_MNIST)
    monkeypatch.setattr(checks, "counted_in_fit", lambda seed: counted(random))
    checks.test_shuffling_of_full_mnist(0)
    for order, told in (
        (nearby(), "members of each eighth of the data in each batch.*too uneven"),
        (random % 2**15, "how many of each eighth of the data were shown"),
        (np.arange(FULL_MNIST).reshape(EIGHTHS, -1).T.ravel(), "members of each eighth of the data in each batch.*too even"),
    ):
        monkeypatch.setattr(checks, "counted_in_fit", lambda seed, order=order: counted(order))
        with pytest.raises(pytest.fail.Exception, match=f"(?s){told}"):
            checks.test_shuffling_of_full_mnist(0)
