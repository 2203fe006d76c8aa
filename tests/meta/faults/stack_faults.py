"""Defects put into Keras itself, for `test_faults.py`: `FAULT=name pytest -p tests.meta.faults.stack_faults`.

Each fault replaces one function or default of Keras before the test modules are imported.
"""

import functools
import os

import keras
import numpy as np
from keras import layers, optimizers

ops = getattr(keras, "ops", None)  # Keras 2 has none; these faults are for Keras 3


def default(cls, **changed):
    """Other defaults of a class, for arguments that the caller does not pass."""
    original = cls.__init__

    def patched(self, *arguments, **given):
        original(self, *arguments, **{**changed, **given})

    cls.__init__ = patched


def after_init(cls, change):
    """Change every object of a class after it is created; its configuration does not show the change."""
    original = cls.__init__

    def patched(self, *arguments, **given):
        original(self, *arguments, **given)
        change(self)

    cls.__init__ = patched


def replaced_call(cls, wrap):
    """Replace `call` of a layer class: wrap(original) -> new."""
    cls.call = wrap(cls.call)


def set_after_init(cls, **attributes):
    """Set attributes after creation; the configuration does not show them."""
    after_init(cls, lambda self: [setattr(self, name, value) for name, value in attributes.items()])


def rounded(bits):
    """A function that rounds a float32 to `bits` significant bits, in operations that pass gradients."""

    def round_off(x):
        scale = 2.0 ** (24 - bits) + 1.0
        return scale * x - (scale * x - x)  # Veltkamp's splitting

    return round_off


def low_precision(bits):
    """Convolution whose operands are rounded to `bits` significant bits."""

    def wrap(original):
        def call(self, inputs):
            kernel, shorten = self._kernel, rounded(bits)
            try:
                self._kernel = shorten(kernel.value if hasattr(kernel, "value") else kernel)
                return original(self, shorten(inputs))
            finally:
                self._kernel = kernel

        return call

    replaced_call(layers.Conv2D, wrap)


def replaced_kernel(change):
    """Convolution with a changed kernel; the stored kernel stays."""

    def wrap(original):
        def call(self, inputs):
            kernel = self._kernel
            try:
                self._kernel = change(kernel.value if hasattr(kernel, "value") else kernel)
                return original(self, inputs)
            finally:
                self._kernel = kernel

        return call

    replaced_call(layers.Conv2D, wrap)


def same_padding_on_the_other_side():
    def wrap(original):
        def call(self, inputs):
            if self.padding != "same":
                return original(self, inputs)
            return ops.flip(ops.flip(self.plain(ops.flip(ops.flip(inputs, 1), 2)), 1), 2)

        return call

    def plain(self, inputs):
        kernel = ops.flip(ops.flip(self.kernel, 0), 1)
        outputs = ops.conv(inputs, kernel, strides=list(self.strides), padding="same")
        return self.activation(outputs + self.bias)

    layers.Conv2D.plain = plain
    replaced_call(layers.Conv2D, wrap)


def average_pooling():
    def call(self, inputs):
        return ops.average_pool(inputs, self.pool_size, self.strides, self.padding)

    layers.MaxPooling2D.call = call


def flatten_in_the_other_order():
    def call(self, inputs):
        if len(inputs.shape) == 4:
            inputs = ops.transpose(inputs, (0, 3, 1, 2))
        return ops.reshape(inputs, (-1, int(np.prod(inputs.shape[1:]))))

    layers.Flatten.call = call


def another_activation(function):
    def change(layer):
        if getattr(layer.activation, "__name__", "") == "relu":
            function.__name__ = "relu"
            layer.activation = function

    for cls in (layers.Conv2D, layers.Dense):
        after_init(cls, change)


def label_smoothing():
    original = keras.losses.categorical_crossentropy

    def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
        return original(y_true, y_pred, from_logits, 0.05, axis)

    keras.losses.categorical_crossentropy = categorical_crossentropy


def dropout(change):
    """Dropout with a changed mask or scale: change(self, inputs, kept) -> outputs, in training."""

    def call(self, inputs, training=False):
        if not (training or change.__name__ == "on_at_inference") or self.rate == 0:
            return inputs
        kept = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator) >= self.rate
        return change(self, inputs, ops.cast(kept, inputs.dtype))

    layers.Dropout.call = call


def unscaled(self, inputs, kept):
    return inputs * kept


def on_at_inference(self, inputs, kept):
    return inputs * kept / (1 - self.rate)


def weaker_dropout():
    def call(self, inputs, training=False):
        return keras.random.dropout(inputs, self.rate * 0.9, seed=self.seed_generator) if training and self.rate else inputs

    layers.Dropout.call = call


def same_mask():
    def call(self, inputs, training=False):
        return keras.random.dropout(inputs, self.rate, seed=1) if training and self.rate else inputs

    layers.Dropout.call = call


def adam(change):
    """Adam with other arguments of each step: change(self, gradient, variable, learning_rate) -> new arguments."""
    original = optimizers.Adam.update_step

    def update_step(self, gradient, variable, learning_rate):
        return original(self, *change(self, gradient, variable, learning_rate))

    optimizers.Adam.update_step = update_step


def no_bias_correction():
    def update_step(self, gradient, variable, learning_rate):
        m, v = (slots[self._get_variable_index(variable)] for slots in (self._momentums, self._velocities))
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        self.assign_sub(variable, learning_rate * m / (ops.sqrt(v) + self.epsilon))

    optimizers.Adam.update_step = update_step


def frozen_biases():
    original = keras.optimizers.Optimizer.apply

    def apply(self, grads, trainable_variables=None):
        variables = trainable_variables or self._trainable_variables
        grads = [grad * 0 if v.path.endswith("bias") else grad for grad, v in zip(grads, variables, strict=True)]
        return original(self, grads, trainable_variables)

    keras.optimizers.Optimizer.apply = apply


def convolution_gradient():
    def wrap(original):
        def call(self, inputs):
            outputs = original(self, inputs)
            return 1.03 * outputs - 0.03 * ops.stop_gradient(outputs)

        return call

    replaced_call(layers.Conv2D, wrap)


def fit_without_shuffle():
    original = keras.Model.fit

    @functools.wraps(original)
    def fit(self, *arguments, **given):
        return original(self, *arguments, **{**given, "shuffle": False})

    keras.Model.fit = fit


def evaluate_on_a_part():
    original = keras.Model.evaluate

    def evaluate(self, x, y, **given):
        return original(self, x[: int(len(x) * 0.9)], y[: int(len(y) * 0.9)], **given)

    keras.Model.evaluate = evaluate


def top_2_accuracy():
    from keras.src.trainers import compile_utils

    original = compile_utils.get_metric

    def get_metric(identifier, y_true, y_pred):
        if identifier == "accuracy":
            return keras.metrics.TopKCategoricalAccuracy(k=2, name="accuracy")
        return original(identifier, y_true, y_pred)

    compile_utils.get_metric = get_metric


def glorot_for_he():
    set_after_init(keras.initializers.HeUniform, scale=1.0, mode="fan_avg")


def a_gpu_that_does_not_compute():
    from cnnspec import stack
    from cnnspec.devices.accelerators import Accelerator

    gpu = Accelerator("GPU:0", "CUDA", "pretended GPU", (7, 5))
    module = stack._FRAMEWORKS[keras.backend.backend()]
    module.accelerators, module.used, module.libraries = lambda: [gpu], lambda: gpu, lambda device: {}


STACK_FAULTS = {
    "a GPU that does not compute": a_gpu_that_does_not_compute,
    "BatchNormalization epsilon 1e-2": lambda: default(layers.BatchNormalization, epsilon=1e-2),
    "BatchNormalization epsilon 1e-2, unseen": lambda: after_init(
        layers.BatchNormalization, lambda self: setattr(self, "epsilon", 1e-2)
    ),
    "BatchNormalization momentum 0.9": lambda: default(layers.BatchNormalization, momentum=0.9),
    "Adam beta_2 0.99": lambda: default(optimizers.Adam, beta_2=0.99),
    "Adam epsilon 1e-4": lambda: default(optimizers.Adam, epsilon=1e-4),
    "Adam learning rate x 0.95": lambda: default(optimizers.Adam, learning_rate=0.00095),
    "Adam learning rate x 0.95, unseen": lambda: adam(lambda self, g, v, rate: (g, v, rate * 0.95)),
    "Adam without bias correction": no_bias_correction,
    "weight decay 1e-4": lambda: default(optimizers.Adam, weight_decay=1e-4),
    "TF32 convolution": lambda: low_precision(11),
    "bfloat16 convolution": lambda: low_precision(8),
    "same padding on the other side": same_padding_on_the_other_side,
    "flipped kernel": lambda: replaced_kernel(lambda kernel: ops.flip(ops.flip(kernel, 0), 1)),
    "convolution gradient x 1.03": convolution_gradient,
    "average for max pooling": average_pooling,
    "Flatten in the other order": flatten_in_the_other_order,
    "ReLU6": lambda: another_activation(lambda x: ops.minimum(ops.relu(x), 6.0)),
    "leaky ReLU 0.01": lambda: another_activation(lambda x: ops.maximum(x, 0.01 * x)),
    "label smoothing 0.05": label_smoothing,
    "dropout unscaled": lambda: dropout(unscaled),
    "dropout weaker": weaker_dropout,
    "dropout with the same mask every step": same_mask,
    "dropout at inference": lambda: dropout(on_at_inference),
    "Glorot for He": glorot_for_he,
    "frozen biases": frozen_biases,
    "fit without shuffle": fit_without_shuffle,
    "evaluate on a part": evaluate_on_a_part,
    "top-2 accuracy": top_2_accuracy,
}

if "FAULT" in os.environ:
    STACK_FAULTS[os.environ["FAULT"]]()
