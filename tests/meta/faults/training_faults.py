"""Defects that only a training can show: `FAULT=name pytest -p tests.meta.faults.training_faults`.

`python -m tests.meta.faults.training_faults --out baselines/ensembles/mnist5k-faults` trains every model with every fault
and stores the runs like ensembles. From these runs, without training, `tests/meta/stored/test_faults.py` computes how far
each fault is outside its bands after each number of epochs.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from cnnspec import mnist, pipeline, training
from cnnspec.ensembles import store
from cnnspec.names import MODELS

SEED = 1000  # the suite's default
EPOCHS = 4  # of a stored run with a fault; the healthy run, which gives the rates of longer trainings, has ten


def fit_with(change):
    """Replace `Model.fit`: change(arguments) -> new arguments."""
    original = keras.Model.fit

    def fit(self, x, y, **arguments):
        return original(self, **change({"x": x, "y": y, **arguments}))

    keras.Model.fit = fit
    pipeline.available = lambda: False  # the harness then fits arrays, which the fault changes


def leaked(arguments):
    """The train set with the test set added."""
    extra = dict(zip("xy", arguments["validation_data"], strict=True))
    return arguments | {name: np.concatenate([arguments[name], extra[name]]) for name in "xy"}


def wrong_labels(share):
    """A change of `fit`: this share of the labels, drawn with a fixed seed, becomes another digit."""

    def change(arguments):
        generator = np.random.default_rng(5)
        labels = arguments["y"].argmax(axis=1)
        wrong = generator.permutation(len(labels))[: round(share * len(labels))]
        labels[wrong] = (labels[wrong] + generator.integers(1, 10, len(wrong))) % 10
        return arguments | {"y": np.eye(10, dtype="float32")[labels]}

    return change


def without_dropout():
    """Dropout that returns its input."""
    keras.layers.Dropout.call = lambda self, inputs, training=False: inputs


def wide_glorot():
    """`glorot_uniform` with limits twice as large: four times the variance."""
    original = keras.initializers.GlorotUniform.__init__

    def patched(self, *arguments, **given):
        original(self, *arguments, **given)
        self.scale = 4.0

    keras.initializers.GlorotUniform.__init__ = patched


def fast_adam():
    """Adam with twice the learning rate."""
    training.OPTIMIZERS["adam"] = lambda: keras.optimizers.Adam(0.002)


TRAINING_FAULTS = {  # name -> a function that puts the fault into this process
    "learning rate x 2": fast_adam,
    "dropout off": without_dropout,
    "2 % wrong labels": lambda: fit_with(wrong_labels(0.02)),
    "test data leaked": lambda: fit_with(leaked),
    "one epoch short": lambda: fit_with(lambda arguments: arguments | {"epochs": arguments["epochs"] - 1}),
    "batch size x 2": lambda: fit_with(lambda arguments: arguments | {"batch_size": 2 * arguments["batch_size"]}),
    "Glorot twice as wide": wide_glorot,
}
HEALTHY = "none"
# Not trained: "one epoch short", which is a healthy run with its last epoch cut, and Glorot where a model does not use it.
STORED = {
    name: ["model1"] if name == "Glorot twice as wide" else MODELS
    for name in (HEALTHY, *TRAINING_FAULTS)
    if name != "one epoch short"
}


def folder_of(fault):
    """Name of the folder that holds a fault's runs."""
    return fault.replace(" ", "-").replace("%", "percent")


def train_and_store(out, fault, models):
    """Train `models` with a fault that is already in this process; store the runs under `out`.

    As in an ensemble, kernels are drawn from the run's own seed.
    """
    data = mnist.load("mnist5k")
    epochs = training.epochs if fault == HEALTHY else EPOCHS
    for model in models:
        path = Path(out) / folder_of(fault) / f"{model}.csv"
        if SEED not in store.seeds(path):
            settings: dict = {"seed": SEED, "redraw": True, "evaluate_train_each_epoch": True, "verbose": 0}
            run = training.train(model, data, epochs=epochs, **settings)
            store.append(path, run)
            print(
                f"{fault}, {model}: test loss {run.scores['test_loss']:.4f}, train loss {run.scores['train_loss']:.4f}",
                flush=True,
            )


if os.environ.get("FAULT") in TRAINING_FAULTS:  # the faults of paired trainings have a module of their own
    TRAINING_FAULTS[os.environ["FAULT"]]()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the stored runs; what it holds already is kept")
    options = parser.parse_args()
    if "FAULT" in os.environ:
        train_and_store(options.out, os.environ["FAULT"], STORED[os.environ["FAULT"]])
    else:
        for fault in STORED:  # a process each: a fault cannot be undone
            subprocess.run(
                [sys.executable, "-m", __spec__.name, "--out", options.out], check=True, env=os.environ | {"FAULT": fault}
            )
