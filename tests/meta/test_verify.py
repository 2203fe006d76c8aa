"""Does `cnnspec verify` end with the exit code that its run deserves, and never with 0 where nothing is known?

A project of a few fast tests with the conftest.py of this project takes the place of the suite.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec import __main__ as command_line
from cnnspec import verify
from cnnspec.facts import reading
from tests.plugin import verdict
from tests.plugin.verdict import TIERS

CONFIGURATION = '[tool.pytest]\ntestpaths = ["cases"]\naddopts = ["--import-mode=importlib"]\n'
# No framework is imported, and no process trains: the runs of the wheel in test_wheel.py do what users do.
MADE_UP = """

import sys
import types

from cnnspec import frameworks

FACTS = {"python": "3.12", "platform": "Linux", "keras": "3", "backend": "tensorflow", "framework": "tensorflow 2"}
FACTS |= {"numpy": "2", "device": "CPU", "cpu": "a CPU", "cores": 2, "memory_gib": 8, "precision": "float32"}

def module(name, **contents):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)

frameworks.require = lambda: None
module("cnnspec.stack", current=lambda: FACTS, describe=lambda facts: ["a stack"], require=lambda device: None)
module("tests.support.two_processes", judge_late=lambda items: None, start_early=lambda session: None)
"""
FINE = "def test_fine(): pass\n"
UNDECIDED = """
def test_band(record_property):
    check = {"model": "model1", "quantity": "test errors", "used": 0.5, "conclusive": False, "text": ""}
    record_property("check", check)
    raise AssertionError("too few runs")
"""
# A process that was started in the background ignores SIGINT, and so do those that it starts.
INTERRUPTED = """
import os, signal

def test_stop():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)
"""
CASES = {  # what one module of the suite does, arguments of pytest -> exit code, verdict, part of the reason
    "all passed": (FINE, [], 0, "pass", None),
    "one failed": (
        "def test_wrong(): assert 1 == 2, 'wrong'",
        [],
        1,
        "fail",
        "test_saving.py::test_wrong: AssertionError: wr",
    ),
    "a module cannot be imported": ("import nothing_of_that_name", [], 1, "fail", "No module named 'nothing_of_that_name'"),
    "too few runs": (UNDECIDED, [], 2, "cannot tell", "test_saving.py::test_band: AssertionError: too few runs"),
    "all of a tier skipped": (
        "import pytest\n\n@pytest.mark.skip(reason='no')\ndef test_left(): pass",
        [],
        2,
        "no verdict",
        f"in 1 of {len(TIERS)} tiers no test passed, the first is saving",
    ),
    "some left out": (FINE + "def test_other(): pass", ["-k", "not other"], 2, "no verdict", "test_other: deselected by"),
    "nothing selected": (FINE, ["-k", "nothing"], 2, "no verdict", "deselected by"),
    "a wrong argument": (FINE, ["--nothing"], 2, "no verdict", "pytest refused its arguments"),
    "interrupted": (
        INTERRUPTED,
        [],
        2,
        "no verdict",
        "the run ended before this test",
    ),
    "crashed": ("import os\ndef test_crash(): os.abort()", [], 2, "no verdict", "it was ended by SIGABRT"),
    "ended by the framework": ("import os\ndef test_exit(): os._exit(0)", [], 2, "no verdict", "exit code 0"),
}


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A function that writes a suite whose module test_saving.py is given, and that `cnnspec verify` then runs."""
    project = tmp_path / "suite"
    (project / "cases").mkdir(parents=True)
    (project / "pyproject.toml").write_text(CONFIGURATION, encoding="utf-8")
    conftest = (reading.PROJECT / "conftest.py").read_text(encoding="utf-8")
    (project / "conftest.py").write_text(conftest + MADE_UP, encoding="utf-8")
    monkeypatch.setattr(verify, "PROJECT", project)
    monkeypatch.setenv("PYTHONPATH", str(reading.PROJECT))
    monkeypatch.delenv("TOX_ENV_NAME", raising=False)
    monkeypatch.chdir(tmp_path)

    def write(saving):
        for module in TIERS:
            (project / "cases" / f"{module}.py").write_text(saving if module == "test_saving" else FINE, encoding="utf-8")
        return project

    return write


@pytest.mark.parametrize(("body", "arguments", "code", "found", "reason"), CASES.values(), ids=CASES)
def test_exit_codes(suite, tmp_path, capfd, body, arguments, code, found, reason):
    """Pass, fail and no verdict are 0, 1 and 2; stdout is one line of JSON; nothing is written into the suite."""
    project = suite(body)
    before = sorted(project.rglob("*"))
    assert command_line.main(["verify", "--out", str(tmp_path / "out"), "--json", "--", *arguments]) == code
    output = capfd.readouterr().out
    assert output.count("\n") == 1
    told = json.loads(output)
    assert list(told) == ["exit_code", *verify.FIELDS]
    assert (told["exit_code"], told["verdict"], told["level"]) == (code, found, "default")
    assert told["reason"] is None if reason is None else reason in told["reason"]
    if told["report"]:
        assert json.loads((tmp_path / "out" / "reports" / told["report"]).read_text(encoding="utf-8"))["verdict"] == found
    assert sorted(project.rglob("*")) == before


def test_words_for_people(suite, capfd):
    """Without --json the last line has verdict, exit code and reason; reports lie in the working folder."""
    suite("def test_wrong(): assert 1 == 2, 'wrong'")
    assert command_line.main(["verify"]) == 1
    output = capfd.readouterr().out
    assert "FAIL: 1 check failed" in output
    assert output.splitlines()[-1].startswith("fail (exit code 1): cases/test_saving.py::test_wrong: AssertionError: wrong")
    assert [path.name for path in sorted((Path.cwd() / "reports").iterdir())] != []


def test_sigterm_ends_both(suite, tmp_path):
    """A scheduler that ends the command ends the suite too, gets exit code 2, and the report of what ran, as of a part."""
    suite(
        f"""
import pathlib, time

def test_long():
    pathlib.Path({str(tmp_path / "started")!r}).touch()
    time.sleep(60)
"""
    )
    code = (
        "import pathlib, sys; from cnnspec import __main__, verify; "
        f"verify.PROJECT = pathlib.Path({str(verify.PROJECT)!r}); "
        "sys.exit(__main__.main(['verify', '--json', '--out', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for _ in range(600):
            if (tmp_path / "started").exists():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 2
    told = json.loads(output)
    assert (told["verdict"], Path(told["report"]).parent.name) == ("no verdict", "partial")
    assert "test_long (and 4 more): the run ended before this test: it was interrupted" in told["reason"]
    assert list((tmp_path / "out" / "reports").glob("*.json")) == []


def test_cannot_tell_is_exit_code_2_of_pytest_too(suite, capfd):
    """Plain pytest ends with 2 where only ensembles are too small, with 1 where a check failed as well."""
    project = suite(UNDECIDED)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--report={project.parent / 'report.json'}",
        "cases",
    ]
    ended = subprocess.run([*command, "-q"], cwd=project, capture_output=True, text=True)
    assert verdict.UNKNOWN.format("1 check") in ended.stdout
    assert ended.returncode == 2
    suite(UNDECIDED + "def test_wrong(): assert 1 == 2")
    assert subprocess.run(command, cwd=project, capture_output=True).returncode == 1
