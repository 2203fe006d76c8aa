"""Gradients that are wrong while every output is right: at one place of a layer, of one kind of number, in one precision."""

from __future__ import annotations

from typing import Any

from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import (
    batch_of,
    gradients_of,
    outputs_of,
    passed_back,
    product,
    shortened,
    symbolic,
    tf,
    wrapped,
)

CONVOLUTION, DENSE, POOLING = ("Conv2D", "conv2d"), ("Dense", "dense"), ("MaxPooling2D", "max_pooling2d")


@fault(kind="gradient", source="made", words=CONVOLUTION)
def kernel_gradient_without_the_last_image() -> None:
    """Conv2D's kernel gradient leaves out the last image of the batch."""

    def make(original: Any) -> Any:
        def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
            if symbolic(inputs):
                return original(self, inputs, kernel)
            last = tf.cast(tf.equal(tf.range(batch_of(inputs)), batch_of(inputs) - 1), inputs.dtype)[:, None, None, None]
            fixed = tf.stop_gradient(tf.convert_to_tensor(kernel))
            return original(self, inputs, kernel) * (1 - last) + original(self, inputs, fixed) * last

        return convolution_op

    wrapped(layers.Conv2D, "convolution_op", make)


@fault(kind="gradient", source="made", words=CONVOLUTION)
def input_gradient_zero_at_the_edge() -> None:
    """Conv2D with padding "same" passes no gradient to the first row of its input."""

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        if layer.padding != "same":
            return gradient
        inner = 1 - tf.one_hot(0, gradient.shape[1], dtype=gradient.dtype)
        return gradient * inner[None, :, None, None]

    gradients_of(layers.Conv2D, inputs=change)


@fault(kind="gradient", source="made", words=CONVOLUTION)
def kernel_gradient_flipped() -> None:
    """Conv2D's kernel gradient is that of a convolution, not of a correlation: turned by 180 degrees."""
    gradients_of(layers.Conv2D, kernel=lambda layer, x, gradient: gradient[::-1, ::-1])


@fault(kind="gradient", source="made", words=CONVOLUTION)
def kernel_gradient_of_one_channel_twice() -> None:
    """Channel 16 of Conv2D's kernel gradient is added twice, as by an atomic addition that is repeated."""

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return gradient * (1 + tf.one_hot(16, gradient.shape[-1], dtype=gradient.dtype))

    gradients_of(layers.Conv2D, kernel=change)


@fault(kind="precision", source="made", words=("bfloat16", "Conv2D", "conv2d"))
def kernel_gradient_in_bfloat16() -> None:
    """Conv2D's kernel gradient is computed from operands in bfloat16; the forward pass and the input gradient are right."""

    def make(original: Any) -> Any:
        def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
            if symbolic(inputs):
                return original(self, inputs, kernel)
            kernel = tf.convert_to_tensor(kernel)
            right = original(self, inputs, tf.stop_gradient(kernel))
            short = original(self, tf.stop_gradient(shortened(inputs, 8)), kernel)
            return right + passed_back(short, lambda gradient: shortened(gradient, 8)) - tf.stop_gradient(short)

        return convolution_op

    wrapped(layers.Conv2D, "convolution_op", make)


@fault(kind="precision", source="made", words=("TF32", "11 bits", "Dense", "dense"))
def dense_gradients_in_tf32() -> None:
    """Dense's gradient at its output is rounded to 11 bits before both products: TF32 in the backward pass alone."""
    product(layers.Dense, result=lambda layer, x, z: passed_back(z, lambda gradient: shortened(gradient, 11)))


@fault(kind="gradient", source="made", words=CONVOLUTION)
def bias_gradient_of_the_first_pixel_only() -> None:
    """Conv2D's bias gradient sums over the batch but averages over the pixels."""

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return gradient / float((x.shape[1] // layer.strides[0]) * (x.shape[2] // layer.strides[1]))

    gradients_of(layers.Conv2D, bias=change)


@fault(kind="gradient", source="made", words=("bias", "Dense", "dense"))
def bias_gradient_of_softmax_missing() -> None:
    """The last Dense's bias gets no gradient; its kernel does."""

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return gradient * 0 if getattr(layer.activation, "__name__", "") == "softmax" else gradient

    gradients_of(layers.Dense, bias=change)


@fault(kind="gradient", source="made", words=DENSE)
def input_gradient_with_the_wrong_sign_in_one_unit() -> None:
    """Dense's input gradient has the wrong sign at input 3."""

    def change(layer: Any, x: Any, gradient: Any) -> Any:
        return gradient * (1 - 2 * tf.one_hot(3, gradient.shape[-1], dtype=gradient.dtype))

    gradients_of(layers.Dense, inputs=change)


@fault(kind="gradient", source="made", words=("ReLU", "Dense", "dense", "Conv2D", "conv2d"))
def relu_leaks_a_little_gradient() -> None:
    """ReLU passes 0.1 % of the gradient where its input is negative; its output is right."""

    def make(original: Any) -> Any:
        def call(self: Any, x: Any, *arguments: Any, **given: Any) -> Any:
            if symbolic(x) or getattr(self.activation, "__name__", "") != "relu":
                return original(self, x, *arguments, **given)
            kept = vars(self)["activation"]

            def relu(z: Any) -> Any:
                leak = 1e-3 * tf.minimum(z, 0.0)
                return kept(z) + leak - tf.stop_gradient(leak)

            vars(self)["activation"] = relu
            try:
                return original(self, x, *arguments, **given)
            finally:
                vars(self)["activation"] = kept

        return call

    for cls in (layers.Conv2D, layers.Dense):
        wrapped(cls, "call", make)


@fault(kind="gradient", source="made", words=POOLING)
def pooling_gives_its_gradient_to_all_ties() -> None:
    """MaxPooling2D gives a window's gradient to every element that equals the maximum, not to the first alone."""

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        height, width = (y.shape[axis] * layer.pool_size[axis - 1] for axis in (1, 2))
        spread = tf.repeat(tf.repeat(y, layer.pool_size[0], axis=1), layer.pool_size[1], axis=2)
        cut = x[:, :height, :width]
        rest = tf.where(tf.equal(cut, tf.stop_gradient(spread)), cut, 0.0)
        windows = tf.nn.avg_pool2d(rest, layer.pool_size, layer.strides, "VALID") * float(
            layer.pool_size[0] * layer.pool_size[1]
        )
        return tf.stop_gradient(y) + windows - tf.stop_gradient(windows)

    outputs_of(layers.MaxPooling2D, change)


@fault(kind="gradient", source="made", words=POOLING)
def pooling_spreads_its_gradient() -> None:
    """MaxPooling2D spreads a window's gradient evenly, as average pooling does; its output is right."""

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        mean = tf.nn.avg_pool2d(x, layer.pool_size, layer.strides, "VALID")
        return tf.stop_gradient(y) + mean - tf.stop_gradient(mean)

    outputs_of(layers.MaxPooling2D, change)


@fault(
    kind="gradient",
    source="keras-team/keras: gradient of BatchNormalization in Keras 3.0.0 to 3.0.2",
    words="BatchNormalization",
)
def normalisation_holds_its_variance_constant() -> None:
    """BatchNormalization's gradient does not go through the variance of the batch."""

    def make(original: Any) -> Any:
        def _moments(self: Any, inputs: Any, mask: Any) -> Any:
            mean, variance = original(self, inputs, mask)
            return mean, tf.stop_gradient(variance)

        return _moments

    wrapped(layers.BatchNormalization, "_moments", make)


@fault(kind="gradient", source="made", words="BatchNormalization")
def gamma_has_a_share_of_its_gradient() -> None:
    """BatchNormalization's gamma gets 90 % of its gradient; beta and the input are right."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if symbolic(inputs):
                return original(self, inputs, training=training, mask=mask)
            kept = vars(self)["gamma"]
            vars(self)["gamma"] = passed_back(tf.convert_to_tensor(kept), lambda gradient: 0.9 * gradient)
            try:
                return original(self, inputs, training=training, mask=mask)
            finally:
                vars(self)["gamma"] = kept

        return call

    wrapped(layers.BatchNormalization, "call", make)


@fault(
    kind="precision",
    source="float16's smallest number; PyTorch's and Keras' loss scaling exist for it",
    words="a step from probabilities",
)
def small_gradients_are_zero() -> None:
    """Gradients below 6e-8, float16's smallest number, are zero at Dense's output: learnt images stop to count."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        return passed_back(z, lambda gradient: tf.where(tf.abs(gradient) < 6e-8, 0.0, gradient))

    product(layers.Dense, result=change)


@fault(kind="gradient", source="made", words=("Dense", "dense"))
def gradients_of_the_loss_are_clipped() -> None:
    """The gradient at the logits is clipped at 0.9 of 1/batch: only images that are certain of a wrong digit differ."""

    def change(layer: Any, x: Any, z: Any) -> Any:
        if getattr(layer.activation, "__name__", "") != "softmax":
            return z
        limit = 0.9 / tf.cast(batch_of(x), z.dtype)
        return passed_back(z, lambda gradient: tf.clip_by_value(gradient, -limit, limit))

    product(layers.Dense, result=change)
