"""One training step many times over, from the same weights and on the same batch: every loss and every gradient.

Plain momentum SGD with a rate and a momentum of 2^-40: a weight does not move, because 2^-40 of a gradient is far below its
last bit, and the slots hold −2^-40 times the gradient, exactly. So steps repeat without anything being restored.
"""

from typing import NamedTuple

import keras
import numpy as np

from cnnspec import mnist, stack
from cnnspec.compat import loss_of_step, make_variables, metric_name
from cnnspec.training import fitting
from cnnspec.trajectory import fitted, on_stack
from tests.support import checks, margins, probes

TINY = 2.0**-40  # not less: momentum times a slot is still a normal number of float32


class Repeated(NamedTuple):
    """What each step gave: its loss, and the gradients in the order of `names`."""

    names: list
    losses: list
    gradients: list  # one list of arrays per step


def watched(model):
    """A model of the notebook whose steps leave its weights where they are, compiled; (model, names of its gradients)."""
    built = on_stack.build(model)
    optimizer = keras.optimizers.SGD(TINY, momentum=TINY)
    built.compile(loss=keras.losses.categorical_crossentropy, optimizer=optimizer)
    make_variables(built)
    names = []
    for row, layer in enumerate(built.layers, 1):
        arrays = ("gamma", "beta") if type(layer).__name__ == "BatchNormalization" else ("kernel", "bias")
        names += [
            f"layer {row} ({type(layer).__name__}) {name} gradient" for name in arrays[: len(layer.trainable_variables)]
        ]
    return built, names


def gradients(model, first=None):
    """The gradients of the last step, from the slots. A gradient with the bits of the first step's is that array itself.

    So 120 steps of model2 do not hold 120 copies of its gradients.
    """
    found = [np.array(slot, np.float32) for slot in probes.optimizer_arrays(model.optimizer)]
    return [one if np.array_equal(one, array) else array for one, array in zip(first or found, found, strict=True)]


class Reader(keras.callbacks.Callback):
    """Reads loss and gradients at the end of every batch."""

    def __init__(self):
        super().__init__()
        self.means, self.gradients = [], []

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.means.append(next(float(value) for name, value in logs.items() if metric_name(name) == "loss"))
        self.gradients.append(gradients(self.model, self.gradients[0] if self.gradients else None))


def digits():
    """The batch: 128 images of mnist5k and their labels, all different."""
    data = mnist.load("mnist5k")
    return data.x_train[: fitted.BATCH], data.y_train[: fitted.BATCH]


def by_train_on_batch(model, steps):
    """`steps` calls of train_on_batch."""
    with stack.tf32_off():
        built, names = watched(model)
        x, y = digits()
        losses, found = [], []
        for _ in range(steps):
            losses.append(loss_of_step(built, x, y))
            found.append(gradients(built, found[0] if found else None))
    return Repeated(names, losses, found)


def by_fit(model, steps):
    """One `fit` of `steps` batches, each of the same images, from the harness' data set; each step returns, to be read.

    Keras' data set of arrays would be tuned by TensorFlow meanwhile, and may end ten seconds after the last step
    (docs/upstream/slow-end-of-fit.md).
    """
    with stack.tf32_off():
        built, names = watched(model)
        reader = Reader()
        order = np.tile(np.arange(fitted.BATCH), steps)
        fitting(built, mnist.load("mnist5k"), fitted.BATCH, order=order)(verbose=0, callbacks=[reader])
    sums = np.array(reader.means) * np.arange(1, steps + 1)  # the log is the mean over the epoch so far
    return Repeated(names, list(np.diff(sums, prepend=0.0)), reader.gradients)


def difference(array, other):
    """‖array − other‖ / ‖other‖; 0 for the same bits, infinite for NaN."""
    if array is other or np.array_equal(array, other):
        return 0.0
    distance = np.linalg.norm(np.asarray(array, np.float64) - other) / max(
        np.linalg.norm(np.asarray(other, np.float64)), TINY**2
    )
    return float(np.inf if np.isnan(distance) else distance)


def allowed(bounds):
    """(largest relative difference of a gradient, its reason) on this device: none for one thread of a CPU."""
    facts = stack.current()
    if facts["device"] != "CPU":
        return bounds["gradient_on_gpu"], "a GPU adds up partial sums in any order"
    if facts["threads"] > 1:
        return bounds["gradient"], "threads may add up partial sums in another order"
    return 0.0, "one thread of a CPU adds up in one order: the same bits"


def judged(subject, repeated, bounds, *, next):
    """Every step gave what the others gave: the same bits, or within the rounding of another order of summation."""
    __tracebackhide__ = True
    steps, (limit, why) = len(repeated.losses), allowed(bounds)
    worst = [
        [difference(array, one) for array, one in zip(step, repeated.gradients[0], strict=True)]
        for step in repeated.gradients
    ]
    if sum(max(row) > limit for row in worst) > steps / 2:  # then the first step is the one that differs
        middle = repeated.gradients[1]
        worst = [[difference(array, one) for array, one in zip(step, middle, strict=True)] for step in repeated.gradients]
    finite = [loss for loss in repeated.losses if np.isfinite(loss)]
    middle = float(np.median(finite)) if finite else np.nan
    losses = [abs(loss - middle) / middle for loss in repeated.losses]
    margins.note("gradients", margins.share(max(max(row) for row in worst), limit))
    margins.note("losses", margins.share(max(losses), bounds["loss"]))
    odd = [step for step in range(steps) if not (max(worst[step]) <= limit and losses[step] <= bounds["loss"])]
    if not odd:
        return
    lines = []
    for step in odd[:3]:
        place = int(np.argmax(worst[step]))
        told = f"{repeated.names[place]}, relative difference {worst[step][place]:.2g}"
        if worst[step][place] <= limit:
            told = "gradients as in the others"
        if not losses[step] <= bounds["loss"]:
            told += f"; loss {repeated.losses[step]:.7g} instead of {middle:.7g}"
        lines.append(f"intermittent: step {step + 1} of {steps} ({len(odd)} of {steps} in all), {told}")
    lines += [
        f"expected  relative differences of at most {limit:.2g} ({why}); weights and batch are the same in every step",
        f"limits    {bounds['why']}",
    ]
    checks.fail(subject, lines, next=next)
