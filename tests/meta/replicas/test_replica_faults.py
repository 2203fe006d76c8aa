"""Do faults in a framework's own replicas turn the tier red, and does the message name the cause? Asked for: -m faults.

Two processes or two parts of the CPU train for each fault, as `pytest --replicas 2` lets them.
"""

import numpy as np
import pytest

from cnnspec.compat import KERAS_VERSION
from cnnspec.facts import reading
from tests.meta.replicas import faulty_worker
from tests.support.replicas import judged, processes, setting, worker

CAUSES = {
    "wrong count": "the sum over the replicas is divided by 1 instead of 2",
    "dropped": "replica 2 is not in the sum",
    "shifted": "replica 2 computed with its images shifted by 1 against their labels",
}
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(KERAS_VERSION < (3, 0), reason="the faults are put into Keras 3: tox run -e py312"),
]


def computed(monkeypatch, folder, fault):
    """What replicas with a fault computed."""
    monkeypatch.setattr(processes, "MODULE", faulty_worker.__name__)
    monkeypatch.setenv("FAULT", fault)
    found = processes.run(2, folder)
    assert list(found["images"]) == [64, 64]
    return found


@pytest.mark.parametrize("fault", CAUSES)
def test_a_fault_is_named(monkeypatch, tmp_path, fault):
    """The step fails, one device alone is right, and the cause is the fault."""
    found = computed(monkeypatch, tmp_path, fault)
    obtained, alone = (processes.numbers(found, "a step", who) for who in (worker.ALL, worker.ONE))
    with pytest.raises(pytest.fail.Exception) as failed:
        judged.step("a step", 2, obtained, alone, reading.tolerance("replicas"))
    assert f"cause: {CAUSES[fault]}" in str(failed.value)
    assert "one device: right" in str(failed.value)


def test_a_nan_that_is_swallowed(monkeypatch, tmp_path):
    """The gradients are finite where one replica's are NaN: the message says that the sum lost it."""
    found = computed(monkeypatch, tmp_path, "NaN swallowed")
    name = next(name for name, step in setting.STEPS.items() if step.nan)
    obtained, alone = (processes.numbers(found, name, who) for who in (worker.ALL, worker.ONE))
    assert np.isnan(alone.loss)
    with pytest.raises(pytest.fail.Exception, match="cause: the last replica's NaN is swallowed when replicas are added"):
        judged.nan(2, obtained, alone)
