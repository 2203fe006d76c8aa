"""What replicas compute, and what float64 makes of it: of the whole batch, and of each replica's part.

Weights and order are given, dropout is off: `cnnspec.trajectory.start` and `fitted`.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np

from cnnspec import mnist
from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.names import IMAGE
from cnnspec.oracle.layers import weight_shapes
from cnnspec.oracle.network import Network
from cnnspec.oracle.optimizers import optimize
from cnnspec.trajectory import fitted, in_float64, start

CONVENTION = "keras-3"
PLAIN, NORMALISED = "model2", "model4"  # the cheapest, and the one that has BatchNormalization
WHOLE, SHARED = "the whole batch's", "each replica's own"  # statistics of BatchNormalization
FIRST, MEAN = "the first replica's", "the mean over the replicas"  # what a reader gets as moving statistics


class Step(NamedTuple):
    """One training step: model, number of images, and whether the labels of the last one are NaN."""

    model: str
    images: int
    nan: bool = False


STEPS = {
    "a step": Step(PLAIN, fitted.BATCH),
    "a partial batch": Step(PLAIN, 90),
    "a step with BatchNormalization": Step(NORMALISED, fitted.BATCH),
    "a step with NaN": Step(PLAIN, fitted.BATCH, nan=True),
}
FIT = "two epochs of fit"


class Kind(NamedTuple):
    """How a backend replicates: by what, and whose statistics BatchNormalization takes and keeps."""

    by: str
    statistics: str  # WHOLE or SHARED: those that normalise a batch in training
    moving: str  # how the moving statistics come from those of the replicas


KINDS = {
    "tensorflow": Kind("tf.distribute.MirroredStrategy", SHARED, FIRST if KERAS_VERSION >= (3, 0) else MEAN),
    "jax": Kind("keras.distribution.DataParallel", WHOLE, WHOLE),
    "torch": Kind("torch.nn.parallel.DistributedDataParallel", SHARED, FIRST),
}


def kind() -> Kind:
    """That of this backend."""
    return KINDS[backend()]


class Numbers(NamedTuple):
    """Loss, gradients of the trained variables, and moving statistics after the step, each in Keras' order."""

    loss: float
    gradients: list[np.ndarray]
    moving: list[np.ndarray]


class Fitted(NamedTuple):
    """Loss of each epoch as `fit` tells it, and the trained variables at the end."""

    losses: list[float]
    weights: list[np.ndarray]


def batch(step: Step) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a step."""
    data = mnist.load("mnist5k")
    x, y = data.x_train[: step.images], data.y_train[: step.images].copy()
    if step.nan:
        y[-1] = np.nan
    return x, y


def parts(images: int, replicas: int) -> list[slice]:
    """Rows of each replica: equal parts in order, the first ones larger by one where it does not divide."""
    each, more = divmod(images, replicas)
    ends = np.cumsum([0] + [each + (place < more) for place in range(replicas)])
    return [slice(int(low), int(high)) for low, high in itertools.pairwise(ends)]


def network(model: str) -> Network:
    """A model in float64 with the given weights."""
    layers = in_float64.without_dropout(model)
    return Network(layers, start.draw_weights(weight_shapes(layers, IMAGE)), convention=CONVENTION)


def in_float64_of(model: str, x: np.ndarray, y: np.ndarray) -> Numbers:
    """One step of one device on these images, in float64."""
    net = network(model)
    loss, gradients = net.loss_and_gradients(x, y)
    trained = [array for group in gradients for array in group if array is not None]
    return Numbers(float(loss), trained, [array for group in net.weights for array in group[2:]])


@functools.cache
def of_parts(name: str, replicas: int) -> tuple[Numbers, ...]:
    """One of STEPS in float64, part by part: of each replica with its own images alone."""
    x, y = batch(STEPS[name]._replace(nan=False))
    return tuple(in_float64_of(STEPS[name].model, x[rows], y[rows]) for rows in parts(len(x), replicas))


@functools.cache
def of_whole(name: str) -> Numbers:
    """One of STEPS in float64, on one device with the whole batch."""
    return in_float64_of(STEPS[name].model, *batch(STEPS[name]._replace(nan=False)))


def expected(name: str, replicas: int, how: Kind) -> Numbers:
    """What the replicas have to give together, by their kind: the mean over them, or the whole batch's.

    Without BatchNormalization the two are the same, as the parts are equal.
    """
    if how.statistics == WHOLE:
        return of_whole(name)
    each = of_parts(name, replicas)
    moving = [np.mean(arrays, axis=0) for arrays in zip(*(part.moving for part in each), strict=True)]
    return Numbers(
        float(np.mean([part.loss for part in each])),
        [np.mean(arrays, axis=0) for arrays in zip(*(part.gradients for part in each), strict=True)],
        each[0].moving if how.moving == FIRST else moving,
    )


@functools.cache
def fit_expected() -> Fitted:
    """FIT of PLAIN in float64 on one device with whole batches; the last batch of an epoch is a partial one."""
    data, order = fitted.part_of(mnist.load("mnist5k")), fitted.order()
    net, slots = network(PLAIN), None
    update, settings = in_float64.rule(fitted.OPTIMIZER)
    losses: list[float] = []
    for _ in range(fitted.EPOCHS):
        sums = 0.0
        for at in range(0, len(order), fitted.BATCH):
            shown = order[at : at + fitted.BATCH]
            loss, gradients = net.loss_and_gradients(data.x_train[shown], data.y_train[shown])
            net.weights, slots = optimize(update, net.weights, gradients, slots, **settings)
            sums += float(loss) * len(shown)
        losses.append(sums / len(order))
    return Fitted(losses, [array for group in net.weights for array in group[:2]])


def fit_data() -> tuple[Any, Any]:
    """Images and labels of FIT, in the order in which every epoch shows them."""
    data, order = fitted.part_of(mnist.load("mnist5k")), fitted.order()
    return data.x_train[order], data.y_train[order]
