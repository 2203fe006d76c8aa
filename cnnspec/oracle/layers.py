"""Layers and their gradients in float64, from the formulas: the expected numbers of the models.

Independent of any framework: the only package imported is NumPy. Images are (batch, height, width, channels). A layer is a
dict of its Keras settings, {"class": "Dense", "units": 10, ...}; its weights are arrays in Keras' order. The *gradient* of
an array is the derivative of the loss with respect to it. Each layer is one function: it returns its output and a
*pullback*, which turns the gradient of the output into (gradient of the input, [gradient of each weight]). Arguments are
converted to float64 and never changed in place. A layer, setting or activation without a formula raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Layer = Mapping[str, Any]  # the settings of a layer
Weights = Sequence[Array]  # of a layer
Mask = ArrayLike | None  # True where a Dropout keeps its input; None keeps all
Gradients = tuple[Array, list[Array | None]]  # of the input and of each weight, None for a moving statistic
Pullback = Callable[[Array], Gradients]
Output = tuple[Array, Pullback]


def padding_amounts(size: int, window: int, stride: int, padding: str) -> tuple[int, int, int]:
    """(out, before, after) along one axis: the output's size, and the padding on either side of the input.

    same: out = ceil(size / stride), total = max((out - 1) stride + window - size, 0), before = total // 2 and
    the rest after; valid: out = floor((size - window) / stride) + 1.
    Source: "Notes on padding" in the docs of `tf.nn`.
    """
    if padding not in ("same", "valid"):
        raise ValueError(f"unknown padding {padding!r}; known are 'same', 'valid'")
    if padding == "same":
        out = -(-size // stride)
        total = max((out - 1) * stride + window - size, 0)
        return out, total // 2, total - total // 2
    if window > size:
        raise ValueError(f"a window of {window} does not fit an input of {size} with padding 'valid'")
    return (size - window) // stride + 1, 0, 0


def windows(
    x: Array, window: tuple[int, int], strides: tuple[int, int], padding: str, fill: float
) -> tuple[Array, tuple[slice, ...], list[tuple[slice, ...]]]:
    """(padded, inside, places): padded[inside] is x, and `places` has an index for each place in a window.

    padded[index], (batch, out height, out width, channels), is what all windows have there; places are row-major.
    """
    axes = zip(x.shape[1:3], window, strides, (padding, padding), strict=True)
    (rows, top, bottom), (columns, left, right) = (padding_amounts(*axis) for axis in axes)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    down, across = strides
    height, width = (rows - 1) * down + 1, (columns - 1) * across + 1
    places: list[tuple[slice, ...]] = [
        np.s_[:, i : i + height : down, j : j + width : across] for i, j in np.ndindex(*window)
    ]
    return padded, np.s_[:, top : top + x.shape[1], left : left + x.shape[2]], places


def conv2d(layer: Layer, weights: Weights, x: Array, training: bool, mask: Mask) -> Output:
    """z[n, i, j, o] = bias[o] + sum over h, w, c of x[n, i stride + h, j stride + w, c] kernel[h, w, c, o].

    x is padded first, the kernel (height, width, in, out) is not flipped. Source: the docs of `tf.nn.conv2d`.
    """
    kernel, bias = weights
    padded, inside, places = windows(x, layer["kernel_size"], layer["strides"], layer["padding"], fill=0.0)
    # One product of matrices, a row per window and a column per filter, is fastest.
    rows = np.concatenate([padded[index] for index in places], axis=-1)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    z = np.tensordot(rows, matrix, axes=1) + bias

    def pullback(gradient: Array) -> Gradients:
        kernel_gradient = np.tensordot(rows, gradient, axes=((0, 1, 2), (0, 1, 2))).reshape(kernel.shape)
        rows_gradient = np.split(np.tensordot(gradient, matrix.T, axes=1), len(places), axis=-1)
        padded_gradient = np.zeros_like(padded)
        for index, place_gradient in zip(places, rows_gradient, strict=True):
            padded_gradient[index] += place_gradient
        return padded_gradient[inside], [kernel_gradient, gradient.sum(axis=(0, 1, 2))]

    return z, pullback


def max_pooling2d(layer: Layer, weights: Weights, x: Array, training: bool, mask: Mask) -> Output:
    """The maximum of each window, per channel; 'same' pads with -inf. Source: the docs of `tf.nn.max_pool2d`.

    Its gradient goes to the first element of the window, in row-major order, that equals the maximum.
    """
    padded, inside, places = windows(x, layer["pool_size"], layer["strides"], layer["padding"], fill=-np.inf)
    stacked = np.stack([padded[index] for index in places])

    def pullback(gradient: Array) -> Gradients:
        first, padded_gradient = stacked.argmax(axis=0), np.zeros_like(padded)
        for place, index in enumerate(places):
            padded_gradient[index] += gradient * (first == place)
        return padded_gradient[inside], []

    return stacked.max(axis=0), pullback


def batch_moments(x: Array) -> tuple[Array, Array, int]:
    """(mean, biased variance, count) per channel (the last axis), each of `count` values."""
    axes = tuple(range(x.ndim - 1))
    return x.mean(axis=axes), x.var(axis=axes), x.size // x.shape[-1]


def batch_normalization(layer: Layer, weights: Weights, x: Array, training: bool, mask: Mask) -> Output:
    """y = gamma x^ + beta, x^ = (x - mean) / sqrt(variance + epsilon), per channel (the last axis).

    Mean and variance are the batch's in training, the moving ones in inference. With g the gradient of y,
    gamma gets sum(g x^), beta sum(g), x gamma / sqrt(variance + epsilon) g in inference and, in training,
    gamma / sqrt(variance + epsilon) (g - mean(g) - x^ mean(g x^)).
    Source: Ioffe & Szegedy 2015, algorithm 1 and section 3.
    """
    gamma, beta, *moving = weights
    mean, variance = batch_moments(x)[:2] if training else moving
    deviation = np.sqrt(variance + layer["epsilon"])
    normalized = (x - mean) / deviation

    def pullback(gradient: Array) -> Gradients:
        axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
        gamma_gradient, beta_gradient = (gradient * normalized).sum(axis=axes), gradient.sum(axis=axes)
        through_moments = (beta_gradient + normalized * gamma_gradient) / count if training else 0.0
        return gamma / deviation * (gradient - through_moments), [gamma_gradient, beta_gradient, None, None]

    return gamma * normalized + beta, pullback


def moving_statistics(
    layer: Layer, moving: Sequence[Array], x: ArrayLike, convention: str = "keras-3", step: int = 1
) -> list[Array]:
    """[moving_mean, moving_variance] of a BatchNormalization after training step `step` (1, 2, …) on batch x.

    moving = momentum moving + (1 - momentum) batch, by the convention of the software (its source code):
    keras-3      the batch variance is biased
    tf.keras     on images it is unbiased, times count / (count - 1): TensorFlow's fused op, before Keras 3
    keras-2.3.1  as tf.keras, then always times count / (count - 1 - epsilon)
    keras-2.2.4  as keras-2.3.1, and zero-debiased (Kingma & Ba 2015, section 3): the initial values are
                 forgotten, as by a momentum that is 0 at step 1
    """
    if convention not in (known := ("keras-3", "tf.keras", "keras-2.3.1", "keras-2.2.4")):
        raise ValueError(f"unknown convention {convention!r}; known are {', '.join(map(repr, known))}")
    (mean, variance, count), momentum = batch_moments(np.asarray(x, np.float64)), layer["momentum"]
    if convention != "keras-3" and np.ndim(x) == 4:
        variance = variance * count / (count - 1)
    if convention in ("keras-2.2.4", "keras-2.3.1"):
        variance = variance * count / (count - 1 - layer["epsilon"])
    if convention == "keras-2.2.4":
        momentum = momentum * (1 - momentum ** (step - 1)) / (1 - momentum**step)
    return [momentum * moving[0] + (1 - momentum) * mean, momentum * moving[1] + (1 - momentum) * variance]


def dense(layer: Layer, weights: Weights, x: Array, training: bool, mask: Mask) -> Output:
    """z = x kernel + bias: x (batch, in), kernel (in, out), bias (out,)."""
    kernel, bias = weights
    return x @ kernel + bias, lambda gradient: (gradient @ kernel.T, [x.T @ gradient, gradient.sum(axis=0)])


def dropout(layer: Layer, weights: Weights, x: Array, training: bool, mask: Mask) -> Output:
    """y = x mask / (1 - rate) in training, mask True where x is kept; y = x in inference or without a mask.

    Source: the docs of `keras.layers.Dropout`; Srivastava et al. 2014, section 10.
    """
    if mask is None or not training:
        return x, lambda gradient: (gradient, [])
    if np.shape(mask) != x.shape:
        raise ValueError(f"Dropout on inputs {x.shape} needs a mask of that shape, got {np.shape(mask)}")
    scale = np.asarray(mask) / (1.0 - layer["rate"])
    return x * scale, lambda gradient: (gradient * scale, [])


def flatten(layer: Layer, weights: Weights, x: Array, training: bool, mask: Mask) -> Output:
    """(batch, height, width, channels) -> (batch, height width channels), row-major."""
    return x.reshape(len(x), -1), lambda gradient: (gradient.reshape(x.shape), [])


def log_softmax(logits: Array) -> Array:
    """log(exp(logits) / sum(exp(logits))) over the last axis; the shift by the maximum prevents overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


LAYERS: dict[str, Callable[[Layer, Weights, Array, bool, Mask], Output]] = {
    "Conv2D": conv2d,
    "MaxPooling2D": max_pooling2d,
    "BatchNormalization": batch_normalization,
    "Dense": dense,
    "Dropout": dropout,
    "Flatten": flatten,
}
AXES = {"Conv2D": 3, "MaxPooling2D": 3, "Dense": 1}  # of the input, without the batch axis
FIXED = {  # the settings that the formulas assume
    "use_bias": True,
    "dilation_rate": (1, 1),
    "groups": 1,
    "data_format": "channels_last",
    "axis": -1,
    "center": True,
    "scale": True,
    "renorm": False,
    "noise_shape": None,
    **dict.fromkeys(("kernel_regularizer", "bias_regularizer", "activity_regularizer")),
}
# Name: (y from z, gradient of z from y and y's gradient).
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "linear": (lambda z: z, lambda y, gradient: gradient),
    "relu": (lambda z: np.maximum(z, 0.0), lambda y, gradient: gradient * (y > 0)),
    "softmax": (lambda z: np.exp(log_softmax(z)), lambda y, g: y * (g - (g * y).sum(-1, keepdims=True))),
}


def named_shapes(layer: Layer, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """{name: shape} of a layer's weights. ValueError for a class, setting or activation without a formula."""
    name, channels = layer.get("class"), input_shape[-1]
    if name not in LAYERS:
        raise ValueError(f"unknown layer class {name!r}; known are {', '.join(LAYERS)}")
    if len(input_shape) != AXES.get(name, len(input_shape)):
        raise ValueError(f"{name} takes inputs of {AXES[name]} axes besides the batch, not {input_shape}")
    for setting, value in layer.items():
        if value != FIXED.get(setting, value):
            raise ValueError(f"{name} with {setting}={value!r} has no formula here")
    if layer.get("activation", "linear") not in ACTIVATIONS:
        raise ValueError(f"unknown activation {layer['activation']!r}; known are {', '.join(ACTIVATIONS)}")
    if name == "Conv2D":
        return {"kernel": (*layer["kernel_size"], channels, layer["filters"]), "bias": (layer["filters"],)}
    if name == "Dense":
        return {"kernel": (channels, layer["units"]), "bias": (layer["units"],)}
    if name == "BatchNormalization":
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (channels,))
    return {}


def run_layer(
    layer: Layer, weights: Sequence[ArrayLike], x: ArrayLike, training: bool = False, mask: Mask = None
) -> tuple[Array, Callable[[ArrayLike], Gradients]]:
    """(output, pullback) of one layer with its activation; `mask` is True where a Dropout keeps x, None keeps all."""
    x, needed = np.asarray(x, np.float64), named_shapes(layer, np.shape(x)[1:])
    obtained = [np.shape(weight) for weight in weights]
    if obtained != list(needed.values()):
        raise ValueError(f"{layer['class']} on inputs {x.shape[1:]} needs weights {needed}, got {obtained}")
    arrays = [np.asarray(weight, np.float64) for weight in weights]
    z, pullback = LAYERS[layer["class"]](layer, arrays, x, training, mask)
    activation, activation_gradient = ACTIVATIONS[layer.get("activation", "linear")]
    y = activation(z)
    return y, lambda gradient: pullback(activation_gradient(y, np.asarray(gradient, np.float64)))


def weight_shapes(layers: Iterable[Layer], input_shape: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """The shapes of the weights, a list per layer, for inputs of `input_shape` (without the batch axis)."""
    x, shapes = np.zeros((1, *input_shape)), []
    for layer in layers:
        shapes.append(list(named_shapes(layer, x.shape[1:]).values()))
        x, _ = run_layer(layer, [np.zeros(shape) for shape in shapes[-1]], x)
    return shapes
