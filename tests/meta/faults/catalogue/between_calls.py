"""Faults of what one call of a model leaves for the next: of its optimizer, its statistics and its phase."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import initializers, layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import symbolic, wrapped


def after(call: str, act: Callable[[Any], object]) -> None:
    """Each `call` of a compiled model ends with act(model); the evaluations inside `fit` are calls of fit's."""

    def make(original: Any) -> Any:
        def called(self: Any, *arguments: Any, **given: Any) -> Any:
            found = original(self, *arguments, **given)
            if "_use_cached_eval_dataset" not in given:
                act(self)
            return found

        return called

    wrapped(keras.Model, call, make)


def before_another_fit(act: Callable[[Any], object]) -> None:
    """Every `fit` of a model but its first begins with act(model)."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            if vars(self).get("_was_fit"):
                act(self)
            found = original(self, *arguments, **given)
            vars(self)["_was_fit"] = True
            return found

        return fit

    wrapped(keras.Model, "fit", make)


def forget(model: Any) -> None:
    """Set the slots of a compiled model's optimizer to zero; its counter goes on."""
    for variable in getattr(getattr(model, "optimizer", None), "variables", ()):
        if len(variable.shape):
            variable.assign(np.zeros(variable.shape, variable.dtype))


@fault(kind="state", source="made", words="a second")
def a_second_fit_begins_with_new_slots() -> None:
    """A second `fit` of a model begins with an optimizer whose slots are zero; its counter goes on."""
    before_another_fit(forget)


@fault(kind="state", source="made", words=("steps after a second", "second call of fit"))
def a_second_fit_counts_from_zero() -> None:
    """A second `fit` of a model begins with an optimizer that has counted no steps; its slots are kept."""
    before_another_fit(lambda model: model.optimizer.iterations.assign(0))


@fault(kind="conditional", source="made", words="after evaluate")
def evaluate_forgets_the_slots() -> None:
    """After `evaluate` the optimizer's slots are zero."""
    after("evaluate", forget)


@fault(kind="conditional", source="made", words="after predict")
def predict_forgets_the_slots() -> None:
    """After `predict` the optimizer's slots are zero."""
    after("predict", forget)


@fault(kind="conditional", source="made", words=("rate was set", "learning rate"))
def a_rate_that_is_set_is_ignored() -> None:
    """Once an optimizer has made a step, another learning rate that is set is not taken."""
    (owner,) = (cls for cls in keras.optimizers.Adam.__mro__ if "learning_rate" in vars(cls))
    told = vars(owner)["learning_rate"]

    def setter(self: Any, rate: Any) -> None:
        if not vars(self).get("_has_stepped"):
            told.fset(self, rate)

    def make(original: Any) -> Any:
        def apply(self: Any, *arguments: Any, **given: Any) -> Any:
            vars(self)["_has_stepped"] = True
            return original(self, *arguments, **given)

        return apply

    owner.learning_rate = property(told.fget, setter)  # type: ignore[attr-defined]
    wrapped(owner, "apply", make)


def moved(model: Any) -> None:
    """Move the moving means of a model by a ten-thousandth."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(layer.moving_mean * 1.0001)


@fault(kind="state", source="made", words=("moves", "predict", "moving"))
def predict_moves_statistics() -> None:
    """`predict` moves the moving means of BatchNormalization, by a ten-thousandth."""
    after("predict", moved)


def stays_in_inference(call: str, cls: type) -> None:
    """Once a model had a `call`, its layers of a class stay in inference."""

    def act(model: Any) -> None:
        for layer in model.layers:
            if isinstance(layer, cls):
                vars(layer)["_stays"] = True

    def make(original: Any) -> Any:
        def called(self: Any, inputs: Any, training: Any = None, **given: Any) -> Any:
            kept = training and not symbolic(inputs) and vars(self).get("_stays")
            return original(self, inputs, training=False if kept else training, **given)

        return called

    after(call, act)
    wrapped(cls, "call", make)


@fault(kind="conditional", source="made", words=("Dropout", "dropout"))
def dropout_stays_off_after_predict() -> None:
    """A model that has predicted trains without dropout."""
    stays_in_inference("predict", layers.Dropout)


@fault(kind="conditional", source="made", words=("Dropout", "dropout"))
def dropout_stays_off_after_evaluate() -> None:
    """A model that was evaluated trains without dropout."""
    stays_in_inference("evaluate", layers.Dropout)


@fault(kind="conditional", source="made", words=("BatchNormalization", "batch_normalization", "after every call"))
def normalisation_stays_in_inference_after_evaluate() -> None:
    """A model that was evaluated trains with the moving statistics of BatchNormalization."""
    stays_in_inference("evaluate", layers.BatchNormalization)


@fault(kind="conditional", source="made", words=("BatchNormalization", "after every call"))
def normalisation_stays_in_inference_after_predict() -> None:
    """A model that has predicted trains with the moving statistics of BatchNormalization."""
    stays_in_inference("predict", layers.BatchNormalization)


@fault(kind="state", source="made", words="class weights")
def class_weights_stay_for_the_next_fit() -> None:
    """A `fit` without weights takes the class weights of the `fit` before it."""
    kept: dict[int, Any] = {}

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            if given.get("class_weight") is not None:
                kept[id(self)] = given["class_weight"]
            elif id(self) in kept:
                given["class_weight"] = kept[id(self)]
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="state", source="made; memory that is taken for zeros is used again", words="one like it was trained")
def biases_begin_as_an_earlier_model_left_them() -> None:
    """A bias begins as one of its length was after the last `fit` of the process; in the first model they are zero."""
    left: dict[tuple[int, ...], Any] = {}

    def remember(model: Any) -> None:
        for layer in model.layers:
            bias = getattr(layer, "bias", None)
            if bias is not None:
                left[tuple(bias.shape)] = np.array(bias)

    def make(original: Any) -> Any:
        def __call__(self: Any, shape: Any, dtype: Any = None) -> Any:
            zeros = original(self, shape, dtype)
            found = left.pop(tuple(shape), None)
            return zeros if found is None else keras.ops.convert_to_tensor(found)

        return __call__

    after("fit", remember)
    wrapped(initializers.Zeros, "__call__", make)
