"""How faults change Keras 3 on TensorFlow: a default, a method, a gradient. Signatures and settings stay as they were."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def tensorflow() -> Any:
    """TensorFlow, imported where a fault needs it."""
    import tensorflow

    return tensorflow


def wrapped(owner: Any, name: str, make: Make) -> None:
    """Replace owner.name by make(original), under the same signature: no test of settings sees the wrapper."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def default(cls: type, **changed: Any) -> None:
    """Other defaults of a class, for arguments that the caller does not pass; its settings show them."""
    original = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **{**changed, **given})

    cls.__init__ = __init__  # type: ignore[misc]


def after_init(cls: type, change: Callable[[Any], object]) -> None:
    """Change every object of a class after it is created; its settings do not show the change."""
    original = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **given)
        change(self)

    cls.__init__ = __init__  # type: ignore[misc]


def set_after_init(cls: type, **attributes: Any) -> None:
    """Set attributes after creation; the settings do not show them."""
    after_init(cls, lambda self: [setattr(self, name, value) for name, value in attributes.items()])


def symbolic(x: Any) -> bool:
    """Whether x stands for a tensor while a model is built."""
    return isinstance(x, keras.KerasTensor)


def tensor(x: Any) -> Any:
    """x, a variable too, as a tensor."""
    return tensorflow().convert_to_tensor(x)


def rows(x: Any) -> Any:
    """Size of a batch, known only when the step runs."""
    return tensorflow().shape(x)[0]


def rounded(bits: int) -> Callable[[Any], Any]:
    """A function that rounds a float32 to `bits` significant bits, in operations that pass gradients."""

    def round_off(x: Any) -> Any:
        scale = 2.0 ** (24 - bits) + 1.0
        return scale * x - (scale * x - x)  # Veltkamp's splitting

    return round_off


def with_gradient(x: Any, change: Callable[[Any], Any]) -> Any:
    """x, whose gradient is changed on the way back: change(gradient) -> gradient."""
    tf = tensorflow()

    @tf.custom_gradient
    def same(array: Any) -> Any:
        return tf.identity(array), change

    return same(tensor(x))


def kernel_gradient(change: Callable[[Any, Any], Any], where: Callable[[Any], bool] = lambda inputs: True) -> None:
    """Another gradient of the kernel of each convolution whose inputs are `where`: change(gradient, inputs)."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
            if symbolic(inputs) or not where(inputs):
                return original(self, inputs, kernel)
            return original(self, inputs, with_gradient(kernel, lambda gradient: change(gradient, inputs)))

        return convolution_op

    wrapped(layers.Conv2D, "convolution_op", make)


def chance(probability: float) -> Any:
    """A tensor that is true with a probability at each execution, whatever the seeds: by the microseconds of the clock."""
    tf = tensorflow()
    ticks = tf.cast(tf.math.floormod(tf.timestamp() * 1e6, 1e6), tf.int64)
    mixed = tf.math.floormod(ticks * 7919 + 104729 * (ticks // 97), 1000003)
    return tf.cast(mixed, tf.float64) < probability * 1000003


def in_training() -> bool:
    """Whether the model that is called now was called with training=True."""
    from keras.src.backend.common import global_state

    context = global_state.get_global_attribute("current_call_ctx")
    return bool(getattr(context, "training", False))


FITTING = {"now": False}


def while_fitting() -> None:
    """FITTING["now"] is true inside `fit`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            FITTING["now"] = True
            try:
                return original(self, *arguments, **given)
            finally:
                FITTING["now"] = False

        return fit

    wrapped(keras.Model, "fit", make)
