"""Defects of a stack that hides NaN, loses state or saves wrongly, for `test_state_faults.py`: FAULT=name with this plugin.

Each strikes in a corner: at one batch size, in compiled steps or eagerly only, in the second model of a process, after
loading. They are for Keras 3 on TensorFlow.
"""

import contextlib
import os

import keras
from keras import layers


def replaced(cls, name, wrap):
    """Another method of a class: wrap(original) -> new."""
    setattr(cls, name, wrap(getattr(cls, name)))


def symbolic(x):
    return isinstance(x, keras.KerasTensor)


def tensorflow():
    import tensorflow

    return tensorflow


def without_nan(x):
    """x with 0 for NaN."""
    tf = tensorflow()
    return tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)


def training_batch_of(size, x, training):
    """A tensor that is true in training on a batch of `size`."""
    return bool(training) & (tensorflow().shape(x)[0] == size)


def pooling_makes_nan_zero_at_128():
    def wrap(original):
        def call(self, inputs):
            if symbolic(inputs):
                return original(self, inputs)
            tf = tensorflow()
            return original(self, tf.where(tf.shape(inputs)[0] == 128, without_nan(inputs), inputs))

        return call

    replaced(layers.MaxPooling2D, "call", wrap)


def relu_drops_nan_eagerly():
    def wrap(original):
        def call(self, inputs, training=None):
            outputs = original(self, inputs, training=training)
            relu = getattr(self.activation, "__name__", "") == "relu"
            return without_nan(outputs) if relu and not symbolic(inputs) and tensorflow().executing_eagerly() else outputs

        return call

    replaced(layers.Dense, "call", wrap)


def softmax_drops_nan():
    def wrap(original):
        def call(self, inputs, training=None):
            return original(self, inputs if symbolic(inputs) else without_nan(inputs), training=training)

        return call

    replaced(layers.Dense, "call", wrap)


def convolution_gradient_drops_nan():
    def wrap(original):
        def convolution_op(self, inputs, kernel):
            tf = tensorflow()

            @tf.custom_gradient
            def scrubbed(array):
                return tf.identity(array), without_nan

            return original(self, inputs, scrubbed(tf.convert_to_tensor(kernel)))

        return convolution_op

    replaced(layers.Conv2D, "convolution_op", wrap)


def infinity_saturates():
    def wrap(original):
        def call(self, inputs, training=None):
            outputs = original(self, inputs, training=training)
            return outputs if symbolic(outputs) else keras.ops.clip(outputs, -3.4e38, 3.4e38)

        return call

    replaced(layers.Dense, "call", wrap)


def moving_statistics(change, axes, size):
    """Another moving variance after a training batch of `size` of `axes` axes: change(layer, before, now)."""

    def wrap(original):
        def call(self, inputs, training=None, mask=None):
            if symbolic(inputs) or len(inputs.shape) != axes:
                return original(self, inputs, training=training, mask=mask)
            tf = tensorflow()
            before = tf.identity(tf.convert_to_tensor(self.moving_variance))
            outputs = original(self, inputs, training=training, mask=mask)
            now = tf.convert_to_tensor(self.moving_variance)
            struck = training_batch_of(size, inputs, training)
            self.moving_variance.assign(tf.where(struck, change(self, before, now), now))
            return outputs

        return call

    replaced(layers.BatchNormalization, "call", wrap)


def infinite(layer, before, now):
    return now / 0.0


def kept(layer, before, now):
    return before


def relu_with_slope_at_zero():
    def wrap(original):
        def __init__(self, *arguments, **given):
            original(self, *arguments, **given)
            if getattr(self.activation, "__name__", "") == "relu":
                tf = tensorflow()

                @tf.custom_gradient
                def relu(x):
                    return tf.nn.relu(x), lambda upstream: upstream * tf.cast(x >= 0, x.dtype)

                relu.__name__ = "relu"
                self.activation = relu

        return __init__

    replaced(layers.Dense, "__init__", wrap)


def second_model_keeps_its_biases():
    models = []

    def wrap(original):
        def apply(self, grads, trainable_variables=None):
            if self not in models:
                models.append(self)
            variables = trainable_variables or self._trainable_variables
            if models.index(self) >= 1:
                grads = [grad * 0 if v.path.endswith("bias") else grad for grad, v in zip(grads, variables, strict=True)]
            return original(self, grads, trainable_variables)

        return apply

    replaced(keras.optimizers.Optimizer, "apply", wrap)


def after_loading(change):
    """A change of every model that `load_model` returns."""
    original = keras.models.load_model

    def load_model(*arguments, **given):
        model = original(*arguments, **given)
        change(model)
        return model

    keras.models.load_model = load_model


def forgets_velocities(model):
    for variable in model.optimizer.variables[-1:]:
        variable.assign(variable * 0)


def forgets_its_step(model):
    model.optimizer.iterations.assign(0)


def scores_by_the_first_batch(model):
    original = model.evaluate
    model.evaluate = lambda x, y, batch_size, **given: original(x[:batch_size], y[:batch_size], batch_size, **given)


def zero_is_no_seed():
    def wrap(original):
        def get_config(self):
            return {**original(self), "seed": original(self)["seed"] or None}

        return get_config

    replaced(layers.Dropout, "get_config", wrap)


def dropout_is_left_on_in_evaluate():
    def wrap(original):
        def test_step(self, data):
            with dropping(layers.Dropout):
                return original(self, data)

        return test_step

    replaced(keras.Model, "test_step", wrap)


@contextlib.contextmanager
def dropping(cls):
    """Dropout drops inside, whatever it is told."""
    original = cls.call
    cls.call = lambda self, inputs, training=False: original(self, inputs, training=True)
    try:
        yield
    finally:
        cls.call = original


def one_mask_for_all_dropouts():
    """Every Dropout draws from the generator of the first."""

    def wrap(original):
        def call(self, inputs, training=False):
            if symbolic(inputs) or not training or self.rate == 0:
                return original(self, inputs, training=training)
            tf = tensorflow()
            drawn = tf.random.stateless_uniform(tf.shape(inputs), seed=self.same_seed())
            return tf.where(drawn < self.rate, tf.zeros_like(inputs), inputs / (1 - self.rate))

        def same_seed(self):
            state = self.seed_generator.state.value
            now = state + 0
            state.assign_add([0, 1])
            return tf_seed(now)

        layers.Dropout.same_seed = same_seed
        return call

    replaced(layers.Dropout, "call", wrap)


def tf_seed(state):
    """The count of draws of a generator, without its seed."""
    tf = tensorflow()
    return tf.cast(tf.stack([tf.zeros_like(state[1]), state[1]]), tf.int32)


FAULTS = {  # name -> (what does it, the module that must see it, what its message must say)
    "max pooling makes NaN 0 at batch 128": (
        pooling_makes_nan_zero_at_128,
        "test_nonfinite.py",
        "(MaxPooling2D, input (9, 9, 128)), batch of 128, compiled: one NaN in the input: at (1, 1, 64) of image 64",
    ),
    "ReLU makes NaN 0 eagerly": (
        relu_drops_nan_eagerly,
        "test_nonfinite.py",
        "(Dense with relu, input (576,)), batch of 1, eager: one NaN in the input: ",
    ),
    "Dense takes NaN for 0": (softmax_drops_nan, "test_nonfinite.py", "Dense with softmax drops NaN\n"),
    "a convolution's kernel gradient takes NaN for 0": (
        convolution_gradient_drops_nan,
        "test_nonfinite.py",
        "Conv2D with relu drops NaN on the way back",
    ),
    "infinity saturates": (infinity_saturates, "test_nonfinite.py", "Dense with relu changes infinity"),
    "infinite moving variance after a batch of one image": (
        lambda: moving_statistics(infinite, 4, 1),
        "test_state.py",
        "step 1, batch of 1: movement of the moving variance: relative error inf",
    ),
    "a batch of one moves no moving variance": (
        lambda: moving_statistics(kept, 2, 1),
        "test_state.py",
        "step 1, batch of 1: movement of the moving variance: relative error 1,",
    ),
    "ReLU has slope 1 at 0": (
        relu_with_slope_at_zero,
        "test_state.py",
        "Dense with ReLU, batch of 1, compiled: which units of bias 0, 0.5, −0.5 a step moves",
    ),
    "the second model of a process keeps its biases": (
        second_model_keeps_its_biases,
        "test_state.py",
        "model2: not moved by a step of 128 images",
    ),
    "a loaded optimizer forgets its last velocity": (
        lambda: after_loading(forgets_velocities),
        "test_saving.py",
        "model4 from checkpoint.keras: slot 28 of Adam",
    ),
    "a loaded optimizer forgets its step": (
        lambda: after_loading(forgets_its_step),
        "test_saving.py",
        "model4 from checkpoint.keras: the optimizer's step",
    ),
    "a loaded model is scored by its first batch": (
        lambda: after_loading(scores_by_the_first_batch),
        "test_saving.py",
        "model4 from checkpoint.keras: loss and accuracy by evaluate",
    ),
    "dropout is left on in evaluate": (
        dropout_is_left_on_in_evaluate,
        "test_dropout.py",
        "validation in fit, epoch 1, steps one by one: mean squared error of ones behind Dropout(0.5)",
    ),
    "all Dropout layers have one mask": (
        one_mask_for_all_dropouts,
        "test_dropout.py",
        "Dropout(0.25), compiled: agreement of the masks of two layers",
    ),
    "a seed of 0 is saved as none": (
        zero_is_no_seed,
        "test_saving.py",
        "seeds of initialiser and Dropout from .keras",
    ),
}

if "FAULT" in os.environ:
    FAULTS[os.environ["FAULT"]][0]()
