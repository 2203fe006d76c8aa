"""BatchNormalization alone, in the shapes that the models have, with inputs and gradients drawn by NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import notebook
from cnnspec.oracle.layers import moving_statistics, run_layer
from tests.support.exact.cases import Case, Operands, Results

# What a step gives, in the order of `flat` -> its limit in baselines/tolerances.toml.
QUANTITIES = {
    "output in inference": "output",
    "input gradient": "input_gradient_alone",
    "gamma gradient": "weight_gradient_alone",
    "beta gradient": "weight_gradient_alone",
}


def cases(models: Sequence[str]) -> list[Case]:
    """A case for each number of channels and of axes in the models, of the largest shape that has them."""
    found: dict[tuple[int, int], Case] = {}
    for model in models:
        shown = notebook.facts_of(model, "summary")["output_shape"]
        for text, layer in zip(shown, notebook.layers(model), strict=True):
            if layer["class"] == "BatchNormalization":
                shape = notebook.literal(text)[1:]  # without the batch
                case, kind = Case(f"inputs {shape}", (layer,), shape), (shape[-1], len(shape))
                found[kind] = max(case, found.get(kind, case), key=lambda case: int(np.prod(case.shape)))
    return list(found.values())


def operands(case: Case, batch: int) -> Operands:
    """Inputs and gradient (batch, *shape), gamma, beta, moving mean and variance, as float32.

    The first channel of the inputs is zero throughout, as a dead ReLU leaves it.
    """
    drawn = np.random.RandomState(batch)
    channels = case.shape[-1]
    x = drawn.normal(0.5, 2.0, size=(batch, *case.shape))
    x[..., 0] = 0
    variance = 10.0 ** drawn.uniform(-6, 2, channels)  # of channels that are all but dead, too
    weights = [drawn.uniform(0.5, 2, channels), *drawn.normal(size=(2, channels)), variance]
    gradient = drawn.normal(size=x.shape)
    single = [array.astype("float32") for array in weights]
    return Operands(x.astype("float32"), [single], gradient.astype("float32"))


def expected(case: Case, given: Operands) -> Results:
    """The same in float64: the output in inference, the gradients of a training step (Ioffe and Szegedy 2015)."""
    (layer,), (weights,) = case.layers, given.weights
    output, _ = run_layer(layer, weights, given.x)
    _, pullback = run_layer(layer, weights, given.x, training=True)
    gradient, weight_gradients = pullback(given.gradient)
    return Results(output, gradient, [array for array in weight_gradients if array is not None])


def moved(case: Case, given: Operands, now: list[np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, float64's movement, the movement) of moving mean and variance in the training step; `now` are the weights."""
    (layer,), (weights,) = case.layers, given.weights
    start = [np.asarray(array, np.float64) for array in weights[2:]]
    end = moving_statistics(layer, start, given.x, "keras-3" if KERAS_VERSION >= (3, 0) else "tf.keras")
    for name, was, due, got in zip(("mean", "variance"), start, end, now[2:], strict=True):
        yield f"movement of the moving {name}", due - was, got - was


def flat(results: Results) -> Iterator[np.ndarray]:
    """The arrays in the order of QUANTITIES."""
    yield from (results.output, results.input_gradient, *results.weight_gradients)
