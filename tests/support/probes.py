"""What a model of the stack under test computes inside: each layer's output, and the gradients at its input and weights.

This works with every backend. Outputs come from a functional model of all layers. Gradients come from one
`train_on_batch` with momentum SGD, whose velocity after a step is −gradient. A trainable array of zeros is added before
every layer; its gradient is the loss's gradient at this place.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np

from cnnspec.compat import loss_of_step, make_slots
from cnnspec.trajectory import on_stack

ops = getattr(keras, "ops", keras.backend)  # Keras 2 has no `ops`; both have `shape`
LARGEST_BATCH = 128
FORGETTING = 1e-30  # momentum: so small that an earlier step does not count; zero would keep no velocities
FORGOTTEN = 1e-25  # an earlier step's gradient, times FORGETTING, is smaller; every gradient here is larger


class Offset(keras.layers.Layer):
    """Adds an array of zeros to a batch, so that the gradient at this place is the gradient of a weight."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.offset = self.add_weight(shape=(LARGEST_BATCH, *input_shape[1:]), initializer="zeros", name="offset")
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs + self.offset[: ops.shape(inputs)[0]]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


class InTraining(keras.layers.Layer):
    """Calls a layer in training mode, also where the model around it predicts."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__()
        self.layer = layer

    def call(self, inputs: Any) -> Any:
        return self.layer(inputs, training=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)


@dataclasses.dataclass
class Gradients:
    """The result of one training step: the loss, and the gradients at each layer's input and of its trainable weights."""

    loss: float
    inputs: list[np.ndarray]
    weights: list[list[np.ndarray]]


class Probe:
    """The layers of a Keras model, made observable. The model's dropout must be off."""

    def __init__(self, model: keras.Model) -> None:
        self.layers = model.layers
        self.drawn = [layer.get_weights() for layer in self.layers]
        predicting = self._observed(training=False)
        normalises = any(type(layer).__name__ == "BatchNormalization" for layer in self.layers)
        self._models = {False: predicting, True: self._observed(training=True) if normalises else predicting}
        self._tapped = self._with_offsets(model.inputs[0].shape[1:])
        self._moved = False

    def _observed(self, training: bool) -> keras.Model:
        """A functional model from images to the outputs of all layers, in training or in inference."""
        images = keras.Input(shape=self.layers[0].input.shape[1:])
        outputs, x = [], images
        for layer in self.layers:
            switches = (
                training and type(layer).__name__ == "BatchNormalization"
            )  # only it differs in training: dropout is off
            x = InTraining(layer)(x) if switches else layer(x)
            outputs.append(x)
        return keras.Model(images, outputs)

    def _with_offsets(self, shape: tuple[int, ...]) -> keras.Model:
        """The compiled model with an Offset before every layer."""
        tapped = keras.Sequential([keras.Input(shape=shape)])
        for layer in self.layers:
            tapped.add(Offset())
            tapped.add(layer)
        tapped.compile(
            loss=keras.losses.categorical_crossentropy,
            optimizer=keras.optimizers.SGD(learning_rate=1.0, momentum=FORGETTING),
        )
        make_slots(tapped)
        return tapped

    def restore(self) -> None:
        """Put back the drawn weights, and zeros into the offsets, if a call changed them."""
        if not self._moved:
            return
        self._moved = False
        for layer, weights in zip(self.layers, self.drawn, strict=True):
            layer.set_weights(weights)
        for layer in self._tapped.layers:
            if isinstance(layer, Offset):
                layer.set_weights([np.zeros_like(array) for array in layer.get_weights()])

    def outputs(self, x: np.ndarray, training: bool) -> list[np.ndarray]:
        """Output of every layer for images x, as NumPy arrays."""
        self.restore()
        self._moved = training  # it changes the moving statistics
        return self._models[training].predict_on_batch(x)

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Gradients:
        """Gradients of the notebook's loss on one batch, in training."""
        self.restore()
        self._moved = True
        loss = loss_of_step(self._tapped, x, y)
        slots = optimizer_arrays(self._tapped.optimizer)
        found = iter([np.where(np.abs(slot) <= FORGOTTEN, 0, -slot) for slot in slots])
        inputs, weights = [], []
        for layer in self._tapped.layers:
            mine = [next(found) for _ in layer.trainable_variables]
            if isinstance(layer, Offset):
                inputs.append(mine[0][: len(x)])
            else:
                weights.append(mine)
        return Gradients(loss, inputs, weights)


@functools.cache
def opened(model: str) -> Probe:
    """The Probe of one of the notebook's models, with drawn weights and without dropout; made once per process."""
    return Probe(on_stack.build(model))


def optimizer_arrays(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    """The slots of an optimizer as NumPy arrays, in its order, without the scalars (step count, learning rate)."""
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [np.asarray(variable.numpy()) for variable in variables if tuple(variable.shape)]
