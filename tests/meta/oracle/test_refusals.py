"""Does the float64 implementation refuse layers that it has no formula for, and arguments that do not fit?"""

import numpy as np
import pytest

from cnnspec.oracle.layers import moving_statistics, run_layer, weight_shapes
from cnnspec.oracle.network import Network
from tests.meta.oracle.cases import (
    DROPOUT,
    FLATTEN,
    KEEP,
    STATISTICS,
    batch_normalization,
    conv2d,
    dense,
    kernel_and_bias,
    max_pooling2d,
    random,
)

CONV = conv2d((3, 3), (1, 1), "same")
VECTORS, IMAGE = random(2, 4), (6, 5, 1)

# id: (layer, input shape, message)
REFUSED_LAYERS = {
    "class": ({"class": "LSTM"}, IMAGE, r"unknown layer class 'LSTM'; known are Conv2D, MaxPooling2D, "),
    "no class": ({"units": 3}, (4,), r"unknown layer class None; known are Conv2D, "),
    "activation": (dense("gelu"), (4,), r"unknown activation 'gelu'; known are linear, relu, softmax"),
    "padding": (conv2d((3, 3), (1, 1), "full"), IMAGE, r"unknown padding 'full'; known are 'same', 'valid'"),
    "dilation": ({**CONV, "dilation_rate": (2, 2)}, IMAGE, r"Conv2D with dilation_rate=\(2, 2\) has no formula"),
    "groups": ({**CONV, "groups": 2}, IMAGE, r"Conv2D with groups=2 has no formula here"),
    "layout": ({**CONV, "data_format": "channels_first"}, IMAGE, r"Conv2D with data_format='channels_first' "),
    "no bias": ({**dense("relu"), "use_bias": False}, (4,), r"Dense with use_bias=False has no formula here"),
    "no gamma": ({**batch_normalization(), "scale": False}, (4,), r"BatchNormalization with scale=False has"),
    "regularizer": ({**dense("relu"), "kernel_regularizer": "l2"}, (4,), r"Dense with kernel_regularizer='l2' "),
    "axes": (dense("relu"), IMAGE, r"Dense takes inputs of 1 axes besides the batch, not \(6, 5, 1\)"),
    "window": (max_pooling2d((3, 3), (3, 3)), (6, 2, 1), r"a window of 3 does not fit an input of 2 with padding"),
}


@pytest.mark.parametrize(("layer", "input_shape", "message"), REFUSED_LAYERS.values(), ids=REFUSED_LAYERS)
def test_a_layer_without_a_formula_is_refused(layer, input_shape, message):
    """A layer or setting without a formula raises a ValueError that names it."""
    with pytest.raises(ValueError, match=message):
        weight_shapes([layer], input_shape)


ASSUMED = {  # setting: (the value that the formulas assume, another)
    "use_bias": (True, False),
    "dilation_rate": ((1, 1), (2, 1)),
    "groups": (1, 2),
    "data_format": ("channels_last", "channels_first"),
    "axis": (-1, 1),
    "center": (True, False),
    "scale": (True, False),
    "renorm": (False, True),
    "noise_shape": (None, (1, 4)),
    "kernel_regularizer": (None, "l2"),
    "bias_regularizer": (None, "l2"),
    "activity_regularizer": (None, "l2"),
}


@pytest.mark.parametrize(("setting", "values"), ASSUMED.items(), ids=ASSUMED)
def test_only_what_the_formulas_assume_is_taken(setting, values):
    """A setting with the value that the formulas assume changes nothing; with any other it is refused."""
    assumed, other = values
    assert weight_shapes([{**CONV, setting: assumed}], IMAGE) == weight_shapes([CONV], IMAGE)
    with pytest.raises(ValueError, match=f"Conv2D with {setting}=.* has no formula here"):
        weight_shapes([{**CONV, setting: other}], IMAGE)


NEEDED = r"Conv2D on inputs \(6, 5, 1\) needs weights \{'kernel': \(3, 3, 1, 3\), 'bias': \(3,\)\}, got \[\(3,"
VECTOR_WEIGHTS = [kernel_and_bias(4, 3)]
SOFTMAX = [dense("softmax")]
STEP = Network(SOFTMAX, VECTOR_WEIGHTS).loss_and_gradients

# id: (function, its arguments, message)
REFUSED_CALLS = {
    "weight shape": (run_layer, (CONV, kernel_and_bias(3, 2, 1, 3), random(2, *IMAGE)), NEEDED),
    "number of weights": (run_layer, (CONV, [random(3, 3, 1, 3)], random(2, *IMAGE)), NEEDED),
    "mask": (run_layer, (DROPOUT, [], VECTORS, True, KEEP), r"\(2, 4\) needs a mask of that shape, got "),
    "number of masks": (STEP, (VECTORS, np.eye(3)[:2], [KEEP]), r"0 Dropout layers need as many masks, got 1"),
    "lists": (Network, ([FLATTEN, *SOFTMAX], VECTOR_WEIGHTS), r"2 layers need as many lists of weights, got"),
    "last": (Network, ([dense("relu")], VECTOR_WEIGHTS), r"last layer has to be a Dense with .*'softmax', "),
    "convention": (
        moving_statistics,
        (batch_normalization(), STATISTICS[2:], random(5, 3), "keras-1"),
        r"unknown convention 'keras-1'; known are 'keras-3', 'tf.keras', 'keras-2.3.1', 'keras-2.2.4'",
    ),
}


@pytest.mark.parametrize(("function", "arguments", "message"), REFUSED_CALLS.values(), ids=REFUSED_CALLS)
def test_arguments_that_do_not_fit_are_refused(function, arguments, message):
    """Arguments of the wrong shape or number raise a ValueError that says what is needed."""
    with pytest.raises(ValueError, match=message):
        function(*arguments)
