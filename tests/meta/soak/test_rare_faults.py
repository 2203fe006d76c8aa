"""Is each rare fault found in seconds, and named: place, operation, element, bits, and whether it repeats?

NumPy multiplies in the place of a framework, and errs as a machine may.
"""

import numpy as np
import pytest

from cnnspec.soak import tally
from tests.soak import draws, products, turns
from tests.soak.operations import Operation

SMALL = 32  # rows of a matrix where a fault does not need more
CPU, FIRST, SECOND = "CPU, 2 threads", "core 0", "core 1"


class Machine:
    """Multiplies matrices with NumPy and counts; `fault(result, call)` changes results from the time that it is set."""

    def __init__(self):
        self.calls, self.fault = 0, None

    def multiply(self, a, b):
        result = a @ b
        self.calls += 1
        return self.fault(result, self.calls) if self.fault else result


class Soaked:
    """A soak in this process: its tally, which is filled by `turn`."""

    def __init__(self, *operations):
        self.tally = tally.Tally([CPU, FIRST, SECOND])
        self.soaker = turns.Soaker(operations, self.take)
        self.soaker.start(CPU)

    def take(self, message):
        if "counts" in message:
            self.tally.add(message["counts"]["place"], message["counts"])
        else:
            self.tally.mismatches.append(message["mismatch"])

    def calls(self, number, place=CPU):
        """So many calls at a place."""
        for _ in range(number):
            operation = self.soaker.next(place)
            right = self.soaker.one(place, operation)
            counts = {operation.kind: (1, int(not right), operation.checked)}
            self.take({"counts": {"place": place, "seconds": 0.0, "kinds": counts}})

    def told(self):
        return [tally.told(mismatch) for mismatch in self.tally.mismatches]


def soaked(machine, size=SMALL):
    """A soak of matrix products on a machine."""
    return Soaked(products.Products(machine.multiply, np.asarray, size))


def xor(array, index, mask):
    """A copy of an array with bits of one element flipped."""
    changed = array.copy()
    changed.view(np.uint32)[index] ^= mask
    return changed


def at(when, index, mask):
    """A fault that flips bits of one element in one call."""
    return lambda result, call: xor(result, index, mask) if call == when else result


def test_a_healthy_machine_has_no_mismatch():
    """Turns at three places: products are counted at each, nothing is wrong, the exit code of products is no 1."""
    soak = soaked(Machine())
    for place in (CPU, FIRST, SECOND):
        soak.soaker.turn(place, 0.05)
    assert soak.tally.mismatches == []
    wrong, checked, calls = soak.tally.total("products")
    assert (wrong, checked) == (0, calls * SMALL**3)
    assert all(place.calls["products"] and place.share() for place in soak.tally.places.values())


class Timed(Operation):
    """An operation that takes some seconds by a clock of its own."""

    def __init__(self, kind, seconds, now):
        self.kind = self.name = kind
        self.seconds, self.now = seconds, now

    def compute(self, variant):
        self.now[0] += self.seconds
        return {}

    def expected(self, variant):
        return {}


@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_products_have_three_quarters_of_the_time(seconds):
    """In short turns as in long ones, with steps that take from two thousandths to a whole second."""
    now = [0.0]
    lengths = {"products": 0.02, "exact steps": 1.0, "repeated steps": 0.05, "masks": 0.002}
    found = tally.Tally([CPU, FIRST])
    operations = [Timed(kind, length, now) for kind, length in lengths.items()]
    soaker = turns.Soaker(operations, lambda told: found.add(told["counts"]["place"], told["counts"]), lambda: now[0])
    for _ in range(60):
        soaker.turn(CPU, seconds)
        soaker.turn(FIRST, seconds)
    for place in found.places.values():
        spent = {kind: calls * lengths[kind] / place.seconds for kind, calls in place.calls.items()}
        assert spent == pytest.approx(turns.SHARES, abs=0.03)
    assert turns.SHARES["products"] > 1.5 * tally.LEAST_SHARE


def test_low_bits_of_one_result_in_2_to_the_20th():
    """One element of 1,024 × 1,024, its two lowest bits, in one call: the element and the bits are named."""
    machine = Machine()
    soak = soaked(machine, 1024)
    soak.calls(5)
    machine.fault = at(machine.calls + 1, (700, 33), np.uint32(3))
    soak.calls(4)
    (told,) = soak.told()
    assert told.startswith("MISMATCH on CPU, 2 threads: matrix product of 1024 × 1024, call 6 there (5 right before it)\n")
    assert "product: 1 of 1,048,576 elements differ, first [700, 33]: expected " in told
    assert "bits that differ: 0x00000003 (fraction 0, 1)" in told
    assert told.endswith("again: wrong in 0 of 5 repetitions at once, on the same numbers")
    assert soak.tally.code() == 1
    assert soak.tally.sofar() == "1 of 9 matrix products, 0 of 0 exact steps, 0 of 0 repeated steps, 0 of 0 masks"
    assert soak.tally.verdict()[0] == "1 of 9 matrix products wrong (each of 1.1·10^9 products)"


@pytest.mark.parametrize("variant", range(4))
@pytest.mark.parametrize("bit", [0, 3, 11, 22, 23, 27, 30, 31])
def test_any_bit_of_any_variant_is_seen(bit, variant):
    """A flip of a fraction's, exponent's or sign's bit, in each of the four pairs of operands."""
    machine = Machine()
    soak = soaked(machine)
    soak.calls(variant)
    machine.fault = lambda result, call, at=machine.calls + 1: (
        xor(result, (5, 6), np.uint32(1 << bit)) if call == at else result
    )
    soak.calls(4)
    (told,) = soak.told()
    assert "first [5, 6]: expected " in told
    assert f"bits that differ: 0x{1 << bit:08x} (" in told


def test_a_core_off_by_a_thousandth_one_time_in_three():
    """The core, the factor, and that the fault comes and goes; the other places are named as right."""
    machine = Machine()
    soak = soaked(machine)
    for _ in range(10):
        machine.fault = None
        soak.calls(6, CPU)
        soak.calls(6, FIRST)
        machine.fault = lambda result, call: np.float32(result * 1.001) if call % 3 == 0 else result
        soak.calls(6, SECOND)
    assert {mismatch["place"] for mismatch in soak.tally.mismatches} == {SECOND}
    assert "all are 1.001 times what they should be" in soak.told()[0]
    assert all(1 <= mismatch["again"] <= 2 for mismatch in soak.tally.mismatches)
    assert len(soak.tally.mismatches) == turns.TOLD  # all are counted, but not all described
    assert soak.tally.places[SECOND].wrong["products"] > 15
    soak.tally.places = {name: whole(place) for name, place in soak.tally.places.items()}
    assert soak.tally.odd_ones() == "wrong on core 1; right on CPU, 2 threads, core 0"


def whole(place):
    """A place whose steps ran as well."""
    place.calls |= {kind: max(place.calls[kind], 1) for kind in place.calls}
    return place


class Step(Operation):
    """A step whose gradient is a few numbers, of which one has a bit flipped with a chance."""

    kind, name = "repeated steps", "training step"

    def __init__(self, chance, seed):
        self.due = {"layer 1 (Dense) kernel gradient": np.linspace(0.5, 1, 8, dtype=np.float32)}
        self.random, self.chance = np.random.RandomState(seed), chance

    def compute(self, variant):
        (what,) = self.due
        if self.random.uniform() >= self.chance:
            return self.due
        return {what: xor(self.due[what], self.random.randint(8), np.uint32(1 << self.random.randint(23)))}

    def expected(self, variant):
        return self.due


def test_a_bit_flipped_once_in_ten_thousand_steps():
    """40,000 steps, of which four are expected to be wrong: none would be found by chance in 1.8 % of all seeds."""
    soak = Soaked(Step(1e-4, seed=5))
    soak.calls(40_000)
    wrong, checked, _ = soak.tally.total("repeated steps")
    assert checked == 40_000
    assert 1 <= wrong <= 11  # outside by chance in 1 % of all seeds
    for told in soak.told():
        assert "layer 1 (Dense) kernel gradient: 1 of 8 elements differ" in told
        assert "(fraction " in told
        assert "again: wrong in 0 of 5" in told


def test_a_stale_copy():
    """A product that is that of the call before, now and then: named as a copy, not as an error of arithmetic."""
    machine, kept = Machine(), []

    def stale(result, call):
        kept.append(result)
        return kept[-2] if call % 20 == 0 and len(kept) > 1 else result

    soak = soaked(machine)
    machine.fault = stale
    soak.calls(60)
    assert len(soak.told()) >= 2
    assert all("a stale copy: the result of the call before" in told for told in soak.told())


def test_wrong_after_the_thousandth_call():
    """A thousand right calls, and wrong from then on: the message says from which call, and that it repeats."""
    machine = Machine()
    soak = soaked(machine)
    first = machine.calls + 1000
    machine.fault = lambda result, call: xor(result, (0, 1), np.uint32(1)) if call > first else result
    soak.calls(1010)
    assert "call 1,001 there (1,000 right before it)" in soak.told()[0]
    assert all(mismatch["again"] == mismatch["tries"] for mismatch in soak.tally.mismatches)
    assert soak.tally.total("products")[0] == 10


class Generator:
    """Draws of Dropout; from draw `first` on it goes back by `period` draws, each time."""

    def __init__(self, first=10**9, period=0, kept=0.5):
        self.random, self.drawn, self.first, self.period, self.kept = np.random.RandomState(3), [], first, period, kept

    def draw(self):
        again = len(self.drawn) >= self.first
        fresh = None if again else (self.random.uniform(size=draws.SHAPE) < self.kept).astype(np.float32) * 2
        self.drawn.append(self.drawn[-self.period] if again else fresh)
        return self.drawn[-1]


@pytest.mark.parametrize(("first", "period"), [(1, 1), (40, 1), (40, 16)], ids=["stands still", "stops", "goes around"])
def test_a_generator_that_repeats(first, period):
    """From the draw on that was there before, every one is wrong; the message says which draw it is."""
    soak = Soaked(draws.Masks(Generator(first, period).draw))
    soak.calls(first)
    assert soak.told() == []
    soak.calls(5)
    assert f"draw {first + 1:,} is draw {first + 1 - period:,} again, {period:,} draws before: it repeats" in soak.told()[0]
    assert "MISMATCH on CPU, 2 threads: mask of 128 × 512 by Dropout, call " in soak.told()[0]
    assert soak.tally.total("masks")[0] == 5
    assert all(mismatch["again"] == mismatch["tries"] for mismatch in soak.tally.mismatches)


def test_a_generator_that_does_not_repeat():
    """Two thousand fair draws are all new."""
    soak = Soaked(draws.Masks(Generator().draw))
    soak.calls(2000)
    assert soak.tally.total("masks") == (0, 2000, 2000)


def test_masks_of_another_rate():
    """A mask that keeps 0.52 instead of 0.5 is no fair draw."""
    soak = Soaked(draws.Masks(Generator(kept=0.52).draw))
    soak.calls(3)
    assert "of the elements instead of 0.5" in soak.told()[0]


def test_masks_of_this_stack():
    """Keras' own Dropout draws new ones."""
    soak = Soaked(draws.on_stack())
    soak.calls(20)
    assert soak.tally.total("masks") == (0, 20, 20)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(value):
    """NaN and infinity differ from every number."""
    machine = Machine()
    soak = soaked(machine)
    machine.fault = lambda result, call: np.full_like(result, value)
    soak.calls(1)
    assert f"{SMALL**2:,} are NaN or infinite" in soak.told()[0]


def test_wrong_from_the_first_product_on():
    """The first result is not taken for the truth: integer arithmetic refuses it, and NumPy's float64 takes its place."""
    machine = Machine()
    machine.fault = lambda result, call: xor(result, (3, 3), np.uint32(1))
    soak = soaked(machine)
    assert soak.tally.total("products")[0] == products.Products.variants
    soak.calls(4)
    assert soak.tally.total("products")[0] == 2 * products.Products.variants
    assert "again: wrong in 5 of 5" in soak.told()[0]


def test_a_device_that_compares_wrongly():
    """On an accelerator the comparison is the device's; a difference that the host does not find is its own fault."""
    compared = []

    def differs(result, due):
        compared.append(1)
        return len(compared) == 3 or not np.array_equal(result, due)

    machine = Machine()
    soak = Soaked(products.Products(machine.multiply, np.asarray, SMALL, np.asarray, differs))
    soak.calls(5)
    assert "the device compares wrongly" in soak.told()[0]
    machine.fault = lambda result, call: xor(result, (3, 3), np.uint32(1))
    soak.calls(1)
    assert "1 of 1,024 elements differ" in soak.told()[-1]


def test_a_device_that_finds_no_difference():
    """One result of ON_HOST is compared on the host too."""
    machine = Machine()
    soak = Soaked(products.Products(machine.multiply, np.asarray, SMALL, np.asarray, lambda result, due: False))
    machine.fault = lambda result, call: xor(result, (3, 3), np.uint32(1))
    soak.calls(products.ON_HOST)
    assert soak.tally.total("products")[0] == 1
