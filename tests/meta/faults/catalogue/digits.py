"""Digits and labels that are wrong: as they are read and prepared, or on their way into a step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from cnnspec import mnist
from cnnspec.names import IMAGE
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import batch_of, shortened, tf, training_on, wrapped

DATA = ("images that", "images whose", "images of each digit", "pixel values", "one-hot")


def _read(change: Any) -> None:
    """Other raw digits: change(arrays) -> arrays, of uint8."""
    wrapped(mnist, "read_mnist5k", lambda original: lambda: change(dict(original())))


def _prepared(change: Any) -> None:
    """Other prepared digits: change(Dataset) -> Dataset."""
    wrapped(mnist, "prepare", lambda original: lambda name, arrays: change(original(name, arrays)))


def _seen_by_steps(change: Any) -> None:
    """Images that a training step on digits sees: change(x) -> x; labels stay."""

    def images(model: Any, x: Any, y: Any) -> Any:
        return (change(x), y) if tf.is_tensor(x) and tuple(x.shape[1:]) == IMAGE else (x, y)

    training_on(images)


@fault(kind="data", source="made", words=DATA)
def one_pixel_of_one_image() -> None:
    """One pixel of one training image is one unit brighter."""

    def change(arrays: Any) -> Any:
        images = arrays["x_train"].copy()
        images[1234, 14, 14] ^= 1
        return arrays | {"x_train": images}

    _read(change)


@fault(kind="data", source="Humbatova et al. 2021, DeepCrime: change labels of training data (TCL)", words=DATA)
def one_label_of_4000() -> None:
    """One training image has the label of the next digit."""

    def change(arrays: Any) -> Any:
        labels = arrays["y_train"].copy()
        labels[2345] = (labels[2345] + 1) % 10
        return arrays | {"y_train": labels}

    _read(change)


@fault(kind="data", source="Humbatova et al. 2021, DeepCrime: unbalance training data (TUD)", words=DATA)
def a_digit_is_half_as_frequent() -> None:
    """Half of the training images of digit 7 are copies of images of digit 1."""

    def change(arrays: Any) -> Any:
        images, labels = arrays["x_train"].copy(), arrays["y_train"].copy()
        sevens, ones = (np.flatnonzero(labels == digit)[:200] for digit in (7, 1))
        images[sevens], labels[sevens] = images[ones], 1
        return arrays | {"x_train": images, "y_train": labels}

    _read(change)


@fault(kind="data", source="Humbatova et al. 2021, DeepCrime: add noise to training data (TAN)", words=DATA)
def images_have_noise() -> None:
    """Training images have noise of a thousandth."""

    def change(data: Any) -> Any:
        noise = np.random.RandomState(3).normal(0, 1e-3, data.x_train.shape)
        return data._replace(x_train=np.clip(data.x_train + noise, 0, 1).astype("float32"))

    _prepared(change)


@fault(kind="data", source="Humbatova et al. 2021, DeepCrime: make output classes overlap (TCO)", words=DATA)
def images_are_shown_under_two_labels() -> None:
    """A hundred training images replace others, with another label than their own."""

    def change(data: Any) -> Any:
        x, y = data.x_train.copy(), data.y_train.copy()
        x[100:200], y[100:200] = x[:100], np.roll(y[:100], 1, axis=1)
        return data._replace(x_train=x, y_train=y)

    _prepared(change)


@fault(kind="data", source="made", words=DATA)
def division_by_a_rounded_reciprocal() -> None:
    """Pixels are multiplied by 1/255 instead of divided by 255: half of them differ in the last bit."""

    def change(data: Any) -> Any:
        new = {
            name: np.rint(getattr(data, name) * 255).astype("float32") * np.float32(1 / 255)
            for name in ("x_train", "x_test")
        }
        return data._replace(**new)

    _prepared(change)


@fault(kind="data", source="made", words=DATA)
def images_are_transposed() -> None:
    """Rows and columns of all images are exchanged, in the train set and in the test set."""
    _read(lambda arrays: arrays | {name: arrays[name].transpose(0, 2, 1) for name in ("x_train", "x_test")})


@fault(kind="data", source="made", words=DATA)
def labels_of_nine_wrap() -> None:
    """`to_categorical` puts the last class into column 0."""

    def make(original: Any) -> Any:
        def to_categorical(x: Any, num_classes: Any = None) -> Any:
            x = np.asarray(x)
            return original(np.where(x == (num_classes or 0) - 1, 0, x), num_classes)

        return to_categorical

    wrapped(keras.utils, "to_categorical", make)


@fault(kind="precision", source="made", words=("layer 1", "loss", "gradient", "step"))
def images_reach_steps_in_float16() -> None:
    """Training steps see images rounded to 11 bits, as from a pipeline in float16; `predict` and `evaluate` do not."""
    _seen_by_steps(lambda x: shortened(x, 11))


@fault(kind="data", source="made", words=("loss", "gradient", "step"))
def images_reach_steps_shifted() -> None:
    """The last image of each training batch is shifted by one pixel: a copy whose offset is wrong."""

    def change(x: Any) -> Any:
        last = tf.cast(tf.equal(tf.range(batch_of(x)), batch_of(x) - 1), x.dtype)[:, None, None, None]
        return x * (1 - last) + tf.roll(x, 1, axis=2) * last

    _seen_by_steps(change)


@fault(kind="data", source="tensorflow/tensorflow#12911, of other indices", words=("rows", "row", "samples"))
def rows_beyond_32767_wrap() -> None:
    """Rows from number 32,768 on are gathered from the beginning again: a 16-bit index. Only full MNIST has as many."""

    def make(original: Any) -> Any:
        def gather(params: Any, indices: Any, *arguments: Any, **given: Any) -> Any:
            if isinstance(indices, tf.Tensor) and indices.dtype == tf.int64:
                indices = indices % 32768
            return original(params, indices, *arguments, **given)

        return gather

    import tensorflow

    wrapped(tensorflow, "gather", make)
