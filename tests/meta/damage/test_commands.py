"""Is nothing lost where two real commands write to one place at once, nor where one of them is killed?

`pytest tests/meta/damage/test_commands.py -m kills`. Asked for, because every command trains whole models: six minutes.
"""

import csv
import os
import re
import subprocess
import sys
import time

import pytest

from cnnspec import files
from cnnspec.ensembles import store
from cnnspec.facts import reading
from cnnspec.names import MODELS
from tests.meta.copies import copy_project
from tests.meta.damage.writers import left_over
from tests.support import snapshots

pytestmark = pytest.mark.kills
SECONDS = 600  # that a command may take


@pytest.fixture
def started():
    """Starts a command of Python in a folder, whose output goes to a file; at the end of the test it is ended."""
    processes = []

    def start(folder, output, *words):
        variables = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(folder)}
        with output.open("wb") as told:
            command = [sys.executable, "-m", *words]
            process = subprocess.Popen(command, cwd=folder, env=variables, stdout=told, stderr=subprocess.STDOUT)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def ended(process, output):
    """The exit code 0 is due; the end of what was printed tells why it is another."""
    assert process.wait(SECONDS) == 0, output.read_text(encoding="utf-8", errors="replace")[-3000:]


def wait_until(process, holds, pause=0.001):
    """Wait until something holds, or a process has ended."""
    until = time.monotonic() + SECONDS
    while process.poll() is None and not holds():
        assert time.monotonic() < until
        time.sleep(pause)


@pytest.mark.parametrize("kill", [False, True], ids=["both end", "one is killed"])
def test_two_calibrations(tmp_path, started, kill):
    """Each run is stored once, and every run that was told is stored, also that of one killed after its first run."""
    outputs = [tmp_path / "first.txt", tmp_path / "second.txt"]
    words = ["--out", str(tmp_path / "ensemble"), "--models", "model2", "--runs", "2", "--epochs", "1"]
    first, second = (started(reading.PROJECT, output, "cnnspec", "calibrate", *words) for output in outputs)
    if kill:
        wait_until(first, lambda: told(outputs[0]), pause=0.02)
        first.kill()
        assert first.wait() == -9
    else:
        ended(first, outputs[0])
    ended(second, outputs[1])
    path = tmp_path / "ensemble" / "model2.csv"
    with path.open(encoding="utf-8", newline="") as file:
        stored = [row["seed"] for row in csv.DictReader(file)]
    print(f"calibrate: told {[told(output) for output in outputs]}, stored {stored}")
    assert sorted(stored) == ["0", "1"]
    assert set(told(outputs[0])) <= set(stored)
    assert told(outputs[1])
    assert len(store.read(path, "mnist5k")) == 2
    assert left_over(path.parent) == []


def told(output):
    """The seeds whose runs a calibration has told as stored."""
    return re.findall(
        r"^\[\d+/\d+\] model2 seed (\d+): ", output.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
    )


@pytest.fixture
def project(tmp_path):
    """A copy of the project without its history, whose stored results table is another one."""
    copy_project(tmp_path)
    path = table_of(tmp_path)
    path.write_text(re.sub(r"(?m)^Test Loss,[\d.]+", "Test Loss,0.5", path.read_text(encoding="utf-8")), encoding="utf-8")
    return tmp_path


def table_of(project):
    """The stored results table after one epoch."""
    return project / "baselines" / "snapshots" / "mnist5k-1-epochs" / "test_results_table.csv"


@pytest.mark.parametrize("kill", [None, "while it trains", "while it writes"])
def test_two_updates_of_the_snapshot(project, started, kill):
    """At every moment the stored table is the old one or a whole new one; in the end it is new, and nothing is left."""
    path, outputs = table_of(project), [project / "first.txt", project / "second.txt"]
    old, seen = path.read_bytes(), set()
    words = ["pytest", "-p", "no:cacheprovider", "tests/test_results.py", "--epochs", "1", "--snapshot-update"]
    first, second = (started(project, output, *words) for output in outputs)
    part = f"{files.hidden(path)}{first.pid}-"

    def at_the_point():
        seen.add(path.read_bytes())
        if kill == "while it trains":
            return b"model3 on mnist5k with seed" in outputs[0].read_bytes()
        return kill == "while it writes" and any(name.startswith(part) for name in os.listdir(path.parent))

    if kill == "while it writes":  # a file is there for less than a millisecond: looked for without a pause
        wait_until(first, lambda: b"model4 on mnist5k with seed" in outputs[0].read_bytes(), pause=0.02)
    wait_until(first, at_the_point, pause=0 if kill == "while it writes" else 0.001)
    if kill:
        first.kill()
        first.wait()
    else:
        ended(first, outputs[0])
    left = left_over(path.parent)
    wait_until(second, lambda: seen.add(path.read_bytes()))
    ended(second, outputs[1])
    new = path.read_bytes()
    print(
        f"--snapshot-update, killed {kill}: exit code {first.returncode}, {len(seen)} tables seen, left by the kill: {left}"
    )
    assert first.returncode == (0 if kill is None else -9)
    for text in {new} | seen - {old}:
        check_whole(text)
    assert new != old
    assert left_over(path.parent) == []


def check_whole(text):
    """This is a table with its provenance, all models and both rows."""
    table = snapshots.stored_table(text.decode())
    assert text.startswith(b"# stack ")
    assert text.endswith(b"\n")
    assert list(table.columns) == list(MODELS)
    assert list(table.index) == ["Test Loss", "Train Loss"]
