"""Where a version of the stack is known to differ: expected failures, each bound to its versions, with its size and cause.

When a difference is gone its tests pass, which fails them: then the versions here are to be brought up to date.
"""

import keras
import pytest
from packaging.version import Version

from cnnspec.compat import backend

KERAS = Version(keras.__version__)
TENSORFLOW = backend() == "tensorflow"


def known(condition, reason, raises=pytest.fail.Exception):
    """A mark for tests that must fail, with `raises`, where `condition` holds."""
    return pytest.mark.xfail(condition, reason=reason, raises=raises, strict=True)


SEEDED_SHUFFLE = known(
    TENSORFLOW and Version("3.0") <= KERAS,
    "Keras 3 on TensorFlow, once seeded, repeats one permutation in every epoch (correlation 1.0 with 3.0.0, 3.3.3 and "
    "3.15.1; 0.0 with Keras 2.12, JAX, PyTorch): each epoch starts tf.data's seeded shuffle afresh",
)

BATCH_VARIANCE = known(
    TENSORFLOW and Version("3.0") <= KERAS < Version("3.0.3"),
    "Keras 3.0.0 to 3.0.2 on TensorFlow: BatchNormalization's gradient is wrong by up to 14 % at its input, because the "
    "variance is taken as E[x²] − stop_gradient(E[x])², whose gradient is not the variance's (_compute_moments in "
    "keras/src/backend/tensorflow/nn.py; tf.nn.moments since 3.0.3)",
)

LOSS_OF_BATCHES = known(
    Version("3.0") <= KERAS < Version("3.2"),
    "Keras 3.0 and 3.1 average the losses of batches, not of samples: a smaller last batch counts in full, which is 0.4 to "
    "0.8 % of the losses here (mended in 3.2.0, https://github.com/keras-team/keras/pull/19363)",
)

LOADED_LOSS = known(
    Version("3.0") <= KERAS < Version("3.0.2"),
    "Keras 3.0.0 and 3.0.1 cannot load a .keras file whose loss is one of Keras' functions: get_symbol_from_name in "
    "keras/src/api_export.py lacks its `return` (mended in 3.0.2)",
    raises=TypeError,
)
