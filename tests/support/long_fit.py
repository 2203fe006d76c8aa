"""An epoch of Adam longer than full MNIST's, in which every step is like every other, through each kind of layer.

Three branches from one image: a convolution with ReLU and max pooling, a Dense with ReLU, a BatchNormalization. An image has
one value everywhere, 1 or 5, and its label is that value; each batch is the same. The loss is −label · the sum of all
outputs, so that no gradient depends on a weight, and every step has the same ones. Bias-corrected, Adam's first moment is
then the gradient and the second its square, and each weight grows by the rate in each step (Kingma and Ba 2015).
"""

import functools
from typing import NamedTuple

import keras
import numpy as np

from cnnspec import pipeline
from cnnspec.compat import make_variables
from cnnspec.mnist import Dataset
from cnnspec.training import fitting
from tests.support import probes
from tests.support.lockstep import HARNESS

# (epochs, steps of each) of two calls of fit: more steps than an epoch of full MNIST has, 469, the last of them fewer than
# the harness joins, and as many epochs as the notebook's.
FITS = (1, 652), (10, 2)
STEPS = sum(epochs * steps for epochs, steps in FITS)
BATCH = 128
VALUES = np.array([1.0, 5.0])  # of the images, and their labels
SIDE, CHANNELS, FILTERS, UNITS, KERNEL = 4, 8, 16, 10, 3
FEATURES = SIDE * SIDE * CHANNELS
RATE, EPSILON, MOMENTUM = 2.0**-10, 1e-3, 0.99


class Long(NamedTuple):
    """What the calls of fit left."""

    updates: dict  # {variable: how often it was updated, (its size,)}
    moving: dict  # {"mean" or "variance": the moving statistic, (FEATURES,)}
    counted: int  # steps, by the optimizer
    loss: float  # of the first epoch
    anew: tuple  # of another Adam, given by another compile: (its steps, the largest number of its slots)


def loss(y_true, y_pred):
    """−label · the sum of the outputs; labels are (batch, 1)."""
    return -probes.ops.sum(y_true * y_pred, axis=-1)


def built():
    """The model. Kernels and beta begin at 0; the biases of what ReLU follows at 1, so that its slope is 1 in each step."""
    image = keras.Input(shape=(SIDE, SIDE, CHANNELS))
    layer = {"kernel_initializer": "zeros", "bias_initializer": "ones", "activation": "relu"}
    pooled = keras.layers.MaxPooling2D(SIDE - KERNEL + 1)(keras.layers.Conv2D(FILTERS, KERNEL, **layer)(image))
    flat = keras.layers.Flatten()(image)
    parts = [
        keras.layers.Flatten()(pooled),
        keras.layers.Dense(UNITS, **layer)(flat),
        keras.layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM)(flat),
    ]
    return keras.Model(image, keras.layers.Concatenate()(parts))


@functools.cache
def trained(call):
    """The Long of two calls of fit, with an evaluate in between.

    The validation loss rises in every epoch of the second, to which nothing may answer that nobody asked for.
    """
    (_, steps), (epochs, few) = FITS
    y = np.tile(VALUES.astype("float32"), BATCH // len(VALUES))[:, None]
    x = np.tile(y[:, :, None, None], (1, SIDE, SIDE, CHANNELS))
    data = Dataset("images of one value", np.tile(x, (steps, 1, 1, 1)), np.tile(y, (steps, 1)), x, y)
    model = built()
    settings = pipeline.compile_settings() if call == HARNESS else {}
    model.compile(loss=loss, optimizer=keras.optimizers.Adam(RATE), **settings)
    make_variables(model)
    before = [array.astype(np.float64) for array in model.get_weights()]
    if call == HARNESS:
        bound = fitting(model, data, BATCH, order=np.arange(len(data.x_train)))
    else:
        bound = functools.partial(model.fit, data.x_train, data.y_train, batch_size=BATCH, shuffle=False)
    log = bound(epochs=1, verbose=0).history
    model.evaluate(x, y, verbose=0)
    once_more = (array[: few * BATCH] for array in (data.x_train, data.y_train))
    rising = {"validation_data": (x, -y)}
    model.fit(*once_more, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **rising)
    trainable = {id(variable) for variable in model.trainable_weights}
    after = list(zip(model.weights, before, model.get_weights(), strict=True))
    updates = {
        getattr(variable, "path", variable.name): ((now - then) / RATE).ravel()
        for variable, then, now in after
        if id(variable) in trainable
    }
    moving = dict(zip(due_statistics(), (now for variable, _, now in after if id(variable) not in trainable), strict=True))
    counted = int(np.asarray(model.optimizer.iterations))
    model.compile(loss=loss, optimizer=keras.optimizers.Adam(RATE))
    if hasattr(model.optimizer, "build"):  # Keras 2.12's makes its slots in the first step
        model.optimizer.build(model.trainable_variables)
    slots = [float(np.abs(array).max()) for array in probes.optimizer_arrays(model.optimizer)]
    anew = int(np.asarray(model.optimizer.iterations)), max(slots, default=0.0)
    return Long(updates, moving, counted, float(log["loss"][0]), anew)


def due_loss():
    """The loss of the first epoch in float64: the mean over its steps, before each of which every weight had grown alike."""
    grown = np.arange(FITS[0][1])[:, None] * RATE  # (steps, 1)
    normalised = (VALUES - VALUES.mean()) / np.sqrt(VALUES.var() + EPSILON)
    convolved = 1 + grown * (1 + KERNEL * KERNEL * CHANNELS * VALUES)  # (steps, 2), as each of what follows
    dense = 1 + grown * (1 + FEATURES * VALUES)
    scaled = (1 + grown) * normalised + grown
    return -float((VALUES * (FILTERS * convolved + UNITS * dense + FEATURES * scaled)).mean())


def due_statistics():
    """{moving statistic: its value after all steps}, from 0 and 1 on, each of which kept MOMENTUM of it."""
    kept = MOMENTUM**STEPS
    return {"mean": (1 - kept) * VALUES.mean(), "variance": kept + (1 - kept) * VALUES.var()}
