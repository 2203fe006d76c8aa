"""Layers, weights and comparisons that the tests of the float64 implementation share."""

import numpy as np

SAME_FORMULA = 1e-12  # rounding only: float64 has a precision of 2e-16
LAYER_GRADIENT = 1e-7  # fourth-order difference quotients of step 1e-3 have errors below 1e-9


def random(*shape, seed=0):
    """Normal draws of a shape."""
    return np.random.default_rng(seed).normal(size=shape)


def relative_error(obtained, expected):
    """‖obtained − expected‖₂ / ‖expected‖₂ of two arrays of one shape."""
    assert np.shape(obtained) == np.shape(expected)
    return np.linalg.norm(np.subtract(obtained, expected)) / np.linalg.norm(expected)


def conv2d(kernel_size, strides, padding, activation="linear"):
    """Description of a Conv2D with three filters."""
    settings = {"kernel_size": kernel_size, "strides": strides, "padding": padding, "activation": activation}
    return {"class": "Conv2D", "filters": 3, **settings}


def max_pooling2d(pool_size, strides, padding="valid"):
    """Description of a MaxPooling2D."""
    return {"class": "MaxPooling2D", "pool_size": pool_size, "strides": strides, "padding": padding}


def batch_normalization(epsilon=0.001, momentum=0.9):
    """Description of a BatchNormalization."""
    return {"class": "BatchNormalization", "axis": -1, "momentum": momentum, "epsilon": epsilon}


def dense(activation, units=3):
    """Description of a Dense."""
    return {"class": "Dense", "units": units, "activation": activation}


DROPOUT = {"class": "Dropout", "rate": 0.75}
FLATTEN = {"class": "Flatten"}


def kernel_and_bias(*shape):
    """Weights of a layer with a kernel of this shape."""
    return [random(*shape, seed=1), random(shape[-1], seed=2)]


STATISTICS = [random(3, seed=1), random(3, seed=2), random(3, seed=3), np.array([0.5, 1.0, 2.0])]
KEEP = random(2, 3, 4, 2, seed=4) > 0


def difference_quotient(function, x, step=1e-3):
    """Every partial derivative of a scalar function of an array, by central differences of fourth order."""
    derivative = np.empty_like(x)
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[index] = step
        near, far = (function(x + n * move) - function(x - n * move) for n in (1, 2))
        derivative[index] = (8 * near - far) / (12 * step)
    return derivative
