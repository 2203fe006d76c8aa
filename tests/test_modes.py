"""Does the whole model compute the right numbers by every call and in every mode?

Single layers are compared in `test_numerics.py`. Here the real model runs as in training: nothing in between is fetched, so
that the framework may fuse it. The batch is 128, the notebook's. The smallest models have every kind of layer.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.facts import notebook
from cnnspec.oracle.network import Network
from cnnspec.oracle.optimizers import adam_update
from cnnspec.training import batch_size, compile_model
from cnnspec.trajectory import on_stack
from tests.support import checks, known_differences, numerics, steps
from tests.support.checks import Finding

pytestmark = pytest.mark.usefixtures("tf32_off")
SMALLEST = numerics.CHEAPEST
EVERY_KIND = SMALLEST[-1]  # of layer is in it: what costs seconds is done with it alone
MARKED = [
    pytest.param(model, marks=known_differences.BATCH_VARIANCE if model in notebook.normalised_models() else ())
    for model in SMALLEST
]
INFERENCE = 1000  # images of one call of predict
SIZES = (batch_size, 32, INFERENCE)  # of its batches
LAST = 16  # images of the last, partial batch of full MNIST's test set: 10,000 mod 128, and mod evaluate's 32
ENDED = f"predict of {batch_size} + {LAST} images"
ALONE = "predict of one image"
ADAM = notebook.globals_toml()["compile"]["optimizer_settings"]
RULE = {name: ADAM[name]["value"] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")}
ADAM_STEPS = (0, 4999)  # taken before the step that is compared: a fresh optimizer, and one after a long training
NEXT = "pytest tests/test_numerics.py names the layer; then another --device, or TF_ENABLE_ONEDNN_OPTS=0"


def digits(count):
    """The first images and labels of mnist5k's train set."""
    data = mnist.load("mnist5k")
    return data.x_train[:count], data.y_train[:count]


@functools.cache
def network(model):
    """The model in float64, its dropout off: (gradients of a training step, probabilities and loss in inference)."""
    layers = [{**layer, "rate": 0.0} if layer["class"] == "Dropout" else layer for layer in notebook.layers(model)]
    x, y = digits(batch_size)
    drawn = [layer.get_weights() for layer in on_stack.build(model).layers]
    float64 = Network(layers, drawn)
    probabilities, loss = float64.predict(x), float64.loss(x, y)
    training_loss, gradients = float64.loss_and_gradients(x, y)
    flat = [gradient for group in gradients for gradient in group if gradient is not None]
    return flat, training_loss, probabilities, loss


def whole(quantity, name, obtained, expected):
    """A result of a whole model for `checks.near_float64`."""
    return Finding(name, numerics.error(obtained, expected), *numerics.bound("whole_model", quantity))


@functools.cache
def called(model):
    """A compiled model that has had every call but those that train: (it, {call: probabilities}, {call: loss}, variables).

    `stepped` trains it further.
    """
    x, y = digits(batch_size)
    many, _ = digits(INFERENCE)
    built = on_stack.build(model)
    compile_model(built)
    by_call = {
        "__call__": numerics.as_numpy(built(x)),
        **{f"predict in batches of {size}": built.predict(many, batch_size=size, verbose=0) for size in SIZES},
        ENDED: built.predict(many[: batch_size + LAST], batch_size=batch_size, verbose=0),
        ALONE: built.predict(x[:1], verbose=0),
        "predict_on_batch": built.predict_on_batch(x),
    }
    by_loss = {
        "evaluate in batches of 128": built.evaluate(x, y, batch_size=batch_size, verbose=0),
        "evaluate in batches of 32": built.evaluate(x, y, verbose=0),
        "test_on_batch": built.test_on_batch(x, y),
    }
    return built, by_call, {name: found[0] for name, found in by_loss.items()}, built.get_weights()


@pytest.mark.parametrize("model", [EVERY_KIND])
def test_every_call_predicts_the_same(model):
    """`__call__`, `predict`, `predict_on_batch`, `evaluate` and `test_on_batch` give float64's probabilities and loss.

    Of a thousand images the first 128 are compared with float64, the others from one way of batching to another.
    """
    _, _, probabilities, loss = network(model)
    _, by_call, by_loss, _ = called(model)
    findings = [
        whole("inference", f"probabilities by {name}", found[:batch_size], probabilities[: 1 if name == ALONE else None])
        for name, found in by_call.items()
    ]
    first, *others = [f"predict in batches of {size}" for size in SIZES]
    for name in others:
        beside = f"probabilities of {INFERENCE} images by {name}, beside {first}"
        findings.append(whole("inference", beside, by_call[name], by_call[first]))
    last = slice(batch_size, batch_size + LAST)
    partial = f"probabilities of a last batch of {LAST}, beside {first}"
    findings.append(whole("inference", partial, by_call[ENDED][last], by_call[first][last]))
    findings += [whole("inference", f"loss by {name}", found, loss) for name, found in by_loss.items()]
    checks.near_float64(f"{model}, {batch_size} images, inference", findings, next=NEXT)


@pytest.mark.parametrize("model", [EVERY_KIND])
def test_no_call_moves_a_variable(model):
    """After `predict`, `evaluate` and the others every weight and moving statistic has the bits that it had before."""
    held = [array.tobytes() for array in called(model)[-1]]
    given = [array.tobytes() for array in on_stack.build(model).get_weights()]
    moved = [place for place, (mine, theirs) in enumerate(zip(held, given, strict=True), 1) if mine != theirs]
    checks.equal(f"{model}: variables moved by calls that do not train", [], moved, source="the given weights", next=NEXT)


@pytest.mark.parametrize("model", MARKED)
def test_a_training_step_in_every_mode(model):
    """Loss and every gradient of one step at batch 128 are float64's, in compiled steps, eagerly and by XLA."""
    x, y = digits(batch_size)
    expected, loss, _, _ = network(model)
    by_mode = {}
    for mode in steps.modes() if model == EVERY_KIND else steps.modes()[:2]:
        try:
            taken = steps.step(model, x, y, mode)
        except Exception as error:
            if mode == "XLA" and steps.xla_cannot(error):
                continue
            raise
        found = [Finding("loss", numerics.error(taken.loss, loss), *numerics.bound("whole_model", "training"))]
        for place, (mine, theirs) in enumerate(zip(taken.gradients, expected, strict=True), 1):
            limit, why = numerics.bound(
                "whole_model", "gradient_normalised" if model in notebook.normalised_models() else "gradient"
            )
            name = f"gradient of variable {place} {mine.shape}"
            found.append(Finding(name, numerics.error(mine, theirs), limit, why))
        by_mode[mode] = found
    checks.in_modes(f"{model}, one training step on {batch_size} images", by_mode, next=NEXT)


class Moved(NamedTuple):
    """A compiled step of Adam: how many it had taken before, the variables before and after it, slots, steps counted."""

    taken: int
    before: list
    after: list
    slots: list
    counted: int


@functools.cache
def stepped(model):
    """(what may be gradients in the first compiled step of a `called` model, from its slots; a Moved of each later step)."""
    x, y = digits(batch_size)
    built = called(model)[0]

    def slots():
        return [slot for slot in steps.values(steps.optimizer_variables(built.optimizer)) if slot.ndim]

    built.train_on_batch(x, y)
    gradients = [slot / (1 - RULE["beta_1"]) for slot in slots()]
    found = []
    for taken in ADAM_STEPS:
        steps.set_optimizer(built.optimizer, taken)
        before = steps.values(built.trainable_variables)
        built.train_on_batch(x, y)
        after = steps.values(built.trainable_variables)
        found.append(Moved(taken, before, after, slots(), int(np.asarray(built.optimizer.iterations.numpy()))))
    return gradients, found


@known_differences.BATCH_VARIANCE
@pytest.mark.parametrize("model", [EVERY_KIND])
def test_a_training_step_after_every_call(model):
    """The first compiled step of a model that has predicted and was evaluated has float64's gradients, by Adam's slots."""
    gradients, _ = stepped(model)
    findings = []
    for place, theirs in enumerate(network(model)[0], 1):
        error = min(numerics.error(mine, theirs) for mine in gradients if mine.shape == theirs.shape)
        name = f"gradient of variable {place} {theirs.shape}"
        findings.append(Finding(name, error, *numerics.bound("whole_model", "gradient_normalised")))
    checks.near_float64(f"{model}, a training step after every call that does not train", findings, next=NEXT)


@pytest.mark.parametrize("model", [EVERY_KIND])
def test_adam_in_compiled_steps(model):
    """Inside a compiled training step Adam moves every variable by its formula, also after thousands of steps."""
    findings = []
    for taken, before, after, slots, counted in stepped(model)[1]:
        for place, (old, new) in enumerate(zip(before, after, strict=True), 1):
            candidates = []
            for slot in (slot for slot in slots if slot.shape == old.shape):  # one of them is (1 − beta_1) · gradient
                gradient = slot / (1 - RULE["beta_1"])
                due, _ = adam_update(old, gradient, (np.zeros_like(old), np.zeros_like(old), taken), **RULE)
                candidates.append(numerics.error(new - old, due - old))
            name = f"step {taken + 1}, movement of variable {place} {old.shape}"
            findings.append(Finding(name, min(candidates), *numerics.bound("optimizer", "movement")))
        checks.equal(f"{model}: optimizer's step counter", taken + 1, counted, source="one step more", next=NEXT)
    checks.near_float64(f"{model}, compiled steps of Adam on {batch_size} images", findings, next=NEXT)
