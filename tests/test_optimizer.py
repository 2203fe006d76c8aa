"""Does a training step change every variable as the formulas say: weights, the optimizer's slots, moving statistics?"""

import keras
import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.benchmarks.flops import flops_per_image
from cnnspec.compat import KERAS_VERSION, make_variables
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.oracle.layers import moving_statistics
from cnnspec.oracle.optimizers import adam_update, optimize
from cnnspec.training import compile_model
from cnnspec.trajectory import on_stack
from tests.support import bookkeeping, checks, known_differences, numerics, probes
from tests.support.checks import Finding

pytestmark = pytest.mark.usefixtures("tf32_off")
NEXT = "pytest tests/test_configuration.py; then compare the optimizer's update rule with Kingma & Ba 2015"
SETTINGS = {name: fact["value"] for name, fact in notebook.globals_toml()["compile"]["optimizer_settings"].items()}
HYPERPARAMETERS = {name: value for name, value in SETTINGS.items() if name != "amsgrad"}


def gradients(shapes, generator):
    """Gradients of all sizes from 1e-9 to 10, so that epsilon and both decay rates have an effect, and a third of zeros."""
    return [
        (generator.normal(size=shape) * 10.0 ** generator.uniform(-9, 1, size=shape)).astype("float32")
        * (generator.uniform(size=shape) > 1 / 3)
        for shape in shapes
    ]


def as_tensor(array):
    """A tensor of the backend under test."""
    return keras.ops.convert_to_tensor(array) if hasattr(keras, "ops") else keras.backend.constant(array)


EVERY_KIND = numerics.CHEAPEST[-1]  # a model of every kind of layer; others have the same kinds in other sizes
# All but the one that costs most: what Adam does to a variable does not depend on the layers before it.
OTHERS = [model for model in MODELS if model not in (EVERY_KIND, max(MODELS, key=flops_per_image))]


@pytest.mark.parametrize("model", [EVERY_KIND, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_adam(model):
    """After one and after ten steps with given gradients, the change of every variable and both slots are Adam's."""
    built = on_stack.build(model)
    compile_model(built)
    variables = built.trainable_variables
    before = [np.asarray(variable.numpy(), np.float64) for variable in variables]
    expected, slots = [before], None
    generator = np.random.RandomState(11)
    bounds = numerics.bound("optimizer", "movement"), numerics.bound("optimizer", "slot")
    findings = []
    for step in range(1, 11):
        drawn = gradients([array.shape for array in before], generator)
        built.optimizer.apply_gradients([(as_tensor(g), v) for g, v in zip(drawn, variables, strict=True)])
        expected, slots = optimize(adam_update, expected, [drawn], slots, **HYPERPARAMETERS)
        if step not in (1, 10):
            continue
        found = probes.optimizer_arrays(built.optimizer)
        for row, (variable, start, end, (m, v, _)) in enumerate(
            zip(variables, before, expected[0], slots[0], strict=True), 1
        ):
            name = f"step {step}, variable {row} {tuple(variable.shape)}"
            error = numerics.error(np.asarray(variable.numpy(), np.float64) - start, end - start)
            findings.append(Finding(f"{name}: change since the start", error, *bounds[0]))
            for slot, array in (("first moment", m), ("second moment", v)):
                candidates = [numerics.error(other, array) for other in found if other.shape == array.shape]
                error = min(candidates, default=np.inf)  # Keras versions order their slots differently
                findings.append(Finding(f"{name}: {slot}", error, *bounds[1]))
    checks.near_float64(f"{model}: steps of Adam with given gradients", findings, next=NEXT)


@pytest.mark.parametrize("model", [EVERY_KIND])
def test_moving_statistics(model):
    """One training step changes every moving mean and variance by (1 − momentum) times its distance to the batch's.

    The sizes of other models: `test_normalisation_alone` in tests/test_numerics.py.
    """
    data = mnist.load("mnist5k")
    x, y = data.x_train[:32], data.y_train[:32]
    opened = probes.opened(model)
    inputs = opened.step(x, y).inputs
    convention = "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras"
    findings = []
    for row, layer in enumerate(notebook.layers(model), 1):
        if layer["class"] != "BatchNormalization":
            continue
        start = [np.asarray(array, np.float64) for array in opened.drawn[row - 1][2:]]
        end = moving_statistics(layer, start, inputs[row - 1], convention)
        for name, was, expected, obtained in zip(
            ("mean", "variance"), start, end, opened.layers[row - 1].get_weights()[2:], strict=True
        ):
            error = numerics.error(obtained - was, expected - was)
            bound = numerics.bound("BatchNormalization", "moving_statistics")
            findings.append(Finding(f"layer {row} (BatchNormalization): change of the moving {name}", error, *bound))
    momentum = next(layer["momentum"] for layer in notebook.layers(model) if layer["class"] == "BatchNormalization")
    subject = f"{model}, batch of 32: moving statistics after one training step, with momentum {momentum:g}"
    checks.near_float64(subject, findings, next=NEXT)


PAIRS, UNITS, IMAGES, STEPS = 8, 2, 4, 3


def pairs_of_products():
    """A model that sums PAIRS branches of two products each."""
    inputs = keras.Input(shape=(UNITS,))
    first, second = ([keras.layers.Dense(UNITS, use_bias=False) for _ in range(PAIRS)] for _ in range(2))
    return keras.Model(inputs, keras.layers.Add()([late(early(inputs)) for early, late in zip(first, second, strict=True)]))


@known_differences.UPDATED_BEFORE_READ
def test_gradients_are_of_the_weights_before():
    """No weight is updated before every gradient of the step has read it, also where the update need not wait for that.

    Each kernel is twice the identity, images are ones and the loss is −(first output): a kernel's gradient is −2 in its
    first column, and that of the second of a pair does not depend on itself. So nothing but the framework's order of reads
    and writes keeps a step of SGD from moving it before the first one's gradient has read it. Such is the loss of a
    Wasserstein critic; the notebook's depends on every weight.
    """
    x, y = np.ones((IMAGES, UNITS), "float32"), np.ones((IMAGES, 1), "float32")
    model = pairs_of_products()
    model.compile(loss=bookkeeping.loss, optimizer=keras.optimizers.SGD(1.0))
    make_variables(model)
    before = 2 * np.eye(UNITS, dtype="float32")
    due = before + 2 * (np.arange(UNITS) == 0)
    lines = []
    for number in range(1, STEPS + 1):
        model.set_weights([before] * 2 * PAIRS)
        model.train_on_batch(x, y)
        wrong = [kernel.tolist() for kernel in model.get_weights() if not np.array_equal(kernel, due)]
        if wrong:
            lines.append(f"step {number}: {len(wrong)} of {2 * PAIRS} kernels wrong, the first obtained {wrong[0]}")
    if lines:
        lines.append(f"expected  {due.tolist()}   (from products of whole numbers, at the weights before the step)")
        advice = "docs/upstream/update-before-read.md; compare with run_eagerly=True"
        checks.fail("train_on_batch: gradients of weights that the same step has already updated", lines, next=advice)
