"""Do the first thirty steps of training follow the float64 implementation and 2019's recording?

The stack and the float64 implementation start from the same NumPy-drawn weights and train on the same batches of real
digits, without shuffling and dropout. Losses, norms of every variable and final predictions are compared. Single weights
are not: Adam's first steps are nearly learning rate times sign(gradient), and rounding decides the sign of a gradient near
zero. SGD has no such problem and therefore the tightest limits.
"""

import functools
import tomllib

import numpy as np
import pytest
from packaging.version import Version

from cnnspec import mnist, stack
from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import notebook, reading
from cnnspec.names import MODELS
from cnnspec.trajectory import in_float64, on_stack, recordings, start
from tests.support import checks, known_differences, margins

STORED = reading.BASELINES / "trajectories"
pytestmark = pytest.mark.usefixtures("tf32_off")
NEXT = "pytest tests/test_numerics.py tests/test_optimizer.py: they name the layer or the update rule"


def marked(models):
    """Models as parameters; those with BatchNormalization are expected failures where its gradient is known to be wrong."""
    different = notebook.normalised_models()
    return [pytest.param(model, marks=known_differences.BATCH_VARIANCE if model in different else ()) for model in models]


def expected(model, optimizer):
    """The float64 trajectory in the conventions of the Keras under test: stored for Keras 3, computed for Keras 2."""
    if KERAS_VERSION >= (3, 0):
        return recordings.recorded(STORED / "float64", model, optimizer)[1]
    return in_float64.run(model, mnist.load("mnist5k"), optimizer, "tf.keras")


def limits(name):
    """The limits of a trajectory's distance from float64; some differ for Keras 2, and where TensorFlow compiles by XLA."""
    other = KERAS_VERSION < (3, 0) or stack.by_xla()
    if other and name in reading.tolerance("trajectory_other_kernels"):
        return reading.tolerance(f"trajectory_other_kernels.{name}")
    return reading.tolerance(f"trajectory.{name}")


@functools.cache
def obtained(model, optimizer):
    """The trajectory of the stack under test."""
    return on_stack.run(model, mnist.load("mnist5k"), optimizer)


def names(model):
    """The names of a model's variables, in order."""
    return start.weight_names([layer["class"] for layer in notebook.layers(model)])


@pytest.mark.parametrize("model", marked(MODELS))
def test_against_float64(model):
    """Loss and norms at every step of SGD, and the predictions after the last one, are the float64 implementation's.

    With Adam the stack trains in `test_lockstep.py` and `test_paired.py`.
    """
    checks.same_path(
        f"{model}, sgd: losses and norms of the first {start.STEPS} steps on this stack",
        names(model),
        expected(model, "sgd"),
        obtained(model, "sgd"),
        limits(f"{model}-sgd"),
        source="the float64 implementation in cnnspec/oracle/",
        next=NEXT,
        once_more=lambda: on_stack.run(model, mnist.load("mnist5k"), "sgd"),
    )


def stack_of(recording):
    """(framework and its version, version of Keras) of a recording, from its provenance."""
    told = tomllib.loads((recording / "provenance.toml").read_text(encoding="utf-8"))["stack"]
    return told["framework"], told["keras"]


def expected_of(recording, model, optimizer):
    """The float64 trajectory in the conventions of a recording's Keras: stored for 2.2.4, computed for 2.3.1."""
    if Version(stack_of(recording)[1]) < Version("2.3"):
        return recordings.recorded(STORED / "float64-2019", model, optimizer)[1]
    return in_float64.run(model, mnist.load("mnist5k"), optimizer, "keras-2.3.1")


@pytest.mark.parametrize("optimizer", start.OPTIMIZERS)
@pytest.mark.parametrize("model", notebook.trained_models())
def test_2019_against_float64(recording, pytestconfig, model, optimizer):
    """The recording of the notebook's own stack is the float64 implementation's trajectory in 2019's conventions.

    Threads of that stack race, so a new recording has wider limits under Adam than the stored one. One of TensorFlow 1.15
    with Keras 2.3, the last of that line, is judged in its own conventions: its moving averages keep their initial values.
    """
    anew = reading.tolerance("trajectory_2019_anew") if pytestconfig.option.recording else {}
    recorded = recordings.recorded(recording, model, optimizer)[1]
    with margins.collected_into([]):  # they are shares of two stored recordings, not of the stack under test
        checks.same_path(
            f"{model}, {optimizer}: losses and norms of the first {start.STEPS} steps, recorded on 2019's stack",
            names(model),
            expected_of(recording, model, optimizer),
            recorded,
            (reading.tolerance("trajectory_2019") | anew)[f"{model}-{optimizer}"],
            source="the float64 implementation with 2019's moving averages and step counter",
            next="record it again and compare: tox run -e legacy",
        )


@pytest.mark.parametrize("model", marked(notebook.trained_models()))
def test_against_2019(recording, model):
    """With SGD the stack under test has the losses, and the norms of all trainable variables, of 2019's recording.

    Moving statistics are left out, and predictions, which use them: 2019's averages ignored their initial values.
    """
    recorded_names, recorded = recordings.recorded(recording, model, "sgd")
    trained = [place for place, name in enumerate(recorded_names) if "/moving_" not in name]
    here = obtained(model, "sgd")
    with margins.collected_into([]):  # nearly all of the share is the rounding of the recording, the same on every stack
        checks.same_path(
            f"{model}, sgd: losses and norms of the first {start.STEPS} steps on this stack",
            [recorded_names[place] for place in trained],
            *(
                start.Trajectory(each.losses, each.norms[:, trained], probabilities=np.zeros(1))  # equal: not compared
                for each in (recorded, here)
            ),
            reading.tolerance(f"trajectory_2019.{model}-sgd"),
            source="the recording of {}, Keras {} in {}".format(*stack_of(recording), recording),
            next=NEXT,
        )
