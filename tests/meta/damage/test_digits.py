"""Is every damaged file of digits refused in one line that says what to do, or read as the same digits?

`pytest tests/meta/damage -m damage` tries a thousand damages of each form.
"""

import collections
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="Hypothesis makes the damaged files: python -m pip install -e .[dev]")

from hypothesis import given, settings

from cnnspec.errors import DataError
from cnnspec.facts import reading
from tests.meta.damage import digit_damages, digits
from tests.meta.damage.damages import EQUAL, REFUSED
from tests.meta.damage.test_limits import LOOPS, MIB, loop
from tests.meta.damage.test_readers import FEW, MANY

SOUND = {
    "npz": {"mnist.npz": digits.npz(digits.members())},
    "IDX": digits.idx(),
    "IDX, gzipped": digits.idx(compressed=True),
}


def ended(folder, damage):
    """What became of damaged digits: refused or read. Fails where that is wrong."""
    path = digits.put(folder, damage.files)
    try:
        arrays = digits.read(path)
    except DataError as error:
        message = str(error)
        assert message.startswith(str(path)), message
        assert "; " in message, message
        assert message.isprintable(), message
        assert len(message) < len(str(path)) * 3 + 500, message
        assert damage.fate != EQUAL, message
        return REFUSED
    same(arrays)
    assert damage.fate != REFUSED, "read in silence"
    return "read"


def same(arrays):
    """These are the made-up digits."""
    assert list(arrays) == list(digits.ARRAYS)
    for name, array in digits.ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


@pytest.mark.parametrize("form", SOUND)
def test_sound_digits_are_read(tmp_path, form):
    """The digits that the damages begin with are read as NumPy made them."""
    same(digits.read(digits.put(tmp_path / "digits", SOUND[form])))


def tried(folder, form, how):
    """{how it ended: number of damages} of one form."""
    counts = collections.Counter()

    @settings(how)
    @given(digit_damages.FORMS[form])
    def every(damage):
        counts[ended(folder, damage)] += 1

    every()
    print(f"{form}: {dict(counts)}")
    return counts


@pytest.mark.parametrize("form", SOUND)
def test_damaged_digits(tmp_path, form):
    """Some damages of every form, of which some are refused and some do no harm."""
    counts = tried(tmp_path / "digits", form, FEW)
    assert min(counts[REFUSED], counts["read"]) > 0


@pytest.mark.damage
@pytest.mark.parametrize("form", SOUND)
def test_many_damaged_digits(tmp_path, form):
    """A thousand, drawn anew in each run."""
    counts = tried(tmp_path / "digits", form, MANY)
    assert min(counts[REFUSED], counts["read"]) > 0


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """[(name of a large file, how it ended, seconds, MiB)], measured in a process of its own."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not tell the peak memory of a process: run it on Linux")
    command = [sys.executable, "-W", "ignore", "-m", "tests.meta.damage.large_digits", str(tmp_path_factory.mktemp("large"))]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]


@pytest.mark.parametrize(("place", "most", "unit"), [(2, LOOPS, "loops"), (3, MIB, "MiB")], ids=["seconds", "memory"])
def test_large_digits_are_cheap(measured, place, most, unit):
    """A megabyte of every form, which promises or unpacks to gigabytes, or is of very many parts, is refused."""
    assert [ended for _, ended, *_ in measured] == [REFUSED] * len(measured)
    assert len(measured) >= 12
    worst = max(measured, key=lambda each: each[place])
    cost = worst[place] / (loop() if unit == "loops" else 1)
    print(f"at most {cost:.2f} {unit}: {worst[0]}, of {len(measured)}")
    assert cost <= most, f"{cost:.1f} {unit}: {worst}"
