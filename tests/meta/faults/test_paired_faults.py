"""Do the tiers see each defect of a training, run anew? Asked for by `pytest -m faults`; stored runs need no training."""

import re

import pytest

from cnnspec import pipeline
from cnnspec.facts import reading
from tests.meta.faults.paired_faults import ABSENT, PAIRED_FAULTS
from tests.meta.faults.test_faults import suite

# What a paired training cannot have is another tier's; dropout's and Glorot's are the free training's and stochastic's.
ELSEWHERE = {"repeated order": "tests/test_stochastic.py", "no shuffle": "tests/test_stochastic.py"}
CASES = {fault: "tests/test_paired.py" for fault in PAIRED_FAULTS if fault not in ABSENT} | ELSEWHERE


@pytest.mark.faults
@pytest.mark.skipif(
    not pipeline.available(), reason="these defects are put into Keras 3.15 on TensorFlow: tox run -e faults"
)
@pytest.mark.parametrize(("fault", "module"), CASES.items(), ids=CASES)
def test_a_defect_of_a_training_is_seen(fault, module, tmp_path):
    """The tier turns red; of paired trainings model2 is enough."""
    which = ["-k", "model2"] if module == "tests/test_paired.py" else ["-k", "shuffling"]
    options = ["-q", "-p", "tests.meta.faults.paired_faults", "--report", str(tmp_path / "report.json"), *which]
    code, output = suite(reading.PROJECT, *options, module, FAULT=fault)
    failed = re.findall(r"^FAILED (\S+)", output, flags=re.MULTILINE)
    assert code == 1, output[-3000:]
    assert failed, output[-3000:]
