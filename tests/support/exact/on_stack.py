"""Cases on the stack under test: one Keras model with a branch for each, so that one trace serves all, at every batch size.

Outputs come from `predict`, gradients from one step of `fit`, whose loss, Σ output × target, has the target as its
gradient at the output. The optimizer is momentum SGD with a learning rate of 2^-100, a power of two that
moves no weight but zeros, so that a slot is −2^-100 times the gradient, to the bit. An array of zeros added to the inputs
has the input gradient as its own.
"""

import keras
import numpy as np

from cnnspec.compat import backend, make_variables
from tests.support.exact import cases
from tests.support.probes import optimizer_arrays

RATE = 2.0**-100  # also the momentum: what an earlier step left, times it, is 0 in float32
ops = getattr(keras, "ops", keras.backend)  # Keras 2 has no `ops`
MODES = {  # name -> settings of `compile`; the first is what `fit` has without a word
    "tensorflow": {"compiled": {}, "eager": {"run_eagerly": True}, "XLA": {"jit_compile": True}},
    "jax": {"compiled": {}, "eager": {"run_eagerly": True}},  # compiled by XLA
    "torch": {"compiled": {}},  # which is eager
}[backend()]


class Zeros(keras.layers.Layer):
    """Adds an array of zeros to a batch; the gradient of that array is the input gradient."""

    def __init__(self, largest):
        super().__init__()
        self.largest = largest

    def build(self, input_shape):
        self.zeros = self.add_weight(shape=(self.largest, *input_shape[1:]), initializer="zeros", name="zeros")
        self.built = True

    def call(self, inputs):
        return inputs + self.zeros[: ops.shape(inputs)[0]]

    def compute_output_shape(self, input_shape):
        return input_shape


def keras_layer(layer):
    """A Keras layer from its description."""
    settings = cases.computing(layer)
    return getattr(keras.layers, settings.pop("class"))(**settings)


class Weighed(keras.layers.Layer):
    """Σ output × target of each image, summed over the branches: a loss whose gradient at an output is its target."""

    def call(self, inputs):
        half, weighed = len(inputs) // 2, []
        for place in range(half):  # TensorFlow's autograph, with Keras 2, knows no zip with `strict`
            axes = tuple(range(1, len(inputs[place].shape)))
            weighed.append(ops.sum(inputs[place] * inputs[half + place], axis=axes))
        return sum(weighed[1:], weighed[0])

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0],)


def total(_, weighed):
    """The loss: the sum over the images."""
    return ops.sum(weighed)


class Branches:
    """Cases as branches of one Keras model, run by `fit` and `predict`, or `by_batch`, which is quicker for many steps."""

    def __init__(self, chosen, by_batch=False):
        self.cases, self.by_batch = list(chosen), by_batch
        self.layers, self.zeros, inputs, outputs = [], [], [], []
        for case in self.cases:
            inputs.append(keras.Input(shape=case.shape))
            self.zeros.append(Zeros(case.images))
            self.layers.append([keras_layer(layer) for layer in case.layers])
            x = self.zeros[-1](inputs[-1])
            for layer in self.layers[-1]:
                x = layer(x)
            outputs.append(x)
        targets = [keras.Input(shape=output.shape[1:]) for output in outputs]
        self.predicting = keras.Model(inputs, outputs)
        self.training = keras.Model(inputs + targets, Weighed()(outputs + targets))

    def compile(self, mode):
        """Compile the model in one of MODES."""
        settings = MODES[mode]
        self.predicting.compile(**settings)
        self.training.compile(loss=total, optimizer=keras.optimizers.SGD(learning_rate=RATE, momentum=RATE), **settings)
        make_variables(self.training)

    def set_weights(self, given):
        """Give every layer its weights, and put zeros back where the step before moved them by 2^-100 of their gradient."""
        for zeros in self.zeros:
            zeros.set_weights([np.zeros(zeros.zeros.shape, np.float32)])
        for layers, mine in zip(self.layers, given, strict=True):
            for layer, weights in zip(layers, mine.weights, strict=False):
                layer.set_weights(weights)

    def results(self, given):
        """Results of each branch for Operands: outputs in inference, gradients of one training step."""
        self.set_weights(given)
        inputs, unused = [mine.x for mine in given], np.zeros(len(given[0].x), np.float32)
        both = [*inputs, *(mine.gradient for mine in given)]
        if self.by_batch:
            outputs = self.predicting.predict_on_batch(inputs)
            self.training.train_on_batch(both, unused)
        else:  # a generator's batches have no fixed size: one trace serves all
            outputs = self.predicting.predict((batch for batch in [(tuple(inputs),)]), steps=1, verbose=0)
            step = (batch for batch in [(tuple(both), unused)])
            self.training.fit(step, steps_per_epoch=1, shuffle=False, verbose=0)
        outputs = outputs if len(given) > 1 else [outputs]
        slots = optimizer_arrays(self.training.optimizer)
        places = {id(variable): place for place, variable in enumerate(self.training.trainable_variables)}
        scale = np.float32(-1 / RATE)
        gradient = lambda variable: slots[places[id(variable)]] * scale  # noqa: E731
        found = []
        for mine, output, zeros, layers in zip(given, outputs, self.zeros, self.layers, strict=True):
            weights = [gradient(v) for layer in layers for v in layer.trainable_variables]
            input_gradient = slots[places[id(zeros.trainable_variables[0])]][: len(mine.x)] * scale
            found.append(cases.Results(np.asarray(output), input_gradient, weights))
        return found
