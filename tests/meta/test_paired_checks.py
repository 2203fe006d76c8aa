"""Does the comparison of paired trainings fail where it should, and does its message say what happened?"""

import re

import numpy as np
import pytest

from cnnspec.names import MODELS
from cnnspec.paired import setting
from tests.support import paired

MODEL = "model4"  # it has moving statistics
KINDS = {setting.kind(name) for name in setting.quantities(MODEL)} - {setting.STEPS, "accuracy"}
BOUNDS = {"why": "as measured", **{kind: {"epoch_1": 1e-3} for kind in KINDS}, "accuracy": {"epoch_1": 0.5}}


@pytest.fixture(scope="module")
def reference():
    """The references of stored runs of Keras 3."""
    return paired.references(MODEL, paired.healthy(MODEL, keras_2=False))


def numbers(reference, change=None):
    """The middle of the stored runs; `change` maps (quantity, value) to another value."""
    return {name: change(name, each.middle) if change else each.middle for name, each in reference.items()}


def compare(reference, obtained, bounds=BOUNDS):
    """The check of tests/test_paired.py."""
    paired.judged(MODEL, reference, obtained, bounds, source="stored runs", next="the next command")


def test_the_middle_passes(reference):
    """No difference uses no limit, and differences below the limit pass."""
    compare(reference, numbers(reference))
    compare(
        reference, numbers(reference, lambda name, value: value * (1 if "accuracy" in name or "steps" in name else 1.0009))
    )


def only(words, factor):
    """A change of the quantities whose name matches."""
    return lambda name, value: value * factor if re.search(words, name) else value


CHANGES = {
    "a loss": (only("epoch 1 loss", 1.002), r"farthest: epoch 1, loss: expected .* relative error 0\.002, limit 0\.001"),
    "an average": (only("epoch 1 loss", 1.002), "looks like: variables are right; how fit averages losses"),
    "NaN": (only("epoch 1 val_loss", np.nan), "farthest: epoch 1, val_loss: expected .*, obtained nan"),
    "an image": (
        lambda name, value: value + 1 / 1000 if name == "epoch 1 val_accuracy" else value,
        r"epoch 1, val_accuracy: expected .* difference 0\.001, limit 0\.0005",
    ),
    "a step": (only("steps", 31 / 32), "looks like: 31 steps of the optimizer after each epoch, not 32: epochs"),
    "no movement": (
        only("movement of 1-Conv2D/kernel", 0),
        "looks like: 1 variables did not move, the first is epoch 1, movement of 1-Conv2D/kernel",
    ),
    "longer steps": (only("movement|loss", 1.02), r"looks like: kernels moved 1\.02 times as far: the learning rate"),
    "validation": (only("val_loss|train_loss|moving_", 1.01), "looks like: training is right; evaluation, validation or"),
    "gradients": (only("loss|of 3-Conv2D/kernel", 1.01), "looks like: gradients, batches or labels"),
    "the count": (only("of 3-Conv2D", 1.01), "outside   4 of 47 quantities; above the farthest of each kind"),
    "the source": (only("loss", 2), r"expected  stored runs\n  limits    as measured\n  next      the next command"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_difference_is_seen_and_named(reference, change, words):
    """The quantity that is farthest, and what it looks like."""
    with pytest.raises(pytest.fail.Exception, match=words):
        compare(reference, numbers(reference, change))


def test_a_missing_epoch_is_seen(reference):
    """Numbers that are missing are no numbers that pass."""
    with pytest.raises(pytest.fail.Exception, match="looks like: nan steps of the optimizer after each epoch, not 32"):
        compare(reference, {})


@pytest.mark.parametrize("keras_2", [False, True], ids=["keras-3", "keras-2"])
@pytest.mark.parametrize("model", MODELS)
def test_bounds_are_whole(model, keras_2):
    """Every kind of quantity has a bound for every epoch, and no bound is left over."""
    bounds = paired.bounds(model, keras_2)
    names = [name for name in setting.quantities(model) if setting.split(name)[1] != setting.STEPS]
    due = {(setting.kind(name), f"epoch_{setting.split(name)[0]}") for name in names}
    assert {(kind, epoch) for kind, each in bounds.items() if isinstance(each, dict) for epoch in each} == due
