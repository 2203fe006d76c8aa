"""Are the multiply-adds that a benchmark counts those that the layers compute?"""

import itertools

import numpy as np
import pytest

from cnnspec.benchmarks.flops import flops_per_image, multiply_adds, products
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.oracle.layers import padding_amounts, run_layer

CONV2D = {"class": "Conv2D", "filters": 3, "kernel_size": (2, 3), "activation": "linear"}
LAYERS = {  # layer, input shape, output shape, multiply-adds by hand
    "a 2 × 3 window on 5 × 6 × 2, valid": (
        {**CONV2D, "strides": (1, 1), "padding": "valid"},
        (5, 6, 2),
        (4, 4, 3),
        4 * 4 * 3 * (2 * 3 * 2),
    ),
    "the same window, same": ({**CONV2D, "strides": (1, 1), "padding": "same"}, (5, 6, 2), (5, 6, 3), 5 * 6 * 3 * 12),
    "the same window, stride 2": ({**CONV2D, "strides": (2, 2), "padding": "same"}, (5, 6, 2), (3, 3, 3), 3 * 3 * 3 * 12),
    "dense": ({"class": "Dense", "units": 4, "activation": "linear"}, (7,), (4,), 28),
    "max pooling": ({"class": "MaxPooling2D"}, (4, 4, 2), (2, 2, 2), 0),
    "batch normalisation": ({"class": "BatchNormalization"}, (4, 4, 2), (4, 4, 2), 0),
    "dropout": ({"class": "Dropout"}, (8,), (8,), 0),
    "flatten": ({"class": "Flatten"}, (2, 2, 2), (8,), 0),
}
TOTALS = {  # model -> multiply-adds of an image, forward, by hand: output positions × filters × window, inputs × units
    "model1": 26 * 26 * 32 * 9 + 24 * 24 * 64 * (9 * 32) + 9216 * 128 + 128 * 10,
    "model2": 28 * 28 * 32 * 9 + 14 * 14 * 32 * (9 * 32) + 1568 * 100 + 100 * 10,
    "model3": 28 * 28 * 64 * 4
    + 27 * 27 * 64 * (4 * 64)
    + 9 * 9 * 128 * (9 * 64)
    + 9 * 9 * 128 * (9 * 128)
    + 1152 * 200
    + 200 * 10,
    "model4": 14 * 14 * 64 * 4 + 7 * 7 * 64 * (16 * 64) + 576 * 200 + 200 * 10,
}
FIRST = {"model1": 26 * 26 * 32 * 9, "model2": 28 * 28 * 32 * 9, "model3": 28 * 28 * 64 * 4, "model4": 14 * 14 * 64 * 4}


@pytest.mark.parametrize(("layer", "input_shape", "output_shape", "due"), LAYERS.values(), ids=LAYERS)
def test_layers(layer, input_shape, output_shape, due):
    """Each kind of layer has the number of products that is counted by hand."""
    assert products(layer, input_shape, output_shape) == due


@pytest.mark.parametrize("case", [name for name, case in LAYERS.items() if case[0]["class"] == "Conv2D"])
def test_a_convolution_by_loops(case):
    """A convolution and its two gradients, one product at a time: as many as counted, and the results are right."""
    layer, input_shape, output_shape, due = LAYERS[case]
    generator = np.random.default_rng(0)
    (height, width), (down, across) = layer["kernel_size"], layer["strides"]
    x = generator.normal(size=(1, *input_shape))
    kernel = generator.normal(size=(height, width, input_shape[-1], layer["filters"]))
    y, pullback = run_layer(layer, [kernel, np.zeros(layer["filters"])], x)
    assert y.shape[1:] == output_shape
    slope = generator.normal(size=y.shape)

    paddings = [
        padding_amounts(*axis, layer["padding"])[1:]
        for axis in zip(input_shape[:2], (height, width), (down, across), strict=True)
    ]
    padded = np.pad(x[0], (*paddings, (0, 0)))
    forward, kernel_gradient, input_gradient = np.zeros(output_shape), np.zeros(kernel.shape), np.zeros(padded.shape)
    counts = {"forward": 0, "kernel": 0, "input": 0}
    places = itertools.product(*(range(length) for length in (*output_shape, height, width, input_shape[-1])))
    for i, j, o, h, w, c in places:
        row, column = i * down + h, j * across + w
        forward[i, j, o] += padded[row, column, c] * kernel[h, w, c, o]
        counts["forward"] += 1
        kernel_gradient[h, w, c, o] += padded[row, column, c] * slope[0, i, j, o]
        counts["kernel"] += 1
        input_gradient[row, column, c] += kernel[h, w, c, o] * slope[0, i, j, o]
        counts["input"] += 1

    assert counts == dict.fromkeys(counts, due)
    inside = tuple(slice(before, before + length) for (before, _), length in zip(paddings, input_shape, strict=False))
    expected, (expected_kernel, _) = pullback(slope)
    np.testing.assert_allclose(forward, y[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(kernel_gradient, expected_kernel, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(input_gradient[inside], expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", TOTALS)
def test_totals(model):
    """Forward, each model has the products of its convolutions and dense layers; training has three times as many, without
    the gradient of the images."""
    assert flops_per_image(model, training=False) == 2 * TOTALS[model]
    assert flops_per_image(model) == 2 * (3 * TOTALS[model] - FIRST[model])


@pytest.mark.parametrize("model", MODELS)
def test_the_summary_agrees(model):
    """Each Conv2D and Dense has as many products per output position as the notebook's summary prints kernel weights."""
    summary = notebook.facts("summary").query("model == @model")
    rows = list(zip(summary.itertuples(), multiply_adds(model), strict=True))
    for row, counted in rows:
        if row[4] in ("Conv2D", "Dense"):
            *positions, filters = notebook.literal(row.output_shape)[1:]
            assert counted.forward == (int(row.parameters) - filters) * int(np.prod(positions)), row.layer
        else:
            assert counted.training == 0, row.layer
    assert rows[0][1].input_gradient == 0


def test_an_unknown_layer_is_refused():
    """A layer without a rule is an error, not a layer without arithmetic."""
    with pytest.raises(ValueError, match="no rule for the multiply-adds of LSTM; add one"):
        products({"class": "LSTM"}, (3, 4), (5,))
