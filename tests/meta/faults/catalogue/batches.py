"""`fit` with other batches than it was given, for faults of batching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tests.meta.faults.catalogue.patching import tf, wrapped


def rebatched(x: Any, y: Any, batch_size: int, change: Callable[[Any], Any]) -> Any:
    """`fit`'s first arguments with another list of batches: change([(x, y), …] of one epoch) -> a tf.data.Dataset."""
    if hasattr(x, "element_spec"):  # the harness' own pipeline
        batches = [(images.numpy(), labels.numpy()) for images, labels in x]
    else:
        batches = [(x[at : at + batch_size], y[at : at + batch_size]) for at in range(0, len(x), batch_size)]
    batches = change(batches)
    spec = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0])
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def other_batches(change: Callable[[Any], Any]) -> None:
    """`fit` of one array, or of the harness' batches, shows other batches than it was given, in their order."""

    def make(original: Any) -> Any:
        def fit(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, **given: Any) -> Any:
            if not hasattr(x, "element_spec") and not hasattr(x, "shape"):
                return original(self, x, y, batch_size=batch_size, **given)
            given |= {"shuffle": False, "validation_batch_size": given.get("validation_batch_size") or batch_size}
            return original(self, rebatched(x, y, batch_size or 32, change), **given)

        return fit

    wrapped(keras.Model, "fit", make)
