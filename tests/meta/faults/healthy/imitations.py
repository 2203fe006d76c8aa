"""A plugin: what healthy GPUs do, imitated on a CPU with Keras 3 on TensorFlow: IMITATED names one of IMITATIONS.

The stack tells that it computes on a GPU, as the real one does, and whether TF32 is on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

LAST_BIT = 2.0**-23  # of a float32, relative
FIRST_CALLS = 3  # of a layer, in which autotuning takes another algorithm
LARGE_BATCH = 64  # the least for which a library that measures takes a kernel in TF32, where it takes none for smaller ones


def told_as_a_gpu(tf32: Callable[[], str]) -> None:
    """Let the stack tell a pretended GPU, and of its TF32 what `tf32` says."""
    from cnnspec import stack

    original = stack._FRAMEWORK_FACTS["tensorflow"]
    gpu = {"device": "pretended GPU", "cuda": "12.5", "cudnn": "9"}
    stack._FRAMEWORK_FACTS["tensorflow"] = lambda: {**original(), **gpu, "tf32": tf32()}


def in_tf32(array: Any) -> Any:
    """A float32 rounded to TF32's 11 significant bits, to the nearest, ties to even."""
    import tensorflow as tf

    bits = tf.bitcast(array, tf.int32)
    even = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
    return tf.bitcast(tf.bitwise.bitwise_and(bits + 0x0FFF + even, -8192), tf.float32)


def product(plain: Callable[[Any, Any], Any], on: bool, least: int = 0) -> Callable[[Any, Any], Any]:
    """A product whose operands are rounded to TF32, forward and backward, where it is on when the step is compiled.

    Batches of fewer than `least` images are computed in float32 all the same.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def computed(inputs: Any, kernel: Any) -> Any:
        large = tf.shape(inputs)[0] >= least

        def rounded(array: Any) -> Any:
            return tf.where(large, in_tf32(array), array) if on else tf.identity(array)

        def back(upstream: Any) -> Any:
            with tf.GradientTape() as tape:
                operands = [rounded(inputs), rounded(kernel)]
                tape.watch(operands)
                outputs = plain(*operands)
            return tape.gradient(outputs, operands, rounded(upstream))

        return plain(rounded(inputs), rounded(kernel)), back

    return lambda inputs, kernel: computed(tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel))


def tf32(least: int = 0) -> None:
    """Products of convolutions and Dense in TF32, as an Ampere GPU computes them as shipped; `least` as in `product`."""
    import tensorflow as tf
    from keras import layers

    from tests.meta.faults.catalogue.patching import symbolic, wrapped

    on = tf.config.experimental.tensor_float_32_execution_enabled
    told_as_a_gpu(lambda: "on" if on() else "off")

    def convolution(original: Any) -> Any:
        def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
            return product(lambda a, b: original(self, a, b), bool(on()), least)(inputs, kernel)

        return convolution_op

    def dense(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None) -> Any:
            if symbolic(inputs):
                return original(self, inputs, training=training)
            outputs = product(tf.matmul, bool(on()), least)(inputs, self.kernel)
            outputs = outputs + tf.convert_to_tensor(self.bias) if self.use_bias else outputs
            return self.activation(outputs) if self.activation is not None else outputs

        return call

    wrapped(layers.Conv2D, "convolution_op", convolution)
    wrapped(layers.Dense, "call", dense)


def tf32_by_batch() -> None:
    """TF32 for large batches alone: JAX on an H100 has other kernels for 128 images than for 32."""
    tf32(LARGE_BATCH)


def compiled_by_xla() -> None:
    """Steps, predictions and evaluations compiled by XLA: what Keras 3 on TensorFlow takes as soon as there is a GPU."""
    from keras.src.trainers import trainer

    from tests.meta.faults.catalogue.patching import wrapped

    def resolved(original: Any) -> Any:
        def _resolve_auto_jit_compile(self: Any) -> bool:
            return bool(trainer.model_supports_jit(self))

        return _resolve_auto_jit_compile

    told_as_a_gpu(lambda: "off")
    wrapped(trainer.Trainer, "_resolve_auto_jit_compile", resolved)


def atomics() -> None:
    """The last bit of a convolution's kernel gradient falls this way or that in each execution."""
    import tensorflow as tf
    from keras import layers

    from tests.meta.faults.catalogue.changing import chance
    from tests.meta.faults.catalogue.patching import gradients_of

    told_as_a_gpu(lambda: "off")
    change = lambda layer, inputs, gradient: tf.where(chance(0.5), gradient * (1 + LAST_BIT), gradient)  # noqa: E731
    gradients_of(layers.Conv2D, kernel=change)


def autotuning() -> None:
    """The first gradients of a convolution's kernel come from another algorithm, which differs in the last bit."""
    import tensorflow as tf
    from keras import layers

    from tests.meta.faults.catalogue.patching import gradients_of

    told_as_a_gpu(lambda: "off")
    calls: dict[Any, Any] = {}

    def change(layer: Any, inputs: Any, gradient: Any) -> Any:
        shape = tuple(gradient.shape)
        if shape not in calls:
            with tf.init_scope():
                calls[shape] = tf.Variable(0, trainable=False)
        before = tf.identity(calls[shape])
        with tf.control_dependencies([before]):
            calls[shape].assign_add(1)
        return tf.where(before < FIRST_CALLS, gradient * (1 + LAST_BIT), gradient)

    gradients_of(layers.Conv2D, kernel=change)


IMITATIONS = {
    "tf32": tf32,
    "tf32 by batch": tf32_by_batch,
    "XLA": compiled_by_xla,
    "atomics": atomics,
    "autotuning": autotuning,
}


def pytest_configure(config: pytest.Config) -> None:
    IMITATIONS[os.environ["IMITATED"]]()
