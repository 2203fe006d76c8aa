"""What is an epoch late, or wrong from the third epoch on, and what a file brings back too old."""

from __future__ import annotations

from typing import Any

import keras
from keras import callbacks, layers, optimizers
from keras.src.callbacks.callback_list import CallbackList

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.loading import after_loading
from tests.meta.faults.catalogue.patching import Kept, steps_of, symbolic, tf, wrapped

LATE = 2  # the third epoch of a `fit`, counted from 0


def epochs() -> Kept:
    """The number of the epoch of the `fit` that runs, in compiled steps as well; 0 outside of a fit."""
    kept = Kept(lambda: (0, {"dtype": "int64"}))

    def noting(number: Any) -> Any:
        def make(original: Any) -> Any:
            def call(self: Any, *arguments: Any, **given: Any) -> Any:
                kept.variable().assign(number(arguments))
                return original(self, *arguments, **given)

            return call

        return make

    wrapped(CallbackList, "on_epoch_begin", noting(lambda arguments: arguments[0]))
    wrapped(CallbackList, "on_train_end", noting(lambda arguments: 0))
    return kept


@fault(kind="conditional", source="made", words=("validation", "val_loss"))
def validation_lags_an_epoch() -> None:
    """The validation of `fit` scores the weights that the epoch began with."""
    begun: dict[int, Any] = {}

    def make_fit(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            begun[id(self)] = self.get_weights()
            return original(self, *arguments, **given)

        return fit

    def make(original: Any) -> Any:
        def evaluate(self: Any, *arguments: Any, **given: Any) -> Any:
            if "_use_cached_eval_dataset" not in given:
                return original(self, *arguments, **given)
            present = self.get_weights()
            self.set_weights(begun[id(self)])
            try:
                return original(self, *arguments, **given)
            finally:
                self.set_weights(present)
                begun[id(self)] = present

        return evaluate

    wrapped(keras.Model, "fit", make_fit)
    wrapped(keras.Model, "evaluate", make)


@fault(kind="state", source="made", words=("ModelCheckpoint", "checkpoint"))
def checkpoint_is_an_epoch_late() -> None:
    """ModelCheckpoint saves the weights that the epoch began with."""
    begun: dict[int, Any] = {}

    def make_begin(original: Any) -> Any:
        def on_epoch_begin(self: Any, epoch: Any, logs: Any = None) -> None:
            begun[id(self)] = self.model.get_weights()
            original(self, epoch, logs)

        return on_epoch_begin

    def make_end(original: Any) -> Any:
        def on_epoch_end(self: Any, epoch: Any, logs: Any = None) -> None:
            present = self.model.get_weights()
            self.model.set_weights(begun[id(self)])
            original(self, epoch, logs)
            self.model.set_weights(present)

        return on_epoch_end

    wrapped(callbacks.ModelCheckpoint, "on_epoch_begin", make_begin)
    wrapped(callbacks.ModelCheckpoint, "on_epoch_end", make_end)


@fault(kind="conditional", source="made", words=("Dropout", "dropout"))
def dropout_ends_with_the_second_epoch() -> None:
    """From the third epoch of a `fit` on nothing is dropped."""
    epoch = epochs()

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            found = original(self, inputs, training=training)
            if symbolic(inputs) or not training or not self.rate:
                return found
            return tf.where(epoch.variable() >= LATE, tf.convert_to_tensor(inputs), found)

        return call

    wrapped(layers.Dropout, "call", make)


def moving(change: Any) -> None:
    """BatchNormalization whose moving statistics after a training step are change(as they were, as they became)."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if symbolic(inputs) or not training:
                return original(self, inputs, training=training, mask=mask)
            variables = self.moving_mean, self.moving_variance
            before = [tf.identity(tf.convert_to_tensor(variable)) for variable in variables]
            found = original(self, inputs, training=training, mask=mask)
            for variable, was in zip(variables, before, strict=True):
                variable.assign(change(was, tf.convert_to_tensor(variable)))
            return found

        return call

    wrapped(layers.BatchNormalization, "call", make)


@fault(kind="conditional", source="made", words=("moving", "statistics", "batch_normalization"))
def moving_statistics_stay_from_the_third_epoch_on() -> None:
    """From the third epoch of a `fit` on the moving mean and variance stay as they are."""
    epoch = epochs()
    moving(lambda was, now: tf.where(epoch.variable() >= LATE, was, now))


@fault(kind="conditional", source="made", words=("rate", "movement", "Adam"))
def adam_is_slower_from_the_third_epoch_on() -> None:
    """From the third epoch of a `fit` on Adam's steps have half of the rate."""
    epoch = epochs()
    steps_of(optimizers.Adam, lambda self, g, v, rate: (g, rate * tf.where(epoch.variable() >= LATE, 0.5, 1.0)))


@fault(kind="state", source="made", words=("moving", "statistics", "batch_normalization", "BatchNormalization"))
def last_channel_keeps_its_statistics() -> None:
    """The moving mean and variance of the last channel stay 0 and 1."""
    moving(lambda was, now: tf.concat([now[:-1], was[-1:]], 0))


def layers_of(model: Any, cls: type) -> list[Any]:
    """The layers of a class in a model."""
    return [layer for layer in model.layers if isinstance(layer, cls)]


@fault(kind="state", source="made", words=("loaded", "saved", "training goes on"))
def loaded_dropout_is_off() -> None:
    """In a loaded model Dropout has the rate 0."""

    def change(model: Any) -> None:
        for layer in layers_of(model, layers.Dropout):
            layer.rate = 0.0

    after_loading(change)


@fault(kind="state", source="made", words=("loaded", "saved", "training goes on"))
def loaded_normalisation_has_momentum_09() -> None:
    """In a loaded model BatchNormalization has the momentum 0.9."""

    def change(model: Any) -> None:
        for layer in layers_of(model, layers.BatchNormalization):
            layer.momentum = 0.9

    after_loading(change)


@fault(kind="state", source="made", words=("loaded", "saved", "predict"))
def loaded_model_has_no_moving_statistics() -> None:
    """In a loaded model the moving means are 0 and the moving variances 1."""

    def change(model: Any) -> None:
        for layer in layers_of(model, layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean * 0)
            layer.moving_variance.assign(layer.moving_variance * 0 + 1)

    after_loading(change)
