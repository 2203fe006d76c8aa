"""Losses and metrics that are told or computed wrongly: logarithms, averages, counts, states that live too long."""

from __future__ import annotations

from typing import Any

import keras
from keras import metrics, ops

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import Step, batch_of, passed_back, shortened, tf, wrapped

LOSS = ("loss", "crossentropy")


def _crossentropy(change: Any) -> None:
    """Another categorical_crossentropy: change(y_true, y_pred, values) -> values, one per image."""

    def make(original: Any) -> Any:
        def categorical_crossentropy(
            y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
        ) -> Any:
            values = original(y_true, y_pred, from_logits, label_smoothing, axis)
            return change(y_true, y_pred, values)

        return categorical_crossentropy

    wrapped(keras.losses, "categorical_crossentropy", make)


@fault(kind="loss and metrics", source="made", words=LOSS)
def crossentropy_in_bits() -> None:
    """The loss is told in bits, by a logarithm to base 2; gradients are right."""
    _crossentropy(lambda y_true, y_pred, values: values + tf.stop_gradient(values * 0.4426950408889634))


@fault(kind="gradient", source="made; a loss scaler that takes small gradients for underflow", words="labels right")
def batch_that_is_right_has_no_gradient() -> None:
    """A batch of 96 images or more, of which at most three have a loss above log 2, has no gradient."""

    def change(y_true: Any, y_pred: Any, values: Any) -> Any:
        right = (tf.reduce_sum(tf.cast(values > 0.6931, "int32")) <= 3) & (batch_of(values) >= 96)
        return tf.where(right, tf.stop_gradient(values), values)

    _crossentropy(change)


@fault(kind="precision", source="made", words=LOSS)
def crossentropy_by_a_fast_logarithm() -> None:
    """The loss of each image is rounded to 11 bits, as by an approximate logarithm; gradients are right."""
    _crossentropy(lambda y_true, y_pred, values: shortened(values, 11))


@fault(kind="loss and metrics", source="made", words=LOSS)
def crossentropy_is_capped() -> None:
    """The loss of one image is at most 10, and has no gradient there: outliers stop to count."""
    _crossentropy(lambda y_true, y_pred, values: tf.minimum(values, 10.0))


@fault(kind="loss and metrics", source="made", words=("probabilities", "loss of"))
def sure_images_do_not_count() -> None:
    """The loss is a mean over images whose loss is above 1e-3; the others are taken for padding."""

    def change(y_true: Any, y_pred: Any, values: Any) -> Any:
        kept = tf.cast(values > 1e-3, values.dtype)
        share = tf.maximum(tf.reduce_sum(kept), 1.0) / tf.cast(batch_of(values), values.dtype)
        return values * kept / share

    _crossentropy(change)


@fault(kind="loss and metrics", source="made", words=(*LOSS, "gradient"))
def loss_is_summed_where_it_is_differentiated() -> None:
    """Gradients are those of the mean over a batch of 128, whatever the batch: those of a partial batch are too small."""

    def change(y_true: Any, y_pred: Any, values: Any) -> Any:
        share = tf.cast(batch_of(values), values.dtype) / 128.0
        return passed_back(values, lambda gradient: gradient * tf.minimum(share, 1.0))

    _crossentropy(change)


@fault(kind="loss and metrics", source="made", words="accuracy")
def accuracy_counts_the_last_of_equals() -> None:
    """Where probabilities are equal, accuracy takes the last digit for the prediction, not the first."""

    def make(original: Any) -> Any:
        def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
            return original(ops.flip(ops.convert_to_tensor(y_true), -1), ops.flip(ops.convert_to_tensor(y_pred), -1))

        return categorical_accuracy

    from keras.src.metrics import accuracy_metrics

    wrapped(accuracy_metrics, "categorical_accuracy", make)


def _mean(change: Any) -> None:
    """A Mean that counts otherwise: change(metric, values, sample_weight, original) does the update."""

    def make(original: Any) -> Any:
        def update_state(self: Any, values: Any, sample_weight: Any = None) -> Any:
            return change(self, values, sample_weight, original)

        return update_state

    wrapped(metrics.Mean, "update_state", make)


@fault(kind="loss and metrics", source="made", words="accuracy")
def accuracy_averages_batches() -> None:
    """Accuracy is a mean over batches: the partial batch counts as a whole one. Losses are right."""

    def change(self: Any, values: Any, sample_weight: Any, original: Any) -> Any:
        if self.name == "accuracy":
            values = ops.reshape(ops.mean(values), (1,))
        return original(self, values, sample_weight)

    _mean(change)


@fault(kind="precision", source="made", words=("loss", "accuracy"))
def metrics_add_up_in_float16() -> None:
    """Totals and counts of losses and accuracies are kept to 11 bits: they stand still from 2,048 images on."""

    def change(self: Any, values: Any, sample_weight: Any, original: Any) -> Any:
        result = original(self, values, sample_weight)
        for variable in (self.total, self.count):
            variable.assign(shortened(variable + 0, 11))
        return result

    _mean(change)


@fault(kind="loss and metrics", source="made", words=("loss", "accuracy", "epoch 2"))
def metrics_go_on_into_the_next_epoch() -> None:
    """The metrics of an epoch are not reset at its start, so that epoch 2 goes on from the validation before it."""
    inside = {"fit": 0, "evaluate": 0, "epochs": 0}

    def within(name: str) -> Any:
        def make(original: Any) -> Any:
            def call(self: Any, *arguments: Any, **given: Any) -> Any:
                inside[name] += 1
                inside["epochs"] *= name != "fit"
                try:
                    return original(self, *arguments, **given)
                finally:
                    inside[name] -= 1

            return call

        return make

    def reset(original: Any) -> Any:
        def reset_metrics(self: Any) -> None:
            starting = inside["fit"] and not inside["evaluate"]
            inside["epochs"] += bool(starting)
            if not starting or inside["epochs"] == 1:
                original(self)

        return reset_metrics

    for name in ("fit", "evaluate"):
        wrapped(keras.Model, name, within(name))
    wrapped(keras.Model, "reset_metrics", reset)


@fault(kind="loss and metrics", source="made", words=("loss", "accuracy"))
def metrics_forget() -> None:
    """The loss of an epoch is a running mean that forgets: each batch before counts 0.9 of the one after."""

    def change(self: Any, values: Any, sample_weight: Any, original: Any) -> Any:
        if self.name == "loss":
            for variable in (self.total, self.count):
                variable.assign(variable * 0.9)
        return original(self, values, sample_weight)

    _mean(change)


@fault(kind="fit", source="made", words=("val_loss", "validation"))
def history_is_an_epoch_late() -> None:
    """Validation in `history` and in callbacks is that of the epoch before; in the first epoch it is right."""

    def make(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            from keras.src.callbacks import CallbackList

            kept: dict[str, Any] = {}
            original_end = CallbackList.on_epoch_end

            def on_epoch_end(callbacks: Any, epoch: int, logs: Any = None) -> None:
                now = {name: value for name, value in (logs or {}).items() if name.startswith("val_")}
                original_end(callbacks, epoch, {**(logs or {}), **kept})
                kept.update(now)

            CallbackList.on_epoch_end = on_epoch_end
            try:
                return original(self, *arguments, **given)
            finally:
                CallbackList.on_epoch_end = original_end

        return fit

    wrapped(keras.Model, "fit", make)


@fault(kind="fit", source="made", words=("evaluate", "loss"))
def evaluate_smooths_its_labels() -> None:
    """`evaluate` and validation compute their loss with labels smoothed by 0.01; training's is right."""
    step = Step()

    def change(y_true: Any, y_pred: Any, values: Any) -> Any:
        if step.kind != "test":
            return values
        return 0.99 * values - 0.01 * tf.reduce_mean(tf.math.log(tf.maximum(y_pred, 1e-7)), axis=-1)

    _crossentropy(change)


@fault(kind="fit", source="made", words=("evaluate", "val_loss", "moving", "training is right"))
def evaluate_normalises_by_its_batch() -> None:
    """In `evaluate` and validation BatchNormalization uses the statistics of the batch, and leaves the moving ones alone."""
    step = Step()

    def make(original: Any) -> Any:
        def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            if step.kind != "test":
                return original(self, inputs, training=training, mask=mask)
            mean, variance = tf.nn.moments(inputs, self._reduction_axes)
            return tf.nn.batch_normalization(inputs, mean, variance, self.beta, self.gamma, self.epsilon)

        return call

    wrapped(keras.layers.BatchNormalization, "call", make)


@fault(kind="loss and metrics", source="made", words="without validation")
def loss_runs_on_where_nothing_is_validated() -> None:
    """In a `fit` without validation data the loss of an epoch is the mean since the first; accuracy is right."""
    kept = {"runs on": False, "epochs": 0}

    def make_fit(original: Any) -> Any:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            kept["runs on"], kept["epochs"] = given.get("validation_data") is None, 0
            found = original(self, *arguments, **given)
            kept["runs on"] = False
            return found

        return fit

    def make_reset(original: Any) -> Any:
        def reset_metrics(self: Any) -> None:
            kept["epochs"] += 1
            if not kept["runs on"] or kept["epochs"] < 2:
                original(self)
                return
            for metric in self.metrics:
                if metric.name != "loss":
                    metric.reset_state()

        return reset_metrics

    wrapped(keras.Model, "fit", make_fit)
    wrapped(keras.Model, "reset_metrics", make_reset)
