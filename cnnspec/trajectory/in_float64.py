"""The float64 side of a trajectory: the same weights, batches and steps as `on_stack.run`, by the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.facts import notebook
from cnnspec.names import IMAGE
from cnnspec.oracle.layers import weight_shapes
from cnnspec.oracle.network import Network
from cnnspec.oracle.optimizers import Update, adam_update, optimize, sgd_update
from cnnspec.trajectory import start

if TYPE_CHECKING:
    from cnnspec.mnist import Dataset  # it needs Keras, and these steps do not

CONVENTIONS = {"float64": "keras-3", "float64-2019": "keras-2.2.4"}  # folder of stored trajectories -> convention


def rule(optimizer: str) -> tuple[Update, dict[str, float]]:
    """(update rule, its hyperparameters) of an optimizer of start.OPTIMIZERS, with the notebook's settings."""
    settings = notebook.globals_toml()["compile"]["optimizer_settings"]
    hyperparameters = ("learning_rate", "beta_1", "beta_2", "epsilon")
    rules: dict[str, tuple[Update, dict[str, float]]] = {
        "adam": (adam_update, {key: settings[key]["value"] for key in hyperparameters}),
        "sgd": (sgd_update, {"learning_rate": start.SGD_RATE}),
    }
    return rules[optimizer]


def without_dropout(name: str) -> list[dict[str, Any]]:
    """The notebook's layers of a model, dropout switched off."""
    return [{**layer, "rate": 0.0} if layer["class"] == "Dropout" else layer for layer in notebook.layers(name)]


def run(name: str, data: Dataset, optimizer: str, convention: str, steps: int = start.STEPS) -> start.Trajectory:
    """The Trajectory of model `name` in float64, of `steps` steps.

    `convention` is one that `oracle.layers.moving_statistics` knows. With those of 2019, Adam's step counter is one ahead:
    Keras 2.2.4 on TensorFlow 1.13.1 mostly reads the counter after it was raised. Its measured first step is therefore 0.744
    learning rates long, √(1 − beta_2²) / (1 − beta_1²) · (1 − beta_1) / √(1 − beta_2); by the formula it is 1.
    """
    update, arguments = rule(optimizer)
    layers = without_dropout(name)
    shapes = weight_shapes(layers, IMAGE)
    network = Network(layers, start.draw_weights(shapes), convention=convention)
    ahead = 1 if convention in ("keras-2.2.4", "keras-2.3.1") else 0
    slots: list[list[Any]] = [
        [(np.zeros_like(array), np.zeros_like(array), ahead) for array in group] for group in network.weights
    ]
    losses, norms = [], []
    for x, y in start.batches(data, steps):
        loss, gradients = network.loss_and_gradients(x, y)
        network.weights, slots = optimize(update, network.weights, gradients, slots, **arguments)
        losses.append(loss)
        norms.append(start.norms([array for group in network.weights for array in group]))
    probabilities = network.predict(data.x_test[: start.WITNESSES])
    return start.Trajectory(np.array(losses), np.array(norms), probabilities)
