"""Do tests that share a model go to one process of `pytest -n 2`, and are no groups named for nothing?"""

import subprocess
import sys

import pytest

from cnnspec.facts import reading
from tests.plugin import workers

GROUPS = {
    "tests/test_numerics.py::test_layer_outputs[model3-inference-batch of 1]": "tests/test_numerics.py model3",
    "tests/test_numerics.py::test_saturated_softmax": "tests/test_numerics.py",
    "tests/test_exact.py::test_every_bit[model1 dense_2-XLA]": "tests/test_exact.py XLA",
    "tests/test_exact.py::test_shapes[odd shapes]": "tests/test_exact.py",
    "tests/test_lockstep.py::test_both_calls_agree": "tests/test_lockstep.py",
    "tests/test_lockstep.py::test_fit_against_float64[model2-fit of arrays]": "tests/test_lockstep.py",
}


@pytest.mark.parametrize(("test", "group"), GROUPS.items(), ids=GROUPS)
def test_groups(test, group):
    """Tests of one model, or of one mode, form a group; tests that use what all models share stay with their module."""
    assert workers.group_of(test) == group


def test_every_pattern_divides_its_module():
    """Each module that is named is divided into two groups or more."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    paths = [f"tests/{module}.py" for module in workers.APART]
    output = subprocess.run([*command, *paths], cwd=reading.PROJECT, capture_output=True, text=True, check=True).stdout
    groups = {workers.group_of(line) for line in output.splitlines() if "::" in line}
    assert [path for path in paths if sum(group.startswith(f"{path} ") for group in groups) < 2] == []
