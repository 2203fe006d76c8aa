"""Known differences: tests that must fail on some versions of the stack, with the size and the cause of each difference.

A test that passes although it must fail is reported as a failure (tests/plugin/known_differences.py). Then narrow the
versions of its entry here, or remove the entry.
"""

from __future__ import annotations

import keras
import pytest
from packaging.version import Version

from cnnspec.compat import backend

KERAS = Version(keras.__version__)
TENSORFLOW = backend() == "tensorflow"


def known(condition: bool, reason: str, raises: type[BaseException] = pytest.fail.Exception) -> pytest.MarkDecorator:
    """A mark for tests that must fail with the exception `raises` where `condition` holds."""
    return pytest.mark.xfail(condition, reason=reason, raises=raises, strict=True)


SEEDED_SHUFFLE = known(
    TENSORFLOW and Version("3.0") <= KERAS,
    "Keras 3 on TensorFlow, once seeded, shuffles the samples in the same order in every epoch, because each epoch restarts "
    "tf.data's seeded shuffle. Correlation of the orders: 1.0 with Keras 3.0.0, 3.3.3 and 3.15.1; 0.0 with Keras 2.12, JAX "
    "and PyTorch",
)

BATCH_VARIANCE = known(
    TENSORFLOW and Version("3.0") <= KERAS < Version("3.0.3"),
    "Keras 3.0.0 to 3.0.2 on TensorFlow: the gradient of BatchNormalization at its input is wrong by up to 14 %. Keras "
    "computes the variance as E[x²] − stop_gradient(E[x])², whose gradient is another one (_compute_moments in "
    "keras/src/backend/tensorflow/nn.py; Keras 3.0.3 calls tf.nn.moments)",
)

LOSS_OF_BATCHES = known(
    Version("3.0") <= KERAS < Version("3.2"),
    "Keras 3.0 and 3.1 average the losses of batches, not of samples: a smaller last batch counts as much as a whole one. "
    "This changes the losses here by 0.4 to 0.8 % (fixed in 3.2.0, https://github.com/keras-team/keras/pull/19363)",
)

LOADED_LOSS = known(
    Version("3.0") <= KERAS < Version("3.0.2"),
    "Keras 3.0.0 and 3.0.1 cannot load a .keras file whose loss is a function of Keras: get_symbol_from_name in "
    "keras/src/api_export.py has no `return` (fixed in 3.0.2)",
    raises=TypeError,
)
