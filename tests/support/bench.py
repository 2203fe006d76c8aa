"""Every different layer of the four models side by side in one Keras model, each with its own input: a bench.

One model traces once, and its dynamic batch dimension serves all batch sizes. The loss is mean(target · output), so that
a target is, but for a factor, the gradient at a layer's output. Before each layer stands a `Shift`, a weight whose gradient
is the one at the layer's input, and after it a `Record` of the layer's output in a training step. Steps are plain gradient
descent with a rate of 1: a weight is not finite after a step where its gradient was not. Nothing here knows a backend.
"""

import functools
from typing import NamedTuple

import keras
import numpy as np

from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import make_variables
from cnnspec.facts import notebook
from cnnspec.names import MODELS

LARGEST = (14, 14, 32)  # input of a convolution of many channels
ops = getattr(keras, "ops", keras.backend)  # Keras 2 has no `ops`; both have these
LEAST = -1e30  # below every finite output here
MODES = ("compiled", "eager")


class Place(NamedTuple):
    """A layer of a model: where it is, its settings in the notebook, the shape of its input, its Keras layer's config."""

    name: str
    settings: dict
    shape: tuple
    config: dict

    @property
    def kind(self):
        """The layer's class, and its activation where it has one."""
        activation = self.settings.get("activation", "linear")
        return self.settings["class"] + ("" if activation == "linear" else f" with {activation}")

    @property
    def case(self):
        """What makes a layer different from others: its settings but for channels and seeds, and the axes of its input."""
        settings = {
            name: value
            for name, value in self.settings.items()
            if name not in ("filters", "units", "name") and "initializer" not in name
        }
        if self.settings["class"] == "MaxPooling2D":
            settings["strides"] = settings["strides"] or settings["pool_size"]
        return repr((sorted(settings.items()), len(self.shape)))


class Shift(keras.layers.Layer):
    """Adds a zero to every channel; its gradient is the sum of the gradient over the channel."""

    def build(self, input_shape):
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="shift")
        self.built = True

    def call(self, inputs):
        return inputs + self.shift

    def compute_output_shape(self, input_shape):
        return input_shape


class Record(keras.layers.Layer):
    """Passes its input on, and keeps its mean over each channel in training."""

    def build(self, input_shape):
        self.mean = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="mean", trainable=False)
        self.built = True

    def call(self, inputs, training=None):
        if training:
            self.mean.assign(ops.mean(inputs, axis=tuple(range(len(inputs.shape) - 1))))
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def times_target(target, output):
    """target · output, element by element, of which Keras takes the mean: the target is the gradient; 0 where output is NaN.

    The maximum makes the gradient depend on the output: without it TensorFlow may update a weight before a layer reads it.
    """
    return target * ops.maximum(output, LEAST)


@functools.cache
def places():
    """Every different layer of the four models, channels apart, once: the place of its smallest input."""
    found = []
    for model in MODELS:
        for row, (settings, layer) in enumerate(zip(notebook.layers(model), ARCHITECTURES[model]().layers, strict=True), 1):
            shape = tuple(layer.input.shape[1:])
            if settings["class"] == "Conv2D" and shape[-1] > 1:  # all but the first of a model; time is dear
                shape = tuple(min(size, most) for size, most in zip(shape, LARGEST, strict=True))
            found.append(Place(f"{model}, layer {row}", settings, shape, layer.get_config()))
    smallest = {}
    for place in sorted(found, key=lambda place: int(np.prod(place.shape))):
        smallest.setdefault(place.case, place)
    return sorted(smallest.values())


class Bench:
    """The layers of `places`, wired side by side; `step` in one of MODES."""

    def __init__(self, places):
        self.places = places
        generator = np.random.RandomState(16)
        inputs, outputs, self.rows = [], [], []
        for number, place in enumerate(places):
            config = {**place.config, "name": f"layer_{number}"}
            layer = getattr(keras.layers, place.settings["class"]).from_config(config)
            before, after = Shift(name=f"shift_{number}"), Record(name=f"record_{number}")
            inputs.append(keras.Input(shape=place.shape))
            outputs.append(after(layer(before(inputs[-1]))))
            self.rows.append((before, layer, after))
        self.models = {mode: keras.Model(inputs, outputs) for mode in MODES}  # of the same layers; each compiled once
        self.model = self.models["compiled"]
        self.shapes = [tuple(output.shape[1:]) for output in outputs]
        for _, layer, _ in self.rows:
            drawn = [generator.normal(size=array.shape).astype("float32") for array in layer.get_weights()]
            if len(drawn) == 4:  # moving variances are positive
                drawn[3] = np.abs(drawn[3]) + 0.5
            layer.set_weights(drawn)
        self.weights = [layer.get_weights() for _, layer, _ in self.rows]
        self.drawn = self.model.get_weights()
        self.stepped = None  # the Keras model of the last step, until its weights are put back

    def restore(self):
        """Put the drawn weights back, if a step has moved them, and empty the optimizer's slots.

        SGD of Keras 2.13 to 2.15 and of tf_keras has slots without momentum too: of a NaN gradient 0 · NaN stays in them.
        """
        if self.stepped:
            self.model.set_weights(self.drawn)
            variables = self.stepped.optimizer.variables
            for variable in variables() if callable(variables) else variables:
                if len(variable.shape):
                    variable.assign(np.zeros(variable.shape, "float32"))
        self.stepped = None

    def predicted(self, inputs, mode):
        """The output of every layer in inference, as NumPy arrays."""
        self.restore()
        if mode == "compiled":
            return self.model.predict_on_batch(inputs)
        return [as_array(output) for output in self.model(inputs, training=False)]

    def step(self, inputs, targets, mode):
        """[(shift's array, the layer's, record's)] of every layer after one training step from the drawn weights."""
        model = self.models[mode]
        if not getattr(model, "optimizer", None):
            eagerly = {"run_eagerly": mode == "eager"}
            model.compile(loss=[times_target] * len(self.places), optimizer=keras.optimizers.SGD(1.0), **eagerly)
            make_variables(model)
        self.restore()
        self.stepped = model
        model.train_on_batch(inputs, targets)
        return [(shift.get_weights()[0], layer.get_weights(), record.get_weights()[0]) for shift, layer, record in self.rows]


def as_array(tensor):
    """A tensor of any backend as a NumPy array."""
    return keras.ops.convert_to_numpy(tensor) if hasattr(keras, "ops") else tensor.numpy()
