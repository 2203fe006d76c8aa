"""Does the command run each fault once, in a process of its own, keep what it showed, and say what is left to do?"""

import os
import re
import subprocess
import sys
import time

import pytest

from cnnspec import pipeline
from cnnspec.facts import reading
from cnnspec.faults import power, store
from tests.meta.faults import running, sources
from tests.meta.faults.made_rows import row

# Runs that show something, end without a result, do not end, or leave something behind in their process.
STUBBED = """
import json, os, sys, time
from pathlib import Path
from tests.meta.faults import child, run, running, sources
from tests.meta.faults.catalogue.entries import CATALOGUE, Fault

told = {"test": "tests/test_exact.py::a", "tier": "exact", "level": "quick", "message": "Conv2D", "seconds": 1.5}
shown = {"caught": dict(seen=told, named=told), "not_named": dict(seen=told), "missed": {}}
shown["named"] = dict(seen=told, named=told | {"message": "Conv2D, again", "seconds": 0.5})
ALONE = os.environ.get("ALONE", "named")

def judge(name, result, level, test=""):
    if test:
        print("alone", test, flush=True)
        shown["caught"] = shown[ALONE]
    if name == "crashes":
        os.abort()
    if name == "raises":
        raise ValueError("no fault")
    if name == "never_ends":
        print(os.getpid(), flush=True)
        time.sleep(60)
    print("output of", name, level, os.environ.get("LEAK"))
    os.environ["LEAK"] = name
    result.write_text(json.dumps({"code": 1, "passed": 3, "seconds": 2.0, **shown.get(name, shown["missed"])}))

RED = sys.argv[2] == "red"
shown["none"] = shown["caught" if RED else "missed"]
running.LONGEST = 2
child.prepare, child.judge = lambda: None, judge
child.tell_stack = lambda path: path.write_text(json.dumps(dict.fromkeys(running.store.STACK, "x") | {"cores": 2}))
sources.of_fault = lambda name: "0123456789ab"
sources.of_suite = lambda: os.environ.get("SUITE", "a" * 12)
CATALOGUE.clear()
for name in sys.argv[3:]:
    CATALOGUE[name] = Fault(name, "layer", "It is wrong.", "made", ("Conv2D",), print)
from tests.meta.faults import put
put.loaded = lambda: CATALOGUE
options = os.environ.get("OPTIONS", "").split()
sys.exit(run.main(["--out", sys.argv[1] + "/catalogue.csv", "--logs", sys.argv[1] + "/logs", "--jobs", "2", *options]))
"""


def run_stubbed(folder, *faults, suite="green", **environment):
    """The command with made-up runs: (exit code, lines of output)."""
    command = [sys.executable, "-c", STUBBED, str(folder), suite, *faults]
    environment = os.environ | environment
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, timeout=120, env=environment)
    return ended.returncode, ended.stdout.splitlines() + ended.stderr.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="the command forks")
def test_each_fault_is_run_once_in_its_own_process(tmp_path):
    """Results, errors and a run without an end are stored as they are, told in a line each, and not run again."""
    names = ("caught", "not_named", "missed", "crashes", "raises", "never_ends")
    code, lines = run_stubbed(tmp_path, *names)
    stored = {each["fault"]: each for each in store.CATALOGUE.read(tmp_path / "catalogue.csv")}
    assert {name: each["result"] for name, each in stored.items()} == {
        "none": store.MISSED,
        "caught": store.CAUGHT,
        "not_named": store.NOT_NAMED,
        "missed": store.MISSED,
        **dict.fromkeys(("crashes", "raises", "never_ends"), store.ERROR),
    }
    assert stored["caught"]["test"] == stored["not_named"]["seen"] == "tests/test_exact.py::a"
    assert code == 1
    assert re.fullmatch(r"without a fault: green, [0-9.]+ s; 6 left", lines[1])
    assert sum(bool(re.fullmatch(r"\w+: .+, [0-9.]+ s; [0-5] left", line)) for line in lines) == 6
    assert "not_named: seen, not named: tests/test_exact.py::a: Conv2D" in lines
    logs = {path.stem: path.read_text(errors="replace") for path in (tmp_path / "logs").iterdir()}
    assert "output of missed default None" in logs["missed"]  # and nothing of the process before
    assert "ValueError: no fault" in logs["raises"]
    again, lines = run_stubbed(tmp_path, *names)
    assert lines[0] == "6 faults, 6 of them stored for this suite and stack"
    assert again == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the command forks")
def test_a_suite_that_fails_without_a_fault_ends_the_command(tmp_path):
    """Its failures would tell nothing about faults."""
    code, lines = run_stubbed(tmp_path, "caught", suite="red")
    assert code == 2
    assert any(line.startswith("error: the suite fails without a fault") for line in lines)
    assert [each["fault"] for each in store.CATALOGUE.read(tmp_path / "catalogue.csv")] == ["none"]


@pytest.mark.skipif(sys.platform == "win32", reason="the command forks")
def test_a_command_that_is_ended_ends_its_runs(tmp_path):
    """SIGTERM to the command: the process with the fault ends too, and nothing is stored of it."""
    stubbed = STUBBED.replace("running.LONGEST = 2", "running.LONGEST = 50")
    command = [sys.executable, "-c", stubbed, str(tmp_path), "green", "never_ends"]
    log = tmp_path / "logs" / "never_ends.log"
    with subprocess.Popen(command, cwd=reading.PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ended:
        while not (log.exists() and log.read_text().endswith("\n")):
            time.sleep(0.01)
        ended.terminate()
    assert ended.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)
    assert [each["fault"] for each in store.CATALOGUE.read(tmp_path / "catalogue.csv")] == ["none"]


def test_what_is_caught_alone_ends_with_0(tmp_path):
    """Every fault caught: exit code 0."""
    assert run_stubbed(tmp_path, "caught")[0] == 0


def stored_of(folder, name="caught"):
    """The row of a fault that a stubbed run stored, and its log."""
    rows = {each["fault"]: each for each in store.CATALOGUE.read(folder / "catalogue.csv")}
    return rows[name], (folder / "logs" / f"{name}.log").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="the command forks")
def test_the_test_that_named_a_fault_runs_alone(tmp_path):
    """With another text of the suite that test is asked first; what the whole suite told is kept, the message is new."""
    run_stubbed(tmp_path, "caught")
    whole, log = stored_of(tmp_path)
    assert (whole["run"], whole["message"], whole["seconds"], "alone" in log) == ("default", "Conv2D", "1.5", False)
    code, _ = run_stubbed(tmp_path, "caught", SUITE="b" * 12)
    alone, log = stored_of(tmp_path)
    assert code == 0
    assert log.startswith("alone tests/test_exact.py::a\n")
    assert alone == whole | {"run": store.ALONE, "message": "Conv2D, again", "suite_text": "b" * 12, "date": alone["date"]}
    again = run_stubbed(tmp_path, "caught", SUITE="b" * 12)[1]
    assert again[0] == "1 faults, 1 of them stored for this suite and stack"
    run_stubbed(tmp_path, "caught", SUITE="b" * 12, OPTIONS="--whole")
    assert stored_of(tmp_path)[0]["run"] == "default"


@pytest.mark.skipif(sys.platform == "win32", reason="the command forks")
@pytest.mark.parametrize("how", ["missed", "not_named"])
def test_the_whole_suite_runs_where_its_test_names_the_fault_no_more(tmp_path, how):
    """A test that passes, or fails without a word, is no answer."""
    run_stubbed(tmp_path, "caught")
    code, _ = run_stubbed(tmp_path, "caught", SUITE="b" * 12, ALONE=how)
    row, log = stored_of(tmp_path)
    assert (code, row["run"], row["suite_text"]) == (0, "default", "b" * 12)
    assert log == "output of caught default None\n"  # of the second process


def test_only_what_the_level_runs_is_asked_first(monkeypatch):
    """A fault of another text, of a larger level, or that was not caught is shown to the whole suite."""
    monkeypatch.setattr(sources, "of_fault", lambda name: "0123456789ab")
    rows = [row("a"), row("b", level="default"), row("c", store.MISSED), row("d", fault_text="1" * 12)]
    assert list(running.caught_before("abcde", rows, "default")) == ["a", "b"]
    assert list(running.caught_before("abcde", rows, "quick")) == ["a"]


def test_a_result_holds_for_its_fault_suite_level_and_stack():
    """Another text, level or version makes the stored row void."""
    stored = [row("a")]
    assert store.CATALOGUE.holds(stored, row("a"))
    assert not store.CATALOGUE.holds(stored, row("b"))
    for name in store.CATALOGUE.identity:
        assert not store.CATALOGUE.holds(stored, row("a", **{name: "x"}))


def test_the_digest_of_a_fault_follows_what_it_uses(tmp_path):
    """A change of a fault, its table or its helper is a new fault; one of its neighbour is not."""
    texts = {
        "helpers.py": "def wrapped():\n    return 1\n\ndef other():\n    return 2\n",
        "some.py": "@fault(words='x')\ndef a():\n    wrapped()\n\n@fault(words='y')\ndef b():\n    pass\n",
        "table.py": "TABLE = {'c': 1}\nfor name in TABLE:\n    add(name)\n",
    }

    def digests(name="", before="", after=""):
        for file, text in texts.items():
            (tmp_path / file).write_text(text.replace(before, after) if file == name else text)
        sources.statements.cache_clear()
        return [sources.of_fault(fault, tmp_path) for fault in "abc"]

    healthy = digests()
    for change, moved in {
        ("some.py", "words='x'", "words='z'"): [True, False, False],
        ("some.py", "pass", "return"): [False, True, False],
        ("helpers.py", "return 1", "return 3"): [True, False, False],
        ("helpers.py", "return 2", "return 3"): [False, False, False],
        ("table.py", "add(name)", "add(name, 1)"): [False, False, True],
    }.items():
        assert [now != was for now, was in zip(digests(*change), healthy, strict=True)] == moved
    with pytest.raises(KeyError):
        sources.of_fault("d", tmp_path)


def test_the_digest_of_the_suite(tmp_path):
    """A tier, the package and a baseline move it; results of faults and documents do not."""
    for name in (
        "tests/test_a.py",
        "cnnspec/a.py",
        "baselines/a.csv",
        "baselines/faults/catalogue.csv",
        "cnnspec/README.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    healthy = sources.of_suite(tmp_path)
    for name, moved in {
        "baselines/faults/catalogue.csv": False,
        "cnnspec/README.md": False,
        "tests/test_a.py": True,
    }.items():
        (tmp_path / name).write_text("2")
        assert (sources.of_suite(tmp_path) != healthy) == moved


ROWS = [
    row("a"),
    row("b", level="default"),
    row("c", store.MISSED),
    row("d", store.NOT_NAMED, kind="fit"),
    row("none", store.MISSED, kind="none"),
]


def test_power_counts_faults_by_level():
    """What quick catches is part of what default catches; the suite without a fault is no fault."""
    assert [power.caught_in(ROWS, level) for level in ("quick", "default")] == [1, 2]
    assert power.by_kind(ROWS) == [
        ["fit", "1", "0", "0", "1", "0", "0"],
        ["layer", "3", "1", "2", "0", "1", "0"],
        ["all", "4", "1", "2", "1", "1", "0"],
    ]
    assert power.unexplained(ROWS, {"c": "soak", "b": "soak"}) == ["b", "d"]
    told = power.summary(ROWS, {"c": "soak", "b": "soak"})
    assert "named first by: exact 2" in told
    assert "b: caught, but listed as missed; remove it from the list" in told
    assert "d: seen, not named: tests/test_exact.py::test_every_bit: conv2d_1" in told


def test_a_level_says_its_power(tmp_path, monkeypatch):
    """One line for quick and default; nothing where no file is stored; one clear line where it is damaged."""
    from tests.plugin import levels

    path = tmp_path / "catalogue.csv"
    monkeypatch.setattr(store, "PATH", path)
    assert levels.power("quick") == ""
    path.write_text(store.CATALOGUE.written(ROWS), encoding="utf-8")
    assert levels.power("quick") == "power: quick catches 1 of the 4 faults of the stored catalogue; default catches 2"
    assert levels.power("default") == "power: default catches 2 of the 4 faults of the stored catalogue"
    assert levels.power("full") == ""
    path.write_text(store.CATALOGUE.written(ROWS).replace("caught", "seen", 1), encoding="utf-8")
    assert re.fullmatch(
        rf"power: unknown: {re.escape(str(path))}, line \d, column result: .+; remove it.+", levels.power("quick")
    )


def test_a_row_that_contradicts_itself_is_refused(tmp_path):
    """A fault is caught by a test at a level, or by none at none."""
    from cnnspec.errors import BaselineError

    path = tmp_path / "catalogue.csv"
    for wrong in ({"level": ""}, {"test": ""}):
        path.write_text(store.CATALOGUE.written([row("a") | wrong]), encoding="utf-8")
        with pytest.raises(BaselineError, match="a is told as caught, with level"):
            store.CATALOGUE.read(path)
    with pytest.raises(BaselineError, match=r"b added.+it is not stored"):
        store.CATALOGUE.add(tmp_path / "other.csv", row("b", seconds="x"))
    assert not (tmp_path / "other.csv").exists()


COMPARED = (  # of several kinds, caught by several tiers
    "a_gpu_that_does_not_compute",
    "adam_beta_2_default",
    "normalization_epsilon_default",
    "flatten_in_the_other_order",
    "dropout_unscaled",
    "dropout_same_mask_every_step",
    "compiled_dropout_weaker",
    "flipped_kernel",
    "tf32_convolution",
    "convolution_gradient_larger",
)


@pytest.mark.faults
@pytest.mark.skipif(not pipeline.available(), reason="the catalogue is for Keras 3.15 on TensorFlow: tox run -e faults")
def test_forks_find_what_fresh_processes_find(tmp_path):
    """The same first failure, the same test that names the fault, the same message: a fork carries nothing over."""
    found = {}
    for how in ((), ("--fresh",)):
        out = tmp_path / f"{len(how)}.csv"
        command = [sys.executable, "-m", "tests.meta.faults.run", *COMPARED, "--level", "quick", "--out", str(out), *how]
        ended = subprocess.run([*command, "--logs", str(tmp_path)], cwd=reading.PROJECT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        columns = ("fault", "result", "level", "tier", "test", "seen", "message")
        found[how] = [[each[column] for column in columns] for each in store.CATALOGUE.read(out)]
    assert found[()] == found["--fresh",]
