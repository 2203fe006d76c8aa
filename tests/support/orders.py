"""The order in which `fit` shows samples, noted by a model whose weights tell which were in a batch."""

import functools

import keras
import numpy as np
import pytest

from cnnspec.compat import backend, seed_everything
from cnnspec.mnist import Dataset
from cnnspec.training import batch_size, fitting
from tests.support import determinism
from tests.support.bookkeeping import loss

RESHUFFLED = "as full MNIST"
FULL_MNIST, EIGHTHS = 60_000, 8  # samples; parts of them that `counted_in_fit` counts


class Roll(keras.callbacks.Callback):
    """Records the samples of each batch: the kernel starts an epoch at zero, and a batch changes only its samples' rows."""

    def __init__(self):
        super().__init__()
        self.batches, self.labels = [], []

    def kernel(self):
        if hasattr(self.model, "jax_state_sync"):  # Keras on JAX updates the layers' weights only after an epoch
            self.model.jax_state_sync()
        return self.model.layers[0].get_weights()[0]

    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[0].set_weights([np.zeros_like(self.kernel())])
        self.batches.append([])

    def on_train_batch_end(self, batch, logs=None):
        moved = set(np.flatnonzero(np.abs(self.kernel()).sum(axis=1)).tolist())
        self.batches[-1].append(moved - set().union(*self.batches[-1]))

    def on_epoch_end(self, epoch, logs=None):
        self.labels.append(self.kernel().argmax(axis=1))


@functools.cache
def seen_in_fit(seed, samples=1000, batch=batch_size, epochs=4):
    """A Roll of `fit`, by default with the suite's batch size, and Keras' shuffling, under a seed or, with None, without.

    RESHUFFLED is the order in which the harness shows full MNIST, where it makes the batches itself. Sample k is the k-th
    unit vector, its label is k mod 10: in its row of the kernel, the column of the label grows.
    """
    if seed is None and determinism.needs_seeds():
        pytest.skip("TensorFlow's deterministic operations are on, and refuse random numbers without a seed")
    seed_everything(seed if isinstance(seed, int) else 0)
    if seed is None and backend() == "tensorflow":
        import tensorflow

        tensorflow.random.set_seed(None)
    model = keras.Sequential([keras.Input(shape=(samples,)), keras.layers.Dense(10, use_bias=False)])
    model.compile(loss="mean_squared_error", optimizer=keras.optimizers.SGD(1.0))
    roll = Roll()
    labels = np.eye(10, dtype="float32")[np.arange(samples) % 10]
    x = np.eye(samples, dtype="float32")
    if seed == RESHUFFLED:
        fit = fitting(model, Dataset("unit vectors", x, labels, x, labels), batch, reshuffle=7)
    else:
        fit = functools.partial(model.fit, x, labels, batch_size=batch)
    fit(epochs=epochs, verbose=0, callbacks=[roll])
    return roll


def places(roll):
    """The place of each sample in the data, and the number of its batch in each epoch."""
    count = sum(map(len, roll.batches[0]))
    orders = {"the data": np.arange(count)}
    for epoch, batches in enumerate(roll.batches, 1):
        found = {sample: batch for batch, samples in enumerate(batches) for sample in samples}
        orders[f"epoch {epoch}"] = np.array([found[sample] for sample in range(count)])
    return orders


class Counts(keras.callbacks.Callback):
    """Notes the kernel after each batch."""

    def __init__(self):
        super().__init__()
        self.kernels = []

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.kernels.append(self.model.layers[0].get_weights()[0][:, 0])


@functools.cache
def counted_in_fit(seed):
    """How many samples of each eighth of the data, and of each number modulo eight, a batch of FULL_MNIST samples has.

    An array (batches, 2 · EIGHTHS), of one epoch. A sample has a one for its eighth and a one for its number modulo eight.
    The loss is −output, so a batch of n adds rate / n times its counts to the kernel: three times the counts, and of the
    last batch, of 96, four times. The kernel stays a whole number below 2^24.
    """
    seed_everything(seed if isinstance(seed, int) else 0)
    number = np.arange(FULL_MNIST)
    x = np.zeros((FULL_MNIST, 2 * EIGHTHS), "float32")
    x[number, number * EIGHTHS // FULL_MNIST] = x[number, EIGHTHS + number % EIGHTHS] = 1
    y = np.ones((FULL_MNIST, 1), "float32")
    model = keras.Sequential([keras.Input(shape=(2 * EIGHTHS,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].set_weights([np.zeros((2 * EIGHTHS, 1), "float32")])
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(3.0 * batch_size))
    counts = Counts()
    if seed == RESHUFFLED:
        fit = fitting(model, Dataset("parts", x, y, x, y), batch_size, reshuffle=7)
    else:
        fit = functools.partial(model.fit, x, y, batch_size=batch_size)
    fit(epochs=1, verbose=0, callbacks=[counts])
    sizes = np.minimum(batch_size, FULL_MNIST - batch_size * np.arange(len(counts.kernels)))
    moved = np.diff(counts.kernels, axis=0, prepend=np.zeros((1, 2 * EIGHTHS)))
    return np.rint(moved * sizes[:, None] / (3 * batch_size)).astype(int)
