"""What a model of the stack under test computes inside: each layer's output, and the gradients at its input and weights.

This works with every backend. Outputs in inference come from a functional model of all layers. Gradients come from one
`train_on_batch` with momentum SGD, whose velocity after a step is −gradient. A trainable array of zeros is added before
every layer; its gradient is the loss's gradient at this place. What the layer gets in that step is kept beside it: another
program, for example one that only predicts, may round otherwise, and choose otherwise where a pooling or ReLU is near a tie.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any

import keras
import numpy as np

from cnnspec.compat import loss_of_step, make_variables
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


class Tap(Offset):
    """An Offset that keeps what it passes on in a step of training."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        shape = tuple(self.offset.shape)
        self.passed = self.add_weight(shape=shape, initializer="zeros", name="passed", trainable=False)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        output = super().call(inputs)
        if training:  # the rest of a smaller batch is zeros, as the offset itself
            self.passed.assign(ops.concatenate([output, self.offset[ops.shape(inputs)[0] :]], axis=0))
        return output


@dataclasses.dataclass
class StepByLayer:
    """A training step: its loss; what each layer gets, the gradient there, and those of the layer's trainable weights."""

    loss: float
    inputs: list[np.ndarray]
    input_gradients: list[np.ndarray]
    weight_gradients: list[list[np.ndarray]]


class Probe:
    """The layers of a Keras model, made observable. The model's dropout must be off."""

    def __init__(self, model: keras.Model) -> None:
        self.layers = model.layers
        self.drawn = [layer.get_weights() for layer in self.layers]
        self._predicting = self._with_all_outputs(model.inputs[0].shape[1:])
        self._tapped = self._with_taps(model.inputs[0].shape[1:])
        self._moved = False

    def _with_all_outputs(self, shape: tuple[int, ...]) -> keras.Model:
        """A functional model from images to the outputs of all layers; a `layer.output` may come from a chain of its own."""
        images = keras.Input(shape=shape)
        outputs = list(itertools.accumulate(self.layers, lambda x, layer: layer(x), initial=images))[1:]
        return keras.Model(images, outputs)

    def _with_taps(self, shape: tuple[int, ...]) -> keras.Model:
        """The compiled model with a Tap before every layer."""
        layers = [part for layer in self.layers for part in (Tap(), layer)]  # all at once: each `add` would build all again
        tapped = keras.Sequential([keras.Input(shape=shape), *layers])
        tapped.compile(
            loss=keras.losses.categorical_crossentropy,
            optimizer=keras.optimizers.SGD(learning_rate=1.0, momentum=FORGETTING),
        )
        make_variables(tapped)
        return tapped

    def restore(self) -> None:
        """Put back the drawn weights, and the zeros of the taps, if a step changed them."""
        if not self._moved:
            return
        self._moved = False
        for layer, weights in zip(self.layers, self.drawn, strict=True):
            layer.set_weights(weights)
        for layer in self._tapped.layers:
            if isinstance(layer, Tap):
                layer.offset.assign(np.zeros(tuple(layer.offset.shape), "float32"))

    def outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """Output of every layer for images x in inference, as NumPy arrays."""
        self.restore()
        return self._predicting.predict_on_batch(x)

    def step(self, x: np.ndarray, y: np.ndarray) -> StepByLayer:
        """A step on one batch by the notebook's loss, from the drawn weights."""
        self.restore()
        self._moved = True
        loss = loss_of_step(self._tapped, x, y)
        slots = optimizer_arrays(self._tapped.optimizer)
        found = iter([np.where(np.abs(slot) <= FORGOTTEN, 0, -slot) for slot in slots])
        inputs, input_gradients, weight_gradients = [], [], []
        for layer in self._tapped.layers:
            mine = [next(found) for _ in layer.trainable_variables]
            if isinstance(layer, Tap):
                inputs.append(layer.passed.numpy()[: len(x)])
                input_gradients.append(mine[0][: len(x)])
            else:
                weight_gradients.append(mine)
        return StepByLayer(loss, inputs, input_gradients, weight_gradients)


@functools.cache
def opened(model: str) -> Probe:
    """The Probe of one of the notebook's models, with drawn weights and without dropout; made once per process."""
    return Probe(on_stack.build(model))


def optimizer_arrays(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    """The slots of an optimizer as NumPy arrays, in its order, without the scalars (step count, learning rate)."""
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [np.asarray(variable.numpy()) for variable in variables if tuple(variable.shape)]
