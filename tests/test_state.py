"""Is what a training keeps from step to step right: moving statistics, weights, and what an epoch counts?

The corners: a batch of one, a ReLU at exactly 0, black images, the second model of a process, a data set that does not know
its length.
"""

import functools
import math
import warnings

import keras
import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.oracle.layers import moving_statistics
from cnnspec.training import compile_model
from tests.support import bench, checks, known_differences, numerics
from tests.support.checks import Finding

pytestmark = pytest.mark.usefixtures("tf32_off")
NEXT = "compare compiled steps with eager ones (run_eagerly=True in compile), and this batch size with another"
STEPS = (1, 128, 1)  # batch sizes one after the other: a batch of one first, and after another
EPOCHS, EPOCH = 10, (16, 16, 5)  # as many epochs as the notebook's; the batch sizes of one


def normalised(shape):
    """A model of a BatchNormalization on inputs of `shape`, with plain gradient descent."""
    model = keras.Sequential([keras.Input(shape=shape), keras.layers.BatchNormalization()])
    model.compile(loss=bench.times_target, optimizer=keras.optimizers.SGD(0.1))
    return model


@pytest.mark.parametrize("shape", [(20,), (7, 7, 5)], ids=["dense", "images"])
def test_moving_statistics_of_a_batch_of_one(shape):
    """A training batch of one, and one after a batch of 128, moves the moving mean and variance as float64 says."""
    generator = np.random.RandomState(3)
    model, findings = normalised(shape), []
    (layer,) = model.layers
    settings = {"class": "BatchNormalization", "momentum": layer.momentum, "epsilon": layer.epsilon}
    convention = "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras"
    for step, batch in enumerate(STEPS, 1):
        x = generator.normal(0.5, 2.0, size=(batch, *shape)).astype("float32")
        before = [np.asarray(array, np.float64) for array in layer.get_weights()[2:]]
        model.train_on_batch(x, np.ones_like(x))
        expected = moving_statistics(settings, before, x, convention)
        for name, was, due, now in zip(("mean", "variance"), before, expected, layer.get_weights()[2:], strict=True):
            with np.errstate(invalid="ignore"):  # where the step before left an infinity, the error is NaN, which fails
                error = numerics.error(now - was, due - was)
            bound = numerics.bound("BatchNormalization", "moving_statistics")
            findings.append(Finding(f"step {step}, batch of {batch}: movement of the moving {name}", error, *bound))
    checks.near_float64(f"BatchNormalization on inputs {shape}, compiled training steps", findings, next=NEXT)


@pytest.mark.parametrize("shape", [(20,), (7, 7, 5)], ids=["dense", "images"])
def test_moving_statistics_of_ten_epochs(shape):
    """Ten epochs of a `fit`, each with a partial batch, move the moving mean and variance as float64 says."""
    x = np.random.RandomState(6).normal(-0.5, 1.0, size=(sum(EPOCH), *shape)).astype("float32")
    model, findings = normalised(shape), []
    (layer,) = model.layers
    settings = {"class": "BatchNormalization", "momentum": layer.momentum, "epsilon": layer.epsilon}
    convention = "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras"
    before = [np.asarray(array, np.float64) for array in layer.get_weights()[2:]]
    model.fit(x, np.ones_like(x), batch_size=EPOCH[0], epochs=EPOCHS, shuffle=False, verbose=0)
    expected = before
    for part in np.split(x, np.cumsum(EPOCH)[:-1]) * EPOCHS:
        expected = moving_statistics(settings, expected, part, convention)
    bound = numerics.bound("BatchNormalization", "moving_statistics")
    for name, was, due, now in zip(("mean", "variance"), before, expected, layer.get_weights()[2:], strict=True):
        findings.append(Finding(f"movement of the moving {name}", numerics.error(now - was, due - was), *bound))
    subject = f"BatchNormalization on inputs {shape}, a fit of {EPOCHS} epochs of {len(EPOCH)} batches"
    checks.near_float64(subject, findings, next=NEXT)


@known_differences.VARIANCE_OF_SQUARES
@pytest.mark.parametrize("shape", [(20,), (7, 7, 5)], ids=["dense", "images"])
def test_statistics_far_from_zero(shape):
    """Inputs whose mean is 500 standard deviations have the variance of float64, which squares of them would lose."""
    model = normalised(shape)
    x = np.random.RandomState(4).normal(1000.0, 2.0, size=(128, *shape)).astype("float32")
    (layer,) = model.layers
    settings = {"class": "BatchNormalization", "momentum": layer.momentum, "epsilon": layer.epsilon}
    convention = "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras"
    expected = moving_statistics(settings, layer.get_weights()[2:], x, convention)
    model.train_on_batch(x, np.ones_like(x))
    bound = numerics.bound("BatchNormalization", "moving_statistics")
    findings = [
        Finding(f"moving {name}", numerics.error(now - start, due - start), *bound)
        for name, start, due, now in zip(("mean", "variance"), (0, 1), expected, layer.get_weights()[2:], strict=True)
    ]
    checks.near_float64(f"BatchNormalization on inputs {shape} of mean 1000, a compiled step of 128", findings, next=NEXT)


@pytest.mark.parametrize("mode", bench.MODES)
def test_relu_has_no_slope_at_zero(mode):
    """At exactly 0 the derivative of ReLU is 0: a bias of 0 behind a kernel of zeros does not move, one of 0.5 does."""
    image = keras.Input(shape=(6, 6, 2))
    row = keras.Input(shape=(12,))
    layers = [keras.layers.Conv2D(3, (3, 3), activation="relu"), keras.layers.Dense(3, activation="relu")]
    model = keras.Model([image, row], [layers[0](image), layers[1](row)])
    eagerly = {"run_eagerly": mode == "eager"}
    model.compile(loss=[bench.times_target] * 2, optimizer=keras.optimizers.SGD(1.0), **eagerly)
    biases = np.array([0.0, 0.5, -0.5], "float32")
    for batch in (1, 128):
        for layer in layers:
            kernel, _ = layer.get_weights()
            layer.set_weights([np.zeros_like(kernel), biases])
        x = [np.ones((batch, 6, 6, 2), "float32"), np.ones((batch, 12), "float32")]
        model.train_on_batch(x, [np.ones((batch, 4, 4, 3), "float32"), np.ones((batch, 3), "float32")])
        for layer in layers:
            kernel, bias = layer.get_weights()
            checks.equal(
                f"{type(layer).__name__} with ReLU, batch of {batch}, {mode}: which units of bias 0, 0.5, −0.5 a step moves",
                ([False, True, False], [False, True, False]),
                ((kernel != 0).reshape(-1, 3).any(axis=0).tolist(), (bias != biases).tolist()),
                source="the derivative of max(z, 0), 0 at 0, as every framework documents it; (kernel, bias)",
                next=NEXT,
            )


def variables(model):
    """{name: array} of a model's weights, trainable and not, by layer."""
    return {
        f"layer {row} ({type(layer).__name__}), array {place}": array
        for row, layer in enumerate(model.layers, 1)
        for place, array in enumerate(layer.get_weights(), 1)
    }


@functools.cache
def bystander():
    """A compiled model that takes no step, and its weights."""
    model = ARCHITECTURES["model4"]()
    compile_model(model)
    return model, variables(model)


@pytest.mark.parametrize("model", [*numerics.CHEAPEST, "model1", "model4 once more"])
def test_a_step_moves_what_it_should(model):
    """A fresh model gives black images ten equal probabilities, takes a step on them and stays finite; a step on 128 digits
    then moves every weight and moving statistic of the model, and nothing of another one in the process.
    """
    other, still = bystander()
    built = ARCHITECTURES[model.split()[0]]()
    compile_model(built)
    data = mnist.load("mnist5k")
    x, y = data.x_train[:128], data.y_train[:128]
    even = bench.as_array(built(np.zeros_like(x[:8]), training=False))
    error = float(np.abs(even - 0.1).max())
    checks.at_most(
        f"{model}, fresh, on black images: largest distance of a probability from 1/10",
        error,
        1e-6,
        source="zeros through layers without bias; a float32 softmax",
        next=NEXT,
    )
    loss, accuracy = (float(value) for value in np.ravel(built.train_on_batch(np.zeros_like(x), y))[:2])
    if backend() != "torch":  # whose argmax promises no place among equals
        first_of_equals = float(np.float32(y[:, 0].mean()))
        checks.equal(
            f"{model}, fresh: accuracy on 128 black images, with ten equal probabilities",
            first_of_equals,
            accuracy,
            source="the share of digit 0: the first of equal probabilities counts",
            next="compare this Keras' categorical_accuracy with argmax of NumPy",
        )
    checks.at_most(
        f"{model}, fresh: distance of the loss of 128 black images from log 10",
        abs(loss - math.log(10)),
        1e-5,
        source="ten equal probabilities",
        next=NEXT,
    )
    before = variables(built)
    unfinished = [name for name, array in before.items() if not np.isfinite(array).all()]
    checks.equal(
        f"{model}: not finite after a step on 128 black images", [], unfinished, source="finite gradients", next=NEXT
    )
    built.train_on_batch(x, y)
    after = variables(built)
    stuck = [name for name in before if np.array_equal(before[name], after[name])]
    checks.equal(f"{model}: not moved by a step of 128 images", [], stuck, source="gradients that are not zero", next=NEXT)
    wrong = [name for name, array in after.items() if not np.isfinite(array).all()]
    checks.equal(f"{model}: not finite after a step of 128 images", [], wrong, source="finite gradients", next=NEXT)
    taken = int(bench.as_array(built.optimizer.iterations))
    checks.equal(f"{model}: steps that Adam has counted", 2, taken, source="the steps taken", next=NEXT)
    moved = [name for name, array in variables(other).items() if not np.array_equal(array, still[name])]
    checks.equal(
        f"{model}: what a step moved of another model in this process", [], moved, source="no step of it", next=NEXT
    )


BATCHES, BATCH = 3, 16
only_tensorflow = pytest.mark.skipif(
    backend() != "tensorflow", reason="tf.data is TensorFlow's; KERAS_BACKEND=tensorflow has it"
)


def linear(x, y):
    """A softmax of one layer, compiled, its weights drawn; samples to fit it to."""
    model = keras.Sequential([keras.Input(shape=(x.shape[1],)), keras.layers.Dense(y.shape[1], activation="softmax")])
    model.layers[-1].set_weights([np.random.RandomState(1).normal(size=(x.shape[1], y.shape[1])), np.zeros(y.shape[1])])
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.SGD(0.01))
    return model


@functools.cache
def losses():
    """{call: (loss of a data set of fixed batch and unknown length, loss of the same samples as arrays)}."""
    import tensorflow as tf

    generator = np.random.RandomState(2)
    x = generator.normal(size=(BATCHES * BATCH, 6)).astype("float32")
    y = np.eye(3, dtype="float32")[generator.randint(0, 3, size=len(x))]
    signature = (tf.TensorSpec((6,), "float32"), tf.TensorSpec((3,), "float32"))
    samples = tf.data.Dataset.from_generator(lambda: zip(x, y, strict=True), output_signature=signature)
    dataset = samples.batch(BATCH, drop_remainder=True)
    arrays = {"batch_size": BATCH, "verbose": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the data set has ended, which is how its length is found
        return {
            "evaluate": (linear(x, y).evaluate(dataset, verbose=0), linear(x, y).evaluate(x, y, **arrays)),
            "fit": tuple(
                model.history["loss"][0]
                for model in (linear(x, y).fit(dataset, verbose=0), linear(x, y).fit(x, y, shuffle=False, **arrays))
            ),
        }


@only_tensorflow
@known_differences.ZEROS_COUNTED
@pytest.mark.parametrize("call", ["evaluate", "fit"])
def test_a_dataset_of_unknown_length(call):
    """A tf.data data set of fixed batch and unknown length has the loss of the same samples as arrays."""
    obtained, expected = losses()[call]
    tolerance = {"relative": 1e-5, "why": "the same batches; a batch of zeros counted with three is 0.25"}
    subject = f"{call} of a tf.data data set of {BATCHES} batches of {BATCH} that does not know its length: loss"
    checks.close(
        subject,
        expected,
        obtained,
        tolerance,
        source="the same samples as arrays",
        next="give its length: apply tf.data.experimental.assert_cardinality",
    )


@only_tensorflow
@pytest.mark.parametrize("call", ["evaluate", "fit"])
def test_a_dataset_of_unknown_length_counts_at_most_a_batch_of_zeros(call):
    """Where Keras is known to count a batch of zeros, the loss is that of the samples times n / (n + 1); nothing else."""
    obtained, expected = losses()[call]
    shares = [1.0, BATCHES / (BATCHES + 1)] if known_differences.ZEROS else [1.0]
    nearest = min(shares, key=lambda share: abs(obtained / expected - share))
    tolerance = {"relative": 1e-5, "why": "float32 means over four batches"}
    subject = f"{call} of a tf.data data set of unknown length: loss beside that of arrays, times {nearest:g}"
    checks.close(subject, expected * nearest, obtained, tolerance, source="the same samples as arrays", next=NEXT)
