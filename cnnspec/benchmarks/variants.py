"""The ways to train an epoch that a benchmark compares. All use the stock layers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnspec import memory, pipeline, stack, training
from cnnspec.architectures import ARCHITECTURES
from cnnspec.compat import forget_models, seed_everything
from cnnspec.mnist import Dataset


@dataclasses.dataclass(frozen=True)
class Variant:
    """How an epoch is trained; a setting that is None keeps the framework's default.

    `way` is a key of WAYS, `threads` bounds the CPU threads of an operation, `tf32=False` switches TF32 off, `memory_kept`
    keeps freed memory, as pytest and the commands do (`memory.keep`).
    """

    way: str = "fit"
    jit_compile: bool | None = None
    steps_per_execution: int = 1
    precision: str = "float32"
    threads: int | None = None
    tf32: bool | None = None
    memory_kept: bool = False
    batch_size: int = training.batch_size


PLAIN = "plain fit"
VARIANTS = {
    PLAIN: Variant(),  # model.fit as the notebook calls it
    "harness": Variant(way="harness"),  # training.fitting
    "memory kept": Variant(way="harness", memory_kept=True),  # as in every training of this suite
    "steps joined": Variant(steps_per_execution=pipeline.STEPS_PER_EXECUTION),
    "XLA on": Variant(jit_compile=True),
    "XLA off": Variant(jit_compile=False),
    "mixed bfloat16": Variant(precision="mixed_bfloat16"),
    "1 thread": Variant(threads=1),
    "2 threads": Variant(threads=2),
    "TF32 off": Variant(tf32=False),
    "bare step": Variant(way="bare"),  # the least work: no metrics, no callbacks, no shuffling, data in memory
}
_whole_process = contextlib.ExitStack()  # settings that last until the process ends


def unavailable(variant: Variant, backend: str, gpus: int, cores: int) -> str | None:
    """Why a Variant is left out on this backend with so many GPUs and cores; None if it is measured."""
    if backend != "tensorflow" and variant.way != "fit":
        return f"the {variant.way} way is written for TensorFlow only, not for {backend}"
    if backend != "tensorflow" and variant.steps_per_execution > 1:
        return f"on {backend}, joined steps return to Python after each step"
    if backend == "jax" and (variant.jit_compile is not None or variant.threads):
        return "JAX always compiles with XLA, which uses its own threads"
    if backend == "torch" and variant.jit_compile is not None:
        return "PyTorch does not compile with XLA"
    if variant.tf32 is not None and not gpus:
        return "only GPUs have TF32"
    if variant.memory_kept and gpus:
        return "with a GPU, steps compute in its own memory"
    if variant.memory_kept and not memory.possible():
        return "this C library cannot be told to keep memory, or MALLOC_… or GLIBC_TUNABLES is set"
    if variant.threads and gpus:
        return "with a GPU, the CPU's threads do not compute"
    if variant.threads and variant.threads >= cores:
        return f"{PLAIN} already uses all cores ({cores})"
    if variant.jit_compile is False and not gpus:
        return f"on a CPU, {PLAIN} already runs without XLA"
    return None


def prepare(model: str, variant: Variant, data: Dataset, seed: int) -> tuple[Any, Callable[[], float]]:
    """(model, epoch) of a new model: epoch() trains one epoch on a Dataset and returns its mean loss, with dropout on.

    Precision, TF32 and kept memory are settings of the whole process, so a process measures only one variant.
    """
    if variant.precision != "float32":
        import keras

        keras.mixed_precision.set_global_policy(variant.precision)  # Keras 2.12 has no keras.config
    if variant.memory_kept:
        memory.keep()
    if variant.tf32 is False:
        _whole_process.enter_context(stack.tf32_off())
    forget_models()
    seed_everything(seed)
    built = ARCHITECTURES[model]()
    settings: dict[str, Any] = pipeline.compile_settings() if variant.way == "harness" else {}
    if variant.jit_compile is not None:
        settings["jit_compile"] = variant.jit_compile
    if variant.steps_per_execution > 1:
        settings["steps_per_execution"] = variant.steps_per_execution
    training.compile_model(built, variables=variant.way == "harness", **settings)
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
