"""What Dropout does inside compiled training steps, on every backend: its masks, and how often each element was kept."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from cnnspec import pipeline
from cnnspec.compat import forget_models, make_slots, seed_everything
from cnnspec.training import batch_size, fitting
from tests.support import probes


class Sum(keras.losses.Loss):
    """The sum of all outputs of a batch: every output's gradient is exactly 1."""

    def __init__(self) -> None:
        super().__init__(reduction="sum")

    def call(self, y_true: object, y_pred: object) -> object:
        return probes.ops.sum(y_pred, axis=-1)


class Digits(NamedTuple):
    """The fields of a Dataset that `training.fitting` reads."""

    x_train: np.ndarray
    y_train: np.ndarray


def stepping(rate: float, width: int, seed: int, **settings: object) -> keras.Model:
    """A compiled model of one Dropout, whose Offset before it takes up 1 / (1 − rate) wherever an element is kept."""
    forget_models()
    seed_everything(seed)
    model = keras.Sequential([keras.Input(shape=(width,)), probes.Offset(), keras.layers.Dropout(rate)])
    model.compile(loss=Sum(), optimizer=keras.optimizers.SGD(learning_rate=1.0), **settings)
    make_slots(model)
    return model


def taken_up(model: keras.Model, rate: float) -> np.ndarray:
    """How often each element of the batch (128, width) was kept since the model was made."""
    (offset,) = model.layers[0].get_weights() if hasattr(model.layers[0], "offset") else model.layers[1].get_weights()
    return np.rint(-offset * (1 - rate)).astype(int)


def compiled_masks(rate: float, steps: int, width: int, seed: int = 0, **settings: object) -> np.ndarray:
    """Which elements Dropout kept in each of some compiled training steps, booleans (steps, 128, width).

    `settings` are those of `compile`.
    """
    model = stepping(rate, width, seed, **settings)
    ones = np.ones((batch_size, width), "float32")
    counts = [np.zeros((batch_size, width), int)]
    for _ in range(steps):
        model.train_on_batch(ones, ones)
        counts.append(taken_up(model, rate))
    return np.diff(np.stack(counts), axis=0)


def kept_in_fit(rate: float, steps: int, epochs: int, width: int, seed: int = 0) -> np.ndarray:
    """How often each element was kept in each epoch of the harness' own fit, (epochs, 128, width), of `steps` steps each."""
    model = stepping(rate, width, seed, **pipeline.compile_settings())
    ones = np.ones((steps * batch_size, width), "float32")
    fit = fitting(model, Digits(ones, ones))
    counts = [np.zeros((batch_size, width), int)]
    for _ in range(epochs):
        fit(epochs=1, verbose=0)
        counts.append(taken_up(model, rate))
    return np.diff(np.stack(counts), axis=0)
