"""The float64 side of `fit`: the same weights, order, batches and validation as on the stack, by the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.names import IMAGE
from cnnspec.oracle.layers import Array, log_softmax, weight_shapes
from cnnspec.oracle.network import Network
from cnnspec.oracle.optimizers import optimize
from cnnspec.trajectory import fitted, in_float64, start

if TYPE_CHECKING:
    from cnnspec.mnist import Dataset  # it needs Keras, and this does not

# Folder of stored results -> convention of `oracle.layers.moving_statistics`. Adam is the same in both.
CONVENTIONS = {"fit-float64": "keras-3", "fit-float64-keras-2": "tf.keras"}


def run(name: str, data: Dataset, convention: str, epochs: int = fitted.EPOCHS) -> fitted.Fitted:
    """Fit model `name` in float64 to the part of `data` that `fitted.part_of` names."""
    data, order = fitted.part_of(data), fitted.order()
    layers = in_float64.without_dropout(name)
    network = Network(layers, start.draw_weights(weight_shapes(layers, IMAGE)), convention=convention)
    first = [array.copy() for group in network.weights for array in group]
    update, arguments = in_float64.rule(fitted.OPTIMIZER)
    slots: list[list[Any]] | None = None
    rows: dict[str, list[Any]] = {field: [] for field in fitted.Fitted._fields}
    places = range(0, len(order), fitted.BATCH)
    sizes = [len(order[at : at + fitted.BATCH]) for at in places]
    for _ in range(epochs):
        losses, right = [], 0
        for at in places:
            shown = order[at : at + fitted.BATCH]
            x, y = data.x_train[shown], data.y_train[shown]
            right += int((network.layer_outputs(x, training=True)[-1].argmax(-1) == y.argmax(-1)).sum())
            loss, gradients = network.loss_and_gradients(x, y)
            network.weights, slots = optimize(update, network.weights, gradients, slots, **arguments)
            losses.append(loss)
        validated, val_accuracy = evaluated(network, data.x_test, data.y_test)
        trained, train_accuracy = evaluated(network, data.x_train, data.y_train)
        rows["metrics"].append(
            [
                np.average(losses, weights=sizes),
                right / len(order),
                validated.mean(),
                val_accuracy,
                trained.mean(),
                train_accuracy,
            ]
        )
        weights = [array for group in network.weights for array in group]
        rows["norms"].append(start.norms(weights))
        rows["moved"].append(start.norms([now - was for now, was in zip(weights, first, strict=True)]))
        assert slots is not None
        rows["slots"].append(start.norms([m for group in slots for slot in group if slot for m in slot[:2]]))
        rows["steps"].append(losses)
        rows["images"].append(validated)
    return fitted.Fitted(**{field: np.array(values) for field, values in rows.items()})


def evaluated(network: Network, x: Array, y: Array) -> tuple[Array, float]:
    """(loss of each image, accuracy) of a network on images x and one-hot labels y, in inference."""
    log_p = log_softmax(network.logits(x))
    return -(y * log_p).sum(axis=-1), float((log_p.argmax(-1) == y.argmax(-1)).mean())
