"""A whole model in float64: its layers in sequence, the loss, and all gradients of the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from cnnspec.oracle.layers import Array, Gradients, Layer, Mask, log_softmax, moving_statistics, run_layer

Masks = Sequence[Mask] | None  # one per Dropout layer, in order; None keeps all


def softmax_crossentropy(logits: ArrayLike, targets: ArrayLike, clip: float | None = None) -> tuple[float, Array]:
    """(loss, gradient of the logits): the batch mean of -sum(targets log p), p = softmax(logits).

    All arrays are (batch, classes). clip=None is exact, and Keras 3 on TensorFlow, which finds the logits
    behind the softmax. Keras 2.2.4, and Keras 3 on JAX and PyTorch, clip p to [1e-7, 1 - 1e-7]: clip=1e-7; a
    clipped p passes no gradient. Source: `categorical_crossentropy` of each Keras back end.
    """
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    log_p, passing = log_softmax(logits), targets
    p = np.exp(log_p)
    if clip is not None:
        log_p, passing = np.log(np.clip(p, clip, 1 - clip)), targets * ((p >= clip) & (p <= 1 - clip))
    loss = -(targets * log_p).sum(axis=-1).mean()
    return loss, (p * passing.sum(axis=-1, keepdims=True) - passing) / len(p)


class Network:
    """A model: its layers, the last a Dense with softmax, and its weights, a list of arrays per layer.

    `weights` may be replaced at any time. `clip`: see `softmax_crossentropy`. `convention`: see
    `moving_statistics`; its steps are the training steps of this Network.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        weights: Sequence[Sequence[ArrayLike]],
        clip: float | None = None,
        convention: str = "keras-3",
    ) -> None:
        if (layers[-1].get("class"), layers[-1].get("activation")) != ("Dense", "softmax"):
            raise ValueError(f"the last layer has to be a Dense with activation 'softmax', not {layers[-1]}")
        if len(weights) != len(layers):
            raise ValueError(f"{len(layers)} layers need as many lists of weights, got {len(weights)}")
        self.layers = [*layers[:-1], {**layers[-1], "activation": "linear"}]  # the loss takes logits
        self.weights = [[np.array(weight, np.float64) for weight in group] for group in weights]
        self.clip, self.convention, self.step = clip, convention, 0

    def _run(
        self, x: ArrayLike, training: bool = False, masks: Masks = None
    ) -> tuple[list[Array], list[Callable[[ArrayLike], Gradients]]]:
        """([x, output of each layer, the last the logits], [pullback of each layer])."""
        dropouts = [layer["class"] for layer in self.layers].count("Dropout")
        masks = [None] * dropouts if masks is None else masks
        if len(masks) != dropouts:
            raise ValueError(f"{dropouts} Dropout layers need as many masks, got {len(masks)}")
        outputs, pullbacks, remaining = [np.asarray(x, np.float64)], [], iter(masks)
        for layer, weights in zip(self.layers, self.weights, strict=True):
            mask = next(remaining) if layer["class"] == "Dropout" else None
            y, pullback = run_layer(layer, weights, outputs[-1], training, mask)
            outputs.append(y)
            pullbacks.append(pullback)
        return outputs, pullbacks

    def layer_outputs(self, x: ArrayLike, training: bool = False, masks: Masks = None) -> list[Array]:
        """The output of each layer, the last the probabilities. Changes no moving statistics."""
        *outputs, logits = self._run(x, training, masks)[0][1:]
        return [*outputs, np.exp(log_softmax(logits))]

    def logits(self, x: np.ndarray, batch_size: int = 64) -> Array:
        """What the last softmax is given, in inference; `batch_size` inputs at a time bound the memory."""
        return np.concatenate([self._run(x[i : i + batch_size])[0][-1] for i in range(0, len(x), batch_size)])

    def predict(self, x: np.ndarray) -> Array:
        """The probabilities, in inference."""
        return np.exp(log_softmax(self.logits(x)))

    def loss(self, x: np.ndarray, targets: ArrayLike) -> float:
        """The mean loss, in inference."""
        return softmax_crossentropy(self.logits(x), targets, self.clip)[0]

    def loss_and_gradients(
        self, x: ArrayLike, targets: ArrayLike, masks: Masks = None, training: bool = True
    ) -> tuple[float, list[list[Array | None]]]:
        """(loss, gradients) on one batch; the gradients as the weights, None for moving statistics.

        `masks` are what each Dropout keeps, in order; None turns dropout off. Training updates the moving
        statistics. The gradient of each layer's input is left in the list `input_gradients`.
        """
        (*inputs, logits), pullbacks = self._run(x, training, masks)
        loss, gradient = softmax_crossentropy(logits, targets, self.clip)
        gradients: list[list[Array | None]] = []
        self.input_gradients: list[Array] = []
        for pullback in reversed(pullbacks):
            gradient, weight_gradients = pullback(gradient)
            gradients.insert(0, weight_gradients)
            self.input_gradients.insert(0, gradient)
        self.step += training
        self.weights = [
            [*w[:2], *moving_statistics(layer, w[2:], layer_input, self.convention, self.step)]
            if training and layer["class"] == "BatchNormalization"
            else w
            for layer, w, layer_input in zip(self.layers, self.weights, inputs, strict=True)
        ]
        return loss, gradients
