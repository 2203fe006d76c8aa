"""Known differences: tests that must fail on some versions of the stack, with the size and the cause of each difference.

A test that passes although it must fail is reported as a failure (tests/plugin/known_differences.py). Then narrow the
versions of its entry here, or remove the entry. On a stack of which `unmeasured` says more, the difference may have been
mended: there such a test has passed, and the verdict says so.
"""

from __future__ import annotations

import math
import platform

import keras
import numpy as np
import pytest
from packaging.version import InvalidVersion, Version

from cnnspec import stack
from cnnspec.compat import backend

KERAS = Version(keras.__version__)
TENSORFLOW = backend() == "tensorflow"
# The newest versions that the suite ran on: rows of baselines/matrix/README.md, which a test looks for.
NEWEST = {"Keras": "3.16.0.dev2026102704", "tensorflow": "2.22.0rc0", "jax": "0.12.0.1", "torch": "2.13.0"}
PROCESSORS = ("x86_64", "amd64")  # as platform.machine has it, of every machine that the suite ran on


def unmeasured() -> str:
    """What of this stack the suite never ran on, where a known difference may be gone; empty if it ran on the like."""
    framework, version = stack.current()["framework"].split()
    found = [
        f"{name} {installed} is none of those up to {NEWEST[name]}"
        for name, installed in ((framework, version), ("Keras", keras.__version__))
        if not up_to(NEWEST[name], installed)
    ]
    machine = platform.machine().lower()
    return "; ".join(found + [f"no processor of the family {machine} was measured"] * (machine not in PROCESSORS))


def up_to(newest: str, installed: str) -> bool:
    """Whether a version is at most `newest`; what follows a plus is left out. One that cannot be compared is not."""
    try:
        return Version(Version(installed).public) <= Version(newest)
    except InvalidVersion:
        return False


def onednn() -> bool:
    """Whether TensorFlow's own operations are oneDNN's: as built, as the processor has it, and as the environment asks."""
    if not TENSORFLOW:
        return False
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def known(
    condition: bool, reason: str, raises: type[BaseException] = pytest.fail.Exception, strict: bool = True
) -> pytest.MarkDecorator:
    """A mark for tests that must fail with the exception `raises` where `condition` holds; without `strict` they may."""
    return pytest.mark.xfail(condition, reason=reason, raises=raises, strict=strict)


SEEDED_SHUFFLE = known(
    TENSORFLOW and Version("3.0") <= KERAS,
    "Keras 3 on TensorFlow, once seeded, shuffles the samples in the same order in every epoch, because each epoch restarts "
    "tf.data's seeded shuffle. Correlation of the orders: 1.0 with Keras 3.0.0, 3.3.3 and 3.15.1; 0.0 with Keras 2.12, JAX "
    "and PyTorch",
)

# From this preview on Keras' adapter of arrays shuffles by the number of the epoch; the preview of the day before does not.
SHUFFLED_BY_EPOCH = Version("3.16.0.dev2026062705") <= KERAS

CONSTANT_SHUFFLE = known(
    TENSORFLOW and SHUFFLED_BY_EPOCH,
    "previews of Keras 3.16 on TensorFlow show the samples in the same order in every epoch, unseeded too: it is drawn "
    "from (epoch, 0), and the epoch is a constant of the traced function. Correlation of the orders: 1.0 with "
    "3.16.0.dev2026062705 and dev2026102704, 0.0 with dev2026062605 and 3.15.1 (docs/upstream/constant-shuffle.md)",
)

SHUFFLE_WITHOUT_SEED = known(
    SHUFFLED_BY_EPOCH,
    "previews of Keras 3.16 shuffle arrays by the number of the epoch alone: every seed and every run has the same orders "
    "(3.16.0.dev2026102704 on TensorFlow, JAX and PyTorch; docs/upstream/constant-shuffle.md)",
)

BATCH_VARIANCE = known(
    TENSORFLOW and Version("3.0") <= KERAS < Version("3.0.3"),
    "Keras 3.0.0 to 3.0.2 on TensorFlow: the gradient of BatchNormalization at its input is wrong by up to 14 %. Keras "
    "computes the variance as E[x²] − stop_gradient(E[x])², whose gradient is another one (_compute_moments in "
    "keras/src/backend/tensorflow/nn.py; Keras 3.0.3 calls tf.nn.moments)",
)

VARIANCE_OF_SQUARES = known(
    backend() == "torch" or (TENSORFLOW and Version("3.0") <= KERAS < Version("3.0.3")),
    "Keras on PyTorch, and Keras 3.0.0 to 3.0.2 on TensorFlow, compute BatchNormalization's variance as E[x²] − E[x]² in "
    "float32: for inputs of mean 1000 and standard deviation 1 it is off by 9 to 14 % (3.15.1 on PyTorch 2.13; 9e-7 on "
    "TensorFlow 2.12, 2.16 and 2.21, 4e-8 on JAX); `moments` in keras/src/backend/torch/nn.py says that it is less stable",
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

# Where a stack may drop NaN. On GPUs it was not measured: cuDNN can be told to propagate NaN or not. There both pass.
JAX = backend() == "jax"
ON_GPU = stack.on_gpu()
POOLING = TENSORFLOW or JAX
RELU = TENSORFLOW and (onednn() or ON_GPU)
EMPTY_WINDOW = -math.inf  # the largest of no numbers; some kernels begin with the lowest number instead
LOWEST = float(np.finfo("float32").min)

POOLING_DROPS_NAN = known(
    POOLING,
    "max pooling takes the largest of the other numbers where a window has a NaN, and where it has nothing else "
    "−3.4028235e38 (TensorFlow 2.12, 2.16 and 2.21 on a CPU, compiled and eager, oneDNN on and off) or −infinity "
    "(TensorFlow 2.21 by XLA; JAX 0.12 on a CPU, at some sizes of batch and window); PyTorch gives NaN, and so does JAX "
    "0.11.2 on an H100",
    strict=TENSORFLOW and not ON_GPU,
)

RELU_DROPS_NAN = known(
    RELU,
    "TensorFlow on a CPU with oneDNN: the fused ReLU of Conv2D and Dense makes a NaN 0 in compiled steps (2.12, 2.16 and "
    "2.21, each at other shapes and batch sizes; eagerly, and without oneDNN, it stays NaN)",
    strict=not ON_GPU,
)

ZEROS = TENSORFLOW and Version("3.0") <= KERAS < Version("3.16.0.dev2026072904")
ZEROS_COUNTED = known(
    ZEROS,
    "Keras 3 on TensorFlow counts a batch of zeros behind a tf.data data set of fixed batch and unknown length: of n "
    "batches the mean loss is n / (n + 1) of it, in evaluate and in fit (3.0.0, 3.1.1, 3.3.3, 3.5.0, 3.8.0, 3.11.3, 3.13.2 "
    "and 3.15.1; Keras 2.12 does not; gone with 3.16.0.dev2026072904, still there the day before; steps by XLA, which Keras "
    "takes on a GPU, do not)",
    strict=not ON_GPU,
)

H5_LOSES_SLOTS = known(
    Version("3.0") <= KERAS,
    "Keras 3 loads a Sequential model's .h5 with 2 of Adam's variables, the step and the rate: the optimizer is built for "
    "model._trainable_variables, of which a Sequential has none; the next fit raises (3.0.0, 3.1.1, 3.3.3, 3.5.0, 3.8.0, "
    "3.11.3, 3.13.2 and 3.15.1; TensorFlow, JAX and PyTorch)",
)

KERAS_AFTER_H5 = known(
    # Before 3.0.2 such a file cannot be loaded at all: LOADED_LOSS.
    Version("3.0.2") <= KERAS < Version("3.16.0.dev2026090904"),
    "Keras 3 takes the optimizer out of a model's own compile settings when it saves an .h5; a .keras saved after it is "
    "loaded with RMSprop (3.1.1 and the later versions of H5_LOSES_SLOTS; gone with 3.16.0.dev2026090904, still there in "
    "dev2026090404, the preview before)",
)

SEED_OF_ZERO = known(
    Version("3.0") <= KERAS < Version("3.2"),
    "Keras 3.0.0 and 3.1.1: an initialiser takes a seed of 0 for none, `seed or make_default_seed()`, and draws something "
    "else in each process and model (mended in 3.2.0)",
)

UPDATED_BEFORE_READ = known(
    TENSORFLOW and Version("3.2.1") <= KERAS,
    "TensorFlow (2.12 to 2.22.0rc0) drops the order of a read and a later write of a variable where gradients pass through "
    "an IdentityN, as in Keras from 3.2.1 on: with a loss that is linear in the output, gradients may be those of weights "
    "that the same step has already updated. So it is in nearly every step of train_on_batch, in one of 450 by fit, and in "
    "nearly every one by fit from 3.16.0.dev2026072904 on; the notebook's loss depends on every weight, which keeps the "
    "order (docs/upstream/update-before-read.md)",
    strict=False,
)
