"""The integer operands of the exact cases, drawn so wide that a wrong low bit reaches the result, and no wider."""

import functools
import zlib

import numpy as np

from tests.support.exact import cases

PERIOD = 65_537  # a prime: drawn numbers are repeated after so many, which costs less than drawing them all
DRAWS = ("wide inputs", "wide kernels", "mixed signs")


def generator(case, draw):
    """The random numbers of a case and draw; NumPy promises that RandomState's never change."""
    return np.random.RandomState(zlib.crc32(f"{case.name}, {draw}".encode()))


def repeated(values, shape):
    """An array of `shape` filled with values over and over."""
    return np.resize(values.astype(np.float32), shape)


def shares(random, count, mean, spread=0.5):
    """`count` numbers, or PERIOD of them, from mean (1 − spread) to mean (1 + spread), rounded up or down by chance.

    Where the mean is below one, most are zeros.
    """
    count = min(count, PERIOD)
    exact = mean * random.uniform(1 - spread, 1 + spread, count)
    return np.minimum(np.floor(exact + random.uniform(size=count)), cases.WIDE - 1)


def signs(random, count):
    """`count` of −1 or 1."""
    return 2.0 * random.randint(0, 2, count) - 1


@functools.lru_cache(maxsize=64)
def drawn(case, draw):
    """The Operands of a case in one of DRAWS."""
    random, after = generator(case, draw), cases.output_shape(case)
    (first, *others) = case.layers
    if others:
        return of_model(case, random, after)
    if first["class"] in ("Conv2D", "Dense"):
        return of_product(case, random, after, draw)
    distinct = 128.0 * (random.permutation(PERIOD) - PERIOD // 2) + 5  # 23 bits and a sign; no two in a window are equal
    return cases.Operands(
        repeated(distinct, (case.images, *case.shape)), [], repeated(np.roll(distinct, 1234), (case.images, *after))
    )


def of_product(case, random, after, draw):
    """Operands of a convolution or product of matrices: wide ones (11 bits) on one side, on the other only as wide as fits.

    Without signs, sums reach 2^23, where a float32 has no bit to spare: the lowest bit of every operand is the lowest of the
    result. With signs ReLU has something to do.
    """
    kernel, bias = cases.shapes(case.layers[0], case.shape)
    terms, units = int(np.prod(kernel[:-1])), kernel[-1]
    positions = case.images * int(np.prod(after[:-1]))  # summed over in kernel gradients
    inputs, outputs = (case.images, *case.shape), (case.images, *after)
    back = units * int(np.prod(kernel[:-2]))  # terms of an input gradient
    wide = lambda count: random.randint(cases.WIDE // 2, cases.WIDE, min(count, PERIOD))  # noqa: E731
    size = min(int(np.prod(outputs)), PERIOD)
    if draw == "wide kernels":
        narrow = min(7000 / terms, cases.WIDE - 1)
        x, w = shares(random, int(np.prod(inputs)), narrow, 0.25), wide(int(np.prod(kernel)))
        g = shares(random, size, min(7000 / back, 12e6 / (positions * narrow)))
        g = repeated(g, outputs) * repeated(signs(random, case.images), outputs[:1]).reshape(-1, *[1] * len(after))
    else:
        x = wide(int(np.prod(inputs)))
        w = shares(random, int(np.prod(kernel)), 7000 / terms, 0.2)
        g = shares(random, size, 7600 / positions)
        g = repeated(g, outputs) * repeated(signs(random, units), (units,))
    x, w, b = repeated(x, inputs), repeated(w, kernel), repeated(random.randint(0, 500, units), bias)
    if draw == "mixed signs":
        x, w, b, g = (array * repeated(signs(random, min(array.size, PERIOD - 2)), array.shape) for array in (x, w, b, g))
    return cases.Operands(x, [[w, b]], g)


def of_model(case, random, after):
    """Operands of a whole model: small integers, so few that sums stay small through all layers, forward and backward."""
    shape, weights = case.shape, []
    products = sum(layer["class"] in ("Conv2D", "Dense") for layer in case.layers)
    for layer in case.layers:
        mine = cases.shapes(layer, shape)
        if mine:
            kernel, bias = mine
            terms = int(np.prod(kernel[:-1]))
            few = random.uniform(size=kernel) < min(1.0, 20 / products / terms)
            w = few * signs(random, int(np.prod(kernel))).reshape(kernel)
            weights.append([w.astype(np.float32), random.randint(-1, 2, bias).astype(np.float32)])
        else:
            weights.append([])
        x, _ = cases.run(layer, [np.zeros(s) for s in mine], np.zeros((1, *shape)))
        shape = x.shape[1:]
    x = repeated(random.randint(0, 16, PERIOD), (case.images, *case.shape))
    g = random.randint(-1, 2, (case.images, *after)).astype(np.float32)
    return cases.Operands(x, weights, g)


def first_images(given, batch):
    """The Operands of the first `batch` images."""
    return cases.Operands(given.x[:batch], given.weights, given.gradient[:batch])


def expected(case, draw, batch):
    """Results of the first `batch` images, as float32, which holds them exactly."""
    return cases.expected_of(case, first_images(drawn(case, draw), batch))
