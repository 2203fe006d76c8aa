"""Do the scripts of docs/upstream/, written for the developers of other projects, run and show what is said there?"""

import ast
import re
import subprocess
import sys

import pytest
from packaging.version import Version

from cnnspec import stack
from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.facts import reading
from tests.support.known_differences import KERAS, SHUFFLED_BY_EPOCH, ZEROS

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


def block(part, text=SHUFFLE):
    """The first block of a part of a report."""
    return re.search(rf"^## {part}$.*?^```(?:python)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL).group(1)


def report(name):
    """The text of a report."""
    return (reading.PROJECT / "docs" / "upstream" / f"{name}.md").read_text(encoding="utf-8")


def shown_by_the_script(name):
    """What the script of a report prints here, line by line."""
    command = [sys.executable, "-c", block("To reproduce", report(name))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.stdout, ended.stderr[-2000:]
    return ended.stdout.splitlines()


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


def losses(lines):
    """{shape of a batch: (loss by fit, loss by evaluate)} in lines of the script about zeros."""
    rows = [re.fullmatch(r"\((.*)\) fit (.*) evaluate (.*)", line) for line in lines]
    return {row[1]: (float(row[2]), float(row[3])) for row in rows}


TRUE = {"None, 1": (1.0, 1.0), "2, 1": (1.0, 1.0)}
WITH_ZEROS = {**TRUE, "2, 1": (0.75, 0.75)}


@pytest.mark.skipif(backend() != "tensorflow", reason="tf.data is TensorFlow's: tox run -e py312")
def test_the_script_of_the_zeros_shows_it():
    """A fourth batch of zeros is counted on the versions that are said to do so, and on no others."""
    assert losses(shown_by_the_script("batch-of-zeros")) == (WITH_ZEROS if ZEROS else TRUE)


def test_the_report_of_the_zeros_shows_it():
    """Of the two outputs in the report one has the true losses and the other three quarters."""
    text = report("batch-of-zeros")
    assert losses(block("Expected", text).splitlines()) == TRUE
    assert losses(block("Obtained", text).splitlines()) == WITH_ZEROS


def slots(lines):
    """{file: (whether the optimizer has variables that are no scalars, whether fit goes on)} by the script about .h5."""
    rows = [re.fullmatch(r"(\S+) (\[.*\]) fit: (.*)", line) for line in lines]
    return {row[1]: (any(ast.literal_eval(row[2])), row[3] == "goes on") for row in rows}


KEPT = {"model.keras": (True, True), "model.h5": (True, True)}
LOST = {**KEPT, "model.h5": (False, False)}


@pytest.mark.skipif(
    Version("3.0") <= KERAS < Version("3.0.2"), reason="this Keras has other defects of loading: tox run -e py312"
)
def test_the_script_of_the_slots_shows_it():
    """Slots are lost, and fit raises, on the versions that are said to do so, and on no others."""
    assert slots(shown_by_the_script("h5-without-slots")) == (LOST if Version("3.0") <= KERAS else KEPT)


def test_the_report_of_the_slots_shows_it():
    """Of the two outputs in the report one has the slots from both files and the other not."""
    text = report("h5-without-slots")
    assert slots(block("Expected", text).splitlines()) == KEPT
    assert slots(block("Obtained", text).splitlines()) == LOST


def right_of_20(lines):
    """[(whether the optimizer is on, whether gradients pass through an IdentityN, how many of 20 are right)]."""
    rows = [re.fullmatch(r"optimizer (on|off), gradients (.*): (\d+) of 20 right, \[.*\]", line) for line in lines]
    return [(row[1] == "on", row[2] == "by identity_n", int(row[3])) for row in rows]


@pytest.mark.skipif(
    backend() != "tensorflow" or stack.on_gpu(), reason="the script was measured with TensorFlow and a CPU: tox run -e py312"
)
def test_the_script_of_the_update_shows_it():
    """With gradients through an IdentityN and the optimizer on some steps are wrong, in every other way none."""
    shown = right_of_20(shown_by_the_script("update-before-read"))
    joined = (True, True)
    assert [row for row in shown if row[:2] != joined] == [(True, False, 20), (False, False, 20), (False, True, 20)]
    (right,) = (row[2] for row in shown if row[:2] == joined)
    assert right < 20, "no step was wrong: the defect may be gone; try again, then correct the report"


def test_the_report_of_the_update_shows_it():
    """The expected output has no wrong step, the obtained one all of one way."""
    text = report("update-before-read")
    assert {right for _, _, right in right_of_20(block("Expected", text).splitlines())} == {20}
    obtained = right_of_20(block("Obtained", text).splitlines())
    assert [right for _, _, right in obtained] == [20, 0, 20, 20]


def waits(part):
    """[(seconds of rows, seconds to end)] in the output that the report about the slow end has in a part."""
    rows = re.findall(r"^([\d.]+) s of rows, ([\d.]+) s to end$", block(part, report("slow-end-of-fit")), re.MULTILINE)
    return [(float(seconds), float(wait)) for seconds, wait in rows]


def test_the_report_of_the_slow_end_shows_it():
    """Expected are no waits; those that were obtained end where a period does, by the report's formula.

    The script is not run here: what it shows is seconds, and depends on what else the machine does.
    """
    periods = [0.01 * (2**k - 1) for k in range(12)]
    seconds = [row[0] for row in waits("Expected")]
    assert waits("Expected") == [(each, 0.0) for each in seconds]
    due = [(each, pytest.approx(min(end for end in periods if end > each) - each, abs=0.1)) for each in seconds]
    assert waits("Obtained") == due
    assert len(due) == 4
