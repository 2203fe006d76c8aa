"""Does tests/test_lockstep.py see each defect of `fit`, and name its cause? Asked for by `pytest tests -m faults`."""

import pytest

from cnnspec import pipeline
from cnnspec.facts import reading
from tests.meta.faults.fit_faults import FIT_FAULTS
from tests.meta.faults.test_faults import suite


@pytest.mark.faults
@pytest.mark.skipif(
    not pipeline.available(), reason="these defects are put into Keras 3.15 on TensorFlow: tox run -e faults"
)
@pytest.mark.parametrize("fault", FIT_FAULTS)
def test_a_defect_of_fit_is_seen_and_named(fault, tmp_path):
    """The lockstep tier turns red, and a message says what the defect looks like."""
    options = ["-q", "-p", "tests.meta.faults.fit_faults", "--report", str(tmp_path / "report.json")]
    code, output = suite(reading.PROJECT, *options, "tests/test_lockstep.py", FAULT=fault)
    assert code == 1, output[-3000:]
    assert FIT_FAULTS[fault][1] in output
