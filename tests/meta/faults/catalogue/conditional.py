"""Faults that strike under a condition alone: a batch size, a mode, a call, a count, a number, what was done before."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, optimizers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import (
    Kept,
    Step,
    batch_of,
    gradients_of,
    outputs_of,
    product,
    symbolic,
    tf,
    training_on,
    wrapped,
)

DENSE, CONVOLUTION = ("Dense", "dense"), ("Conv2D", "conv2d")


def _row(z: Any, row: int, change: Any) -> Any:
    """z with change(z) in one row."""
    here = tf.one_hot(row, batch_of(z), dtype=z.dtype)
    here = tf.reshape(here, [-1, *[1] * (len(z.shape) - 1)])
    return z * (1 - here) + change(z) * here


def _at_batch(sizes: tuple[int, ...], change: Any) -> Any:
    """A `result` of `product` that strikes at some batch sizes alone: change(layer, x, z) -> z."""

    def struck(layer: Any, x: Any, z: Any) -> Any:
        at = tf.reduce_any(tf.equal(batch_of(x), list(sizes)))
        return tf.cond(at, lambda: change(layer, x, z), lambda: tf.identity(z))

    return struck


@fault(kind="conditional", source="made", words=("1000", "predict"))
def last_row_wrong_at_batch_1000() -> None:
    """At a batch of 1,000 the last row of Dense's output is that of the row before."""
    product(layers.Dense, result=_at_batch((1000,), lambda layer, x, z: tf.concat([z[:-1], z[-2:-1]], axis=0)))


@fault(
    kind="conditional",
    source="tensorflow/tensorflow#1299",
    words=("104", "predict", "evaluate", "validation"),
)
def convolution_wrong_at_the_partial_batch_of_a_test() -> None:
    """At batches of 104, 40 and 8, with which evaluations of 1,000 and 200 images end, Conv2D's row 5 is 1 % too large."""
    product(layers.Conv2D, result=_at_batch((104, 40, 8), lambda layer, x, z: _row(z, 5, lambda y: 1.01 * y)))


@fault(kind="conditional", source="pytorch/pytorch#106749, of a convolution", words=("batch of 96", "96"))
def dense_wrong_at_batch_96() -> None:
    """At a batch of 96, the last of an epoch of full MNIST, Dense's kernel gradient is 5 % too small."""

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return gradient * tf.where(tf.equal(batch_of(x), 96), 0.95, 1.0)

    gradients_of(layers.Dense, kernel=change)


@fault(kind="conditional", source="made", words=("eager",))
def dense_wrong_eagerly() -> None:
    """Called eagerly, Dense's output is 0.1 % too large; compiled it is right."""
    product(layers.Dense, result=lambda layer, x, z: z * (1.001 if tf.executing_eagerly() else 1.0))


@fault(kind="conditional", source="made", words=("predict",))
def convolution_wrong_in_predict() -> None:
    """In `predict` alone Conv2D's channel 3 lacks its bias; `evaluate`, `fit` and a call are right."""
    step = Step()

    def change(layer: Any, x: Any, z: Any) -> Any:
        third = tf.one_hot(3, z.shape[-1], dtype=z.dtype)
        return z - third * tf.convert_to_tensor(layer.bias) if step.kind == "predict" else z

    product(layers.Conv2D, result=change)


@fault(kind="conditional", source="made", words=("evaluate", "val_loss", "validation"))
def pooling_wrong_in_evaluate() -> None:
    """In `evaluate` and validation alone MaxPooling2D takes the mean; `predict` and `fit` are right."""
    step = Step()

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        return tf.nn.avg_pool2d(x, layer.pool_size, layer.strides, "VALID") if step.kind == "test" else y

    outputs_of(layers.MaxPooling2D, change)


@fault(kind="conditional", source="made", words=("Dense", "dense", "Dropout"))
def kernel_gradient_ignores_dropout() -> None:
    """With dropout on, the kernel gradient of the Dense behind it is computed from what goes into Dropout, not out of it."""
    before: dict[str, Any] = {}

    def remember(layer: Any, x: Any, y: Any, training: bool) -> Any:
        if training and layer.rate:
            before["dropped"], before["inputs"] = y, tf.stop_gradient(x)
        return y

    def flatten(layer: Any, x: Any, y: Any, training: bool) -> Any:
        if before.get("dropped") is x:
            before["dropped"], before["inputs"] = y, tf.reshape(before["inputs"], tf.shape(y))
        return y

    outputs_of(layers.Dropout, remember)
    outputs_of(layers.Flatten, flatten)

    def make(original: Any) -> Any:
        def call(self: Any, x: Any, training: Any = None) -> Any:
            if symbolic(x) or before.get("dropped") is not x:
                return original(self, x, training=training)
            own, kept = vars(self), vars(self)["_kernel"]
            kernel = tf.convert_to_tensor(kept)

            @tf.custom_gradient
            def times(inputs: Any, weights: Any, whole: Any) -> Any:
                return inputs @ weights, lambda g: (g @ tf.transpose(weights), tf.transpose(whole) @ g, None)

            z = times(x, kernel, before["inputs"]) + tf.convert_to_tensor(own["bias"])
            return self.activation(z)

        return call

    wrapped(layers.Dense, "call", make)


@fault(kind="conditional", source="pytorch/pytorch#190717", words=("Dropout", "dropout"))
def dropout_goes_back_by_another_mask() -> None:
    """Dropout's gradient passes through a mask of its own, another than that of the output."""

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        if not training or not layer.rate:
            return y
        other = keras.random.dropout(x, layer.rate, seed=layer.seed_generator)
        return tf.stop_gradient(y) + other - tf.stop_gradient(other)

    outputs_of(layers.Dropout, change)


@fault(kind="conditional", source="made", words=("Dropout", "dropout", "partial"))
def dropout_is_off_in_partial_batches() -> None:
    """In training batches of fewer than 64 images Dropout drops nothing."""
    outputs_of(
        layers.Dropout, lambda layer, x, y, training: tf.where(batch_of(x) < 64, x, y) if training and layer.rate else y
    )


@fault(kind="conditional", source="made", words=("Dropout", "dropout"))
def dropout_ends_at_the_millionth_element() -> None:
    """Dropout drops nothing from element 2^20 of a batch on: model1's first Dropout has 1.2 million at batch 128."""

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        if not training or not layer.rate:
            return y
        places = tf.reshape(tf.range(tf.size(x)), tf.shape(x))
        return tf.where(places < 2**20, y, x)

    outputs_of(layers.Dropout, change)


@fault(kind="conditional", source="made", words=("Dropout", "dropout"))
def dropout_drops_whole_channels() -> None:
    """Behind a convolution or pooling Dropout drops whole channels of an image, as SpatialDropout2D does."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            if symbolic(inputs) or not training or not self.rate or len(inputs.shape) != 4:
                return original(self, inputs, training=training)
            shape = (tf.shape(inputs)[0], 1, 1, inputs.shape[-1])
            kept = keras.random.dropout(tf.ones(shape), self.rate, seed=self.seed_generator)
            return inputs * kept

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="conditional", source="made", words=("updates that weight", "movement of variable"))
def learning_rate_halves_after_600_steps() -> None:
    """From the 600th step of an optimizer on, by its own counter, Adam's steps are half as long."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> Any:
            late = keras.ops.cast(self.iterations >= 600, "float32")
            return original(self, gradient, variable, learning_rate * (1 - 0.5 * late))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="conditional", source="made", words=("other samples than those given", "samples"))
def images_of_a_step_after_evaluation() -> None:
    """The first training step after an evaluation sees its images upside down: a buffer that is still in use."""
    evaluated = Kept(lambda: (False, {}))

    def testing(original: Any) -> Any:
        def test_step(self: Any, data: Any) -> Any:
            evaluated.variable().assign(True)
            return original(self, data)

        return test_step

    def change(model: Any, x: Any, y: Any) -> Any:
        if not tf.is_tensor(x) or len(x.shape) != 4:
            return x, y
        struck = tf.identity(evaluated.variable())
        with tf.control_dependencies([struck]):
            evaluated.variable().assign(False)
        return tf.where(struck, x[:, ::-1], x), y

    wrapped(keras.Model, "test_step", testing)
    training_on(change)


@fault(kind="conditional", source="made", words=("black", "batch", "layer 1"))
def white_pixels_are_black() -> None:
    """A pixel of exactly 1 becomes 0 in `fit`, as 256 does in a byte."""
    training_on(lambda model, x, y: (tf.where(tf.equal(x, 1.0), 0.0, x), y) if tf.is_tensor(x) else (x, y))


@fault(kind="conditional", source="made", words=("learning rate", "movement", "updates that weight"))
def third_model_learns_slower() -> None:
    """From the third optimizer of a process on, steps are 2 % shorter."""
    seen: list[Any] = []

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> Any:
            if self not in seen:
                seen.append(self)
            return original(self, gradient, variable, learning_rate * (0.98 if seen.index(self) >= 2 else 1.0))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)
