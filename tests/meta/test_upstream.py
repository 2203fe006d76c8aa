"""Do the scripts of docs/upstream/, written for the developers of other projects, run and show what is said there?"""

import ast
import re
import subprocess
import sys

import pytest

from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.facts import reading
from tests.support.known_differences import SHUFFLED_BY_EPOCH

REPORTS = sorted((reading.PROJECT / "docs" / "upstream").glob("*.md"))
PARTS = ["Summary", "Versions", "To reproduce", "Expected", "Obtained", "Cause"]
SHUFFLE = (reading.PROJECT / "docs" / "upstream" / "constant-shuffle.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.stem)
def test_reports_have_their_parts(report):
    """Each report has what a developer asks for, in order, and one script."""
    text = report.read_text(encoding="utf-8")
    assert [part for part in re.findall(r"^## (.*)$", text, re.MULTILINE) if part in PARTS] == PARTS
    assert text.count("```python\n") == 1


def orders(text):
    """{seed: the orders of three epochs} in lines of the script's output."""
    rows = re.findall(r"^(None|\d+) (\[.*\])$", text, re.MULTILINE)
    return {seed: [ast.literal_eval(order) for order in re.findall(r"\[[^]]*\]", line)] for seed, line in rows}


def block(part):
    """The first block of a part of the report."""
    return re.search(rf"^## {part}$.*?^```(?:python)?\n(.*?)^```", SHUFFLE, re.MULTILINE | re.DOTALL).group(1)


def constant(shown):
    """Whether all epochs of all seeds have one order."""
    return len({tuple(order) for epochs in shown.values() for order in epochs}) == 1


@pytest.mark.skipif(
    backend() != "tensorflow" or KERAS_VERSION < (3, 0), reason="the script is about Keras 3 on TensorFlow: tox run -e py312"
)
def test_the_script_of_the_shuffle_shows_it():
    """What it prints here is constant on the versions that are said to have the defect, and on no others."""
    ended = subprocess.run([sys.executable, "-c", block("To reproduce")], capture_output=True, text=True, timeout=300)
    shown = orders(ended.stdout)
    assert [sorted(order) for epochs in shown.values() for order in epochs] == [list(range(8))] * 9, ended.stderr[-2000:]
    assert constant(shown) == SHUFFLED_BY_EPOCH


def test_the_report_of_the_shuffle_shows_it():
    """Of the two outputs in the report one is constant and the other is not."""
    assert constant(orders(block("Obtained")))
    assert not constant(orders(block("Expected")))
