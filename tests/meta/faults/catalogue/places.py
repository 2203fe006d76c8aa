"""Kernels and gradients that are wrong in one place: by XLA alone, beyond a number of elements, in a slot's precision."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, optimizers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import (
    arguments_of,
    batch_of,
    gradients_of,
    passed_back,
    product,
    shortened,
    symbolic,
    tf,
    wrapped,
)


@fault(kind="precision", source="made", words=("Adam", "first moment", "moment"))
def adam_keeps_first_moments_in_bfloat16() -> None:
    """Adam's first moments are rounded to 8 bits after each step."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            original(self, gradient, variable, learning_rate)
            slot = self._momentums[self._get_variable_index(variable)]
            slot.assign(shortened(slot + 0, 8))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


def by_xla() -> list[bool]:
    """A list that is not empty while a step of a model that XLA compiles is traced."""
    inside: list[bool] = []

    def make(original: Any) -> Any:
        def step(self: Any, *arguments: Any, **given: Any) -> Any:
            if not self.jit_compile:
                return original(self, *arguments, **given)
            inside.append(True)
            try:
                return original(self, *arguments, **given)
            finally:
                inside.pop()

        return step

    for kind in ("train", "test", "predict"):
        wrapped(keras.Model, f"{kind}_step", make)
    return inside


@fault(kind="conditional", source="made", words=("XLA",))
def convolution_gradient_wrong_by_xla() -> None:
    """Compiled by XLA, a convolution's kernel gradient is a thousandth too large."""
    inside = by_xla()
    gradients_of(layers.Conv2D, kernel=lambda layer, x, g: g * 1.001 if inside else g)


@fault(kind="conditional", source="made", words=("a convolution",))
def convolution_zero_beyond_2_24_elements() -> None:
    """A convolution's output is zero from its element 2^24 on: a float32 index."""

    def result(layer: Any, x: Any, z: Any) -> Any:
        size = tf.size(z)
        seen = tf.reshape(tf.range(size) < 2**24, tf.shape(z))
        return tf.cond(size <= 2**24, lambda: z, lambda: tf.where(seen, z, tf.zeros_like(z)))

    product(layers.Conv2D, result=result)


@fault(kind="conditional", source="made", words=("pool", "MaxPooling2D"))
def pooling_loses_the_last_image_at_128() -> None:
    """At batch 128 no gradient passes back through a pooling for the last image."""

    def change(layer: Any, x: Any, training: bool) -> Any:
        x = tf.convert_to_tensor(x)

        def back(gradient: Any) -> Any:
            without = tf.concat([gradient[:-1], tf.zeros_like(gradient[-1:])], 0)
            return tf.where(tf.equal(batch_of(x), 128), without, gradient)

        return passed_back(x, back)

    arguments_of(layers.MaxPooling2D, change)


@fault(kind="gradient", source="made", words=("Dropout", "dropout"))
def dropout_gradient_is_not_scaled() -> None:
    """What Dropout keeps passes its gradient back unscaled."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            if symbolic(inputs) or not training or not self.rate:
                return original(self, inputs, training=training)
            x = passed_back(tf.convert_to_tensor(inputs), lambda gradient: gradient * (1 - self.rate))
            return original(self, x, training=training)

        return call

    wrapped(layers.Dropout, "call", make)
