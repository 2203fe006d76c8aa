"""How small an error can the exact cases show? Operands, products and results are changed bit by bit, in NumPy."""

import numpy as np
import pytest

from cnnspec import stack
from tests import test_exact
from tests.support.exact import cases, digests, findings, operands

CASES = cases.cases()
PRODUCTS = [name for name, case in CASES.items() if len(case.layers) == 1 and case.layers[0]["class"] in ("Conv2D", "Dense")]
BATCH = 2  # images that flips are tried on; kernel gradients are sums over all that a batch has


def images_of(name, draw, batch=BATCH):
    """Operands of the first images of a case."""
    return operands.first_images(operands.drawn(CASES[name], draw), batch)


@pytest.mark.parametrize("draw", operands.DRAWS)
@pytest.mark.parametrize("name", CASES)
def test_no_partial_sum_is_rounded(name, draw):
    """Operands are integers, of 11 bits where multiplied; the absolute values of all terms sum to less than 2^24."""
    given = operands.drawn(CASES[name], draw)
    for array in (given.x, given.gradient, *(weight for layer in given.weights for weight in layer)):
        assert np.array_equal(array, np.rint(array))
        assert np.abs(array).max() < (cases.WIDE if given.weights else cases.LIMIT)
    for what, sums in cases.absolute(CASES[name], given).named():
        assert sums.max() < cases.LIMIT, f"{name}, {draw}, {what}: partial sums up to {sums.max():.0f}"


@pytest.mark.parametrize("name", CASES)
def test_digests_are_numpy_s(name):
    """The published digests are those of the float64 implementation."""
    assert digests.stored()[name] == digests.computed(CASES[name])


def test_digests_of_all_cases():
    """No digest is missing, and none is of a case that is no more."""
    assert list(digests.stored()) == list(CASES)


@pytest.mark.parametrize("name", PRODUCTS)
def test_full_width(name):
    """With wide inputs or wide kernels most outputs need all 24 bits of a float32: at least half of every product's."""
    shares = [
        float((cases.computed(CASES[name], images_of(name, draw, 8)).output >= 2**23).mean()) for draw in operands.DRAWS[:2]
    ]
    assert max(shares) > 0.5, f"{name}: {shares}"


def flipped(array, index, bit):
    """A copy of integers with one bit of one element flipped."""
    found = np.array(array, np.float64)
    found[index] = int(abs(found[index])) ^ (1 << bit) if found[index] >= 0 else -(int(-found[index]) ^ (1 << bit))
    return found


@pytest.mark.parametrize("draw", operands.DRAWS[:2])
@pytest.mark.parametrize("name", PRODUCTS)
def test_every_bit_of_an_operand_reaches_the_result(name, draw):
    """Each of the 11 bits of inputs, of kernels and of output gradients, flipped, changes a result that is compared.

    Inputs reach the output or the kernel gradient, kernels the output or the input gradient, the gradient at the output
    both gradients; a term times zero hides nothing in all of them.
    """
    case, given = CASES[name], images_of(name, draw)
    random, right = np.random.RandomState(3), cases.digest(cases.expected_of(case, given))
    seen = tried = 0
    for operand in ("x", "kernel", "gradient"):
        array = given.weights[0][0] if operand == "kernel" else getattr(given, operand)
        candidates = np.flatnonzero(array) if operand != "x" else np.arange(array.size)
        for bit in range(11):
            index = np.unravel_index(int(random.choice(candidates)), array.shape)
            changed = flipped(array, index, bit)
            weights = [[changed, given.weights[0][1]]] if operand == "kernel" else given.weights
            other = given._replace(weights=weights) if operand == "kernel" else given._replace(**{operand: changed})
            seen += cases.digest(cases.expected_of(case, other)) != right
            tried += 1
    assert seen == tried, f"{name}, {draw}: {seen} of {tried} flips were seen"


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_bit_of_a_product_and_of_a_result(name):
    """A product wrong in its lowest bit, which is one unit of its sum, and each bit of a result, change the digest."""
    case, given = CASES[name], images_of(name, "wide inputs")
    results = cases.expected_of(case, given)
    right = cases.digest(results)
    for _, array in results.named():
        index = np.unravel_index(int(np.abs(array).argmax()), array.shape)
        kept = array[index]
        assert abs(kept) + 1 <= cases.LIMIT
        array[index] = kept + 1  # exactly representable: one unit of one product is no rounding
        assert array[index] != kept
        assert cases.digest(results) != right
        for bit in range(32):
            array[index] = kept
            array.reshape(-1).view(np.uint32)[np.ravel_multi_index(index, array.shape)] ^= np.uint32(1 << bit)
            assert cases.digest(results) != right, f"bit {bit}"
        array[index] = kept
    assert cases.digest(results) == right


# ---- what a difference is called ---------------------------------------------------------------------------------------
CONVOLUTION = CASES["model2 conv2d_4"]


def made_up():
    """A convolution's operands, exact results and sums of absolute terms."""
    given = images_of(CONVOLUTION.name, "wide inputs", 4)
    return given, cases.expected_of(CONVOLUTION, given), cases.absolute(CONVOLUTION, given)


def test_one_element_is_described():
    """A message has the number of elements, the first of them, both values and their bits."""
    expected = np.arange(12, dtype=np.float32).reshape(3, 4)
    obtained = expected.copy()
    obtained[1, 2] += 0.5
    words = "output: 1 of 12 elements differ, first [1, 2]: expected 6 (0x40c00000), obtained 6.5 (0x40d00000)"
    assert findings.described("output", expected, obtained) == words


def test_a_shape_is_described():
    """Another shape is no array to compare with."""
    assert findings.described("output", np.zeros((2, 3)), np.zeros(6)) == "output: expected shape (2, 3), obtained (6,)"


def test_zeros_have_no_sign():
    """−0 is 0: its sign depends on the order of summation. Nothing else is forgiven."""
    assert not findings.differing(np.float32([0.0, 1.0]), np.float32([-0.0, 1.0])).any()
    assert findings.differing(np.float32([1.0]), np.nextafter(np.float32([1.0]), np.float32(2))).all()
    assert findings.differing(np.float32([0.0]), np.float32([np.nan])).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a * 0, "all are 0"),
        (lambda a: a * 1000, "all are 1000 times what they should be"),
        (lambda a: a / np.where(np.arange(a.shape[-1]) == 1, 0, 1).astype("f4"), "are NaN or infinite"),
        (lambda a: a + 1, ""),
    ],
    ids=["zeros", "factor", "infinite", "anything else"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_patterns(change, words):
    """A whole result that is zero, a multiple or not finite is called so, and nothing is guessed else."""
    _, exact, _ = made_up()
    found = findings.pattern(exact.output, change(exact.output))
    assert words in found if words else found == ""


@pytest.mark.parametrize(("significant", "word"), [(8, "8 bits (bfloat16)"), (10, "10 bits"), (6, "6 bits")])
def test_rounded_operands_are_named(significant, word):
    """Operands that were rounded are named with their bits, because rounding them again gives exactly the result."""
    given, _, terms = made_up()
    short = given._replace(
        x=findings.rounded(given.x, significant),
        weights=[[findings.rounded(given.weights[0][0], significant), given.weights[0][1]]],
    )
    obtained = cases.expected_of(CONVOLUTION, short)
    exact = cases.expected_of(CONVOLUTION, given)
    assert word in findings.rounding(CONVOLUTION, given, exact.output, obtained.output)
    assert not findings.inexact(exact.output, obtained.output, terms.output)


def winograd(given):
    """A 3x3 convolution with padding `same` and ReLU by Winograd's F(2x2, 3x3), every step in float32.

    Source: Lavin & Gray 2016, Fast Algorithms for Convolutional Neural Networks, section 4.1.
    """
    to_input = np.float32([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    to_kernel = np.float32([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    to_output = np.float32([[1, 1, 1, 0], [0, 1, -1, -1]])
    kernel, bias = given.weights[0]
    padded = np.pad(given.x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    images, height, width = given.x.shape[:3]
    transformed = np.einsum("ai,ijcf,bj->abcf", to_kernel, kernel, to_kernel, dtype=np.float32)
    found = np.zeros((images, height, width, kernel.shape[-1]), np.float32)
    for i in range(0, height, 2):
        for j in range(0, width, 2):
            tile = np.einsum("ai,nijc,bj->nabc", to_input, padded[:, i : i + 4, j : j + 4], to_input, dtype=np.float32)
            product = np.einsum("nabc,abcf->nabf", tile, transformed, dtype=np.float32)
            found[:, i : i + 2, j : j + 2] = np.einsum("ia,nabf,jb->nijf", to_output, product, to_output, dtype=np.float32)
    return np.maximum(found + bias, 0)


def test_winograd_is_called_inexact():
    """Winograd's algorithm in float32 is told from a fault; with small operands it is exact."""
    given, exact, terms = made_up()
    obtained = winograd(given)
    assert findings.differing(exact.output, obtained).mean() > 0.1
    assert findings.inexact(exact.output, obtained, terms.output)
    small = given._replace(x=given.x % 8)
    assert not findings.differing(cases.expected_of(CONVOLUTION, small).output, winograd(small)).any()


def test_a_gpus_errors_in_the_last_places(monkeypatch):
    """Less than a unit, to one side too, and where every term is zero: no fault on a GPU, one on a CPU; units always are."""
    expected = np.zeros((3, 3, 1, 3), np.float32)
    expected[1:] = 15440
    terms = np.where(expected, 2.0e6, 0.0)
    small = expected + np.float32(0.08)
    assert findings.in_last_places(expected, small, terms)
    assert not findings.in_last_places(expected, expected + np.float32(0.6), 20 * terms)  # would round to another integer
    assert not findings.in_last_places(expected, small, terms / 10)  # too much for so few terms
    assert not findings.in_last_places(expected, small * np.float32(np.nan), terms)
    few = np.tile(expected, (1, 1, 50, 1))
    few[1, 1, 1, 1] += np.float32(0.08)
    assert not findings.in_last_places(np.tile(expected, (1, 1, 50, 1)), few, np.tile(terms, (1, 1, 50, 1)))
    for gpu in (True, False):
        monkeypatch.setattr(stack, "on_gpu", lambda gpu=gpu: gpu)
        assert test_exact.excused(CONVOLUTION, "input gradient", expected, small, terms) == gpu
        assert not test_exact.excused(CONVOLUTION, "input gradient", expected, expected + 1, 20 * terms)


def one_wrong(array):
    """One element is wrong by one unit."""
    array[1, 2, 3, 4] += 1


def all_low(array):
    """Every element is too low by one unit: bits were cut off."""
    array -= 1


def some_far(array):
    """Errors of either sign, one of them large."""
    array += np.where(np.arange(array.size).reshape(array.shape) % 2, 1, -1)
    array[0, 0, 0, 0] += 4096


@pytest.mark.parametrize("fault", [one_wrong, all_low, some_far])
def test_faults_are_not_called_inexact(fault):
    """One wrong element, errors to one side, and one large error among small ones stay faults."""
    _, exact, terms = made_up()
    obtained = exact.output.copy()
    fault(obtained)
    assert not findings.inexact(exact.output, obtained, terms.output)


def test_last_places():
    """Two units in the last place are the limit of what a GPU's kernel gradients may differ by."""
    exact = np.float32([1, 1000, 2**23])
    assert findings.near(exact, exact * np.float32(1 + 2.0**-23)).all()
    assert not findings.near(exact, exact * np.float32(1 + 2.0**-21)).any()
