"""Does the same seed on the same stack give the same weights, bit for bit?

Two new processes draw and train at the same time. On a CPU each uses one thread: with several, TensorFlow adds partial sums
in the order in which threads finish, and single weights of a model with many channels repeat only to about 1e-2. On a GPU
the processes switch deterministic kernels on where the backend has them: `tests/support/determinism.py`. They report
whether they are on, on which device they computed, and by which path: it may be another one than training takes.
"""

import json

import pytest

from cnnspec import stack
from tests.support import checks, determinism
from tests.support.two_processes import DRAWN, MODELS, PROCESSES, SEEDS, TRAINED, UNSEEDED, started

OF = {TRAINED: "two epochs", DRAWN: "kernels and an output with dropout"}
NEXT = "look for operations without a deterministic kernel in the release notes of the framework, cuDNN and oneDNN"


@pytest.fixture(scope="module")
def digests():
    """What the two processes of `tests.support.two_processes` printed."""
    found = {}
    for name, process in started().items():
        output, errors = process.communicate(timeout=600)
        if process.returncode:
            checks.fail(
                f"{name} process of the repeated training: exit code {process.returncode}",
                errors.splitlines()[-5:],
                next=f"python -m tests.support.two_processes {name}",
            )
        found[name] = json.loads(output.splitlines()[-1])
    return found


def test_deterministic_operations_are_on(digests, record_property):
    """In both processes the framework says that deterministic operations are on, and they compute where this one does."""
    reason = determinism.impossible(stack.used())
    record_property("path", path_taken(digests, reason))
    for name in PROCESSES:
        checks.equal(
            f"{name} process: the device on which it computes",
            stack.used_name(),
            digests[name]["device"],
            source="the process of this test",
            next=f"python -m tests.support.two_processes {name}",
        )
    if reason:
        pytest.skip(f"{reason}; on a CPU they are on: pytest --device cpu tests/test_determinism.py")
    for name in PROCESSES:
        checks.equal(
            f"{name} process: deterministic operations",
            True,
            digests[name]["deterministic"],
            source="tests/support/two_processes.py",
            next=NEXT,
        )


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_repeats(digests, model, record_property):
    """Both processes have the same bits: of TRAINED weights and losses after two epochs with shuffling and dropout.

    It is trained by Keras' own fit of arrays in the first process, and by the harness in the second. Of DRAWN it is what it
    starts with, which its layers draw without a seed of their own, and an output with dropout.
    """
    first, second = (digests[name][model] for name in PROCESSES)
    reason = determinism.impossible(stack.used())
    if reason:
        told = "are the same here, which proves nothing" if first == second else "differ here, which is no fault"
        pytest.skip(f"the bits {told}: {reason}; pytest --device cpu tests/test_determinism.py")
    if not stack.on_gpu():  # one thread of a CPU: equal machines have to agree, and `cnnspec report` compares them
        record_property("digest", {f"{model}, {OF[model]} with seed 0": first})
    subject, next_step = f"{model}: SHA-256 of kernels that are drawn, and of an output with dropout", NEXT
    if model == TRAINED:
        subject = f"{model}: SHA-256 of weights and losses of a second training, by the harness"
        next_step += "; if only this model differs, compare cnnspec/pipeline.py with how this Keras reads arrays"
    checks.equal(subject, first, second, source="the first process, with the same seed", next=next_step)


def path_taken(digests, reason):
    """A line for the verdict: what was trained twice, on which device, by which path, and what could not be asked for."""
    paths = " and ".join(dict.fromkeys(digests[name]["path"] for name in PROCESSES))
    return f"determinism: {paths} on {digests['first']['device']}" + (f"; {reason}" if reason else "")


def test_without_a_seed_processes_differ(digests):
    """Two processes that set no seed draw other numbers: the runs of an ensemble would otherwise be one run."""
    same = digests["first"][UNSEEDED] == digests["second"][UNSEEDED]
    checks.equal(
        "two processes that set no seed draw the same kernel and the same numbers of NumPy",
        False,
        same,
        source="generators that start from the system's randomness",
        next="look for what seeds Python's or NumPy's generator when the framework is imported",
    )


def test_another_seed_differs(digests):
    """Seed 1 gives other weights to start with than seed 0. That it gives another order, tests/test_stochastic.py tests."""
    first, second = digests["second"][SEEDS]
    checks.equal(
        f"{DRAWN}: seeds 0 and 1 give the same weights to start with",
        False,
        first == second,
        source="the two different seeds",
        next="look at seed_everything in cnnspec/compat.py",
    )
