"""The first steps of training without chance: NumPy-drawn weights, fixed batches in order, dropout off.

Every stack, the float64 reference and the notebook's own of 2019 can take the same steps, so that they can be compared
number by number. Nothing here is judged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from keras.models import Sequential

from cnnspec.architectures import ARCHITECTURES
from cnnspec.baselines import read_table
from cnnspec.compat import forget_models, loss_of_step
from cnnspec.files import write_whole
from cnnspec.mnist import input_shape
from cnnspec.training import compile_model

STEPS = 30
BATCH = 16  # images a step; so few that the float64 reference keeps up
WITNESSES = 64  # test images whose predicted probabilities end a trajectory
SEED = 1905
OPTIMIZERS = ("adam", "sgd")  # of training.OPTIMIZERS
SGD_RATE = 0.001


def draw_weights(shapes, seed=SEED):
    """Weights of a model, one list of float32 arrays per layer, for the shapes of each layer's weights in Keras' order.

    Kernels are uniform with LeCun's bound √(3 / fan in), which keeps the softmax from saturating, and every second input
    channel has the negative weights of the one before it, so that the mean of an image turns no unit off for all of a
    batch (a BatchNormalization behind such a unit would magnify rounding). Biases are uniform in ±0.05;
    BatchNormalization's gamma, beta, moving mean and moving variance lie around 1, 0, 0, 1. RandomState's stream is
    frozen (NEP 19): the same on every stack.
    """
    generator = np.random.RandomState(seed)

    def uniform(shape, low, high):
        return generator.uniform(low, high, size=tuple(int(length) for length in shape)).astype("float32")

    drawn = []
    for layer in shapes:
        if len(layer) == 4:
            bounds = ((0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1), (0.6, 1.4))
            drawn.append([uniform(shape, *bound) for shape, bound in zip(layer, bounds)])
        elif len(layer) == 2:
            kernel, bias = layer
            limit = np.sqrt(3.0 / np.prod([int(length) for length in kernel[:-1]]))
            array = uniform(kernel, -limit, limit)
            pairs = array.shape[-2] // 2
            array[..., 1 : 2 * pairs : 2, :] = -array[..., 0 : 2 * pairs : 2, :]
            drawn.append([array, uniform(bias, -0.05, 0.05)])
        else:
            drawn.append([])
    return drawn


def weight_names(layers):
    """Name of each weight array, `row-class/array`, for the layer classes of a model in order."""
    arrays = {
        "Conv2D": ("kernel", "bias"),
        "Dense": ("kernel", "bias"),
        "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    }
    return [f"{row}-{name}/{array}" for row, name in enumerate(layers, start=1) for array in arrays.get(name, ())]


def build(name):
    """Model `name` with drawn weights and without dropout, not compiled.

    Dropout is switched off in the model's configuration: Keras 2.2.4 has decided when the model is built.
    """
    config = ARCHITECTURES[name]().get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "Dropout":
            layer["config"]["rate"] = 0.0
    model = Sequential.from_config(config)
    if not model.built:  # Keras 2.2.4 leaves the input layer out of the configuration
        model.build((None, *input_shape()))
    drawn = draw_weights([[weight.shape for weight in layer.get_weights()] for layer in model.layers])
    for layer, weights in zip(model.layers, drawn):
        if weights:
            layer.set_weights(weights)
    return model


def batches(data, steps=STEPS):
    """The first `steps` batches of the train set of a Dataset, in its order: (images, one-hot labels) pairs."""
    for step in range(steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        yield data.x_train[rows], data.y_train[rows]


def run(name, data, optimizer):
    """Train model `name` on the batches; returns (losses, norms, probabilities).

    Losses are (STEPS,), norms of every variable after each step (STEPS, variables) in the order of `weight_names`,
    probabilities of the first WITNESSES test images (WITNESSES, 10). `optimizer` is one of training.OPTIMIZERS.
    """
    forget_models()
    model = build(name)
    compile_model(model, optimizer)
    losses, lengths = [], []
    for x, y in batches(data):
        losses.append(loss_of_step(model, x, y))
        lengths.append(norms([array for layer in model.layers for array in layer.get_weights()]))
    return np.array(losses), np.array(lengths), model.predict(data.x_test[:WITNESSES], verbose=0)


def norms(weights):
    """Euclidean norm of each array, in float64."""
    return [float(np.linalg.norm(np.asarray(array, np.float64))) for array in weights]


def record(folder, name, optimizer, walked):
    """Write a trajectory (losses, norms, probabilities) to two CSV files in `folder`, each whole or not at all."""
    losses, lengths, probabilities = walked
    classes = [type(layer).__name__ for layer in ARCHITECTURES[name]().layers]
    lines = [["step", "loss", *weight_names(classes)]]
    for step, (loss, row) in enumerate(zip(losses, lengths), start=1):
        lines.append([str(step), f"{loss:.9g}"] + [f"{value:.9g}" for value in row])
    write_whole(Path(folder) / f"{name}-{optimizer}.csv", "".join(",".join(line) + "\n" for line in lines))
    rows = [",".join(f"{value:.9g}" for value in row) + "\n" for row in probabilities]
    header = ",".join(f"digit_{digit}" for digit in range(probabilities.shape[1])) + "\n"
    write_whole(Path(folder) / f"{name}-{optimizer}-probabilities.csv", header + "".join(rows))


def recorded(folder, name, optimizer):
    """(variable names, (losses, norms, probabilities)) as `record` wrote them. Raises BaselineError."""
    remedy = "record it with: tox run -e legacy -- baselines/trajectories/2019"
    steps = read_table(Path(folder) / f"{name}-{optimizer}.csv", remedy)
    probabilities = read_table(Path(folder) / f"{name}-{optimizer}-probabilities.csv", remedy)
    lengths = steps.drop(columns=["step", "loss"])
    return list(lengths), (steps["loss"].to_numpy(), lengths.to_numpy(), probabilities.to_numpy())
