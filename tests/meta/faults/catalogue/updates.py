"""Optimizers whose steps are wrong; their settings, as they are told, are right."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, optimizers

from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import shortened, steps_of, tf, wrapped

ADAM = ("Adam", "movement", "first moment", "second moment")


def _adam(step: Any) -> None:
    """Adam by another formula: step(optimizer, gradient, variable, rate, m, v, t), with t counted from 1."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place = self._get_variable_index(variable)
            t = ops.cast(self.iterations + 1, variable.dtype)
            rate = ops.cast(learning_rate, variable.dtype)
            step(self, gradient, variable, rate, self._momentums[place], self._velocities[place], t)

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


def _moments(self: Any, gradient: Any, m: Any, v: Any) -> None:
    """Move both moments as Adam does."""
    m.assign_add((gradient - m) * (1 - self.beta_1))
    v.assign_add((gradient * gradient - v) * (1 - self.beta_2))


def _corrected(self: Any, t: Any) -> Any:
    """Adam's correction of its step."""
    return ops.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)


@fault(kind="optimizer", source="made", words=ADAM)
def adam_adds_epsilon_inside_the_root() -> None:
    """Adam divides by sqrt(v + epsilon), not by sqrt(v) + epsilon."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        variable.assign_sub(rate * _corrected(self, t) * m / ops.sqrt(v + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="Kingma & Ba 2015, algorithm 1, beside the order of section 2", words=ADAM)
def adam_scales_epsilon_with_the_correction() -> None:
    """Adam adds epsilon to the corrected root (algorithm 1), not to the plain one as Keras documents it."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        mean, square = m / (1 - self.beta_1**t), v / (1 - self.beta_2**t)
        variable.assign_sub(rate * mean / (ops.sqrt(square) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="made", words=ADAM)
def adam_moves_by_the_moment_before() -> None:
    """Adam's weights move by the first moment as it was before this step's gradient: one step late."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        late = m + 0
        _moments(self, gradient, m, v)
        variable.assign_sub(rate * _corrected(self, t) * late / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="made", words=ADAM)
def adam_corrects_for_one_step_more() -> None:
    """Adam's bias correction counts one step too many."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        variable.assign_sub(rate * _corrected(self, t + 1) * m / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="made", words=ADAM)
def adam_counts_modulo_256() -> None:
    """Adam's bias correction takes its step from a byte: after 256 steps it begins anew."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        t = ops.cast(self.iterations % 256 + 1, variable.dtype)
        variable.assign_sub(rate * _corrected(self, t) * m / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="precision", source="made", words=ADAM)
def adam_keeps_second_moments_in_bfloat16() -> None:
    """Adam's second moment is rounded to 8 bits after each step: changes of a thousandth are lost."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        v.assign(shortened(v + 0, 8))
        variable.assign_sub(rate * _corrected(self, t) * m / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="Reddi, Kale & Kumar 2018", words=ADAM)
def adam_never_lowers_its_second_moment() -> None:
    """Adam divides by the largest second moment so far, as AMSGrad does, and says amsgrad=False."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        m.assign_add((gradient - m) * (1 - self.beta_1))
        v.assign(ops.maximum(v + 0, v + (gradient * gradient - v) * (1 - self.beta_2)))
        variable.assign_sub(rate * _corrected(self, t) * m / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="Dozat 2016", words=ADAM)
def adam_looks_ahead() -> None:
    """Adam uses Nesterov's momentum: beta_1 m + (1 - beta_1) gradient in place of m."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        ahead = self.beta_1 * m + (1 - self.beta_1) * gradient
        variable.assign_sub(rate * _corrected(self, t) * ahead / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="made", words="steps of Adam")
def adam_is_lazy() -> None:
    """Adam moves no element whose gradient is exactly 0, although its moment is not: the rule of sparse updates."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        seen = ops.cast(gradient != 0, variable.dtype)
        m.assign_add(seen * (gradient - m) * (1 - self.beta_1))
        v.assign_add(seen * (gradient * gradient - v) * (1 - self.beta_2))
        variable.assign_sub(seen * rate * _corrected(self, t) * m / (ops.sqrt(v) + self.epsilon))

    _adam(step)


@fault(kind="optimizer", source="Loshchilov & Hutter 2019", words=ADAM)
def adam_decays_the_weights() -> None:
    """Adam shrinks each weight by 1e-5 of itself in each step, a weight decay of 0.01, and says weight_decay=None."""

    def step(self: Any, gradient: Any, variable: Any, rate: Any, m: Any, v: Any, t: Any) -> None:
        _moments(self, gradient, m, v)
        variable.assign_sub(rate * (_corrected(self, t) * m / (ops.sqrt(v) + self.epsilon) + 1e-2 * variable))

    _adam(step)


@fault(kind="optimizer", source="made", words=("learning rate", "movement", "Adam"))
def learning_rate_decays_unasked() -> None:
    """The learning rate falls by 1e-5 of itself in each step, as Keras 1's decay did."""
    steps_of(optimizers.Adam, lambda self, g, v, rate: (g, rate / (1 + 1e-5 * ops.cast(self.iterations, "float32"))))


@fault(kind="optimizer", source="Caffe's lr_mult of biases", words=("bias", "movement", "variable"))
def biases_learn_twice_as_fast() -> None:
    """Biases have twice the learning rate."""
    steps_of(optimizers.Adam, lambda self, g, v, rate: (g, rate * (2.0 if "bias" in v.name else 1.0)))


@fault(kind="optimizer", source="made", words=("Adam", "clip", "gradient"))
def gradients_are_clipped_by_their_norm() -> None:
    """Before Adam's step all gradients together are scaled down to a norm of 1; clipnorm is None in the settings."""

    def make(original: Any) -> Any:
        def apply(self: Any, grads: Any, trainable_variables: Any = None) -> Any:
            if isinstance(self, optimizers.Adam):
                grads, _ = tf.clip_by_global_norm(list(grads), 1.0)
            return original(self, grads, trainable_variables)

        return apply

    wrapped(keras.optimizers.Optimizer, "apply", make)


@fault(kind="precision", source="made", words=("bfloat16", "8 bits", "movement", "gradient"))
def gradients_are_averaged_in_bfloat16() -> None:
    """Gradients reach Adam rounded to 8 bits, as from an all-reduce in bfloat16."""
    steps_of(optimizers.Adam, lambda self, g, v, rate: (shortened(g, 8), rate))


@fault(kind="optimizer", source="made", words=("Adam", "movement", "moment", "variable"))
def slots_are_shared_between_equal_shapes() -> None:
    """Variables of one shape share their moments: a cache whose key is the shape."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            shapes = [tuple(slot.shape) for slot in self._momentums]
            first = shapes.index(tuple(variable.shape))
            vars(self)["_get_variable_index"] = lambda other: first
            try:
                original(self, gradient, variable, learning_rate)
            finally:
                del vars(self)["_get_variable_index"]

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="precision", source="made", words=("movement", "norm", "Adam"))
def weights_are_kept_in_16_bits() -> None:
    """After each step of Adam weights are rounded to 16 significant bits."""

    def make(original: Any) -> Any:
        def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
            original(self, gradient, variable, learning_rate)
            variable.assign(shortened(variable + 0, 16))

        return update_step

    wrapped(optimizers.Adam, "update_step", make)


@fault(kind="state", source="made", words=("second moment", "change since the start"))
def second_moments_start_above_zero() -> None:
    """Adam's second moments start at 1e-8, not at 0."""

    def make(original: Any) -> Any:
        def build(self: Any, variables: Any) -> None:
            fresh = not self.built
            original(self, variables)
            if fresh:
                for slot in self._velocities:
                    slot.assign(ops.zeros_like(slot) + 1e-8)

        return build

    wrapped(optimizers.Adam, "build", make)
