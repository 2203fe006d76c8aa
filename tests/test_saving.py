"""Does a saved model predict the same, and does its training continue where it stopped?"""

import keras
import numpy as np
import pytest

from cnnspec import mnist
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import loss_of_step
from cnnspec.training import compile_model
from cnnspec.trajectory import on_stack, start
from tests.support import checks, known_differences

NEXT = "look for a change of the saving formats in Keras' release notes"


def trained(model, steps=3):
    """The model with drawn weights, without dropout, after a few steps on fixed batches."""
    built = on_stack.build(model)
    compile_model(built)
    for x, y in start.batches(mnist.load("mnist5k"), steps):
        built.train_on_batch(x, y)
    return built


def go_on(built, steps=3):
    """The losses of the next steps on fixed batches."""
    batches = list(start.batches(mnist.load("mnist5k"), 3 + steps))[3:]
    return [loss_of_step(built, x, y) for x, y in batches]


@known_differences.LOADED_LOSS
@pytest.mark.parametrize("model", ["model4"])  # it has every kind of layer that the four models have
def test_a_saved_model_goes_on(model, tmp_path):
    """A fresh model with the saved weights, and the model of a .keras file, predict the same, bit for bit.

    The file's model continues training with the same slots: its next losses are equal.
    """
    built, fresh = trained(model), ARCHITECTURES[model]()
    x = mnist.load("mnist5k").x_test[:64]
    predicted = built.predict(x, verbose=0)
    differ = not np.array_equal(predicted, fresh.predict(x, verbose=0))
    checks.equal(f"{model}: a fresh model predicts something else", True, differ, source="other initial weights", next=NEXT)
    built.save_weights(tmp_path / "model.weights.h5")
    fresh.load_weights(tmp_path / "model.weights.h5")
    built.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for how, other in (("loaded weights", fresh), ("loaded .keras file", loaded)):
        same = np.array_equal(predicted, other.predict(x, verbose=0))
        checks.equal(f"{model}: {how}: the same predictions, bit for bit", True, same, source="the saved model", next=NEXT)
    checks.equal(
        f"{model}, loaded .keras file: losses of the next three steps",
        go_on(built),
        go_on(loaded),
        source="the saved model",
        next=NEXT,
    )
