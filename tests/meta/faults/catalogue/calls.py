"""Faults that depend on how a call is made, or on which calls came before it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import batch_of, passed_back, symbolic, tf, wrapped


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
