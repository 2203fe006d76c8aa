"""The same batches as Keras' own `fit` of arrays, in less time. Only for TensorFlow.

Given arrays, Keras passes each batch's indices and the whole arrays through a parallel, autotuned tf.data pipeline, and
returns to Python after every step. Here the pipeline captures the arrays, a single thread gathers the rows, and
STEPS_PER_EXECUTION steps run between two returns to Python. In Keras' own order of the batches, dropout masks, losses and
weights are equal to the last bit (tests/test_determinism.py).
"""

from __future__ import annotations

import functools
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec.compat import KERAS_VERSION, backend

STEPS_PER_EXECUTION = 32  # an epoch of full MNIST has 469 steps, so the progress bar still moves
PROBED, BATCH_PROBED = 10, 4  # samples and batch size of `difference`: two batches, and a partial one


def available() -> bool:
    """Whether the batches here are Keras' own and steps can be joined: no `difference`, on Keras 3.15 or newer, TensorFlow.

    Keras 3.3.3 fails in validation with fewer batches than STEPS_PER_EXECUTION; the versions in between were not tried.
    """
    return backend() == "tensorflow" and KERAS_VERSION >= (3, 15) and difference() is None


@functools.lru_cache(maxsize=None)
def difference() -> str | None:
    """What differs between Keras' own batches of arrays and those of this module, in words; None where nothing does.

    Looked at once per process, in two epochs of PROBED samples under each of two seeds. The seeds are set inside a
    `tf.function`, so they are this graph's alone, and what Python and NumPy draw next is put back: nothing that is drawn
    later changes. Only on TensorFlow.
    """
    kept = random.getstate(), np.random.get_state()
    try:
        for seed in (1, 2):
            due, found = (_shown(dataset, seed) for dataset in (_of_keras, _of_harness))
            for batch, (theirs, ours) in enumerate(zip(due, found), 1):
                if theirs != ours:
                    return (
                        f"with seed {seed} batch {batch} of two epochs has images and labels of the rows {theirs} in Keras' "
                        f"own data set of arrays, {ours} in the harness'"
                    )
    except Exception as error:  # whatever a changed Keras raises: plain `fit` needs nothing of what is asked for here
        return f"Keras' adapter of arrays is not the one known: {type(error).__name__}: {error}"
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
    return None


def _shown(dataset: Callable[[np.ndarray], tuple[Any, Callable[[], None]]], seed: int) -> list[list[list[int]]]:
    """The rows of the images and of the labels in each batch of two epochs, of `_of_keras` or `_of_harness` under `seed`."""
    import tensorflow as tf

    numbers = np.arange(PROBED, dtype="float32").reshape(-1, 1)

    @tf.function(autograph=False)
    def drawn() -> list[Any]:
        tf.random.set_seed(seed)
        batches, next_epoch = dataset(numbers)
        shown = []
        for _ in range(2):
            rows = iter(batches)
            shown += [next(rows) for _ in range(math.ceil(PROBED / BATCH_PROBED))]
            next_epoch()
        return shown

    with tf.device("CPU"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow warns that data sets take this graph's seed, as they are meant to
        return [[array.numpy()[:, 0].astype(int).tolist() for array in batch] for batch in drawn()]


def _of_keras(numbers: np.ndarray) -> tuple[Any, Callable[[], None]]:
    """Keras' own data set of the arrays, shuffled, and what `fit` calls after each epoch."""
    from keras.src.trainers.data_adapters import array_data_adapter

    adapter = array_data_adapter.ArrayDataAdapter(numbers, numbers, batch_size=BATCH_PROBED, shuffle=True)
    return adapter.get_tf_dataset(), adapter.on_epoch_end


def _of_harness(numbers: np.ndarray) -> tuple[Any, Callable[[], None]]:
    """This module's data set in the same form."""
    return _dataset(numbers, numbers, BATCH_PROBED), lambda: None


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
    return _dataset(x, y, batch_size, reshuffle, order)


def _dataset(
    x: np.ndarray, y: np.ndarray, batch_size: int, reshuffle: int | None = None, order: np.ndarray | None = None
) -> Any:
    """`batches`, whether or not they are Keras' own here."""
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
