"""Is the float64 implementation, against which every other number is judged, itself right?

Nothing here takes its word: gradients are compared with difference quotients of its outputs, its outputs with
SciPy, naive loops, plain Python, numbers worked out by hand and a few that Keras itself printed.
"""

import math

import numpy as np
import pytest
from scipy.signal import correlate
from scipy.special import log_softmax

from cnnspec import names
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.oracle.layers import moving_statistics, run_layer, weight_shapes
from cnnspec.oracle.network import Network, softmax_crossentropy
from cnnspec.oracle.optimizers import adam_update, optimize, sgd_update

SAME_FORMULA = 1e-12  # rounding only: float64 resolves 2e-16
LAYER_GRADIENT = 1e-7  # fourth-order difference quotients of step 1e-3 leave less than 1e-9
MODEL_STEP = 1e-7  # so small that it hardly crosses the kink of any ReLU or maximum of a model
MODEL_GRADIENT = 1e-6  # such a step leaves less than 1e-7, rounding and curvature together
RECORDED = 1e-6  # what float32 printed


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def spread(*shape):
    """Distinct values 0.1 apart, in random order, all negative: no small step changes which is the maximum."""
    return (np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape) - math.prod(shape)) / 10


def relative_error(obtained, expected):
    assert np.shape(obtained) == np.shape(expected)
    return np.linalg.norm(np.subtract(obtained, expected)) / np.linalg.norm(expected)


def conv2d(kernel_size, strides, padding, activation="linear"):
    settings = {"kernel_size": kernel_size, "strides": strides, "padding": padding, "activation": activation}
    return {"class": "Conv2D", "filters": 3, **settings}


def max_pooling2d(pool_size, strides, padding="valid"):
    return {"class": "MaxPooling2D", "pool_size": pool_size, "strides": strides, "padding": padding}


def batch_normalization(epsilon=0.001, momentum=0.9):
    return {"class": "BatchNormalization", "axis": -1, "momentum": momentum, "epsilon": epsilon}


def dense(activation, units=3):
    return {"class": "Dense", "units": units, "activation": activation}


DROPOUT = {"class": "Dropout", "rate": 0.75}
FLATTEN = {"class": "Flatten"}


# id: (height and width, window, strides, padding, ((top, bottom), (left, right)) and output size by hand)
WINDOWS = {
    "3x3 valid": ((6, 5), (3, 3), (1, 1), "valid", ((0, 0), (0, 0)), (4, 3)),
    "3x2 valid stride 2": ((6, 7), (3, 2), (2, 2), "valid", ((0, 0), (0, 0)), (2, 3)),
    "3x3 valid stride 3": ((10, 9), (3, 3), (3, 3), "valid", ((0, 0), (0, 0)), (3, 3)),
    "3x3 same": ((4, 5), (3, 3), (1, 1), "same", ((1, 1), (1, 1)), (4, 5)),
    "2x2 same": ((4, 5), (2, 2), (1, 1), "same", ((0, 1), (0, 1)), (4, 5)),
    "2x2 same stride 2": ((6, 5), (2, 2), (2, 2), "same", ((0, 0), (0, 1)), (3, 3)),
    "4x4 same": ((5, 6), (4, 4), (1, 1), "same", ((1, 2), (1, 2)), (5, 6)),
    "4x4 same stride 2": ((14, 7), (4, 4), (2, 2), "same", ((1, 1), (1, 2)), (7, 4)),
    "3x3 same stride 2": ((6, 7), (3, 3), (2, 2), "same", ((0, 1), (1, 1)), (3, 4)),
    "5x3 same strides 2 and 1": ((6, 7), (5, 3), (2, 1), "same", ((1, 2), (1, 1)), (3, 7)),
    "2x2 same stride 3": ((6, 7), (2, 2), (3, 3), "same", ((0, 0), (0, 1)), (2, 3)),
}


# --- Gradients, layer by layer -------------------------------------------------------------------------------


def kernel_and_bias(*shape):
    return [random(*shape, seed=1), random(shape[-1], seed=2)]


STATISTICS = [random(3, seed=1), random(3, seed=2), random(3, seed=3), np.array([0.5, 1.0, 2.0])]
# The sums over the inputs stay below 10, so that these biases hold every ReLU on one side of its kink.
HELD = [random(3, 3, 2, 3, seed=1) / 4, np.array([10.0, -10.0, 10.0])]
KEEP = random(2, 3, 4, 2, seed=4) > 0

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


def difference_quotient(function, x, step=1e-3):
    """Every partial derivative of a scalar function of an array, by central differences of fourth order."""
    derivative = np.empty_like(x)
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[index] = step
        near, far = (function(x + n * move) - function(x - n * move) for n in (1, 2))
        derivative[index] = (8 * near - far) / (12 * step)
    return derivative


@pytest.mark.parametrize(("layer", "weights", "x", "training", "mask"), LAYERS.values(), ids=LAYERS)
def test_the_gradients_of_a_layer_are_its_difference_quotients(layer, weights, x, training, mask):
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


CROSSENTROPIES = {
    "exact": (random(6, 4), None),
    "exact, confident": (40 * random(6, 4), None),
    "clipped, confident": (12 * random(6, 4), 1e-4),
}


@pytest.mark.parametrize(("logits", "clip"), CROSSENTROPIES.values(), ids=CROSSENTROPIES)
def test_the_gradient_of_the_loss_is_its_difference_quotient(logits, clip):
    """Targets need not be one-hot, nor sum to 1."""
    targets = random(6, 4, seed=1) ** 2
    _, gradient = softmax_crossentropy(logits, targets, clip)
    expected = difference_quotient(lambda z: softmax_crossentropy(z, targets, clip)[0], logits)
    assert relative_error(gradient, expected) < LAYER_GRADIENT


# --- Outputs, layer by layer ---------------------------------------------------------------------------------

BY_WINDOW = pytest.mark.parametrize(
    ("size", "window", "strides", "padding", "margins", "out"), WINDOWS.values(), ids=WINDOWS
)


@BY_WINDOW
def test_a_convolution_is_scipys_correlation(size, window, strides, padding, margins, out):
    x, kernel, bias = random(2, *size, 2), random(*window, 2, 3, seed=1), random(3, seed=2)
    padded = np.pad(x, ((0, 0), *margins, (0, 0)))
    expected = np.empty((2, *out, 3))
    for image, channel in np.ndindex(2, 3):
        planes = [correlate(padded[image, ..., c], kernel[..., c, channel], mode="valid") for c in range(2)]
        expected[image, ..., channel] = sum(planes)[:: strides[0], :: strides[1]] + bias[channel]
    output, _ = run_layer(conv2d(window, strides, padding), [kernel, bias], x)
    assert relative_error(output, expected) < SAME_FORMULA


@BY_WINDOW
def test_max_pooling_is_a_loop_over_windows(size, window, strides, padding, margins, out):
    """All values are negative, so that padding with zeros would show."""
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
    x = np.array([[0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 3.0, 2.0]]).reshape(1, 2, 4, 1)
    _, pullback = run_layer(max_pooling2d((2, 2), (2, 2)), [], x)
    gradient, _ = pullback(np.array([5.0, 7.0]).reshape(1, 1, 2, 1))
    np.testing.assert_array_equal(gradient[0, ..., 0], [[5.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0]])


def test_batch_normalization_by_hand():
    """Training: means 2 and 7, variances 1 and 49, so with epsilon 15 deviations 4 and 8."""
    x = np.array([[1.0, 0.0], [3.0, 14.0]])
    weights = [np.array([2.0, 8.0]), np.array([5.0, 0.0]), np.array([1.0, 7.0]), np.array([10.0, 1.0])]
    output, _ = run_layer(batch_normalization(epsilon=15), weights, x, training=True)
    np.testing.assert_allclose(output, [[4.5, -7.0], [5.5, 7.0]], rtol=SAME_FORMULA)
    output, _ = run_layer(batch_normalization(epsilon=15), weights, x, training=False)
    np.testing.assert_allclose(output, [[5.0, -14.0], [5.0 + 4 / 5, 14.0]], rtol=SAME_FORMULA)


def test_batch_normalization_takes_its_statistics_over_batch_height_and_width():
    x = random(2, 3, 4, 3)
    output, _ = run_layer(batch_normalization(epsilon=0.5), STATISTICS, x, training=True)
    for channel, (gamma, beta) in enumerate(zip(*STATISTICS[:2], strict=True)):
        values = x[..., channel].ravel().tolist()
        mean = math.fsum(values) / 24
        variance = math.fsum((value - mean) ** 2 for value in values) / 24
        expected = [gamma * (value - mean) / math.sqrt(variance + 0.5) + beta for value in values]
        np.testing.assert_allclose(output[..., channel].ravel(), expected, rtol=SAME_FORMULA)


# Printed by Keras 3.15.1 (TensorFlow 2.21.0), and by tf.keras and Keras 2.2.4 (both on TensorFlow 1.13.1, CPU),
# after training steps on [1, 2, 6] and on [0, 1, 11], as vectors or as one image, with momentum 0.9:
# id: (convention, shape, [(moving mean, moving variance) after step 1, after step 2])
MOVING_STATISTICS = {
    "Keras 3, vectors": ("keras-3", (3, 1), [(0.3, 1.3666667), (0.67, 3.6966667)]),
    "Keras 3, images": ("keras-3", (1, 1, 3, 1), [(0.3, 1.3666667), (0.67, 3.6966667)]),
    "tf.keras, vectors": ("tf.keras", (3, 1), [(0.3, 1.3666667), (0.67, 3.6966667)]),
    "tf.keras, images": ("tf.keras", (1, 1, 3, 1), [(0.3000001, 1.6000001), (0.6700001, 5.1400013)]),
    "Keras 2.2.4, vectors": ("keras-2.2.4", (3, 1), [(2.9999995, 7.0035005), (3.5263147, 22.800865)]),
    "Keras 2.2.4, images": ("keras-2.2.4", (1, 1, 3, 1), [(2.9999995, 10.505252), (3.5263147, 34.201305)]),
}


@pytest.mark.parametrize(("convention", "shape", "recorded"), MOVING_STATISTICS.values(), ids=MOVING_STATISTICS)
def test_moving_statistics_are_those_that_each_keras_keeps(convention, shape, recorded):
    moving = [np.zeros(1), np.ones(1)]
    for step, (batch, expected) in enumerate(zip(([1, 2, 6], [0, 1, 11]), recorded, strict=True), start=1):
        x = np.reshape(batch, shape)
        moving = moving_statistics(batch_normalization(), moving, x, convention, step)
        np.testing.assert_allclose(np.ravel(moving), expected, rtol=RECORDED)


def test_moving_statistics_by_hand():
    """Means 2 and 7, biased variances 1 and 49; momentum 0.75."""
    x = np.array([[1.0, 0.0], [3.0, 14.0]])
    moving = [np.array([10.0, 3.0]), np.array([5.0, 1.0])]
    mean, variance = moving_statistics(batch_normalization(momentum=0.75), moving, x)
    np.testing.assert_allclose(mean, [8.0, 4.0], rtol=SAME_FORMULA)
    np.testing.assert_allclose(variance, [4.0, 13.0], rtol=SAME_FORMULA)


def test_dense_by_hand_and_the_gradient_of_relu_at_zero_is_zero():
    kernel, bias = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, -6.0]]), np.array([10.0, -9.0, 1.0])
    output, pullback = run_layer(dense("relu"), [kernel, bias], np.array([[2.0, 1.0]]))
    np.testing.assert_array_equal(output, [[16.0, 0.0, 1.0]])  # the 0 is one before the ReLU, too
    x_gradient, (kernel_gradient, bias_gradient) = pullback(np.array([[1.0, 1.0, 1.0]]))
    np.testing.assert_array_equal(x_gradient, [[4.0, -2.0]])
    np.testing.assert_array_equal(kernel_gradient, [[2.0, 0.0, 2.0], [1.0, 0.0, 1.0]])
    np.testing.assert_array_equal(bias_gradient, [1.0, 0.0, 1.0])


DROPOUTS = {
    "training": (True, [True, False, False, True], [4.0, 0.0, 0.0, 16.0]),
    "training without a mask": (True, None, [1.0, 2.0, 3.0, 4.0]),
    "inference": (False, [True, False, False, True], [1.0, 2.0, 3.0, 4.0]),
}


@pytest.mark.parametrize(("training", "mask", "expected"), DROPOUTS.values(), ids=DROPOUTS)
def test_dropout_scales_what_the_mask_keeps(training, mask, expected):
    """At a rate of 0.75 one unit in four is kept, and counts four times."""
    x, mask = np.array([[1.0, 2.0, 3.0, 4.0]]), mask and np.array([mask])
    output, pullback = run_layer(DROPOUT, [], x, training, mask)
    np.testing.assert_array_equal(output, [expected])
    np.testing.assert_array_equal(pullback(x)[0], [expected])


def test_flatten_is_row_major_with_the_channels_last():
    x = np.array([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])
    np.testing.assert_array_equal(run_layer(FLATTEN, [], x)[0], [[1, 2, 3, 4, 5, 6, 7, 8]])


@pytest.mark.parametrize("scale", [1, 1000], ids=["usual logits", "logits whose exponential overflows"])
def test_the_loss_is_that_of_scipys_log_softmax(scale):
    logits, targets = scale * random(6, 10), np.eye(10)[[3, 1, 4, 1, 5, 9]]
    loss, _ = softmax_crossentropy(logits, targets)
    assert math.isclose(loss, -(targets * log_softmax(logits, axis=-1)).sum() / 6, rel_tol=SAME_FORMULA)


def test_a_clipped_loss_is_bounded_and_passes_no_gradient():
    """Three images: the target's probability is clipped from below, from above, and not at all."""
    logits, targets = np.array([[0.0, 30.0], [40.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0]] * 3)
    loss, gradient = softmax_crossentropy(logits, targets, clip=1e-7)
    expected = -(math.log(1e-7) + math.log(1 - 1e-7) + math.log(0.5)) / 3
    assert math.isclose(loss, expected, rel_tol=SAME_FORMULA)
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [0.0, 0.0], [-1 / 6, 1 / 6]], rtol=SAME_FORMULA)


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
def test_float32_arguments_are_widened_first(training):
    """Statistics of the input in training and those among the weights in inference would lose digits."""
    x, *weights = (array.astype(np.float32) for array in (random(5, 3), *STATISTICS))
    wide = [array.astype(np.float64) for array in weights], x.astype(np.float64)
    output, _ = run_layer(batch_normalization(), weights, x, training)
    np.testing.assert_array_equal(output, run_layer(batch_normalization(), *wide, training)[0])


# --- Optimizers ----------------------------------------------------------------------------------------------

ADAM = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
# The last is so small that epsilon decides: at the first step it counts as 1e-7 / sqrt(0.001) = 3.2e-6.
GRADIENTS = np.array([2.0, -0.03, 1e-6])


def test_adams_first_step_in_closed_form():
    """From m = (1 - beta_1) g and v = (1 - beta_2) g^2: w -= rate g / (|g| + epsilon / sqrt(1 - beta_2))."""
    weight, (m, v, step) = adam_update(np.ones(3), GRADIENTS, **ADAM)
    expected = 0.01 * GRADIENTS / (np.abs(GRADIENTS) + 1e-7 / math.sqrt(0.001))
    np.testing.assert_allclose(1.0 - weight, expected, rtol=1e-11)  # 1.0 - weight cancels digits
    np.testing.assert_allclose(m, 0.1 * GRADIENTS, rtol=SAME_FORMULA)
    np.testing.assert_allclose(v, 0.001 * GRADIENTS**2, rtol=SAME_FORMULA)
    assert step == 1


def test_ten_steps_of_adam_are_the_papers_algorithm():
    """Kingma & Ba's algorithm 1 with bias-corrected moments, where epsilon is epsilon hat / sqrt(1 - beta_2^t)."""
    weights, slots = [[np.ones(3), np.full(3, 7.0)], []], None
    expected, m, v = [1.0] * 3, [0.0] * 3, [0.0] * 3
    for t in range(1, 11):
        gradients = [math.cos(t) * g for g in GRADIENTS.tolist()]
        nested = [[np.array(gradients), None], []]
        weights, slots = optimize(adam_update, weights, nested, slots, **ADAM)
        for i, g in enumerate(gradients):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            m_hat, v_hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            expected[i] -= 0.01 * m_hat / (math.sqrt(v_hat) + 1e-7 / math.sqrt(1 - 0.999**t))
    np.testing.assert_allclose(weights[0][0], expected, rtol=SAME_FORMULA)
    np.testing.assert_allclose(slots[0][0][0], m, rtol=SAME_FORMULA)
    np.testing.assert_allclose(slots[0][0][1], v, rtol=SAME_FORMULA)
    assert slots[0][0][2] == 10
    np.testing.assert_array_equal(weights[0][1], [7.0] * 3)  # no gradient, no change


def test_gradient_descent_by_hand():
    weights = [[np.array([1.0, 2.0])], [np.array([3.0])]]
    gradients = [[np.array([10.0, -4.0])], [None]]
    new, _ = optimize(sgd_update, weights, gradients, learning_rate=0.5)
    np.testing.assert_array_equal(new[0][0], [-4.0, 4.0])
    np.testing.assert_array_equal(new[1][0], [3.0])


# --- Whole models --------------------------------------------------------------------------------------------

BATCH = 4
IMAGES = np.random.default_rng(0).uniform(size=(BATCH, 28, 28, 1))
TARGETS = np.eye(10)[[3, 1, 4, 1]]


def model_weights(model):
    """Weights of the size that training has, with moving statistics far from their initial values."""
    generator = np.random.default_rng(1)
    groups = weight_shapes(notebook.layers(model), names.IMAGE)
    return [
        [
            np.abs(generator.normal(1.0, 0.2, shape))
            if len(shapes) == 4
            else generator.normal(0.0, math.sqrt(2 / max(math.prod(shape[:-1]), 50)), shape)
            for shape in shapes
        ]
        for shapes in groups
    ]


def dropout_masks(network):
    inputs = [IMAGES, *network.layer_outputs(IMAGES)]
    shapes = [x.shape for x, layer in zip(inputs, network.layers, strict=False) if layer["class"] == "Dropout"]
    return [random(*shape, seed=seed) > 0 for seed, shape in enumerate(shapes)]


def training_loss(network, x, masks):
    return -(TARGETS * np.log(network.layer_outputs(x, True, masks)[-1])).sum() / BATCH


def direction_of(gradient):
    """A random direction that leans to the gradient, lest the change of the loss be lost in rounding."""
    noise = random(*gradient.shape)
    return noise / np.linalg.norm(noise) + gradient / np.linalg.norm(gradient)


def tails(model):
    """(a network of the layers from each one on, its input in training, its dropout masks), for each layer."""
    layers, weights = notebook.layers(model), model_weights(model)
    network = Network(layers, weights)
    masks = dropout_masks(network)
    for index, x in enumerate([IMAGES, *network.layer_outputs(IMAGES, True, masks)[:-1]]):
        done = [layer["class"] for layer in layers[:index]].count("Dropout")
        yield Network(layers[index:], weights[index:]), x, masks[done:]


@pytest.mark.parametrize("model", MODELS)
def test_the_weight_gradients_of_a_model_are_difference_quotients_of_its_loss(model):
    """In training mode with dropout, for every weight by itself; the layers before it need not run again."""
    network, _, masks = next(tails(model))
    _, gradients = network.loss_and_gradients(IMAGES, TARGETS, masks)
    for (tail, x, tail_masks), group in zip(tails(model), gradients, strict=True):
        for index, gradient in enumerate(group[:2]):
            weight, direction, losses = tail.weights[0][index], direction_of(gradient), []
            for step in (MODEL_STEP, -MODEL_STEP):
                tail.weights[0][index] = weight + step * direction
                losses.append(training_loss(tail, x, tail_masks))
            tail.weights[0][index] = weight
            quotient = (losses[0] - losses[1]) / (2 * MODEL_STEP)
            message = f"weight {index} of the last layers but {len(tail.layers) - 1}"
            assert (gradient * direction).sum() == pytest.approx(quotient, rel=MODEL_GRADIENT), message


@pytest.mark.parametrize("model", MODELS)
def test_the_input_gradient_of_a_model_is_a_difference_quotient_of_its_loss(model):
    network, _, masks = next(tails(model))
    network.loss_and_gradients(IMAGES, TARGETS, masks)
    gradient, *later = network.input_gradients
    direction = direction_of(gradient)
    above, below = (training_loss(network, IMAGES + step * direction, masks) for step in (MODEL_STEP, -MODEL_STEP))
    quotient = (above - below) / (2 * MODEL_STEP)
    assert (gradient * direction).sum() == pytest.approx(quotient, rel=MODEL_GRADIENT)

    for (tail, x, tail_masks), gradient in zip([*tails(model)][1:], later, strict=True):
        tail.loss_and_gradients(x, TARGETS, tail_masks)
        assert relative_error(gradient, tail.input_gradients[0]) < SAME_FORMULA


@pytest.mark.parametrize("model", MODELS)
def test_the_losses_of_a_model_are_those_of_its_probabilities(model):
    """In training, in inference, and in inference in more than one batch."""
    network = Network(notebook.layers(model), model_weights(model))
    masks = dropout_masks(network)
    expected = training_loss(network, IMAGES, masks)
    assert network.loss_and_gradients(IMAGES, TARGETS, masks, training=False)[0] != pytest.approx(expected)
    assert network.loss_and_gradients(IMAGES, TARGETS, masks)[0] == pytest.approx(expected, rel=SAME_FORMULA)

    expected = -(TARGETS * np.log(network.predict(IMAGES))).sum() / BATCH
    np.testing.assert_allclose(network.predict(IMAGES), network.layer_outputs(IMAGES)[-1], rtol=SAME_FORMULA)
    assert network.loss(IMAGES, TARGETS) == pytest.approx(expected, rel=SAME_FORMULA)
    assert network.loss_and_gradients(IMAGES, TARGETS, training=False)[0] == pytest.approx(expected)
    np.testing.assert_allclose(network.logits(IMAGES, batch_size=3), network.logits(IMAGES), rtol=SAME_FORMULA)


def test_a_network_clips_its_loss_on_request():
    """The target's probability is clipped from below for the first input, from above for the second."""
    weights = [[np.array([[0.0, 30.0], [40.0, 0.0]]), np.zeros(2)]]
    network = Network([dense("softmax", units=2)], weights, clip=1e-7)
    x, targets, expected = np.eye(2), np.array([[1.0, 0.0]] * 2), -(math.log(1e-7) + math.log(1 - 1e-7)) / 2
    loss, [[kernel_gradient, bias_gradient]] = network.loss_and_gradients(x, targets)
    np.testing.assert_allclose([loss, network.loss(x, targets)], expected, rtol=SAME_FORMULA)
    assert not kernel_gradient.any()
    assert not bias_gradient.any()


def test_training_updates_the_moving_statistics_of_the_network_and_nothing_else():
    """Nor are arrays or lists changed that someone may hold."""

    def arrays(groups):
        return [weight for group in groups for weight in group]

    weights = model_weights("model4")
    network = Network(notebook.layers("model4"), weights)
    before, inputs = network.weights, [IMAGES, *network.layer_outputs(IMAGES, training=True)]
    network.loss_and_gradients(IMAGES, TARGETS, training=False)
    for new, old in zip(arrays(network.weights), arrays(weights), strict=True):
        np.testing.assert_array_equal(new, old)

    network.loss_and_gradients(IMAGES, TARGETS)
    for kept, old in zip(arrays(before), arrays(weights), strict=True):
        np.testing.assert_array_equal(kept, old)
    for index in (1, 3, 8):
        x, (gamma, beta, mean, variance) = inputs[index].reshape(-1, inputs[index].shape[-1]), weights[index]
        batch_mean, batch_variance = x.mean(0), (x**2).mean(0) - x.mean(0) ** 2
        expected = gamma, beta, 0.99 * mean + 0.01 * batch_mean, 0.99 * variance + 0.01 * batch_variance
        np.testing.assert_allclose(network.weights[index], expected, rtol=SAME_FORMULA)
    for index in (0, 2, 4, 5, 6, 7, 9):
        np.testing.assert_array_equal(arrays([network.weights[index]])[:1], arrays([weights[index]])[:1])


def test_a_network_counts_its_steps_for_the_convention_of_2019():
    """Keras 2.2.4 forgets initial values at once: after two steps only the mean of 0.99 a + b, over 1.99, is left."""
    layers, weights = notebook.layers("model4"), model_weights("model4")
    network = Network(layers, weights, convention="keras-2.2.4")
    means = []
    for x in (IMAGES, IMAGES / 2):
        means.append(network.layer_outputs(x, training=True)[0].mean(axis=(0, 1, 2)))
        network.loss_and_gradients(x, TARGETS)
    expected = (0.99 * means[0] + means[1]) / 1.99
    np.testing.assert_allclose(network.weights[1][2], expected, rtol=SAME_FORMULA)


@pytest.mark.parametrize("model", MODELS)
def test_the_weights_of_a_model_are_as_many_as_the_notebook_counts(model):
    counts = [sum(map(math.prod, shapes)) for shapes in weight_shapes(notebook.layers(model), names.IMAGE)]
    assert counts == notebook.facts("summary").query("model == @model").parameters.astype(int).tolist()


def test_weight_shapes_by_hand():
    layers = [conv2d((4, 2), (2, 2), "same"), batch_normalization(), max_pooling2d((2, 2), (2, 2)), FLATTEN]
    shapes = weight_shapes([*layers, DROPOUT, dense("softmax", units=10)], [13, 16, 2])
    # 13 x 16 -> 7 x 8 x 3 -> 3 x 4 x 3 = 36
    assert shapes == [[(4, 2, 2, 3), (3,)], [(3,)] * 4, [], [], [], [(36, 10), (10,)]]


# --- What it refuses, and what it depends on ------------------------------------------------------------------

CONV = conv2d((3, 3), (1, 1), "same")
VECTORS, IMAGE = random(2, 4), (6, 5, 1)

# id: (layer, input shape, message)
REFUSED_LAYERS = {
    "class": ({"class": "LSTM"}, IMAGE, r"unknown layer class 'LSTM'; known are Conv2D, MaxPooling2D, "),
    "no class": ({"units": 3}, (4,), r"unknown layer class None; known are Conv2D, "),
    "activation": (dense("gelu"), (4,), r"unknown activation 'gelu'; known are linear, relu, softmax"),
    "padding": (conv2d((3, 3), (1, 1), "full"), IMAGE, r"unknown padding 'full'; known are 'same', 'valid'"),
    "dilation": ({**CONV, "dilation_rate": (2, 2)}, IMAGE, r"Conv2D with dilation_rate=\(2, 2\) has no formula"),
    "groups": ({**CONV, "groups": 2}, IMAGE, r"Conv2D with groups=2 has no formula here"),
    "layout": ({**CONV, "data_format": "channels_first"}, IMAGE, r"Conv2D with data_format='channels_first' "),
    "no bias": ({**dense("relu"), "use_bias": False}, (4,), r"Dense with use_bias=False has no formula here"),
    "no gamma": ({**batch_normalization(), "scale": False}, (4,), r"BatchNormalization with scale=False has"),
    "regularizer": ({**dense("relu"), "kernel_regularizer": "l2"}, (4,), r"Dense with kernel_regularizer='l2' "),
    "axes": (dense("relu"), IMAGE, r"Dense takes inputs of 1 axes besides the batch, not \(6, 5, 1\)"),
    "window": (max_pooling2d((3, 3), (3, 3)), (6, 2, 1), r"a window of 3 does not fit an input of 2 with padding"),
}


@pytest.mark.parametrize(("layer", "input_shape", "message"), REFUSED_LAYERS.values(), ids=REFUSED_LAYERS)
def test_a_layer_without_a_formula_is_refused(layer, input_shape, message):
    with pytest.raises(ValueError, match=message):
        weight_shapes([layer], input_shape)


NEEDED = r"Conv2D on inputs \(6, 5, 1\) needs weights \{'kernel': \(3, 3, 1, 3\), 'bias': \(3,\)\}, got \[\(3,"
VECTOR_WEIGHTS = [kernel_and_bias(4, 3)]
SOFTMAX = [dense("softmax")]
STEP = Network(SOFTMAX, VECTOR_WEIGHTS).loss_and_gradients

# id: (function, its arguments, message)
REFUSED_CALLS = {
    "weight shape": (run_layer, (CONV, kernel_and_bias(3, 2, 1, 3), random(2, *IMAGE)), NEEDED),
    "number of weights": (run_layer, (CONV, [random(3, 3, 1, 3)], random(2, *IMAGE)), NEEDED),
    "mask": (run_layer, (DROPOUT, [], VECTORS, True, KEEP), r"\(2, 4\) needs a mask of that shape, got "),
    "number of masks": (STEP, (VECTORS, np.eye(3)[:2], [KEEP]), r"0 Dropout layers need as many masks, got 1"),
    "lists": (Network, ([FLATTEN, *SOFTMAX], VECTOR_WEIGHTS), r"2 layers need as many lists of weights, got"),
    "last": (Network, ([dense("relu")], VECTOR_WEIGHTS), r"last layer has to be a Dense with .*'softmax', "),
    "convention": (
        moving_statistics,
        (batch_normalization(), STATISTICS[2:], random(5, 3), "keras-1"),
        r"unknown convention 'keras-1'; known are 'keras-3', 'tf.keras', 'keras-2.2.4'",
    ),
}


@pytest.mark.parametrize(("function", "arguments", "message"), REFUSED_CALLS.values(), ids=REFUSED_CALLS)
def test_arguments_that_do_not_fit_are_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
