"""To how many significant bits does a product keep its operands? Measured without a tolerance, for each product and operand.

Operands of 1 to 24 bits meet ones in sums of a single term, so that the result is the operand, or what is left of it.
"""

import functools
from typing import NamedTuple

import numpy as np

from cnnspec import stack
from tests.support import numerics
from tests.support.exact import cases, on_stack
from tests.support.exact.findings import differing, near

WIDEST = 24
BITS = {"float32": 24, "tf32": 11, "float16": 11, "bfloat16": 8, "float64": 24}
OPERATIONS = {
    "convolution": cases.Case(
        "widths of a convolution", (cases.convolution(24, (3, 3), (1, 1), "valid"),), (14, 14, 24), 24
    ),
    "matrix product": cases.Case(
        "widths of a product", ({"class": "Dense", "units": 240, "activation": "relu"},), (240,), 24
    ),
}


def numbers(random, widths):
    """A number from 1 to 2 for each of `widths`, with so many significant bits, the last of them set."""
    widths = np.asarray(widths)
    return 1 + (2 * np.floor(random.uniform(size=widths.shape) * 2.0 ** (widths - 2)) + 1) * 2.0 ** (1 - widths) * (
        widths > 1
    )


def along(shape, axis):
    """The widths 1 to 24, over and over along one axis of an array."""
    axis, widths = axis % len(shape), np.arange(shape[axis]) % WIDEST + 1
    return np.broadcast_to(widths.reshape([-1 if place == axis else 1 for place in range(len(shape))]), shape)


def declared_for():
    """The declared precision of each operation, in their order."""
    return tuple(numerics.declared(case.layers[0]["class"]) for case in OPERATIONS.values())


@functools.cache
def measured(declared):
    """{operation: {product and operand: the most significant bits, 24 at most, up to which all are kept}}.

    `declared` are the precisions of `declared_for`. Measured once for each: where they are the same with TF32 off, nothing
    was switched.
    """
    branches = on_stack.Branches(OPERATIONS.values(), by_batch=True)
    branches.compile(next(iter(on_stack.MODES)))
    prepared = [trials(case) for case in branches.cases]
    kept = {operation: {} for operation in OPERATIONS}
    for name in prepared[0]:
        given = [mine[name].operands for mine in prepared]
        for operation, mine, results in zip(OPERATIONS, prepared, branches.results(given), strict=True):
            trial = mine[name]
            due = dict(cases.computed(OPERATIONS[operation], trial.operands).named())[trial.result]
            got = dict(results.named())[trial.result]
            wrong = differing(due, got)
            if trial.result == "kernel gradient" and stack.on_gpu():  # see `excused` in tests/test_exact.py
                wrong &= ~near(due, got)
            wrong = np.moveaxis(wrong, trial.axis, 0)
            lost = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1)) % WIDEST + 1
            kept[operation][name] = int(min(lost, default=WIDEST + 1)) - 1
    return kept


class Trial(NamedTuple):
    """Operands of which one is wide, the result that shows it, and the axis of the result along which its widths grow."""

    operands: cases.Operands
    result: str
    axis: int


def trials(case):
    """{product and operand: Trial} of one operation."""
    random = np.random.RandomState(7)
    kernel, bias = cases.shapes(case.layers[0], case.shape)
    x, y = (case.images, *case.shape), (case.images, *cases.output_shape(case))

    def wide(shape, axis):
        return numbers(random, along(shape, axis))

    def trial(inputs, weights, gradient, result, axis):
        arrays = [np.float32(array) for array in (inputs, weights, gradient)]
        return Trial(cases.Operands(arrays[0], [[arrays[1], np.zeros(bias, np.float32)]], arrays[2]), result, axis)

    return {
        "output, by inputs": trial(wide(x, 0), eye(kernel), np.ones(y), "output", 0),
        "output, by kernel": trial(at(x, np.s_[:, ..., -1]), wide(kernel, -1), np.ones(y), "output", -1),
        "input gradient, by output's": trial(np.ones(x), eye(kernel), wide(y, 0), "input gradient", 0),
        "input gradient, by kernel": trial(np.ones(x), wide(kernel, -2), at(y, np.s_[:, ..., 0]), "input gradient", -1),
        "kernel gradient, by inputs": trial(wide(x, -1), np.ones(kernel), at(y, np.s_[0, ..., :]), "kernel gradient", -2),
        "kernel gradient, by output's": trial(at(x, np.s_[0, ..., :]), np.ones(kernel), wide(y, -1), "kernel gradient", -1),
    }


def eye(kernel):
    """A kernel that picks one input for each output: at the window's centre, channel i for filter i."""
    found = np.zeros(kernel)
    found[tuple(size // 2 for size in kernel[:-2])] = np.eye(*kernel[-2:])
    return found


def at(shape, index):
    """Zeros, and ones at the images and channels of `index`, at the first position of an image alone."""
    images, _, channels = index
    found = np.zeros(shape)
    found[(images, *[0] * (len(shape) - 2), channels)] = 1
    return found
