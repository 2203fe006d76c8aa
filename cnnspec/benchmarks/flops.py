"""How much arithmetic is in a model: the multiply-adds of each layer, counted from the notebook's own layer tables.

The products of Conv2D and Dense are counted, which a matrix product or a convolution kernel computes. A window that reaches
into the padding is counted whole, because such a kernel computes it whole. Operations on single elements are not counted
(bias, activation, pooling, dropout, normalisation, the loss, the optimizer): memory limits them, not arithmetic. A share of
the hardware's arithmetic that is computed from these counts is therefore never too high.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.facts import notebook
from cnnspec.names import IMAGE, MODELS


@dataclasses.dataclass(frozen=True)
class MultiplyAdds:
    """Multiply-adds of one layer for one image: forward, for its kernel's gradient and for its input's gradient."""

    layer: str
    forward: int
    kernel_gradient: int
    input_gradient: int

    @property
    def training(self) -> int:
        """Multiply-adds of one image in a training step."""
        return self.forward + self.kernel_gradient + self.input_gradient


def products(layer: Mapping[str, Any], input_shape: Sequence[int], output_shape: Sequence[int]) -> int:
    """Number of products in a layer's forward pass for one image.

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
    raise ValueError(
        f"no rule for the multiply-adds of {layer['class']}; add one to `products` in cnnspec/benchmarks/flops.py"
    )


def multiply_adds(model: str) -> list[MultiplyAdds]:
    """MultiplyAdds of each layer of a model, from the settings and output shapes that the notebook gives.

    The gradient of a kernel takes as many products as the forward pass, and so does the gradient of the input. The input of
    the first layer is the images, whose gradient is not computed.
    """
    summary = notebook.facts_of(model, "summary")
    counted: list[MultiplyAdds] = []
    shape: tuple[int, ...] = IMAGE
    for name, shown, layer in zip(summary["layer"], summary["output_shape"], notebook.layers(model), strict=True):
        output = notebook.literal(shown)[1:]
        forward = products(layer, shape, output)
        counted.append(MultiplyAdds(name, forward, forward, forward if counted else 0))
        shape = output
    return counted


def flops_per_image(model: str, training: bool = True) -> int:
    """Floating-point operations for one image, two per multiply-add: in a training step, or in inference."""
    return 2 * sum(layer.training if training else layer.forward for layer in multiply_adds(model))


def cheapest() -> tuple[str, ...]:
    """The two models with the fewest operations, the cheapest first; between them they have every kind of layer."""
    return tuple(sorted(MODELS, key=flops_per_image)[:2])
