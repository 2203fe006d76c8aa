"""Layers and models with integer operands whose results are exact in float32, whatever the order of summation.

A float32 holds every integer up to 2^24. Where the absolute values of all terms of a sum stay below 2^24 in total, no
partial sum is ever rounded, so that any correct device, library, number of threads or compiler gives the same bits.
Operands have at most 11 significant bits, so that TF32, a GPU's default, is exact too. `tests/meta/test_exact_power.py`
holds every case to all this, and says how small an error each can show.

NumPy only: expected values are the float64 implementation's, which is exact for integers below 2^53.
"""

import functools
import hashlib
import zlib
from typing import NamedTuple

import numpy as np

from cnnspec.benchmarks.flops import cheapest
from cnnspec.facts import notebook
from cnnspec.names import IMAGE, MODELS
from cnnspec.oracle.layers import run_layer, weight_shapes

IMAGES = 128  # of every draw; a smaller batch is its first images
LIMIT = 2**24  # partial sums stay below it
WIDE = 2**11  # operands that meet in a product stay below it
PERIOD = 65_537  # a prime: drawn numbers are repeated after so many, which costs less than drawing them all
DRAWS = ("wide inputs", "wide kernels", "mixed signs")


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


# ---- operands --------------------------------------------------------------------------------------------------------
def generator(case, draw):
    """The random numbers of a case and draw; NumPy promises that RandomState's never change."""
    return np.random.RandomState(zlib.crc32(f"{case.name}, {draw}".encode()))


def repeated(values, shape):
    """An array of `shape` filled with values over and over."""
    return np.resize(values.astype(np.float32), shape)


def shares(random, count, mean, spread=0.5):
    """`count` numbers, or PERIOD of them, from mean (1 − spread) to mean (1 + spread), rounded up or down by chance.

    Where the mean is below one, most are zeros.
    """
    count = min(count, PERIOD)
    exact = mean * random.uniform(1 - spread, 1 + spread, count)
    return np.minimum(np.floor(exact + random.uniform(size=count)), WIDE - 1)


def signs(random, count):
    """`count` of −1 or 1."""
    return 2.0 * random.randint(0, 2, count) - 1


@functools.lru_cache(maxsize=64)
def operands(case, draw):
    """The Operands of a case in one of DRAWS."""
    random, after = generator(case, draw), output_shape(case)
    (first, *others) = case.layers
    if others:
        return of_model(case, random, after)
    if first["class"] in ("Conv2D", "Dense"):
        return of_product(case, random, after, draw)
    distinct = 128.0 * (random.permutation(PERIOD) - PERIOD // 2) + 5  # 23 bits and a sign; no two in a window are equal
    return Operands(
        repeated(distinct, (case.images, *case.shape)), [], repeated(np.roll(distinct, 1234), (case.images, *after))
    )


def of_product(case, random, after, draw):
    """Operands of a convolution or product of matrices: wide ones (11 bits) on one side, on the other only as wide as fits.

    Without signs, sums reach 2^23, where a float32 has no bit to spare: the lowest bit of every operand is the lowest of the
    result. With signs ReLU has something to do.
    """
    kernel, bias = shapes(case.layers[0], case.shape)
    terms, units = int(np.prod(kernel[:-1])), kernel[-1]
    positions = case.images * int(np.prod(after[:-1]))  # summed over in kernel gradients
    inputs, outputs = (case.images, *case.shape), (case.images, *after)
    back = units * int(np.prod(kernel[:-2]))  # terms of an input gradient
    wide = lambda count: random.randint(WIDE // 2, WIDE, min(count, PERIOD))  # noqa: E731
    size = min(int(np.prod(outputs)), PERIOD)
    if draw == "wide kernels":
        narrow = min(7000 / terms, WIDE - 1)
        x, w = shares(random, int(np.prod(inputs)), narrow, 0.25), wide(int(np.prod(kernel)))
        g = shares(random, size, min(7000 / back, 12e6 / (positions * narrow)))
        g = repeated(g, outputs) * repeated(signs(random, case.images), outputs[:1]).reshape(-1, *[1] * len(after))
    else:
        x = wide(int(np.prod(inputs)))
        w = shares(random, int(np.prod(kernel)), 7000 / terms, 0.2)
        g = shares(random, size, 7600 / positions)
        g = repeated(g, outputs) * repeated(signs(random, units), (units,))
    x, w, b = repeated(x, inputs), repeated(w, kernel), repeated(random.randint(0, 500, units), bias)
    if draw == "mixed signs":
        x, w, b, g = (array * repeated(signs(random, min(array.size, PERIOD - 2)), array.shape) for array in (x, w, b, g))
    return Operands(x, [[w, b]], g)


def of_model(case, random, after):
    """Operands of a whole model: small integers, so few that sums stay small through all layers, forward and backward."""
    shape, weights = case.shape, []
    products = sum(layer["class"] in ("Conv2D", "Dense") for layer in case.layers)
    for layer in case.layers:
        mine = shapes(layer, shape)
        if mine:
            kernel, bias = mine
            terms = int(np.prod(kernel[:-1]))
            few = random.uniform(size=kernel) < min(1.0, 20 / products / terms)
            w = few * signs(random, int(np.prod(kernel))).reshape(kernel)
            weights.append([w.astype(np.float32), random.randint(-1, 2, bias).astype(np.float32)])
        else:
            weights.append([])
        x, _ = run(layer, [np.zeros(s) for s in mine], np.zeros((1, *shape)))
        shape = x.shape[1:]
    x = repeated(random.randint(0, 16, PERIOD), (case.images, *case.shape))
    g = random.randint(-1, 2, (case.images, *after)).astype(np.float32)
    return Operands(x, weights, g)


# ---- expected --------------------------------------------------------------------------------------------------------
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


def first_images(given, batch):
    """The Operands of the first `batch` images."""
    return Operands(given.x[:batch], given.weights, given.gradient[:batch])


def expected(case, draw, batch):
    """Results of the first `batch` images, as float32, which holds them exactly."""
    return expected_of(case, first_images(operands(case, draw), batch))


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
