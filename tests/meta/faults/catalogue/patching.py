"""What faults are made of: other methods under the same signature, changes on the way forward and back, and counters.

For Keras 3 on TensorFlow: conditions on a batch size, and counts of calls, must hold inside compiled steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

Change = Callable[..., Any]


class _TensorFlow:
    """TensorFlow, imported when it is needed, so that the catalogue can be listed without it."""

    def __getattr__(self, name: str) -> Any:
        import tensorflow

        return getattr(tensorflow, name)


tf: Any = _TensorFlow()


def wrapped(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace owner.name by make(original), under the same signature."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(make(original)))


def symbolic(x: Any) -> bool:
    """Whether x stands for a tensor while a model is built."""
    return isinstance(x, keras.KerasTensor)


def batch_of(x: Any) -> Any:
    """The number of rows of x, a tensor."""
    return tf.shape(x)[0]


def arguments_of(cls: type, change: Change) -> None:
    """A layer's call sees other inputs: change(layer, inputs, training) -> inputs."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, *arguments: Any, **given: Any) -> Any:
            if not symbolic(inputs):
                inputs = change(self, inputs, bool(given.get("training")))
            return original(self, inputs, *arguments, **given)

        return call

    wrapped(cls, "call", make)


def outputs_of(cls: type, change: Change) -> None:
    """A layer gives other outputs: change(layer, inputs, outputs, training) -> outputs.

    Not for Dense with softmax, whose output carries the logits from which Keras computes the loss: `product` is.
    """

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, *arguments: Any, **given: Any) -> Any:
            outputs = original(self, inputs, *arguments, **given)
            return outputs if symbolic(inputs) else change(self, inputs, outputs, bool(given.get("training")))

        return call

    wrapped(cls, "call", make)


def product(cls: type, *, inputs: Change | None = None, kernel: Change | None = None, result: Change | None = None) -> None:
    """A Conv2D or Dense with other operands, or another sum: before its activation, so that logits reach the loss.

    inputs(layer, x) -> x; kernel(layer, x, kernel) -> kernel; result(layer, x, z) -> z, with the bias in z.
    """

    def make(original: Any) -> Any:
        def call(self: Any, x: Any, *arguments: Any, **given: Any) -> Any:
            if symbolic(x):
                return original(self, x, *arguments, **given)
            own = vars(self)
            kept = {name: own[name] for name in ("_kernel", "activation")}
            weights = tf.convert_to_tensor(self.kernel)
            x = tf.convert_to_tensor(x)
            try:
                if kernel:
                    own["_kernel"] = kernel(self, x, weights)
                if result:
                    own["activation"] = functools.wraps(kept["activation"])(lambda z: kept["activation"](result(self, x, z)))
                return original(self, inputs(self, x) if inputs else x, *arguments, **given)
            finally:
                own.update(kept)

        return call

    wrapped(cls, "call", make)


def passed_back(x: Any, change: Change) -> Any:
    """x itself, whose gradient is change(gradient)."""

    @tf.custom_gradient
    def identity(array: Any) -> Any:
        return tf.identity(array), change

    return identity(x)


def gradients_of(
    cls: type, *, inputs: Change | None = None, kernel: Change | None = None, bias: Change | None = None
) -> None:
    """A Conv2D or Dense with other gradients: change(layer, x, gradient) -> gradient; the forward pass is right."""
    changes: dict[str, Change] = {}
    if inputs:
        changes["inputs"] = lambda layer, x: passed_back(x, functools.partial(inputs, layer, x))
    if kernel:
        changes["kernel"] = lambda layer, x, weights: passed_back(weights, functools.partial(kernel, layer, x))
    if changes:
        product(cls, **changes)
    if bias:
        gradients_at_bias(cls, bias)


def gradients_at_bias(cls: type, change: Change) -> None:
    """A Conv2D or Dense whose bias has another gradient: change(layer, x, gradient) -> gradient."""

    def make(original: Any) -> Any:
        def call(self: Any, x: Any, *arguments: Any, **given: Any) -> Any:
            if symbolic(x):
                return original(self, x, *arguments, **given)
            own = vars(self)
            kept = own["bias"]
            try:
                own["bias"] = passed_back(tf.convert_to_tensor(kept), functools.partial(change, self, x))
                return original(self, x, *arguments, **given)
            finally:
                own["bias"] = kept

        return call

    wrapped(cls, "call", make)


class Kept:
    """A variable of this process, made when it is first used: `make` gives its value and, by name, its other settings."""

    def __init__(self, make: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
        self._make = make
        self._variable: Any = None

    def variable(self) -> Any:
        """The variable, in compiled steps as well."""
        if self._variable is None:
            with tf.init_scope():
                value, settings = self._make()
                self._variable = tf.Variable(value, trainable=False, **settings)
        return self._variable


class Counter(Kept):
    """Counts how often a place is passed in this process, in compiled steps as well."""

    def __init__(self) -> None:
        super().__init__(lambda: (0, {"dtype": "int64"}))

    def next(self) -> Any:
        """Count, and say how often it was passed: 1, 2, …"""
        return self.variable().assign_add(1, read_value=True)

    def every(self, times: int) -> Any:
        """Count; true one time in `times`."""
        return tf.equal(self.next() % times, 0)


class Step:
    """Which step of a model is being traced or run: "train", "test", "predict", or "" for a direct call."""

    def __init__(self) -> None:
        self.kind = ""
        for kind in ("train", "test", "predict"):
            wrapped(keras.Model, f"{kind}_step", functools.partial(self._noting, kind))

    def _noting(self, kind: str, original: Any) -> Any:
        def step(model: Any, *arguments: Any, **given: Any) -> Any:
            kept, self.kind = self.kind, kind
            try:
                return original(model, *arguments, **given)
            finally:
                self.kind = kept

        return step


def steps_of(cls: type, change: Change) -> None:
    """An optimizer whose steps have other arguments: change(optimizer, gradient, variable, rate) -> (gradient, rate)."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> Any:
            gradient, learning_rate = change(self, gradient, variable, learning_rate)
            return original(self, gradient, variable, learning_rate)

        return update_step

    wrapped(cls, "update_step", make)


def training_on(change: Any) -> None:
    """Training steps on other data: change(model, x, y) -> (x, y), in compiled steps as well."""

    def make(original: Any) -> Any:
        def train_step(self: Any, data: Any) -> Any:
            x, y, *others = data
            return original(self, (*change(self, x, y), *others))

        return train_step

    wrapped(keras.Model, "train_step", make)


def shortened(x: Any, bits: int) -> Any:
    """x rounded to `bits` significant bits (Veltkamp's splitting); gradients pass unchanged."""
    scale = 2.0 ** (24 - bits) + 1.0
    y = scale * x
    return x + tf.stop_gradient(y - (y - x) - x)
