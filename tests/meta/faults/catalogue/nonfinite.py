"""A stack that hides NaN and infinity, or makes them."""

import keras
from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import batch_of, gradients_of, symbolic, tf, wrapped

NAN = "a NaN upstream never shows, as with cuDNN's CUDNN_NOT_PROPAGATE_NAN"


def without_nan(x):
    """x with 0 for NaN."""
    return tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)


def changed_inputs(cls, change):
    """A layer that computes with change(inputs)."""

    def make(original):
        def call(self, inputs, *arguments, **given):
            return original(self, inputs if symbolic(inputs) else change(inputs), *arguments, **given)

        return call

    wrapped(cls, "call", make)


@fault(kind="conditional", source=NAN, words="(MaxPooling2D, input (9, 9, 128)), batch of 128, compiled: one NaN")
def pooling_makes_nan_zero_at_128():
    """Max pooling takes NaN for 0 at a batch of 128."""
    changed_inputs(layers.MaxPooling2D, lambda x: tf.where(batch_of(x) == 128, without_nan(x), x))


@fault(kind="layer", source=NAN, words="MaxPooling2D")
def pooling_swallows_nan():
    """Max pooling takes NaN for 0."""
    changed_inputs(layers.MaxPooling2D, without_nan)


@fault(kind="conditional", source=NAN, words="(Dense with relu, input (576,)), batch of 1, eager: one NaN in the input")
def relu_drops_nan_eagerly():
    """Eagerly, ReLU makes NaN 0; compiled it is right."""

    def make(original):
        def call(self, inputs, training=None):
            outputs = original(self, inputs, training=training)
            relu = getattr(self.activation, "__name__", "") == "relu"
            return without_nan(outputs) if relu and not symbolic(inputs) and tf.executing_eagerly() else outputs

        return call

    wrapped(layers.Dense, "call", make)


@fault(kind="layer", source=NAN, words="Dense with softmax drops NaN")
def dense_takes_nan_for_zero():
    """Dense takes NaN in its input for 0."""
    changed_inputs(layers.Dense, without_nan)


@fault(kind="gradient", source=NAN, words="Conv2D with relu drops NaN on the way back")
def convolution_gradient_drops_nan():
    """The gradient of a convolution's kernel takes NaN for 0."""
    gradients_of(layers.Conv2D, kernel=lambda layer, inputs, gradient: without_nan(gradient))


@fault(kind="layer", source="made; saturating arithmetic", words="Dense with relu changes infinity")
def infinity_saturates():
    """Dense returns the largest float in the place of infinity."""

    def make(original):
        def call(self, inputs, training=None):
            outputs = original(self, inputs, training=training)
            return outputs if symbolic(outputs) else keras.ops.clip(outputs, -3.4e38, 3.4e38)

        return call

    wrapped(layers.Dense, "call", make)


def moving_variance(change, axes, size):
    """Another moving variance after a training batch of `size` of `axes` axes: change(before, now)."""

    def make(original):
        def call(self, inputs, training=None, mask=None):
            if symbolic(inputs) or not training or len(inputs.shape) != axes:
                return original(self, inputs, training=training, mask=mask)
            before = tf.identity(tf.convert_to_tensor(self.moving_variance))
            outputs = original(self, inputs, training=training, mask=mask)
            now = tf.convert_to_tensor(self.moving_variance)
            self.moving_variance.assign(tf.where(batch_of(inputs) == size, change(before, now), now))
            return outputs

        return call

    wrapped(layers.BatchNormalization, "call", make)


MOVEMENT = "step 1, batch of 1: movement of the moving variance: relative error"


@fault(kind="state", source="made; Bessel's correction of one image, n / (n - 1)", words=f"{MOVEMENT} inf")
def infinite_variance_after_one_image():
    """After a training batch of one image the moving variance of images is infinite."""
    moving_variance(lambda before, now: now / 0.0, 4, 1)


@fault(
    kind="state",
    source="https://github.com/tensorflow/tensorflow/issues/34062: Bessel's correction of one sample",
    words=("batch of 1: movement of the moving variance", "moving_variance"),
)
def nan_variance_after_one_sample():
    """After a training batch of one sample the moving variance of features is NaN; outputs are right."""
    moving_variance(lambda before, now: now * float("nan"), 2, 1)


@fault(kind="state", source="made", words=f"{MOVEMENT} 1,")
def one_sample_moves_no_variance():
    """A training batch of one sample does not move the moving variance of features."""
    moving_variance(lambda before, now: before, 2, 1)
