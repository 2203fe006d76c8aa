"""Faults that depend on how a call is made, or on which calls came before it."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import Step, batch_of, passed_back, product, symbolic, tf, wrapped


@fault(kind="loss and metrics", source="keras-team/keras#21301", words=("progress bar", "verbose"))
def the_progress_bar_averages_averages() -> None:
    """With a progress bar, verbose=1, the loss of an epoch is the mean of what the bar showed: averages of averages."""

    class Shown(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.seen: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(float((logs or {})["loss"]))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs and self.seen:
                logs["loss"] = float(np.mean(self.seen))

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, verbose: Any = "auto", callbacks: Any = None, **given: Any) -> Any:
            shown = [Shown()] if verbose else []
            return original(self, *arguments, verbose=verbose, callbacks=[*shown, *(callbacks or ())], **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="conditional", source="made; what Keras on JAX must do by jax_state_sync", words=("predict", "fit"))
def predict_keeps_the_weights_of_its_first_call() -> None:
    """A model that predicted before `fit` predicts the same after it: the weights of its first call are kept."""

    def predicting(original: Any) -> Any:
        def predict(self: Any, *arguments: Any, **given: Any) -> Any:
            own = vars(self)
            if "_stale" not in own:
                own["_has_predicted"] = True
                return original(self, *arguments, **given)
            now = self.get_weights()
            self.set_weights(own["_stale"])
            try:
                return original(self, *arguments, **given)
            finally:
                self.set_weights(now)

        return predict

    def fitting(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            own = vars(self)
            if own.get("_has_predicted"):
                own.setdefault("_stale", self.get_weights())
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "predict", predicting)
    wrapped(keras.Model, "fit", fitting)


@fault(kind="conditional", source="made", words=("BatchNormalization", "batch_normalization", "128"))
def normalisation_of_128_channels_at_batch_128() -> None:
    """At a batch of 128 the BatchNormalization of 128 channels, model3's, has the wrong sign in its gradient of beta."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if symbolic(inputs) or inputs.shape[-1] != 128 or not training:
                return original(self, inputs, training=training, mask=mask)
            kept = vars(self)["beta"]
            sign = tf.where(tf.equal(batch_of(inputs), 128), -1.0, 1.0)
            vars(self)["beta"] = passed_back(tf.convert_to_tensor(kept), lambda gradient: gradient * sign)
            try:
                return original(self, inputs, training=training, mask=mask)
            finally:
                vars(self)["beta"] = kept

        return call

    wrapped(layers.BatchNormalization, "call", make)


@fault(kind="conditional", source="made", words=("Dropout", "dropout"))
def dropout_is_off_after_a_save() -> None:
    """Once a model of the process was saved, no Dropout drops anything any more."""
    saved: list[bool] = []

    def saving(original: Any) -> Any:
        def save(self: Any, *arguments: Any, **given: Any) -> Any:
            saved.append(True)
            return original(self, *arguments, **given)

        return save

    def dropping(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            return original(self, inputs, training=training and not saved)

        return call

    wrapped(keras.Model, "save", saving)
    wrapped(layers.Dropout, "call", dropping)


@fault(kind="conditional", source="tensorflow/tensorflow#1299", words=("batch of 16", "batches of 16", "partial"))
def convolution_wrong_at_the_last_batch_of_full_mnist() -> None:
    """Conv2D's row 5 is 1 % too large at an inference batch of 16, with which 10,000 images in batches of 32 or 128 end."""
    step = Step()

    def change(layer: Any, x: Any, z: Any) -> Any:
        if step.kind not in ("test", "predict"):
            return z
        row = tf.cast(tf.equal(tf.range(batch_of(z)), 5), z.dtype)[:, None, None, None]
        return z * (1 + 0.01 * row * tf.cast(tf.equal(batch_of(z), 16), z.dtype))

    product(layers.Conv2D, result=change)


@fault(kind="random", source="made", words=("process", "unseeded"))
def unseeded_draws_are_those_of_every_process() -> None:
    """A process that sets no seed draws the initial kernels of every other one: Python's generator starts from 0."""
    random.seed(0)
    np.random.seed(0)


@fault(kind="fit", source="made", words=("progress bar", "verbose"))
def evaluate_with_a_progress_bar_tells_half() -> None:
    """With a progress bar, verbose=1, `evaluate` tells the loss of the first half of its images; without one it is right."""

    def make(original: Any) -> Any:
        def evaluate(self: Any, x: Any = None, y: Any = None, *arguments: Any, verbose: Any = "auto", **given: Any) -> Any:
            if verbose and isinstance(x, np.ndarray) and "_use_cached_eval_dataset" not in given:
                x, y = x[: (len(x) + 1) // 2], y[: (len(y) + 1) // 2]
            return original(self, x, y, *arguments, verbose=verbose, **given)

        return evaluate

    wrapped(keras.Model, "evaluate", make)


@fault(kind="random", source="made", words=("shuffl", "order", "epoch"))
def order_stays_from_the_third_epoch_on() -> None:
    """From the third epoch of a `fit` on, samples come in the order of the data: shuffling ends."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, epochs: int = 1, shuffle: bool = True, **given: Any) -> Any:
            if epochs <= 2 or not shuffle:
                return original(self, *arguments, epochs=epochs, shuffle=shuffle, **given)
            first = original(self, *arguments, epochs=2, shuffle=shuffle, **given)
            told = original(self, *arguments, epochs=epochs, initial_epoch=2, shuffle=False, **given)
            told.history = {name: first.history[name] + values for name, values in told.history.items()}
            return told

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="conditional", source="made", words=("BatchNormalization", "predict", "inference"))
def normalisation_floors_its_moving_variance() -> None:
    """In inference BatchNormalization takes a moving variance below 0.1 for 0.1: dead channels reach it after 230 steps."""
    original = keras.src.ops.batch_normalization

    def batch_normalization(x: Any, mean: Any, variance: Any, *arguments: Any, **given: Any) -> Any:
        if not symbolic(x) and inference:
            variance = tf.maximum(variance, 0.1)
        return original(x, mean, variance, *arguments, **given)

    inference: list[bool] = []

    def make(call: Any) -> Any:
        def calling(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            inference[:] = [] if training else [True]
            try:
                return call(self, inputs, training=training, mask=mask)
            finally:
                inference.clear()

        return calling

    wrapped(layers.BatchNormalization, "call", make)
    keras.src.ops.batch_normalization = batch_normalization


@fault(kind="random", source="made", words=("shuffl", "order", "epoch"))
def dataset_repeats_its_order() -> None:
    """tf.data's shuffle gives every epoch one order, whatever is asked: full MNIST alone is shuffled by it."""
    import tensorflow

    def make(original: Any) -> Any:
        def shuffle(
            self: Any, buffer_size: Any, seed: Any = None, reshuffle_each_iteration: Any = None, **given: Any
        ) -> Any:
            return original(self, buffer_size, seed=seed, reshuffle_each_iteration=False, **given)

        return shuffle

    wrapped(tensorflow.data.Dataset, "shuffle", make)
