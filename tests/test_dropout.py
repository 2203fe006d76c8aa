"""Does Dropout drop the right share, scale the rest, and draw a new mask each time, in the steps that training takes?

The gradient before the layer shows the mask of a compiled training step, which is what `fit` runs. The eager call and the
harness' own `fit` are tested as well. The seeds are fixed, so a result repeats.
"""

import functools
import itertools

import keras
import numpy as np
import pytest

from cnnspec import mnist, pipeline
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import KERAS_VERSION, backend, seed_everything
from cnnspec.facts import notebook, reading
from cnnspec.names import MODELS
from tests.support import chance, checks, masks, numerics, steps
from tests.support.checks import Finding

pytestmark = pytest.mark.usefixtures("tf32_off")
FALSE_ALARM = 1e-6
RATES = sorted({layer["rate"] for model in MODELS for layer in notebook.layers(model) if "rate" in layer})
SHAPE = (12, 12, 64)  # what model1's first Dropout is given: 1.2 million draws in a step
# Partial batches too: those of an epoch of mnist5k and of full MNIST. XLA compiles for seconds at every size.
BATCHES = {"compiled": (128, 128, 32, 96), "XLA": (128, 128)}
FIT_STEPS = 600  # of an epoch: more than full MNIST's 469
PARTS = 10  # of a mask, in the order of its elements
NEXT = "look at this Keras' Dropout and random generators; its release notes may name a change"


@functools.cache
def eager(rate, steps=2, samples=64, width=1000):
    """What Dropout makes of ones in training, called eagerly: (steps, samples, width)."""
    seed_everything(0)
    layer = keras.layers.Dropout(rate)
    ones = keras.ops.ones((samples, width)) if hasattr(keras, "ops") else keras.backend.ones((samples, width))
    return np.stack([numerics.as_numpy(layer(ones, training=True)) for _ in range(steps)])


@functools.cache
def stepped(mode, rate):
    """{name: masks.Step} of each batch in BATCHES, in training steps of a mode."""
    try:
        found = masks.compiled_steps(rate, BATCHES[mode], SHAPE, **steps.MODES[mode])
    except Exception as error:
        if mode == "XLA" and steps.xla_cannot(error):
            pytest.skip(f"XLA cannot compile Dropout on this stack, so nobody can train with it: {str(error)[:200]}")
        raise
    names = [f"step {number}, batch of {batch}" for number, batch in enumerate(BATCHES[mode], 1)]
    found = dict(zip(names, found, strict=True))
    for name, step in found.items():
        values = np.unique(step.gradient.round(4))
        checks.equal(
            f"Dropout({rate}), {mode}, {name}: values of (1 − rate) · gradient",
            [0.0, 1.0],
            [*values[:3].tolist(), *values[3:][-1:].tolist()],
            source="0 where an element is dropped, 1 / (1 − rate) where it is kept: Srivastava et al. 2014, section 10",
            next=NEXT,
        )
    return found


def kept(mode, rate):
    """{name: which elements Dropout keeps, booleans (batch, …)} of training steps of a mode, or called eagerly."""
    if mode == "eager":
        return {f"step {number}": made != 0 for number, made in enumerate(eager(rate), 1)}
    return {name: step.gradient != 0 for name, step in stepped(mode, rate).items()}


OF_STEPS = [("compiled", rate) for rate in RATES]
# JAX compiles by XLA anyway; on TensorFlow it draws by another generator, and a compilation costs a second.
OF_STEPS += [pytest.param("XLA", rate, marks=pytest.mark.slow) for rate in RATES[-1:] if backend() == "tensorflow"]
MODES = pytest.mark.parametrize(("mode", "rate"), [*OF_STEPS, *(("eager", rate) for rate in RATES)])
MODES_OF_STEPS = pytest.mark.parametrize(("mode", "rate"), OF_STEPS)
EACH_RATE = pytest.mark.parametrize("rate", RATES)


@EACH_RATE
def test_values(rate):
    """What is kept is scaled by 1 / (1 − rate), exactly, and the rest is zero."""
    expected = [0.0, float(np.float32(1 / (1 - rate)))]
    found = sorted(set(np.unique(eager(rate)).tolist()))
    checks.equal(
        f"Dropout({rate}) of ones: its values", expected, found, source="Srivastava et al. 2014, section 10", next=NEXT
    )


@MODES
def test_rate(mode, rate):
    """The share of zeros is the rate, in every step and every part of a mask, by binomial tests of all draws."""
    found = kept(mode, rate)
    for name, mask in found.items():
        for number, part in enumerate(np.array_split(~mask.ravel(), PARTS), 1):
            subject = f"Dropout({rate}), {mode}, {name}, part {number} of {PARTS}: share of zeros"
            alarm = FALSE_ALARM / PARTS / len(found)
            chance.proportion(subject, int(part.sum()), part.size, rate, alarm, next=NEXT)


def drawn_anew(found):
    """Those masks whose rows are draws of their own.

    Keras 2 traces a batch of another size anew, and its drawing operation then starts its stream again: rows come twice.
    """
    return found if KERAS_VERSION >= (3, 0) else found[:2]


@MODES
def test_elements_are_dropped_independently(mode, rate):
    """Steps, images and channels (or units) lose a binomial number of elements: not the same number, nor all or none."""
    dropped = [~mask for mask in drawn_anew(list(kept(mode, rate).values()))]
    groups = {"steps": [(mask.sum(), mask.size) for mask in dropped]}
    groups["images"] = [(image.sum(), image.size) for mask in dropped for image in mask]
    groups["channels"] = [(channel.sum(), channel.size) for channel in np.moveaxis(dropped[0], -1, 0)]
    for name, pairs in groups.items():
        counts, trials = np.array(pairs).T
        subject = f"Dropout({rate}), {mode}: how many elements of {name} are dropped"
        chance.spread_of_counts(subject, counts, trials, rate, FALSE_ALARM / len(groups), next=NEXT)


@MODES
def test_masks_are_new(mode, rate):
    """Each step and each sample has its own mask: two masks agree as often as chance has it, and no two are equal."""
    found = list(kept(mode, rate).values())
    agree = rate**2 + (1 - rate) ** 2
    for name, one, other in (("steps", found[0], found[1]), ("samples", found[0][:-1], found[0][1:])):
        same = int((one == other).sum())
        subject = f"Dropout({rate}), {mode}: agreement of the masks of two {name}"
        chance.proportion(subject, same, one.size, agree, FALSE_ALARM, next=NEXT)
    rows = np.concatenate([mask.reshape(len(mask), -1) for mask in drawn_anew(found)])
    different = len({row.tobytes() for row in np.packbits(rows, axis=1)})
    checks.equal(f"Dropout({rate}), {mode}: different masks", len(rows), different, source="a new mask each", next=NEXT)


@EACH_RATE
def test_the_generator_has_no_period(rate):
    """Over two million draws of compiled steps, no distance between two draws makes them alike: steps, samples, channels."""
    draws = np.concatenate([mask.ravel() for mask in list(kept("compiled", rate).values())[:2]])
    chance.no_period(f"Dropout({rate}), compiled: draws at a distance", draws, FALSE_ALARM, next=NEXT)


@MODES_OF_STEPS
def test_outputs_have_the_mask_of_the_gradients(mode, rate):
    """The sum of a step's outputs is that of the inputs that its gradient says were kept, times 1 / (1 − rate)."""
    tolerance = reading.tolerance("dropout_sum")
    findings = [
        Finding(name, abs(step.loss - step.due) / step.terms, tolerance["of_terms"], tolerance["why"])
        for name, step in stepped(mode, rate).items()
    ]
    checks.near_float64(f"Dropout({rate}), {mode}: outputs and gradients have one mask: sum of outputs", findings, next=NEXT)


@EACH_RATE
def test_masks_are_new_in_fit(rate):
    """In the harness' own `fit`, joined steps, a second epoch and another call included, each step draws a new mask.

    Of 600 steps an element is kept a binomial number of times; masks that come again would make those numbers spread more,
    and the same masks in two epochs would make their numbers alike. The third epoch is that of another call of `fit`.
    """
    kept = masks.kept_in_fit(rate, FIT_STEPS, epochs=(2, 1), width=32)
    total = FIT_STEPS * kept[0].size
    for epoch, counts in enumerate(kept, 1):
        subject = f"Dropout({rate}), epoch {epoch} of fit: share of zeros"
        chance.proportion(subject, int(total - counts.sum()), total, rate, FALSE_ALARM, next=NEXT)
        chance.spread_of_counts(
            f"Dropout({rate}), epoch {epoch} of fit: how often an element is kept in {FIT_STEPS} steps",
            counts,
            FIT_STEPS,
            1 - rate,
            FALSE_ALARM,
            next=NEXT,
        )
    for one, other in itertools.combinations(range(len(kept)), 2):
        subject = f"Dropout({rate}): how often an element is kept in epochs {one + 1} and {other + 1} of fit"
        chance.uncorrelated(subject, kept[one].ravel(), kept[other].ravel(), FALSE_ALARM, next=NEXT)


@EACH_RATE
def test_layers_have_masks_of_their_own(rate):
    """Two Dropout layers of a model agree in one training step as often as chance has it."""
    first, second = masks.masks_of_two_layers(rate, width=4096)
    subject = f"Dropout({rate}), compiled: agreement of the masks of two layers"
    agree = rate**2 + (1 - rate) ** 2
    chance.proportion(subject, int((first == second).sum()), first.size, agree, FALSE_ALARM, next=NEXT)


def test_off_in_evaluation():
    """Validation in `fit`, `evaluate`, `predict` and `test_on_batch` use no dropout, and the steps after them do.

    In each of ten epochs, as many as the notebook's; with joined steps in two.
    """
    joined = pipeline.compile_settings()  # none where this stack joins no steps
    for name, epochs, settings in (("one by one", 10, {}), *([("joined", 2, joined)] if joined else [])):
        for call, (due, loss) in masks.losses_behind_dropout(epochs, **settings).items():
            checks.equal(
                f"{call}, steps {name}: mean squared error of ones behind Dropout(0.5)",
                due,
                loss,
                source="0 outside training; in a training step outputs are 0 or 2",
                next=NEXT,
            )


def test_off_in_inference():
    """`predict` uses no dropout: twice the same, bit for bit, and the values pass unscaled."""
    data = mnist.load("mnist5k")
    seed_everything(0)
    model = ARCHITECTURES["model1"]()
    first, second = (model.predict(data.x_test[:64], verbose=0) for _ in range(2))
    checks.equal(
        "predict twice gives the same", True, np.array_equal(first, second), source="dropout off in inference", next=NEXT
    )
    alone = keras.Sequential([keras.Input(shape=(10,)), keras.layers.Dropout(0.5)])
    ones = np.ones((4, 10), "float32")
    checks.equal(
        "Dropout in predict", ones.tolist(), alone.predict(ones, verbose=0).tolist(), source="x, unchanged", next=NEXT
    )
