"""Does the harness stop at the first number that is not finite, in the weights as well as in the losses?"""

import keras
import numpy as np
import pytest

from cnnspec import mnist, training
from cnnspec.errors import NonFiniteLoss


def small():
    """A made-up model of two layers."""
    last = keras.layers.Dense(2, activation="softmax", name="last")
    return keras.Sequential([keras.Input(shape=(4,)), keras.layers.Dense(3, name="first"), last])


@pytest.mark.parametrize(
    ("value", "layer", "array", "told"),
    [
        (np.nan, 0, 0, "kernel of layer 1 (first) is NaN in 1 of 12 elements"),
        (np.inf, 1, 1, "bias of layer 2 (last) is infinite in 1 of 2 elements"),
        (-np.inf, 1, 0, "kernel of layer 2 (last) is infinite in 1 of 6 elements"),
    ],
)
def test_the_first_variable_is_named(value, layer, array, told):
    """One element of one array: the message names array, layer and how many elements."""
    model = small()
    assert training.not_finite(model) is None
    weights = model.layers[layer].get_weights()
    weights[array].flat[1] = value
    model.layers[layer].set_weights(weights)
    assert training.not_finite(model) == told


class Breaks(keras.callbacks.Callback):
    """Puts a NaN into the last bias after the last step of an epoch, when no loss can show it any more."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            kernel, bias = self.model.layers[-1].get_weights()
            self.model.layers[-1].set_weights([kernel, np.full_like(bias, np.nan)])


def test_weights_are_looked_at_when_losses_are_finite():
    """The epoch that ends with NaN in a weight and finite losses is named; the one before passed."""
    model = small()
    training.compile_model(model)
    x, y = np.ones((8, 4), "float32"), np.eye(2, dtype="float32")[np.arange(8) % 2]
    recorder = training.EpochRecorder("a made-up model with seed 7")
    told = r"a made-up model with seed 7: bias of layer 2 \(last\) is NaN in 2 of 2 elements after epoch 2"
    with pytest.raises(NonFiniteLoss, match=told):
        model.fit(x, y, epochs=3, verbose=0, callbacks=[Breaks(), recorder])
    assert len(recorder.history["loss"]) == 2


def test_a_nan_pixel_stops_a_training():
    """One NaN pixel in one of 256 training images ends model2's training in its first epoch, with the exit code of it."""
    digits = mnist.load("mnist5k")
    images = digits.x_train[:256].copy()
    images[5, 14, 14, 0] = np.nan
    data = digits._replace(
        x_train=images, y_train=digits.y_train[:256], x_test=digits.x_test[:64], y_test=digits.y_test[:64]
    )
    with pytest.raises(NonFiniteLoss, match=r"model2 on mnist5k with seed 3: .* epoch 1") as stopped:
        training.train("model2", data, seed=3, epochs=2, verbose=0)
    assert stopped.value.exit_code == 4
