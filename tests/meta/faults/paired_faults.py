"""Paired trainings with a defect: `FAULT=name pytest -p tests.meta.faults.paired_faults tests/test_paired.py`.

`python -m tests.meta.faults.paired_faults --out baselines/paired/faults` trains model2 and model4 with every defect
and stores the runs. `tests/meta/stored/test_paired_faults.py` judges them without training again.
"""

import argparse
import os
import subprocess
import sys

import keras
import numpy as np

from cnnspec import training
from tests.meta.faults.training_faults import TRAINING_FAULTS, fit_with, wrong_labels

BATCH = 128


def adam(**settings):
    """The notebook's Adam with other settings."""
    training.OPTIMIZERS["adam"] = lambda: keras.optimizers.Adam(**settings)


def without_the_partial_batch(arguments):
    """The train set without what does not fill a batch."""
    whole = len(arguments["x"]) // BATCH * BATCH
    return arguments | {name: arguments[name][:whole] for name in "xy"}


def without_a_class(arguments):
    """Every sample of digit 3 is replaced by the next that is none, so that the number of steps stays."""
    digits = arguments["y"].argmax(axis=1)
    rows = np.arange(len(digits))
    kept = rows[digits != 3]
    rows = np.where(digits == 3, kept[np.searchsorted(kept, rows) % len(kept)], rows)
    return arguments | {name: arguments[name][rows] for name in "xy"}


def labels_of_a_batch_shifted(arguments):
    """The labels of the sixth batch belong to their neighbours."""
    labels = arguments["y"].copy()
    labels[5 * BATCH : 6 * BATCH] = np.roll(labels[5 * BATCH : 6 * BATCH], 1, axis=0)
    return arguments | {"y": labels}


def first_convolution_frozen():
    """The first convolution's kernel gradient is zero at batch 128, as ROCm's once was; at other sizes it is right."""
    original = keras.layers.Conv2D.convolution_op

    def convolution_op(self, inputs, kernel):
        if kernel.shape[2] != 1:
            return original(self, inputs, kernel)
        right = keras.ops.cast(keras.ops.shape(inputs)[0] != BATCH, kernel.dtype)
        stopped = keras.ops.stop_gradient(keras.ops.convert_to_tensor(kernel))
        return original(self, inputs, right * kernel + (1 - right) * stopped)

    keras.layers.Conv2D.convolution_op = convolution_op


def repeated_order():
    """Every epoch of `fit` has one order: TensorFlow's generator is seeded anew, from which each epoch starts."""
    original = keras.Model.fit

    def fit(self, *arguments, **given):
        keras.utils.set_random_seed(7)
        return original(self, *arguments, **given)

    keras.Model.fit = fit


NEW_FAULTS = {
    "learning rate + 2 %": lambda: adam(learning_rate=0.00102),
    "learning rate - 2 %": lambda: adam(learning_rate=0.00098),
    "beta_1 0.88": lambda: adam(beta_1=0.88),
    "0.5 % wrong labels": lambda: fit_with(wrong_labels(0.005)),
    "last partial batch dropped": lambda: fit_with(without_the_partial_batch),
    "first convolution frozen": first_convolution_frozen,
    "one class left out": lambda: fit_with(without_a_class),
    "labels of one batch shifted": lambda: fit_with(labels_of_a_batch_shifted),
    "repeated order": repeated_order,
    "no shuffle": lambda: fit_with(lambda arguments: arguments | {"shuffle": False}),
}
PAIRED_FAULTS = {**TRAINING_FAULTS, **NEW_FAULTS}
# Nothing of these is in a paired training: its weights and order are given, and its dropout is off.
ABSENT = ("dropout off", "Glorot twice as wide", "repeated order", "no shuffle")
UNSTORED = ("one epoch short",)  # it leaves no numbers of its last epoch: steps and epochs tell it
STORED = [fault for fault in PAIRED_FAULTS if fault not in (*ABSENT, *UNSTORED)]
MODELS = ("model2", "model4")  # the two cheapest: one with max pooling and normalisation, one without

if os.environ.get("FAULT") in NEW_FAULTS:  # importing training_faults put in one of its own
    NEW_FAULTS[os.environ["FAULT"]]()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the stored runs; what it holds already is kept")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    if "FAULT" in os.environ:
        from cnnspec.paired import record

        record.record(options.out, options.models, [0], fault=os.environ["FAULT"])
    else:
        for fault in STORED:  # a process each: a fault cannot be undone
            command = [sys.executable, "-m", __spec__.name, "--out", options.out, "--models", *options.models]
            subprocess.run(command, check=True, env=os.environ | {"FAULT": fault})
