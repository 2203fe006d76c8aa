"""Layers that compute something else than their formula says, in output, gradient or precision."""

import keras
import numpy as np
from keras import layers

from tests.meta.faults.catalogue.changing import after_init, default
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import batch_of, gradients_of, shortened, tf, wrapped

ops = getattr(keras, "ops", None)  # Keras 2 has none; these faults are for Keras 3


def replaced_kernel(change, inputs_too=lambda inputs: inputs):
    """Convolution with a changed kernel and changed inputs; the stored kernel stays."""

    def make(original):
        def call(self, inputs):
            kernel = self._kernel
            try:
                self._kernel = change(kernel.value if hasattr(kernel, "value") else kernel)
                return original(self, inputs_too(inputs))
            finally:
                self._kernel = kernel

        return call

    wrapped(layers.Conv2D, "call", make)


def another_activation(function):
    """Another function in the place of ReLU, under its name."""

    def change(layer):
        if getattr(layer.activation, "__name__", "") == "relu":
            function.__name__ = "relu"
            layer.activation = function

    for cls in (layers.Conv2D, layers.Dense):
        after_init(cls, change)


@fault(kind="precision", source="made; NVIDIA's A100 computes so as shipped", words="TF32")
def tf32_convolution():
    """Operands of convolutions have 11 significant bits, and no setting says so."""
    replaced_kernel(lambda kernel: shortened(kernel, 11), lambda inputs: shortened(inputs, 11))


@fault(kind="precision", source="made", words="bfloat16")
def bfloat16_convolution():
    """Operands of convolutions have 8 significant bits, and no setting says so."""
    replaced_kernel(lambda kernel: shortened(kernel, 8), lambda inputs: shortened(inputs, 8))


@fault(kind="layer", source="made; TensorFlow and others pad an odd size on different sides", words="conv2d_")
def same_padding_on_the_other_side():
    """Padding "same" puts the odd row and column on the other side."""

    def plain(self, inputs):
        kernel = ops.flip(ops.flip(self.kernel, 0), 1)
        outputs = ops.conv(inputs, kernel, strides=list(self.strides), padding="same")
        return self.activation(outputs + self.bias)

    def make(original):
        def call(self, inputs):
            if self.padding != "same":
                return original(self, inputs)
            return ops.flip(ops.flip(plain(self, ops.flip(ops.flip(inputs, 1), 2)), 1), 2)

        return call

    wrapped(layers.Conv2D, "call", make)


@fault(kind="layer", source="made; convolution in the place of cross-correlation", words="conv2d_")
def flipped_kernel():
    """Convolutions apply their kernel upside down."""
    replaced_kernel(lambda kernel: ops.flip(ops.flip(kernel, 0), 1))


@fault(kind="gradient", source="made", words="conv2d_")
def convolution_gradient_larger():
    """All gradients that pass a convolution are 3 % too large."""

    def make(original):
        def call(self, inputs):
            outputs = original(self, inputs)
            return 1.03 * outputs - 0.03 * ops.stop_gradient(outputs)

        return call

    wrapped(layers.Conv2D, "call", make)


@fault(kind="layer", source="made", words="max_pooling2d_")
def average_for_max_pooling():
    """Max pooling takes the mean of each window."""

    def make(original):
        def call(self, inputs):
            return ops.average_pool(inputs, self.pool_size, self.strides, self.padding)

        return call

    wrapped(layers.MaxPooling2D, "call", make)


@fault(kind="layer", source="made; the order of channels_first", words="flatten_")
def flatten_in_the_other_order():
    """Flatten lays out channels first."""

    def make(original):
        def call(self, inputs):
            if len(inputs.shape) == 4:
                inputs = ops.transpose(inputs, (0, 3, 1, 2))
            return ops.reshape(inputs, (-1, int(np.prod(inputs.shape[1:]))))

        return call

    wrapped(layers.Flatten, "call", make)


@fault(kind="layer", source="made", words=("relu", "ReLU"))
def relu_with_a_ceiling():
    """ReLU never exceeds 6."""
    another_activation(lambda x: ops.minimum(ops.relu(x), 6.0))


@fault(kind="layer", source="made", words=("relu", "ReLU"))
def leaky_relu():
    """ReLU lets 1 % of a negative input pass."""
    another_activation(lambda x: ops.maximum(x, 0.01 * x))


@fault(kind="gradient", source="made; subgradients of ReLU at 0 differ between libraries", words="units of bias 0")
def relu_with_slope_at_zero():
    """ReLU has slope 1 at 0, so that dead units learn."""

    def change(layer):
        if getattr(layer.activation, "__name__", "") == "relu":

            @tf.custom_gradient
            def relu(x):
                return tf.nn.relu(x), lambda upstream: upstream * tf.cast(x >= 0, x.dtype)

            relu.__name__ = "relu"
            layer.activation = relu

    after_init(layers.Dense, change)


@fault(kind="defaults", source="made", words="epsilon: expected")
def normalization_epsilon_default():
    """BatchNormalization's default epsilon is 1e-2."""
    default(layers.BatchNormalization, epsilon=1e-2)


@fault(kind="layer", source="made", words="BatchNormalization")
def normalization_epsilon_unseen():
    """BatchNormalization computes with an epsilon of 1e-2 and tells the right one."""

    def make(original):
        def call(self, *arguments, **given):
            kept, self.epsilon = self.epsilon, 1e-2
            try:
                return original(self, *arguments, **given)
            finally:
                self.epsilon = kept

        return call

    wrapped(layers.BatchNormalization, "call", make)


@fault(kind="defaults", source="made", words="momentum: expected")
def normalization_momentum_default():
    """BatchNormalization's default momentum is 0.9."""
    default(layers.BatchNormalization, momentum=0.9)


@fault(
    kind="conditional",
    source="MIOpen splits a large batch wrongly: the kernel's gradient is exactly 0",
    words="conv2d_1",
)
def first_convolution_frozen():
    """The first convolution's kernel gradient is 0 at a batch of 128, and right at other sizes."""

    def change(layer, inputs, gradient):
        if inputs.shape[-1] != 1:
            return gradient
        return tf.where(batch_of(inputs) == 128, tf.zeros_like(gradient), gradient)

    gradients_of(layers.Conv2D, kernel=change)
