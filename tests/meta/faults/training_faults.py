"""Trainings with a fault of the catalogue, stored like ensembles.

`python -m tests.meta.faults.training_faults --out baselines/ensembles/mnist5k-faults` trains every model with every fault.
From these runs, without training, `tests/meta/stored/test_faults.py` computes how far each fault is outside its bands after
each number of epochs.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from cnnspec.names import MODELS
from tests.meta.faults import put

SEED = 1000  # the suite's default
EPOCHS = 4  # of a stored run with a fault; the healthy run, which gives the rates of longer trainings, has ten
TRAINING_FAULTS = {  # name in the stored files -> name in the catalogue
    "learning rate x 2": "learning_rate_doubled",
    "dropout off": "dropout_off",
    "2 % wrong labels": "labels_wrong_2_percent",
    "test data leaked": "test_data_leaked",
    "one epoch short": "one_epoch_short",
    "batch size x 2": "batch_size_doubled",
    "Glorot twice as wide": "glorot_twice_as_wide",
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
    from cnnspec import mnist, training
    from cnnspec.ensembles import store

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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the stored runs; what it holds already is kept")
    options = parser.parse_args()
    if put.VARIABLE in os.environ:
        fault = os.environ[put.VARIABLE]
        if fault != HEALTHY:
            put.put(TRAINING_FAULTS[fault])
        train_and_store(options.out, fault, STORED[fault])
    else:
        for fault in STORED:  # a process each: a fault cannot be undone
            command = [sys.executable, "-m", __spec__.name, "--out", options.out]
            subprocess.run(command, check=True, env=os.environ | {put.VARIABLE: fault})
