"""Does the same seed on the same stack give the same weights, bit for bit?

Two fresh processes train at the same time, one thread each on a CPU: with several, TensorFlow adds up partial sums in the
order in which threads finish, and a model of many channels repeats only to about 1e-2 in single weights. On a GPU the
processes switch deterministic kernels on and say whether they are.
"""

import json

import pytest

from tests.support import checks
from tests.support.two_processes import HARNESSED, MODELS, PROCESSES, started

NEXT = "look for operations without a deterministic kernel: release notes of the framework, cuDNN, oneDNN"


@pytest.fixture(scope="module")
def digests():
    """What the two processes of `tests.support.two_processes` printed."""
    found = {}
    for name, process in started().items():
        output, errors = process.communicate(timeout=600)
        if process.returncode:
            checks.fail(
                f"the {name} process that repeats a training",
                errors.splitlines()[-5:],
                next="python -m tests.support.two_processes",
            )
        found[name] = json.loads(output.splitlines()[-1])
    return found


def test_deterministic_operations_are_on(digests):
    """The processes ran with deterministic operations, and asked the framework whether they are on."""
    for name in PROCESSES:
        checks.equal(
            f"{name} process: deterministic operations",
            True,
            digests[name]["deterministic"],
            source="tests/repetition.py",
            next=NEXT,
        )


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_repeats(digests, model):
    """After two epochs with shuffling and dropout, both processes hold the same weights and losses, bit for bit.

    HARNESSED is trained by Keras' own fit of arrays in one process, by the harness' batches and joined steps in the other.
    """
    first, second = (digests[name][model] for name in PROCESSES)
    subject, next_step = f"{model}: SHA-256 of weights and losses of a second training", NEXT
    if model == HARNESSED:
        subject += ", by the harness"
        next_step += "; where the other models repeat, compare cnnspec/pipeline.py with this Keras' adapter of arrays"
    checks.equal(subject, first, second, source="the first training, same seed", next=next_step)


def test_another_seed_differs(digests):
    """Seed 1 ends elsewhere than seed 0."""
    same = digests["second"][HARNESSED] == digests["second"]["another seed"]
    checks.equal(
        f"{HARNESSED}: seeds 0 and 1 end in the same weights",
        False,
        same,
        source="two seeds",
        next="look at seed_everything",
    )
