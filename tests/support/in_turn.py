"""Calls of one model in turn, without rounding: what one call leaves behind must not change what the next one gives.

The model of `bookkeeping` without momentum: one weight per sample, a loss of −label · output, so that an epoch moves the
weight of each sample by rate · label / batch, and float32 is exact.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from tests.support.bookkeeping import loss

SAMPLES, BATCH, RATE = 256, 64, 64.0
ROWS = 65 * 1024  # more than 2^16: row numbers of 16 bits come round
LARGE_BATCH = 1024


class Answer(NamedTuple):
    """What a call gave beside what it must give, and whether that is exact or the mean of losses, which is rounded."""

    name: str
    due: Any
    obtained: Any
    exact: bool = True


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and their labels, small whole numbers."""
    return np.eye(SAMPLES, dtype="float32"), (1 + np.arange(SAMPLES) % 5).astype("float32")[:, None]


class Calls:
    """A model and the weights that it must have; each method makes a call and adds Answers."""

    def __init__(self) -> None:
        self.model = keras.Sequential([keras.Input(shape=(SAMPLES,)), keras.layers.Dense(1, use_bias=False)])
        self.x, self.y = samples()
        self.due, self.rate = 1.0 + np.arange(SAMPLES) % 3, RATE
        self.set_weights(self.due)
        self.compile(RATE)
        self.answers: list[Answer] = []

    def set_weights(self, weights: np.ndarray) -> None:
        """Give the model weights, from which it must go on."""
        self.due = np.array(weights, np.float64)
        self.model.layers[-1].set_weights([self.due.astype("float32")[:, None]])

    def compile(self, rate: float) -> None:
        """Compile anew: from now on this rate counts."""
        self.rate = rate
        self.model.compile(loss=loss, optimizer=keras.optimizers.SGD(rate))

    def predict(self, when: str) -> None:
        """`predict`, `predict_on_batch` and a call of the model, which read the weights alike."""
        calls: dict[str, Callable[[], Any]] = {
            "predict": lambda: self.model.predict(self.x, batch_size=BATCH, verbose=0),
            "predict_on_batch": lambda: self.model.predict_on_batch(self.x),
        }
        for name, call in calls.items():
            self.answers.append(Answer(f"{name} {when}", self.due.tolist(), np.asarray(call())[:, 0].tolist()))

    def fit(self, when: str, epochs: int, verbose: int, validation: float) -> None:
        """`fit`, with validation samples whose labels are all `validation`: weights, and losses of the last epoch."""
        labels = np.full_like(self.y, validation)
        given: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "validation_data": (self.x, labels)}
        log = self.model.fit(self.x, self.y, epochs=epochs, verbose=verbose, **given).history
        y = self.y[:, 0].astype(np.float64)
        before = self.due
        for _ in range(epochs):
            before = self.due
            self.due = self.due + self.rate * y / BATCH
        self.answers += [
            Answer(f"weights after {when}", self.due.tolist(), self.model.get_weights()[0][:, 0].tolist()),
            Answer(f"epochs of {when}", epochs, len(log["loss"])),
            Answer(f"loss of the last epoch of {when}", -(y * before).mean(), float(log["loss"][-1]), exact=False),
            Answer(f"validation loss of {when}", -(validation * self.due).mean(), float(log["val_loss"][-1]), exact=False),
        ]

    def evaluate(self, when: str, label: float, verbose: int = 0) -> None:
        """`evaluate` with labels that are all `label`."""
        found = self.model.evaluate(self.x, np.full_like(self.y, label), batch_size=BATCH, verbose=verbose)
        self.answers.append(Answer(f"evaluate {when}", -(label * self.due).mean(), float(np.ravel(found)[0]), exact=False))


@functools.cache
def one_after_the_other() -> list[Answer]:
    """predict, fit, evaluate, fit again otherwise, new weights, a new compile: the Answers of each."""
    calls = Calls()
    calls.predict("before anything")
    calls.fit("fit with a progress bar (verbose=1)", 1, verbose=1, validation=2.0)
    calls.predict("after that fit")
    calls.evaluate("after that fit", 3.0)
    calls.fit("a second fit with a line an epoch (verbose=2) and other validation data", 2, verbose=2, validation=5.0)
    calls.predict("after the second fit")
    calls.set_weights(np.arange(SAMPLES) % 7)
    calls.predict("after set_weights")
    calls.evaluate("after set_weights, with a progress bar (verbose=1)", 1.0, verbose=1)
    calls.compile(RATE / 4)
    calls.fit("fit after compile with a quarter of the rate", 1, verbose=0, validation=4.0)
    calls.predict("at the end")
    return calls.answers


def many_rows() -> list[Answer]:
    """`fit`, `predict` and `evaluate` of 66,560 rows of one whole number each, in batches of 1,024."""
    x = (np.arange(ROWS) % 7).astype("float32")[:, None]
    y = (1 + np.arange(ROWS) // 7 % 5).astype("float32")[:, None]
    numbered = np.arange(ROWS, dtype="float32")[:, None]
    model = keras.Sequential([keras.Input(shape=(1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.zeros((1, 1), "float32")])
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(1.0))
    model.fit(x, y, batch_size=LARGE_BATCH, shuffle=False, verbose=0)
    weight = float(model.get_weights()[0][0, 0])
    answers = [Answer("the weight after an epoch", float((x * y).astype(np.float64).sum() / LARGE_BATCH), weight)]
    model.layers[-1].set_weights([np.ones((1, 1), "float32")])
    predicted = model.predict(numbered, batch_size=LARGE_BATCH, verbose=0)[:, 0]
    wrong = np.flatnonzero(predicted != numbered[:, 0])
    answers.append(Answer("rows that predict gives back wrong, the first of them", [], wrong[:1].tolist()))
    found = float(np.ravel(model.evaluate(x, y, batch_size=LARGE_BATCH, verbose=0))[0])
    answers.append(Answer("evaluate", -float((x * y).astype(np.float64).mean()), found, exact=False))
    return answers


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
