"""Do initialisers, dropout and shuffling draw from the right distributions?

Each statistical check blames a healthy stack with probability FALSE_ALARM at most; the seeds are fixed, so that a verdict
repeats. A repetition (the same seed, the same draw) is compared exactly.
"""

import functools
import math

import keras
import numpy as np
import pytest
from scipy import stats

from cnnspec import mnist
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import backend, draw, loss_of_step, seed_everything
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.training import batch_size
from tests.support import chance, checks, known_differences

FALSE_ALARM = 1e-6
NEXT = "look at this Keras' initialisers, Dropout and random generators; its release notes may name a change"
KERNELS = [
    (model, row, layer)
    for model in MODELS
    for row, layer in enumerate(notebook.layers(model), 1)
    if "kernel_initializer" in layer
]


def kernel_id(case):
    return f"{case[0]}-{case[1]}-{case[2]['class']}"


@functools.cache
def built(model, seed):
    """A freshly drawn model."""
    seed_everything(seed)
    return ARCHITECTURES[model]()


def limit(layer, shape):
    """Bound of a VarianceScaling uniform initialiser: √(3 scale / fan), He et al. 2015 and Glorot & Bengio 2010."""
    receptive = math.prod(shape[:-2])
    fans = {"fan_in": shape[-2] * receptive, "fan_avg": (shape[-2] + shape[-1]) * receptive / 2}
    return math.sqrt(3 * layer["kernel_initializer.scale"] / fans[layer["kernel_initializer.mode"]])


@pytest.mark.parametrize("case", KERNELS, ids=kernel_id)
def test_initial_kernels(case):
    """Each kernel is uniform between the bounds of its initialiser: range, mean, variance, Kolmogorov-Smirnov."""
    model, row, layer = case
    kernel = np.asarray(built(model, 0).layers[row - 1].get_weights()[0], np.float64)
    bound = limit(layer, kernel.shape)
    chance.drawn_from(
        f"{model}, layer {row}: initial kernel", kernel.ravel(), stats.uniform(-bound, 2 * bound), FALSE_ALARM, next=NEXT
    )
    checks.at_most(
        f"{model}, layer {row}: largest weight",
        float(np.abs(kernel).max()),
        bound * (1 + 1e-6),
        source="the bound",
        next=NEXT,
    )


@pytest.mark.parametrize("model", MODELS)
def test_other_initial_weights(model):
    """Biases, beta and moving mean are zeros, gamma and moving variance ones, exactly."""
    for row, (layer, facts) in enumerate(zip(built(model, 0).layers, notebook.layers(model), strict=True), 1):
        found = [set(np.unique(array)) for array in layer.get_weights()]
        due = {"Conv2D": [None, {0.0}], "Dense": [None, {0.0}], "BatchNormalization": [{1.0}, {0.0}, {0.0}, {1.0}]}
        for place, value in enumerate(due.get(facts["class"], [])):
            if value is not None:
                checks.equal(
                    f"{model}, layer {row}: values of weight {place + 1}",
                    value,
                    found[place],
                    source="2019's defaults",
                    next=NEXT,
                )


@pytest.mark.parametrize("case", KERNELS, ids=kernel_id)
def test_seeds_of_initialisers(case):
    """`seed=1` draws the same kernel whatever the global seed; an initialiser without a seed draws another one."""
    model, row, layer = case
    kernels = [built(model, seed).layers[row - 1].get_weights()[0] for seed in (0, 1)]
    seeded = layer["kernel_initializer.seed"] is not None
    subject = f"{model}, layer {row}: the same kernel under two global seeds"
    checks.equal(subject, seeded, np.array_equal(*kernels), source="the initialiser's seed in the cell", next=NEXT)


def test_kernels_of_one_seed_differ_from_those_of_another():
    """he_uniform(seed=1) and he_uniform(seed=2) are uncorrelated, and unseeded layers of equal shape differ."""
    first, second = (draw(keras.initializers.he_uniform(seed=seed), (64, 100)).ravel() for seed in (1, 2))
    chance.uncorrelated("kernels of seeds 1 and 2", first, second, FALSE_ALARM, next=NEXT)
    seed_everything(0)
    twins = keras.Sequential([keras.Input(shape=(64,)), keras.layers.Dense(64), keras.layers.Dense(64)])
    first, second = (layer.get_weights()[0].ravel() for layer in twins.layers)
    chance.uncorrelated("kernels of two unseeded layers", first, second, FALSE_ALARM, next=NEXT)


@functools.cache
def dropout(rate, steps=2, samples=64, width=1000, seed=0):
    """What Dropout makes of ones in training, (steps, samples, width): steps as `fit` takes them, one call each."""
    seed_everything(seed)
    layer = keras.layers.Dropout(rate)
    ones = keras.ops.ones((samples, width)) if hasattr(keras, "ops") else keras.backend.ones((samples, width))
    as_numpy = keras.ops.convert_to_numpy if hasattr(keras, "ops") else (lambda tensor: tensor.numpy())
    return np.stack([as_numpy(layer(ones, training=True)) for _ in range(steps)])


RATES = sorted({layer["rate"] for model in MODELS for layer in notebook.layers(model) if "rate" in layer})


@pytest.mark.parametrize("rate", RATES)
def test_dropout_values(rate):
    """What is kept is scaled by 1 / (1 − rate), exactly, and the rest is zero."""
    values = sorted(set(np.unique(dropout(rate)).tolist()))
    expected = [0.0, float(np.float32(1 / (1 - rate)))]
    checks.equal(
        f"Dropout({rate}) of ones: its values", expected, values, source="Srivastava et al. 2014, section 10", next=NEXT
    )


@pytest.mark.parametrize("rate", RATES)
def test_dropout_rate(rate):
    """The share of zeros is the rate, and so the mean stays: a binomial test of 128,000 draws."""
    dropped = dropout(rate) == 0
    chance.proportion(f"Dropout({rate}): share of zeros", int(dropped.sum()), dropped.size, rate, FALSE_ALARM, next=NEXT)


@pytest.mark.parametrize("rate", RATES)
def test_dropout_masks_are_new(rate):
    """Each step and each sample has a mask of its own: two masks agree as often as chance has it."""
    dropped = dropout(rate) == 0
    agree = rate**2 + (1 - rate) ** 2
    pairs = {"steps": (dropped[0], dropped[1]), "samples": (dropped[0, :-1], dropped[0, 1:])}
    for name, (one, other) in pairs.items():
        same = int((one == other).sum())
        chance.proportion(
            f"Dropout({rate}): agreement of masks of two {name}", same, one.size, agree, FALSE_ALARM, next=NEXT
        )


def test_dropout_in_fit_draws_a_new_mask_every_step():
    """Also inside `fit`, compiled: with the same batch and rate 0 of learning, the loss changes from step to step."""
    seed_everything(0)
    data = mnist.load("mnist5k")
    model = ARCHITECTURES["model2"]()
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.SGD(0.0))
    losses = [loss_of_step(model, data.x_train[:32], data.y_train[:32]) for _ in range(6)]
    checks.equal(
        "different losses in six steps on one batch", 6, len(set(losses)), source="a new mask every step", next=NEXT
    )


def test_dropout_is_off_in_inference():
    """`predict` and `evaluate` use no dropout: twice the same, bit for bit, and the values pass unscaled."""
    data = mnist.load("mnist5k")
    model = built("model1", 0)
    first, second = (model.predict(data.x_test[:64], verbose=0) for _ in range(2))
    checks.equal(
        "predict twice gives the same", True, np.array_equal(first, second), source="dropout off in inference", next=NEXT
    )
    alone = keras.Sequential([keras.Input(shape=(10,)), keras.layers.Dropout(0.5)])
    ones = np.ones((4, 10), "float32")
    checks.equal(
        "Dropout in predict", ones.tolist(), alone.predict(ones, verbose=0).tolist(), source="x, unchanged", next=NEXT
    )


class Roll(keras.callbacks.Callback):
    """Takes down who was in which batch: of a kernel that begins an epoch at zero, a batch moves just its samples' rows."""

    def __init__(self):
        super().__init__()
        self.batches, self.labels = [], []

    def kernel(self):
        if hasattr(self.model, "jax_state_sync"):  # Keras on JAX keeps the weights to itself during an epoch
            self.model.jax_state_sync()
        return self.model.layers[0].get_weights()[0]

    def on_epoch_begin(self, epoch, logs=None):
        self.model.layers[0].set_weights([np.zeros_like(self.kernel())])
        self.batches.append([])

    def on_train_batch_end(self, batch, logs=None):
        moved = set(np.flatnonzero(np.abs(self.kernel()).sum(axis=1)).tolist())
        self.batches[-1].append(moved - set().union(*self.batches[-1]))

    def on_epoch_end(self, epoch, logs=None):
        self.labels.append(self.kernel().argmax(axis=1))


@functools.cache
def seen_in_fit(seeded, samples=1000):
    """A Roll of two epochs of `fit` with the suite's batch size and Keras' shuffling, with or without a seed.

    Sample k is the k-th unit vector, its label the digit k mod 10, so that its row of the kernel moves towards its label.
    """
    seed_everything(0)
    if not seeded and backend() == "tensorflow":
        import tensorflow

        tensorflow.random.set_seed(None)
    model = keras.Sequential([keras.Input(shape=(samples,)), keras.layers.Dense(10, use_bias=False)])
    model.compile(loss="mean_squared_error", optimizer=keras.optimizers.SGD(1.0))
    roll = Roll()
    labels = np.eye(10, dtype="float32")[np.arange(samples) % 10]
    model.fit(np.eye(samples, dtype="float32"), labels, batch_size=batch_size, epochs=2, verbose=0, callbacks=[roll])
    return roll


SEEDING = pytest.mark.parametrize("seeded", [True, False], ids=["seeded", "unseeded"])


@SEEDING
def test_shuffling_shows_every_sample_once(seeded):
    """Every epoch shows each of 1,000 samples exactly once: seven batches of 128 and one of 104."""
    for epoch, batches in enumerate(seen_in_fit(seeded).batches, 1):
        sizes = [len(batch) for batch in batches]
        checks.equal(
            f"epoch {epoch}: new samples in each batch", [128] * 7 + [104], sizes, source="1000 = 7 · 128 + 104", next=NEXT
        )


@SEEDING
def test_shuffling_keeps_labels_with_images(seeded):
    """After shuffling each image still has its own label."""
    for epoch, labels in enumerate(seen_in_fit(seeded).labels, 1):
        wrong = int((labels != np.arange(len(labels)) % 10).sum())
        checks.equal(f"epoch {epoch}: images with another's label", 0, wrong, source="label = index mod 10", next=NEXT)


def places(roll):
    """Where each of the 1,000 samples stood: in the data, and the number of its batch in each epoch."""
    orders = {"the data": np.arange(1000)}
    for epoch, batches in enumerate(roll.batches, 1):
        found = {sample: batch for batch, samples in enumerate(batches) for sample in samples}
        orders[f"epoch {epoch}"] = np.array([found[sample] for sample in range(1000)])
    return orders


@SEEDING
def test_shuffling_leaves_the_given_order(seeded):
    """The batch that a sample falls in is uncorrelated with its place in the data."""
    given, first, second = places(seen_in_fit(seeded)).values()
    for epoch, order in enumerate((first, second), 1):
        chance.uncorrelated(f"places of the samples in the data and in epoch {epoch}", given, order, FALSE_ALARM, next=NEXT)


@pytest.mark.parametrize(
    "seeded", [pytest.param(True, marks=known_differences.SEEDED_SHUFFLE), False], ids=["seeded", "unseeded"]
)
def test_shuffling_is_new_every_epoch(seeded):
    """The batch that a sample falls in is uncorrelated with its batch in the other epoch."""
    _, first, second = places(seen_in_fit(seeded)).values()
    chance.uncorrelated("places of the samples in epoch 1 and in epoch 2", first, second, FALSE_ALARM, next=NEXT)
