"""Do the first thirty steps of training follow the right path?

From NumPy-drawn weights, on fixed batches of real digits, without shuffle and dropout, the stack and the float64
implementation train side by side. Losses, norms of every variable and final predictions are judged; single weights are
not, because Adam's first steps are nearly learning rate times sign(gradient), and a gradient that is mere rounding may
have either sign. Plain SGD through the same code, which has no such trouble, carries the tightest bounds.
"""

import functools

import numpy as np
import pytest

from cnnspec import baselines, mnist, notebook, reference, trajectory
from cnnspec.compat import KERAS_VERSION
from tests import checks

CONVENTION = "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras"
RECORDING = baselines.BASELINES / "trajectories" / "2019"
NEXT = "run pytest tests/test_numerics.py tests/test_optimizer.py: they name the layer or the update rule"
ADAM = {name: fact["value"] for name, fact in notebook.globals_toml()["compile"]["optimizer_settings"].items()}
UPDATES = {  # optimizer of cnnspec.training.OPTIMIZERS -> its update rule and hyperparameters
    "adam": (reference.adam_update, {name: ADAM[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")}),
    "sgd": (reference.sgd_update, {"learning_rate": 0.001}),
}


@functools.cache
def expected(model, optimizer, convention):
    """The float64 trajectory: losses, norms of every variable after each step, and the final predictions.

    Keras 2.2.4 on TensorFlow 1.13.1 reads Adam's step counter after raising it, mostly: its first step, measured, is
    0.744 learning rates long, √(1 − beta_2²) / (1 − beta_1²) · (1 − beta_1) / √(1 − beta_2), where the formula has 1.
    """
    data = mnist.load("mnist5k")
    layers = notebook.layers(model)
    shapes = reference.weight_shapes(layers, (28, 28, 1))
    network = reference.Network(layers, trajectory.draw_weights(shapes), convention=convention)
    update, hyperparameters = UPDATES[optimizer]
    ahead = 1 if convention == "keras-2.2.4" else 0
    slots = [[(np.zeros_like(array), np.zeros_like(array), ahead) for array in group] for group in network.weights]
    losses, norms = [], []
    for x, y in trajectory.batches(data):
        loss, gradients = network.loss_and_gradients(x, y)
        network.weights, slots = reference.optimize(update, network.weights, gradients, slots, **hyperparameters)
        losses.append(loss)
        norms.append(trajectory.norms([array for group in network.weights for array in group]))
    return np.array(losses), np.array(norms), network.predict(data.x_test[: trajectory.WITNESSES])


@functools.cache
def obtained(model, optimizer):
    """The same trajectory on the stack under test."""
    return trajectory.run(model, mnist.load("mnist5k"), optimizer)


def names(model):
    """Name of each variable of a model, in order."""
    return trajectory.weight_names([layer["class"] for layer in notebook.layers(model)])


@pytest.mark.parametrize("optimizer", trajectory.OPTIMIZERS)
@pytest.mark.parametrize("model", notebook.MODELS)
def test_against_float64(model, optimizer):
    """Loss and norms at every step, and the predictions after the last, are the float64 implementation's."""
    checks.same_path(
        f"{model}, {optimizer}, on this stack",
        names(model),
        expected(model, optimizer, CONVENTION),
        obtained(model, optimizer),
        baselines.tolerance("trajectory")[f"{model}-{optimizer}"],
        "the float64 implementation in cnnspec/reference.py",
        NEXT,
    )


@pytest.mark.parametrize("optimizer", trajectory.OPTIMIZERS)
@pytest.mark.parametrize("model", notebook.MODELS)
def test_2019_against_float64(model, optimizer):
    """The path recorded on the notebook's own stack is the float64 implementation's, in 2019's conventions."""
    recorded_names, recorded = trajectory.recorded(RECORDING, model, optimizer)
    checks.equal(f"{model}, {optimizer}: variables of the recording", names(model), "the notebook", recorded_names, NEXT)
    checks.same_path(
        f"{model}, {optimizer}, recorded in 2019's stack",
        names(model),
        expected(model, optimizer, "keras-2.2.4"),
        recorded,
        baselines.tolerance("trajectory_2019")[f"{model}-{optimizer}"],
        "the float64 implementation with 2019's moving averages and step counter",
        "record it again: tox run -e legacy",
    )


@pytest.mark.parametrize("model", notebook.MODELS)
def test_against_2019(model):
    """With SGD the stack under test walks 2019's path: its losses, and the norms of everything that trains.

    Moving statistics and, behind them, predictions are left out: 2019's averages forgot their initial values.
    """
    recorded_names, recorded = trajectory.recorded(RECORDING, model, "sgd")
    trained = [place for place, name in enumerate(recorded_names) if "/moving_" not in name]
    losses, norms, _ = obtained(model, "sgd")
    checks.same_path(
        f"{model}, sgd, on this stack",
        [recorded_names[place] for place in trained],
        (recorded[0], recorded[1][:, trained], np.zeros(1)),
        (losses, norms[:, trained], np.zeros(1)),
        baselines.tolerance("trajectory_2019")[f"{model}-sgd"],
        "the recording of TensorFlow 1.13.1 and Keras 2.2.4 in baselines/trajectories/2019",
        NEXT,
    )
