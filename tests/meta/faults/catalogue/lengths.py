"""What goes wrong in loops as long as full MNIST's: after so many batches, rows, elements or epochs, never before."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import callbacks, layers, optimizers
from keras.src.callbacks.callback_list import CallbackList

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.fitting import ORDER, shuffled
from tests.meta.faults.catalogue.patching import Counter, gradients_of, steps_of, tf, wrapped

LONG = 256  # batches
CALLS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")


def given_arrays(change: Any) -> None:
    """Every call of a model sees other arrays than those that it is given: change(array) -> array."""

    def changed(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(changed(each) for each in value)
        return change(value) if isinstance(value, np.ndarray) else value

    def make(original: Any) -> Any:
        def call(self: Any, *arguments: Any, **given: Any) -> Any:
            data = {name: changed(given[name]) for name in ("x", "y", "validation_data") if name in given}
            return original(self, *map(changed, arguments), **given | data)

        return call

    for name in CALLS:
        wrapped(keras.Model, name, make)


@fault(kind="fit", source="made; full MNIST's train set has 1,875 batches of 32", words="evaluate")
def evaluate_ends_after_256_batches() -> None:
    """`evaluate` scores the first 256 batches alone."""

    def make(original: Any) -> Any:
        def evaluate(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, **given: Any) -> Any:
            if isinstance(x, np.ndarray):
                rows = slice(LONG * (batch_size or 32))
                x, y = x[rows], y[rows]
            return original(self, x, y, batch_size=batch_size, **given)

        return evaluate

    wrapped(keras.Model, "evaluate", make)


@fault(kind="fit", source="made; full MNIST's test set has 313 batches of 32", words=("predict", "rows"))
def predict_begins_again_after_256_batches() -> None:
    """From batch 257 on `predict` returns the rows of its first batches."""

    def make(original: Any) -> Any:
        def predict(self: Any, x: Any, batch_size: Any = None, **given: Any) -> Any:
            found, rows = original(self, x, batch_size=batch_size, **given), LONG * (batch_size or 32)
            return found[np.arange(len(found)) % rows] if isinstance(found, np.ndarray) else found

        return predict

    wrapped(keras.Model, "predict", make)


@fault(kind="fit", source="made; full MNIST's test set has 79 batches of 128", words=("validation", "val_loss"))
def validation_ends_after_64_batches() -> None:
    """The validation of `fit` scores the first 64 batches alone."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            data, rows = given.get("validation_data"), slice(64 * (given.get("batch_size") or 32))
            if isinstance(data, tuple) and isinstance(data[0], np.ndarray):
                given["validation_data"] = tuple(array[rows] for array in data)
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="loss and metrics", source="made; full MNIST's train set has 469 batches of 128", words=("loss", "mean"))
def loss_of_an_epoch_stays_after_400_batches() -> None:
    """The loss that `fit` tells of an epoch is the mean over its first 400 batches."""
    kept: dict[int, Any] = {}

    def make_batch(original: Any) -> Any:
        def on_train_batch_end(self: Any, batch: Any, logs: Any = None) -> None:
            if batch >= 399:
                kept.setdefault(id(self), logs)
            original(self, batch, logs)

        return on_train_batch_end

    def make_epoch(original: Any) -> Any:
        def on_epoch_end(self: Any, epoch: Any, logs: Any = None) -> None:
            logs = logs if id(self) not in kept else {**logs, "loss": float(kept.pop(id(self))["loss"])}
            original(self, epoch, logs)

        return on_epoch_end

    wrapped(CallbackList, "on_train_batch_end", make_batch)
    wrapped(CallbackList, "on_epoch_end", make_epoch)


@fault(kind="random", source="tf.data.Dataset.shuffle: a buffer smaller than the data", words=ORDER)
def shuffling_by_a_buffer_of_8192() -> None:
    """Shuffling draws from a buffer of 8,192 samples: each of 60,000 stays near its place in the data."""

    def change(samples: int) -> Any:
        random, buffer = np.random.default_rng(3), np.arange(min(8192, samples))
        order = np.empty(samples, int)
        for row, place in enumerate(random.integers(len(buffer), size=max(samples - len(buffer), 0))):
            order[row], buffer[place] = buffer[place], row + len(buffer)
        order[max(samples - len(buffer), 0) :] = random.permutation(buffer)
        return order

    shuffled(change)


@fault(kind="random", source="made; numbers of 15 bits", words=ORDER)
def shuffling_numbers_rows_in_15_bits() -> None:
    """Shuffling takes row numbers modulo 32,768: of 60,000 samples nearly half are shown twice, the others never."""
    shuffled(lambda samples: np.random.permutation(samples) % 2**15)


def validated_with(make_callback: Any) -> None:
    """`fit` with validation data has a callback more."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            if given.get("validation_data"):
                given["callbacks"] = [*(given.get("callbacks") or []), make_callback()]
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="fit", source="made; keras.callbacks.EarlyStopping with a patience of 5", words=("epochs", "steps"))
def fit_ends_when_validation_stalls() -> None:
    """`fit` ends when the validation loss has not improved for five epochs."""
    validated_with(lambda: callbacks.EarlyStopping(patience=5))


@fault(kind="optimizer", source="made; keras.callbacks.ReduceLROnPlateau with a patience of 5", words=("rate", "updates"))
def learning_rate_falls_when_validation_stalls() -> None:
    """The learning rate is halved when the validation loss has not improved for five epochs."""
    validated_with(lambda: callbacks.ReduceLROnPlateau(factor=0.5, patience=5))


@fault(kind="data", source="made; float32 counts no further than 2^24", words=("row", "images", "samples", "weight"))
def elements_beyond_2_24_are_read_in_pairs() -> None:
    """Of more than 2^24 elements, as full MNIST's images are, odd ones from there on are those before them."""

    def change(array: Any) -> Any:
        if array.size <= 2**24:
            return array
        array = array.copy()
        tail = array.reshape(-1)[2**24 :]
        tail[1::2] = tail[: len(tail) // 2 * 2 : 2]
        return array

    given_arrays(change)


@fault(kind="optimizer", source="made; a slot that is paged out and not back", words=("updates that weight", "conv2d"))
def velocities_of_convolutions_are_lost_every_300_steps() -> None:
    """Before each 300th step of an optimizer the velocities of the convolutions' kernels are zero."""

    def change(self: Any, gradient: Any, variable: Any, rate: Any) -> Any:
        if len(variable.shape) == 4:
            velocity = self._velocities[self._get_variable_index(variable)].value
            velocity.assign(tf.where(self.iterations % 300 == 299, tf.zeros_like(velocity), velocity))
        return gradient, rate

    steps_of(optimizers.Adam, change)


@fault(kind="gradient", source="made", words=("updates that weight", "conv2d"))
def kernel_gradient_of_a_convolution_is_zero_in_its_500th_step() -> None:
    """In the 500th step of each convolution the gradient of its kernel is zero; full MNIST gets there in two epochs."""
    counters: dict[int, Counter] = {}

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        steps = counters.setdefault(id(layer), Counter()).next()
        return tf.where(tf.equal(steps, 500), tf.zeros_like(gradient), gradient)

    gradients_of(layers.Conv2D, kernel=change)
