"""Paired trainings with a fault of the catalogue, stored.

`python -m tests.meta.faults.paired_faults --out baselines/paired/faults` trains every model with every fault and
stores the runs. `tests/meta/stored/test_paired_faults.py` judges them without training again.
"""

import argparse
import os
import subprocess
import sys

from cnnspec.names import MODELS
from tests.meta.faults import put
from tests.meta.faults.training_faults import TRAINING_FAULTS

PAIRED_FAULTS = TRAINING_FAULTS | {  # name in the stored files -> name in the catalogue
    "learning rate + 2 %": "learning_rate_higher",
    "learning rate - 2 %": "learning_rate_lower",
    "beta_1 0.88": "beta_1_lower",
    "0.5 % wrong labels": "labels_wrong_half_percent",
    "last partial batch dropped": "partial_batch_of_the_arrays_dropped",
    "first convolution frozen": "first_convolution_frozen",
    "one class left out": "one_class_left_out",
    "labels of one batch shifted": "labels_of_a_batch_shifted",
    "repeated order": "order_repeated",
    "no shuffle": "fit_without_shuffle",
}
# Nothing of these is in a paired training: its weights and order are given, and its dropout is off.
ABSENT = ("dropout off", "Glorot twice as wide", "repeated order", "no shuffle")
UNSTORED = ("one epoch short",)  # it leaves no numbers of its last epoch: steps and epochs tell it
STORED = [fault for fault in PAIRED_FAULTS if fault not in (*ABSENT, *UNSTORED)]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the stored runs; what it holds already is kept")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    if put.VARIABLE in os.environ:
        from cnnspec.paired import record

        put.put(PAIRED_FAULTS[os.environ[put.VARIABLE]])
        record.record(options.out, options.models, [0], fault=os.environ[put.VARIABLE])
    else:
        for fault in STORED:  # a process each: a fault cannot be undone
            command = [sys.executable, "-m", __spec__.name, "--out", options.out, "--models", *options.models]
            subprocess.run(command, check=True, env=os.environ | {put.VARIABLE: fault})
