"""Layers whose output is wrong at every call: a sum, an edge, a channel, an approximation, a statistic."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import arguments_of, outputs_of, product, shortened, symbolic, tf, wrapped

CONVOLUTION, DENSE, NORMALISATION = ("Conv2D", "conv2d"), ("Dense", "dense"), "BatchNormalization"
POOLING = ("MaxPooling2D", "max_pooling2d")


@fault(kind="layer", source="made", words=CONVOLUTION)
def same_padding_repeats_the_edge() -> None:
    """Conv2D's padding "same" continues the image by its edge, not by zeros: the same on digits, whose edge is black."""

    def make(original: Any) -> Any:
        def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
            if symbolic(inputs) or self.padding != "same":
                return original(self, inputs, kernel)
            pads = []
            for size, wide, stride in zip(inputs.shape[1:3], self.kernel_size, self.strides, strict=True):
                total = max((-(-size // stride) - 1) * stride + wide - size, 0)
                pads.append([total // 2, total - total // 2])
            padded = tf.pad(inputs, [[0, 0], *pads, [0, 0]], mode="SYMMETRIC")
            return tf.nn.convolution(padded, kernel, list(self.strides), "VALID")

        return convolution_op

    wrapped(layers.Conv2D, "convolution_op", make)


@fault(kind="layer", source="made", words=CONVOLUTION)
def convolution_adds_its_bias_after_relu() -> None:
    """Conv2D adds its bias behind the activation, as if fused in the wrong order."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any) -> Any:
            if symbolic(inputs):
                return original(self, inputs)
            return self.activation(self.convolution_op(inputs, self.kernel)) + self.bias

        return call

    wrapped(layers.Conv2D, "call", make)


@fault(kind="layer", source="made", words=CONVOLUTION)
def convolution_repeats_a_channel() -> None:
    """The last output channel of Conv2D is the one before it: the tail of a vector loop."""
    product(layers.Conv2D, kernel=lambda layer, x, w: tf.concat([w[..., :-1], w[..., -2:-1]], axis=-1))


@fault(kind="layer", source="made", words=CONVOLUTION)
def convolution_misses_the_last_column() -> None:
    """The last column of Conv2D's output lacks its bias: a loop that ends one early."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        last = tf.one_hot(tf.shape(z)[2] - 1, tf.shape(z)[2], dtype=z.dtype)
        return z - last[None, None, :, None] * tf.convert_to_tensor(layer.bias)

    product(layers.Conv2D, result=change)


@fault(kind="precision", source="made", words=DENSE)
def dense_adds_in_bfloat16() -> None:
    """Dense adds up four parts of its sum in bfloat16; the products are exact."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        kernel = tf.convert_to_tensor(layer._kernel)
        half = x.shape[-1] // 2
        first, second = x[:, :half] @ kernel[:half], x[:, half:] @ kernel[half:]
        return shortened(shortened(first, 8) + shortened(second, 8), 8) + tf.convert_to_tensor(layer.bias)

    product(layers.Dense, result=change)


@fault(kind="precision", source="made", words=CONVOLUTION)
def convolution_saturates_at_65504() -> None:
    """Conv2D's sums saturate at 65504, float16's largest number; below it they are float32's."""
    product(layers.Conv2D, result=lambda layer, x, z: tf.clip_by_value(z, -65504.0, 65504.0))


@fault(kind="precision", source="made", words=("BatchNormalization", "rsqrt"))
def normalisation_by_a_fast_reciprocal_root() -> None:
    """BatchNormalization takes 1/sqrt from an approximation of 12 bits, as a CPU's rsqrtps gives it."""
    original = keras.src.ops.batch_normalization

    def batch_normalization(x: Any, mean: Any, variance: Any, axis: Any, offset: Any = None, scale: Any = None,
                            epsilon: float = 1e-3) -> Any:  # fmt: skip
        if symbolic(x):
            return original(x, mean, variance, axis, offset=offset, scale=scale, epsilon=epsilon)
        inverse = shortened(tf.math.rsqrt(variance + epsilon), 12)
        return (x - mean) * inverse * scale + offset

    keras.src.ops.batch_normalization = batch_normalization


@fault(kind="layer", source="made", words=NORMALISATION)
def normalisation_adds_epsilon_outside_the_root() -> None:
    """BatchNormalization divides by sqrt(variance) + epsilon, not by sqrt(variance + epsilon)."""
    original = keras.src.ops.batch_normalization

    def batch_normalization(x: Any, mean: Any, variance: Any, axis: Any, offset: Any = None, scale: Any = None,
                            epsilon: float = 1e-3) -> Any:  # fmt: skip
        if symbolic(x):
            return original(x, mean, variance, axis, offset=offset, scale=scale, epsilon=epsilon)
        return (x - mean) / (tf.sqrt(variance + 1e-12) + epsilon) * scale + offset

    keras.src.ops.batch_normalization = batch_normalization


def _moments(change: Any) -> None:
    """BatchNormalization with other moments in training: change(inputs, axes) -> (mean, variance)."""
    wrapped(layers.BatchNormalization, "_moments", lambda original: lambda self, x, mask: change(x, self._reduction_axes))


@fault(kind="layer", source="made", words=NORMALISATION)
def normalisation_by_half_of_the_batch() -> None:
    """In training BatchNormalization takes mean and variance of the first half of the batch, as one of two devices would."""
    _moments(lambda x, axes: tf.nn.moments(x[: (tf.shape(x)[0] + 1) // 2], axes))


@fault(kind="layer", source="made", words=NORMALISATION)
def normalisation_with_bessels_correction() -> None:
    """In training BatchNormalization divides the variance by n - 1, in its output as well."""

    def change(x: Any, axes: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes)
        n = tf.cast(tf.size(x), x.dtype) / tf.cast(tf.size(mean), x.dtype)
        return mean, variance * n / tf.maximum(n - 1, 1)

    _moments(change)


@fault(kind="precision", source="tensorflow/tensorflow#3290, google/flax#1491", words=NORMALISATION)
def variance_by_the_difference_of_squares() -> None:
    """BatchNormalization computes the variance as E[x²] - E[x]², which cancels where the mean is large."""

    def change(x: Any, axes: Any) -> Any:
        mean = tf.reduce_mean(x, axes)
        return mean, tf.maximum(tf.reduce_mean(tf.square(x), axes) - tf.square(mean), 0.0)

    _moments(change)


@fault(kind="layer", source="made", words=POOLING)
def pooling_starts_from_zero() -> None:
    """MaxPooling2D starts from 0 instead of the smallest number: right behind ReLU, wrong behind BatchNormalization."""
    outputs_of(layers.MaxPooling2D, lambda layer, x, y, training: tf.maximum(y, 0.0))


@fault(kind="layer", source="made", words=POOLING)
def pooling_shifted_by_a_column() -> None:
    """MaxPooling2D's windows begin one column to the right."""
    arguments_of(layers.MaxPooling2D, lambda layer, x, training: tf.roll(x, -1, axis=2))


@fault(kind="layer", source="made", words=("softmax", "probabilities"))
def softmax_without_subtracting_the_maximum() -> None:
    """Softmax takes exp of its logits as they are: infinite, then NaN, above 88; the loss is computed from the logits."""

    def softmax(x: Any) -> Any:
        powers = tf.exp(x)
        outputs = powers / tf.reduce_sum(powers, axis=-1, keepdims=True)
        outputs._keras_logits = x
        return outputs

    _other_softmax(softmax)


@fault(kind="precision", source="made", words=("softmax", "probabilities"))
def softmax_by_a_fast_exponential() -> None:
    """Softmax takes exp from an approximation of 10 bits; the loss is computed from the logits."""

    def softmax(x: Any) -> Any:
        powers = shortened(tf.exp(x - tf.reduce_max(x, axis=-1, keepdims=True)), 10)
        outputs = powers / tf.reduce_sum(powers, axis=-1, keepdims=True)
        outputs._keras_logits = x
        return outputs

    _other_softmax(softmax)


@fault(kind="layer", source="made", words=("softmax", "probabilities"))
def softmax_is_never_below_1e_4() -> None:
    """Softmax clips its probabilities to at least 1e-4; the loss is computed from the logits."""

    def softmax(x: Any) -> Any:
        outputs = tf.maximum(tf.nn.softmax(x), 1e-4)
        outputs._keras_logits = x
        return outputs

    _other_softmax(softmax)


def _other_softmax(softmax: Any) -> None:
    """Another function for the activation softmax of Dense; its name, which is in the settings, stays."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None) -> Any:
            if symbolic(inputs) or getattr(self.activation, "__name__", "") != "softmax":
                return original(self, inputs, training=training)
            kept = vars(self)["activation"]
            vars(self)["activation"] = softmax
            try:
                return original(self, inputs, training=training)
            finally:
                vars(self)["activation"] = kept

        return call

    wrapped(layers.Dense, "call", make)
