"""Random draws of the right distribution that are not independent of other draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.meta.faults.catalogue.draws import ORDER, orders
from tests.meta.faults.catalogue.entries import fault
from tests.meta.faults.catalogue.patching import Counter, tf
from tests.meta.faults.catalogue.randomness import KERNEL, MASK, drawn, dropped, uniform


def _halves(shape: Any) -> Any:
    """True for half of the elements, the same in every step."""
    return tf.random.stateless_uniform(shape, [7, 7]) < 0.5


def by_step(change: Any) -> None:
    """Dropout whose numbers are change(layer's number, its step, shape): steps are counted from 1, for each layer."""
    counters: dict[int, tuple[int, Counter]] = {}

    def numbers(layer: Any, inputs: Any) -> Any:
        number, counter = counters.setdefault(id(layer), (len(counters), Counter()))
        return change(number, tf.cast(counter.next(), "int32"), tf.shape(inputs))

    dropped(numbers)


@fault(kind="random", source="made", words=MASK)
def masks_keep_half_of_the_mask_before() -> None:
    """In each step half of the elements keep their fate of the step before; the other half is drawn anew."""

    def change(layer: int, step: Any, shape: Any) -> Any:
        odd = tf.random.stateless_uniform(shape, tf.stack([layer, step // 2 * 2]))
        even = tf.random.stateless_uniform(shape, tf.stack([layer + 100, (step + 1) // 2 * 2]))
        return tf.where(_halves(shape), odd, even)

    by_step(change)


@fault(kind="random", source="made; antithetic draws, Hammersley and Morton 1956", words=MASK)
def masks_of_every_second_step_are_opposite() -> None:
    """Every second step's numbers are one minus those of the step before."""

    def change(layer: int, step: Any, shape: Any) -> Any:
        first = tf.random.stateless_uniform(shape, tf.stack([layer, step // 2]))
        return tf.where(tf.equal(step % 2, 0), first, 1 - first)

    by_step(change)


@fault(kind="random", source="made", words=MASK)
def units_share_their_fate_at_a_distance() -> None:
    """Half of the units or channels have the fate of another, 64 places away, or half of their number where they are few."""

    def change(layer: Any, inputs: Any) -> Any:
        found = uniform(layer, tf.shape(inputs))
        shared = tf.roll(found, 64 if inputs.shape[-1] > 64 else inputs.shape[-1] // 2, -1)
        return tf.where(uniform(layer, tf.shape(inputs)[-1:]) < 0.5, shared, found)

    dropped(change)


@fault(kind="random", source="made", words=MASK)
def images_share_their_fate_at_a_distance() -> None:
    """Half of the images have the mask of the image three before them."""

    def change(layer: Any, inputs: Any) -> Any:
        found = uniform(layer, tf.shape(inputs))
        images = tf.reshape(
            tf.range(tf.shape(inputs)[0]) % 2, tf.concat([tf.shape(inputs)[:1], tf.ones_like(tf.shape(inputs)[1:])], 0)
        )
        return tf.where(tf.equal(images, 0), tf.roll(found, 3, 0), found)

    dropped(change)


@fault(kind="random", source="made", words=KERNEL)
def last_unit_starts_with_zeros() -> None:
    """The last unit or filter of every initial kernel is zero, which no gradient of ReLU moves."""
    drawn(lambda self, array: np.concatenate([array[..., :-1], 0 * array[..., -1:]], -1))


@fault(kind="random", source="made", words=KERNEL)
def kernels_lean() -> None:
    """Initial kernels are shifted by a twentieth of their standard deviation."""
    drawn(lambda self, array: array + array.std() / 20)


@fault(kind="random", source="made", words=(*KERNEL, "initial weights"))
def units_start_opposite() -> None:
    """Every second unit or filter starts with minus the kernel of the one before it."""

    def change(self: Any, array: Any) -> Any:
        found, pairs = array.copy(), array.shape[-1] // 2 * 2
        found[..., 1:pairs:2] = -found[..., :pairs:2]
        return found

    drawn(change)


@fault(kind="random", source="made", words=(*KERNEL, "initial weights"))
def kernels_are_those_before_scaled() -> None:
    """An initial kernel begins with the numbers of the kernel drawn before it, scaled to its own width."""
    before: list[Any] = []

    def change(self: Any, array: Any) -> Any:
        places = int(np.prod(array.shape[:-2]))
        fans = array.shape[-2] * places, array.shape[-1] * places
        width = np.sqrt(3 * self.scale / (fans[0] if self.mode == "fan_in" else sum(fans) / 2))
        flat = array.ravel() / width
        own = flat.copy()
        if before:
            size = min(flat.size, before[0].size)
            flat[:size] = before[0][:size]
        before[:] = [own]
        return flat.reshape(array.shape) * width

    drawn(change)


@fault(kind="random", source="made", words=ORDER)
def orders_turn_by_a_batch() -> None:
    """Every epoch has the order of the one before it, begun a batch of 128 later."""
    epoch = Counter()

    def change(shuffle: Any, rows: int) -> Any:
        order = tf.constant(np.random.RandomState(3).permutation(rows))
        return tf.roll(order, -128 * tf.cast(epoch.next(), "int32"), 0)

    orders(change)


@fault(kind="random", source="made", words=ORDER)
def first_sample_stays_first() -> None:
    """The first sample is the first of every epoch."""
    orders(lambda shuffle, rows: tf.concat([tf.range(1), shuffle(tf.range(1, rows))], 0))
