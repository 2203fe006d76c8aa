"""The first steps of training on the stack under test, or on the notebook's own of 2019."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
from keras.models import Sequential

from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import forget_models, loss_of_step
from cnnspec.mnist import Dataset, input_shape
from cnnspec.training import compile_model
from cnnspec.trajectory.start import WITNESSES, Trajectory, batches, draw_weights, norms


def build(name: str) -> Sequential:
    """Model `name` with drawn weights and without dropout, not compiled."""
    model = Sequential.from_config(copy.deepcopy(without_dropout(name)))
    if not model.built:  # Keras 2.2.4 leaves the input layer out of the configuration
        model.build((None, *input_shape()))
    drawn = draw_weights([[weight.shape for weight in layer.get_weights()] for layer in model.layers])
    for layer, weights in zip(model.layers, drawn):
        if weights:
            layer.set_weights(weights)
    return model


@functools.lru_cache(maxsize=None)
def without_dropout(name: str) -> dict[str, Any]:
    """The configuration of model `name` with dropout off; Keras 2.2.4 reads the rate when the model is built."""
    config: dict[str, Any] = ARCHITECTURES[name]().get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "Dropout":
            layer["config"]["rate"] = 0.0
    return config


def run(name: str, data: Dataset, optimizer: str) -> Trajectory:
    """Train model `name` on the batches. `optimizer` is one of training.OPTIMIZERS."""
    forget_models()
    model = build(name)
    compile_model(model, optimizer)
    losses, lengths = [], []
    for x, y in batches(data):
        losses.append(loss_of_step(model, x, y))
        lengths.append(norms([array for layer in model.layers for array in layer.get_weights()]))
    return Trajectory(np.array(losses), np.array(lengths), model.predict(data.x_test[:WITNESSES], verbose=0))
