"""Does `python -m tests.meta.museum` say which exhibits are not as their rows say, go on where it ended, and keep results?

What installs and runs is made up.
"""

import os
import signal
from pathlib import Path

import pytest

from cnnspec.bisect.search import FAILS, PASSES
from cnnspec.facts import reading
from tests.meta.museum import __main__ as museum
from tests.meta.museum import exhibits
from tests.meta.reports.made_reports import ADAM, made

SUM = "tests/test_numerics.py::test_layer_outputs"
NAN = "tests/test_nonfinite.py::test_nan_reaches_the_output[Dense with relu]"
# The two share their healthy stack.
EXHIBITS = f"""
[wrong-sum]
issue = "https://example.org/1"
story = "it adds one"
tests = ["{SUM}"]
words = ["BatchNormalization", "is 0.14"]
ill = {{ beside = "tf216", with = ["keras==3.0.2"] }}
healthy = {{ beside = "tf216", variables = {{ SPELL = "on" }} }}

[lost-nan]
issue = "https://example.org/2"
story = "it loses NaN"
tests = ["{NAN}"]
words = ["drops NaN"]
ill = {{ beside = "torch", with = ["keras==3.0.4"] }}
healthy = {{ beside = "tf216", variables = {{ SPELL = "on" }} }}
"""
MESSAGES = {"wrong-sum": "layer 2 (BatchNormalization)\n  is 0.14", "lost-nan": "ReLU drops NaN"}
SIDES = [f"{name}-{which}" for name in MESSAGES for which in ("ill", "healthy")]
CASE = '<testcase classname="tests.test_some" file="{}" name="{}" time="1.5">{}</testcase>'


class World:
    """Environments that are made at once; what fails there, with which message, can be changed."""

    def __init__(self):
        self.messages = {f"{name}-ill": message for name, message in MESSAGES.items()}
        self.runs, self.variables, self.commands = [], [], []
        self.left = []  # environments that are there while one is used

    def call(self, words, log, environment):
        self.commands.append(words)
        if "venv" in words:
            Path(words[-1], "bin").mkdir(parents=True)
        if "install" in words or "venv" in words:
            return 0
        here = [
            (f"{each.name}-{which}", side.tests[0])
            for each in museum.exhibits()
            for which, side in each.sides.items()
            if side.stack.digest == log.stem and str(reading.PROJECT / side.tests[0]) in words
        ]
        self.runs.append([name for name, _ in here])
        self.variables.append(environment)
        self.left.append(len(list(log.parent.glob("environments/*"))))
        failed = [{"test": ADAM, "reason": "it failed"} for name, _ in here if self.messages.get(name)]
        made(failed=failed, verdict="fail" if failed else "no verdict").to_json(log.with_suffix(".json"))
        cases = []
        for name, test in here:
            message = self.messages.get(name)
            ended = f'<failure message="{message}">trace</failure>' if message else ""
            cases.append(CASE.format(*test.split("::"), ended))
        log.with_suffix(".xml").write_text(f"<testsuite>{''.join(cases)}</testsuite>", encoding="utf-8")
        return min(len(failed), 1)


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A World, two made-up exhibits, and a folder of stored results of their own."""
    stored = tmp_path / "stored"
    stored.mkdir()
    (stored / "exhibits.toml").write_text(EXHIBITS, encoding="utf-8")
    (stored / "README.md").write_text(f"before\n{museum.BEGIN}old\n{museum.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(museum, "exhibits", lambda: exhibits.exhibits(stored / "exhibits.toml"))
    monkeypatch.setattr(museum, "RESULTS", stored / "results.csv")
    monkeypatch.setattr(museum, "README", stored / "README.md")
    monkeypatch.setattr(museum, "interpreter", lambda wanted, version, uv: f"/python{version}")
    monkeypatch.setattr("shutil.which", lambda name: None)
    return World()


def run(world, tmp_path, *words):
    """(exit code, lines) of a visit of the museum."""
    lines = []
    code = museum.main([*words, "--out", str(tmp_path / "out")], world.call, lines.append)
    return code, lines


def test_every_exhibit_is_visited(world, tmp_path):
    """Each stack runs the tests of its sides, with its Python, backend, variables and pins, and is removed after it."""
    code, lines = run(world, tmp_path)
    assert code == 0
    assert lines[-1] == "2 of 2 exhibits are red for the documented reason and their neighbours green"
    assert world.runs == [["wrong-sum-ill"], ["wrong-sum-healthy", "lost-nan-healthy"], ["lost-nan-ill"]]
    assert [found.get("SPELL") for found in world.variables] == [None, "on", None]
    assert [found["KERAS_BACKEND"] for found in world.variables] == ["tensorflow", "tensorflow", "torch"]
    assert world.left == [1] * 3
    assert not list((tmp_path / "out" / "environments").iterdir())
    installs = [words for words in world.commands if "install" in words]
    assert "keras==3.0.2" in installs[0]
    assert "keras==3.3.3" in installs[1]
    pytest_words = [words for words in world.commands if "pytest" in words[:5]]
    assert {"--runxfail", str(reading.PROJECT / SUM)} <= set(pytest_words[0])
    assert str(reading.PROJECT / NAN) not in pytest_words[0]


def test_a_second_call_goes_on(world, tmp_path):
    """What is known is not run again, unless --again asks for it, or the row has changed."""
    run(world, tmp_path, "wrong-sum")
    assert world.runs == [["wrong-sum-ill"], ["wrong-sum-healthy"]]
    run(world, tmp_path)
    assert world.runs[2:] == [["lost-nan-ill"], ["lost-nan-healthy"]]
    run(world, tmp_path)
    assert world.runs[4:] == []
    run(world, tmp_path, "lost-nan", "--again")
    assert world.runs[4:] == [["lost-nan-ill"], ["lost-nan-healthy"]]
    file = tmp_path / "stored" / "exhibits.toml"
    file.write_text(EXHIBITS.replace("keras==3.0.2", "keras==3.0.1"), encoding="utf-8")
    run(world, tmp_path)
    assert world.runs[6:] == [["wrong-sum-ill"]]


WRONG = {
    "ill and green": (
        {"wrong-sum-ill": None},
        "wrong-sum, ill: passes, and must be one that fails: 1 passed",
    ),
    "red for another reason": (
        {"wrong-sum-ill": "something else"},
        "wrong-sum, ill: its message lacks 'BatchNormalization', 'is 0.14': something else",
    ),
    "healthy and red": (
        {"lost-nan-healthy": "drops NaN"},
        "lost-nan, healthy: fails, and must be one that passes: drops NaN",
    ),
}


@pytest.mark.parametrize(("messages", "line"), WRONG.values(), ids=WRONG)
def test_what_is_not_as_the_row_says_is_told(world, tmp_path, messages, line):
    """An ill release that passes, one that fails for another reason, and a healthy one that fails are named; exit code 1."""
    world.messages |= messages
    code, lines = run(world, tmp_path)
    assert code == 1
    assert lines[-2] == line
    assert lines[-1] == "1 of 2 exhibits are red for the documented reason and their neighbours green"


def test_what_cannot_be_installed_is_told(world, tmp_path):
    """A release that the index no longer has is named with the installer's last line."""
    call = world.call

    def refuses(words, log, environment):
        if "install" in words and "keras==3.0.4" in words:
            with open(log, "a", encoding="utf-8") as file:
                file.write("ERROR: No matching distribution found for keras==3.0.4\n")
            return 1
        return call(words, log, environment)

    world.call = refuses
    code, lines = run(world, tmp_path)
    assert code == 1
    assert (
        "lost-nan, ill: skipped, and must be one that fails: it cannot be installed: "
        "ERROR: No matching distribution found for keras==3.0.4" in lines
    )


def test_results_are_stored_on_request_only(world, tmp_path):
    """--store writes the table of results and that of the README; a part keeps the other rows."""
    run(world, tmp_path)
    assert not museum.RESULTS.exists()
    run(world, tmp_path, "--store")
    stored = exhibits.results(museum.RESULTS)
    assert ["-".join(key) for key in stored] == SIDES
    row = stored["wrong-sum", "ill"]
    assert (row["verdict"], row["test"], row["message"]) == (FAILS, SUM, "layer 2 (BatchNormalization) is 0.14")
    assert row["seconds"] == 1.5
    assert stored["wrong-sum", "healthy"]["verdict"] == PASSES
    text = museum.README.read_text(encoding="utf-8")
    assert "| wrong-sum | tensorflow 2.21.0, keras 3.15.1, python 3.12.1, numpy 2.4.6 |" in text
    assert "old" not in text
    assert (text.splitlines()[0], text.splitlines()[-1]) == ("before", "after")


def test_a_name_that_is_none_is_told(world, tmp_path):
    """An unknown exhibit ends with 2 and the names that there are; nothing runs."""
    code, lines = run(world, tmp_path, "wrong-summ")
    assert (code, lines) == (2, ["no exhibit is called wrong-summ; there are wrong-sum, lost-nan"])
    assert world.runs == []


def test_a_stopped_visit_is_told(world, tmp_path):
    """SIGTERM ends the visit with 2, without a row and without an environment; the same command goes on."""
    before, call = signal.getsignal(signal.SIGTERM), world.call
    world.call = lambda words, log, environment: os.kill(os.getpid(), signal.SIGTERM)
    assert run(world, tmp_path)[0] == 2
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list((tmp_path / "out").glob("environments/*"))
    world.call = call
    assert run(world, tmp_path)[0] == 0


def test_damaged_results_are_told(world, tmp_path):
    """Results that cannot be read end with 2, the file's name and what to do."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").write_text("exhibit,side\n", encoding="utf-8")
    code, lines = run(world, tmp_path)
    assert code == 2
    assert lines[-1].startswith(f"{tmp_path / 'out' / 'results.csv'} lacks the columns 'verdict'")
    assert lines[-1].endswith("remove it to begin again")
