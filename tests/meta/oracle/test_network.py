"""Are the losses and gradients of whole networks in the float64 implementation right?

The networks are small; `test_models.py` has the notebook's.
"""

import math

import numpy as np
import pytest
from scipy import special

from cnnspec.oracle.layers import log_softmax
from cnnspec.oracle.network import Network, softmax_crossentropy
from tests.meta.oracle.cases import (
    DROPOUT,
    FLATTEN,
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

CROSSENTROPIES = {
    "exact": (random(6, 4), None),
    "exact, confident": (40 * random(6, 4), None),
    "clipped, confident": (12 * random(6, 4), 1e-4),
}


@pytest.mark.parametrize(("logits", "clip"), CROSSENTROPIES.values(), ids=CROSSENTROPIES)
def test_the_gradient_of_the_loss_is_its_difference_quotient(logits, clip):
    """The loss's gradient is its difference quotient, also for targets that are not one-hot and do not sum to 1."""
    targets = random(6, 4, seed=1) ** 2
    _, gradient = softmax_crossentropy(logits, targets, clip)
    expected = difference_quotient(lambda z: softmax_crossentropy(z, targets, clip)[0], logits)
    assert relative_error(gradient, expected) < LAYER_GRADIENT


@pytest.mark.parametrize("scale", [1, 1000], ids=["usual logits", "logits whose exponential overflows"])
def test_the_loss_is_that_of_scipys_log_softmax(scale):
    """The loss is the mean over samples of SciPy's log softmax at the target."""
    logits, targets = scale * random(6, 10), np.eye(10)[[3, 1, 4, 1, 5, 9]]
    loss, _ = softmax_crossentropy(logits, targets)
    assert math.isclose(loss, -(targets * special.log_softmax(logits, axis=-1)).sum() / 6, rel_tol=SAME_FORMULA)


def test_the_softmax_of_images_is_over_their_channels():
    """log softmax is taken over the last axis of any number of axes."""
    logits = random(2, 3, 4, 5)
    np.testing.assert_allclose(log_softmax(logits), special.log_softmax(logits, axis=-1), rtol=SAME_FORMULA)


def test_a_clipped_loss_is_bounded_and_passes_no_gradient():
    """Three images, whose target's probability is clipped from below, from above, and not: only the last has a gradient."""
    logits, targets = np.array([[0.0, 30.0], [40.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0]] * 3)
    loss, gradient = softmax_crossentropy(logits, targets, clip=1e-7)
    expected = -(math.log(1e-7) + math.log(1 - 1e-7) + math.log(0.5)) / 3
    assert math.isclose(loss, expected, rel_tol=SAME_FORMULA)
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [0.0, 0.0], [-1 / 6, 1 / 6]], rtol=SAME_FORMULA)


def test_a_probability_at_the_limits_passes_its_gradient():
    """Probabilities of exactly 0.5, clipped to 0.5 from both sides: p - target, over the number of images."""
    _, gradient = softmax_crossentropy(np.zeros((1, 2)), np.array([[1.0, 0.0]]), clip=0.5)
    np.testing.assert_array_equal(gradient, [[-0.5, 0.5]])


def test_the_last_layer_is_named_where_it_is_wrong():
    """Of two layers the message shows the last one, not the first."""
    with pytest.raises(ValueError, match=r"has to be a Dense with activation 'softmax', not .*'units': 5"):
        Network([dense("linear", units=4), dense("relu", units=5)], [])


def test_a_network_clips_its_loss_on_request():
    """With `clip` the target's probability is bounded: from below for the first input, from above for the second."""
    weights = [[np.array([[0.0, 30.0], [40.0, 0.0]]), np.zeros(2)]]
    network = Network([dense("softmax", units=2)], weights, clip=1e-7)
    x, targets, expected = np.eye(2), np.array([[1.0, 0.0]] * 2), -(math.log(1e-7) + math.log(1 - 1e-7)) / 2
    loss, [[kernel_gradient, bias_gradient]] = network.loss_and_gradients(x, targets)
    np.testing.assert_allclose([loss, network.loss(x, targets)], expected, rtol=SAME_FORMULA)
    assert not kernel_gradient.any()
    assert not bias_gradient.any()


# One layer of each class, Dropout twice: (3, 4, 3, 2) -> (3, 4, 3, 3) -> (3, 2, 1, 3) -> (3, 6) -> (3, 3).
LAYERS = [
    conv2d((2, 2), (1, 1), "same"),
    batch_normalization(momentum=0.75),
    max_pooling2d((2, 2), (2, 2)),
    DROPOUT,
    FLATTEN,
    {**DROPOUT, "rate": 0.5},
    dense("softmax"),
]
WEIGHTS = [kernel_and_bias(2, 2, 2, 3), STATISTICS, [], [], [], [], kernel_and_bias(6, 3)]
IMAGES, TARGETS = random(3, 4, 3, 2), np.eye(3)[[2, 0, 2]]
MASKS = [random(3, 2, 1, 3, seed=8) > 0, random(3, 6, seed=9) > 0]


def loss_of(probabilities):
    """The mean loss by its formula."""
    return -(TARGETS * np.log(probabilities)).sum() / len(TARGETS)


def test_the_gradients_of_a_network_are_difference_quotients_of_its_loss():
    """In training with dropout: of every weight and of every layer's input; moving statistics have none."""
    network = Network(LAYERS, WEIGHTS)
    inputs = [IMAGES, *network.layer_outputs(IMAGES, True, MASKS)]
    loss, gradients = network.loss_and_gradients(IMAGES, TARGETS, MASKS)
    assert loss == pytest.approx(loss_of(inputs[-1]), rel=SAME_FORMULA)
    for index, group in enumerate(WEIGHTS):
        masks = MASKS[[layer["class"] for layer in LAYERS[:index]].count("Dropout") :]

        def loss_from(x, weights, index=index, masks=masks):
            tail = Network(LAYERS[index:], [weights, *WEIGHTS[index + 1 :]])
            return loss_of(tail.layer_outputs(x, True, masks)[-1])

        quotient = difference_quotient(lambda x, f=loss_from, g=group: f(x, g), inputs[index])
        assert relative_error(network.input_gradients[index], quotient) < LAYER_GRADIENT
        for place, weight in enumerate(group[:2]):
            quotient = difference_quotient(
                lambda moved, f=loss_from, g=group, i=place, x=inputs[index]: f(x, [*g[:i], moved, *g[i + 1 :]]), weight
            )
            # The bias before a batch normalization has no effect in training: its gradient is rounding.
            assert np.linalg.norm(gradients[index][place] - quotient) < LAYER_GRADIENT * (np.linalg.norm(quotient) + 1e-4)
        assert gradients[index][2:] == [None] * len(group[2:])
    assert len(network.input_gradients) == len(gradients) == len(LAYERS)


def test_inference_takes_any_number_of_images_at_once():
    """Probabilities and loss in inference: the moving statistics, no dropout, and batches of any size."""
    network = Network(LAYERS, WEIGHTS)
    probabilities = network.layer_outputs(IMAGES)[-1]
    training = network.layer_outputs(IMAGES, training=True)[-1]
    assert relative_error(training, probabilities) > 0.01
    np.testing.assert_allclose(network.predict(IMAGES), probabilities, rtol=SAME_FORMULA)
    np.testing.assert_allclose(
        special.log_softmax(network.logits(IMAGES, 2), axis=-1), np.log(probabilities), rtol=SAME_FORMULA
    )
    assert network.logits(IMAGES, batch_size=2).shape == (3, 3)
    found = network.loss(IMAGES, TARGETS), network.loss_and_gradients(IMAGES, TARGETS, training=False)[0]
    np.testing.assert_allclose(found, loss_of(probabilities), rtol=SAME_FORMULA)


@pytest.mark.parametrize("convention", ["keras-3", "keras-2.2.4"])
def test_a_network_updates_its_moving_statistics_in_training_only(convention):
    """Two steps with means a and b: Keras 3 keeps 9/16 of the first mean; 2019's forgets it, and has (3 a + 4 b) / 7."""
    network = Network(LAYERS, WEIGHTS, convention=convention)
    network.loss_and_gradients(IMAGES, TARGETS, training=False)
    kept = network.weights
    assert [[weight.tolist() for weight in group] for group in kept] == [[w.tolist() for w in group] for group in WEIGHTS]
    means = []
    for x in (IMAGES, IMAGES**2):
        means.append(network.layer_outputs(x)[0].mean(axis=(0, 1, 2)))
        network.loss_and_gradients(x, TARGETS, MASKS)
    expected = {
        "keras-3": 9 / 16 * STATISTICS[2] + 3 / 16 * means[0] + 1 / 4 * means[1],
        "keras-2.2.4": (3 * means[0] + 4 * means[1]) / 7,
    }
    np.testing.assert_allclose(network.weights[1][2], expected[convention], rtol=SAME_FORMULA)
    for index, group in enumerate(network.weights):
        assert [weight.tolist() for weight in group[:2]] == [weight.tolist() for weight in WEIGHTS[index][:2]]
    assert kept[1][2].tolist() == STATISTICS[2].tolist()  # nothing is changed in place
