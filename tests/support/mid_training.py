"""Training steps of a trained model on the stack, and the same in float64 from the stack's own weights and slots.

Trainings part from each other by rounding, step by step; a single step does not, wherever it starts. So the bounds of a
first step hold in mid-training, for the weights, activations and slots that a training leads to.

But for a choice: a ReLU or a maximum so near a tie that rounding decides it. A unit of the dense layer that is on instead of
off moves every gradient before it by per cents. Which steps have such a choice is chance, 1 of 80 of model2's and 2 of 100
of model4's on a healthy stack (baselines/tolerances.toml); what is wrong with a stack is wrong in every step. So of a few
steps, each with a batch of its own, one that is within all limits is enough. The loss and the moving statistics move by no
choice: where one of them is outside, no other step is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from cnnspec import stack
from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import notebook, reading
from cnnspec.mnist import Dataset
from cnnspec.oracle.network import Network
from cnnspec.oracle.optimizers import adam_update
from cnnspec.paired import setting
from cnnspec.training import fitting
from cnnspec.trajectory.watching import arrays_of
from tests.support import lockstep, numerics
from tests.support.checks import Finding

JUDGED = numerics.CHEAPEST  # the two have every kind of layer; a step in float64 costs a second each
STEPS = 3  # that are taken; the second and third are compared only where the one before is outside


class State(NamedTuple):
    """What a step starts from or leaves: every weight, Adam's (m, v) of each trained one, and its count of steps."""

    weights: list[np.ndarray]  # in the order of `setting.variables`
    moments: list[tuple[np.ndarray, np.ndarray]]
    steps: int


class Step(NamedTuple):
    """A step on a batch (x, y): the state before it, its loss, the state after it."""

    x: np.ndarray
    y: np.ndarray
    before: State
    loss: float
    after: State


def state(model: Any) -> State:
    """The state of a compiled model, as float64."""
    kept = [np.array(array, np.float64) for array in lockstep.moments(model)]
    weights = [np.array(array, np.float64) for array in arrays_of(model)]
    return State(weights, list(zip(kept[::2], kept[1::2], strict=True)), int(np.asarray(model.optimizer.iterations)))


def steps(model: Any, data: Dataset) -> list[Step]:
    """STEPS more steps of a trained model, each by the harness' own `fit` of a batch of 128 that it has seen."""
    batches = np.split(setting.order(STEPS * setting.BATCH), STEPS)
    return [step(model, data, rows) for rows in batches]


def step(model: Any, data: Dataset, rows: np.ndarray) -> Step:
    """One more step of a trained model, on the images in `rows` of the train set."""
    batch = data._replace(x_train=data.x_train[rows], y_train=data.y_train[rows])
    before = state(model)
    with stack.tf32_off():
        log = fitting(model, batch, setting.BATCH, order=np.arange(len(rows)))(epochs=1, verbose=0).history
    return Step(batch.x_train, batch.y_train, before, float(log["loss"][0]), state(model))


def findings(model: str, taken: Step) -> list[Finding]:
    """The errors of a step beside float64: the loss, each trained weight's gradient and movement, each moving statistic's.

    The gradient is the one in Adam's first moment: (m − beta_1 m before) / (1 − beta_1).
    """
    layers = [{**layer, "rate": 0.0} if layer["class"] == "Dropout" else layer for layer in notebook.layers(model)]
    names, before, after = setting.variables(model), iter(taken.before.weights), iter(taken.after.weights)
    counts = [sum(name.startswith(f"{row}-") for name in names) for row in range(1, len(layers) + 1)]
    grouped = [[next(before) for _ in range(count)] for count in counts]
    convention = "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras"
    float64 = Network(layers, grouped, convention=convention)
    loss, gradients = float64.loss_and_gradients(taken.x, taken.y)
    settings = notebook.globals_toml()["compile"]["optimizer_settings"]
    rule = {name: settings[name]["value"] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")}
    normalised = model in notebook.normalised_models()
    bounds = reading.tolerance(f"mid_training.{'normalised' if normalised else 'plain'}")

    def found(name: str, kind: str, obtained: Any, expected: Any) -> Finding:
        return Finding(name, numerics.error(obtained, expected), bounds[kind], bounds["why"])

    results = [found("loss", "loss", taken.loss, loss)]
    moments = zip(taken.before.moments, taken.after.moments, strict=True)
    flat = [gradient for group in gradients for gradient in group]
    statistics = [array for group in float64.weights for array in group]
    for name, was, now, gradient, statistic in zip(names, taken.before.weights, after, flat, statistics, strict=True):
        if gradient is None:
            results.append(found(f"movement of {name}", "moving", now - was, statistic - was))
            continue
        (m, v), (new_m, _) = next(moments)
        due, _ = adam_update(was, gradient, (m, v, taken.before.steps), **rule)
        obtained = (new_m - rule["beta_1"] * m) / (1 - rule["beta_1"])
        results.append(found(f"gradient of {name}", "gradient", obtained, gradient))
        results.append(found(f"movement of {name}", "movement", now - was, due - was))
    return results


def first_inside(model: str, taken: Iterable[Step]) -> tuple[Step, list[Finding], list[int]]:
    """(the first of some steps that is within all limits, or the last, or one that no choice explains; its findings; the
    numbers of the others).
    """
    outside: list[int] = []
    for each in taken:
        found = findings(model, each)
        wrong = [finding.name for finding in found if not finding.error <= finding.limit]
        if not wrong or any(name == "loss" or "/moving_" in name for name in wrong):
            break
        outside.append(each.before.steps + 1)
    return each, found, outside
