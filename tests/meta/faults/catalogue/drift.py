"""Defaults that drift from one version to the next, for arguments that nobody passes."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, optimizers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import wrapped


def default(cls: type, **changed: Any) -> None:
    """Other defaults of a class, for arguments that the caller does not pass; its settings show them."""
    original = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **{**changed, **given})

    cls.__init__ = __init__  # type: ignore[misc]


@fault(kind="defaults", source="made", words=("beta_1",))
def beta_1_is_095() -> None:
    """Adam's beta_1 is 0.95 by default."""
    default(optimizers.Adam, beta_1=0.95)


@fault(kind="defaults", source="made", words=("amsgrad",))
def amsgrad_is_on() -> None:
    """Adam's amsgrad is on by default."""
    default(optimizers.Adam, amsgrad=True)


@fault(kind="defaults", source="made", words=("clipnorm",))
def clipnorm_is_one() -> None:
    """Adam clips gradients to a norm of 1 by default."""
    default(optimizers.Adam, clipnorm=1.0)


@fault(kind="defaults", source="made", words=("ema",))
def averaged_weights_are_on() -> None:
    """Adam keeps a moving average of the weights by default and puts it in their place every 100 steps."""
    default(optimizers.Adam, use_ema=True, ema_overwrite_frequency=100)


@fault(kind="defaults", source="made", words=("kernel_initializer",))
def dense_kernels_are_he_normal() -> None:
    """Dense draws its kernel by he_normal by default."""
    default(layers.Dense, kernel_initializer="he_normal")


@fault(kind="defaults", source="made", words=("bias_initializer", "initial values"))
def biases_start_at_a_hundredth() -> None:
    """Dense's and Conv2D's biases start at 0.01 by default."""
    for cls in (layers.Dense, layers.Conv2D):
        default(cls, bias_initializer=keras.initializers.Constant(0.01))


@fault(kind="defaults", source="made", words=("kernel_regularizer",))
def kernels_are_regularised() -> None:
    """Conv2D's kernels are regularised by default, with 1e-4 of their squares."""
    default(layers.Conv2D, kernel_regularizer=keras.regularizers.L2(1e-4))


@fault(kind="defaults", source="PyTorch's momentum of 0.1 is Keras' 0.9", words=("momentum",))
def normalisation_has_momentum_09() -> None:
    """BatchNormalization's momentum is 0.9 inside, and 0.99 in its settings."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            kept, self.momentum = self.momentum, 0.9
            try:
                return original(self, inputs, training=training, mask=mask)
            finally:
                self.momentum = kept

        return call

    wrapped(layers.BatchNormalization, "call", make)


@fault(kind="defaults", source="made", words=("loss", "from_logits", "crossentropy"))
def crossentropy_takes_logits() -> None:
    """categorical_crossentropy takes its argument for logits by default, so that the softmax is applied twice."""

    def make(original: Any) -> Any:
        def categorical_crossentropy(
            y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
        ) -> Any:
            probabilities = keras.ops.multiply(y_pred, 1.0)  # without the logits that Keras finds at a softmax
            return original(y_true, probabilities, True, label_smoothing, axis)

        return categorical_crossentropy

    wrapped(keras.losses, "categorical_crossentropy", make)


@fault(kind="defaults", source="made", words=("precision", "dtype", "policy", "bfloat16"))
def layers_compute_in_bfloat16() -> None:
    """Layers compute in bfloat16 by default, with weights in float32: another dtype policy."""
    keras.config.set_dtype_policy("mixed_bfloat16")

    def make(original: Any) -> Any:
        def clear_session(*arguments: Any, **given: Any) -> Any:
            original(*arguments, **given)  # it goes back to Keras' own default
            keras.config.set_dtype_policy("mixed_bfloat16")

        return clear_session

    for module in (keras.backend, keras.utils):
        wrapped(module, "clear_session", make)


@fault(kind="defaults", source="made", words=("data format", "channels_first", "shape"))
def channels_come_first() -> None:
    """The data format is channels_first by default."""
    keras.config.set_image_data_format("channels_first")


@fault(kind="defaults", source="made", words="steps of the optimizer")
def fit_has_batches_of_256() -> None:
    """`fit` doubles the batch size that it is given."""

    def make(original: Any) -> Any:
        def fit(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, **given: Any) -> Any:
            return original(self, x, y, batch_size=batch_size and 2 * batch_size, **given)

        return fit

    wrapped(keras.Model, "fit", make)
