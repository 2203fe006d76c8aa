"""The differences between Keras 2.2.4 (2019, Python 3.7) and today's Keras that the package handles, all in one place."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

KERAS_VERSION = tuple(int(part) for part in keras.__version__.split(".")[:2])
IS_2019 = KERAS_VERSION < (2, 4)  # the last standalone Keras before tf.keras took over

METRIC_NAMES = {"acc": "accuracy", "val_acc": "val_accuracy"}  # Keras 2.2.4 always abbreviates these names


def input_layer(shape: tuple[int, ...]) -> Any:
    """First entry of a Sequential model for images of `shape` (without the batch).

    Keras 2.2.4 cannot add an `Input` to a Sequential, and Keras 3 warns about `input_shape`.
    """
    if IS_2019:
        return keras.layers.InputLayer(input_shape=shape)
    return keras.Input(shape=shape)


def forget_models() -> None:
    """Release earlier models; otherwise Keras 2.2.4 adds new ones to their graph.

    Keras 3 would also collect garbage. That takes a quarter of a second each time, and Python does it by itself.
    """
    if KERAS_VERSION >= (3, 3):
        keras.backend.clear_session(free_memory=False)
    else:
        keras.backend.clear_session()


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and the backend.

    In Keras 2.2.4 unseeded initialisers, dropout and shuffling all draw their seeds from NumPy. There TensorFlow's graph
    seed stays unset, as in the notebook: if it were set, `he_uniform(seed=1)` would differ from run to run.
    """
    if IS_2019:
        random.seed(seed)
        np.random.seed(seed)
    else:
        keras.utils.set_random_seed(seed)


def metric_name(name: str) -> str:
    """Today's name of a metric in a training log or in `model.metrics_names`."""
    return METRIC_NAMES.get(name, name)


def backend() -> str:
    """Name of the Keras backend: tensorflow, jax or torch."""
    return keras.backend.backend()


def draw(initializer: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Draw an array of `shape` from a Keras initialiser."""
    if IS_2019:
        return keras.backend.eval(initializer(shape))
    return keras.ops.convert_to_numpy(initializer(shape)) if hasattr(keras, "ops") else initializer(shape).numpy()


def make_variables(model: Any) -> None:
    """Make the variables that a compiled model's first step makes otherwise: its optimizer's slots, and its metrics' own.

    With Keras 3 on TensorFlow that step is then traced once and not twice: a function that makes variables is traced again.
    Losses of several outputs have metrics of their own.
    """
    if KERAS_VERSION >= (3, 0) and backend() == "tensorflow":
        model.optimizer.build(model.trainable_variables)
        shapes = [output.shape[1:] for output in model.outputs]
        ones = [np.ones((1, *shape), "float32") for shape in shapes]
        outputs = ones if len(ones) > 1 else ones[0]
        model.compute_loss(y=outputs, y_pred=outputs)
        model.compute_metrics(None, outputs, outputs, None)
        model.reset_metrics()


def loss_of_step(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Loss of a compiled model on a batch before one training step, which is done.

    Some Keras 3 (3.3.3, no longer 3.15.1) return the mean over all steps since the metrics were reset, so they are reset
    first; Keras 2.2.4 has nothing to reset.
    """
    if hasattr(model, "reset_metrics"):
        model.reset_metrics()
    return float(np.ravel(model.train_on_batch(x, y))[0])
