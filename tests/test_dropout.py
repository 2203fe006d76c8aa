"""Does Dropout drop the right share, scale the rest, and draw a new mask each time, in the steps that training takes?

The gradient before the layer shows the mask of a compiled training step, which is what `fit` runs. The eager call and the
harness' own `fit` are tested as well. The seeds are fixed, so a result repeats.
"""

import functools

import keras
import numpy as np
import pytest

from cnnspec import mnist, pipeline
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import backend, seed_everything
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from tests.support import chance, checks, masks, numerics, steps

FALSE_ALARM = 1e-6
RATES = sorted({layer["rate"] for model in MODELS for layer in notebook.layers(model) if "rate" in layer})
STEPS, WIDTH = 4, 4096  # with 128 samples: two million draws for each rate
FIT_STEPS = 40  # of an epoch: more than the harness joins in one execution
NEXT = "look at this Keras' Dropout and random generators; its release notes may name a change"


@functools.cache
def eager(rate, steps=2, samples=64, width=1000):
    """What Dropout makes of ones in training, called eagerly: (steps, samples, width)."""
    seed_everything(0)
    layer = keras.layers.Dropout(rate)
    ones = keras.ops.ones((samples, width)) if hasattr(keras, "ops") else keras.backend.ones((samples, width))
    return np.stack([numerics.as_numpy(layer(ones, training=True)) for _ in range(steps)])


@functools.cache
def kept(mode, rate):
    """Which elements Dropout keeps, booleans (steps, samples, width), in training steps of a mode, or called eagerly."""
    if mode == "eager":
        return eager(rate) != 0
    try:
        found = masks.compiled_masks(rate, STEPS, WIDTH, **steps.MODES[mode])
    except Exception as error:
        if mode == "XLA" and steps.xla_cannot(error):
            pytest.skip(f"XLA cannot compile Dropout on this stack, so nobody can train with it: {str(error)[:200]}")
        raise
    checks.equal(
        f"Dropout({rate}), {mode}: values of (1 − rate) · gradient in a step",
        [0, 1],
        np.unique(found).tolist(),
        source="0 where an element is dropped, 1 / (1 − rate) where it is kept: Srivastava et al. 2014, section 10",
        next=NEXT,
    )
    return found.astype(bool)


MODES = pytest.mark.parametrize(
    ("mode", "rate"),
    [(mode, rate) for mode in ("compiled", "eager") for rate in RATES]
    # JAX compiles by XLA anyway; on TensorFlow it draws by another generator, and a compilation costs a second.
    + [pytest.param("XLA", rate, marks=pytest.mark.slow) for rate in RATES[-1:] if backend() == "tensorflow"],
)
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
    """The share of zeros is the rate, by a binomial test of all draws."""
    dropped = ~kept(mode, rate)
    subject = f"Dropout({rate}), {mode}: share of zeros"
    chance.proportion(subject, int(dropped.sum()), dropped.size, rate, FALSE_ALARM, next=NEXT)


@MODES
def test_masks_are_new(mode, rate):
    """Each step and each sample has its own mask: two masks agree as often as chance has it, and no two are equal."""
    found = kept(mode, rate)
    agree = rate**2 + (1 - rate) ** 2
    for name, one, other in (("steps", found[0], found[1]), ("samples", found[0, :-1], found[0, 1:])):
        same = int((one == other).sum())
        subject = f"Dropout({rate}), {mode}: agreement of the masks of two {name}"
        chance.proportion(subject, same, one.size, agree, FALSE_ALARM, next=NEXT)
    rows = found.reshape(-1, found.shape[-1])
    different = len({row.tobytes() for row in np.packbits(rows, axis=1)})
    checks.equal(f"Dropout({rate}), {mode}: different masks", len(rows), different, source="a new mask each", next=NEXT)


@EACH_RATE
def test_the_generator_has_no_period(rate):
    """Over two million draws of compiled steps, no distance between two draws makes them alike."""
    chance.no_period(f"Dropout({rate}), compiled: draws at a distance", kept("compiled", rate), FALSE_ALARM, next=NEXT)


@EACH_RATE
def test_masks_are_new_in_fit(rate):
    """In the harness' own `fit`, joined steps and a second epoch included, each step draws a new mask.

    Of 40 steps an element is kept a binomial number of times; a mask that came twice would make those numbers spread more,
    and the same masks in both epochs would make their numbers equal.
    """
    first, second = masks.kept_in_fit(rate, FIT_STEPS, epochs=2, width=256)
    total = FIT_STEPS * first.size
    for epoch, counts in enumerate((first, second), 1):
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
    chance.uncorrelated(
        f"Dropout({rate}): how often an element is kept in epochs 1 and 2 of fit",
        first.ravel(),
        second.ravel(),
        FALSE_ALARM,
        next=NEXT,
    )


@EACH_RATE
def test_layers_have_masks_of_their_own(rate):
    """Two Dropout layers of a model agree in one training step as often as chance has it."""
    first, second = masks.masks_of_two_layers(rate, WIDTH)
    subject = f"Dropout({rate}), compiled: agreement of the masks of two layers"
    agree = rate**2 + (1 - rate) ** 2
    chance.proportion(subject, int((first == second).sum()), first.size, agree, FALSE_ALARM, next=NEXT)


def test_off_in_evaluation():
    """Validation in `fit`, `evaluate` and `test_on_batch` use no dropout, with joined steps as well."""
    joined = pipeline.compile_settings()  # none where this stack joins no steps
    for name, settings in {"one by one": {}, **({"joined": joined} if joined else {})}.items():
        for call, loss in masks.losses_without_dropout(**settings).items():
            checks.equal(
                f"{call}, steps {name}: mean squared error of ones behind Dropout(0.5)",
                0.0,
                loss,
                source="x, unchanged outside training",
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
