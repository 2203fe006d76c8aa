"""Faults of a part: some elements of a tensor, some images, some classes, the first steps, or validation alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops, optimizers

from tests.meta.faults.catalogue.draws import fitting, in_fit
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.loading import after_loading
from tests.meta.faults.catalogue.patching import (
    batch_of,
    passed_back,
    product,
    shortened,
    steps_of,
    symbolic,
    tf,
    training_on,
    wrapped,
)


@fault(kind="conditional", source="made", words=("validation", "val_loss"))
def validation_in_fit_drops() -> None:
    """The validation of `fit` drops units as training does; `evaluate` does not."""

    def make(original: Any) -> Any:
        def evaluate(self: Any, *arguments: Any, **given: Any) -> Any:
            inside = "_use_cached_eval_dataset" in given
            if not inside:
                return original(self, *arguments, **given)
            fitting.append(True)
            self.make_test_function(force=True)
            try:
                return original(self, *arguments, **given)
            finally:
                fitting.pop()
                self.make_test_function(force=True)

        return evaluate

    def call_made(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            if symbolic(inputs):
                return original(self, inputs, training=training)
            return original(self, inputs, training=bool(training or fitting))

        return call

    wrapped(keras.Model, "evaluate", make)
    wrapped(layers.Dropout, "call", call_made)


@fault(kind="optimizer", source="made", words=("Adam", "movement"))
def adam_leaves_the_tail() -> None:
    """Adam does not move the elements of a variable from 65,536 on."""

    def change(self: Any, gradient: Any, variable: Any, rate: Any) -> Any:
        size = int(np.prod(variable.shape))
        if size <= 65536:
            return gradient, rate
        flat = tf.reshape(gradient, (-1,))
        return tf.reshape(tf.concat([flat[:65536], tf.zeros_like(flat[65536:])], 0), gradient.shape), rate

    steps_of(optimizers.Adam, change)


@fault(kind="optimizer", source="made", words=("Adam", "movement"))
def adam_doubles_the_last_gradient() -> None:
    """The last element of every variable has twice its gradient in Adam."""

    def change(self: Any, gradient: Any, variable: Any, rate: Any) -> Any:
        flat = tf.reshape(gradient, (-1,))
        return tf.reshape(tf.concat([flat[:-1], 2 * flat[-1:]], 0), gradient.shape), rate

    steps_of(optimizers.Adam, change)


@fault(kind="optimizer", source="made", words=("Adam", "movement", "moment"))
def adam_floors_its_second_moment() -> None:
    """Adam's second moment is never below 1e-12."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            original(self, gradient, variable, learning_rate)
            slot = self._velocities[self._get_variable_index(variable)]
            slot.assign(ops.maximum(slot + 0, 1e-12))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="optimizer", source="made", words=("Adam", "movement"))
def adam_clips_weights() -> None:
    """After each step of Adam weights lie between -1 and 1."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            original(self, gradient, variable, learning_rate)
            if "kernel" in variable.name:
                variable.assign(ops.clip(variable + 0, -1.0, 1.0))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="optimizer", source="made", words=("Adam", "movement"))
def large_gradients_are_clipped() -> None:
    """Elements of gradients beyond 10 are cut off; clipvalue is None."""
    steps_of(optimizers.Adam, lambda self, g, v, rate: (tf.clip_by_value(g, -10.0, 10.0), rate))


@fault(kind="conditional", source="made", words=("first moment", "movement"))
def first_steps_are_shorter_in_fit() -> None:
    """The first three steps of a `fit` have half of the learning rate."""
    in_fit()
    steps_of(
        optimizers.Adam,
        lambda self, g, v, rate: (
            g,
            rate * tf.where(tf.convert_to_tensor(self.iterations) < 3, 0.5, 1.0) if fitting else rate,
        ),
    )


@fault(kind="conditional", source="made", words=("conv2d", "Conv2D", "black"))
def convolution_skips_black_images() -> None:
    """A convolution of an image of zeros is zero, without its bias."""

    def result(layer: Any, x: Any, z: Any) -> Any:
        seen = tf.reduce_any(tf.not_equal(x, 0), axis=list(range(1, len(x.shape))), keepdims=True)
        return tf.where(seen, z, tf.zeros_like(z))

    product(layers.Conv2D, result=result)


@fault(kind="precision", source="made", words=("Conv2D", "small"))
def small_activations_are_zero() -> None:
    """ReLU's outputs below 1e-6 are zero."""
    product(layers.Conv2D, result=lambda layer, x, z: tf.where(tf.abs(z) < 1e-6, 0.0 * z, z))


@fault(kind="loss and metrics", source="made", words=("cross-entropy", "crossentropy", "loss"))
def loss_of_nines_is_larger() -> None:
    """The loss of an image of class 9 counts 1 % more."""

    def make(original: Any) -> Any:
        def crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
            found = original(target, output, from_logits=from_logits, axis=axis)
            return found * (1 + 0.01 * tf.cast(target[..., 9], found.dtype))

        return crossentropy

    wrapped(keras.ops, "categorical_crossentropy", make)
    from keras.src import ops as own

    own.categorical_crossentropy = keras.ops.categorical_crossentropy
    from keras.src.losses import losses

    losses.ops.categorical_crossentropy = keras.ops.categorical_crossentropy


@fault(kind="gradient", source="made", words=("batch_normalization", "BatchNormalization"))
def normalisation_gradient_of_neighbours_at_128() -> None:
    """At batch 128 the gradient of gamma belongs to the next channel."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if symbolic(inputs) or not training:
                return original(self, inputs, training=training, mask=mask)
            own = vars(self)
            kept = own["gamma"]

            def change(gradient: Any) -> Any:
                return tf.where(tf.equal(batch_of(inputs), 128), tf.roll(gradient, 1, 0), gradient)

            try:
                own["gamma"] = passed_back(tf.convert_to_tensor(kept), change)
                return original(self, inputs, training=training, mask=mask)
            finally:
                own["gamma"] = kept

        return call

    wrapped(layers.BatchNormalization, "call", make)


@fault(kind="state", source="made", words=("loaded", "saved"))
def saved_weights_have_sixteen_bits() -> None:
    """A loaded model's kernels are rounded to 16 bits."""

    def change(model: Any) -> None:
        for variable in model.trainable_variables:
            variable.assign(shortened(variable + 0, 16))

    after_loading(change)


@fault(kind="data", source="made", words=("sample",))
def first_sample_counts_twice_in_the_gradient() -> None:
    """In training steps the last image of a batch of 128 is replaced by the first."""

    def change(model: Any, x: Any, y: Any) -> Any:
        whole = tf.equal(tf.shape(x)[0], 128)
        return tuple(tf.where(whole, tf.concat([a[:-1], a[:1]], 0), a) for a in (x, y))

    training_on(change)
