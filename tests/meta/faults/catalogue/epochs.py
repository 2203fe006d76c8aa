"""`fit` and `evaluate` that show other batches, count otherwise or report otherwise than they were asked to."""

import keras
import numpy as np

from tests.meta.faults.catalogue.batches import rebatched
from tests.meta.faults.catalogue.changing import FITTING, while_fitting
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import wrapped

LOOKS = "looks like: "


def is_dataset(x):
    """True for what the harness' pipeline makes."""
    return hasattr(x, "element_spec")


def other_batches(change):
    """`fit` shows other batches than it was given."""

    def make(original):
        def fit(self, x=None, y=None, batch_size=None, **given):
            given |= {"shuffle": False, "validation_batch_size": given.get("validation_batch_size") or batch_size}
            return original(self, rebatched(x, y, batch_size, change), **given)

        return fit

    wrapped(keras.Model, "fit", make)


def at_each_epoch(act):
    """act(model) at the start of every epoch but the first."""

    class Act(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                act(self.model)

    def make(original):
        def fit(self, *arguments, callbacks=(), **given):
            return original(self, *arguments, callbacks=[Act(), *(callbacks or ())], **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="fit", source="made", words=f"{LOOKS}fit ended 1 epoch early")
def one_epoch_early():
    """`fit` ends one epoch early where it was asked for more than one."""

    def make(original):
        def fit(self, *arguments, epochs=1, **given):
            return original(self, *arguments, epochs=max(epochs - 1, 1), **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="fit", source="made; drop_remainder=True", words=f"{LOOKS}the last, partial batch of each epoch is left out")
def partial_batch_dropped():
    """The last, partial batch of an epoch is left out."""
    other_batches(lambda batches: [batch for batch in batches if len(batch[0]) == len(batches[0][0])])


@fault(
    kind="fit",
    source="https://github.com/keras-team/keras/pull/19363 (Keras 3.0 and 3.1)",
    words=f"{LOOKS}loss is every batch counts the same: the partial batch of 32 counts as a whole one",
)
def partial_batch_weighted_as_whole():
    """Losses of batches are averaged, not of samples."""

    def make(original):
        def update_state(self, values, sample_weight=None):
            return original(self, values, None if self.name == "loss" else sample_weight)

        return update_state

    wrapped(keras.metrics.Mean, "update_state", make)


@fault(kind="fit", source="made", words=f"{LOOKS}val_loss is the train set's loss: validation runs on the train set")
def validation_on_the_train_set():
    """Validation runs on the samples that are trained."""

    def make(original):
        def fit(self, x=None, y=None, validation_data=None, **given):
            if validation_data is not None:
                validation_data = x if is_dataset(x) else (x, y)
            return original(self, x, y, validation_data=validation_data, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="state", source="made", words=f"{LOOKS}the optimizer's slots are reset at each epoch")
def slots_reset_at_each_epoch():
    """The optimizer's slots start from zero in every epoch; its counter goes on."""

    def act(model):
        for variable in model.optimizer.variables:
            if len(variable.shape):
                variable.assign(np.zeros(variable.shape, variable.dtype))

    at_each_epoch(act)


@fault(kind="state", source="made", words="epochs and steps")
def counter_restarts_at_each_epoch():
    """The optimizer counts its steps from zero in every epoch, so that Adam corrects its bias anew."""
    at_each_epoch(lambda model: model.optimizer.iterations.assign(0))


@fault(kind="conditional", source="made", words=f"{LOOKS}another learning rate, 0.95 times the one given")
def learning_rate_lower_in_fit():
    """Inside `fit` alone steps are 5 % shorter; the learning rate that is told is the one given."""
    while_fitting()

    def make(original):
        def update_step(self, gradient, variable, learning_rate):
            return original(self, gradient, variable, learning_rate * (0.95 if FITTING["now"] else 1.0))

        return update_step

    for cls in (keras.optimizers.Adam, keras.optimizers.SGD):
        wrapped(cls, "update_step", make)


@fault(kind="data", source="made; a sampler with replacement", words="never shown: 1 samples, the first at place 3")
def one_sample_twice():
    """One sample of an epoch is shown twice, and one never."""

    def change(batches):
        x, y = (array.copy() for array in batches[0])
        x[3], y[3] = x[5], y[5]
        return [(x, y), *batches[1:]]

    other_batches(change)


@fault(
    kind="data",
    source="made",
    words=f"{LOOKS}labels, or samples, have changed places (in batch 3 of an epoch)",
)
def labels_rolled_in_the_partial_batch():
    """The labels of the last, partial batch belong to their neighbours."""

    def change(batches):
        x, y = batches[-1]
        return [*batches[:-1], (x, np.roll(y, 1, axis=0))]

    other_batches(change)


@fault(kind="conditional", source="made", words=f"{LOOKS}the moving statistics are not updated")
def moving_statistics_frozen_in_fit():
    """BatchNormalization's moving statistics are not updated inside `fit`; outputs and gradients are right."""
    while_fitting()

    def make(original):
        def call(self, inputs, training=None, mask=None):
            if not (training and FITTING["now"]):
                return original(self, inputs, training=training, mask=mask)
            kept, self.momentum = self.momentum, 1.0
            try:
                return original(self, inputs, training=training, mask=mask)
            finally:
                self.momentum = kept

        return call

    wrapped(keras.layers.BatchNormalization, "call", make)


@fault(kind="fit", source="made", words=f"{LOOKS}joined steps repeat the first batch of their execution")
def joined_steps_repeat_the_first_batch():
    """Each execution of joined steps computes its first batch over and over; a partial batch is its own."""
    from cnnspec import pipeline

    def change(batches):
        size, joined = len(batches[0][0]), pipeline.STEPS_PER_EXECUTION
        return [batches[at - at % joined] if len(batch[0]) == size else batch for at, batch in enumerate(batches)]

    def make(original):
        def fit(self, x=None, *arguments, **given):
            return original(self, rebatched(x, None, None, change) if is_dataset(x) else x, *arguments, **given)

        return fit

    wrapped(keras.Model, "fit", make)


@fault(
    kind="fit",
    source="made",
    words=f"{LOOKS}evaluate on the test set, loss is the last batch's loss alone (a batch of 8)",
)
def evaluate_tells_the_last_batch():
    """`evaluate` returns the loss of its last batch, not the mean."""

    def make(original):
        def evaluate(self, x=None, y=None, batch_size=None, **given):
            if is_dataset(x) or given.get("return_dict") or y is None or "_use_cached_eval_dataset" in given:
                return original(self, x, y, batch_size=batch_size, **given)
            size = batch_size or 32
            told = original(self, x, y, batch_size=size, **given)
            first = (len(x) - 1) // size * size
            last = original(self, x[first:], y[first:], batch_size=size, **given)
            return [last[0], *told[1:]] if isinstance(told, list) else last

        return evaluate

    wrapped(keras.Model, "evaluate", make)
