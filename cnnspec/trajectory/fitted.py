"""What one `fit` of a few hundred digits goes through: its setting, and the numbers that it leaves.

Two epochs of a few batches, the last of them partial, with validation; the order of the samples and the first weights are
given, dropout is off. The stack and the float64 implementation do the same and are compared number by number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnspec.trajectory.start import SEED

if TYPE_CHECKING:
    from cnnspec.mnist import Dataset  # it needs Keras, and these sizes do not

BATCH = 128  # training.batch_size
PARTIAL = 32  # the last batch of an epoch, as of mnist5k's 4,000 digits
SAMPLES = 2 * BATCH + PARTIAL  # of the train set
VALIDATION = BATCH + 72  # of the test set; evaluate's batches of 32 end with one of 8
EPOCHS = 2
OPTIMIZER = "adam"  # of training.OPTIMIZERS
# Costs as much as the others together, and 3 x 3 pooling keeps it sharp for a step only; model4 has its layers.
LEFT_OUT = ("model3",)
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "train_loss", "train_accuracy")


class Fitted(NamedTuple):
    """What `fit` told and left, epoch by epoch. E epochs of B batches, V variables, T of them trained.

    `metrics`: those of METRICS; train_loss and train_accuracy are the train set evaluated after the epoch. `norms` are of
    every variable in the order of `start.weight_names`, `moved` their distances from where they started. `slots` are the
    norms of Adam's first and second moments of each trained variable. `steps` are the losses of the batches, `images` those
    of the validation images after the epoch.
    """

    metrics: np.ndarray  # (E, METRICS)
    norms: np.ndarray  # (E, V)
    moved: np.ndarray  # (E, V)
    slots: np.ndarray  # (E, 2 T): m and v of the first trained variable, of the second, …
    steps: np.ndarray  # (E, B)
    images: np.ndarray  # (E, VALIDATION)


def part_of(data: Dataset) -> Dataset:
    """The samples of a Dataset that are fitted and validated here: the first of each set."""
    return data._replace(
        x_train=data.x_train[:SAMPLES],
        y_train=data.y_train[:SAMPLES],
        x_test=data.x_test[:VALIDATION],
        y_test=data.y_test[:VALIDATION],
    )


def order() -> np.ndarray:
    """Rows of the train set in the order in which every epoch shows them."""
    return np.random.RandomState(SEED).permutation(SAMPLES)
