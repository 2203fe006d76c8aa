"""A small network with active Dropout: one compiled training step, and the same in float64 by the masks of that step.

Every other comparison with float64 has dropout off, because masks cannot be given to a stock layer. But a step tells them:
the gradient in front of a Dropout is zero where it dropped.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from cnnspec.compat import forget_models, loss_of_step, make_variables, seed_everything
from cnnspec.names import CLASSES
from cnnspec.oracle.layers import weight_shapes
from cnnspec.oracle.network import Network
from tests.support import probes

SHAPE = (8, 8, 2)
LAYERS = [  # a Dropout behind a convolution and one behind Dense, as in the notebook
    {"class": "Conv2D", "filters": 4, "kernel_size": (3, 3), "strides": (1, 1), "padding": "valid", "activation": "relu"},
    {"class": "Dropout", "rate": 0.25},
    {"class": "Flatten"},
    {"class": "Dense", "units": 16, "activation": "linear"},
    {"class": "Dropout", "rate": 0.5},
    {"class": "Dense", "units": CLASSES, "activation": "softmax"},
]


class Numbers(NamedTuple):
    """Of one training step: its loss, and the gradients of each layer's weights."""

    loss: float
    gradients: list[list[np.ndarray]]


def keras_model() -> keras.Model:
    """The network in Keras, compiled, with an Offset in front of each Dropout."""
    forget_models()
    seed_everything(0)
    model = keras.Sequential([keras.Input(shape=SHAPE)])
    for layer in LAYERS:
        settings = {name: value for name, value in layer.items() if name != "class"}
        if layer["class"] == "Dropout":
            model.add(probes.Offset())
        model.add(getattr(keras.layers, str(layer["class"]))(**settings))
    optimizer = keras.optimizers.SGD(learning_rate=1.0, momentum=probes.FORGETTING)
    model.compile(loss=keras.losses.categorical_crossentropy, optimizer=optimizer)
    make_variables(model)
    return model


def weights() -> list[list[np.ndarray]]:
    """Weights of LAYERS, drawn by NumPy; so small that no probability comes near 0, where some backends clip."""
    drawn = np.random.RandomState(7)
    return [[drawn.normal(0, 0.1, shape).astype("float32") for shape in shapes] for shapes in weight_shapes(LAYERS, SHAPE)]


def step(model: keras.Model, x: np.ndarray, y: np.ndarray) -> tuple[Numbers, list[np.ndarray]]:
    """(what a compiled training step from `weights` gives, the masks that it drew: True where an element was kept)."""
    stock = [layer for layer in model.layers if not isinstance(layer, (probes.Offset, keras.layers.InputLayer))]
    for layer, drawn in zip(stock, weights(), strict=True):
        layer.set_weights(drawn) if drawn else None
    for layer in model.layers:
        if isinstance(layer, probes.Offset):
            layer.set_weights([np.zeros_like(array) for array in layer.get_weights()])
    loss = loss_of_step(model, x, y)
    slots = iter(probes.optimizer_arrays(model.optimizer))
    found, masks = [], []
    for layer in model.layers:
        gradients = [-next(slots) for _ in layer.trainable_variables]
        if isinstance(layer, probes.Offset):
            masks.append(np.abs(gradients[0][: len(x)]) > probes.FORGOTTEN)
        elif not isinstance(layer, keras.layers.InputLayer):
            found.append(gradients)
    return Numbers(loss, found), masks


def due(x: np.ndarray, y: np.ndarray, masks: list[np.ndarray]) -> Numbers:
    """The same step in float64 with these masks (Srivastava et al. 2014, section 4)."""
    return Numbers(*Network(LAYERS, weights()).loss_and_gradients(x, y, masks))


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (size, 8, 8, 2) and one-hot labels."""
    drawn = np.random.RandomState(size)
    images, digits = drawn.normal(size=(size, *SHAPE)), drawn.randint(0, CLASSES, size)
    return images.astype("float32"), np.eye(CLASSES, dtype="float32")[digits]
