"""Does whoever waits see what happens, also in a log and from the processes of xdist, and before the framework is there?"""

import io
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from cnnspec import commands, training
from cnnspec.ensembles import calibrate
from cnnspec.facts import reading
from tests.plugin import devices
from tests.support import progress


def test_the_first_line_comes_before_the_framework():
    """Pytest's first line of output says what takes so long; it comes in half of the time to the second, or earlier."""
    command = [sys.executable, "-u", "-m", "pytest", "-n0", "-p", "no:cacheprovider", "tests/test_stack.py"]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=reading.PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        first, at_first = run.stdout.readline(), time.perf_counter() - started
        run.stdout.readline()
        at_second = time.perf_counter() - started
        run.kill()
    assert first.strip() == devices.IMPORTING
    assert at_first < at_second / 2


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "two workers"])
def test_lines_of_a_training_are_seen(bare_project, workers):
    """A line that a test tells during a run appears although output is captured, once, and not behind the dots."""
    lines = [
        "from tests.support import progress",
        "def test_a(): pass",
        "def test_b(): progress.say('model9: epoch 1 of 3')",
    ]
    bare_project.makepyfile(test_data="\n".join(lines))
    ended = bare_project.runpytest_subprocess("-q", "-p", "no:benchmark", *workers)
    lines = [line for line in [*ended.outlines, *ended.errlines] if "model9" in line]
    assert lines == ["model9: epoch 1 of 3"]
    assert ended.ret in (0, 2)


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["one process", "two workers"])
def test_a_failure_is_told_when_it_happens(bare_project, workers):
    """By the name of the test and in one line, before the tests that come after it; once."""
    bare_project.makepyfile(test_data="def test_a(): assert 1 == 2, 'it is\\nnot so'\n" + "def test_b(): pass\n")
    ended = bare_project.runpytest_subprocess("-q", "-p", "no:benchmark", *workers)
    (line,) = (number for number, line in enumerate(ended.outlines) if line.startswith("failed: "))
    assert ended.outlines[line] == "failed: test_data.py::test_a: AssertionError: it is"
    assert line < next(number for number, line in enumerate(ended.outlines) if "100%" in line)


def test_nobody_is_told_outside_a_run():
    """The last listener hears a line; when it has gone, the one before it does."""
    heard, heard_inside = [], []
    gone, gone_inside = progress.told_to(heard.append), progress.told_to(heard_inside.append)
    progress.say("inside")
    gone_inside()
    progress.say("outside")
    gone()
    assert (heard, heard_inside) == (["outside"], ["inside"])


def test_an_epoch_tells_what_is_left():
    """After one of two epochs of two seconds, two seconds are left; after the last one nothing is said of it."""
    lines = []
    recorder = training.EpochRecorder("model1 on mnist5k", report=lines.append)
    recorder.set_model(SimpleNamespace(layers=[]))
    recorder.set_params({"epochs": 2})
    for epoch in range(2):
        recorder.on_epoch_begin(epoch)
        recorder._started -= 2
        recorder.on_epoch_end(epoch, {"loss": 0.5})
    assert lines == [
        "model1 on mnist5k: epoch 1 of 2, loss 0.5000, about 2 s left",
        "model1 on mnist5k: epoch 2 of 2, loss 0.5000",
    ]


TRAINING = """
import sys, time
print("a bar")
for epoch in range(1, 5):
    time.sleep(0.2)
    print(f"model9 on mnist with seed 0: epoch {epoch} of 4, loss 0.1, about 2 s left", flush=True)
print("no epoch 1 of 2 here", file=sys.stderr)
sys.exit(3)
"""


def test_calibrate_tells_epochs_now_and_then():
    """A line of an epoch is passed on when enough seconds have gone by, nothing else is; a failure keeps the last output."""
    command = [sys.executable, "-c", TRAINING]
    for every, numbers in ((0.0, [4]), (0.5, [1, 2, 3]), (60.0, [0])):
        lines = []
        code, output = calibrate.run_and_tell(command, lines.append, every)
        assert len(lines) in numbers
        assert all(line.startswith("  model9 on mnist with seed 0: epoch ") for line in lines)
        assert (code, output.splitlines()[0]) == (3, "a bar")
        assert output.endswith("no epoch 1 of 2 here\n")


def test_a_bar_or_lines():
    """A training shows Keras' bar on a terminal, and a line after each epoch in a log."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    assert commands.told_in(terminal) == {"verbose": 1}
    settings = commands.told_in(io.StringIO())
    assert settings["verbose"] == 0
    assert callable(settings["report"])
