"""Calls of one model in turn, without rounding: what one call leaves behind must not change what the next one gives.

The model of `bookkeeping` with a momentum of one half: one weight per sample, a loss of −label · output. So a step moves the
weight of each of its samples by rate · label / batch, and every weight by half of what moved it before. Seventeen steps
of one optimizer halve seventeen times, which float32 holds exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from tests.support.bookkeeping import loss
from tests.support.numerics import as_numpy
from tests.support.probes import optimizer_arrays

SAMPLES, BATCH, RATE, MOMENTUM = 256, 64, 64.0, 0.5


class Answer(NamedTuple):
    """What a call gave beside what it must give, and whether that is exact or the mean of losses, which is rounded."""

    name: str
    due: Any
    obtained: Any
    exact: bool = True


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and their labels, small whole numbers."""
    return np.eye(SAMPLES, dtype="float32"), (1 + np.arange(SAMPLES) % 5).astype("float32")[:, None]


def unaligned(values: np.ndarray) -> np.ndarray:
    """A column of float32 that begins four bytes behind a multiple of 64.

    Of one that begins at a multiple Keras 2.12 on TensorFlow 2.12 and Keras 3.15.1 on JAX 0.12 share the memory, in 20 of 20
    calls of `set_weights`, and in none of 20 of one like this; TensorFlow 2.21 and PyTorch 2.13 copy both.
    """
    memory = np.empty(len(values) + 16, "float32")
    start = (1 - memory.ctypes.data // 4) % 16
    memory[start : start + len(values)] = values
    return memory[start : start + len(values), None]


class Calls:
    """A model, and what it and its optimizer must hold; each method makes a call and adds Answers."""

    def __init__(self) -> None:
        self.model = keras.Sequential([keras.Input(shape=(SAMPLES,)), keras.layers.Dense(1, use_bias=False)])
        self.x, self.y = samples()
        self.labels = self.y.copy()  # of validation and evaluation: one array, whose numbers change
        self.answers: list[Answer] = []
        self.returned: dict[str, tuple[Any, Any]] = {}  # what a call returned -> that array, and a copy of it
        self.set_weights(1.0 + np.arange(SAMPLES) % 3)
        self.compile(RATE)

    def set_weights(self, weights: np.ndarray) -> None:
        """Give the model weights, from which it must go on."""
        self.due = np.array(weights, np.float64)
        given = unaligned(self.due)
        self.model.layers[-1].set_weights([given])
        given[...] = -1  # the caller's array is the caller's: the model must have a copy

    def compile(self, rate: float) -> None:
        """Compile anew: from now on this rate counts, and the optimizer begins anew."""
        self.rate, self.velocity, self.steps = rate, np.zeros(SAMPLES), 0
        self.model.compile(loss=loss, optimizer=keras.optimizers.SGD(rate, momentum=MOMENTUM))

    def set_rate(self, rate: float) -> None:
        """Give the optimizer another rate, which counts without another compile."""
        self.rate = rate
        self.model.optimizer.learning_rate = rate

    def step(self, rows: slice, weight: float = 1.0) -> np.ndarray:
        """A step on some of the samples, each with a weight, in float64: their losses before it."""
        labels = weight * samples()[1][rows, 0]
        losses = -labels * self.due[rows]
        self.velocity = MOMENTUM * self.velocity
        self.velocity[rows] += self.rate * labels / len(losses)
        self.due = self.due + self.velocity
        self.steps += 1
        return losses

    def held(self, after: str) -> None:
        """What the model and its optimizer hold after a call."""
        (velocity,) = optimizer_arrays(self.model.optimizer)
        self.answers += [
            Answer(f"weights after {after}", self.due.tolist(), self.model.get_weights()[0][:, 0].tolist()),
            Answer(f"the optimizer's velocities after {after}", self.velocity.tolist(), velocity[:, 0].tolist()),
            Answer(f"the optimizer's steps after {after}", self.steps, int(np.asarray(self.model.optimizer.iterations))),
        ]

    def predict(self, when: str) -> None:
        """`predict`, `predict_on_batch` and a call of the model, which read the weights alike."""
        calls: dict[str, Callable[[], Any]] = {
            "predict": lambda: self.model.predict(self.x, batch_size=BATCH, verbose=0),
            "predict_on_batch": lambda: self.model.predict_on_batch(self.x),
            "a call": lambda: as_numpy(self.model(self.x)),
        }
        for name, call in calls.items():
            found = np.asarray(call())
            self.answers.append(Answer(f"{name} {when}", self.due.tolist(), found[:, 0].tolist()))
            self.answers.append(Answer(f"type of what {name} returns {when}", "float32", str(found.dtype)))
            self.returned[f"{name} {when}"] = found, found.copy()
        (weights,) = self.model.get_weights()
        self.returned[f"get_weights {when}"] = weights, np.array(weights)
        if self.steps:
            self.held(f"predict {when}")

    def predict_views(self) -> None:
        """`predict` of one row, alone and as the last batch, of arrays that NumPy lays out otherwise (a slice, every second
        row, the reverse, columns first), and of the same array, in which the caller has doubled the numbers meanwhile.
        """
        columns = np.asfortranarray(self.x + np.eye(SAMPLES, k=1, dtype="float32"))
        views = {
            "one row": (self.x[:1], self.due[:1]),
            "one row more than a batch": (self.x[: BATCH + 1], self.due[: BATCH + 1]),
            "rows from 64 on": (self.x[BATCH:], self.due[BATCH:]),
            "every second row": (self.x[::2], self.due[::2]),
            "rows in reverse": (self.x[::-1], self.due[::-1]),
            "an array in Fortran order": (columns, self.due + np.append(self.due[1:], 0)),
        }
        for name, (x, due) in views.items():
            found = self.model.predict(x, batch_size=BATCH, verbose=0)
            self.answers.append(Answer(f"predict of {name}", due.tolist(), found[:, 0].tolist()))
        self.x *= 2
        found = self.model.predict(self.x, batch_size=BATCH, verbose=0)
        self.x /= 2
        self.answers.append(Answer("predict of images doubled in place", (2 * self.due).tolist(), found[:, 0].tolist()))

    def fit(self, when: str, epochs: int, verbose: int, validation: float | None, shuffled: bool = False) -> None:
        """`fit` with validation samples whose labels are all `validation`: what it leaves, and losses of the last epoch.

        Shuffled, all samples are one batch, so that their order changes nothing.
        """
        batch = SAMPLES if shuffled else BATCH
        given: dict[str, Any] = {"batch_size": batch, "shuffle": shuffled}
        if validation is not None:
            self.labels[...] = validation
            given["validation_data"] = self.x, self.labels
        log = self.model.fit(self.x, self.y, epochs=epochs, verbose=verbose, **given).history
        for _ in range(epochs):
            losses = [self.step(slice(at, at + batch)) for at in range(0, SAMPLES, batch)]
        self.answers += [
            Answer(f"the caller's {name} after {when}", due.ravel().tolist(), array.ravel().tolist())
            for name, array, due in zip(("images", "labels"), (self.x, self.y), samples(), strict=True)
        ]
        self.held(when)
        self.answers += [
            Answer(f"epochs of {when}", epochs, len(log["loss"])),
            Answer(f"loss of the last epoch of {when}", np.mean(losses), float(log["loss"][-1]), exact=False),
        ]
        if validation is not None:
            due, told = -(validation * self.due).mean(), float(log["val_loss"][-1])
            self.answers.append(Answer(f"validation loss of {when}", due, told, exact=False))

    def fit_weighted(self, when: str) -> None:
        """`fit` of one batch whose samples count twice, by the weights of their classes; the next call must forget them."""
        twice = dict.fromkeys(range(1 + int(self.y.max())), 2.0)
        self.model.fit(self.x, self.y, batch_size=SAMPLES, shuffle=False, verbose=0, class_weight=twice)
        self.step(slice(SAMPLES), weight=2.0)
        self.held(when)

    def fit_asked(self, epochs: int) -> None:
        """`fit` with a callback that asks the model, after each epoch, for predictions and for a loss of other labels."""
        asked, other = [], np.full_like(self.y, 7.0)
        self.labels[...] = 2

        def ask(epoch: int, logs: Any) -> None:
            predicted = self.model.predict(self.x, batch_size=BATCH, verbose=0)[:, 0].tolist()
            asked.append((predicted, float(np.ravel(self.model.evaluate(self.x, other, batch_size=BATCH, verbose=0))[0])))

        given = {"validation_data": (self.x, self.labels), "callbacks": [keras.callbacks.LambdaCallback(on_epoch_end=ask)]}
        told = self.model.fit(self.x, self.y, batch_size=BATCH, shuffle=False, epochs=epochs, verbose=0, **given).history
        for epoch, (predicted, evaluated) in enumerate(asked, 1):
            losses = [self.step(slice(at, at + BATCH)) for at in range(0, SAMPLES, BATCH)]
            when = f"in a callback of fit, after epoch {epoch}"
            loss, validated = (float(told[name][epoch - 1]) for name in ("loss", "val_loss"))
            self.answers += [
                Answer(f"predict {when}", self.due.tolist(), predicted),
                Answer(f"evaluate {when}", -(7 * self.due).mean(), evaluated, exact=False),
                Answer(f"loss of epoch {epoch} of that fit", np.mean(losses), loss, exact=False),
                Answer(f"its validation loss, {when}", -(2 * self.due).mean(), validated, exact=False),
            ]
        self.held("a fit whose callback asked the model")

    def train_on_batch(self, when: str) -> None:
        """`train_on_batch` of the first samples: what it leaves."""
        self.model.train_on_batch(self.x[:BATCH], self.y[:BATCH])
        self.step(slice(BATCH))
        self.held(f"train_on_batch {when}")

    def evaluate(self, when: str, label: float, verbose: int = 0) -> None:
        """`evaluate` with labels that are all `label`."""
        self.labels[...] = label
        found = self.model.evaluate(self.x, self.labels, batch_size=BATCH, verbose=verbose)
        self.answers.append(Answer(f"evaluate {when}", -(label * self.due).mean(), float(np.ravel(found)[0]), exact=False))
        self.held(f"evaluate {when}")

    def arrays(self) -> None:
        """The arrays that the calls returned hold what they held then: no later call wrote into them."""
        for name, (array, copy) in self.returned.items():
            self.answers.append(Answer(f"the array of {name}, at the end", copy.ravel().tolist(), array.ravel().tolist()))


@functools.cache
def one_after_the_other() -> list[Answer]:
    """predict, fit, evaluate, fit again otherwise, new weights, another rate, a new compile: the Answers of each."""
    calls = Calls()
    calls.predict("before anything")
    calls.fit("fit with a progress bar (verbose=1)", 1, verbose=1, validation=2.0)
    calls.predict("after that fit")
    calls.evaluate("after that fit", 3.0)
    calls.fit("a second fit with a line an epoch (verbose=2) and other validation data", 2, verbose=2, validation=5.0)
    calls.predict("after the second fit")
    calls.set_weights(np.arange(SAMPLES) % 7)
    calls.predict("after set_weights")
    calls.predict_views()
    calls.evaluate("after set_weights, with a progress bar (verbose=1)", 1.0, verbose=1)
    calls.set_rate(RATE / 2)
    calls.train_on_batch("after half of the rate was set")
    calls.fit("fit after half of the rate was set", 1, verbose=0, validation=3.0)
    calls.compile(RATE / 4)
    calls.fit_weighted("fit with class weights, after compile with a quarter of the rate")
    calls.fit("fit without class weights, after one with them", 1, verbose=0, validation=4.0)
    calls.fit_asked(2)
    calls.fit("a shuffled fit of one batch without validation", 2, verbose=0, validation=None, shuffled=True)
    calls.predict("at the end")
    calls.arrays()
    return calls.answers


def wrong(answer: Answer, relative: float) -> list[str]:
    """A line where an answer is wrong: for a list its first wrong element; losses may be off by `relative`."""
    due, obtained = answer.due, answer.obtained
    if answer.exact:
        if due == obtained:
            return []
    elif abs(obtained - due) <= relative * abs(due):
        return []
    if isinstance(due, list) and len(due) == len(obtained):
        place = next(place for place in range(len(due)) if due[place] != obtained[place])
        count = sum(one != other for one, other in zip(due, obtained, strict=True))
        told = (
            f"{count} of {len(due)} wrong, the first in row {place}: expected {due[place]:g}, obtained {obtained[place]:g}"
        )
        return [f"{answer.name}: {told}"]
    return [f"{answer.name}: expected {due}, obtained {obtained}"]
