"""What a paired training is: its samples, its order of the samples, its starts, and the names of what is measured.

Nothing here needs a framework, so that stored runs are read and judged where none is installed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cnnspec.facts import notebook
from cnnspec.trajectory import start

BATCH = 128  # training.batch_size
WHOLE = 4000  # mnist5k's train set: 31 batches of 128 and one of 32
# Samples and epochs of each model's `fit`. Model3 costs three times as much per step as model4, and 12 steps of it, the last
# of them partial, are enough. Model2 alone takes a second epoch: it costs two seconds, and stacks still agree in it.
FITS = {"model1": (WHOLE, 1), "model2": (WHOLE, 2), "model3": (11 * BATCH + 32, 1), "model4": (WHOLE, 1)}
# Where a BatchNormalization follows a layer, the layer's weights may be larger by any factor: outputs stay the same. Adam's
# steps are then smaller beside the weights, so that roundings grow less. On 1, model4's losses of a few steps differ by up
# to 1e-2 between stacks in the second half of the epoch; on 16, by up to 2e-4 (baselines/paired/README.md).
SCALE = 16.0
UNPERTURBED = 0  # the start that moves no weight
STEPS = "steps"  # of the optimizer since the first epoch began
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
EVALUATED = ("train_loss", "train_accuracy")  # of the samples that were shown, after the last epoch
VALIDATED = 1000  # mnist5k's test set


def fit_of(model: str) -> tuple[int, int]:
    """(samples, epochs) of a model's `fit`. A model that FITS does not name has one whole epoch."""
    return FITS.get(model, (WHOLE, 1))


def order(samples: int) -> np.ndarray:
    """The first `samples` rows of the train set in the order in which every epoch shows them."""
    return np.random.RandomState(start.SEED).permutation(WHOLE)[:samples]


def scaled(model: str, weights: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Weights of a model in the order of `variables`, those before a BatchNormalization and its statistics by SCALE."""
    return [array * np.float32(factor) for array, factor in zip(weights, factors(model), strict=True)]


def perturbed(weights: Iterable[np.ndarray], seed: int) -> list[np.ndarray]:
    """Float32 arrays with each element moved by one unit in the last place, up or down as `seed` draws it.

    UNPERTURBED moves none.
    """
    generator = np.random.RandomState(seed)
    moved = []
    for array in weights:
        towards = np.where(generator.randint(2, size=array.shape) == 1, np.inf, -np.inf).astype(array.dtype)
        moved.append(array if seed == UNPERTURBED else np.nextafter(array, towards))
    return moved


def variables(model: str) -> list[str]:
    """Name of each variable of a model, in order."""
    return start.weight_names([layer["class"] for layer in notebook.layers(model)])


def factors(model: str) -> list[float]:
    """By what each of `variables` is larger than it was drawn, so that every normalised output stays as it was."""
    layers = notebook.layers(model)
    followed = {
        row
        for row, layer in enumerate(layers, start=1)
        if next((other["class"] for other in layers[row:] if other["class"] != "Dropout"), "") == "BatchNormalization"
    }
    found = []
    for name in variables(model):
        row, array = int(name.partition("-")[0]), name.rpartition("/")[2]
        weights = {"kernel": SCALE, "bias": SCALE} if row in followed else {}
        found.append({**weights, "moving_mean": SCALE, "moving_variance": SCALE**2}.get(array, 1.0))
    return found


def quantities(model: str) -> list[str]:
    """Everything that a paired training of a model measures, `epoch 1 loss`, …, in the order of its columns."""
    names, epochs = [], fit_of(model)[1]
    for epoch in range(1, epochs + 1):
        names += [f"epoch {epoch} {metric}" for metric in (STEPS, *METRICS)]
        names += [f"epoch {epoch} {what} of {name}" for what in ("movement", "norm") for name in variables(model)]
    return names + [f"epoch {epochs} {metric}" for metric in EVALUATED]


def split(quantity: str) -> tuple[int, str, str]:
    """(epoch, what, variable) of a quantity; the variable of a metric is empty."""
    _, epoch, rest = quantity.split(" ", 2)
    what, _, variable = rest.partition(" of ")
    return int(epoch), what, variable


def kind(quantity: str) -> str:
    """Name of a quantity's bound: the metric's, or `movement_of_kernels`, `norm_of_statistics`, …"""
    _, what, variable = split(quantity)
    array = variable.rpartition("/")[2]
    of = "kernels" if array == "kernel" else "statistics" if array.startswith("moving_") else "vectors"
    return f"{what}_of_{of}" if variable else "accuracy" if what.endswith("accuracy") else what


def images(model: str, quantity: str) -> int:
    """Number of images behind an accuracy; 1 for what is no accuracy."""
    _, what, _ = split(quantity)
    return {"val_accuracy": VALIDATED, "accuracy": fit_of(model)[0], "train_accuracy": fit_of(model)[0]}.get(what, 1)
