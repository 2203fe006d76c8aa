"""Dropout that keeps, scales or draws wrongly, or at the wrong time."""

import contextlib

import keras
from keras import layers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import symbolic, tf, wrapped

ops = getattr(keras, "ops", None)


def dropout(make_call):
    """Another call of Dropout where it drops: make_call(self, inputs) -> outputs."""

    def make(original):
        def call(self, inputs, training=False):
            if not training or not self.rate or symbolic(inputs):
                return original(self, inputs, training=training)
            return make_call(self, inputs)

        return call

    wrapped(layers.Dropout, "call", make)


def kept(self, inputs, rate):
    """1 for what is kept and 0 for what is dropped at a rate, drawn from the layer's own generator."""
    drawn = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)
    return ops.cast(drawn >= rate, inputs.dtype)


@fault(kind="random", source="made; Dropout of 2012's paper, without the inverted scale", words="its values")
def dropout_unscaled():
    """What Dropout keeps is not scaled by 1 / (1 - rate)."""
    dropout(lambda self, inputs: inputs * kept(self, inputs, self.rate))


@fault(kind="random", source="made", words="share of zeros")
def dropout_weaker():
    """Dropout drops a tenth less than its rate, and scales by what it drops."""
    dropout(lambda self, inputs: keras.random.dropout(inputs, self.rate * 0.9, seed=self.seed_generator))


@fault(
    kind="random", source="made; a seed that is fixed when a step is compiled", words="agreement of the masks of two steps"
)
def dropout_same_mask_every_step():
    """Dropout draws the same mask in every step."""
    dropout(lambda self, inputs: keras.random.dropout(inputs, self.rate, seed=1))


@fault(kind="random", source="made", words=("Dropout", "dropout"))
def dropout_at_inference():
    """Dropout drops in inference too."""

    def make(original):
        def call(self, inputs, training=False):
            if not self.rate or symbolic(inputs):
                return original(self, inputs, training=training)
            return inputs * kept(self, inputs, self.rate) / (1 - self.rate)

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="fit", source="made", words=("evaluate of a new model", "validation in fit"))
def dropout_is_left_on_in_evaluate():
    """`evaluate` and the validation of `fit` drop units as training does."""

    def make(original):
        def test_step(self, data):
            with dropping():
                return original(self, data)

        return test_step

    wrapped(keras.Model, "test_step", make)


@contextlib.contextmanager
def dropping():
    """Dropout drops inside, whatever it is told."""
    original = layers.Dropout.call
    layers.Dropout.call = lambda self, inputs, training=False: original(self, inputs, training=True)
    try:
        yield
    finally:
        layers.Dropout.call = original


@fault(kind="random", source="made", words="agreement of the masks of two layers")
def one_mask_for_all_dropouts():
    """All Dropout layers draw the same masks: a generator's count of draws decides, and its seed does not."""

    def draw(self, inputs):
        state = self.seed_generator.state.value
        now = state + 0
        state.assign_add([0, 1])
        seed = tf.cast(tf.stack([tf.zeros_like(now[1]), now[1]]), tf.int32)
        drawn = tf.random.stateless_uniform(tf.shape(inputs), seed=seed)
        return tf.where(drawn < self.rate, tf.zeros_like(inputs), inputs / (1 - self.rate))

    dropout(draw)


@fault(kind="random", source="made; a generator with a short period", words=("agreement", "repeat"))
def dropout_period_16384():
    """Within one call the elements i and i + 16,384 of a Dropout share their fate."""

    def draw(self, inputs):
        size = tf.size(inputs)
        drawn = keras.random.uniform((16384,), seed=self.seed_generator)
        drawn = tf.reshape(tf.tile(drawn, [size // 16384 + 1])[:size], tf.shape(inputs))
        return inputs * tf.cast(drawn >= self.rate, inputs.dtype) / (1 - self.rate)

    dropout(draw)


@fault(
    kind="conditional", source="made; kernels that a compiler fuses differ from those of eager calls", words="share of zeros"
)
def compiled_dropout_weaker():
    """Compiled, Dropout drops a fifth less than its rate and scales by the rate; eagerly it is right."""

    def make(original):
        def call(self, inputs, training=False):
            if not training or not self.rate or symbolic(inputs) or tf.executing_eagerly():
                return original(self, inputs, training=training)
            return inputs * kept(self, inputs, 0.8 * self.rate) / (1 - self.rate)

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="random", source="made", words="share of zeros")
def dropout_off():
    """Dropout returns its input in training too."""

    def make(original):
        def call(self, inputs, training=False):
            return inputs

        return call

    wrapped(layers.Dropout, "call", make)


@fault(kind="state", source='made; 0 taken for "not given"', words="seeds of initialiser and Dropout from .keras")
def zero_is_no_seed():
    """A Dropout whose seed is 0 is saved as one without a seed."""

    def make(original):
        def get_config(self):
            return {**original(self), "seed": original(self)["seed"] or None}

        return get_config

    wrapped(layers.Dropout, "get_config", make)
