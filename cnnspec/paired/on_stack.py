"""A paired training on the stack under test, through the harness' own `compile` and `fit`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cnnspec import pipeline, stack
from cnnspec.compat import forget_models
from cnnspec.mnist import Dataset
from cnnspec.paired import setting
from cnnspec.training import compile_model, evaluate, fitting
from cnnspec.trajectory import on_stack
from cnnspec.trajectory.watching import Watcher, arrays_of


def build(name: str, seed: int) -> Any:
    """Model `name` with drawn weights, scaled, perturbed by the start `seed`, and without dropout; not compiled."""
    model = on_stack.build(name)
    weights = iter(setting.perturbed(setting.scaled(name, arrays_of(model)), seed))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([next(weights) for _ in layer.weights])
    return model


class Trained(NamedTuple):
    """A trained Keras model, and what it went through: each of `setting.quantities`."""

    model: Any
    numbers: dict[str, float]


def run(name: str, data: Dataset, seed: int = setting.UNPERTURBED, xla: bool = False) -> Trained:
    """Train model `name` on mnist5k from the start `seed`. `xla` asks `compile` for XLA.

    Where `fit` ends early, quantities of later epochs are missing.
    """
    forget_models()
    model = build(name, seed)
    settings: dict[str, Any] = {"jit_compile": True} if xla else {}
    with stack.tf32_off():
        compile_model(model, **pipeline.compile_settings(), **settings)
        watcher = Watcher([np.asarray(array, np.float64) for array in arrays_of(model)])
        samples, epochs = setting.fit_of(name)
        order = setting.order(samples)
        fitting(model, data, setting.BATCH, order=order)(
            epochs=epochs, verbose=0, validation_data=(data.x_test, data.y_test), callbacks=[watcher]
        )
        scores = evaluate(model, "train", data.x_train[order], data.y_train[order])
    numbers: dict[str, float] = {}
    for place, log in enumerate(watcher.logs):
        values: dict[str, float] = {setting.STEPS: watcher.iterations[place]}
        values.update({metric: log.get(metric, float("nan")) for metric in setting.METRICS})
        for what, rows in (("movement", watcher.rows["moved"]), ("norm", watcher.rows["norms"])):
            values.update({f"{what} of {variable}": rows[place][at] for at, variable in enumerate(setting.variables(name))})
        numbers.update({f"epoch {place + 1} {key}": value for key, value in values.items()})
    numbers.update({f"epoch {epochs} {metric}": scores[metric] for metric in setting.EVALUATED})
    return Trained(model, numbers)
