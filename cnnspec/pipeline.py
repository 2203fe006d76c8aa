"""The same batches as Keras' own `fit` of arrays, at less cost. Only for TensorFlow.

Given arrays, Keras hands each batch's indices and the whole arrays through a parallel, autotuned tf.data pipeline, and
comes back to Python after every step. Here the arrays are captured by the pipeline, a single thread gathers the rows, and
STEPS_PER_EXECUTION steps run between two returns to Python. In Keras' own order of the batches, dropout masks, losses and
weights stay the same to the last bit (tests/test_determinism.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnspec.compat import KERAS_VERSION, backend

STEPS_PER_EXECUTION = 32  # of 469 an epoch on full MNIST: the progress bar still moves


def available() -> bool:
    """True where the batches here are Keras' own, and steps can be joined: Keras 3.15 or newer on TensorFlow.

    Keras 3.3.3 fails in validation where that has fewer batches than STEPS_PER_EXECUTION; those between were not tried.
    """
    return backend() == "tensorflow" and KERAS_VERSION >= (3, 15)


def compile_settings() -> dict[str, Any]:
    """What `compile` is given so that steps are joined; nothing where they cannot be.

    They must be set before anything is evaluated: Keras builds its functions once, and one that was built for single steps
    would then evaluate one batch of every STEPS_PER_EXECUTION and leave the others out.
    """
    return {"steps_per_execution": STEPS_PER_EXECUTION} if available() else {}


def batches(
    x: np.ndarray, y: np.ndarray, batch_size: int, reshuffle: int | None = None, order: np.ndarray | None = None
) -> Any:
    """A tf.data.Dataset of (images, labels) batches in the order in which a seeded `fit` of the arrays shows them.

    Keras draws the permutation by an unseeded tf.random.shuffle in a function of its own, whose seed is then the global
    seed and the number of draws before it in that function, none; so is this one's, and every epoch has the same order.
    With a seed as `reshuffle` each epoch has another one, drawn from it; with row numbers as `order` each epoch has that
    one. Raises RuntimeError elsewhere.
    """
    if not available():
        raise RuntimeError(f"batches in Keras' order are known for Keras 3.15 on TensorFlow, not for this {backend()} stack")
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
