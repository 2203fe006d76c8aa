"""Does `cnnspec verify` hand its options to pytest, and judge what pytest ends with, without running the suite?"""

import argparse
import io
import json
import os
from pathlib import Path

import pytest

from cnnspec import __main__ as command_line
from cnnspec import verify
from cnnspec.errors import OutUnusable


@pytest.fixture
def no_suite(monkeypatch):
    """What runs the suite fails."""
    monkeypatch.setattr(verify, "run", lambda *arguments, **named: pytest.fail("the suite was run"))


def test_nothing_can_be_written(tmp_path, capfd, no_suite):
    """A file in the place of the folder: no verdict before anything runs, one line, and the option that helps."""
    (tmp_path / "file").touch()
    assert command_line.main(["verify", "--out", str(tmp_path / "file" / "in")]) == 2
    assert f"no verdict (exit code 2): nothing can be written to {tmp_path / 'file' / 'in'} (" in capfd.readouterr().out
    assert command_line.main(["bench", "--out", str(tmp_path / "file" / "in")]) == 2
    assert "name a folder for the report: --out DIR" in capfd.readouterr().err


@pytest.mark.parametrize("option", ["--snapshot-update", "--store-figures"])
def test_an_installed_baseline_is_not_moved(monkeypatch, capfd, no_suite, option):
    """From a wheel no baseline is changed; in a clone the option goes to pytest."""
    assert verify.own([option]) == [option]
    monkeypatch.setattr(verify, "INSTALLED", True)
    assert command_line.main(["verify", "--json", "--", option]) == 2
    assert f"{option} would change the installed package" in json.loads(capfd.readouterr().out)["reason"]
    with pytest.raises(OutUnusable, match=f"^{option}=all would change"):
        verify.own(["-x", f"{option}=all", "--snapshot-update"])
    assert verify.own(["-x"]) == ["-x"]


def test_options_reach_pytest(monkeypatch, tmp_path):
    """Level, device and ensembles are pytest's options; without them pytest's defaults hold; what follows -- comes last."""
    asked = []
    monkeypatch.setattr(
        verify, "run", lambda arguments, where, quiet=False: (asked.append((arguments, where)), (None, 0))[1]
    )
    command_line.main(["verify", "--out", str(tmp_path)])
    command_line.main(["verify", "--out", str(tmp_path), "--level", "quick", "--device", "cpu", "--ensembles", "own"])
    command_line.main(["verify", "--out", str(tmp_path), "--", "tests/test_exact.py::test_sum", "-x"])
    command_line.main(["bench", "--out", str(tmp_path)])
    kept = [f"--report={tmp_path / 'reports'}{os.sep}", f"--out={tmp_path / 'runs' / 'verify'}"]
    assert asked[0] == (kept, verify.places([]))
    assert asked[1][0] == [*kept, "--device=cpu", "--level=quick", f"--ensembles={Path.cwd() / 'own'}"]
    assert asked[2] == ([*kept, str(verify.PROJECT / "tests" / "test_exact.py::test_sum"), "-x"], [])
    assert asked[3][1] == [str(verify.PROJECT / "tests" / "benchmarks" / "test_epochs.py")]
    assert "--benchmark-enable" in asked[3][0]


def test_the_number_of_replicas_reaches_pytest(monkeypatch, tmp_path):
    """Where it is given."""
    asked = []
    monkeypatch.setattr(verify, "run", lambda arguments, where, quiet: (asked.extend(arguments), (None, 0))[1])
    command_line.main(["verify", "--out", str(tmp_path), "--replicas", "2"])
    assert asked[-1] == "--replicas=2"


def test_with_json_pytest_writes_to_stderr(monkeypatch, tmp_path):
    """Stdout is then for the line of JSON alone."""
    asked = []
    monkeypatch.setattr(verify, "run", lambda arguments, where, quiet: (asked.append(quiet), (None, 0))[1])
    command_line.main(["verify", "--out", str(tmp_path)])
    command_line.main(["verify", "--out", str(tmp_path), "--json"])
    assert asked == [False, True]


def test_what_is_not_asked_to_be_quiet_writes_to_stdout(monkeypatch):
    """The suite has the command's own stdout, or its stderr in the place of it."""
    opened = []

    class Ended:
        def __init__(self, command, env, stdout):
            opened.append(stdout)

        def wait(self):
            return 4

    monkeypatch.setattr(verify.subprocess, "Popen", Ended)
    assert verify.run([], []) == (None, 4)
    assert verify.run([], [], quiet=True) == (None, 4)
    assert opened == [None, 2]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (2, 2), (5, 2), (-6, 2)])
def test_the_exit_code_of_bench(monkeypatch, tmp_path, code, expected):
    """0 and 1 are pytest's; every other means that nothing is known."""
    monkeypatch.setattr(verify, "run", lambda arguments, where: (None, code))
    assert command_line.main(["bench", "--out", str(tmp_path)]) == expected


def test_places_are_those_of_pytest():
    """Without a place the suite is what pytest's own configuration names, and it exists."""
    found = verify.places(["-k", "stack"])
    assert found
    assert all(Path(place).exists() for place in found)
    assert verify.places([str(verify.PROJECT / "tests" / "test_stack.py")]) == []
    elsewhere = ["tests/nothing.py", "--mnist=tests/x", "README.md"]
    assert verify.own(elsewhere) == elsewhere


CODES = {  # outcome, exit code of pytest -> exit code of verify
    "pass": ("pass", 0, 0),
    "pass, but a test elsewhere failed": ("pass", 1, 1),
    "pass, but pytest broke afterwards": ("pass", 3, 2),
    "fail": ("fail", 1, 1),
    "fail, then interrupted": ("fail", 2, 1),
    "in part": ("no verdict", 0, 2),
    "cannot tell": ("cannot tell", 2, 2),
    "a verdict of another name": ("perhaps", 0, 2),
    "no outcome": (None, 0, 2),
    "no outcome, failed": (None, 1, 2),
    "no outcome, killed": (None, -9, 2),
}


@pytest.mark.parametrize(("found", "code", "expected"), CODES.values(), ids=CODES)
def test_only_a_known_pass_is_0(found, code, expected):
    """0 takes a verdict `pass` and a pytest that ended with 0."""
    assert verify.judged(found and {"verdict": found, "reason": None}, code)[1] == expected


WHY = {  # exit code of pytest that left no outcome -> why
    0: "exit code 0",
    1: "pytest could not start",
    2: "it was interrupted",
    3: "pytest had an internal error",
    4: "pytest refused its arguments",
    5: "no test was selected",
    6: "exit code 6",
    -1: "it was ended by SIGHUP",
    -9: "it was ended by SIGKILL",
}


@pytest.mark.parametrize(("code", "words"), WHY.items())
def test_a_run_without_an_outcome_says_why(code, words):
    """Exit codes of pytest in words, and the names of signals."""
    told, _ = verify.judged(None, code)
    assert told == {
        "verdict": "no verdict",
        "reason": f"the suite ended without a verdict: {words}; its output says more",
    }


TOLD = {  # outcome -> what is told of it for people
    "a pass": ({"verdict": "pass", "stack": "a stack", "reason": None}, "\npass (exit code 2)\n"),
    "a reason": ({"verdict": "fail", "stack": "a stack", "reason": "wrong"}, "\nfail (exit code 2): wrong\n"),
    "no stack is known": ({"verdict": "no verdict", "reason": "killed"}, "\nno verdict (exit code 2): killed\n"),
    "pytest has told it": ({"verdict": "no verdict", "stack": None, "reason": "no framework"}, ""),
}


@pytest.mark.parametrize(("outcome", "words"), TOLD.values(), ids=TOLD)
def test_an_outcome_is_told_once(capsys, outcome, words):
    """In words for people, but for what a run that ended before its first test has told; as JSON with every field."""
    options = argparse.Namespace(json=False, level=None)
    assert verify.concluded(options, outcome, 2) == 2
    assert capsys.readouterr().out == words
    for level in (None, "full"):
        options = argparse.Namespace(json=True, level=level)
        assert verify.concluded(options, outcome, 2) == 2
        due = {"exit_code": 2, **dict.fromkeys(verify.FIELDS), "level": level or "default", **outcome}
        assert json.loads(capsys.readouterr().out) == due


def test_the_verdict_is_written_at_once(monkeypatch):
    """A program that reads the output has the last line before the command ends."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written))
    verify.concluded(argparse.Namespace(json=False), verify.nothing("killed"), 2)
    assert written.getvalue() == b"\nno verdict (exit code 2): killed\n"


def test_an_interruption_is_waited_through():
    """Ctrl-C reaches the suite too, which then writes its report; its exit code is returned."""

    class Interrupted:
        waits = 0

        def wait(self):
            self.waits += 1
            if self.waits < 3:
                raise KeyboardInterrupt
            return 2

    assert verify.ended(Interrupted()) == 2


def test_the_folder_is_made(tmp_path, monkeypatch):
    """With the folders above it; one that is there will do; without one it is the working folder. Nothing is left in it."""
    for _ in range(2):
        assert verify.writable(tmp_path / "new" / "and" / "newer") == tmp_path / "new" / "and" / "newer"
    monkeypatch.chdir(tmp_path)
    assert verify.writable(None) == tmp_path
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "and", "newer"]


def test_places_of_modules_are_absolute():
    """A relative PYTHONPATH still leads there from the folder of the suite; its processes find their modules."""
    found = verify.environment({"PYTHONPATH": f"lib{os.pathsep}/opt", "PYTHONSAFEPATH": "1", "HOME": "/h"})
    assert found["PYTHONPATH"].split(os.pathsep) == [os.path.abspath("lib"), "/opt"]
    assert "PYTHONSAFEPATH" not in found
    assert found["PYTHONDONTWRITEBYTECODE"] == "1"
    assert found["HOME"] == "/h"
    assert verify.environment({"PYTHONPATH": ""})["PYTHONPATH"] == ""
