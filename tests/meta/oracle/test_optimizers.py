"""Are the optimizers of the float64 implementation the published algorithms?"""

import math

import numpy as np
import pytest

from cnnspec.oracle.optimizers import adam_update, optimize, sgd_update
from tests.meta.oracle.cases import SAME_FORMULA

ADAM = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}

# The last is smaller than epsilon's effect at the first step, 1e-7 / sqrt(0.001) = 3.2e-6.
GRADIENTS = np.array([2.0, -0.03, 1e-6])


def test_adams_first_step_in_closed_form():
    """Adam's first step, m = (1 - beta_1) g and v = (1 - beta_2) g²: w -= rate g / (|g| + epsilon / sqrt(1 - beta_2))."""
    weight, (m, v, step) = adam_update(np.ones(3), GRADIENTS, **ADAM)
    expected = 0.01 * GRADIENTS / (np.abs(GRADIENTS) + 1e-7 / math.sqrt(0.001))
    np.testing.assert_allclose(1.0 - weight, expected, rtol=1e-11)  # 1.0 - weight cancels digits
    np.testing.assert_allclose(m, 0.1 * GRADIENTS, rtol=SAME_FORMULA)
    np.testing.assert_allclose(v, 0.001 * GRADIENTS**2, rtol=SAME_FORMULA)
    assert step == 1


def test_ten_steps_of_adam_are_the_papers_algorithm():
    """Ten steps are Kingma & Ba's algorithm 1 with bias-corrected moments; its epsilon is ours / sqrt(1 - beta_2^t)."""
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


@pytest.mark.parametrize(("update", "rates"), [(sgd_update, [0.1]), (adam_update, [0.1, 0.9, 0.999, 1e-7])])
def test_rates_are_named(update, rates):
    """Rates that are given by their place are refused, so that none is taken for another."""
    with pytest.raises(TypeError, match="positional argument"):
        update(1.0, 1.0, None, *rates)


def test_gradient_descent_by_hand():
    """SGD by hand; a weight without a gradient stays."""
    weights = [[np.array([1.0, 2.0])], [np.array([3.0])]]
    gradients = [[np.array([10.0, -4.0])], [None]]
    new, _ = optimize(sgd_update, weights, gradients, learning_rate=0.5)
    np.testing.assert_array_equal(new[0][0], [-4.0, 4.0])
    np.testing.assert_array_equal(new[1][0], [3.0])
