"""Defaults and attributes of a class, chance, and what is known of the call that runs: more of what faults are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tests.meta.faults.catalogue.patching import tf, wrapped


def default(cls: type, **changed: Any) -> None:
    """Other defaults of a class, for arguments that the caller does not pass; its settings show them."""
    original = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **{**changed, **given})

    cls.__init__ = __init__  # type: ignore[misc]


def after_init(cls: type, change: Callable[[Any], object]) -> None:
    """Change every object of a class after it is created; its settings do not show the change."""
    original = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:
        original(self, *arguments, **given)
        change(self)

    cls.__init__ = __init__  # type: ignore[misc]


def set_after_init(cls: type, **attributes: Any) -> None:
    """Set attributes after creation; the settings do not show them."""
    after_init(cls, lambda self: [setattr(self, name, value) for name, value in attributes.items()])


def chance(probability: float) -> Any:
    """A tensor that is true with a probability at each execution, whatever the seeds: by the microseconds of the clock."""
    ticks = tf.cast(tf.math.floormod(tf.timestamp() * 1e6, 1e6), tf.int64)
    mixed = tf.math.floormod(ticks * 7919 + 104729 * (ticks // 97), 1000003)
    return tf.cast(mixed, tf.float64) < probability * 1000003


def in_training() -> bool:
    """Whether the model that is called now was called with training=True."""
    from keras.src.backend.common import global_state

    context = global_state.get_global_attribute("current_call_ctx")
    return bool(getattr(context, "training", False))


FITTING = {"now": False}


def while_fitting() -> None:
    """FITTING["now"] is true inside `fit`."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def fit(self: Any, *arguments: Any, **given: Any) -> Any:
            FITTING["now"] = True
            try:
                return original(self, *arguments, **given)
            finally:
                FITTING["now"] = False

        return fit

    wrapped(keras.Model, "fit", make)
