"""How much arithmetic is in a model: the multiply-adds of each layer, counted from the notebook's own layer tables.

Counted are the products of Conv2D and Dense, which a matrix product or a convolution kernel does. A window that reaches into
the padding is counted whole, as such a kernel computes it. Not counted is what is done once an element (bias,
activation, pooling, dropout, normalisation, the loss, the optimizer): it moves memory more than it multiplies. A share of
the hardware's arithmetic that is taken from these counts is therefore never too high.
"""

from __future__ import annotations

import dataclasses

from cnnspec.facts import notebook
from cnnspec.names import IMAGE


@dataclasses.dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one layer for one image: forward, for the gradient of its kernel and for that of its input."""

    layer: str
    forward: int
    kernel_gradient: int
    input_gradient: int

    @property
    def training(self):
        """Multiply-adds of one image in a training step."""
        return self.forward + self.kernel_gradient + self.input_gradient


def products(layer, input_shape, output_shape):
    """Products of a layer's forward pass for one image: each output is the sum of so many.

    `layer` is one of notebook.layers, shapes are without the batch. Raises ValueError for a class without a rule.
    """
    if layer["class"] == "Conv2D":
        rows, columns, filters = output_shape
        height, width = layer["kernel_size"]
        return rows * columns * filters * height * width * input_shape[-1]
    if layer["class"] == "Dense":
        (inputs,), (units,) = input_shape, output_shape
        return inputs * units
    if layer["class"] in ("MaxPooling2D", "Dropout", "Flatten", "BatchNormalization"):
        return 0
    raise ValueError(f"no rule for the multiply-adds of a {layer['class']}; add one to cnnspec/benchmarks/flops.py")


def multiply_adds(model):
    """MultiplyAdds of each layer of a model, from the settings and output shapes that the notebook gives.

    The gradient of a kernel takes as many products as the forward pass, and so does that of the input; the first layer's
    input are the images, whose gradient nobody asks for.
    """
    summary = notebook.facts("summary").query("model == @model")
    counted, shape = [], IMAGE
    for row, layer in zip(summary.itertuples(), notebook.layers(model)):
        output = notebook.literal(row.output_shape)[1:]
        forward = products(layer, shape, output)
        counted.append(MultiplyAdds(row.layer, forward, forward, forward if counted else 0))
        shape = output
    return counted


def flops_per_image(model, training=True):
    """Floating-point operations for one image, two a multiply-add: in a training step, or in inference."""
    return 2 * sum(layer.training if training else layer.forward for layer in multiply_adds(model))
