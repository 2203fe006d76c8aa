"""Is a stack seen that hides NaN, loses state or saves wrongly, and is it named? Asked for by `pytest tests -m faults`."""

import re

import pytest

from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.facts import reading
from tests.meta.faults.state_faults import FAULTS
from tests.meta.faults.test_faults import suite


@pytest.mark.faults
@pytest.mark.skipif(
    KERAS_VERSION < (3, 0) or backend() != "tensorflow",
    reason="these defects are put into Keras 3 on TensorFlow; they are seen by tox run -e faults",
)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_state_is_seen_and_named(fault):
    """The module turns red, and its message says where."""
    _, module, message = FAULTS[fault]
    options = ["-q", "-p", "tests.meta.faults.state_faults"]
    code, output = suite(reading.PROJECT, *options, f"tests/{module}", FAULT=fault)
    assert code == 1, output[-3000:]
    failures = re.sub(r"^E +", "", output.split("FAILURES", 1)[-1], flags=re.MULTILINE)
    assert message in failures, output[-5000:]
    print(f"{fault} | {next(line for line in failures.splitlines() if message.strip() in line)[:300]}")
