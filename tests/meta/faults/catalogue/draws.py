"""Random draws that are right on average: too regular, wrong in one place, or wrong in `fit` alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import symbolic, tf, wrapped
from tests.meta.faults.catalogue.randomness import KERNEL, MASK, drawn, dropped, uniform

ORDER = ("shuffling", "places of the samples")
fitting: list[bool] = []  # not empty inside a `fit`


def in_fit() -> None:
    """Note every `fit` in `fitting`; its steps are compiled for it alone."""

    @contextmanager
    def noted(model: Any) -> Iterator[None]:
        fitting.append(True)
        model.make_train_function(force=True)
        try:
            yield
        finally:
            fitting.pop()
            model.make_train_function(force=True)

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            with noted(self):
                return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


def orders(change: Any) -> None:
    """tf.random.shuffle of row numbers, which gives `fit` its orders, is change(shuffle, number of rows) in every epoch."""

    def make(original: Any) -> Any:
        def shuffle(value: Any, *arguments: Any, **given: Any) -> Any:
            value = tf.convert_to_tensor(value)
            if value.shape.rank != 1 or not value.dtype.is_integer:
                return original(value, *arguments, **given)
            return tf.cast(change(original, value.shape[0]), value.dtype)

        return shuffle

    wrapped(tf.random, "shuffle", make)


@fault(kind="conditional", source="made", words=MASK)
def dropout_weaker_in_fit() -> None:
    """In `fit` Dropout drops a fifth less than its rate; elsewhere it is right."""
    in_fit()

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            if symbolic(inputs) or not training or not self.rate or not fitting:
                return original(self, inputs, training=training)
            return keras.random.dropout(inputs, self.rate * 0.8, seed=self.seed_generator)

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="conditional", source="made", words=MASK)
def dropout_unscaled_in_fit() -> None:
    """In `fit` Dropout does not scale what it keeps."""
    in_fit()

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            found = original(self, inputs, training=training)
            return found if symbolic(inputs) or not training or not self.rate or not fitting else found * (1 - self.rate)

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="random", source="made", words=MASK)
def dropout_keeps_the_first_unit() -> None:
    """Dropout never drops the first unit or channel."""

    def change(layer: Any, inputs: Any) -> Any:
        drawn = uniform(layer, tf.shape(inputs))
        return tf.concat([tf.ones_like(drawn[..., :1]), drawn[..., 1:]], -1)

    dropped(change)


@fault(kind="random", source="made", words=MASK)
def dropout_keeps_the_first_image() -> None:
    """Dropout never drops in the first image of a batch."""

    def change(layer: Any, inputs: Any) -> Any:
        drawn = uniform(layer, tf.shape(inputs))
        return tf.concat([tf.ones_like(drawn[:1]), drawn[1:]], 0)

    dropped(change)


@fault(kind="random", source="made", words=MASK)
def dropout_two_percent_weaker() -> None:
    """Dropout drops 2 % less than its rate, and scales by the rate."""
    dropped(lambda layer, inputs: uniform(layer, tf.shape(inputs)) + 0.02 * layer.rate)


@fault(kind="random", source="made", words=MASK)
def dropout_drops_the_same_number() -> None:
    """Every image has exactly its rate of units dropped: neighbours are not independent."""

    def change(layer: Any, inputs: Any) -> Any:
        drawn = uniform(layer, tf.shape(inputs))
        flat = tf.reshape(drawn, (tf.shape(drawn)[0], -1))
        rank = tf.argsort(tf.argsort(flat, axis=1), axis=1)
        return tf.reshape((tf.cast(rank, "float32") + 0.5) / tf.cast(tf.shape(flat)[1], "float32"), tf.shape(drawn))

    dropped(change)


@fault(kind="random", source="made", words=ORDER)
def shuffling_in_pairs() -> None:
    """Shuffling leaves every two neighbours beside each other, in a new order in each epoch."""

    def change(shuffle: Any, rows: int) -> Any:
        pairs = shuffle(tf.range(rows // 2))
        order = tf.reshape(tf.stack([2 * pairs, 2 * pairs + 1], 1), (-1,))
        return tf.concat([order, tf.range(rows // 2 * 2, rows)], 0)

    orders(change)


@fault(kind="random", source="made", words=ORDER)
def shuffling_keeps_the_halves() -> None:
    """The first half of the samples comes in the first half of every epoch."""

    def change(shuffle: Any, rows: int) -> Any:
        return tf.concat([shuffle(tf.range(rows // 2)), shuffle(tf.range(rows // 2, rows))], 0)

    orders(change)


@fault(kind="random", source="made", words=ORDER)
def shuffling_is_too_even() -> None:
    """Shuffling takes one sample of each eighth of the data in turns: every batch has as many of each."""

    def change(shuffle: Any, rows: int) -> Any:
        part = rows // 8
        eighths = [shuffle(tf.range(start * part, (start + 1) * part)) for start in range(8)]
        return tf.concat([tf.reshape(tf.stack(eighths, 1), (-1,)), tf.range(8 * part, rows)], 0)

    orders(change)


@fault(kind="random", source="made", words=KERNEL)
def kernels_one_percent_wider() -> None:
    """Initial kernels are 1 % wider."""
    drawn(lambda self, array: array * 1.01)


@fault(kind="random", source="made", words=KERNEL)
def kernels_are_positive_more_often() -> None:
    """Of an initial kernel's numbers 52 % are positive."""

    def change(self: Any, array: Any) -> Any:
        random = np.random.RandomState(array.size % 997)
        return np.where(random.random(array.shape) < 0.04, np.abs(array), array)

    drawn(change)


@fault(kind="random", source="made", words=(*KERNEL, "initial weights"))
def kernels_are_symmetric() -> None:
    """A convolution's initial kernel is the same upside down."""
    drawn(
        lambda self, array: (
            np.where(np.arange(array.shape[0])[:, None, None, None] >= array.shape[0] / 2, array[::-1], array)
            if array.ndim == 4
            else array
        )
    )


@fault(kind="random", source="made; quasi-random numbers, Sobol 1967", words=KERNEL)
def kernels_are_too_even() -> None:
    """Initial kernels are a random order of evenly spaced numbers."""

    def change(self: Any, array: Any) -> Any:
        ranks = array.ravel().argsort().argsort().reshape(array.shape)
        return ((ranks + 0.5) / array.size * 2 - 1) * np.abs(array).max()

    drawn(change)
