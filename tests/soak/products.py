"""Matrix products of integers, which are exact in float32 and in TF32, computed by the framework.

An operand's absolute value is at most √(2^24 / terms): no partial sum is rounded, in whatever order it is summed. The first
result of each variant is verified by integer arithmetic alone (Freivalds: C r = A (B r) for vectors r of 20-bit
numbers), and every later one is compared with it.
"""

import math
import time

import numpy as np

from tests.soak.operations import Operation, equal
from tests.support.exact import cases

SIZE = {"cpu": 1024, "gpu": 8192}  # rows, columns and terms
VECTORS = 3  # random vectors of the verification: a wrong product passes one with a chance of at most 2^-20
ON_HOST = 64  # on an accelerator every so many results are copied and compared on the host as well


def largest(size):
    """The largest absolute value of an operand: sums of `size` products stay below 2^24."""
    return math.isqrt((cases.LIMIT - 1) // size)


def operands(size, variant):
    """Two matrices of integers, as float32: without signs in even variants, where sums are large, with signs in odd ones."""
    random = np.random.RandomState(1000 * size + variant)
    most = largest(size)
    pair = [random.randint(most // 2, most + 1, (size, size)) for _ in range(2)]
    if variant % 2:
        pair = [array * (2 * random.randint(0, 2, array.shape) - 1) for array in pair]
    return [array.astype(np.float32) for array in pair]


def confirmed(a, b, c, seed=0):
    """Whether c = a b in integer arithmetic, for matrices of integers."""
    if not np.isfinite(c).all() or not np.array_equal(c, np.rint(c)) or np.abs(c).max(initial=0) >= cases.LIMIT:
        return False
    a, b, c = (array.astype(np.int64) for array in (a, b, c))
    random = np.random.RandomState(seed)
    vectors = [random.randint(0, 2**20, b.shape[1]) for _ in range(VECTORS)]
    return all(np.array_equal(c @ vector, a @ (b @ vector)) for vector in vectors)


class Products(Operation):
    """Products of pairs of matrices, one pair a variant. `multiply` and `tensor` are the framework's."""

    kind = "products"
    variants = 4

    def __init__(self, multiply, tensor, size, to_host=np.asarray, on_device=None):
        """`on_device(result, expected)` tells on an accelerator whether any element differs; None: compare on the host."""
        self.multiply, self.tensor, self.size = multiply, tensor, size
        self.to_host, self.on_device = to_host, on_device
        self.name, self.checked = f"matrix product of {size} × {size}", size**3
        self.pairs, self.due, self.kept, self.calls = [], [], [], 0

    def start(self):
        """Verify the first result of each variant; where it is wrong, NumPy's float64 product takes its place."""
        wrong = []
        for variant in range(self.variants):
            a, b = operands(self.size, variant)
            self.pairs.append((self.tensor(a), self.tensor(b)))
            first = np.array(self.to_host(self.multiply(*self.pairs[-1])), np.float32)
            due = first
            if not confirmed(a, b, first):
                due = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
                if not confirmed(a, b, due):
                    raise ArithmeticError("NumPy's product in float64 is not the integer one either: this processor errs")
            self.due.append({"product": due})
            self.kept.append(self.tensor(due) if self.on_device else None)
            if due is not first:
                wrong.append((variant, first))
        yield from wrong

    def compute(self, variant):
        return self.multiply(*self.pairs[variant])

    def expected(self, variant):
        return self.due[variant]

    def results(self, raw):
        return {"product": np.float32(self.to_host(raw))}

    def same(self, variant, raw):
        self.calls += 1
        if self.on_device and self.calls % ON_HOST:
            return not self.on_device(raw, self.kept[variant])
        return equal(self.due[variant]["product"], self.to_host(raw))

    def bare(self, repeats=5):
        """Products a second of the same multiplication, without comparisons: the median of a few."""
        pair, taken = self.pairs[0], []
        for _ in range(repeats):
            started = time.perf_counter()
            wait(self.multiply(*pair))
            taken.append(time.perf_counter() - started)
        return self.checked / float(np.median(taken))


def wait(tensor):
    """Wait until a tensor is computed, by reading one number of it."""
    float(tensor[0, 0])


def on_stack(gpu):
    """Products by Keras' backend: `keras.ops.matmul`, and `keras.backend.dot` with Keras 2."""
    import keras

    ops = getattr(keras, "ops", None)
    multiply = ops.matmul if ops else keras.backend.dot
    tensor = ops.convert_to_tensor if ops else keras.backend.constant
    if not gpu:
        return Products(multiply, tensor, SIZE["cpu"])
    if not ops:
        raise NotImplementedError("on a GPU a soak needs Keras 3; with Keras 2 use --device cpu")

    def differs(result, due):
        return bool(ops.convert_to_numpy(ops.any(ops.not_equal(result, due))))

    return Products(multiply, tensor, SIZE["gpu"], ops.convert_to_numpy, differs)
