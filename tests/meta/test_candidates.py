"""Are the optimizers that the notebook's cut leaves open those of Keras 2.2.4, whatever Keras makes them?"""

import keras
import numpy as np
import pytest

from cnnspec import training
from cnnspec.names import OPTIMIZERS
from tests.test_optimizer import as_tensor

GRADIENTS = np.array([[0.5, -0.2, 2.0], [0.1, 0.3, -1.0], [0.0, 2.0, 0.3]])
SMALL = 1e-7  # Keras 2.2.4's epsilon


def adam(step, gradient, mean, square):
    """The movement in a step from 1 on, and the two moments (Kingma and Ba 2015, algorithm 1)."""
    mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
    rate = 0.001 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return rate * mean / (np.sqrt(square) + SMALL), mean, square


def adadelta(step, gradient, square, moved):
    """The movement, and the averages of the squares of gradients and movements (Zeiler 2012, algorithm 1)."""
    square = 0.95 * square + 0.05 * gradient**2
    movement = gradient * np.sqrt(moved + SMALL) / np.sqrt(square + SMALL)
    return movement, square, 0.95 * moved + 0.05 * movement**2


def adagrad(step, gradient, total, unused):
    """The movement, and the sum of the squares of all gradients (Duchi et al. 2011, section 1.1)."""
    total = total + gradient**2
    return 0.01 * gradient / (np.sqrt(total) + SMALL), total, unused


def adamax(step, gradient, mean, largest):
    """The movement, the mean, and the largest gradient, which fades (Kingma and Ba 2015, algorithm 2)."""
    mean, largest = 0.9 * mean + 0.1 * gradient, np.maximum(0.999 * largest, np.abs(gradient))
    return 0.002 / (1 - 0.9**step) * mean / (largest + SMALL), mean, largest


FORMULAS = {formula.__name__: formula for formula in (adam, adadelta, adagrad, adamax)}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps(name):
    """Three steps move a kernel as the formula does with Keras 2.2.4's defaults, to 0.1 %; none is left out.

    The kernel begins at zero. Beside a weight of 1 float32 rounds the smallest of these movements, 9e-5, by up to 0.2 %.
    """
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    layer.build((None, 3))
    optimizer = training.OPTIMIZERS[name]()
    due, slots = np.zeros(3), (0.0, 0.0)
    for step, gradient in enumerate(GRADIENTS, 1):
        optimizer.apply_gradients([(as_tensor(gradient[:, None].astype("float32")), layer.kernel)])
        movement, *slots = FORMULAS[name](step, gradient, *slots)
        due = due - movement
    np.testing.assert_allclose(layer.get_weights()[0][:, 0], due, rtol=1e-3)
