"""Layers and models with integer operands whose results are exact in float32, whatever the order of summation.

A float32 holds every integer up to 2^24. Where the absolute values of all terms of a sum stay below 2^24 in total, no
partial sum is ever rounded, so that any correct device, library, number of threads or compiler gives the same bits.
Operands have at most 11 significant bits, so that TF32, a GPU's default, is exact too. `tests/meta/test_exact_power.py`
holds every case to all this, and says how small an error each can show.

NumPy only: expected values are the float64 implementation's, which is exact for integers below 2^53.
"""

import functools
import hashlib
from typing import NamedTuple

import numpy as np

from cnnspec.benchmarks.flops import cheapest
from cnnspec.facts import notebook
from cnnspec.names import IMAGE, MODELS
from cnnspec.oracle.layers import run_layer, weight_shapes

IMAGES = 128  # of every draw; a smaller batch is its first images
LIMIT = 2**24  # partial sums stay below it
WIDE = 2**11  # operands that meet in a product stay below it


class Case(NamedTuple):
    """One layer, or several in a row, with the shape of its inputs (without the batch)."""

    name: str
    layers: tuple
    shape: tuple
    images: int = IMAGES

    def __hash__(self):
        return hash(self.name)


class Operands(NamedTuple):
    """What a case computes with, as float32: inputs, weights (a list per layer), gradient at the output."""

    x: np.ndarray
    weights: list
    gradient: np.ndarray


class Results(NamedTuple):
    """What a case gives: output, input gradient, and the gradients of weights, all layers in a row."""

    output: np.ndarray
    input_gradient: np.ndarray
    weight_gradients: list

    def named(self):
        """(what it is, array) of each result."""
        yield "output", self.output
        yield "input gradient", self.input_gradient
        for place, array in enumerate(self.weight_gradients):
            layer = f" of product {place // 2 + 1}" if len(self.weight_gradients) > 2 else ""
            yield f"{('kernel', 'bias')[place % 2]} gradient{layer}", array


def linear(layer):
    """The layer without its softmax, which is not exact."""
    return {**layer, "activation": "linear"} if layer.get("activation") == "softmax" else layer


def convolution(filters, kernel_size, strides, padding):
    """The description of a convolution with ReLU."""
    settings = {"filters": filters, "kernel_size": kernel_size, "strides": strides, "padding": padding}
    return {"class": "Conv2D", **settings, "activation": "relu"}


POOLING = {"class": "MaxPooling2D", "pool_size": (2, 2), "strides": (2, 2), "padding": "valid"}


@functools.cache
def cases():
    """{name: Case}: every layer of the notebook with products, pooling or a new shape, each once, ReLU, and whole models.

    Whole models are the two that cost least; they have every kind of layer. They lack dropout, which is random, and
    BatchNormalization, whose reciprocal square root is rounded.
    """
    found, seen = [], set()
    for model in MODELS:
        shape, kept = IMAGE, []
        for row, layer in zip(notebook.facts_of(model, "summary").itertuples(), notebook.layers(model), strict=True):
            layer = linear(layer)
            after = notebook.literal(row.output_shape)[1:]
            if layer["class"] not in ("Dropout", "BatchNormalization"):
                kept.append(layer)
                if (key := (str(computing(layer)), shape)) not in seen:
                    seen.add(key)
                    found.append(Case(f"{model} {row.layer}", (layer,), shape))
            shape = after
        if model in cheapest():
            found.append(Case(f"{model} whole", tuple(kept), IMAGE))
    found.append(Case("ReLU", ({"class": "ReLU"},), (7, 7, 32)))
    return {case.name: case for case in found}


def computing(layer):
    """The settings of a layer that its results depend on, beside weights."""
    names = ("class", "filters", "kernel_size", "strides", "padding", "units", "pool_size", "activation")
    names += ("momentum", "epsilon")  # of BatchNormalization, which no case of integers has
    return {name: layer[name] for name in names if name in layer}


def run(layer, weights, x):
    """(output, pullback) of one layer in float64."""
    if layer["class"] == "ReLU":
        return np.maximum(x, 0.0), lambda gradient: (gradient * (x > 0), [])
    return run_layer(layer, weights, x)


def output_shape(case):
    """Shape of a case's output, without the batch."""
    x = np.zeros((1, *case.shape))
    for layer in case.layers:
        x, _ = run(layer, [np.zeros(shape) for shape in shapes(layer, x.shape[1:])], x)
    return x.shape[1:]


def shapes(layer, shape):
    """Shapes of a layer's weights."""
    return [] if layer["class"] == "ReLU" else weight_shapes([layer], shape)[0]


# Shapes that the notebook does not have: odd sizes, more channels, uneven strides; in batches of 1 to 17.
ODD = {
    case.name: case
    for case in (
        Case("odd convolution", (convolution(13, (3, 3), (2, 2), "same"),), (9, 7, 5), 17),
        Case("wide convolution", (convolution(19, (3, 3), (1, 1), "same"),), (5, 5, 259), 17),
        Case("convolution of 32,761 pixels", (convolution(3, (3, 3), (1, 1), "valid"),), (181, 181, 1), 17),
        Case("convolution to 65,536 pixels", (convolution(2, (2, 2), (1, 1), "valid"),), (257, 257, 1), 17),
        Case("odd product", ({"class": "Dense", "units": 33, "activation": "relu"},), (257,), 17),
        Case("wide product", ({"class": "Dense", "units": 3, "activation": "relu"},), (33_000,), 17),
        Case("odd pooling", (POOLING,), (11, 7, 3), 17),
    )
}
# Many rows: convolutions and products summed over more than 2^15 and 2^16 of them.
ROWS = {
    case.name: case
    for case in (
        Case("convolution of many images", (convolution(4, (2, 2), (1, 1), "valid"),), (3, 3, 2), 65_537),
        Case("product of many rows", ({"class": "Dense", "units": 5, "activation": "relu"},), (7,), 65_537),
        Case("pooling of many images", (POOLING,), (2, 2, 3), 65_537),
    )
}
# model3's first convolution, on a few images; in a batch of 672 its output has more than 2^24 elements.
LARGE = Case(
    "a convolution of 28 by 28 pixels to 32 channels", (convolution(32, (3, 3), (1, 1), "same"), POOLING), (28, 28, 1), 8
)


def computed(case, given):
    """Results of a case in float64, for Operands."""
    outputs, pullbacks = np.asarray(given.x, np.float64), []
    for layer, weights in zip(case.layers, given.weights or [[]] * len(case.layers), strict=True):
        outputs, pullback = run(layer, weights, outputs)
        pullbacks.append(pullback)
    gradient, found = np.asarray(given.gradient, np.float64), []
    for pullback in reversed(pullbacks):
        gradient, weight_gradients = pullback(gradient)
        found = [*weight_gradients, *found]
    return Results(outputs, gradient, found)


def expected_of(case, given):
    """Results for Operands, as float32."""
    results = computed(case, given)
    return Results(*(np.float32(a) for a in results[:2]), [np.float32(a) for a in results[2]])


def absolute(case, given):
    """Sums of the absolute values of all terms: no partial sum of a result, in whatever order, exceeds them."""
    x, pullbacks = np.abs(given.x), []
    for layer, weights in zip(case.layers, given.weights or [[]] * len(case.layers), strict=True):
        shape = x.shape
        x, pullback = run({**layer, "activation": "linear"}, [np.abs(w) for w in weights], x)
        pullbacks.append(everywhere(layer, shape) if layer["class"] == "MaxPooling2D" else pullback)
    gradient, found = np.abs(given.gradient), []
    for pullback in reversed(pullbacks):
        gradient, weight_gradients = pullback(gradient)
        found = [*weight_gradients, *found]
    return Results(x, gradient, found)


def everywhere(layer, shape):
    """A pullback of max pooling that gives the gradient to every element of a window: any of them may be the maximum."""
    rows, columns = layer["pool_size"]
    height, width = shape[1] // rows * rows, shape[2] // columns * columns

    def pullback(gradient):
        found = np.zeros(shape)
        found[:, :height, :width] = gradient.repeat(rows, 1).repeat(columns, 2)
        return found, []

    return pullback


def digest(results):
    """SHA-256, first 16 hex digits, of Results in the order of `named`: float32, little endian, row-major, −0 as 0."""
    sha = hashlib.sha256()
    for _, array in results.named():
        sha.update(np.ascontiguousarray(array + np.float32(0), "<f4"))
    return sha.hexdigest()[:16]
