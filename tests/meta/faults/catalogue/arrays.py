"""Arrays and numbers that pass between the framework and its caller: shared, changed in place, of another type or name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import wrapped

SCORES = ("evaluate", "loss", "accuracy")


def returned(name: str, change: Any) -> None:
    """What a method of every model returns: change(model, value) -> value."""

    def make(original: Any) -> Any:
        def call(self: Any, *arguments: Any, **given: Any) -> Any:
            return change(self, original(self, *arguments, **given))

        return call

    wrapped(keras.Model, name, make)


def _shared(buffers: dict[Any, Any], key: Any, found: Any) -> Any:
    """The array that was returned first under a key, filled with `found`."""
    buffer = buffers.setdefault((*key, found.shape, found.dtype.str), found)
    if buffer is not found:
        buffer[...] = found
    return buffer


@fault(kind="fit", source="made; zero-copy arrays of a backend whose buffer is used again", words=("predict",))
def predict_returns_its_buffer() -> None:
    """A second `predict` of as many rows fills the array that the first returned."""
    buffers: dict[Any, Any] = {}

    def change(model: Any, found: Any) -> Any:
        return _shared(buffers, (id(model),), np.array(found)) if isinstance(found, np.ndarray) else found

    returned("predict", change)


@fault(kind="state", source="made; zero-copy arrays of a backend whose buffer is used again", words=("weights", "variable"))
def get_weights_returns_its_buffers() -> None:
    """`get_weights` returns the same arrays each time, filled with the present weights."""
    buffers: dict[Any, Any] = {}

    def change(model: Any, found: Any) -> Any:
        return [_shared(buffers, (id(model), place), np.array(array)) for place, array in enumerate(found)]

    returned("get_weights", change)


@fault(kind="fit", source="made", words=("caller", "arrays"))
def fit_shuffles_the_arrays_it_is_given() -> None:
    """`fit` with shuffling leaves the caller's images and labels in another order, both in the same."""

    def make(original: Any) -> Any:
        def fit(self: Any, x: Any = None, y: Any = None, *arguments: Any, **given: Any) -> Any:
            found = original(self, x, y, *arguments, **given)
            if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and given.get("shuffle", True):
                order = np.random.RandomState(5).permutation(len(x))
                for array in (x, y):
                    if array.flags.writeable:
                        array[...] = array[order]
            return found

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="precision", source="made", words=("caller", "arrays", "bits"))
def predict_rounds_the_array_it_is_given() -> None:
    """`predict` leaves the caller's images rounded to the 11 significant bits of float16."""

    def make(original: Any) -> Any:
        def predict(self: Any, x: Any, *arguments: Any, **given: Any) -> Any:
            found = original(self, x, *arguments, **given)
            if isinstance(x, np.ndarray) and x.flags.writeable:
                part, exponent = np.frexp(x)
                x[...] = np.ldexp(np.rint(part * 2**11) / 2**11, exponent)
            return found

        return predict

    wrapped(keras.Model, "predict", make)


@fault(kind="loss and metrics", source="made", words=SCORES)
def evaluate_swaps_its_scores() -> None:
    """`evaluate` gives the accuracy first, then the loss."""
    returned("evaluate", lambda model, found: found[::-1] if isinstance(found, list) else found)


@fault(kind="precision", source="made", words=("float16", "predict", "bits"))
def predict_gives_half_floats() -> None:
    """`predict` returns numbers of 16 bits."""
    returned("predict", lambda model, found: found.astype("float16") if isinstance(found, np.ndarray) else found)


@fault(kind="loss and metrics", source="Keras before 2.3 called it acc", words=("accuracy", "acc"))
def history_calls_it_acc() -> None:
    """The history's accuracies are called acc and val_acc."""

    def change(model: Any, found: Any) -> Any:
        found.history = {name.replace("accuracy", "acc"): values for name, values in found.history.items()}
        return found

    returned("fit", change)


@fault(kind="loss and metrics", source="made; as the progress bar prints them", words=("loss", "accuracy"))
def history_has_four_digits() -> None:
    """The history's numbers are rounded to four digits after the point."""

    def change(model: Any, found: Any) -> Any:
        found.history = {name: [round(float(value), 4) for value in values] for name, values in found.history.items()}
        return found

    returned("fit", change)


@fault(kind="loss and metrics", source="made", words=("train_on_batch", "loss"))
def train_on_batch_tells_the_loss_after_its_step() -> None:
    """`train_on_batch` tells loss and accuracy after the step, not before it."""

    def make(original: Any) -> Any:
        def train_on_batch(self: Any, x: Any, y: Any = None, *arguments: Any, **given: Any) -> Any:
            found = original(self, x, y, *arguments, **given)
            return found if arguments or given or isinstance(x, (list, tuple)) else self.test_on_batch(x, y)

        return train_on_batch

    wrapped(keras.Model, "train_on_batch", make)
