"""Do initialisers and shuffling draw from the right distributions?

Each statistical check fails a healthy stack with probability FALSE_ALARM at most. The seeds are fixed, so a result repeats.
Where the same seed must give the same draw, the comparison is exact.
"""

import functools
import itertools
import math

import keras
import numpy as np
import pytest
from scipy import stats

from cnnspec import pipeline
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import draw, seed_everything
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from tests.support import beginnings, chance, checks, known_differences
from tests.support.orders import EIGHTHS, FULL_MNIST, RESHUFFLED, counted_in_fit, places, seen_in_fit

FALSE_ALARM = 1e-6
VALUES = 2**23  # of a float32 generator: the fractions that a mantissa has
NEXT = "look for a change of initialisers, Dropout, shuffling or random generators in Keras' release notes"
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
    """A model with weights drawn under a global seed."""
    seed_everything(seed)
    return ARCHITECTURES[model]()


def limit(layer, shape):
    """Bound of a VarianceScaling uniform initialiser: √(3 scale / fan), He et al. 2015 and Glorot & Bengio 2010."""
    receptive = math.prod(shape[:-2])
    fans = {"fan_in": shape[-2] * receptive, "fan_avg": (shape[-2] + shape[-1]) * receptive / 2}
    return math.sqrt(3 * layer["kernel_initializer.scale"] / fans[layer["kernel_initializer.mode"]])


@pytest.mark.parametrize("case", KERNELS, ids=kernel_id)
def test_initial_kernels(case):
    """Each kernel is uniform within its initialiser's bounds (range, mean, variance, Kolmogorov-Smirnov); none repeats.

    So is each unit's part of it, each input's and each place's in a window.
    """
    model, row, layer = case
    kernel = np.asarray(built(model, 0).layers[row - 1].get_weights()[0], np.float64)
    bound = limit(layer, kernel.shape)
    chance.drawn_from(
        f"{model}, layer {row}: initial kernel", kernel.ravel(), stats.uniform(-bound, 2 * bound), FALSE_ALARM, next=NEXT
    )
    chance.no_period(f"{model}, layer {row}: initial kernel, weights at a distance", kernel, FALSE_ALARM, next=NEXT)
    for axis, what in enumerate((*("row of the window", "column of the window")[: kernel.ndim - 2], "input", "unit")):
        chance.uniform_parts(
            f"{model}, layer {row}: initial kernel, each {what}", kernel, axis, bound, FALSE_ALARM, next=NEXT
        )
    expected = VALUES * -math.expm1(-kernel.size / VALUES)
    checks.at_most(
        f"{model}, layer {row}: share of the {kernel.size} initial weights that repeat others",
        1 - len(np.unique(kernel)) / expected,
        0.1,
        source="draws from the 2^23 numbers that a float32 generator has",
        next=NEXT,
    )
    checks.at_most(
        f"{model}, layer {row}: largest weight of the initial kernel",
        float(np.abs(kernel).max()),
        bound * (1 + 1e-6),
        source="the bound of its initialiser",
        next=NEXT,
    )


@pytest.mark.parametrize("model", MODELS)
def test_other_initial_weights(model):
    """Initial biases, beta and moving mean are exactly 0; gamma and moving variance are exactly 1."""
    beginnings.constants(model, model, built(model, 0), next=NEXT)


@pytest.mark.parametrize("case", KERNELS, ids=kernel_id)
def test_seeds_of_initialisers(case):
    """A seeded initialiser draws the same kernel under any global seed; an unseeded one draws another kernel."""
    model, row, layer = case
    kernels = [built(model, seed).layers[row - 1].get_weights()[0] for seed in (0, 1)]
    seeded = layer["kernel_initializer.seed"] is not None
    subject = f"{model}, layer {row}: equal initial kernels under two global seeds"
    checks.equal(subject, seeded, np.array_equal(*kernels), source="the initialiser's seed in the cell", next=NEXT)


def test_kernels_of_one_seed_differ_from_those_of_another():
    """Kernels of he_uniform(seed=1) and he_uniform(seed=2) are uncorrelated; so are those of two unseeded layers."""
    first, second = (draw(keras.initializers.he_uniform(seed=seed), (64, 100)).ravel() for seed in (1, 2))
    chance.uncorrelated("he_uniform: kernels of seeds 1 and 2", first, second, FALSE_ALARM, next=NEXT)
    seed_everything(0)
    twins = keras.Sequential([keras.Input(shape=(64,)), keras.layers.Dense(64), keras.layers.Dense(64)])
    first, second = (layer.get_weights()[0].ravel() for layer in twins.layers)
    chance.uncorrelated("Dense(64): kernels of two unseeded layers", first, second, FALSE_ALARM, next=NEXT)


def test_seeds_count_in_full():
    """Seeds that agree in their last 8, 16 or 24 bits draw different numbers, given to an initialiser and given globally."""
    by_seed, by_all = {}, {}
    for seed in (0, 2**8, 2**16, 2**24):
        by_seed[seed] = draw(keras.initializers.he_uniform(seed=seed), (8, 8)).tobytes()
        seed_everything(seed)
        by_all[seed] = draw(keras.initializers.he_uniform(), (8, 8)).tobytes(), np.random.rand(8).tobytes()
    for name, found in (("he_uniform(seed=…)", by_seed), ("seed_everything(…)", by_all)):
        subject = f"{name}: different draws of the seeds {', '.join(map(str, found))}"
        checks.equal(subject, len(found), len(set(found.values())), source="a seed each", next=NEXT)


PARTS = (2, 4, 5, 8, 10, 16)  # of the data; of 16 a batch of 104 has 6.5 samples each, enough for χ²
ORDERS = [0, None, *([RESHUFFLED] if pipeline.available() else [])]  # elsewhere full MNIST is Keras' own `fit` of arrays
SEEDING = pytest.mark.parametrize("seed", ORDERS, ids=["seeded", "unseeded", RESHUFFLED][: len(ORDERS)])


@SEEDING
def test_shuffling_shows_every_sample_once(seed):
    """Every epoch has each of 1,000 samples exactly once: seven batches of 128 and one of 104."""
    for epoch, batches in enumerate(seen_in_fit(seed).batches, 1):
        sizes = [len(batch) for batch in batches]
        checks.equal(
            f"fit, epoch {epoch}: new samples in each batch",
            [128] * 7 + [104],
            sizes,
            source="1000 = 7 · 128 + 104",
            next=NEXT,
        )


@pytest.mark.parametrize("seed", [pytest.param(order, id=str(order or "seeded")) for order in ORDERS if order is not None])
def test_shuffling_of_full_mnist(seed):
    """Each batch of 60,000 samples has members of each eighth of the data, and of each number modulo eight, as by chance."""
    counts = counted_in_fit(seed)
    for what, table in zip(("eighth of the data", "number modulo eight"), np.split(counts, 2, axis=1), strict=True):
        shown = [FULL_MNIST // EIGHTHS] * EIGHTHS
        subject = f"fit of {FULL_MNIST} samples: how many of each {what} were shown"
        checks.equal(subject, shown, table.sum(axis=0).tolist(), source="each sample once", next=NEXT)
        batch, group = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
        subject = f"fit of {FULL_MNIST} samples: shuffling, members of each {what} in each batch"
        chance.unrelated(subject, group, batch, FALSE_ALARM / 2, next=NEXT)


@SEEDING
def test_shuffling_keeps_labels_with_images(seed):
    """After shuffling each image still has its own label."""
    for epoch, labels in enumerate(seen_in_fit(seed).labels, 1):
        wrong = int((labels != np.arange(len(labels)) % 10).sum())
        checks.equal(
            f"fit, epoch {epoch}: images with the label of another", 0, wrong, source="label = index mod 10", next=NEXT
        )


@SEEDING
def test_shuffling_leaves_the_given_order(seed):
    """The number of a sample's batch is uncorrelated with its place in the data."""
    given, *orders = places(seen_in_fit(seed)).values()
    for epoch, order in enumerate(orders, 1):
        chance.uncorrelated(
            f"fit: places of the samples in the data and in epoch {epoch}", given, order, FALSE_ALARM, next=NEXT
        )


@SEEDING
def test_batches_are_drawn_at_random(seed):
    """Samples of one part of the data, or at one distance in it, come together in a batch as a random order has them.

    The parts are blocks of the data, as many as PARTS says, and every so many-th sample; those of ten are the labels.
    """
    _, *orders = places(seen_in_fit(seed)).values()
    row = np.arange(1000)
    groups = {f"{parts} blocks of the data": row * parts // 1000 for parts in PARTS}
    groups |= {f"samples of one number modulo {parts}": row % parts for parts in PARTS}
    for epoch, batches in enumerate(orders, 1):
        for what, group in groups.items():
            subject = f"fit, epoch {epoch}: shuffling, {what} in each batch"
            chance.unrelated(subject, group, batches, FALSE_ALARM / len(groups), next=NEXT)
        subject = f"fit, epoch {epoch}: shuffling, neighbours of the data in one batch"
        chance.scattered(subject, batches, FALSE_ALARM, next=NEXT)


UNSEEDED = [pytest.param(None, marks=known_differences.CONSTANT_SHUFFLE, id="unseeded")]
UNSEEDED += [pytest.param(order, id=order) for order in ORDERS[2:]]


@pytest.mark.parametrize("seed", [pytest.param(0, marks=known_differences.SEEDED_SHUFFLE, id="seeded"), *UNSEEDED])
def test_shuffling_is_new_every_epoch(seed):
    """The numbers of a sample's batches in any two epochs are uncorrelated."""
    _, *orders = places(seen_in_fit(seed)).values()
    for (one, first), (other, second) in itertools.combinations(enumerate(orders, 1), 2):
        subject = f"fit: places of the samples in epoch {one} and in epoch {other}"
        chance.uncorrelated(subject, first, second, FALSE_ALARM, next=NEXT)


@pytest.mark.parametrize("seed", UNSEEDED)
def test_no_sample_keeps_its_place(seed):
    """Of 64 samples in batches of eight none is in one of the batches in more of twelve epochs than chance has it."""
    orders = [found for name, found in places(seen_in_fit(seed, 64, 8, 12)).items() if name != "the data"]
    times = np.array([np.bincount(sample, minlength=8) for sample in np.transpose(orders)])
    subject = "fit: shuffling, in how many of 12 epochs a sample is in one batch"
    chance.no_more_than(subject, times, len(orders), 1 / 8, FALSE_ALARM, next=NEXT)


@known_differences.SHUFFLE_WITHOUT_SEED
def test_shuffling_depends_on_the_seed():
    """The numbers of a sample's batches under seeds 0 and 1 are uncorrelated, in the first epoch and in the second."""
    first, second = (places(seen_in_fit(seed)) for seed in (0, 1))
    for epoch in (1, 2):
        chance.uncorrelated(
            f"fit: places of the samples in epoch {epoch} under seeds 0 and 1",
            first[f"epoch {epoch}"],
            second[f"epoch {epoch}"],
            FALSE_ALARM,
            next=NEXT,
        )
