"""One training step of a real model in each mode: nothing inside it is fetched, so that the framework may fuse all of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from cnnspec.compat import KERAS_VERSION, backend, loss_of_step, make_variables
from cnnspec.trajectory import on_stack
from tests.support import probes

MODES: dict[str, dict[str, Any]] = {"compiled": {}, "eager": {"run_eagerly": True}, "XLA": {"jit_compile": True}}


def modes() -> list[str]:
    """The modes that this backend has: compiled steps, which `fit` takes by default; eager; on TensorFlow XLA as well."""
    return list(MODES) if backend() == "tensorflow" else ["compiled", "eager"]


def xla_cannot(error: Exception) -> bool:
    """Whether an error says that XLA cannot compile the model on this stack, so that nobody can train with it."""
    return any(words in str(error) for words in ("unsupported operations", "could not find registered platform"))


@dataclasses.dataclass
class Step:
    """One training step: its loss, and the gradients of the trainable variables, in the model's order."""

    loss: float
    gradients: list[np.ndarray]


def step(model: str, x: np.ndarray, y: np.ndarray, mode: str) -> Step:
    """One step of a model with drawn weights and without dropout, in a mode.

    Momentum SGD with a momentum near zero keeps −gradient in its slots.
    """
    built = on_stack.build(model)
    built.compile(
        loss=keras.losses.categorical_crossentropy,
        optimizer=keras.optimizers.SGD(learning_rate=1.0, momentum=probes.FORGETTING),
        **MODES[mode],
    )
    make_variables(built)
    loss = loss_of_step(built, x, y)
    return Step(loss, [-slot for slot in probes.optimizer_arrays(built.optimizer)])


def values(variables: Any) -> list[np.ndarray]:
    """Variables as NumPy arrays in float64."""
    return [np.asarray(variable.numpy(), np.float64) for variable in variables]


def optimizer_variables(optimizer: Any) -> list[Any]:
    """The variables of an optimizer; Keras 2 has a method where Keras 3 has a list."""
    return list(optimizer.variables() if callable(optimizer.variables) else optimizer.variables)


def set_optimizer(optimizer: Any, steps: int) -> None:
    """Set an optimizer as it is after many steps whose gradients were zero: its counter at `steps`, its slots at zero."""
    for variable in optimizer_variables(optimizer):
        if tuple(variable.shape):
            variable.assign(np.zeros(tuple(variable.shape), "float32"))
    counter = optimizer.iterations
    counter.assign(np.asarray(steps, "int64" if KERAS_VERSION < (3, 0) else np.dtype(str(counter.dtype))))
