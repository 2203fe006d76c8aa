"""Are the numbers of a soak exact, is a product verified by integers, and do the steps of this stack show a wrong bit?"""

import json
import os
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest

from cnnspec.facts import reading
from cnnspec.soak import processes, tally
from tests.soak import draws, operations, products, steps, turns, worker
from tests.support.exact import cases


@pytest.mark.parametrize("size", products.SIZE.values())
@pytest.mark.parametrize("variant", range(products.Products.variants))
def test_no_partial_sum_is_rounded(size, variant):
    """Operands are integers of at most 11 bits, and the largest sum of absolute values that they allow is below 2^24."""
    a, b = products.operands(size, variant) if size <= 1024 else products.operands(256, variant)
    most = products.largest(size)
    assert all(np.array_equal(array, np.rint(array)) for array in (a, b))
    assert np.abs(a).max() <= products.largest(len(a)) < cases.WIDE
    assert most**2 * size < cases.LIMIT
    assert most > 40  # as many bits as there is room for


def test_variants_differ():
    """No two variants have a result in common, or a stale one would pass."""
    found = [a @ b for a, b in (products.operands(64, variant) for variant in range(products.Products.variants))]
    assert all((one != other).mean() > 0.9 for place, one in enumerate(found) for other in found[:place])


def test_integers_refuse_a_wrong_product():
    """One more in one element, two elements exchanged, a half, NaN, a number that is too large."""
    a, b = products.operands(64, 1)
    right = a @ b
    assert products.confirmed(a, b, right)
    for change in (1, 0.5, np.nan, 2.0**24):
        wrong = right.copy()
        wrong[3, 4] += change
        assert not products.confirmed(a, b, wrong)
    wrong = right.copy()
    wrong[0, 0], wrong[0, 1] = right[0, 1], right[0, 0]
    assert not products.confirmed(a, b, wrong)


def test_bits_in_words():
    """Sign, exponent and fraction, counted from the lowest; the same in each element or not."""
    assert operations.named(1 << 31 | 1 << 23 | 5) == "fraction 0, 2, exponent 0, sign"
    assert operations.named(0x7FFFFF) == "fraction 23 from 0 to 22"
    due = np.array([1, 2, 3, 4], np.float32)
    wrong = (due.view(np.uint32) ^ np.array([0, 4, 4, 4], np.uint32)).view(np.float32)
    assert operations.flipped(due, wrong) == "bits that differ in each: 0x00000004 (fraction 2)"
    wrong = (due.view(np.uint32) ^ np.array([0, 4, 1, 4], np.uint32)).view(np.float32)
    assert operations.flipped(due, wrong) == "bits that differ in one or another: 0x00000005 (fraction 0, 2)"
    assert operations.flipped(due, wrong[:2]) == ""


@pytest.fixture(scope="module")
def ready():
    """A Soaker of this stack's own operations, and what it has told."""
    found = []
    soaker = turns.Soaker([products.on_stack(gpu=False), draws.on_stack(), *steps.on_this_stack()], found.append)
    soaker.start("here")
    return soaker, found


def test_this_stack_soaks(ready):
    """Turns until every kind ran, of which PyTorch needs several: nothing was wrong, the speed was measured."""
    soaker, found = ready
    told = tally.Tally(["here"])
    for _ in range(20):
        found.clear()
        soaker.turn("here", 1)
        for message in found:
            told.add("here", message["counts"])
        if told.places["here"].complete():
            break
    assert told.code() == 0
    assert told.places["here"].complete()
    assert told.places["here"].share() > 0


@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_bit_of_an_exact_step(ready, place, monkeypatch):
    """The lowest bit of one element of a gradient: the result is named by model and product."""
    soaker, found = ready
    found.clear()
    (step,) = (operation for operation in soaker.operations if operation.kind == "exact steps")
    compute = step.branches.results

    def flipping(given):
        results = compute(given)
        wrong = np.array(results[place].weight_gradients[0])
        wrong.view(np.uint32)[tuple(np.argwhere(wrong)[0])] ^= 1
        results[place].weight_gradients[0] = wrong
        return results

    monkeypatch.setattr(step.branches, "results", flipping)
    assert not soaker.one("here", step)
    mismatch = found[-1]["mismatch"]
    assert mismatch["operation"].startswith("exact training step of ")
    assert f"{step.branches.cases[place].name}, kernel gradient of product 1: 1 of " in mismatch["lines"][0]
    assert "0x00000001 (fraction 0)" in mismatch["lines"][0]
    assert mismatch["again"] == mismatch["tries"]


def test_a_repeated_step_that_is_off(ready, monkeypatch):
    """A gradient that is off by a thousandth: beyond the bound of any order of summation."""
    soaker, found = ready
    found.clear()
    step = soaker.operations[-1]
    gradients = steps.repeats.gradients
    monkeypatch.setattr(steps.repeats, "gradients", lambda model: [np.float32(1.001) * g for g in gradients(model)])
    assert not soaker.one("here", step)
    assert "gradient: " in found[-1]["mismatch"]["lines"][0]


def test_a_model_that_is_wrong_from_the_first_step_on(ready, monkeypatch):
    """The first exact steps, which compile the model, are judged as well."""
    soaker, _ = ready
    (step,) = (operation for operation in soaker.operations if operation.kind == "exact steps")
    monkeypatch.setattr(steps.on_stack, "Branches", lambda chosen, by_batch: Doubling(step.branches))
    monkeypatch.setattr(step, "branches", step.branches)  # put back afterwards
    assert [variant for variant, _ in step.start()] == [0, 1]


class Doubling:
    """Branches whose outputs are twice what they should be."""

    def __init__(self, branches):
        self.cases, self.compile, self.compute = branches.cases, lambda mode: None, branches.results

    def results(self, given):
        return [results._replace(output=2 * results.output) for results in self.compute(given)]


@pytest.mark.parametrize("what", ["products", "exact steps"])
def test_a_processor_that_cannot_compute_what_is_expected(what, ready, monkeypatch):
    """Integer arithmetic, or the stored digests, disagree with NumPy: a mismatch, and nothing more is soaked."""
    soaker, _ = ready
    told = []
    monkeypatch.setattr(products.Products, "start", lambda self: iter(()))
    monkeypatch.setattr(steps, "on_this_stack", lambda: [steps.ExactSteps()])
    if what == "products":
        monkeypatch.undo()
        monkeypatch.setattr(products, "confirmed", lambda a, b, c: False)
    else:
        monkeypatch.setattr(steps.digests, "stored", lambda: defaultdict(lambda: defaultdict(str)))
        (step,) = (operation for operation in soaker.operations if operation.kind == "exact steps")
        monkeypatch.setattr(steps.on_stack, "Branches", lambda chosen, by_batch: step.branches)
    with pytest.raises(worker.Refused, match="this processor errs"):
        worker.prepared(told.append, "here", "cpu")
    assert [message["mismatch"]["operation"] for message in told] == ["expected results"]
    assert "this processor errs" in tally.told(told[0]["mismatch"])


def test_a_policy_that_rounds(monkeypatch):
    """Under mixed precision no step is exact: refused, with the reason."""
    monkeypatch.setattr(steps.stack, "precision", lambda: "mixed_bfloat16")
    with pytest.raises(worker.Refused, match="Keras' policy is mixed_bfloat16: results are rounded"):
        worker.prepared(print, "here", "cpu")


def test_one_thread_allows_no_difference(ready, monkeypatch):
    """With a limit of none the lowest bit of one gradient is a mismatch; with that of several threads it is not."""
    soaker, _ = ready
    step = soaker.operations[-1]
    raw = {what: np.array(array) for what, array in step.expected(0).items()}
    what = step.names[0]
    raw[what].view(np.uint32)[tuple(np.argwhere(raw[what])[0])] ^= 1
    monkeypatch.setattr(step, "limit", 0.0)
    assert not step.same(0, raw)
    monkeypatch.setattr(step, "limit", 1e-5)
    assert step.same(0, raw)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process to a core")
def test_all_threads_are_pinned():
    """Threads that were there before, and one made after."""
    code = """
import json, os, threading
from tests.soak import worker
stop = threading.Event()
first = threading.Thread(target=stop.wait)
first.start()
core = max(os.sched_getaffinity(0))
worker.pin(core)
second = threading.Thread(target=stop.wait)
second.start()
where = [list(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")]
stop.set()
print(json.dumps([core, where]))
"""
    given = processes.variables(os.environ, "cpu", True)
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=given, cwd="/")
    core, where = json.loads(ended.stdout)
    assert len(where) == 3
    assert where == [[core]] * 3
    assert given["OMP_NUM_THREADS"] == "1"
    assert given["PYTHONPATH"].split(os.pathsep)[0] == str(reading.PROJECT)
