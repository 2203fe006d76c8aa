"""Are the outputs and gradients of each layer of the float64 implementation right?

Outputs are compared with SciPy, loops and values by hand; gradients with difference quotients.
"""

import math

import numpy as np
import pytest
from scipy import ndimage

from cnnspec.oracle.layers import moving_statistics, padding_amounts, run_layer, weight_shapes
from tests.meta.oracle.cases import (
    DROPOUT,
    FLATTEN,
    KEEP,
    LAYER_GRADIENT,
    SAME_FORMULA,
    STATISTICS,
    batch_normalization,
    conv2d,
    dense,
    difference_quotient,
    kernel_and_bias,
    max_pooling2d,
    random,
    relative_error,
)

RECORDED = 1e-6  # float32 values as printed


def spread(*shape):
    """Distinct values 0.1 apart, in random order, all negative: a small step does not change which one is the maximum."""
    return (np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape) - math.prod(shape)) / 10


# id: (height and width, window, strides, padding; by hand: ((top, bottom), (left, right)) of the padding, output size)
WINDOWS = {
    "3x3 valid": ((6, 5), (3, 3), (1, 1), "valid", ((0, 0), (0, 0)), (4, 3)),
    "3x2 valid stride 2": ((6, 7), (3, 2), (2, 2), "valid", ((0, 0), (0, 0)), (2, 3)),
    "3x3 valid stride 3": ((10, 9), (3, 3), (3, 3), "valid", ((0, 0), (0, 0)), (3, 3)),
    "3x3 valid, one window": ((3, 3), (3, 3), (1, 1), "valid", ((0, 0), (0, 0)), (1, 1)),
    "3x3 same": ((4, 5), (3, 3), (1, 1), "same", ((1, 1), (1, 1)), (4, 5)),
    "2x2 same": ((4, 5), (2, 2), (1, 1), "same", ((0, 1), (0, 1)), (4, 5)),
    "2x2 same stride 2": ((6, 5), (2, 2), (2, 2), "same", ((0, 0), (0, 1)), (3, 3)),
    "4x4 same": ((5, 6), (4, 4), (1, 1), "same", ((1, 2), (1, 2)), (5, 6)),
    "4x4 same stride 2": ((14, 7), (4, 4), (2, 2), "same", ((1, 1), (1, 2)), (7, 4)),
    "3x3 same stride 2": ((6, 7), (3, 3), (2, 2), "same", ((0, 1), (1, 1)), (3, 4)),
    "5x3 same strides 2 and 1": ((6, 7), (5, 3), (2, 1), "same", ((1, 2), (1, 1)), (3, 7)),
    "2x2 same stride 3": ((6, 7), (2, 2), (3, 3), "same", ((0, 0), (0, 1)), (2, 3)),
}

# The sums over the inputs stay below 10, so with these biases no ReLU is near its kink.
HELD = [random(3, 3, 2, 3, seed=1) / 4, np.array([10.0, -10.0, 10.0])]

# id: (layer, weights, x, training, mask)
LAYERS = {
    **{
        f"conv {name}": (conv2d(*window), kernel_and_bias(*window[0], 2, 3), random(2, *size, 2), False, None)
        for name, (size, *window, _, _) in WINDOWS.items()
    },
    **{
        f"pool {name}": (max_pooling2d(*window), [], spread(2, *size, 2), False, None)
        for name, (size, *window, _, _) in WINDOWS.items()
    },
    "conv relu": (conv2d((3, 3), (1, 1), "same", "relu"), HELD, random(2, 4, 5, 2), False, None),
    "conv softmax": (
        conv2d((3, 3), (1, 1), "same", "softmax"),
        kernel_and_bias(3, 3, 2, 3),
        random(2, 4, 5, 2),
        False,
        None,
    ),
    "batch norm, images, training": (batch_normalization(), STATISTICS, random(2, 3, 4, 3), True, None),
    "batch norm, images, inference": (batch_normalization(), STATISTICS, random(2, 3, 4, 3), False, None),
    "batch norm, vectors, training": (batch_normalization(), STATISTICS, random(5, 3), True, None),
    "batch norm, vectors, inference": (batch_normalization(), STATISTICS, random(5, 3), False, None),
    "dense": (dense("linear"), kernel_and_bias(4, 3), random(5, 4), False, None),
    "dense relu": (dense("relu"), [random(4, 3), HELD[1]], random(5, 4), False, None),
    "dense softmax": (dense("softmax"), kernel_and_bias(4, 3), random(5, 4), False, None),
    "dropout, training": (DROPOUT, [], random(2, 3, 4, 2), True, KEEP),
    "dropout, inference": (DROPOUT, [], random(2, 3, 4, 2), False, KEEP),
    "flatten": (FLATTEN, [], random(2, 3, 4, 2), False, None),
}


@pytest.mark.parametrize(("layer", "weights", "x", "training", "mask"), LAYERS.values(), ids=LAYERS)
def test_the_gradients_of_a_layer_are_its_difference_quotients(layer, weights, x, training, mask):
    """The gradients at a layer's input and of its weights are difference quotients of its output."""
    output, pullback = run_layer(layer, weights, x, training, mask)
    gradient = random(*output.shape, seed=5)
    obtained_x, obtained_weights = pullback(gradient)

    def projected(weights, x):
        return (run_layer(layer, weights, x, training, mask)[0] * gradient).sum()

    expected = difference_quotient(lambda moved: projected(weights, moved), x)
    assert relative_error(obtained_x, expected) < LAYER_GRADIENT
    assert len(obtained_weights) == len(weights)
    for index, obtained in enumerate(obtained_weights[:2]):
        before, weight, after = weights[:index], weights[index], weights[index + 1 :]
        expected = difference_quotient(lambda moved, b=before, a=after: projected([*b, moved, *a], x), weight)
        assert relative_error(obtained, expected) < LAYER_GRADIENT
    assert obtained_weights[2:] == [None] * len(weights[2:])  # moving statistics


BY_WINDOW = pytest.mark.parametrize(
    ("size", "window", "strides", "padding", "margins", "out"), WINDOWS.values(), ids=WINDOWS
)


@BY_WINDOW
def test_padding_by_hand(size, window, strides, padding, margins, out):
    """The size of the output and the padding before and after, along each axis."""
    for axis in (0, 1):
        expected = out[axis], *margins[axis]
        assert padding_amounts(size[axis], window[axis], strides[axis], padding) == expected


def correlated(plane, kernel):
    """SciPy's correlation, where the kernel lies inside the plane; `scipy.signal`, which has that, is slow to import."""
    inside = tuple(slice(k // 2, k // 2 + size - k + 1) for size, k in zip(plane.shape, kernel.shape, strict=True))
    return ndimage.correlate(plane, kernel, mode="constant")[inside]


@BY_WINDOW
def test_a_convolution_is_scipys_correlation(size, window, strides, padding, margins, out):
    """A convolution is SciPy's correlation plus the bias, for every window, stride and padding."""
    x, kernel, bias = random(2, *size, 2), random(*window, 2, 3, seed=1), random(3, seed=2)
    padded = np.pad(x, ((0, 0), *margins, (0, 0)))
    expected = np.empty((2, *out, 3))
    for image, channel in np.ndindex(2, 3):
        planes = [correlated(padded[image, ..., c], kernel[..., c, channel]) for c in range(2)]
        expected[image, ..., channel] = sum(planes)[:: strides[0], :: strides[1]] + bias[channel]
    output, _ = run_layer(conv2d(window, strides, padding), [kernel, bias], x)
    assert relative_error(output, expected) < SAME_FORMULA


@BY_WINDOW
def test_max_pooling_is_a_loop_over_windows(size, window, strides, padding, margins, out):
    """Max pooling is the maximum of each window. All values are negative, so padding with zeros would differ."""
    x = spread(2, *size, 2)
    expected = np.full((2, *out, 2), -math.inf)
    for image, row, column, channel in np.ndindex(expected.shape):
        for i, j in np.ndindex(*window):
            down, across = row * strides[0] + i - margins[0][0], column * strides[1] + j - margins[1][0]
            if 0 <= down < size[0] and 0 <= across < size[1]:
                value = max(expected[image, row, column, channel], x[image, down, across, channel])
                expected[image, row, column, channel] = value
    output, _ = run_layer(max_pooling2d(window, strides, padding), [], x)
    np.testing.assert_array_equal(output, expected)


def test_ties_in_max_pooling_go_to_the_first_maximum_in_row_major_order():
    """The gradient of a window goes to its first maximum in row-major order."""
    x = np.array([[0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 3.0, 2.0]]).reshape(1, 2, 4, 1)
    _, pullback = run_layer(max_pooling2d((2, 2), (2, 2)), [], x)
    gradient, _ = pullback(np.array([5.0, 7.0]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(gradient[0, ..., 0], [[5.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]])


def test_batch_normalization_by_hand():
    """It infers unless told to train. In training: means 2 and 7, variances 1 and 49, with epsilon 15 SDs of 4 and 8."""
    x = np.array([[1.0, 0.0], [3.0, 14.0]])
    weights = [np.array([2.0, 8.0]), np.array([5.0, 0.0]), np.array([1.0, 7.0]), np.array([10.0, 1.0])]
    output, _ = run_layer(batch_normalization(epsilon=15), weights, x, training=True)
    np.testing.assert_allclose(output, [[4.5, -7.0], [5.5, 7.0]], rtol=SAME_FORMULA)
    output, _ = run_layer(batch_normalization(epsilon=15), weights, x)
    np.testing.assert_allclose(output, [[5.0, -14.0], [5.0 + 4 / 5, 14.0]], rtol=SAME_FORMULA)


def test_batch_normalization_takes_its_statistics_over_batch_height_and_width():
    """Each channel's mean and variance are taken over batch, height and width."""
    x = random(2, 3, 4, 3)
    output, _ = run_layer(batch_normalization(epsilon=0.5), STATISTICS, x, training=True)
    for channel, (gamma, beta) in enumerate(zip(*STATISTICS[:2], strict=True)):
        values = x[..., channel].ravel().tolist()
        mean = math.fsum(values) / 24
        variance = math.fsum((value - mean) ** 2 for value in values) / 24
        expected = [gamma * (value - mean) / math.sqrt(variance + 0.5) + beta for value in values]
        np.testing.assert_allclose(output[..., channel].ravel(), expected, rtol=SAME_FORMULA)


# Values that Keras 3.15.1 (TensorFlow 2.21.0), tf.keras and Keras 2.2.4 (both on TensorFlow 1.13.1, CPU) and Keras 2.3.1
# (TensorFlow 1.15.5) printed after training steps on [1, 2, 6] and on [0, 1, 11], as vectors or as one image, momentum 0.9.
# id: (convention, shape, [(moving mean, moving variance) after step 1, after step 2])
MOVING_STATISTICS = {
    "Keras 3, vectors": ("keras-3", (3, 1), [(0.3, 1.3666667), (0.67, 3.6966667)]),
    "Keras 3, images": ("keras-3", (1, 1, 3, 1), [(0.3, 1.3666667), (0.67, 3.6966667)]),
    "tf.keras, vectors": ("tf.keras", (3, 1), [(0.3, 1.3666667), (0.67, 3.6966667)]),
    "tf.keras, images": ("tf.keras", (1, 1, 3, 1), [(0.3000001, 1.6000001), (0.6700001, 5.1400013)]),
    "Keras 2.3.1, vectors": ("keras-2.3.1", (3, 1), [(0.3, 1.6003501), (0.67, 5.142166)]),
    "Keras 2.3.1, images": ("keras-2.3.1", (1, 1, 3, 1), [(0.3, 1.9505254), (0.67, 7.3082495)]),
    "Keras 2.2.4, vectors": ("keras-2.2.4", (3, 1), [(2.9999995, 7.0035005), (3.5263147, 22.800865)]),
    "Keras 2.2.4, images": ("keras-2.2.4", (1, 1, 3, 1), [(2.9999995, 10.505252), (3.5263147, 34.201305)]),
}


@pytest.mark.parametrize(("convention", "shape", "recorded"), MOVING_STATISTICS.values(), ids=MOVING_STATISTICS)
def test_moving_statistics_are_those_that_each_keras_keeps(convention, shape, recorded):
    """Each convention gives the moving statistics that its Keras printed."""
    moving = [np.zeros(1), np.ones(1)]
    for step, (batch, expected) in enumerate(zip(([1, 2, 6], [0, 1, 11]), recorded, strict=True), start=1):
        x = np.reshape(batch, shape)
        moving = moving_statistics(batch_normalization(), moving, x, convention, step)
        np.testing.assert_allclose(np.ravel(moving), expected, rtol=RECORDED)


def test_moving_statistics_by_hand():
    """Means 2 and 7, biased variances 1 and 49, momentum 0.75; after 2019's first step they are the batch's."""
    x = np.array([[1.0, 0.0], [3.0, 14.0]])
    moving = [np.array([10.0, 3.0]), np.array([5.0, 1.0])]
    mean, variance = moving_statistics(batch_normalization(momentum=0.75), moving, x)
    np.testing.assert_allclose(mean, [8.0, 4.0], rtol=SAME_FORMULA)
    np.testing.assert_allclose(variance, [4.0, 13.0], rtol=SAME_FORMULA)
    mean, _ = moving_statistics(batch_normalization(momentum=0.75), moving, x, "keras-2.2.4")
    np.testing.assert_allclose(mean, [2.0, 7.0], rtol=SAME_FORMULA)


def test_an_unbiased_variance_counts_batch_height_and_width():
    """tf.keras divides the variance of 2 images of 3 x 4 by 23, not by 24, in each of their channels."""
    x, none = random(2, 3, 4, 5), [np.zeros(5), np.zeros(5)]
    _, variance = moving_statistics(batch_normalization(momentum=0.75), none, x, "tf.keras")
    np.testing.assert_allclose(variance, 0.25 * x.reshape(24, 5).var(axis=0, ddof=1), rtol=SAME_FORMULA)


def test_dense_by_hand_and_the_gradient_of_relu_at_zero_is_zero():
    """Dense with ReLU by hand; where its sum is exactly 0 the gradient is 0."""
    kernel, bias = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, -6.0]]), np.array([10.0, -9.0, 1.0])
    output, pullback = run_layer(dense("relu"), [kernel, bias], np.array([[2.0, 1.0]]))
    np.testing.assert_array_equal(output, [[16.0, 0.0, 1.0]])  # the 0 is one before the ReLU, too
    x_gradient, (kernel_gradient, bias_gradient) = pullback(np.array([[1.0, 1.0, 1.0]]))
    np.testing.assert_array_equal(x_gradient, [[4.0, -2.0]])
    np.testing.assert_array_equal(kernel_gradient, [[2.0, 0.0, 2.0], [1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(bias_gradient, [1.0, 0.0, 1.0])
    far, _ = run_layer(dense("relu"), [kernel, bias], np.array([[-3.0, 0.0]]))
    np.testing.assert_array_equal(far, [[7.0, 0.0, 0.0]])  # the zeros are -15 and -8 before it


DROPOUTS = {
    "training": (True, [True, False, False, True], [4.0, 0.0, 0.0, 16.0]),
    "training without a mask": (True, None, [1.0, 2.0, 3.0, 4.0]),
    "inference": (False, [True, False, False, True], [1.0, 2.0, 3.0, 4.0]),
}


@pytest.mark.parametrize(("training", "mask", "expected"), DROPOUTS.values(), ids=DROPOUTS)
def test_dropout_scales_what_the_mask_keeps(training, mask, expected):
    """At a rate of 0.75 the kept values, and their gradients, are multiplied by four."""
    x, mask = np.array([[1.0, 2.0, 3.0, 4.0]]), mask and np.array([mask])
    output, pullback = run_layer(DROPOUT, [], x, training, mask)
    np.testing.assert_array_equal(output, [expected])
    np.testing.assert_array_equal(pullback(x)[0], [expected])


def test_flatten_is_row_major_with_the_channels_last():
    """Flatten is row-major, with the channels last."""
    x = np.array([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])
    np.testing.assert_array_equal(run_layer(FLATTEN, [], x)[0], [[1, 2, 3, 4, 5, 6, 7, 8]])


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_float32_arguments_are_widened_first(training):
    """float32 arguments give the same as float64 ones: they are converted before statistics are computed."""
    x, *weights = (array.astype(np.float32) for array in (random(5, 3), *STATISTICS))
    wide = [array.astype(np.float64) for array in weights], x.astype(np.float64)
    output, _ = run_layer(batch_normalization(), weights, x, training)
    np.testing.assert_array_equal(output, run_layer(batch_normalization(), *wide, training)[0])


def test_weight_shapes_by_hand():
    """Shapes of weights by hand, for every class of layer."""
    layers = [conv2d((4, 2), (2, 2), "same"), batch_normalization(), max_pooling2d((2, 2), (2, 2)), FLATTEN]
    shapes = weight_shapes([*layers, DROPOUT, dense("softmax", units=10)], [13, 16, 2])
    # 13 x 16 -> 7 x 8 x 3 -> 3 x 4 x 3 = 36
    assert shapes == [[(4, 2, 2, 3), (3,)], [(3,)] * 4, [], [], [], [(36, 10), (10,)]]
