"""`fit`, `evaluate` and `predict` that show other samples than they should, or take another number of steps."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from tests.meta.faults.catalogue.batches import other_batches
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import Counter, tf, wrapped

ORDER = ("shuffl", "order", "epoch")


def shuffled(change: Any) -> None:
    """`fit` of arrays with shuffle=True draws another permutation: change(number of samples) -> rows."""

    def make(original: Any) -> Any:
        def get_tf_dataset(self: Any) -> Any:
            if not self._shuffle or self._shuffle == "batch":
                return original(self)
            rows = change(self._num_samples)
            kept = self._inputs, self._shuffle
            self._inputs = keras.tree.map_structure(lambda array: np.asarray(array)[rows], self._inputs)
            self._shuffle = False
            try:
                return original(self)
            finally:
                self._inputs, self._shuffle = kept

        return get_tf_dataset

    wrapped(ArrayDataAdapter, "get_tf_dataset", make)


@fault(
    kind="random",
    source="tf.data.Dataset.shuffle: a buffer smaller than the data",
    words=("shuffl", "places of the samples"),
)
def shuffling_by_a_small_buffer() -> None:
    """Shuffling draws from a buffer of 64 samples: each stays near its place in the data."""

    def change(samples: int) -> Any:
        random, buffer, order = np.random.default_rng(3), list(range(min(64, samples))), []
        for row in range(64, samples + 64):
            place = random.integers(len(buffer))
            order.append(buffer[place])
            if row < samples:
                buffer[place] = row
            else:
                buffer.pop(place)
            if not buffer:
                break
        return np.array(order)

    shuffled(change)


@fault(kind="random", source="made", words=("shuffl", "places of the samples", "batch"))
def shuffling_inside_batches_alone() -> None:
    """Shuffling exchanges samples inside blocks of 128 alone: batches hold the same samples in every epoch."""
    shuffled(lambda n: np.concatenate([a + np.random.permutation(min(128, n - a)) for a in range(0, n, 128)]))


@fault(kind="random", source="made", words=("samples", "new samples in each batch"))
def shuffling_with_replacement() -> None:
    """Shuffling draws rows with replacement: a third of the samples is not in an epoch."""
    shuffled(lambda n: np.random.randint(0, n, n))


@fault(kind="random", source="made", words=("shuffl", "places of the samples"))
def shuffling_leaves_the_tail() -> None:
    """Shuffling leaves the last 128 samples at the end of each epoch."""
    shuffled(lambda n: np.concatenate([np.random.permutation(max(n - 128, 0)), np.arange(max(n - 128, 0), n)]))


@fault(kind="random", source="made", words=("shuffl", "batches", "places of the samples", "epoch"))
def shuffling_reverses_every_other_epoch() -> None:
    """One permutation is drawn for all; the order of epoch 2 is that of epoch 1."""
    shuffled(lambda n: np.random.RandomState(11).permutation(n))


@fault(kind="fit", source="made", words=("steps of the optimizer", "steps"))
def batches_of_64_for_128() -> None:
    """`fit` splits batches of 128 in two, as a memory limit would: twice as many steps."""
    other_batches(lambda batches: [(x[h::2], y[h::2]) for x, y in batches for h in ((0, 1) if len(x) == 128 else (0,))])


@fault(kind="fit", source="made", words=("labels, or samples", "samples"))
def last_row_is_of_the_batch_before() -> None:
    """The last row of each image batch is that of the batch before, whose buffer was reused; labels are right."""

    def change(batches: Any) -> Any:
        found = [batches[0]]
        for (before, _), (x, y) in itertools.pairwise(batches):
            found.append((np.concatenate([x[:-1], before[-1:]]), y))
        return found

    other_batches(change)


@fault(kind="fit", source="made", words="labels")
def labels_are_a_batch_late_after_the_first() -> None:
    """From the third batch of an epoch on, labels belong to the batch before, where the sizes are equal."""

    def change(batches: Any) -> Any:
        labels = [y for _, y in batches]
        late = [at >= 2 and len(labels[at - 1]) == len(y) for at, y in enumerate(labels)]
        return [(x, labels[at - 1] if late[at] else y) for at, (x, y) in enumerate(batches)]

    other_batches(change)


@fault(kind="fit", source="made", words=("partial", "batch"))
def partial_batch_is_filled_up() -> None:
    """The last, partial batch is filled with its own first rows to the size of the others."""

    def change(batches: Any) -> Any:
        size = len(batches[0][0])
        rows = np.resize(np.arange(len(batches[-1][0])), size)
        return [*batches[:-1], tuple(array[rows] for array in batches[-1])]

    other_batches(change)


@fault(kind="fit", source="made", words=("intermittent", "samples", "rate", "gradient"))
def every_other_gradient_counts_twice() -> None:
    """Every other step has gradients of zero, and those between have twice theirs."""
    counter = Counter()

    def make(original: Any) -> Any:
        def apply(self: Any, grads: Any, trainable_variables: Any = None) -> Any:
            second = tf.cast(counter.every(2), "float32")
            return original(self, [gradient * second * 2.0 for gradient in grads], trainable_variables)

        return apply

    wrapped(keras.optimizers.Optimizer, "apply", make)


@fault(kind="fit", source="made", words="evaluate")
def evaluate_leaves_out_the_partial_batch() -> None:
    """`evaluate` leaves out the last, partial batch where there is more than one; validation in `fit` is right."""

    def evaluating(original: Any) -> Any:
        def evaluate(self: Any, x: Any = None, y: Any = None, batch_size: Any = None, **given: Any) -> Any:
            size = batch_size or 32
            if isinstance(x, np.ndarray) and len(x) > size:
                whole = len(x) // size * size
                x, y = x[:whole], y[:whole]
            return original(self, x, y, batch_size=batch_size, **given)

        return evaluate

    wrapped(keras.Model, "evaluate", evaluating)


@fault(kind="conditional", source="made", words=("predict", "images"))
def predict_reverses_its_partial_batch() -> None:
    """`predict` returns the rows of its last, partial batch in the reverse order, where there is more than one batch."""

    def make(original: Any) -> Any:
        def predict(self: Any, x: Any, batch_size: Any = None, **given: Any) -> Any:
            found, size = original(self, x, batch_size=batch_size, **given), batch_size or 32
            if not isinstance(found, np.ndarray) or len(found) <= size or not len(found) % size:
                return found
            whole = len(found) // size * size
            return np.concatenate([found[:whole], found[whole:][::-1]])

        return predict

    wrapped(keras.Model, "predict", make)


@fault(kind="state", source="made", words=("epoch", "fit", "weights"))
def weights_of_the_best_epoch() -> None:
    """`fit` ends with the weights of the epoch whose val_loss was lowest, as EarlyStopping does when it is asked to."""

    class Best(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.best, self.kept = np.inf, None

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if (logs or {}).get("val_loss", np.inf) < self.best:
                self.best, self.kept = logs["val_loss"], self.model.get_weights()

        def on_train_end(self, logs: Any = None) -> None:
            if self.kept is not None:
                self.model.set_weights(self.kept)

    _with_callback(Best)


@fault(kind="state", source="made; a loss that rises after a few epochs: keras-team/keras#18370", words=("epoch", "third"))
def slots_reset_at_the_third_epoch() -> None:
    """The optimizer's slots are set to zero when the third epoch of a `fit` begins."""

    class Reset(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            for variable in self.model.optimizer.variables if epoch == 2 else ():
                if len(variable.shape):
                    variable.assign(np.zeros(variable.shape, variable.dtype))

    _with_callback(Reset)


@fault(kind="conditional", source="keras-team/keras#20177", words=("val_loss", "validation"))
def a_second_fit_validates_on_the_first_data() -> None:
    """A second `fit` of a model validates on the validation data of the first, which it has kept."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, validation_data: Any = None, **given: Any) -> Any:
            if validation_data is not None:
                validation_data = vars(self).setdefault("_first_validation_data", (validation_data,))[0]
            return original(self, *arguments, validation_data=validation_data, **given)

        return fit

    wrapped(keras.Model, "fit", make)


def _with_callback(make_callback: Any) -> None:
    """`fit` with one more callback, made anew for each."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, callbacks: Any = None, **given: Any) -> Any:
            return original(self, *arguments, callbacks=[make_callback(), *(callbacks or ())], **given)

        return fit

    wrapped(keras.Model, "fit", make)
