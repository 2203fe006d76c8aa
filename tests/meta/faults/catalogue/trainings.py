"""Faults of a training that only `fit` of whole epochs shows, and what drives a training: its data, order, rate and start.

`tests/meta/faults/training_faults.py` and `paired_faults.py` store trainings with them.
"""

import inspect

import keras
import numpy as np

from tests.meta.faults.catalogue.changing import set_after_init
from tests.meta.faults.catalogue.entries import add, fault
from tests.meta.faults.catalogue.patching import wrapped

BATCH = 128


def fit_with(change):
    """Replace `Model.fit` of arrays: change(arguments) -> new arguments. The harness fits arrays then, which it changes."""
    from cnnspec import pipeline

    def make(original):
        names = list(inspect.signature(original).parameters)[1:]

        def fit(self, *positional, **given):
            arguments = dict(zip(names, positional, strict=False)) | given
            arrays = isinstance(arguments.get("x"), np.ndarray) and isinstance(arguments.get("y"), np.ndarray)
            return original(self, **(change(arguments) if arrays else arguments))

        return fit

    wrapped(keras.Model, "fit", make)
    pipeline.available = lambda: False


def adam(**settings):
    """The notebook's Adam with other settings."""
    from cnnspec import training

    training.OPTIMIZERS["adam"] = lambda: keras.optimizers.Adam(**settings)


ADAM = {  # name -> (story, setting, value)
    "learning_rate_doubled": ("Adam's learning rate is twice the notebook's.", "learning_rate", 0.002),
    "learning_rate_higher": ("Adam's learning rate is 2 % higher.", "learning_rate", 0.00102),
    "learning_rate_lower": ("Adam's learning rate is 2 % lower.", "learning_rate", 0.00098),
    "beta_1_lower": ("Adam's beta_1 is 0.88.", "beta_1", 0.88),
}
for name, (story, setting, value) in ADAM.items():
    put = lambda setting=setting, value=value: adam(**{setting: value})  # noqa: E731
    add(name, put, kind="optimizer", story=story, source="made", words=f"{setting}: expected")


def wrong_labels(share):
    """A change of `fit`: this share of the labels, drawn with a fixed seed, becomes another digit."""

    def change(arguments):
        generator = np.random.default_rng(5)
        if arguments["y"].shape[1:] != (10,):  # no digits: the labels of others
            labels = arguments["y"].copy()
            wrong = generator.permutation(len(labels))[: round(share * len(labels))]
            labels[wrong] = labels[np.roll(wrong, 1)]
            return arguments | {"y": labels}
        labels = arguments["y"].argmax(axis=1)
        wrong = generator.permutation(len(labels))[: round(share * len(labels))]
        labels[wrong] = (labels[wrong] + generator.integers(1, 10, len(wrong))) % 10
        return arguments | {"y": np.eye(10, dtype="float32")[labels]}

    return change


LABELS = ("labels, or samples, have changed places", "other samples than those given", "images with the label of another")


@fault(kind="data", source="DeepCrime's operator TCL, change labels of the training data", words=LABELS)
def labels_wrong_2_percent():
    """2 % of the labels that `fit` gets are another digit."""
    fit_with(wrong_labels(0.02))


@fault(kind="data", source="DeepCrime's operator TCL, change labels of the training data", words=LABELS)
def labels_wrong_half_percent():
    """0.5 % of the labels that `fit` gets are another digit."""
    fit_with(wrong_labels(0.005))


@fault(kind="data", source="made; the test set in the train set", words=("steps of the optimizer", "samples"))
def test_data_leaked():
    """`fit` trains on the test set too."""

    def change(arguments):
        if not arguments.get("validation_data"):
            return arguments
        extra = dict(zip("xy", arguments["validation_data"], strict=True))
        return arguments | {name: np.concatenate([arguments[name], extra[name]]) for name in "xy"}

    fit_with(change)


@fault(
    kind="data",
    source="DeepCrime's operator TRD, remove portion of training data",
    words=("partial batch of each epoch is left out", "never shown"),
)
def partial_batch_of_the_arrays_dropped():
    """`fit` of arrays gets only what fills whole batches."""

    def change(arguments):
        size = arguments.get("batch_size") or 32
        whole = len(arguments["x"]) // size * size or None
        return arguments | {name: arguments[name][:whole] for name in "xy"}

    fit_with(change)


@fault(kind="data", source="DeepCrime's operator TUD, unbalance training data", words=(*LABELS, "never shown"))
def one_class_left_out():
    """Every sample of digit 3 is replaced by the next that is none, so that the number of steps stays."""

    def change(arguments):
        if arguments["y"].shape[1:] != (10,):
            return arguments
        digits = arguments["y"].argmax(axis=1)
        rows = np.arange(len(digits))
        kept = rows[digits != 3]
        rows = np.where(digits == 3, kept[np.searchsorted(kept, rows) % len(kept)], rows)
        return arguments | {name: arguments[name][rows] for name in "xy"}

    fit_with(change)


@fault(kind="data", source="made", words=LABELS)
def labels_of_a_batch_shifted():
    """The labels of the sixth batch belong to their neighbours."""

    def change(arguments):
        labels = arguments["y"].copy()
        labels[5 * BATCH : 6 * BATCH] = np.roll(labels[5 * BATCH : 6 * BATCH], 1, axis=0)
        return arguments | {"y": labels}

    fit_with(change)


@fault(kind="fit", source="DeepCrime's operator HNE, change number of epochs", words=("1 epoch early", "epochs and steps"))
def one_epoch_short():
    """`fit` trains one epoch less than it is asked for, where that is more than one."""
    fit_with(lambda arguments: arguments | {"epochs": max(arguments.get("epochs", 1) - 1, 1)})


@fault(kind="fit", source="DeepCrime's operator HBS, change batch size", words="steps of the optimizer")
def batch_size_doubled():
    """`fit` takes batches twice as large as it is asked for."""
    fit_with(lambda arguments: arguments | {"batch_size": 2 * (arguments.get("batch_size") or 32)})


@fault(kind="fit", source="made", words="shuffl")
def fit_without_shuffle():
    """`fit` never shuffles."""

    def make(original):
        def fit(self, *arguments, **given):
            return original(self, *arguments, **{**given, "shuffle": False})

        return fit

    wrapped(keras.Model, "fit", make)


@fault(
    kind="random",
    source="Keras 3: https://github.com/keras-team/keras seeded shuffles repeat",
    words="places of the samples in epoch 1 and in epoch 2",
)
def order_repeated():
    """Every epoch of `fit` has one order: the generator from which each epoch starts is seeded anew."""

    def make(original):
        def fit(self, *arguments, **given):
            keras.utils.set_random_seed(7)
            return original(self, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="fit", source="made", words="evaluate")
def evaluate_on_a_part():
    """`evaluate` looks at the first nine tenths of what it gets."""

    def make(original):
        def evaluate(self, x=None, y=None, *others, **given):
            if y is not None:
                x, y = (array[: int(len(array) * 0.9)] for array in (x, y))
            return original(self, x, y, *others, **given)

        return evaluate

    wrapped(keras.Model, "evaluate", make)


@fault(kind="random", source="Glorot and Bengio, 2010: the limits", words="initial kernel")
def glorot_twice_as_wide():
    """`glorot_uniform` draws from limits twice as large: four times the variance."""
    set_after_init(keras.initializers.GlorotUniform, scale=4.0)
