"""Where the variables and the outputs of a model really lie, and whether that is where the stack says it computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cnnspec import stack
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import backend, forget_models
from cnnspec.names import CLASSES
from cnnspec.training import compile_model

MODEL = "model4"  # every kind of layer
SAMPLES = 8


def of_a_model() -> dict[str, str]:
    """{variable or output: its place} of a model, before and after a training step as `train_on_batch` compiles it.

    Whole numbers and seeds are left out: TensorFlow keeps some of them on the CPU.
    """
    forget_models()
    model = ARCHITECTURES[MODEL]()
    compile_model(model)
    x = np.random.RandomState(0).rand(SAMPLES, *model.input_shape[1:]).astype("float32")
    found = floats("weights {} as built", model.weights)
    found["output of a call"] = stack.located(model(x))
    found["output of a compiled call"] = stack.located(compiled(model, x))
    model.train_on_batch(x, np.eye(CLASSES, dtype="float32")[np.arange(SAMPLES) % CLASSES])
    found |= floats("weights {} after a step", model.weights)
    slots = model.optimizer.variables
    slots = slots() if callable(slots) and not isinstance(slots, list) else slots
    return found | floats("slots {} after a step", slots)


def floats(words: str, variables: Iterable[Any]) -> dict[str, str]:
    """{words with the variable's number: its place} of the variables that hold floating-point numbers."""
    return {words.format(at): stack.located(each) for at, each in enumerate(variables) if "float" in str(each.dtype)}


def compiled(model: Any, x: np.ndarray) -> Any:
    """The output of a model called in a compiled function of the backend; PyTorch compiles nothing here."""
    if backend() == "tensorflow":
        import tensorflow

        return tensorflow.function(model)(x)
    if backend() == "jax":
        import jax

        groups = (model.trainable_variables, model.non_trainable_variables)
        return jax.jit(model.stateless_call)(*([each.value for each in group] for group in groups), x)[0]
    return model(x)


def elsewhere(expected: str, places: Mapping[str, str]) -> list[str]:
    """A line for each place other than `expected`, with what lies there."""
    lines = []
    for place in dict.fromkeys(places.values()):
        if place != expected:
            there = [name for name, other in places.items() if other == place]
            more = f" and {len(there) - 3} more" if len(there) > 3 else ""
            lines.append(f"on {place}: {', '.join(there[:3])}{more}")
    return lines
