"""Ways to train an epoch: what a benchmark compares. Each uses the stock layers; the rest is what it is called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec import pipeline, training
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import backend, forget_models, seed_everything
from cnnspec.mnist import Dataset


@dataclasses.dataclass(frozen=True)
class Variant:
    """How an epoch is trained; what is None or False stays as the framework ships it.

    `way` is a key of WAYS, `threads` bounds the CPU threads of an operation, `tf32=False` switches TF32 off.
    """

    way: str = "fit"
    jit_compile: bool | None = None
    steps_per_execution: int = 1
    precision: str = "float32"
    threads: int | None = None
    tf32: bool | None = None
    batch_size: int = training.batch_size


PLAIN = "plain fit"
VARIANTS = {
    PLAIN: Variant(),  # model.fit as the notebook calls it
    "harness": Variant(way="harness"),  # training.fitting, what every training of this suite runs
    "steps joined": Variant(steps_per_execution=pipeline.STEPS_PER_EXECUTION),
    "XLA on": Variant(jit_compile=True),
    "XLA off": Variant(jit_compile=False),
    "mixed bfloat16": Variant(precision="mixed_bfloat16"),
    "1 thread": Variant(threads=1),
    "2 threads": Variant(threads=2),
    "TF32 off": Variant(tf32=False),
    "bare step": Variant(way="bare"),  # the floor: no metrics, no callbacks, no shuffle, data in memory
}


def unavailable(variant: Variant, backend: str, gpus: int, cores: int) -> str | None:
    """Why a Variant would measure nothing of its own on this backend, number of GPUs and of cores; None where it would."""
    if backend != "tensorflow" and variant.way != "fit":
        return f"the {variant.way} way is written for TensorFlow, not for {backend}"
    if backend != "tensorflow" and variant.steps_per_execution > 1:
        return f"on {backend}, joined steps return to Python all the same"
    if backend == "jax" and (variant.jit_compile is not None or variant.threads):
        return "JAX always compiles by XLA, which has threads of its own"
    if backend == "torch" and variant.jit_compile is not None:
        return "XLA is not PyTorch's compiler"
    if variant.tf32 is not None and not gpus:
        return "TF32 is a GPU's"
    if variant.threads and gpus:
        return "the threads of the CPU do not compute where there is a GPU"
    if variant.threads and variant.threads >= cores:
        return f"{PLAIN} uses all {cores} cores already"
    if variant.jit_compile is False and not gpus:
        return f"{PLAIN} is without XLA on a CPU already"
    return None


def prepare(model: str, variant: Variant, data: Dataset, seed: int) -> tuple[Any, Callable[[], float]]:
    """(model, epoch) of a fresh model: epoch() trains one epoch on a Dataset and returns its mean loss, dropout on.

    Precision and TF32 are settings of the whole process, which therefore measures one variant only.
    """
    if variant.precision != "float32":
        import keras

        keras.mixed_precision.set_global_policy(variant.precision)  # Keras 2.12 has no keras.config
    if variant.tf32 is False and backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_tensor_float_32_execution(False)
    forget_models()
    seed_everything(seed)
    built = ARCHITECTURES[model]()
    settings: dict[str, Any] = pipeline.compile_settings() if variant.way == "harness" else {}
    if variant.jit_compile is not None:
        settings["jit_compile"] = variant.jit_compile
    if variant.steps_per_execution > 1:
        settings["steps_per_execution"] = variant.steps_per_execution
    training.compile_model(built, **settings)
    return built, WAYS[variant.way](built, data, variant.batch_size)


def _fit(model: Any, data: Dataset, batch_size: int) -> Callable[[], float]:
    """Keras' own fit of the arrays, as the notebook calls it, without validation."""

    def epoch() -> float:
        history = model.fit(data.x_train, data.y_train, batch_size=batch_size, epochs=1, verbose=0)
        return float(history.history["loss"][0])

    return epoch


def _harness(model: Any, data: Dataset, batch_size: int) -> Callable[[], float]:
    """The fit of `training.train`, without validation."""
    fit = training.fitting(model, data, batch_size)
    return lambda: float(fit(epochs=1, verbose=0).history["loss"][0])


def _bare(model: Any, data: Dataset, size: int) -> Callable[[], float]:
    """One compiled step after the other: forward, gradient, optimizer; batches are slices of tensors in memory."""
    import keras
    import tensorflow as tf

    images, labels = tf.constant(data.x_train), tf.constant(data.y_train)
    model.optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=model.jit_compile)
    def step(start: Any) -> Any:
        x, y = images[start : start + size], labels[start : start + size]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(y, model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    starts = [tf.constant(start) for start in range(0, len(data.x_train), size)]
    weights = [min(size, len(data.x_train) - start) for start in range(0, len(data.x_train), size)]

    def epoch() -> float:
        return float(np.average(tf.stack([step(start) for start in starts]).numpy(), weights=weights))

    return epoch


WAYS = {"fit": _fit, "harness": _harness, "bare": _bare}
