"""Does every run of the suite write one whole report, with every margin, reason and training, however it ends?

A project of a few fast tests with the conftest.py of this project takes the place of the suite.
"""

import csv
import json
import math

import numpy as np
import pytest
from scipy import stats

import cnnspec
from cnnspec import stack
from cnnspec.ensembles import bands
from cnnspec.facts import reading
from cnnspec.reports.report import Report
from tests.plugin import report as reporting
from tests.plugin import verdict
from tests.support import known_differences, two_processes

NUMERICS = """
import math
import pytest
from tests.support import checks

def finding(name, error, limit=1e-5):
    return checks.Finding(name, error, limit, "why", "bfloat16")

def test_near():
    findings = [finding("output", 5e-6), finding("gradient", 1e-6), finding("exact", 0.0, 0)]
    checks.near_float64("layers", findings, next="next")

def test_far():
    checks.near_float64("layer 1", [finding("output", 3e-5), finding("nan", math.nan)], next="next")

@pytest.mark.skip(reason="needs a GPU: pytest --device gpu")
def test_skipped():
    pass

def test_left_out():
    raise AssertionError

@pytest.mark.xfail(strict=True, reason="another order in this version")
def test_known():
    checks.close("loss", 1.0, 1.5, {"relative": 0.1, "why": "why"}, source="theory", next="next")
"""
TRAINING = """
RUN = {"model": "model2", "dataset": "mnist5k", "epochs": 2, "seed": 1000, "stack": {}}
RUN |= {"history": {"loss": [0.5, 0.25], "val_loss": [0.4, 0.125], "seconds": [2.0, 1.0]}, "scores": {"test_loss": 0.125}}

def test_the_history_is_whole(record_property):
    record_property("run", RUN)
    record_property("results", {"Test Loss": {"model2": 0.125}})
    record_property("precision", "convolution: float32")
    record_property("drawn again", {"model": "model2", "quantity": "loss", "remark": "seed 7 lies outside, seed 8 inside"})
"""
OTHERS = """
def test_of_the_suite_itself():
    raise ValueError("two words")
"""


REASON = "Keras 99 rounds down: " + ", ".join(["a long reason"] * 15)
STALE = f"""
import pytest
from tests.support import known_differences

known_differences.MADE_UP = known_differences.known(True, "{REASON}")

@known_differences.MADE_UP
def test_gone():
    pass

@known_differences.known(True, "another reason")
def test_gone_too():
    pass

@known_differences.MADE_UP
def test_still_different():
    pytest.fail("the difference")
"""


@pytest.fixture
def project(bare_project):
    """A pytester project with this project's conftest.py and three modules of fast tests."""
    bare_project.makepyfile(test_numerics=NUMERICS, test_training=TRAINING, test_others=OTHERS)
    return bare_project


def run(project, *arguments):
    """Run the project's tests; the report's fields, None where no report was written."""
    path = project.path / "report.json"
    distribution = () if "-n" in arguments else ("-p", "no:xdist")
    project.runpytest_inprocess("-p", "no:benchmark", *distribution, "--report", str(path), "--epochs=2", *arguments)
    return Report.from_json(path) if path.exists() else None


def names(entries):
    """{test without its module's folder: reason}."""
    return {entry["test"]: entry["reason"] for entry in entries}


PROCESSES = {"one process": (), "under xdist": ("-n", "1")}


@pytest.mark.parametrize("arguments", PROCESSES.values(), ids=PROCESSES)
def test_the_report_of_a_run(project, monkeypatch, arguments):
    """It has counts, reasons, margins, training and stack, also if tests failed, also from another process."""
    monkeypatch.setenv("CNNSPEC_ENVIRONMENT", "tf999")
    report = run(project, *arguments, "--seed", "7", "--deselect", "test_numerics.py::test_left_out")
    assert report.environment == "tf999"
    assert report.cnnspec == cnnspec.__version__
    assert report.options == {
        "level": "default",
        "dataset": "mnist5k",
        "epochs": 2,
        "seed": 7,
        "runs": 1,
        "device": "auto",
        "workers": 1,
    }
    assert report.stack == stack.current()
    assert report.verdict == "fail"
    assert report.tiers["numerics"] == {"passed": 1, "failed": 1, "skipped": 1, "xfailed": 1}
    assert report.tiers["training"] == {"passed": 1, "failed": 0, "skipped": 0, "xfailed": 0}
    assert report.tiers["saving"] == {"passed": 0, "failed": 0, "skipped": 0, "xfailed": 0}
    assert report.others == {"passed": 0, "failed": 1, "skipped": 0, "xfailed": 0}
    assert names(report.not_run) == {
        "test_numerics.py::test_skipped": "needs a GPU: pytest --device gpu",
        "test_numerics.py::test_left_out": "deselected by -k, -m or --deselect",
    }
    assert names(report.known_differences) == {"test_numerics.py::test_known": "another order in this version"}
    assert names(report.failed) == {
        "test_numerics.py::test_far": "layer 1; output: relative error 3e-05, limit 1e-05; typical of bfloat16",
        "test_others.py::test_of_the_suite_itself": "ValueError: two words",
    }
    remark = "model2, loss: seed 7 lies outside, seed 8 inside"
    assert names(report.drawn_again) == {"test_training.py::test_the_history_is_whole": remark}
    assert report.margins == {
        "test_numerics.py::test_near": {"output": 0.5, "gradient": 0.1, "exact": 0.0},
        "test_numerics.py::test_far": {"output": 3.0, "nan": None},
    }
    assert report.precision == ["convolution: float32"]
    assert report.table == {"Test Loss": {"model2": 0.125}}
    assert list(report.trainings) == ["model2"]
    assert report.trainings["model2"]["history"]["val_loss"] == [0.4, 0.125]
    assert 0 < report.seconds < 600


def test_the_bands_are_the_ensembles(project):
    """The band of each epoch is Student's prediction interval of the log of the stored losses, computed here again."""
    found = run(project, "test_training.py").trainings["model2"]["bands"]["val_loss"]
    with (reading.BASELINES / "ensembles" / "mnist5k" / "model2.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for epoch in (1, 2):
        logs = np.log([float(row[f"val_loss_{epoch}"]) for row in rows])
        wide = stats.t.ppf(1 - bands.alpha(2) / 2, len(logs) - 1) * logs.std(ddof=1) * math.sqrt(1 + 1 / len(logs))
        expected = np.exp([logs.mean() - wide, logs.mean(), logs.mean() + wide])
        assert [found[end][epoch - 1] for end in ("low", "mean", "high")] == pytest.approx(expected, rel=1e-4)


def test_a_run_that_stops_early_names_what_it_did_not_reach(project):
    """After -x, an interruption, or the death of a worker."""
    report = run(project, "-x", "test_numerics.py", "test_training.py")
    assert report.verdict == "fail"
    assert set(names(report.not_run)) == {
        "test_numerics.py::test_skipped",
        "test_numerics.py::test_left_out",
        "test_numerics.py::test_known",
        "test_training.py::test_the_history_is_whole",
    }
    assert set(names(report.not_run).values()) == {reporting.UNREACHED}


def test_an_ensemble_too_small_is_told(project):
    """If the only failures are bands that are too wide, the report and the terminal say: cannot tell."""
    check = {"model": "model1", "quantity": "test errors", "used": 0.5, "conclusive": False, "text": ""}
    body = f"def test_band(record_property):\n    record_property('check', {check})\n    raise AssertionError\n"
    project.makepyfile(test_training=body)
    assert run(project, "test_training.py").verdict == "cannot tell"
    project.makepyfile(test_training=body.replace("0.5", "1.5"))
    assert run(project, "test_training.py").verdict == "fail"


def test_an_interrupted_run_is_no_pass(project, monkeypatch):
    """Every tier has a passed test, but one test did not run: no verdict."""
    monkeypatch.setattr(two_processes, "start_early", lambda session: None)
    *before, last = verdict.TIERS
    project.makepyfile(**{module: "def test_fine(): pass" for module in before})
    project.makepyfile(
        **{
            last: """
        import pytest

        def test_fine(): pass
        def test_stop(): pytest.exit("enough", returncode=1)
        def test_later(): pass
        """
        }
    )
    modules = [f"{module}.py" for module in verdict.TIERS]
    ended = project.runpytest_inprocess("-p", "no:benchmark", "-p", "no:xdist", "--report", "report.json", *modules)
    assert verdict.PARTIAL in ended.outlines
    report = Report.from_json(project.path / "report.json")
    assert all(count["passed"] for count in report.tiers.values())
    assert report.total("failed") == 0
    assert report.verdict == "no verdict"
    assert f"{last}.py::test_later" in names(report.not_run)


REPLICATION = """
import pytest

@pytest.mark.parametrize("who", ["the notebook", "a fresh run"])
@pytest.mark.parametrize("model", ["model1", "model2", "model3", "model4"])
def test_member(model, who, record_property):
    record_property("replication", {"model": model, "who": who, "text": "distance"})
    assert SOUND
"""
ENDINGS = {
    "passed": ("True", ["test_replication.py"], verdict.REPLICATED),
    "without fresh runs": ("True", ["test_replication.py", "-k", "notebook"], verdict.PARTIAL),
    "with a tier": ("True", ["test_replication.py", "test_training.py"], verdict.PARTIAL),
    "failed": ("False", ["test_replication.py"], "FAIL: 8 checks failed. Each message above says what to do next."),
    "one failed": (
        "who != 'the notebook' or model != 'model1'",
        ["test_replication.py"],
        "FAIL: 1 check failed. Each message above says what to do next.",
    ),
}


@pytest.mark.parametrize(("sound", "arguments", "ending"), ENDINGS.values(), ids=ENDINGS)
def test_the_verdict_of_replication(project, sound, arguments, ending):
    """Replication alone and complete has its own verdict. In part, or with some tiers, it has none. A failure is FAIL."""
    project.makepyfile(test_replication=REPLICATION.replace("SOUND", sound))
    ended = project.runpytest_inprocess("-p", "no:benchmark", "-p", "no:xdist", "--report", "report.json", *arguments)
    assert ending in ended.outlines


@pytest.mark.parametrize("arguments", PROCESSES.values(), ids=PROCESSES)
def test_a_stale_known_difference_says_what_to_do(project, monkeypatch, arguments):
    """Terminal, report and verdict name the test, the expected difference, the stack that it is gone on, and the entry."""
    monkeypatch.setattr(known_differences, "MADE_UP", None, raising=False)  # the inner test module sets it
    project.makepyfile(test_saving=STALE)
    path = project.path / "report.json"
    processes = arguments or ("-p", "no:xdist")
    ended = project.runpytest_inprocess("-p", "no:benchmark", *processes, "--report", str(path), "test_saving.py")
    facts = stack.current()
    on = f"{facts['framework']}, Keras {facts['keras']}"
    remedy = "narrow or remove the entry MADE_UP in tests/support/known_differences.py"
    message = [
        "test_saving.py::test_gone: a known difference is gone",
        f"  expected  failure   (reason: {REASON})",
        f"  obtained  pass on {on}",
        f"  next      {remedy}",
    ]
    assert [line for line in message if line not in ended.outlines] == []
    assert f"  stale known difference: MADE_UP, gone on {on}" in ended.outlines
    assert f"  stale known difference: a mark xfail, gone on {on}" in ended.outlines
    assert "FAIL: 2 checks failed. Each message above says what to do next." in ended.outlines
    report = Report.from_json(path)
    assert report.tiers["saving"] == {"passed": 0, "failed": 2, "skipped": 0, "xfailed": 1}
    assert names(report.failed) == {
        "test_saving.py::test_gone": f"a known difference is gone; expected failure (reason: {REASON}); "
        f"obtained pass on {on}; next {remedy}",
        "test_saving.py::test_gone_too": "a known difference is gone; expected failure (reason: another reason); "
        f"obtained pass on {on}; next narrow or remove the mark xfail of the test",
    }


def test_a_difference_that_a_newer_stack_has_mended_is_no_failure(project, monkeypatch):
    """Its test has passed, and the verdict says that the difference is gone, and why the stack is not blamed."""
    monkeypatch.setattr(known_differences, "MADE_UP", None, raising=False)  # the inner test module sets it
    monkeypatch.setattr(known_differences, "unmeasured", lambda: "keras 9 is none of those up to 3")
    project.makepyfile(test_saving=STALE)
    path = project.path / "report.json"
    ended = project.runpytest_inprocess("-p", "no:benchmark", "-p", "no:xdist", "--report", str(path), "test_saving.py")
    facts = stack.current()
    on = f"{facts['framework']}, Keras {facts['keras']}"
    line = f"  stale known difference: MADE_UP, gone on {on}; no failure: keras 9 is none of those up to 3"
    assert line in ended.outlines
    report = Report.from_json(path)
    assert report.tiers["saving"] == {"passed": 2, "failed": 0, "skipped": 0, "xfailed": 1}
    assert report.failed == []


def test_a_module_that_cannot_be_imported_is_a_failure(project):
    """A tier whose module cannot be collected has failed, and the report has its error."""
    project.makepyfile(test_saving="import nothing_of_that_name")
    report = run(project)
    assert report.verdict == "fail"
    assert report.tiers["saving"]["failed"] == 1
    assert "No module named 'nothing_of_that_name'" in names(report.failed)["test_saving.py"]
    assert names(report.not_run)["test_numerics.py::test_near"] == reporting.UNREACHED


NO_RUN = {"collected only": ("--collect-only",), "no tier": ("test_others.py",), "nothing": ("-k", "nothing_at_all")}


@pytest.mark.parametrize("arguments", NO_RUN.values(), ids=NO_RUN)
def test_no_report_without_a_tier(project, arguments):
    """A run without a test of any tier writes no report, and does not change an older one."""
    path = project.path / "report.json"
    assert run(project, *arguments) is None
    run(project, "test_training.py")
    before = path.read_bytes()
    run(project, *arguments)
    assert path.read_bytes() == before


def test_a_run_that_dies_leaves_the_older_report(project):
    """The older report stays, byte by byte, until a new one is whole: a crash changes nothing."""
    path = project.path / "report.json"
    assert run(project, "test_training.py")
    before = path.read_bytes()
    project.makepyfile(test_saving="import os\n\ndef test_crash():\n    os._exit(3)\n")
    ended = project.runpytest_subprocess("-p", "no:xdist", "--report", "report.json", "test_saving.py")
    assert ended.ret == 3
    assert path.read_bytes() == before


def test_the_default_file(project, monkeypatch):
    """reports/partial/<environment>-<hardware>.json in the project, for a run of one file. Pytest prints its path."""
    monkeypatch.setenv("TOX_ENV_NAME", "tf999")
    ended = project.runpytest_inprocess("-p", "no:benchmark", "-p", "no:xdist", "test_training.py")
    (path,) = (project.path / "reports" / "partial").iterdir()
    assert path.name.startswith("tf999-")
    ended.stdout.fnmatch_lines([f"report: {path}"])
    assert json.loads(path.read_text(encoding="utf-8"))["environment"] == "tf999"


STACK = {"framework": "tensorflow 2.21.0", "keras": "3.15.1", "python": "3.12.1", "device": "CPU", "cpu": "AMD EPYC @ 2 GHz"}
FILE_NAMES = {
    "environment": (STACK, "tf221", "tf221-amd-epyc-2-ghz"),
    "versions": (STACK, None, "tensorflow-2.21.0-keras-3.15.1-python-3.12.1-amd-epyc-2-ghz"),
    "GPU": (STACK | {"device": "NVIDIA H200"}, "tf221", "tf221-nvidia-h200"),
    "no path": (STACK, "../../x", "x-amd-epyc-2-ghz"),
}


@pytest.mark.parametrize(("facts", "environment", "name"), FILE_NAMES.values(), ids=FILE_NAMES)
def test_file_names(facts, environment, name):
    """Reports of other stacks and hardware have other names, and every report stays in its folder."""
    assert reporting.default_name(facts, environment) == name


def test_long_messages_are_cut():
    """A report stays small, however much a failing test prints."""
    assert reporting.shortened("x" * 300) == "x" * 300
    assert reporting.shortened("x" * 301) == "x" * 300 + "…"


def test_the_environment_that_was_named_comes_first():
    """CNNSPEC_ENVIRONMENT, then the name that tox gives, else none."""
    assert reporting.environment({"CNNSPEC_ENVIRONMENT": "a", "TOX_ENV_NAME": "b"}) == "a"
    assert reporting.environment({"TOX_ENV_NAME": "b"}) == "b"
    assert reporting.environment({}) is None
