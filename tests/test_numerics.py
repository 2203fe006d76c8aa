"""Does each layer and each gradient compute the right numbers?

Each layer and its float64 implementation get the same input: the output of the stack's layer before it. Errors therefore do
not add up, and the message names the layer that is wrong. Weights are drawn by NumPy, images are real digits.
"""

import functools

import keras
import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.oracle.layers import run_layer
from cnnspec.oracle.network import Network, softmax_crossentropy
from cnnspec.training import compile_model
from tests.support import beside_dropout, checks, elements, known_differences, normalising, numerics, probes
from tests.support.checks import Finding
from tests.support.exact import on_stack

BATCHES = (1, 32, 96, 128)  # 128 trains; 96 is the last, partial batch of an epoch of full MNIST: 60000 mod 128
TRAINED = 128  # the batch whose elements are compared one by one, and which follows others in one process
NORMALISED_IN_TRAINING = "output_in_training" if KERAS_VERSION >= (3, 0) else "output_in_training_fused"
SURE, SURE_RATE = 16.0, 2.0**20  # a logit beside zeros: probabilities of 1e-7; a rate at which they move a weight of zero
CERTAIN = 600.0  # a logit beside zeros, whose exponential overflows
ROUNDINGS_OF_ONE = 4 * 2.0**-24
UNDECIDED = 1e-6  # of a layer's root mean square: rounding decides whether a sum so near zero passes ReLU
NORMALISED = notebook.normalised_models()  # they compute differently in training and in inference; dropout is off here
pytestmark = pytest.mark.usefixtures("tf32_off")  # the limits are float32's; tests/test_exact.py judges what is shipped
NEXT = "pytest tests/test_configuration.py; then another --device, --tf32 off, or TF_ENABLE_ONEDNN_OPTS=0"


@functools.cache
def layers(model):
    """The notebook's description of a model, with dropout switched off."""
    return [{**layer, "rate": 0.0} if layer["class"] == "Dropout" else layer for layer in notebook.layers(model)]


def digits(batch):
    """The first `batch` images and labels of mnist5k."""
    data = mnist.load("mnist5k")
    return data.x_train[:batch], data.y_train[:batch]


def black():
    """A black image: every channel is constant. One alone, so that no further batch size has to be traced."""
    return np.zeros_like(digits(1)[0]), digits(1)[1]


IMAGES = {**{f"batch of {batch}": functools.partial(digits, batch) for batch in BATCHES}, "a black image": black}


def finding(layer, quantity, name, obtained, expected, open_part=0.0):
    """One tensor for `checks.near_float64`; `open_part` is the part of `expected` that depends on rounding alone."""
    error = numerics.error(obtained, expected)
    bound, why = numerics.bound(layer, quantity)
    limit = bound + numerics.share(open_part, expected)
    return Finding(name, error, limit, why, numerics.typical_of(layer, error))


def element_finding(layer, quantity, name, obtained, expected, scale, undecided=0.0):
    """The worst element of a tensor for `checks.near_float64`, by the rounding of its own terms."""
    element = elements.worst(obtained, expected, scale, undecided)
    bound, why = numerics.element_bound(layer, quantity)
    return Finding(f"{name}, worst element", element.units, bound, why, measure="roundings", detail=f" {element}")


# Every size for the two models that cost least, which have every kind of layer. For the others fewer: `test_exact.py` has
# every element of each of their products and poolings at 32, 96 and 128, which in float64 would cost as much as all else.
SIZES = {model: tuple(IMAGES) for model in numerics.CHEAPEST}
FEW = ("batch of 1", "batch of 32", "a black image")
# `--level quick`: the batch that trains, of one model that has every kind of layer.
QUICK = (numerics.CHEAPEST[-1], f"batch of {TRAINED}")


def images_of(model):
    """Names of the IMAGES that a model is judged on."""
    return SIZES.get(model, FEW)


def slow(model, images):
    """The mark of what `--level quick` leaves out."""
    return () if (model, images) == QUICK else pytest.mark.slow


CLASS = 7
# How far a label's logit may lie below the largest: JAX and PyTorch take 1e-7, exp(-16.1), for smaller probabilities.
FARTHEST = 12.0


def test_loss():
    """Categorical cross-entropy of a softmax: the loss of `evaluate`, and the step that it makes on the layer before it.

    Of one model and batch size, with labels as at the start of a training and at its end, where no row's loss is above
    log 2, and with labels of one class.
    """
    model = keras.Sequential([keras.Input(shape=(10,)), keras.layers.Dense(10, activation="softmax")])
    optimizer = keras.optimizers.SGD(1.0)
    model.compile(loss=keras.losses.categorical_crossentropy, optimizer=optimizer, metrics=["accuracy"])
    drawn = np.random.RandomState(8)
    kernel, x = (drawn.normal(size=shape).astype("float32") for shape in ((10, 10), (TRAINED, 10)))
    model.layers[-1].set_weights([kernel, np.zeros(10, "float32")])
    judge_loss(model, "labels drawn", x, drawn.randint(0, 10, TRAINED))
    rows = drawn.normal(size=(8 * TRAINED, 10)).astype("float32")
    logits = rows.astype("float64") @ kernel
    margins = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0]
    sure = np.flatnonzero(margins > 1.5)[:TRAINED]
    judge_loss(model, "labels right", rows[sure], logits[sure].argmax(axis=1))
    near = np.flatnonzero(logits.max(axis=1) - logits[:, CLASS] < FARTHEST)[:TRAINED]
    judge_loss(model, "labels of one class", rows[near], np.full(TRAINED, CLASS))


def judge_loss(model, named, x, labels):
    """The softmax' loss, accuracy and step for images x (TRAINED, 10); the weights stay as they are."""
    weights = model.layers[-1].get_weights()
    logits = x.astype("float64") @ weights[0]
    y = np.eye(10, dtype="float32")[labels]
    loss, gradient = softmax_crossentropy(logits, y)
    told, accuracy = (float(value) for value in np.ravel(model.evaluate(x, y, verbose=0))[:2])
    right = float((logits.argmax(axis=1) == y.argmax(axis=1)).mean())
    checks.equal(
        f"accuracy of {len(x)} softmaxes, {named}, in images",
        round(right * len(x)),
        round(accuracy * len(x)),
        source="the largest logit in float64",
        next="compare this Keras' metric for the word accuracy with categorical accuracy",
    )
    model.train_on_batch(x, y)
    moved = np.asarray(model.layers[-1].get_weights()[1], np.float64)
    model.layers[-1].set_weights(weights)
    findings = [
        Finding("loss", numerics.error(told, loss), *numerics.bound("loss", "loss")),
        Finding(
            "gradient at the logits, summed",
            numerics.error(moved, -gradient.sum(axis=0)),
            *numerics.bound("loss", "gradient"),
        ),
    ]
    checks.near_float64(f"categorical cross-entropy behind a softmax, {named}", findings, next=NEXT)


OUTPUTS = [
    pytest.param(model, images, id=f"{model}-inference-{images}", marks=slow(model, images))
    for model in MODELS
    for images in images_of(model)
]


@pytest.mark.parametrize(("model", "images"), OUTPUTS)
def test_layer_outputs(model, images):
    """Every layer's output in inference is float64's within its limit; in training: `test_layer_gradients`."""
    x, _ = IMAGES[images]()
    opened, findings = probes.opened(model), []
    before = x
    for row, (layer, weights, output) in enumerate(zip(layers(model), opened.drawn, opened.outputs(x), strict=True), 1):
        expected, _ = run_layer(layer, weights, before, training=False)
        name = f"layer {row} ({layer['class']})"
        findings.append(finding(layer["class"], "output", name, output, expected))
        if len(x) == TRAINED and layer["class"] in numerics.PRODUCTS and layer["activation"] != "softmax":
            scale = elements.Scales(layer, weights, before).output()
            findings.append(element_finding(layer["class"], "output", name, output, expected, scale))
        before = output
    checks.near_float64(f"{model}, {images}, inference: output of each layer", findings, next=NEXT)


BATCHED = (
    "batch of 32",
    "batch of 96",
    "batch of 128",
)  # of a batch of one the last BatchNormalization passes no gradient back

GRADIENTS = [
    pytest.param(
        model,
        images,
        marks=[
            *([known_differences.BATCH_VARIANCE] if model in NORMALISED and images in BATCHED else []),
            *([slow(model, images)] if slow(model, images) else []),
        ],
    )
    for model in MODELS
    for images in images_of(model)
]


@pytest.mark.parametrize(("model", "images"), GRADIENTS)
def test_layer_gradients(model, images):
    """In a training step the loss's gradients at every layer's input and of every weight are float64's within their limits.

    So is what each layer gives to the next in that step. On a black image every gradient before a BatchNormalization is a
    sum that cancels: only rounding would be compared.
    """
    x, y = IMAGES[images]()
    opened, findings = probes.opened(model), []
    if len(x) == TRAINED:  # right after another size: what it leaves behind must not matter
        opened.step(*digits(32))
    obtained = opened.step(x, y)
    cancels = images == "a black image" and model in NORMALISED
    findings.append(finding("Flatten", "output", "images, as the first layer gets them", obtained.inputs[0], x))
    for row, layer in enumerate(layers(model), 1):
        name = f"layer {row} ({layer['class']})"
        weights, before = opened.drawn[row - 1], obtained.inputs[row - 1]
        if row == len(obtained.inputs):  # the last layer, whose formula includes the loss
            network = Network([layer], [weights])
            _, (weight_gradients,) = network.loss_and_gradients(before, y)
            (input_gradient,) = network.input_gradients
            open_input, open_weights = 0.0, [0.0, 0.0]
        else:
            z, pullback = run_layer({**layer, "activation": "linear"}, weights, before, training=True)
            rectified = layer.get("activation") == "relu"
            quantity = NORMALISED_IN_TRAINING if layer["class"] == "BatchNormalization" else "output"
            output = np.maximum(z, 0) if rectified else z
            findings.append(finding(layer["class"], quantity, f"{name}, output", obtained.inputs[row], output))
            if cancels:
                continue
            passing = obtained.inputs[row] > 0 if rectified else np.ones(z.shape, bool)
            near_zero = np.abs(z) <= UNDECIDED * np.sqrt(np.mean(z**2))
            undecided = near_zero & rectified
            input_gradient, weight_gradients = pullback(obtained.input_gradients[row] * passing)
            open_input, open_weights = part_of(layer, weights, before, obtained.input_gradients[row] * undecided)
            if len(x) == TRAINED and layer["class"] in numerics.PRODUCTS:
                gradient = obtained.input_gradients[row]
                scales = elements.Scales(layer, weights, before)
                mine = obtained.input_gradients[row - 1], *obtained.weight_gradients[row - 1]
                due = input_gradient, *weight_gradients
                findings += worst_of_gradients(layer, name, scales, gradient * passing, gradient * undecided, mine, due)
        here = functools.partial(finding, layer["class"])
        if layer["class"] == "MaxPooling2D":
            pooled = (ties_together(layer, before, array) for array in (obtained.input_gradients[row - 1], input_gradient))
            findings.append(here("input_gradient", f"{name}, input", *pooled))
        else:
            pair = obtained.input_gradients[row - 1], input_gradient
            findings.append(here("input_gradient", f"{name}, input", *pair, open_input))
        expected = [gradient for gradient in weight_gradients if gradient is not None]
        for place, pair in enumerate(zip(obtained.weight_gradients[row - 1], expected, strict=True)):
            what = f"{name}, weight {place + 1}"
            if layer["class"] == "BatchNormalization" and not pair[1].any():  # a batch of one, equal to its mean
                scale = elements.normalised(layer["epsilon"], before, obtained.input_gradients[row])
                findings.append(element_finding(layer["class"], "weight_gradient", what, *pair, scale))
            else:
                findings.append(here("weight_gradient", what, *pair, open_weights[place]))
    checks.near_float64(f"{model}, {images}: outputs and gradients of each layer in a step", findings, next=NEXT)


def worst_of_gradients(layer, name, scales, gradient, undecided, obtained, expected):
    """The worst element of each gradient of a layer of products: that of its input, of its kernel and of its bias.

    `gradient` is the one at the layer's output, and `undecided` its part that may be there or not, by rounding alone.
    """
    input_scale, weight_scales = scales.gradients(gradient)
    input_spare, weight_spares = scales.gradients(undecided) if undecided.any() else (0.0, [0.0, 0.0])
    rows = zip(
        ("input", "weight 1", "weight 2"),
        ("input_gradient", "weight_gradient", "weight_gradient"),
        *(obtained, expected, (input_scale, *weight_scales), (input_spare, *weight_spares)),
        strict=True,
    )
    for what, quantity, mine, due, scale, spare in rows:
        yield element_finding(layer["class"], quantity, f"{name}, {what}", mine, due, scale, spare)


def part_of(layer, weights, inputs, gradient):
    """Gradients at the input and of the weights, from a gradient at a layer's output that is zero for most images.

    The gradient at the input holds only the images whose gradient is not zero.
    """
    touched = np.flatnonzero(gradient.reshape(len(gradient), -1).any(axis=1))
    if not len(touched):
        return 0.0, [0.0] * len(weights)
    _, pullback = run_layer({**layer, "activation": "linear"}, weights, inputs[touched], training=True)
    return pullback(gradient[touched])


def ties_together(layer, inputs, gradient):
    """A gradient at the input of a max pooling, summed over each window in which several elements are the maximum.

    Every backend gives the window's gradient to one of them; `test_max_pooling_ties` checks to which one.
    """
    rows, columns = layer["pool_size"]
    height, width = inputs.shape[1] // rows, inputs.shape[2] // columns
    shape = (len(inputs), height, rows, width, columns, inputs.shape[3])
    x, g = (np.asarray(a, np.float64)[:, : height * rows, : width * columns].reshape(shape) for a in (inputs, gradient))
    tied = (x == x.max(axis=(2, 4), keepdims=True)).sum(axis=(2, 4), keepdims=True) > 1
    return np.where(tied, g.sum(axis=(2, 4), keepdims=True), g)


@pytest.mark.slow
@pytest.mark.parametrize("model", [model for model in MODELS if model not in SIZES])  # the others: tests/test_modes.py
def test_whole_model(model):
    """The whole model: its probabilities in inference and its loss in training are float64's within their limits."""
    x, y = digits(32)
    opened = probes.opened(model)
    network = Network(layers(model), opened.drawn)
    predicted = opened.outputs(x)[-1]
    findings = [whole("inference", "probabilities", predicted, network.predict(x))]
    loss, _ = network.loss_and_gradients(x, y)
    findings.append(whole("training", "loss in training", opened.step(x, y).loss, loss))
    checks.near_float64(f"{model}, batch of 32: the whole model", findings, next=NEXT)


def whole(quantity, name, obtained, expected):
    """A result of a whole model for `checks.near_float64`. Errors of layers add up, so it names no precision."""
    return Finding(name, numerics.error(obtained, expected), *numerics.bound("whole_model", quantity))


def test_beside_active_dropout():
    """A compiled step of a network with active Dropout has float64's loss and gradients, by the masks of that step."""
    model = beside_dropout.keras_model()
    for size in (TRAINED, 32):
        x, y = beside_dropout.batch(size)
        obtained, drawn = beside_dropout.step(model, x, y)
        due = beside_dropout.due(x, y, drawn)
        findings = [Finding("loss", numerics.error(obtained.loss, due.loss), *numerics.bound("whole_model", "training"))]
        for row, (layer, mine, theirs) in enumerate(
            zip(beside_dropout.LAYERS, obtained.gradients, due.gradients, strict=True), 1
        ):
            for kind, got, expected in zip(("kernel", "bias"), mine, theirs, strict=False):
                name = f"layer {row} ({layer['class']}), {kind} gradient"
                findings.append(Finding(name, numerics.error(got, expected), *numerics.bound("whole_model", "gradient")))
        checks.near_float64(f"a step with active dropout, batch of {size}, by the masks that it drew", findings, next=NEXT)


@known_differences.BATCH_VARIANCE
def test_normalisation_alone():
    """BatchNormalization of the models that are not judged at 128, alone, in a step at 128: gradients, output, statistics.

    Of other layers `test_exact.py` judges every element at 128, but means and variances are no integers.
    """
    alone = normalising.cases([model for model in NORMALISED if model not in SIZES])
    branches = on_stack.Branches(alone, by_batch=True)
    branches.compile(next(iter(on_stack.MODES)))
    findings = []
    given = [normalising.operands(case, TRAINED) for case in alone]
    for case, mine, obtained in zip(alone, given, branches.results(given), strict=True):
        expected = normalising.expected(case, mine)
        pairs = zip(normalising.QUANTITIES.items(), normalising.flat(expected), normalising.flat(obtained), strict=True)
        for (name, quantity), due, got in pairs:
            findings.append(finding("BatchNormalization", quantity, f"{case.name}, {name}", got, due))
    for case, mine, (layer,) in zip(alone, given, branches.layers, strict=True):
        for name, due, got in normalising.moved(case, mine, layer.get_weights()):
            findings.append(finding("BatchNormalization", "moving_statistics", f"{case.name}, {name}", got, due))
    checks.near_float64("BatchNormalization alone, compiled training steps", findings, next=NEXT)


def test_small_gradients():
    """Where a softmax is nearly certain, gradients of 1e-8 still arrive: the weights of the other digits move by them."""
    model = keras.Sequential([keras.Input(shape=(10,)), keras.layers.Dense(10, activation="softmax")])
    model.compile(loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.SGD(SURE_RATE))
    right = np.eye(10, dtype="float32")
    model.layers[-1].set_weights([SURE * right, np.zeros(10, "float32")])
    model.train_on_batch(right, right)
    moved = model.layers[-1].get_weights()[0]
    _, gradient = softmax_crossentropy(SURE * right.astype("float64"), right)
    others = right == 0  # the digit itself has 1 − p, of which float32 keeps two digits
    error = numerics.error(moved[others], -SURE_RATE * gradient[others])
    findings = [Finding("kernel", error, *numerics.bound("small_gradient", "kernel"))]
    checks.near_float64(f"a step from probabilities of {np.exp(-SURE):.2g} beside 1", findings, next=NEXT)


def test_saturated_softmax():
    """A softmax that is certain of a wrong digit has a finite loss: the exact one, or that of probabilities clipped at 1e-7.

    Keras 2.2.4, Keras on JAX and PyTorch, and some versions between clip; Keras on TensorFlow uses the logits if it can.
    """
    model = keras.Sequential([keras.Input(shape=(10,)), keras.layers.Dense(10, activation="softmax")])
    compile_model(model)
    model.layers[-1].set_weights([CERTAIN * np.eye(10, dtype="float32"), np.zeros(10, "float32")])
    x, y = np.eye(10, dtype="float32"), np.roll(np.eye(10, dtype="float32"), 1, axis=1)
    loss = model.evaluate(x, y, verbose=0)[0]
    exact = softmax_crossentropy(CERTAIN * x.astype("float64"), y)[0]
    clipped = softmax_crossentropy(CERTAIN * x.astype("float64"), y, clip=1e-7)[0]
    nearest = min((exact, clipped), key=lambda expected: abs(loss - expected))
    bound, why = numerics.bound("saturated_softmax", "loss")
    findings = [Finding("loss", numerics.error(loss, nearest), bound, why)]
    checks.near_float64(
        f"loss of a saturated softmax ({exact:.4f} exact, {clipped:.4f} clipped at 1e-7)", findings, next=NEXT
    )
    off = float(np.abs(np.asarray(model.predict(x, verbose=0), np.float64) - x).max())
    checks.at_most(
        f"probabilities of logits of {CERTAIN:g} and zeros, whose exponentials float32 does not have: distance from 1 and 0",
        off,
        ROUNDINGS_OF_ONE,
        source="softmax, to four roundings of float32: without oneDNN TensorFlow 2.21 gives 1 − 2^-24",
        next=NEXT,
    )


@pytest.mark.parametrize("model", SIZES)
def test_batch_composition(model):
    """In inference an image's probabilities do not depend on the other images of its batch."""
    x, _ = digits(96)
    order = np.random.RandomState(3).permutation(96)
    opened = probes.opened(model)
    together = opened.outputs(x)[-1]
    others = {
        "permuted": (opened.outputs(x[order])[-1], together[order]),
        "first 32": (opened.outputs(x[:32])[-1], together[:32]),
        "alone": (opened.outputs(x[5:6])[-1], together[5:6]),
    }
    findings = [whole("inference", name, *pair) for name, pair in others.items()]
    checks.near_float64(f"{model}, inference: probabilities of the same images in another batch", findings, next=NEXT)


def test_max_pooling_ties():
    """If several elements of a window are the maximum, the first in row-major order gets the gradient."""
    x = np.zeros((1, 4, 4, 1), "float32")
    model = keras.Sequential([keras.Input(shape=(4, 4, 1)), keras.layers.MaxPooling2D((2, 2)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3, activation="softmax"))
    drawn = [np.random.RandomState(1).normal(size=(4, 3)).astype("float32"), np.zeros(3, "float32")]
    model.layers[-1].set_weights(drawn)
    opened = probes.Probe(model)
    y = np.eye(3, dtype="float32")[:1]
    gradient = opened.step(x, y).input_gradients[0][0, :, :, 0]
    expected = np.zeros((4, 4))
    network = Network([{"class": "Flatten"}, {"class": "Dense", "units": 3, "activation": "softmax"}], [[], drawn])
    network.loss_and_gradients(np.zeros((1, 2, 2, 1)), y)
    expected[::2, ::2] = network.input_gradients[0][0, :, :, 0]
    findings = [finding("Dense", "input_gradient", "gradient at the tied inputs", gradient, expected)]
    checks.near_float64("MaxPooling2D of equal elements: gradient at its input", findings, next=NEXT)
