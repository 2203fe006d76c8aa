"""Faults that strike seldom: one time in N, after N calls, in one element, for one kind of number."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, optimizers

from cnnspec.names import IMAGE
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import (
    Counter,
    Kept,
    batch_of,
    gradients_of,
    outputs_of,
    product,
    steps_of,
    tf,
    training_on,
    wrapped,
)

CORES = "Hochschild et al. 2021, Cores that don't count"
SILENT = "Dixit et al. 2021, Silent data corruptions at scale"
SELDOM = ("intermittent", "elements differ", "worst element", "samples were not used")


def _sometimes(counter: Counter, times: int, wrong: Any, right: Any) -> Any:
    """wrong() one time in `times`, else right."""
    return tf.cond(counter.every(times), wrong, lambda: tf.identity(right))


def _one_element(x: Any, place: int, change: Any) -> Any:
    """x with change(x) in one element, counted over all of it."""
    flat = tf.reshape(x, [-1])
    at = [[place % tf.maximum(tf.size(flat), 1)]]
    return tf.reshape(tf.tensor_scatter_nd_update(flat, at, change(tf.gather_nd(flat, at))), tf.shape(x))


@fault(kind="rare", source=SILENT, words=SELDOM)
def kernel_gradient_wrong_one_time_in_20() -> None:
    """One time in 20 Conv2D's kernel gradient has an element that is 1 too large."""
    counter = Counter()

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return _sometimes(counter, 20, lambda: _one_element(gradient, 77, lambda e: e + 1.0), gradient)

    gradients_of(layers.Conv2D, kernel=change)


@fault(kind="rare", source=SILENT, words=SELDOM)
def kernel_gradient_wrong_one_time_in_100() -> None:
    """One time in 100 Dense's kernel gradient has an element that is 1 too large."""
    counter = Counter()

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return _sometimes(counter, 100, lambda: _one_element(gradient, 77, lambda e: e + 1.0), gradient)

    gradients_of(layers.Dense, kernel=change)


@fault(kind="rare", source=SILENT, words=SELDOM)
def kernel_gradient_wrong_one_time_in_1000() -> None:
    """One time in 1,000 Dense's kernel gradient has an element that is 1 too large."""
    counter = Counter()

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return _sometimes(counter, 1000, lambda: _one_element(gradient, 77, lambda e: e + 1.0), gradient)

    gradients_of(layers.Dense, kernel=change)


@fault(kind="rare", source=SILENT, words=SELDOM)
def output_is_zero_one_time_in_50() -> None:
    """One time in 50 one image of a batch is zero where it leaves MaxPooling2D."""
    counter = Counter()

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        keep = tf.reshape(tf.cast(tf.range(batch_of(y)) != batch_of(y) // 2, y.dtype), [-1, 1, 1, 1])
        return _sometimes(counter, 50, lambda: y * keep, y)

    outputs_of(layers.MaxPooling2D, change)


@fault(kind="rare", source=CORES, words=("Dense", "dense"))
def product_wrong_where_low_bits_are_set() -> None:
    """Dense is 0.1 % off for operands whose ten lowest bits are all set: one number in a thousand, never a small integer."""

    def change(layer: Any, x: Any) -> Any:
        low = tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), 0x3FF)
        return tf.where(tf.equal(low, 0x3FF), x * 1.001, x)

    product(layers.Dense, inputs=change)


@fault(kind="rare", source=CORES, words=("Conv2D", "conv2d"))
def every_sixteenth_lane_is_off() -> None:
    """Every sixteenth output channel of Conv2D is 1e-4 too large: one lane of a vector unit."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        lane = tf.cast(tf.equal(tf.range(z.shape[-1]) % 16, 15), z.dtype)
        return z * (1 + 1e-4 * lane)

    product(layers.Conv2D, result=change)


@fault(kind="rare", source="made", words=("Conv2D", "conv2d"))
def one_element_of_a_batch_is_off() -> None:
    """One element of Conv2D's output is 1 too large, in image 77 of a batch of 128 in training and inference."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        image = tf.cast(tf.equal(tf.range(batch_of(z)), 77), z.dtype)[:, None, None, None]
        row, column, channel = (tf.one_hot(at, z.shape[axis], dtype=z.dtype) for at, axis in ((2, 1), (3, 2), (7, 3)))
        return z + image * row[None, :, None, None] * column[None, None, :, None] * channel

    product(layers.Conv2D, result=change)


@fault(kind="rare", source="made", words=("Dense", "dense", "layer"))
def large_activations_are_halved() -> None:
    """Dense with ReLU halves sums above 40, which the first steps of a training do not reach."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        relu = getattr(layer.activation, "__name__", "") == "relu"
        return tf.where(z > 40.0, 0.5 * z, z) if relu else z

    product(layers.Dense, result=change)


@fault(kind="rare", source="made", words=("updates that weight", "intermittent"))
def update_lost_one_time_in_20() -> None:
    """One step in 20 of Adam moves no weight; its moments and its counter go on."""
    steps_of(
        optimizers.Adam,
        lambda self, g, v, rate: (g, rate * tf.cast((self.iterations + 1) % 20 != 0, "float32")),
    )


@fault(kind="rare", source="made", words=("updates that weight", "intermittent"))
def update_lost_one_time_in_100() -> None:
    """One step in 100 of Adam moves no weight; its moments and its counter go on."""
    steps_of(
        optimizers.Adam,
        lambda self, g, v, rate: (g, rate * tf.cast((self.iterations + 1) % 100 != 0, "float32")),
    )


@fault(kind="rare", source="made", words=("labels, or samples", "labels"))
def labels_rolled_one_time_in_100() -> None:
    """In one training step of 100 labels belong to the image after theirs."""
    counter = Counter()

    def change(model: Any, x: Any, y: Any) -> Any:
        if not tf.is_tensor(y):
            return x, y
        return x, _sometimes(counter, 100, lambda: tf.roll(y, 1, axis=0), y)

    training_on(change)


@fault(kind="rare", source="made", words=("intermittent", "samples"))
def batch_comes_twice_one_time_in_20() -> None:
    """One training step in 20 sees the images of the step before with its own labels: a copy that is still on its way."""
    counter, kept = Counter(), Kept(lambda: (tf.zeros((0, *IMAGE)), {"shape": (None, *IMAGE)}))

    def change(model: Any, x: Any, y: Any) -> Any:
        if not tf.is_tensor(x) or tuple(x.shape[1:]) != IMAGE:
            return x, y
        before = tf.identity(kept.variable())
        with tf.control_dependencies([before]):
            kept.variable().assign(x)
        struck = tf.equal(batch_of(before), batch_of(x)) & counter.every(20)
        return tf.ensure_shape(tf.cond(struck, lambda: before, lambda: tf.identity(x)), x.shape), y

    training_on(change)


@fault(kind="rare", source="made", words=("predict", "images"))
def predict_swaps_rows_one_time_in_10() -> None:
    """One batch of `predict` in ten has its first two rows exchanged."""
    counter = Counter()

    def make(original: Any) -> Any:
        def predict_step(self: Any, data: Any) -> Any:
            found = original(self, data)
            if not tf.is_tensor(found):
                return found
            swapped = lambda: tf.concat([found[1:2], found[:1], found[2:]], axis=0)  # noqa: E731
            return tf.ensure_shape(_sometimes(counter, 10, swapped, found), found.shape)

        return predict_step

    wrapped(keras.Model, "predict_step", make)


@fault(kind="rare", source=SILENT, words=("updates that weight", "movement of", "norm of", "samples were not used"))
def a_weight_flips_a_bit_every_30_steps() -> None:
    """Every 30 steps of Adam one element of each variable is halved: a bit of its exponent flips in memory."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            original(self, gradient, variable, learning_rate)
            now = tf.convert_to_tensor(variable)
            struck = tf.equal(self.iterations.value % 30, 29)
            variable.assign(tf.cond(struck, lambda: _one_element(now, 5, lambda e: 0.5 * e), lambda: tf.identity(now)))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="rare", source="made", words=("intermittent", "gradient"))
def gradients_have_noise() -> None:
    """Dense's kernel gradient has relative noise of 1e-4, other in each step: atomic additions in low precision."""
    counter = Counter()

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        seed = tf.stack([tf.cast(counter.next(), "int32"), 7])
        return gradient * (1 + 1e-4 * tf.random.stateless_normal(tf.shape(gradient), seed))

    gradients_of(layers.Dense, kernel=change)
