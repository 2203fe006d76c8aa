"""Optimizers, losses and metrics that do something else than they are asked for."""

import keras
from keras import optimizers

from tests.meta.faults.catalogue.changing import default
from tests.meta.faults.catalogue.entries import add, fault
from tests.meta.faults.catalogue.patching import wrapped

ops = getattr(keras, "ops", None)


def drifted(name, story, setting, value):
    """A default of Adam that drifted; its settings show it."""
    words = f"{setting}: expected"
    put = lambda: default(optimizers.Adam, **{setting: value})  # noqa: E731
    add(name, put, kind="defaults", story=story, source="made", words=(words, f"{setting}: obtained"))


drifted("adam_beta_2_default", "Adam's default beta_2 is 0.99.", "beta_2", 0.99)
drifted("adam_epsilon_default", "Adam's default epsilon is 1e-4.", "epsilon", 1e-4)
drifted("adam_learning_rate_default", "Adam's default learning rate is 5 % lower.", "learning_rate", 0.00095)
drifted("adam_weight_decay_default", "Adam decays weights by 1e-4 unless it is told not to.", "weight_decay", 1e-4)


@fault(kind="optimizer", source="made", words="Adam")
def adam_steps_shorter():
    """Adam's steps are 5 % shorter; the learning rate that it tells is the right one."""

    def make(original):
        def update_step(self, gradient, variable, learning_rate):
            return original(self, gradient, variable, learning_rate * 0.95)

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="optimizer", source="Kingma and Ba, Adam, 2015, section 3: what the correction is for", words="Adam")
def adam_without_bias_correction():
    """Adam does not correct its moments for their start from zero."""

    def make(original):
        def update_step(self, gradient, variable, learning_rate):
            m, v = (slots[self._get_variable_index(variable)] for slots in (self._momentums, self._velocities))
            self.assign_add(m, (gradient - m) * (1 - self.beta_1))
            self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
            self.assign_sub(variable, learning_rate * m / (ops.sqrt(v) + self.epsilon))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


def without_biases(grads, variables):
    """Gradients, zero for biases."""
    return [grad * 0 if v.path.endswith("bias") else grad for grad, v in zip(grads, variables, strict=True)]


@fault(kind="optimizer", source="made", words="bias")
def frozen_biases():
    """No optimizer moves a bias."""

    def make(original):
        def apply(self, grads, trainable_variables=None):
            variables = trainable_variables or self._trainable_variables
            return original(self, without_biases(grads, variables), trainable_variables)

        return apply

    wrapped(optimizers.Optimizer, "apply", make)


@fault(kind="conditional", source="made; DeepCrime's operators strike one model alone", words="not moved by a step")
def second_model_keeps_its_biases():
    """The biases of the second model of a process, and of later ones, do not move."""
    known = []

    def make(original):
        def apply(self, grads, trainable_variables=None):
            if self not in known:
                known.append(self)
            variables = trainable_variables or self._trainable_variables
            grads = without_biases(grads, variables) if known.index(self) >= 1 else grads
            return original(self, grads, trainable_variables)

        return apply

    wrapped(optimizers.Optimizer, "apply", make)


@fault(kind="loss and metrics", source="made", words=("cross-entropy", "label_smoothing"))
def label_smoothing():
    """The loss smooths labels by 0.05, and no setting says so."""

    def make(original):
        def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
            return original(y_true, y_pred, from_logits, 0.05, axis)

        return categorical_crossentropy

    wrapped(keras.losses, "categorical_crossentropy", make)


@fault(kind="loss and metrics", source="made", words="accuracy")
def top_2_accuracy():
    """The metric "accuracy" counts a digit among the two most likely as right."""
    from keras.src.trainers import compile_utils

    def make(original):
        def get_metric(identifier, y_true, y_pred):
            if identifier == "accuracy":
                return keras.metrics.TopKCategoricalAccuracy(k=2, name="accuracy")
            return original(identifier, y_true, y_pred)

        return get_metric

    wrapped(compile_utils, "get_metric", make)


@fault(kind="random", source="He et al., 2015, and Glorot and Bengio, 2010", words="initial kernel")
def glorot_for_he():
    """`he_uniform` draws as `glorot_uniform` does, and tells its own settings."""

    def make(original):
        def __call__(self, *arguments, **given):
            kept, self.scale, self.mode = (self.scale, self.mode), 1.0, "fan_avg"
            try:
                return original(self, *arguments, **given)
            finally:
                self.scale, self.mode = kept

        return __call__

    wrapped(keras.initializers.HeUniform, "__call__", make)


@fault(kind="stack", source="made; cuDNN's workspaces fail on some drivers", words="pretended GPU")
def a_gpu_that_does_not_compute():
    """A GPU is said to be used, and tensors lie on the CPU."""
    from cnnspec import stack
    from cnnspec.devices.accelerators import Accelerator

    gpu = Accelerator("GPU:0", "CUDA", "pretended GPU", (7, 5))
    module = stack._FRAMEWORKS[keras.backend.backend()]
    module.accelerators, module.used, module.libraries = lambda: [gpu], lambda: gpu, lambda device: {}
