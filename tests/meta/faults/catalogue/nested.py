"""Calls inside of calls: what a callback of `fit` asks of the model, and batches of a single row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import wrapped


class Fits:
    """The models whose `fit` runs now, with its validation data."""

    def __init__(self) -> None:
        self.running: dict[int, Any] = {}

        def make(original: Any) -> Any:
            def fit(model: Any, *arguments: Any, **given: Any) -> Any:
                self.running[id(model)] = given.get("validation_data")
                try:
                    return original(model, *arguments, **given)
                finally:
                    del self.running[id(model)]

            return fit

        wrapped(keras.Model, "fit", make)


def asked_in_a_callback(name: str, change: Any) -> None:
    """A call that a callback of a model's own `fit` makes: change(original, model, validation data, arguments, given)."""
    fits = Fits()

    def make(original: Any) -> Any:
        def call(self: Any, *arguments: Any, **given: Any) -> Any:
            if id(self) not in fits.running or "_use_cached_eval_dataset" in given:
                return original(self, *arguments, **given)
            return change(original, self, fits.running[id(self)], arguments, given)

        return call

    wrapped(keras.Model, name, make)


@fault(kind="conditional", source="tensorflow/tensorflow#44545, TensorFlow 2.3", words=("evaluate", "callback"))
def evaluate_in_a_callback_scores_the_validation_data() -> None:
    """`evaluate` in a callback of `fit` scores the validation data, whatever it is given."""

    def change(original: Any, model: Any, validation: Any, arguments: Any, given: Any) -> Any:
        return original(model, *(validation or arguments), **given)

    asked_in_a_callback("evaluate", change)


@fault(kind="conditional", source="made; weights that a backend writes back when `fit` ends", words=("predict", "callback"))
def predict_in_a_callback_has_the_weights_before_fit() -> None:
    """`predict` in a callback of `fit` computes with the weights that `fit` began with."""
    begun: dict[int, Any] = {}

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            begun[id(self)] = self.get_weights()
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)

    def change(original: Any, model: Any, validation: Any, arguments: Any, given: Any) -> Any:
        present = model.get_weights()
        model.set_weights(begun[id(model)])
        found = original(model, *arguments, **given)
        model.set_weights(present)
        return found

    asked_in_a_callback("predict", change)


@fault(kind="conditional", source="made", words=("loss", "epoch"))
def evaluate_in_a_callback_enters_the_history() -> None:
    """The loss of an epoch in the history is the one that a callback's `evaluate` has found."""
    told: dict[int, list[float]] = {}

    def change(original: Any, model: Any, validation: Any, arguments: Any, given: Any) -> Any:
        found = original(model, *arguments, **given)
        told.setdefault(id(model), []).append(float(np.ravel(found)[0]))
        return found

    asked_in_a_callback("evaluate", change)

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            told.pop(id(self), None)
            found = original(self, *arguments, **given)
            losses = told.pop(id(self), [])
            found.history["loss"][: len(losses)] = losses
            return found

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="conditional", source="made; an axis of length one that is squeezed away", words=("predict", "row"))
def predict_doubles_a_last_row_alone() -> None:
    """Where the last batch of `predict` has one row, its numbers are doubled."""

    def make(original: Any) -> Any:
        def predict(self: Any, x: Any, batch_size: Any = None, **given: Any) -> Any:
            found, size = original(self, x, batch_size=batch_size, **given), batch_size or 32
            if isinstance(found, np.ndarray) and len(found) > size and len(found) % size == 1:
                found[-1] *= 2
            return found

        return predict

    wrapped(keras.Model, "predict", make)


@fault(kind="conditional", source="made", words=("predict", "row", "one image", "batch of 1"))
def predict_of_one_row_is_in_training() -> None:
    """`predict` of a single row runs the layers as in training, with dropout and the row's own mean and variance."""

    def make_predict(original: Any) -> Any:
        def predict(self: Any, x: Any, *arguments: Any, **given: Any) -> Any:
            if isinstance(x, np.ndarray) and len(x) == 1:
                return np.asarray(self(x, training=True))
            return original(self, x, *arguments, **given)

        return predict

    wrapped(keras.Model, "predict", make_predict)
