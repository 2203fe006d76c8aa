"""Does each layer and gradient give the right bits on numbers that leave no room for rounding?

Operands are integers whose partial sums all stay below 2^24, so that every order of summation gives the same float32, to the
bit, on any device: `tests/support/exact/`. Every element of every result is compared, with zero tolerance, through `fit` and
`predict` as compiled by default, at batch sizes that follow each other in one process; beside it eagerly and by XLA.
"""

import contextlib
import functools
import math
from typing import NamedTuple

import keras
import numpy as np
import pytest

from cnnspec import stack
from tests.support import steps as steps_of_models
from tests.support.checks import fail
from tests.support.exact import cases, digests, findings, on_stack, operands, widths

CASES = cases.cases()
COMPILED = next(iter(on_stack.MODES))
STEPS = {  # mode -> its steps (batch, draw), in order
    COMPILED: digests.STEPS,
    "eager": ((32, "mixed signs"),),
    "XLA": ((128, "wide inputs"),),
}
QUICK = 2  # steps of `--level quick`: the batch that trains, after a smaller one
FEW = ("model1 dense_2", "model4 whole")  # which has convolutions and pooling too
CHOSEN = {"eager": FEW, "XLA": FEW}  # nobody trains eagerly, and XLA compiles for seconds
NEXT = "try another device, oneDNN off (TF_ENABLE_ONEDNN_OPTS=0), one thread; then report it with the case's operands"
pytestmark = pytest.mark.skipif(
    stack.precision() != "float32", reason=f"Keras' policy is {stack.precision()}: results are rounded, run with float32"
)


class Step(NamedTuple):
    """One step of one case: the Results where their digest is not the published one, None where it is."""

    mode: str
    batch: int
    draw: str
    after: int | None
    digest: str
    results: cases.Results | None

    def __str__(self):
        before = f" after a batch of {self.after}" if self.after and self.after != self.batch else ""
        return f"{self.mode}, batch of {self.batch}{before}, {self.draw}"


def chosen(mode):
    """The cases that a mode runs."""
    return [CASES[name] for name in CHOSEN.get(mode, CASES)]


@functools.cache
def attempted(mode, quick):
    """(steps of a mode, None), or (None, the exception that came): the same for every test, tried once."""
    try:
        return steps(mode, STEPS[mode][:QUICK] if quick else STEPS[mode]), None
    except Exception as error:
        return None, error


def steps(mode, wanted):
    """{case: [Step, …]}: all cases of a mode in one model, the steps (batch, draw) one after the other."""
    running, found = chosen(mode), {}
    branches = on_stack.Branches(running)
    branches.compile(mode)
    after = None
    for batch, draw in wanted:
        given = [operands.first_images(operands.drawn(case, draw), batch) for case in running]
        for case, results in zip(running, branches.results(given), strict=True):
            digest = cases.digest(results)
            right = digests.stored().get(case.name, {}).get(digests.key(batch, draw)) == digest
            step = Step(mode, batch, draw, after, digest, None if right else results)
            found.setdefault(case.name, []).append(step)
        after = batch
    return found


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, marks=() if mode == COMPILED else pytest.mark.slow)
        for mode in on_stack.MODES
        for name in CHOSEN.get(mode, CASES)
    ],
)
def test_every_bit(name, mode, record_property, pytestconfig):
    """Output, input gradient, kernel and bias gradients of a layer or a whole model are the exact ones."""
    found, error = attempted(mode, pytestconfig.option.level == "quick")
    if error and mode == "XLA" and steps_of_models.xla_cannot(error):
        pytest.skip(f"XLA cannot compile these layers on this stack, so nobody can train with it: {str(error)[:200]}")
    if error:
        raise error
    mine = found[name]
    record_property("digest", {f"{name}, {step.mode}, {step.batch}, {step.draw}": step.digest for step in mine})
    judge(name, mine, record_property)


def judge(name, mine, record_property):
    """Fail with what is wrong in the steps of one case, and in which it is right."""
    __tracebackhide__ = True
    lines, stale = [], []
    for step in mine:
        if step.results is not None:
            found, excuses = wrong(CASES[name], step)
            lines += [f"{step}: {line}" for line in found]
            for excuse in excuses:
                record_property("inexact", f"{name}, {step}, {excuse}")
            if not found and not excuses:
                stale.append(step)
    if lines:
        right = [str(step) for step in mine if not any(line.startswith(f"{step}: ") for line in lines)]
        batches = sorted({step.batch for step in mine if str(step) not in right})
        where = f"wrong in {mine[0].mode} steps at a batch of {' and '.join(map(str, batches))}"
        right += elsewhere(CASES[name], next(step for step in mine if step.results is not None))
        lines += [f"right     {'; '.join(right) or 'nowhere'}", "expected  integer arithmetic in NumPy, zero tolerance"]
        fail(f"{name}: {where}", lines, next=NEXT)
    if stale:
        fail(
            f"{name}: this stack is right, but {digests.FILE.name} has other digests",
            [f"{step}: obtained {step.digest}, which integer arithmetic confirms" for step in stale],
            next=f"if the operands were changed on purpose: {digests.COMMAND}",
        )


def wrong(case, step):
    """(a line for each result of a step that is wrong, a line for each that an inexact algorithm explains)."""
    given = operands.first_images(operands.drawn(case, step.draw), step.batch)
    expected, terms = operands.expected(case, step.draw, step.batch), None
    lines, excuses = [], []
    for (what, due), (_, got) in zip(expected.named(), step.results.named(), strict=True):
        differ = findings.differing(due, got)
        if differ is not None and not differ.any():
            continue
        if differ is not None:
            terms = terms or dict(cases.absolute(case, given).named())
            if excused(case, what, due, got, terms[what]):
                excuses.append(f"inexact algorithm: {findings.described(what, due, got)}")
                continue
        guess = "" if differ is None else findings.pattern(due, got)
        if not guess and what == "output" and differ is not None and differ.mean() > 0.01:
            guess = findings.rounding(case, given, due, got)
        lines.append(findings.described(what, due, got, guess))
    return lines, excuses


def excused(case, what, due, got, terms):
    """Whether an algorithm that rounds by design explains the errors.

    That is a convolution by Winograd's or a Fourier transform; on a GPU also what such a transform leaves in the last places
    of the largest sum and, in kernel gradients, two units in the last place: integer sums are exact in every order, but its
    libraries may scale parts of a sum before they join them.
    """
    convolves = any(layer["class"] == "Conv2D" for layer in case.layers)
    if convolves and findings.inexact(due, got, terms):
        return True
    if not stack.on_gpu():
        return False
    if convolves and findings.in_last_places(due, got, terms):
        return True
    return what.startswith("kernel gradient") and bool(findings.near(due, got).all())


def elsewhere(case, step):
    """The ways in which the step that was wrong is right: in other modes, as the first step of a process, and once more.

    Of the first two cases alone: each way is a model to be traced.
    """
    if len(_explained) == 2:
        return [f"in other modes: see {' and '.join(_explained)}"]
    _explained.append(case.name)
    found = []
    for mode in on_stack.MODES:
        for after in {None, step.after} if mode == step.mode else {step.after}:
            branches = on_stack.Branches([case])
            branches.compile(mode)
            try:
                for batch in filter(None, (after, step.batch)):
                    given = operands.first_images(operands.drawn(case, step.draw), batch)
                    (results,) = branches.results([given])
            except Exception as error:  # a way that this stack does not have: the one that is wrong is reported
                found.append(f"{mode} not known: {type(error).__name__}")
                continue
            if cases.digest(results) == cases.digest(operands.expected(case, step.draw, step.batch)):
                if (mode, after) == (step.mode, step.after):
                    found.append("the same step, taken once more: the fault is intermittent")
                    continue
                found.append(f"{Step(mode, step.batch, step.draw, after, '', None)}" + ("" if after else " (first of all)"))
    return found


_explained = []  # names of the cases that were run in other ways


BATCHES = (1, 2, 3, 5, 8, 13, 17)
MANY = (32_769, 65_537)


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True], ids=["odd shapes", "many rows"])
def test_shapes(many, record_property):
    """Shapes, batch sizes and numbers of rows that the notebook does not have; kernels fail at one shape alone."""
    sweep(cases.ROWS if many else cases.ODD, MANY if many else BATCHES, ["mixed signs"], record_property)


@pytest.mark.sweep
def test_all_shapes(record_property):
    """The same at every batch size from 1 to 17, in all draws of operands, and for more numbers of rows."""
    sweep(cases.ODD, range(1, 18), operands.DRAWS, record_property)
    sweep(cases.ROWS, (32_767, 32_768, 32_769, 65_535, 65_536, 65_537), operands.DRAWS, record_property)


def sweep(shapes, batches, draws, record_property):
    """Judge cases at each of the batch sizes, one after the other, in one model."""
    __tracebackhide__ = True
    branches, lines, after = on_stack.Branches(shapes.values(), by_batch=True), [], None
    branches.compile(COMPILED)
    for draw in draws:
        for batch in batches:
            given = [operands.first_images(operands.drawn(case, draw), batch) for case in branches.cases]
            for case, results in zip(branches.cases, branches.results(given), strict=True):
                step = Step(COMPILED, batch, draw, after, "", results)
                found, excuses = wrong(case, step)
                lines += [f"{case.name}, {step}: {line}" for line in found]
                for excuse in excuses:
                    record_property("inexact", f"{case.name}, {step}, {excuse}")
            after = batch
    if lines:
        more = [f"and {len(lines) - 8} more"] if len(lines) > 8 else []
        fail("shapes beside the notebook's: not the exact numbers", [*lines[:8], *more], next=NEXT)


@pytest.mark.slow
def test_more_elements_than_float32_counts():
    """Eight images that come again until a convolution's output has more than 2^24 elements: each gives the integer one."""
    case = cases.LARGE
    given = operands.drawn(case, "mixed signs")
    due = cases.expected_of(case, given).output
    times = 2**24 // (len(due) * math.prod(case.shape[:2]) * case.layers[0]["filters"]) + 1
    model = keras.Sequential([keras.Input(shape=case.shape), *map(on_stack.keras_layer, case.layers)])
    model.layers[0].set_weights(given.weights[0])
    images = np.tile(given.x, (times, 1, 1, 1))
    found = model.predict(images, batch_size=len(images), verbose=0).reshape(times, *due.shape)
    wrong = np.flatnonzero((found != due).reshape(len(images), -1).any(axis=1))
    if len(wrong):
        lines = [
            f"{len(wrong)} images wrong, the first at place {wrong[0] + 1} of the batch",
            "expected  integer arithmetic in NumPy, zero tolerance: that of the same images at the batch's beginning",
        ]
        fail(f"{case.name}: predict of {len(images)} images in one batch", lines, next=NEXT)


@pytest.mark.parametrize("tf32", ["as shipped", "off"])
@pytest.mark.parametrize("operation", widths.OPERATIONS)
def test_precision(operation, tf32, record_property, pytestconfig):
    """Each product keeps as many bits of its operands as the declared precision has, forward and backward."""
    if tf32 == "as shipped" and pytestconfig.option.tf32 == "off":
        pytest.skip("--tf32 off: in this run nothing is computed as shipped")
    with stack.tf32_off() if tf32 == "off" else contextlib.nullcontext():
        precisions = widths.declared_for()
        kept = widths.measured(precisions)[operation]
    declared = precisions[list(widths.OPERATIONS).index(operation)]
    needed, least = widths.BITS[declared], min(kept.values())
    words = f"{least} bits{findings.named(least)}"
    record_property("precision", f"{operation}, TF32 {tf32}: {words}, declared {declared}")
    lines = [f"{what}: exact to {bits} bits{findings.named(bits)}" for what, bits in kept.items() if bits < needed]
    if lines:
        expected = f"expected  {needed} bits ({declared}), as the stack declares"
        fail(f"{operation}, TF32 {tf32}: operands lose bits", [*lines, expected], next=NEXT)
