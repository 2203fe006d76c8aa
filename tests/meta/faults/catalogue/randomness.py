"""Random numbers that are not random enough: initial kernels, dropout's masks, seeds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import initializers, layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import outputs_of, symbolic, tf, wrapped

KERNEL, MASK = ("initial kernel", "kernel"), ("Dropout",)


def drawn(change: Any) -> None:
    """Initial kernels of VarianceScaling other than drawn: change(initializer, array) -> array, in NumPy."""

    def make(original: Any) -> Any:
        def call(self: Any, shape: Any, dtype: Any = None) -> Any:
            return tf.constant(change(self, np.array(original(self, shape, dtype=dtype))).astype("float32"))

        return call

    wrapped(initializers.VarianceScaling, "__call__", make)


def dropped(change: Any) -> None:
    """Dropout with other masks in training: change(layer, inputs) -> numbers in [0, 1); those below the rate are dropped."""

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: bool = False) -> Any:
            if symbolic(inputs) or not training or not self.rate:
                return original(self, inputs, training=training)
            kept = tf.cast(change(self, inputs) >= self.rate, inputs.dtype)
            return inputs * kept / (1 - self.rate)

        return call

    wrapped(layers.Dropout, "call", make)


def uniform(layer: Any, shape: Any) -> Any:
    """Numbers that Dropout draws from its own generator."""
    return keras.random.uniform(shape, seed=layer.seed_generator)


@fault(kind="random", source="made", words=KERNEL)
def kernels_repeat_after_4096_draws() -> None:
    """An initial kernel repeats its first 4,096 numbers: a generator with a short period."""
    drawn(lambda self, array: np.resize(array.ravel()[:4096], array.shape))


@fault(kind="random", source="made", words="initial weights that repeat others")
def kernels_have_ten_bits() -> None:
    """Initial kernels have 1,024 different values."""
    drawn(lambda self, array: np.round(array / np.abs(array).max() * 512) / 512 * np.abs(array).max())


@fault(kind="random", source="made", words=KERNEL)
def kernels_are_normal() -> None:
    """Uniform initialisers draw normal numbers of the same variance, cut at the bounds."""

    def change(self: Any, array: Any) -> Any:
        bound, random = np.abs(array).max(), np.random.RandomState(array.size % 1000)
        return np.clip(random.normal(0, array.std(), array.shape), -bound, bound)

    drawn(change)


@fault(kind="random", source="made", words=KERNEL)
def kernels_scale_by_channels_alone() -> None:
    """A convolution's fan ignores the size of its window: kernels are three times too wide."""

    def change(self: Any, array: Any) -> Any:
        return array * np.sqrt(np.prod(array.shape[:-2])) if array.ndim == 4 else array

    drawn(change)


@fault(kind="random", source="made", words=KERNEL)
def units_start_in_pairs() -> None:
    """Every second unit or filter starts with the kernel of the one before it, so that both learn the same."""

    def change(self: Any, array: Any) -> Any:
        last = array.shape[-1] // 2 * 2
        return np.concatenate([np.repeat(array[..., :last:2], 2, axis=-1), array[..., last:]], axis=-1)

    drawn(change)


@fault(kind="random", source="made", words=("seed",))
def seeds_are_bytes() -> None:
    """Global seeds are taken modulo 256: seeds 0 and 256 are the same."""
    wrapped(keras.utils, "set_random_seed", lambda original: lambda seed: original(seed % 256))


@fault(kind="random", source="made", words=("seed",))
def seeds_of_initialisers_are_ignored() -> None:
    """A seeded initialiser draws from the global generator, in spite of its seed."""

    def make(original: Any) -> Any:
        def call(self: Any, shape: Any, dtype: Any = None) -> Any:
            kept, self.seed = self.seed, keras.src.random.seed_generator.make_default_seed()
            try:
                return original(self, shape, dtype=dtype)
            finally:
                self.seed = kept

        return call

    wrapped(initializers.VarianceScaling, "__call__", make)


@fault(kind="random", source="made", words=MASK)
def masks_repeat_after_256_steps() -> None:
    """Dropout's count of steps is a byte: its masks come again after 256 steps."""

    def change(layer: Any, inputs: Any) -> Any:
        state = layer.seed_generator.state
        now = tf.cast(state.value % [2**31 - 1, 256], "int32")
        state.assign_add([0, 1])
        return tf.random.stateless_uniform(tf.shape(inputs), now)

    dropped(change)


@fault(kind="random", source="made", words=MASK)
def masks_are_shared_by_the_batch() -> None:
    """All images of a batch have one mask."""
    dropped(lambda layer, inputs: uniform(layer, (1, *tf.unstack(tf.shape(inputs))[1:])))


@fault(kind="random", source="made", words=MASK)
def masks_come_in_pairs() -> None:
    """Two neighbouring elements are dropped together."""

    def change(layer: Any, inputs: Any) -> Any:
        flat = tf.size(inputs)
        half = uniform(layer, ((flat + 1) // 2,))
        return tf.reshape(tf.repeat(half, 2)[:flat], tf.shape(inputs))

    dropped(change)


@fault(kind="random", source="made", words=MASK)
def masks_depend_on_the_numbers() -> None:
    """Dropout never drops an element above 1.5: its rate depends on the input."""
    dropped(lambda layer, inputs: tf.where(inputs > 1.5, 1.0, uniform(layer, tf.shape(inputs))))


@fault(kind="random", source="made", words=MASK)
def every_fit_has_the_same_masks() -> None:
    """Each call of `fit` begins with the first mask again."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            for layer in self.layers:
                if isinstance(layer, layers.Dropout) and layer.rate:
                    state = layer.seed_generator.state
                    state.assign(state.value * [1, 0])
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="random", source="made", words=MASK)
def dropout_scales_by_a_rounded_factor() -> None:
    """What Dropout keeps is scaled by 1 / (1 - rate) in bfloat16: 1.328 for 1.333."""

    def change(layer: Any, x: Any, y: Any, training: bool) -> Any:
        if not training or not layer.rate:
            return y
        exact = 1 / (1 - layer.rate)
        return y * (tf.cast(tf.cast(exact, "bfloat16"), "float32") / exact)

    outputs_of(layers.Dropout, change)
