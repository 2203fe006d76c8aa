"""What Dropout does inside compiled training steps, on every backend: its masks, and how often each element was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from cnnspec import pipeline
from cnnspec.compat import forget_models, loss_of_step, make_variables, seed_everything
from cnnspec.training import batch_size, fitting
from tests.support import probes

NEAR = 1e-4  # of (1 − rate) · gradient to 0 or 1: differences of a few roundings of float32


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


class Step(NamedTuple):
    """One compiled training step of a batch through Dropout: what it kept, by its gradient and by its outputs."""

    gradient: np.ndarray  # (1 − rate) · gradient at the input: 1 where an element is kept, 0 where it is dropped
    loss: float  # sum of the outputs, as the step gives it
    due: float  # the same sum, in float64, of the inputs that the gradient says were kept
    terms: float  # sum of the absolute values of what is summed


def inputs(shape: Sequence[int], seed: int = 5) -> np.ndarray:
    """Inputs of a batch: of both signs, some large, some exactly 0. What is dropped must not depend on them."""
    drawn = np.random.RandomState(seed).normal(size=(batch_size, *shape)).astype("float32")
    drawn.reshape(-1)[::11] = 0
    return drawn


def stepping(rate: float, shape: Sequence[int], seed: int, **settings: object) -> keras.Model:
    """A compiled model of one Dropout, whose Offset before it takes up 1 / (1 − rate) wherever an element is kept."""
    forget_models()
    seed_everything(seed)
    model = keras.Sequential([keras.Input(shape=tuple(shape)), probes.Offset(), keras.layers.Dropout(rate)])
    model.compile(loss=Sum(), optimizer=keras.optimizers.SGD(learning_rate=1.0), **settings)
    make_variables(model)
    return model


def offset_of(model: keras.Model) -> np.ndarray:
    """What the Offset of `stepping` has taken up since the model was made, negative: (128, …)."""
    return next(layer for layer in model.layers if isinstance(layer, probes.Offset)).get_weights()[0]


def compiled_steps(
    rate: float, batches: Sequence[int], shape: Sequence[int], seed: int = 0, **settings: object
) -> list[Step]:
    """Training steps at these batch sizes, one after the other, of one compiled model of Dropout on (batch, *shape).

    `settings` are those of `compile`.
    """
    model, x = stepping(rate, shape, seed, **settings), inputs(shape)
    found, before = [], offset_of(model)
    for batch in batches:
        loss = loss_of_step(model, x[:batch], x[:batch])
        after = offset_of(model)
        gradient = (before - after)[:batch].astype("float64") * (1 - rate)
        kept = np.rint(gradient)
        if np.abs(gradient - kept).max() < NEAR:  # before is −k / (1 − rate), which float32 rounds
            gradient = kept
        passed = (x[:batch].astype("float64") + before[:batch]) * (gradient != 0) / (1 - rate)
        found.append(Step(gradient, loss, float(passed.sum()), float(np.abs(passed).sum())))
        before = after
    return found


def masks_of_two_layers(rate: float, width: int, seed: int = 0) -> np.ndarray:
    """Which elements two Dropout layers of a model kept in one compiled training step, booleans (2, 128, width)."""
    forget_models()
    seed_everything(seed)
    image = keras.Input(shape=(width,))
    offsets = [probes.Offset(), probes.Offset()]
    model = keras.Model(image, [keras.layers.Dropout(rate)(offset(image)) for offset in offsets])
    model.compile(loss=[Sum(), Sum()], optimizer=keras.optimizers.SGD(learning_rate=1.0))
    make_variables(model)
    ones = np.ones((batch_size, width), "float32")
    model.train_on_batch(ones, [ones, ones])
    kept = [np.rint(-offset.get_weights()[0] * (1 - rate)).astype(int) for offset in offsets]
    return np.stack(kept).astype(bool)


def losses_behind_dropout(epochs: int, **settings: object) -> dict[str, tuple[float, float]]:
    """{call: (due, obtained)}: the mean squared error of ones behind a Dropout of a half, by each call of one model in turn.

    The first `fit` has `epochs`, another one two. The error is 0 where nothing is dropped. In a training step an output is 0
    or 2, so that it is 1, whatever the mask is. The learning rate is 0, so that `fit` changes nothing. `settings` are those
    of `compile`.
    """
    forget_models()
    seed_everything(0)
    unchanged = keras.layers.Dense(10, kernel_initializer="identity")  # it has weights, which steps need, at any batch size
    model = keras.Sequential([keras.Input(shape=(10,)), unchanged, keras.layers.Dropout(0.5)])
    model.compile(loss="mean_squared_error", optimizer=keras.optimizers.SGD(learning_rate=0.0), **settings)
    ones = np.ones((batch_size + 2, 10), "float32")
    found = {}

    def fit(when: str, epochs: int) -> None:
        log = model.fit(ones, ones, batch_size=batch_size, epochs=epochs, verbose=0, validation_data=(ones, ones)).history
        for epoch, (loss, validated) in enumerate(zip(log["loss"], log["val_loss"], strict=True), 1):
            found[f"epoch {epoch} of {when}"] = 1.0, float(loss)
            found[f"validation in epoch {epoch} of {when}"] = 0.0, float(validated)

    def look(when: str) -> None:
        found[f"evaluate {when}"] = 0.0, float(np.ravel(model.evaluate(ones, ones, verbose=0))[0])
        found[f"predict {when}"] = 0.0, float(((model.predict(ones, verbose=0) - 1) ** 2).mean())
        found[f"test_on_batch {when}"] = 0.0, float(np.ravel(model.test_on_batch(ones[:batch_size], ones[:batch_size]))[0])

    look("of a new model")
    fit("fit after them", epochs)
    look("after fit")
    fit("another fit", 2)
    return found


def kept_in_fit(rate: float, steps: int, epochs: Sequence[int], width: int, seed: int = 0) -> np.ndarray:
    """How often each element was kept in each epoch of the harness' own fit, (all epochs, 128, width), of `steps` steps.

    `epochs` are those of one call of `fit` after the other.
    """
    model = stepping(rate, (width,), seed, **pipeline.compile_settings())
    ones = np.ones((steps * batch_size, width), "float32")
    fit = fitting(model, Digits(ones, ones))
    counts = [np.zeros((batch_size, width), int)]

    def look(epoch: int, logs: object) -> None:
        counts.append(np.rint(-offset_of(model) * (1 - rate)).astype(int))

    for each in epochs:
        fit(epochs=each, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=look)])
    return np.diff(np.stack(counts), axis=0)
