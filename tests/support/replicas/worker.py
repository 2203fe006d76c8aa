"""`python -m tests.support.replicas.worker REPLICAS RANK FOLDER`: the steps and the fit, on replicas and on one device.

It writes FOLDER/numbers.npz: arrays by `step/who/what`. TensorFlow and JAX have all replicas in one process, which has rank
0; of PyTorch each replica is a process, and that of rank 0 writes.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnspec import stack
from cnnspec.compat import backend, make_variables
from cnnspec.training import compile_model
from cnnspec.trajectory import fitted, on_stack
from tests.support.probes import optimizer_arrays
from tests.support.repeats import TINY
from tests.support.replicas import setting

ONE, ALL = "one device", "replicas"


def watched(model: str) -> Any:
    """A model whose steps leave its weights where they are; its slots are then −TINY times the gradients, exactly."""
    built = on_stack.build(model)
    built.compile(
        loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.SGD(learning_rate=TINY, momentum=TINY)
    )
    make_variables(built)
    return built


def trained(model: str) -> Any:
    """A model as the notebook trains it, with the given weights."""
    built = on_stack.build(model)
    compile_model(built, fitted.OPTIMIZER)
    return built


def step(replicas: Any, name: str) -> dict[str, np.ndarray]:
    """One of `setting.STEPS`: loss, gradients, moving statistics."""
    model = replicas.made(lambda: watched(setting.STEPS[name].model))
    x, y = setting.batch(setting.STEPS[name])
    (loss,) = replicas.fit(model, x, y, len(x), 1)
    gradients = [-slot / np.float32(TINY) for slot in optimizer_arrays(model.optimizer)]
    moving = [array for layer in model.layers for array in layer.get_weights()[2:]]
    return named(loss=[np.float64(loss)], gradient=gradients, moving=moving)


def fit(replicas: Any) -> dict[str, np.ndarray]:
    """`setting.FIT`: losses and trained variables."""
    model = replicas.made(lambda: trained(setting.PLAIN))
    losses = replicas.fit(model, *setting.fit_data(), fitted.BATCH, fitted.EPOCHS)
    weights = [np.asarray(array) for layer in model.layers for array in layer.get_weights()[:2]]
    return named(loss=[np.float64(loss) for loss in losses], weight=weights)


def divided(replicas: Any) -> np.ndarray:
    """Number of images that each replica is given of a batch, in a step of a small model."""
    name = next(iter(setting.STEPS))
    x, y = setting.batch(setting.STEPS[name])

    def small() -> Any:
        output = keras.layers.Dense(y.shape[1], activation="softmax")
        model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Flatten(), output])
        model.compile(loss="categorical_crossentropy", optimizer="sgd")
        return model

    model = replicas.made(small)
    seen = replicas.watch(model)
    replicas.fit(model, x, y, len(x), 1)
    return np.array(seen)


def named(**arrays: list[Any]) -> dict[str, np.ndarray]:
    """{what/place: array}."""
    return {f"{what}/{place:03d}": np.asarray(array) for what, found in arrays.items() for place, array in enumerate(found)}


def computed(replicas: int, rank: int, folder: Path) -> dict[str, np.ndarray]:
    """Everything, on one device first."""
    module = importlib.import_module(f"tests.support.replicas.by_{backend()}")
    module.prepare(replicas)
    found: dict[str, np.ndarray] = {}
    for who, made in ((ONE, module.One), (ALL, lambda: module.Replicas(replicas, rank, folder))):
        group = made()  # not before one device is done: JAX's distribution is that of the whole process
        for name in setting.STEPS:
            found |= {f"{name}/{who}/{what}": array for what, array in step(group, name).items()}
        found |= {f"{setting.FIT}/{who}/{what}": array for what, array in fit(group).items()}
    return found | {"images": divided(group)}


def main(words: list[str]) -> None:
    """Compute and write."""
    replicas, rank, folder = int(words[0]), int(words[1]), Path(words[2])
    stack.settle()
    with stack.tf32_off():
        found = computed(replicas, rank, folder)
    if rank == 0:
        np.savez(folder / "numbers.npz", **found)


if __name__ == "__main__":
    main(sys.argv[1:])
