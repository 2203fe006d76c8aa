"""What strikes the first of its kind in a process alone, the second optimizer, or an unusual channel or batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, optimizers

from tests.meta.faults.catalogue.changing import after_init
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.fitting import ORDER
from tests.meta.faults.catalogue.patching import Counter, batch_of, outputs_of, passed_back, steps_of, symbolic, tf, wrapped


@fault(kind="random", source="made", words=ORDER)
def first_shuffled_fit_of_a_process_keeps_the_order() -> None:
    """The first `fit` of a process that should shuffle does not."""
    shuffled: list[Any] = []

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            if given.get("shuffle", True) and not shuffled:
                shuffled.append(self)
                given["shuffle"] = False
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="rare", source="made; a kernel that is loaded at its first use", words=("Adam", "movement", "step"))
def first_update_of_adam_in_a_process_is_lost() -> None:
    """The first update of a variable that Adam makes in a process moves nothing."""
    counter = Counter()
    steps_of(optimizers.Adam, lambda self, g, v, rate: (g, rate * tf.cast(counter.next() > 1, "float32")))


@fault(kind="random", source="made; a kernel that is loaded at its first use", words=("Dropout", "dropout", "mask"))
def first_dropout_of_a_process_keeps_all() -> None:
    """The first Dropout of a process in a training step drops nothing."""
    counter = Counter()

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            found = original(self, inputs, training=training)
            if symbolic(inputs) or not training or not self.rate:
                return found
            return tf.where(tf.equal(counter.next(), 1), tf.convert_to_tensor(inputs), found)

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="state", source="made; one optimizer for all models that ask for its name", words=("step", "iterations", "Adam"))
def second_optimizer_counts_on() -> None:
    """An Adam begins with the steps that the Adam before it in the process has counted."""
    before: list[Any] = []

    def change(self: Any) -> None:
        if before:
            self.iterations.assign(before[0].iterations)
        before[:] = [self]

    after_init(optimizers.Adam, change)


@fault(kind="layer", source="made; a division by a variance of zero, avoided", words=("BatchNormalization", "normalisation"))
def normalisation_passes_constant_channels() -> None:
    """In a training step BatchNormalization passes on a channel whose variance is zero as it is."""

    def change(layer: Any, inputs: Any, outputs: Any, training: bool) -> Any:
        if not training:
            return outputs
        inputs = tf.convert_to_tensor(inputs)
        constant = tf.reduce_all(tf.equal(inputs, inputs[:1]), axis=list(range(inputs.shape.rank - 1)), keepdims=True)
        return tf.where(constant, inputs, outputs)

    outputs_of(layers.BatchNormalization, change)


@fault(kind="conditional", source="made; 96 images are full MNIST's last batch", words=("BatchNormalization", "96"))
def normalisation_gradient_doubled_at_batch_96() -> None:
    """At a batch of 96 the gradient that BatchNormalization passes back is doubled."""

    def change(layer: Any, inputs: Any, outputs: Any, training: bool) -> Any:
        if not training:
            return outputs
        factor = tf.where(tf.equal(batch_of(outputs), 96), 2.0, 1.0)
        return passed_back(tf.convert_to_tensor(outputs), lambda gradient: gradient * factor)

    outputs_of(layers.BatchNormalization, change)
