"""Random draws that a soak repeats: every mask of Dropout has to be another one than all masks before it."""

import hashlib

import keras
import numpy as np

from tests.soak.operations import Operation
from tests.support.numerics import as_numpy

SHAPE = (128, 512)  # elements of a mask: that two of 65,536 fair draws are the same by chance is out of the question
RATE = 0.5


class Masks(Operation):
    """Masks of one Dropout layer in training mode, each a call of the generator that training uses.

    `draw` returns the output for ones. A mask that was there before is wrong: a generator that repeats itself, or that
    stands still. So is one that keeps another share than half, by more than eight standard deviations.
    """

    kind = "masks"
    name = f"mask of {SHAPE[0]} × {SHAPE[1]} by Dropout"

    def __init__(self, draw):
        self.draw, self.seen, self.calls, self.told = draw, {}, 0, ""

    def compute(self, variant):
        raw = self.draw()
        return raw if isinstance(raw, np.ndarray) else as_numpy(raw)

    def expected(self, variant):
        return {}

    def results(self, raw):
        return {}

    def same(self, variant, raw):
        """Whether a mask is a new one, and a fair one."""
        self.calls += 1
        kept = raw != 0
        digest = hashlib.sha256(np.packbits(kept).tobytes()).digest()
        before = self.seen.setdefault(digest, self.calls)
        off = (kept.mean() - (1 - RATE)) * np.sqrt(kept.size / (RATE * (1 - RATE)))
        self.told = ""
        if before != self.calls:
            self.told = f"draw {self.calls:,} is draw {before:,} again, {self.calls - before:,} draws before: it repeats"
        elif abs(off) > 8:
            self.told = f"draw {self.calls:,} keeps {kept.mean():.4f} of the elements instead of {1 - RATE}"
        return not self.told

    def described(self, variant, raw):
        """What is wrong with the mask that was judged last."""
        return [self.told]


def on_stack():
    """Masks by Keras' Dropout."""
    layer, ones = keras.layers.Dropout(RATE), np.ones(SHAPE, np.float32)
    return Masks(lambda: layer(ones, training=True))
