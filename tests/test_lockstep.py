"""Does `fit`, as the harness calls it and as a user does, take the steps that it should?

Weights and the order of the samples are given and dropout is off, so that two epochs of `fit` with validation have one right
result: float64's, stored for every model. And `fit` of a model with one weight per sample has results without any rounding,
which show what became of each sample.
"""

import functools

import numpy as np
import pytest

from cnnspec import pipeline
from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import notebook, reading
from cnnspec.names import MODELS
from cnnspec.trajectory import fit_in_float64, fit_recordings, fitted, start
from tests.support import bookkeeping, checks, full_size, in_turn, known_differences, lockstep, long_fit

pytestmark = pytest.mark.usefixtures("tf32_off")
STORED = reading.BASELINES / "trajectories"
FOLDERS = {convention: folder for folder, convention in fit_in_float64.CONVENTIONS.items()}
NEXT = (
    "run pytest tests/test_numerics.py tests/test_optimizer.py: where they pass, layers and update rule are right, and what "
    "`fit` does with batches, epochs, states and metrics is wrong"
)
NORMALISED = notebook.normalised_models()
CALLS = (lockstep.HARNESS, lockstep.ARRAYS) if pipeline.available() else (lockstep.ARRAYS,)  # elsewhere both are one
FITTED = [model for model in MODELS if model not in fitted.LEFT_OUT]
BESIDE = "model2"  # plain `fit` of arrays is the same code for every model, and this is the cheapest


def marks(model):
    """Known differences that `fit` of a model shows."""
    return [known_differences.LOSS_OF_BATCHES, *([known_differences.BATCH_VARIANCE] if model in NORMALISED else [])]


FITS = [
    pytest.param(model, call, marks=marks(model), id=f"{model}-{call}")
    for model in FITTED
    for call in CALLS
    if call == CALLS[0] or model == BESIDE
]


def names(model):
    """Name of each variable of a model, in order."""
    return start.weight_names([layer["class"] for layer in notebook.layers(model)])


def bounds(model):
    """How far a model's `fit` may lie from float64; Keras 2 has some of its own."""
    if KERAS_VERSION < (3, 0) and model in reading.tolerance("lockstep_keras_2"):
        return reading.tolerance(f"lockstep_keras_2.{model}")
    return reading.tolerance(f"lockstep.{model}")


@functools.cache
def expected(model):
    """Float64's `fit` in the conventions of the Keras under test."""
    convention = "tf.keras" if KERAS_VERSION < (3, 0) and model in NORMALISED else "keras-3"
    return fit_recordings.recorded(STORED / FOLDERS[convention], model, names(model))


@pytest.mark.parametrize(("model", "call"), FITS)
def test_fit_against_float64(model, call):
    """Losses, accuracies, validation, slots, movements and norms after each epoch, and the evaluated scores.

    The history that `fit` returns has the numbers that callbacks were told, under today's names.
    """
    found = lockstep.fit(model, call)
    lockstep.judged(
        f"{model}, {call}",
        names(model),
        expected(model),
        found,
        bounds(model),
        source="the float64 implementation in cnnspec/oracle/, stored in baselines/trajectories/",
        next=NEXT,
    )
    told = "what callbacks were told after each epoch"
    checks.equal(f"{model}, {call}: the history that fit returns", found.logged, found.history, source=told, next=NEXT)


@pytest.mark.skipif(not pipeline.available(), reason="on this stack the harness calls `fit` of arrays itself")
def test_both_calls_agree():
    """The harness' batches and joined steps give what plain `fit` of arrays gives."""
    model = BESIDE
    plain, harness = (lockstep.fit(model, call) for call in (lockstep.ARRAYS, lockstep.HARNESS))
    lockstep.judged(
        f"{model}, {lockstep.HARNESS} beside {lockstep.ARRAYS}",
        names(model),
        lockstep.as_expected(expected(model), plain),
        harness,
        bounds(model),
        source="plain `fit` of the arrays on this stack",
        next="compare cnnspec/pipeline.py with this Keras' adapter of arrays, and its joined steps with single ones",
    )


EACH = [  # of plain fit's many batches, `full_size` has more
    pytest.param(call, case, id=f"{call}-{case.name}")
    for call in CALLS
    for case in bookkeeping.CASES
    if call == CALLS[0] or case is not bookkeeping.MANY
]


@known_differences.LOSS_OF_BATCHES
@pytest.mark.parametrize(("call", "case"), EACH)
def test_every_sample_counts_once(call, case):
    """`fit` uses each sample once an epoch, in its batch, with the right rate and momentum, and averages losses rightly."""
    bookkeeping.judged(f"{call}, {case.name}", case, bookkeeping.fit(case, call), next=NEXT)


@pytest.mark.parametrize("call", CALLS)
def test_every_update_of_adam_counts(call):
    """In steps that are all alike, through each kind of layer, Adam moves each weight by its rate each time: no update is
    lost, and none comes twice. The loss of the epoch has the outputs of every step, moving statistics have its moments.
    """
    obtained = long_fit.trained(call)
    bound = reading.tolerance("lockstep")["bookkeeping"]
    tolerance = {"relative": bound["updates"], "why": "an update more or less would be 1.5e-3; the rest is rounding"}
    (_, first), (epochs, few) = long_fit.FITS
    subject = f"{call}, {first} steps of Adam with one gradient and, in a second call of fit, {epochs} epochs of {few}"
    checks.equal(f"{subject}: steps counted", long_fit.STEPS, obtained.counted, source="the steps of both", next=NEXT)
    for weight, updates in obtained.updates.items():
        farthest = float(updates[np.abs(updates - long_fit.STEPS).argmax()])
        name = f"{subject}: updates that weight {weight} has had, the element farthest off"
        checks.close(name, long_fit.STEPS, farthest, tolerance, source="Kingma and Ba 2015, algorithm 1", next=NEXT)
    for statistic, due in long_fit.due_statistics().items():
        moving = obtained.moving[statistic]
        farthest = float(moving[np.abs(moving - due).argmax()])
        tolerance = {
            "relative": bound["relative"],
            "why": "one update less would be 1.2e-5 of the mean; the rest is rounding",
        }
        name = f"{subject}: moving {statistic}, the feature farthest off"
        checks.close(name, due, farthest, tolerance, source="the formula of moving statistics", next=NEXT)
    name = f"{call}: steps and slots of another Adam, which another compile gives to the model"
    checks.equal(name, (0, 0.0), obtained.anew, source="the start of algorithm 1", next=NEXT)
    tolerance = {"relative": bound["outputs"], "why": "BatchNormalization's part of a step is 3.7e-5 or more"}
    name = f"{call}: loss of an epoch of {first} steps of Adam with one gradient"
    checks.close(name, long_fit.due_loss(), obtained.loss, tolerance, source="weights that grow by the rate", next=NEXT)


IN_TURN = {"one after the other": in_turn.one_after_the_other, "as long as full MNIST": full_size.answers}


@pytest.mark.parametrize("calls", IN_TURN.values(), ids=IN_TURN)
def test_calls_in_turn(calls):
    """What a call leaves behind changes nothing for the next: weights are exact, means of losses are rounded."""
    bound = reading.tolerance("lockstep")["bookkeeping"]
    lines = [line for answer in calls() for line in in_turn.wrong(answer, bound["relative"])]
    if lines:
        more = [f"and {len(lines) - 6} more"] if len(lines) > 6 else []
        checks.fail(
            "calls of one model in turn",
            [*lines[:6], *more, f"expected  exact arithmetic; of losses {bound['relative']:.2g}: {bound['why']}"],
            next="the first line tells the call after which it went wrong; look for what Keras keeps between calls",
        )
