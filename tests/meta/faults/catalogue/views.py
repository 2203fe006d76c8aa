"""Arrays that the framework shares with its caller, or reads otherwise than NumPy lays them out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.lengths import CALLS, given_arrays
from tests.meta.faults.catalogue.patching import wrapped

SMALL = 2**20  # bytes of an array that is kept


@fault(kind="data", source="DLPack's byte_offset, ignored", words=("row", "rows", "slice", "images"))
def slices_are_read_from_the_beginning() -> None:
    """A slice of rows is read from the first row of its array."""

    def change(array: Any) -> Any:
        whole = array.base
        if not isinstance(whole, np.ndarray) or not whole.flags.c_contiguous or not array.flags.c_contiguous:
            return array
        if whole.dtype != array.dtype or whole.size < array.size:
            return array
        return whole.reshape(-1)[: array.size].reshape(array.shape)

    given_arrays(change)


@fault(kind="data", source="DLPack's strides, ignored", words=("row", "rows", "order", "images"))
def strides_are_ignored() -> None:
    """An array whose elements are not in C order or have gaps between them is read as if they followed each other."""

    def change(array: Any) -> Any:
        if array.flags.c_contiguous or any(step <= 0 for step in array.strides):
            return array
        dense = np.lib.stride_tricks.as_strided(array, array.shape, np.empty(array.shape, array.dtype).strides)
        return dense.copy()

    given_arrays(change)


@fault(kind="data", source="made; the sign of a stride is lost", words=("row", "rows", "reverse", "images"))
def reversed_arrays_are_read_forward() -> None:
    """An array in reverse order of its rows is read in the order of its memory."""
    given_arrays(lambda array: array[::-1] if array.ndim and array.strides[0] < 0 else array)


@fault(kind="conditional", source="made; a cache of converted arrays with the object's identity as key", words="predict")
def arrays_are_converted_once() -> None:
    """An array that was given before is as it was then, even if the caller has changed its numbers since."""
    kept: dict[int, tuple[Any, Any]] = {}

    def change(array: Any) -> Any:
        return array if array.nbytes > SMALL else kept.setdefault(id(array), (array, array.copy()))[1]

    given_arrays(change)


@fault(kind="state", source="jax.numpy.asarray of a NumPy array may share its memory", words=("set_weights", "weight"))
def set_weights_shares_the_given_arrays() -> None:
    """Weights given by `set_weights` change when the caller changes the arrays."""
    shared: dict[int, list[tuple[Any, Any, Any]]] = {}

    def setting(original: Any) -> Any:
        def set_weights(self: Any, weights: Any) -> None:
            original(self, weights)
            pairs = zip(self.weights, weights, strict=True)
            shared[id(self)] = [(variable, array, np.array(array)) for variable, array in pairs]

        return set_weights

    def calling(original: Any) -> Any:
        def call(self: Any, *arguments: Any, **given: Any) -> Any:
            for layer in self.layers:
                for variable, array, copy in shared.get(id(layer), []):
                    if not np.array_equal(array, copy, equal_nan=True):
                        copy[...] = array
                        variable.assign(array)
            return original(self, *arguments, **given)

        return call

    wrapped(keras.layers.Layer, "set_weights", setting)
    for name in CALLS:
        wrapped(keras.Model, name, calling)


@fault(kind="conditional", source="made; a cache of results with the arrays' identity as key", words=("evaluate", "loss"))
def evaluate_remembers_its_scores() -> None:
    """A second `evaluate` of the same arrays returns the scores of the first."""
    kept: dict[Any, Any] = {}

    def make(original: Any) -> Any:
        def evaluate(self: Any, x: Any = None, y: Any = None, **given: Any) -> Any:
            if not isinstance(x, np.ndarray) or given.get("_use_cached_eval_dataset"):
                return original(self, x, y, **given)
            key = id(self), id(x), id(y), len(x)
            if key not in kept:
                kept[key] = original(self, x, y, **given), self, x, y
            return kept[key][0]

        return evaluate

    wrapped(keras.Model, "evaluate", make)
