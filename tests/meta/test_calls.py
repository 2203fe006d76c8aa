"""Do messages of an installed suite advise commands that work there, and those of a clone what works in a clone?"""

import re
import subprocess
import sys

import pytest

from cnnspec.calls import CLONE, PROJECT, as_called
from cnnspec.errors import DataError

CALLED = {  # in a clone -> in an installation
    "then: pytest tests/test_data.py": "then: cnnspec verify -- tests/test_data.py",
    "run pytest tests/test_a.py tests/test_b.py: the": "run cnnspec verify -- tests/test_a.py tests/test_b.py: the",
    "pytest --dataset mnist --runs 5; then": "cnnspec verify -- --dataset mnist --runs 5; then",
    "`pytest` without arguments runs all": "`cnnspec verify` without arguments runs all",
    "then run pytest: its tiers": "then run cnnspec verify: its tiers",
    "run pytest, which writes one: python -m cnnspec report": "run cnnspec verify, which writes one: cnnspec report",
    "python -m cnnspec calibrate --models model1 --out mine": "cnnspec calibrate --models model1 --out mine",
    "python -m cnnspec calibrate --out baselines/a": f"{CLONE}python -m cnnspec calibrate --out baselines/a",
    f"python -m cnnspec paired --out {PROJECT}/baselines/paired": f"{CLONE}python -m cnnspec paired --out baselines/paired",
    "pytest tests/test_a.py --epochs 1 --snapshot-update": f"{CLONE}pytest tests/test_a.py --epochs 1 --snapshot-update",
    "pytest tests -m cluster": f"{CLONE}pytest tests -m cluster",
    "store it: tox run -e bench-update": f"store it: {CLONE}tox run -e bench-update",
    "make it: python -m tests.meta.faults.run": f"make it: {CLONE}python -m tests.meta.faults.run",
    "pytest's own folder, and cnnspec/mnist.py": "pytest's own folder, and cnnspec/mnist.py",
}


@pytest.mark.parametrize(("written", "called"), CALLED.items(), ids=CALLED)
def test_commands_are_those_that_work(written, called):
    """Each is translated in an installation, once; in a clone it stays."""
    assert as_called(written, installed=True) == called
    assert as_called(called, installed=True) == called
    assert as_called(written, installed=False) == written


def test_every_advice_of_the_suite_is_translated():
    """No text of the tests or the package, as an installation says it, keeps a command that only a clone has."""
    left = []
    for folder in ("tests", "cnnspec"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            texts = re.findall(r'"([^"\n]*(?:pytest |tox run|python -m cnnspec)[^"\n]*)"', path.read_text(encoding="utf-8"))
            for text in [] if "meta" in path.parts or path.name == "calls.py" else texts:
                text = as_called(text, installed=True)
                left += re.findall(rf"(?<!{CLONE})(?:\bpytest (?:tests\b|-)|tox run|python -m cnnspec).*", text)
    assert left == []


def test_errors_are_translated():
    """Every error of the project says what works where it is raised."""
    code = "import cnnspec.calls as calls; calls.as_called.__defaults__ = (True,); from cnnspec.errors import DataError; "
    code += "print(DataError('then: pytest tests/test_data.py'))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ended.stdout == "then: cnnspec verify -- tests/test_data.py\n"
    assert str(DataError("then: pytest tests/test_data.py")) == "then: pytest tests/test_data.py"
