"""Are the losses, gradients and moving statistics of the notebook's models in the float64 implementation right?

`test_network.py` asks the same of a network so small that every number has its difference quotient.
"""

import math

import numpy as np
import pytest

from cnnspec import names
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.oracle.layers import weight_shapes
from cnnspec.oracle.network import Network
from tests.meta.oracle.cases import SAME_FORMULA, random, relative_error

MODEL_STEP = 1e-7  # so small that almost no ReLU or maximum of a model changes sides
MODEL_GRADIENT = 1e-6  # with this step rounding and curvature together give less than 1e-7
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
    """A random mask for each Dropout of a network."""
    inputs = [IMAGES, *network.layer_outputs(IMAGES)]
    shapes = [x.shape for x, layer in zip(inputs, network.layers, strict=False) if layer["class"] == "Dropout"]
    return [random(*shape, seed=seed) > 0 for seed, shape in enumerate(shapes)]


def training_loss(network, x, masks):
    """Loss of a network in training, from its probabilities."""
    return -(TARGETS * np.log(network.layer_outputs(x, True, masks)[-1])).sum() / BATCH


def direction_of(gradient):
    """A random direction with a part along the gradient, so that the change of the loss exceeds rounding."""
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
    """In training with dropout, the gradient of every weight is the loss's difference quotient.

    Each weight is tested alone. Layers before it are not computed again.
    """
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
    """The gradient at the images is a difference quotient; those at later layers are those of the remaining network."""
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
    """The losses follow from the probabilities in training, in inference, and in inference with several batches."""
    network = Network(notebook.layers(model), model_weights(model))
    masks = dropout_masks(network)
    expected = training_loss(network, IMAGES, masks)
    stochastic = any(layer["class"] in ("Dropout", "BatchNormalization") for layer in notebook.layers(model))
    inferred = network.loss_and_gradients(IMAGES, TARGETS, masks, training=False)[0]
    assert (inferred != pytest.approx(expected)) == stochastic
    assert network.loss_and_gradients(IMAGES, TARGETS, masks)[0] == pytest.approx(expected, rel=SAME_FORMULA)

    expected = -(TARGETS * np.log(network.predict(IMAGES))).sum() / BATCH
    np.testing.assert_allclose(network.predict(IMAGES), network.layer_outputs(IMAGES)[-1], rtol=SAME_FORMULA)
    assert network.loss(IMAGES, TARGETS) == pytest.approx(expected, rel=SAME_FORMULA)
    assert network.loss_and_gradients(IMAGES, TARGETS, training=False)[0] == pytest.approx(expected)
    np.testing.assert_allclose(network.logits(IMAGES, batch_size=3), network.logits(IMAGES), rtol=SAME_FORMULA)


def test_training_updates_the_moving_statistics_of_the_network_and_nothing_else():
    """A training step changes the moving statistics only; it does not change arrays or lists in place."""

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
    """Keras 2.2.4 ignores initial values: after two steps with means a and b the moving mean is (0.99 a + b) / 1.99."""
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
    """The shapes of a model's weights give the parameters that the notebook prints."""
    counts = [sum(map(math.prod, shapes)) for shapes in weight_shapes(notebook.layers(model), names.IMAGE)]
    assert counts == notebook.facts("summary").query("model == @model").parameters.astype(int).tolist()
