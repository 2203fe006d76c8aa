"""Does the suite detect a defect in the code, and does the message name what changed?

Each fault is one change of the package's source in a copy of the project. The test module named must fail and print the
message. `python -m tests.meta.faults.run` runs the faults of the stack.

Selected with `pytest tests -m faults` or `tox run -e faults`: every fault needs a separate run.
"""

import os
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from cnnspec import pipeline
from tests.meta.copies import copy_project


class Fault(NamedTuple):
    """A defect: the file and text that it changes, the test module that must fail, and the message that it must print."""

    file: str
    before: str
    after: str
    module: str
    message: str


FAULTS = {
    "filter count": Fault(
        "architectures.py",
        "Conv2D(64, kernel_size=(3, 3)",
        "Conv2D(32, kernel_size=(3, 3)",
        "test_architecture.py",
        "model1, row 2 (conv2d_2), channels_last\n  output shape: expected (None, 24, 24, 64) (from In [6])",
    ),
    "stride": Fault(
        "architectures.py",
        "kernel_size=(4, 4), strides=(2, 2)",
        "kernel_size=(4, 4), strides=(1, 1)",
        "test_configuration.py",
        "strides: expected (2, 2) (from In [30]), obtained (1, 1)",
    ),
    "padding": Fault(
        "architectures.py",
        'strides=(1, 1), padding="valid"',
        'strides=(1, 1), padding="same"',
        "test_configuration.py",
        "padding: expected 'valid' (from In [22]), obtained 'same'",
    ),
    "activation": Fault(
        "architectures.py",
        'Dense(128, activation="relu")',
        'Dense(128, activation="tanh")',
        "test_configuration.py",
        "activation: expected 'relu' (from In [5]), obtained 'tanh'",
    ),
    "dropout rate": Fault(
        "architectures.py",
        "Dropout(0.25)",
        "Dropout(0.2)",
        "test_configuration.py",
        "rate: expected 0.25 (from In [5]), obtained 0.2",
    ),
    "initialiser seed": Fault(
        "architectures.py",
        "he_uniform(seed=1)",
        "he_uniform(seed=2)",
        "test_configuration.py",
        "kernel_initializer.seed: expected 1 (from In [14]), obtained 2",
    ),
    "initialiser": Fault(
        "architectures.py",
        "keras.initializers.he_uniform(seed=1)",
        "keras.initializers.glorot_uniform(seed=1)",
        "test_configuration.py",
        "kernel_initializer.mode: expected 'fan_in' (from In [14]), obtained 'fan_avg'",
    ),
    "optimizer": Fault(
        "training.py",
        "keras.optimizers.Adam()",
        "keras.optimizers.RMSprop()",
        "test_configuration.py",
        "class: expected 'Adam' (from assumption optimizer), obtained 'RMSprop'",
    ),
    "learning rate": Fault(
        "training.py",
        "keras.optimizers.Adam()",
        "keras.optimizers.Adam(0.00095)",
        "test_configuration.py",
        "learning_rate: expected 0.001",
    ),
    "weight decay": Fault(
        "training.py",
        "keras.optimizers.Adam()",
        "keras.optimizers.Adam(weight_decay=1e-4)",
        "test_configuration.py",
        "weight_decay: obtained 0.0001, a setting that 2019 did not have and that is not off",
    ),
    "loss": Fault(
        "training.py",
        "loss=keras.losses.categorical_crossentropy",
        "loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.05)",
        "test_configuration.py",
        "label_smoothing: expected 0.0",
    ),
    "batch size": Fault(
        "training.py",
        "batch_size = 128",
        "batch_size = 256",
        "test_configuration.py",
        "batch_size: expected 128 (from In [39]), obtained 256",
    ),
    "shuffling": Fault(
        "training.py",
        "verbose=verbose,",
        "verbose=verbose, shuffle=False,",
        "test_configuration.py",
        "shuffle: expected True",
    ),
    "normalisation": Fault(
        "mnist.py",
        "x_train /= 255",
        "x_train /= 256",
        "test_data.py",
        "mnist5k, train set: pixel values after normalisation, darkest and brightest",
    ),
    "normalisation of the test set": Fault(
        "mnist.py", "x_test /= 255", "x_test /= 256", "test_data.py", "mnist5k, test set: pixel values after normalisation"
    ),
    "one-hot order": Fault(
        "mnist.py",
        "to_categorical(y_train, num_classes)",
        "to_categorical(9 - y_train, num_classes)",
        "test_data.py",
        "one-hot rows of 0 … 9, train set",
    ),
    "split seed": Fault(
        "mnist.py",
        "SPLIT_SEED = 2019",
        "SPLIT_SEED = 2020",
        "test_data.py",
        "mnist5k: SHA-256 of x_train (uint8), which fixes split and order",
    ),
    "leak of the test set": Fault(
        "training.py",
        "model.fit, data.x_train, data.y_train,",
        "model.fit, data.x_test, data.y_test,",
        "test_configuration.py",
        "x: expected 'x_train' (from In [9]), obtained 'x_test'",
    ),
    "an extra layer": Fault(
        "architectures.py",
        '    model.add(Dense(128, activation="relu"))\n',
        '    model.add(Dense(128, activation="relu"))\n    model.add(Dropout(0.0))\n',
        "test_architecture.py",
        "model1, channels_last: the layers in order",
    ),
}
if pipeline.available():  # other stacks are trained with Keras' own fit of arrays
    FAULTS |= {
        "leak of the test set in the harness' batches": Fault(
            "training.py",
            "pipeline.batches(data.x_train, data.y_train,",
            "pipeline.batches(data.x_test, data.y_test,",
            "test_determinism.py",
            "model4: SHA-256 of weights and losses of a second training, by the harness",
        ),
        "batches in file order": Fault(
            "pipeline.py",
            "tf.random.shuffle(tf.range(len(x), dtype=tf.int64))",
            "tf.range(len(x), dtype=tf.int64)",
            "meta/test_pipeline.py",
            "[[0, 1, 2, 3], [0, 1, 2, 3]] in the harness'",
        ),
        "labels of one row for all rows from 100 on": Fault(
            "pipeline.py",
            "tf.gather(labels, rows)",
            "tf.gather(labels, tf.minimum(rows, 99))",
            "test_determinism.py",
            "model4: SHA-256 of weights and losses of a second training, by the harness",
        ),
    }


@pytest.fixture
def project(tmp_path):
    """A copy of the project without its history, environments and runs."""
    return copy_project(tmp_path)


def suite(project, *arguments, **environment):
    """Run the suite of a project in a separate process: (exit code, output)."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=600, env=os.environ | environment)
    return result.returncode, result.stdout


@pytest.mark.faults
def test_the_copy_is_healthy(project):
    """Without a fault the same modules pass, so the failures below come from the faults."""
    modules = sorted({f"tests/{fault.module}" for fault in FAULTS.values()})
    code, output = suite(project, *modules)
    assert code == 0, output


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_seen_and_named(project, fault):
    """The suite fails and its message names what changed."""
    path = project / "cnnspec" / fault.file
    text = path.read_text(encoding="utf-8")
    assert fault.before in text, f"{fault.file} no longer contains {fault.before!r}: update this fault"
    path.write_text(text.replace(fault.before, fault.after), encoding="utf-8")
    code, output = suite(project, f"tests/{fault.module}")
    assert code == 1, output
    assert fault.message in re.sub(r"^E +", "", output, flags=re.MULTILINE)
