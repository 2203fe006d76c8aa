"""The same batches as Keras' own `fit` of arrays, in less time. Only for TensorFlow.

Given arrays, Keras passes each batch's indices and the whole arrays through a parallel, autotuned tf.data pipeline, and
returns to Python after every step. Here the pipeline captures the arrays, a single thread gathers the rows, and
STEPS_PER_EXECUTION steps run between two returns to Python. In Keras' own order of the batches, dropout masks, losses and
weights are equal to the last bit (tests/test_determinism.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnspec.compat import KERAS_VERSION, backend

STEPS_PER_EXECUTION = 32  # an epoch of full MNIST has 469 steps, so the progress bar still moves


def available() -> bool:
    """Whether the batches here are Keras' own and steps can be joined: Keras 3.15 or newer on TensorFlow.

    Keras 3.3.3 fails in validation with fewer batches than STEPS_PER_EXECUTION; the versions in between were not tried.
    """
    return backend() == "tensorflow" and KERAS_VERSION >= (3, 15)


def compile_settings() -> dict[str, Any]:
    """Arguments of `compile` that join steps; none if steps cannot be joined.

    They must be set before the first evaluation: Keras builds its functions once, and a function that was built for single
    steps would then evaluate only one of every STEPS_PER_EXECUTION batches.
    """
    return {"steps_per_execution": STEPS_PER_EXECUTION} if available() else {}


def batches(
    x: np.ndarray, y: np.ndarray, batch_size: int, reshuffle: int | None = None, order: np.ndarray | None = None
) -> Any:
    """A tf.data.Dataset of (images, labels) batches in the order of a seeded `fit` of the arrays.

    Keras draws the permutation with an unseeded tf.random.shuffle in a function of its own. Its seed is then the global seed
    and the number of earlier draws in that function, which is 0. The same holds here, and every epoch has the same order.
    With a seed as `reshuffle`, each epoch has a new order, drawn from that seed; with row numbers as `order`, every epoch
    has that order. Raises RuntimeError if not `available()`.
    """
    if not available():
        raise RuntimeError(f"these batches need Keras 3.15 or newer on TensorFlow, not {backend()}; fit the arrays instead")
    import tensorflow as tf

    with tf.device("CPU"):
        images, labels = tf.constant(x), tf.constant(y)

    def permutation(_: Any) -> Any:
        return tf.random.shuffle(tf.range(len(x), dtype=tf.int64))

    def gather(rows: Any) -> Any:
        return tf.gather(images, rows), tf.gather(labels, rows)

    if order is not None:
        indices = tf.data.Dataset.from_tensor_slices(np.asarray(order, np.int64)).batch(batch_size)
    elif reshuffle is None:
        indices = tf.data.Dataset.range(1).map(permutation)
        indices = indices.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(batch_size))
    else:
        indices = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=reshuffle, reshuffle_each_iteration=True)
        indices = indices.batch(batch_size)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    dataset = indices.map(gather).prefetch(2).with_options(options)
    return dataset.apply(tf.data.experimental.assert_cardinality(math.ceil(len(x if order is None else order) / batch_size)))
