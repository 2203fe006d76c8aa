"""`fit` without rounding: a model with one weight per sample, which shows when, how often and how strongly each was used.

The sample in row r is the r-th unit vector and has a label that only some others share. The model multiplies by a column of
weights, all zero at first; the loss is −label · output, so that a batch of n moves the weight of each of its samples by
rate · label / n, times what momentum adds later. With sizes, rate and momentum that are powers of two, float32 is exact.
"""

import functools
from typing import NamedTuple

import keras
import numpy as np

from cnnspec import pipeline
from cnnspec.compat import make_variables
from cnnspec.facts import reading
from cnnspec.mnist import Dataset
from cnnspec.training import fitting
from tests.support import checks
from tests.support.lockstep import HARNESS, averages, wrong_means


class Case(NamedTuple):
    """A `fit`: samples, batch size, epochs, rate and momentum; all but the first are powers of two."""

    name: str
    samples: int
    batch: int
    momentum: float
    rate: float = 128.0
    epochs: int = 2
    validated: int = 1  # sign of the validation labels: with −1 the validation loss rises, and the first epoch's is the best


# More than 256 steps in an epoch, where a sum in bfloat16 would stop growing; with the harness ten executions, the last of
# 12 joined steps.
MANY = Case("299 batches of 2 and one of 1", 599, 2, 0.0)
CASES = (
    Case("two batches of 128 and one of 32, with momentum", 288, 128, 0.5),
    MANY,
    Case("four epochs of which the first has the best validation loss", 288, 128, 0.5, epochs=4, validated=-1),
)
VALIDATION = 72
RARE = 0.05  # of the batches of an epoch: a fault in no more of them is called intermittent


class Outcome(NamedTuple):
    """What such a `fit` gave."""

    weights: np.ndarray  # (samples,), of each sample in the order shown
    losses: list  # of each epoch
    val_losses: list
    evaluated: float  # the validation samples' loss at the end
    iterations: int


def dataset(case):
    """The samples, in another order than they are shown: (Dataset, order)."""
    rows = np.random.RandomState(case.samples).permutation(case.samples)
    x = np.eye(case.samples, dtype="float32")
    y = (1 + np.arange(case.samples) % 5).astype("float32")[:, None]
    return Dataset("unit vectors", x, y, x[rows[:VALIDATION]], case.validated * (8 + y[:VALIDATION])), rows


def loss(y_true, y_pred):
    """−label · output."""
    return -(y_true * y_pred)[:, 0]


@functools.cache
def fit(case, call):
    """The Outcome on the stack under test."""
    data, rows = dataset(case)
    model = keras.Sequential([keras.Input(shape=(case.samples,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[-1].set_weights([np.zeros((case.samples, 1), "float32")])
    optimizer = keras.optimizers.SGD(case.rate, momentum=case.momentum)
    model.compile(loss=loss, optimizer=optimizer, **(pipeline.compile_settings() if call == HARNESS else {}))
    make_variables(model)
    if call == HARNESS:
        bound = fitting(model, data, case.batch, order=rows)
    else:
        x, y = data.x_train[rows], data.y_train[rows]
        bound = functools.partial(model.fit, x, y, batch_size=case.batch, shuffle=False)
    log = bound(epochs=case.epochs, verbose=0, validation_data=(data.x_test, data.y_test)).history
    return Outcome(
        weights=model.get_weights()[0][rows, 0],
        losses=[float(value) for value in log["loss"]],
        val_losses=[float(value) for value in log["val_loss"]],
        evaluated=float(np.ravel(model.evaluate(data.x_test, data.y_test, verbose=0))[0]),
        iterations=int(np.asarray(model.optimizer.iterations)),
    )


def computed(case, epochs=None, change=lambda batches: batches, rate=1.0, forget=(), last=1.0):
    """The same in float64, which is exact as well; the arguments are what a fault may change.

    `change` changes the batches of an epoch, `rate` multiplies the rate, `forget` are the epochs, counted from 0, before
    which the velocity is set to 0, `last` multiplies the gradient of a partial batch.
    """
    data, rows = dataset(case)
    y = data.y_train[rows, 0].astype(np.float64)
    weights, velocity = np.zeros(case.samples), np.zeros(case.samples)
    losses, val_losses, steps = [], [], 0
    places = [np.arange(at, min(at + case.batch, case.samples)) for at in range(0, case.samples, case.batch)]
    for epoch in range(epochs or case.epochs):
        told, counts = [], []
        velocity *= epoch not in forget
        for batch in change(places):
            told.append(-(y[batch] * weights[batch]).mean())
            counts.append(len(batch))
            gradient = np.zeros(case.samples)
            np.add.at(gradient, batch, -y[batch] / len(batch) * (last if len(batch) < case.batch else 1.0))
            velocity = case.momentum * velocity - case.rate * rate * gradient
            weights = weights + velocity
            steps += 1
        losses.append(np.average(told, weights=counts))
        val_losses.append(-(data.y_test[:, 0] * weights[:VALIDATION]).mean())
    return Outcome(weights, losses, val_losses, val_losses[-1], steps)


JOINED = pipeline.STEPS_PER_EXECUTION


def first_repeated(batches):
    """The first batch of each execution of joined steps, in place of all of it."""
    return [batches[at - at % JOINED] if len(batches[at]) == len(batches[0]) else batches[at] for at in range(len(batches))]


def hypotheses(case):
    """{what wrong weights look like: the arguments of `computed` that give them}."""
    epochs = range(case.epochs)
    resets = {}
    for epoch in epochs[1 : len(epochs) // 2 + 1]:  # as much later a reset costs the weights as much
        or_later = f" or {len(epochs) - epoch + 1}" if len(epochs) != 2 * epoch else ""
        resets[f"the optimizer's slots are reset before epoch {epoch + 1}{or_later}"] = {"forget": (epoch,)}
    return {
        "fit ended one epoch early": {"epochs": case.epochs - 1},
        "fit went on for one epoch more": {"epochs": case.epochs + 1},
        "the weights of the first epoch were put back": {"epochs": 1},
        **(resets if case.epochs > 2 else {}),
        "the optimizer's slots are reset at each epoch": {"forget": epochs},
        **HYPOTHESES,
    }


HYPOTHESES = {
    "the last, partial batch of each epoch is left out": {"change": lambda batches: batches[:-1]},
    "the first batch of each epoch is left out": {"change": lambda batches: batches[1:]},
    "the first batch of each epoch is shown twice": {"change": lambda batches: [batches[0], *batches]},
    "joined steps repeat the first batch of their execution": {"change": first_repeated},
    "the gradient of the last, partial batch is doubled": {"last": 2.0},
    "the gradient of the last, partial batch is halved": {"last": 0.5},
}


def looks_like(case, expected, outcome):
    """What wrong weights look like."""
    for words, arguments in hypotheses(case).items():
        if np.allclose(outcome.weights, computed(case, **arguments).weights, rtol=1e-6, atol=0):
            return [f"looks like: {words}"]
    ratios = outcome.weights / expected.weights
    if np.ptp(ratios) <= 1e-5 * abs(ratios).max():
        return [f"looks like: another learning rate, {ratios.mean():.7g} times the one given"]
    wrong = outcome.weights != expected.weights
    batches = sorted(set(np.flatnonzero(wrong) // case.batch + 1))
    if np.allclose(np.sort(outcome.weights[wrong]), np.sort(expected.weights[wrong]), rtol=1e-6, atol=0):
        return [
            f"looks like: labels, or samples, have changed places (in batch {', '.join(map(str, batches[:5]))} of an epoch)"
        ]
    shown = -(-case.samples // case.batch)
    if len(batches) <= RARE * shown:
        return [
            f"looks like: intermittent, in {len(batches)} of {shown} batches of an epoch, the first is batch {batches[0]}"
        ]
    never, more = np.flatnonzero(outcome.weights == 0), np.flatnonzero(wrong & (ratios > 1))
    lines = []
    if len(never):
        lines.append(f"never shown: {len(never)} samples, the first at place {never[0]} of the order given")
    if len(more):
        lines.append(f"used too often or too strongly: {len(more)} samples, the first at place {more[0]}")
    return lines or ["looks like: another order of the batches, or shorter steps for some samples"]


def judged(subject, case, outcome, *, next):
    """Every weight is exact; losses are within the rounding of their mean."""
    __tracebackhide__ = True
    expected = computed(case)
    lines = []
    if outcome.iterations != expected.iterations:
        lines.append(f"steps of the optimizer: expected {expected.iterations}, obtained {outcome.iterations}")
    wrong = np.flatnonzero(outcome.weights != expected.weights.astype(np.float32))
    if len(wrong):
        place = wrong[abs(outcome.weights - expected.weights)[wrong].argmax()]
        lines += [
            f"weights: {len(wrong)} of {case.samples} samples were not used as they should; the worst, at place {place} "
            f"(batch {place // case.batch + 1} of an epoch): expected {expected.weights[place]:.9g}, "
            f"obtained {outcome.weights[place]:.9g}",
            *looks_like(case, expected, outcome),
        ]
        checks.fail(subject, [*lines, "expected  exact arithmetic, without any rounding"], next=next)
    bound = reading.tolerance("lockstep")["bookkeeping"]
    for epoch in range(case.epochs):
        for name, due, told in (
            ("loss", expected.losses, outcome.losses),
            ("val_loss", expected.val_losses, outcome.val_losses),
        ):
            if len(told) <= epoch or not abs(told[epoch] - due[epoch]) <= bound["relative"] * abs(due[epoch]):
                obtained = f"{told[epoch]:.9g}" if len(told) > epoch else "none"
                lines.append(f"epoch {epoch + 1}, {name}: expected {due[epoch]:.9g}, obtained {obtained}")
                if epoch < len(told):
                    lines += [f"looks like: {words}" for words in of_loss(case, name, epoch, told[epoch], bound["relative"])]
    if not abs(outcome.evaluated - expected.evaluated) <= bound["relative"] * abs(expected.evaluated):
        lines.append(f"evaluate: expected {expected.evaluated:.9g}, obtained {outcome.evaluated:.9g}")
        lines += [
            f"looks like: evaluate returns {words}"
            for words in of_loss(case, "evaluate", case.epochs - 1, outcome.evaluated, bound["relative"])
        ]
    if lines:
        checks.fail(
            subject,
            [*lines, "the weights are right to the last bit", f"limit     {bound['relative']:.2g}: {bound['why']}"],
            next=next,
        )


def of_loss(case, name, epoch, told, relative):
    """What a wrong mean of losses looks like, where the weights are right."""
    data, rows = dataset(case)
    after = [np.zeros(case.samples), *(computed(case, epochs=each).weights for each in range(1, case.epochs + 1))]
    own = -data.y_train[rows, 0] * after[epoch + 1]
    validated = -data.y_test[:, 0] * after[epoch + 1][:VALIDATION]
    if name == "loss":
        places = range(0, case.samples, case.batch)
        batches = [own_before(case, epoch, number)[at : at + case.batch] for number, at in enumerate(places)]
        candidates = wrong_means([batch.mean() for batch in batches], [len(batch) for batch in batches])
    else:
        candidates = {"the train set's loss: validation runs on the train set": own.mean()}
        for size in (case.batch, 32):
            if size < VALIDATION:
                candidates |= averages(validated, size)
    return [words for words, value in candidates.items() if abs(told - value) <= relative * abs(value)]


def own_before(case, epoch, step):
    """Loss of every sample, in the order shown, before a step of an epoch."""
    data, rows = dataset(case)
    places = [np.arange(at, min(at + case.batch, case.samples)) for at in range(0, case.samples, case.batch)]
    weights, velocity = np.zeros(case.samples), np.zeros(case.samples)
    y = data.y_train[rows, 0].astype(np.float64)
    for batch in [*places * epoch, *places[:step]]:
        gradient = np.zeros(case.samples)
        gradient[batch] = -y[batch] / len(batch)
        velocity = case.momentum * velocity - case.rate * gradient
        weights = weights + velocity
    return -y * weights
