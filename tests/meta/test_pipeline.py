"""Do the harness' batches have every sample once per epoch, in the requested order, and only where they are Keras' own?"""

import functools
import random
import re

import keras
import numpy as np
import pytest
from packaging.version import Version

from cnnspec import mnist, pipeline, training
from cnnspec.compat import backend, seed_everything

SAMPLES = 1000
NUMBERS = np.arange(SAMPLES, dtype="float32").reshape(-1, 1)

only_here = pytest.mark.skipif(
    not pipeline.available(),
    reason="the harness' batches need Keras 3.15 on TensorFlow; this stack is trained with Keras' own fit",
)
# Keras whose own batches of arrays are the harness': compared with 3.3.3 and 3.15.1. Previews of 3.16 have others.
KNOWN = backend() == "tensorflow" and Version("3.3") <= Version(keras.__version__) < Version("3.16.dev0")
only_known = pytest.mark.skipif(not KNOWN, reason="defects are put into the adapter of Keras 3.3 to 3.15 on TensorFlow")


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


@only_known
def test_known_versions_keep_the_harness_batches():
    """With the adapter of Keras 3.3 to 3.15 nothing differs; from 3.15 on the harness' batches are used."""
    assert pipeline.difference() is None
    assert pipeline.available() == (Version(keras.__version__) >= Version("3.15"))


def stateless(adapter, original):
    """One order for every seed and epoch, as in the previews of Keras 3.16."""
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.random, "shuffle", lambda rows: tf.random.experimental.stateless_shuffle(rows, seed=[0, 0]))
        return original(adapter)


def in_file_order(adapter, original):
    """Nothing is shuffled."""
    adapter._shuffle = False
    return original(adapter)


def new_every_epoch(adapter, original):
    """Seeded, and yet a new order in each epoch."""
    dataset = original(adapter).unbatch().shuffle(pipeline.PROBED, seed=3, reshuffle_each_iteration=True)
    return dataset.batch(pipeline.BATCH_PROBED)


def whole_batches_only(adapter, original):
    """The partial batch is left out."""
    return original(adapter).unbatch().batch(pipeline.BATCH_PROBED, drop_remainder=True)


def labels_of_others(adapter, original):
    """Each label goes with another image of its batch."""
    return original(adapter).map(lambda x, y: (x, y[::-1]))


def unknown(adapter, original):
    """The adapter has become something else."""
    raise NotImplementedError("arrays are read elsewhere")


@only_known
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (stateless, "with seed 1 batch 1 of two epochs"),
        (in_file_order, r"rows \[\[0, 1, 2, 3\], \[0, 1, 2, 3\]\] in Keras"),
        (new_every_epoch, "with seed 1 batch 1 of two epochs"),
        (whole_batches_only, "Keras' adapter of arrays is not the one known: OutOfRangeError"),
        (labels_of_others, "with seed 1 batch 1 of two epochs"),
        (unknown, "Keras' adapter of arrays is not the one known: NotImplementedError: arrays are read elsewhere"),
    ],
)
def test_a_changed_adapter_is_noticed(change, told, monkeypatch):
    """The difference is said in words, and the harness then trains by Keras' own `fit` of arrays, in single steps."""
    from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

    original = ArrayDataAdapter.get_tf_dataset
    monkeypatch.setattr(ArrayDataAdapter, "get_tf_dataset", lambda adapter: change(adapter, original))
    monkeypatch.setattr(pipeline, "difference", functools.cache(pipeline.difference.__wrapped__))
    assert re.search(told, pipeline.difference())
    assert not pipeline.available()
    assert pipeline.compile_settings() == {}
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    data = mnist.Dataset("mnist5k", NUMBERS, NUMBERS, NUMBERS, NUMBERS)
    assert training.fitting(model, data).args == (NUMBERS, NUMBERS)


@only_known
def test_looking_for_a_difference_changes_no_draw():
    """Python, NumPy, Keras and TensorFlow draw the same numbers after a seed, whether or not the adapter is looked at."""
    import tensorflow as tf

    def drawn(look):
        seed_everything(3)
        look()
        kernel = keras.initializers.GlorotUniform()((1, 1))
        return [random.random(), np.random.random(), float(tf.random.uniform(())), float(np.ravel(kernel)[0])]

    assert drawn(lambda: None) == drawn(pipeline.difference.__wrapped__)


@only_known
def test_a_difference_in_the_second_epoch_is_noticed(monkeypatch):
    """Keras' own batches are the harness' in the first epoch, and come in another order in the second."""

    class Changing:
        def __init__(self, dataset):
            self.datasets = iter([dataset, dataset.map(lambda x, y: (x[::-1], y[::-1]))])

        def __iter__(self):
            return iter(next(self.datasets))

    monkeypatch.setattr(pipeline, "_of_keras", lambda numbers: (Changing(pipeline._of_harness(numbers)[0]), lambda: None))
    assert "with seed 1 batch 4 of two epochs has images and labels" in pipeline.difference.__wrapped__()


@only_known
def test_a_difference_under_the_second_seed_is_noticed(monkeypatch):
    """Keras' own batches are the harness' under seed 1 alone."""
    shown = pipeline._shown
    other = lambda dataset, seed: shown(dataset, 1 if dataset is pipeline._of_keras else seed)  # noqa: E731
    monkeypatch.setattr(pipeline, "_shown", other)
    assert "with seed 2 batch 1 of two epochs has images and labels" in pipeline.difference.__wrapped__()


@pytest.mark.parametrize(("version", "known"), [((3, 14, 2), False), ((3, 15, 0), True), ((4, 0), True)])
def test_steps_are_joined_from_keras_3_15_on(monkeypatch, version, known):
    """Where nothing differs, the version decides."""
    monkeypatch.setattr(pipeline, "KERAS_VERSION", version)
    monkeypatch.setattr(pipeline, "difference", lambda: None)
    assert pipeline.available() == (known and backend() == "tensorflow")


@only_here
def test_tf_data_changes_nothing_by_itself():
    """No thread tunes the pipeline, which makes `fit` wait (baselines/benchmarks), and nothing of it is rewritten."""
    options = pipeline.batches(NUMBERS, NUMBERS, 128).options()
    assert (options.autotune.enabled, options.experimental_optimization.apply_default_optimizations) == (False, False)
