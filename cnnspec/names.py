"""Names and sizes that every part of the project shares: models, data sets, images, and how a machine is called in files.

Nothing here needs a framework, so that reports and stored runs can be read where none is installed.
"""

from __future__ import annotations

import re

# The registry of models. Each has a function in cnnspec/architectures.py, its facts in baselines/notebook/ and its stored
# runs in baselines/ensembles/; CONTRIBUTING.md says how to add one.
MODELS = ("model1", "model2", "model3", "model4")

IMAGE = (28, 28, 1)  # In [39]: rows, columns, channels of an image
CLASSES = 10  # In [39]: digits
SAMPLES = {  # data set -> number of its images (train, test)
    "mnist5k": (4000, 1000),
    "mnist": (60000, 10000),
}
DATASETS = tuple(SAMPLES)
OPTIMIZERS = ("adam", "adadelta", "adagrad", "adamax")  # In [8], cut off after the A: those whose second letter fits
LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one
LEVELS = ("quick", "default", "full")  # how much of the suite a run takes
RESULTS = {"Test Loss": "test_loss", "Train Loss": "train_loss"}  # In [46]: row of the results table -> score of a run


def hardware(stack: dict) -> str:
    """Folder name of a machine: GPU or CPU model, vector instructions, cores, memory, as far as the system reports them."""
    device = "" if stack["device"] == "CPU" else f"{stack['device']} "
    memory = f"{stack['memory_gib']} GiB" if stack["memory_gib"] else "unknown memory"
    vectors = stack.get("instructions") or ""
    return slug(f"{device}{stack['cpu']} {vectors} {stack['cores']} cores {memory}")


def slug(text: str) -> str:
    """Lower case, with a hyphen for each run of characters that are neither letter, digit nor dot."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.").lower()
