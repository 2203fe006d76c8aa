"""The first calls of a process, without rounding: what is loaded, tuned or filled at its first use may fail there alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.support.bookkeeping import loss
from tests.support.in_turn import Answer
from tests.support.orders import places, seen_in_fit

UNITS, FEWEST, MOST = 1024, 416, 608  # of which half is dropped; six standard deviations to either side
SAMPLES, BATCH = 64, 8


def fitted(
    layers: list[keras.layers.Layer], x: np.ndarray, optimizer: keras.optimizers.Optimizer, loss: Any = loss
) -> keras.Sequential:
    """A compiled model of some layers and a Dense of one unit, all weights that it trains one."""
    model = keras.Sequential([keras.Input(shape=x.shape[1:]), *layers, keras.layers.Dense(1, use_bias=False)])
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.ones_like(array) for array in layer.get_weights()])
    model.compile(loss=loss, optimizer=optimizer)
    return model


def once(model: keras.Sequential, x: np.ndarray, label: float = 1.0) -> None:
    """One step of `fit`."""
    model.fit(x, np.full((len(x), 1), label, "float32"), batch_size=len(x), shuffle=False, verbose=0)


def of_a_small_network() -> list[Answer]:
    """predict, evaluate and a step of a convolution, ReLU, max pooling and Dense on the image 0, 1, … 35.

    A sum of nine numbers is nine times the middle one. Each window of the pooling has its largest at the end, so the middles
    are 14, 16, 26 and 28; the element in a row and a column of the kernel, which was 1, has met 7 + 9 + 19 + 21 and four
    times 6 · row + column. The label is the output and a half, so that the squared error's gradient is −1. It reads every
    weight: with one that reads none TensorFlow may update a weight before it is read
    (`test_gradients_are_of_the_weights_before`).
    """
    x = np.arange(36, dtype="float32").reshape(1, 6, 6, 1)
    layers = [
        keras.layers.Conv2D(1, (3, 3), use_bias=False, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
    ]
    model, output = fitted(layers, x, keras.optimizers.SGD(1.0), "mean_squared_error"), 9.0 * (14 + 16 + 26 + 28)
    predicted = model.predict(x, verbose=0).ravel().tolist()
    evaluated = float(np.ravel(model.evaluate(x, np.full((1, 1), output + 2, "float32"), verbose=0))[0])
    once(model, x, output + 0.5)
    kernel, weights = (array.ravel().tolist() for array in model.get_weights())
    due = [57.0 + 24 * row + 4 * column for row in range(3) for column in range(3)]
    return [
        Answer("the first predict", [output], predicted),
        Answer("the first evaluate", 4.0, evaluated),
        Answer("a convolution's kernel after the first step", due, kernel),
        Answer("a Dense layer's kernel after the first step", [127.0, 145.0, 235.0, 253.0], weights),
    ]


def of_adam() -> Answer:
    """How many rates the first update of Adam moves two weights: bias-corrected, one (Kingma and Ba 2015)."""
    x, rate = np.eye(2, dtype="float32"), 2.0**-10
    model = fitted([], x, keras.optimizers.Adam(rate))
    once(model, x)
    moved = (model.get_weights()[0].ravel() - 1) / rate
    return Answer("rates that the first update of Adam moves a weight", [1.0, 1.0], np.round(moved, 3).tolist())


def of_normalisation() -> Answer:
    """Moving mean and variance after a step on 0 and 4, of mean 2 and variance 4, with a momentum of one half."""
    x = np.array([[0], [4]], "float32")
    model = fitted([keras.layers.BatchNormalization(momentum=0.5)], x, keras.optimizers.SGD(0.0))
    once(model, x)
    statistics = [float(array[0]) for array in model.layers[0].get_weights()[2:]]
    return Answer("moving mean and variance after the first step of BatchNormalization", [1.0, 2.5], statistics)


def of_dropout() -> list[Answer]:
    """What the first Dropout(0.5) makes of ones in a step: 0 or 2, half of them 0."""
    x = np.ones((1, UNITS), "float32")
    model = fitted([keras.layers.Dropout(0.5)], x, keras.optimizers.SGD(1.0))
    once(model, x)
    kept = model.get_weights()[0].ravel() - 1
    zeros = int((kept == 0).sum())
    return [
        Answer("what the first Dropout(0.5) makes of ones", [0.0, 2.0], sorted(set(kept.tolist()))),
        Answer(f"between {FEWEST} and {MOST} of {UNITS} are dropped by it ({zeros} are)", True, FEWEST <= zeros <= MOST),
    ]


def of_shuffling() -> Answer:
    """Whether the first shuffled `fit` shows the samples in the order of the data."""
    order = places(seen_in_fit(0, SAMPLES, BATCH, 1))["epoch 1"].tolist()
    return Answer("the first shuffled fit leaves the given order", False, order == [row // BATCH for row in range(SAMPLES)])


def answers() -> list[Answer]:
    """All of them; Adam, dropout and normalisation come first, before another step has used anything of theirs."""
    return [of_adam(), *of_dropout(), of_normalisation(), *of_a_small_network(), of_shuffling()]
