"""Do the harness' batches have every sample once per epoch, in the requested order?"""

import numpy as np
import pytest

from cnnspec import mnist, pipeline, training
from cnnspec.compat import seed_everything

SAMPLES = 1000
NUMBERS = np.arange(SAMPLES, dtype="float32").reshape(-1, 1)

only_here = pytest.mark.skipif(
    not pipeline.available(),
    reason="the harness' batches need Keras 3.15 on TensorFlow; this stack is trained with Keras' own fit",
)


def epochs(reshuffle, count=3):
    """Orders of the samples in `count` epochs of one pipeline, (epochs, samples)."""
    dataset = pipeline.batches(NUMBERS, NUMBERS, 128, reshuffle)
    shown = []
    for _ in range(count):
        images, labels = zip(*((x.numpy()[:, 0], y.numpy()[:, 0]) for x, y in dataset), strict=True)
        assert [len(batch) for batch in images] == [128] * 7 + [104]
        assert np.array_equal(np.concatenate(images), np.concatenate(labels))
        shown.append(np.concatenate(images))
    return np.array(shown)


@only_here
def test_reshuffled_epochs_have_new_orders():
    """With a seed for reshuffling, each epoch has every sample once and in a new order; the same seed repeats all orders."""
    shown = epochs(5)
    assert np.array_equal(np.sort(shown), np.tile(NUMBERS[:, 0], (3, 1)))
    correlations = np.corrcoef([NUMBERS[:, 0], *shown])[np.triu_indices(4, 1)]
    assert abs(correlations).max() < 4.9 / np.sqrt(SAMPLES - 3)  # false-alarm rate 1e-6 per pair, by Fisher's transformation
    assert np.array_equal(shown, epochs(5))
    assert not np.array_equal(shown, epochs(6))


@only_here
def test_a_seeded_fits_epochs_have_one_order():
    """Without that seed every epoch repeats the first one's order, like Keras' own seeded fit of arrays on TensorFlow."""
    seed_everything(3)
    shown = epochs(None)
    assert np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], NUMBERS[:, 0])


class Asked(Exception):
    """The settings that a training passed to `fitting`."""


@pytest.mark.parametrize(("dataset", "reshuffle"), [("mnist5k", None), ("mnist", 7)])
def test_full_mnist_is_reshuffled(monkeypatch, dataset, reshuffle):
    """Full MNIST is reshuffled every epoch with the run's seed; the embedded digits are shuffled as the stack does it."""

    def fitting(model, data, **settings):
        raise Asked(settings)

    monkeypatch.setattr(training, "fitting", fitting)
    labels = np.eye(10, dtype="float32")
    images = np.zeros((10, 28, 28, 1), "float32")
    with pytest.raises(Asked) as asked:
        training.train("model2", mnist.Dataset(dataset, images, labels, images, labels), seed=7, verbose=0)
    assert asked.value.args == ({"reshuffle": reshuffle},)
