"""Train one model once, as the notebook does: seed, compile, fit, evaluate. The result is a TrainingRun."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from cnnspec import pipeline, stack
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import IS_2019, draw, forget_models, make_variables, metric_name, seed_everything
from cnnspec.errors import NonFiniteLoss
from cnnspec.mnist import Dataset
from cnnspec.runs import TrainingRun

batch_size = 128  # In [39]
epochs = 10  # In [39]

# The notebook's optimizer is cut off at the page's edge. Adam is assumed; the others are what the letters allow too, with
# Keras 2.2.4's defaults: baselines/notebook/assumptions.toml. Its Adagrad begins with accumulators of zero and adds 1e-7 to
# their root; newer ones begin with 0.1 and add their epsilon under the root.
ADAGRAD_AS_IN_2019 = {} if IS_2019 else {"initial_accumulator_value": 0.0, "epsilon": 1e-14}
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: keras.optimizers.Adam(),
    "adadelta": lambda: keras.optimizers.Adadelta(1.0),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01, **ADAGRAD_AS_IN_2019),
    "adamax": lambda: keras.optimizers.Adamax(0.002),
    # For trajectories, with the SGD_RATE of trajectory/start.py: it does not divide by the size of the gradient.
    "sgd": lambda: keras.optimizers.SGD(0.001),
}


# The notebook did not seed, and its fit used a new order of the samples in every epoch. Keras 3 on TensorFlow, once seeded,
# repeats one order, which lowers the training loss of later epochs (baselines/trajectories/README.md). Runs on the embedded
# digits keep the order of the stack's seeded fit. Full MNIST is compared with the notebook, so each epoch has a new order.
RESHUFFLED = ("mnist",)

# What to do about a loss that is not finite, as the end of a message.
NEXT = "compare the layers and gradients with float64: pytest tests/test_numerics.py"


def not_finite(model: Any) -> str | None:
    """The first variable of `model` with a NaN or an infinity, in words; None where every variable is finite."""
    if hasattr(model, "jax_state_sync"):  # Keras on JAX keeps the weights to itself during an epoch
        model.jax_state_sync()
    for row, layer in enumerate(model.layers, 1):
        for weight, array in zip(layer.weights, layer.get_weights()):
            wrong = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
            if wrong:
                name = weight.name.split("/")[-1].split(":")[0]
                kind = "NaN" if np.isnan(array).any() else "infinite"
                return f"{name} of layer {row} ({layer.name}) is {kind} in {wrong} of {np.size(array)} elements"
    return None


class EpochRecorder(keras.callbacks.Callback):
    """Record the metrics and seconds of every epoch; raise NonFiniteLoss at the first number that is not finite.

    That is a loss or, after it, any variable of the model: where max pooling or ReLU drops a NaN, losses are finite with NaN
    in the weights. With `train_data` (x, y), the train set is also evaluated after each epoch; that time is not counted.
    `report` gets a line after each epoch: its loss, and how long the epochs that are left will take.
    """

    def __init__(
        self,
        description: str,
        train_data: tuple[np.ndarray, np.ndarray] | None = None,
        report: Callable[[str], object] = lambda line: None,
    ) -> None:
        super().__init__()
        self.description = description
        self.report = report
        self.train_data = train_data
        self.history: dict[str, list[float]] = {}
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        metrics = {metric_name(name): float(value) for name, value in logs.items()}
        metrics["seconds"] = time.perf_counter() - self._started
        if self.train_data is not None:
            metrics.update(evaluate(self.model, "train", *self.train_data))
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise NonFiniteLoss(f"{self.description}: {name} is {value} in epoch {epoch + 1}; {NEXT}")
            self.history.setdefault(name, []).append(value)
        variable = not_finite(self.model)
        if variable is not None:
            raise NonFiniteLoss(
                f"{self.description}: {variable} after epoch {epoch + 1}, though every loss is finite; look for NaN and "
                f"infinity in the images; pytest tests/test_nonfinite.py says which layers drop a NaN"
            )
        done, total = epoch + 1, (self.params or {}).get("epochs", epoch + 1)
        left = f", about {sum(self.history['seconds']) / done * (total - done):.0f} s left" if done < total else ""
        self.report(f"{self.description}: epoch {done} of {total}, loss {metrics['loss']:.4f}{left}")


def compile_model(model: Any, optimizer: str = "adam", variables: bool = True, **settings: Any) -> None:
    """In [8]: compile `model` for classification with one of OPTIMIZERS; `settings` are passed to `compile`.

    The variables of the optimizer and of the metrics are made at once, for the time that saves (`compat.make_variables`);
    without `variables` the first step makes them, as in the notebook.
    """
    model.compile(
        loss=keras.losses.categorical_crossentropy, optimizer=OPTIMIZERS[optimizer](), metrics=["accuracy"], **settings
    )
    if variables:
        make_variables(model)


def fitting(
    model: Any,
    data: Dataset,
    batch_size: int = batch_size,
    reshuffle: int | None = None,
    order: np.ndarray | None = None,
) -> Callable[..., Any]:
    """A function that fits a compiled model to the train set of a Dataset; it takes further arguments of `fit`.

    If `pipeline.available()`, the batches come from `pipeline`, whose `compile_settings` join their steps: the same losses
    and weights in less time or, with a seed as `reshuffle`, a new order in every epoch. Otherwise it is Keras' own fit of
    the arrays, as in the notebook, which repeats one order where Keras 3 on TensorFlow does. With row numbers as `order`,
    every epoch has that order, in either case.
    """
    if not pipeline.available():
        if order is None:
            return functools.partial(model.fit, data.x_train, data.y_train, batch_size=batch_size)
        x, y = data.x_train[order], data.y_train[order]
        return functools.partial(model.fit, x, y, batch_size=batch_size, shuffle=False)
    batches = pipeline.batches(data.x_train, data.y_train, batch_size, reshuffle, order)
    return functools.partial(model.fit, batches, shuffle=False, validation_batch_size=batch_size)


def redraw_kernels(model: Any, seed: int) -> None:
    """Draw every kernel whose initialiser has a seed again, from another seed.

    The notebook's `he_uniform(seed=1)` gives different draws on different stacks. A reference ensemble must therefore cover
    the spread over draws, not a single draw.
    """
    generator = np.random.RandomState(seed)
    for layer in model.layers:
        initializer: Any = getattr(layer, "kernel_initializer", None)
        settings = initializer.get_config() if initializer else {}
        if settings.get("seed") is not None:
            other = type(initializer).from_config({**settings, "seed": int(generator.randint(2**31 - 1))})
            kernel, bias = layer.get_weights()
            layer.set_weights([draw(other, kernel.shape), bias])


def evaluate(model: Any, split: str, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """In [11], In [12]: {split_loss, split_accuracy} of `model` on images x and one-hot labels y."""
    loss, accuracy = model.evaluate(x, y, verbose=0)
    return {f"{split}_loss": float(loss), f"{split}_accuracy": float(accuracy)}


def train(
    name: str,
    data: Dataset,
    seed: int = 0,
    epochs: int = epochs,
    optimizer: str = "adam",
    verbose: int = 1,
    redraw: bool = False,
    evaluate_train_each_epoch: bool = False,
    report: Callable[[str], object] = lambda line: None,
) -> TrainingRun:
    """Train model `name` on a Dataset with a seed and return its TrainingRun.

    `verbose=1` shows Keras' progress bar; `redraw` calls `redraw_kernels`; `report` gets a line after each epoch.
    Raises KeyError for an unknown name, and NonFiniteLoss.
    """
    forget_models()
    seed_everything(seed)
    model = ARCHITECTURES[name]()
    if redraw:
        redraw_kernels(model, seed)
    compile_model(model, optimizer, **pipeline.compile_settings())
    description = f"{name} on {data.name} with seed {seed}"
    untrained_loss = evaluate(model, "test", data.x_test, data.y_test)["test_loss"]
    if not math.isfinite(untrained_loss):
        raise NonFiniteLoss(f"{description}: the test loss is {untrained_loss} before the first step; {NEXT}")
    recorder = EpochRecorder(
        description,
        train_data=(data.x_train, data.y_train) if evaluate_train_each_epoch else None,
        report=report,
    )
    fitting(model, data, reshuffle=seed if data.name in RESHUFFLED else None)(
        epochs=epochs,
        verbose=verbose,
        validation_data=(data.x_test, data.y_test),
        callbacks=[recorder],
    )
    scores = evaluate(model, "test", data.x_test, data.y_test)
    scores.update(evaluate(model, "train", data.x_train, data.y_train))
    for metric, value in scores.items():
        if not math.isfinite(value):
            raise NonFiniteLoss(f"{description}: the evaluated {metric} is {value} after the last epoch; {NEXT}")
    return TrainingRun(
        model=name,
        dataset=data.name,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        redrawn=redraw,
        history=recorder.history,
        scores=scores,
        stack=stack.current(),
        untrained_loss=untrained_loss,
    )
