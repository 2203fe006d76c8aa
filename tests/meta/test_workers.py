"""Do tests that share a model go to one process of `pytest -n 2`, and are no groups named for nothing?"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
    "tests/test_lockstep.py::test_every_sample_counts_once[fit of arrays-a batch of 1]": "tests/test_lockstep.py every",
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


REFUSED_HERE = """
import importlib.abc, os, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        asked_only = sys._getframe(1).f_code.co_name == "find_spec" or "look" in names_of(sys._getframe())
        if name in ("keras", "tensorflow", "jax", "torch") and "PYTEST_XDIST_WORKER" not in os.environ and not asked_only:
            raise ImportError(name + " in the process that hands out the tests")

def names_of(frame):
    while frame:
        yield frame.f_code.co_name
        frame = frame.f_back

sys.meta_path.insert(0, Refuse())
"""


def test_who_hands_out_the_tests_imports_no_framework(tmp_path):
    """Only the workers import it: a snapshot, the verdict and the report need what they tell, and no more."""
    (tmp_path / "sitecustomize.py").write_text(REFUSED_HERE, encoding="utf-8")
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", "--report", str(report)]
    ended = subprocess.run(
        [*command, "tests/test_architecture.py", "tests/test_training.py", "-k", "model2"],
        cwd=reading.PROJECT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{reading.PROJECT}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    stack = json.loads(report.read_text(encoding="utf-8"))["stack"]
    assert f"{stack['framework']}, Keras {stack['keras']}" in ended.stdout


def test_the_longest_trainings_come_first(monkeypatch):
    """In a worker; in one process the order is that of the models."""
    items = [
        SimpleNamespace(nodeid=f"tests/{module}.py::test_a[{model}]", path=Path(f"tests/{module}.py"))
        for module, model in (
            ("test_modes", "model4"),
            ("test_training", "model1"),
            ("test_training", "model2"),
            ("test_training", "model3"),
        )
    ]
    in_order = [item.nodeid for item in items]
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    workers.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == in_order
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    workers.pytest_collection_modifyitems(items)
    models = [item.nodeid.partition("[")[2].rstrip("]") for item in items]
    assert models == ["model4", "model3", "model1", "model2"]
