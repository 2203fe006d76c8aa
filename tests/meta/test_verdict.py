"""Does the verdict follow from what the tests reported, and from nothing else?"""

import json
import types

import pytest

from cnnspec.reports.report import DESELECTED, UNREACHED
from tests.meta.made_runs import CHECK, FEW, Terminal, passed, reported
from tests.meta.reports.made_reports import COUNTS, LAYERS, made
from tests.plugin import outcome, verdict


def counts(**changes):
    """Counts of a run in which a test of every module passed; {module: outcomes} replaces those of a module."""
    every = {module: dict.fromkeys(verdict.OUTCOMES, 0) | {"passed": 1} for module in verdict.TIERS}
    asked = {module: dict.fromkeys(verdict.OUTCOMES, 0) for module in verdict.ASKED_FOR}
    found = every | asked
    return found | {module: found[module] | outcomes for module, outcomes in changes.items()}


NO_TRAINING = {"test_training": {"passed": 0}}
JUDGED = {  # (counts, properties, level, why tests did not run) -> verdict
    "all passed": (counts(), [], "default", [], "pass"),
    "one failed": (counts(test_exact={"failed": 1}), [], "default", [], "fail"),
    "one failed, none passed": (counts(test_exact={"failed": 1, "passed": 0}), [], "default", [], "fail"),
    "one failed outside its tiers' level": (counts(test_training={"failed": 1}), [], "quick", [], "fail"),
    "as many failed as have too few runs": (counts(test_training={"failed": 1}), [FEW], "default", [], "cannot tell"),
    "more failed than have too few runs": (counts(test_training={"failed": 2}), [FEW], "default", [], "fail"),
    "too few runs and outside": (
        counts(test_training={"failed": 1}),
        [("check", CHECK | {"conclusive": False, "used": 1.01})],
        "default",
        [],
        "fail",
    ),
    "too few runs, at the end of the band": (
        counts(test_training={"failed": 1}),
        [("check", CHECK | {"conclusive": False, "used": 1})],
        "default",
        [],
        "cannot tell",
    ),
    "too few runs of a replication": (
        counts(test_replication={"failed": 1}),
        [(verdict.UNDECIDED, True)],
        "default",
        [],
        "cannot tell",
    ),
    "a tier without a passed test": (counts(**NO_TRAINING), [], "default", [], "no verdict"),
    "a tier that is skipped": (counts(test_training={"passed": 0, "skipped": 3}), [], "default", [], "no verdict"),
    "a tier of known differences": (counts(test_training={"passed": 0, "xfailed": 1}), [], "default", [], "pass"),
    "quick without a training": (counts(**NO_TRAINING), [], "quick", [], "pass"),
    "full without replication": (counts(), [], "full", [], "no verdict"),
    "full": (counts(test_replication={"passed": 1}), [], "full", [], "pass"),
    "a test that was not reached": (counts(), [], "default", [UNREACHED], "no verdict"),
    "a test that was deselected": (counts(), [], "default", [DESELECTED], "no verdict"),
    "a test that was skipped": (counts(), [], "default", ["no GPU"], "pass"),
}


@pytest.mark.parametrize(("found", "properties", "level", "missed", "expected"), JUDGED.values(), ids=JUDGED)
def test_the_verdict_of_counts(found, properties, level, missed, expected):
    """Fail before cannot tell, cannot tell before no verdict; a pass needs a passed test in every tier of the level."""
    assert verdict.judged(found, properties, level, [{"reason": reason} for reason in missed]) == expected


def test_outcomes_are_counted_by_module():
    """Of passed tests the call alone, of others every part; a module that could not be collected has failed, and a test that
    may differ on this stack and does not has passed.
    """
    broken = types.SimpleNamespace(nodeid="tests/test_modes.py", when="collect")
    terminal = Terminal(
        passed=[reported("tests/test_exact.py::a", ("x", 1), when=when) for when in ("setup", "call", "teardown")],
        failed=[reported("tests/test_exact.py::b", ("y", 2), when="setup"), reported("tests/meta/test_a.py::c", ("z", 3))],
        skipped=[reported("tests/test_data.py::d", when="setup")],
        error=[broken],
        xpassed=[reported("tests/test_state.py::e")],
    )
    found, properties, seen = verdict.found(terminal)
    assert found["test_state"] == {"passed": 1, "failed": 0, "skipped": 0, "xfailed": 0}
    assert found["test_exact"] == {"passed": 1, "failed": 1, "skipped": 0, "xfailed": 0}
    assert found["test_data"] == {"passed": 0, "failed": 0, "skipped": 1, "xfailed": 0}
    assert found["test_modes"] == {"passed": 0, "failed": 1, "skipped": 0, "xfailed": 0}
    assert sum(sum(count.values()) for count in found.values()) == 5
    assert properties == [("x", 1), ("y", 2)]
    assert seen == {
        "tests/test_exact.py::a",
        "tests/test_exact.py::b",
        "tests/meta/test_a.py::c",
        *(["tests/test_data.py::d", "tests/test_modes.py", "tests/test_state.py::e"]),
    }


def test_what_a_test_recorded():
    """The largest share of each name; digests, unless an inexact algorithm was excused; what was drawn again."""
    shares = [("layer 1", 0.1), ("layer 1", 0.12345), ("layer 1", 0.05), ("layer 2", float("inf")), ("layer 3", 0.0)]
    margins = verdict.margins_of(reported("t", *(("margin", share) for share in shares), ("other", 1)))
    assert margins == {"t": {"layer 1": 0.123, "layer 2": None, "layer 3": 0.0}}
    assert verdict.margins_of(reported("t", ("other", 1))) == {}
    digests = [("digest", {"a": "1"}), ("digest", {"b": "2"})]
    assert verdict.digests_of(reported("t", *digests)) == {"a": "1", "b": "2"}
    assert verdict.digests_of(reported("t", *digests, ("inexact", "Winograd"))) == {}
    again = ("drawn again", {"model": "model4", "quantity": "loss", "remark": "seed 1 lies outside"})
    assert verdict.drawn_again(reported("t", again, ("other", 1))) == ["model4, loss: seed 1 lies outside"]
    assert verdict.margins_of(types.SimpleNamespace(nodeid="t")) == {}


WHY = {  # changes of a report -> the reason in its outcome
    "a pass": ({}, None),
    "failures": (
        {"verdict": "fail", "failed": [{"test": "t1", "reason": "a"}, {"test": "t2", "reason": "b"}]},
        "t1: a",
    ),
    "one left out": (
        {"verdict": "no verdict", "not_run": [{"test": LAYERS, "reason": DESELECTED}]},
        f"{LAYERS}: {DESELECTED}",
    ),
    "two left out": (
        {
            "verdict": "no verdict",
            "not_run": [{"test": "first", "reason": DESELECTED}, {"test": "second", "reason": UNREACHED}],
        },
        f"first (and 1 more): {DESELECTED}",
    ),
    "three left out": (
        {
            "verdict": "no verdict",
            "not_run": [{"test": "s", "reason": "no GPU"}, *[{"test": LAYERS, "reason": UNREACHED}] * 3],
        },
        f"{LAYERS} (and 2 more): {UNREACHED}",
    ),
    "tiers without a passed test": (
        {
            "verdict": "no verdict",
            "tiers": {"stack": COUNTS, "exact": COUNTS | {"passed": 0, "skipped": 3}, "modes": COUNTS | {"passed": 0}},
        },
        "in 2 of 3 tiers no test passed, the first is exact",
    ),
    "a tier of known differences": (
        {
            "verdict": "no verdict",
            "tiers": {"exact": COUNTS | {"passed": 0, "xfailed": 1}, "modes": COUNTS | {"passed": 0}},
        },
        "in 1 of 2 tiers no test passed, the first is modes",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), WHY.values(), ids=WHY)
def test_why_in_one_line(changes, reason):
    """What failed first; else what did not run; nothing for a pass."""
    assert outcome.why(made(**changes)) == reason


def test_each_model_has_to_be_placed():
    """The notebook and a fresh run of every model: else the replication is a part."""
    whole = [
        ("replication", {"model": model, "who": who, "text": ""})
        for model in ("model1", "model2", "model3", "model4")
        for who in (verdict.NOTEBOOK, verdict.FRESH)
    ]
    assert verdict.replicated(whole)
    assert not any(verdict.replicated(whole[:at] + whole[at + 1 :]) for at in range(len(whole)))
    assert not verdict.replicated([("other", value) for _, value in whole])


class Session:
    """A session of pytest that ends with failures."""

    def __init__(self, terminal, status=pytest.ExitCode.TESTS_FAILED):
        self.exitstatus = status
        plugins = types.SimpleNamespace(get_plugin=lambda name: terminal)
        option = types.SimpleNamespace(level="default")
        self.config = types.SimpleNamespace(pluginmanager=plugins, option=option)


def ended(session):
    """The exit code after the plugin's hook."""
    hook = verdict.pytest_sessionfinish(session)
    next(hook)
    with pytest.raises(StopIteration):
        next(hook)
    return session.exitstatus


def test_too_few_runs_are_exit_code_2():
    """Where nothing else failed: neither in a tier nor elsewhere."""
    few = reported("tests/test_training.py::test_a", FEW)
    assert ended(Session(Terminal(failed=[few]))) == pytest.ExitCode.INTERRUPTED
    assert ended(Session(Terminal(failed=[few, *passed("test_exact")]))) == pytest.ExitCode.TESTS_FAILED
    elsewhere = reported("tests/meta/test_a.py::test_b")
    assert ended(Session(Terminal(failed=[few, elsewhere]))) == pytest.ExitCode.TESTS_FAILED
    assert ended(Session(Terminal(failed=[few], passed=[elsewhere]))) == pytest.ExitCode.INTERRUPTED
    assert ended(Session(Terminal(failed=[few]), pytest.ExitCode.INTERNAL_ERROR)) == pytest.ExitCode.INTERNAL_ERROR
    assert ended(Session(None)) == pytest.ExitCode.TESTS_FAILED
    around = verdict.pytest_sessionfinish.pytest_impl
    assert (around["wrapper"], around["tryfirst"]) == (True, True)  # it has the last word


class Config:
    """A configuration of pytest with `--outcome`."""

    def __init__(self, path):
        self.option = types.SimpleNamespace(outcome=path and str(path), level="quick")

    def getoption(self, name, default):
        return getattr(self.option, name, default)


ELSEWHERE = {"others": COUNTS | {"failed": 1}, "failed": [{"test": "t", "reason": "a"}]}


@pytest.mark.parametrize(
    ("changes", "expected", "reason"),
    [({}, "pass", None), (ELSEWHERE, "fail", "t: a"), (ELSEWHERE | {"verdict": "no verdict"}, "no verdict", "t: a")],
)
def test_the_outcome_of_a_report(tmp_path, changes, expected, reason):
    """One line of JSON: the verdict, where nothing failed outside the tiers, what ran, and where the report is."""
    path = tmp_path / "outcome.json"
    outcome.of_report(Config(path), made(**{"verdict": "pass"} | changes), tmp_path / "report.json")
    assert path.read_text().endswith("}\n")
    assert json.loads(path.read_text()) == {
        "verdict": expected,
        "stack": "tensorflow 2.21.0, Keras 3.15.1, NumPy 2.4.6, Python 3.12.1",
        "device": "CPU",
        "seconds": 101.5,
        "reason": reason,
        "report": str(tmp_path / "report.json"),
        "level": "quick",
    }


def test_the_outcome_of_a_run_without_a_test(tmp_path):
    """Nothing is known but the reason; without a configuration, or without --outcome, and by a worker nothing is written."""
    path = tmp_path / "outcome.json"
    outcome.at_the_start(None, "no verdict", "no framework")
    outcome.at_the_start(Config(None), "no verdict", "no framework")
    worker = Config(path)
    worker.workerinput = {}
    outcome.at_the_start(worker, "no verdict", "no framework")
    assert not path.exists()
    outcome.at_the_start(Config(path), "no verdict", "no framework")
    empty = dict.fromkeys(("stack", "device", "seconds", "report"))
    assert json.loads(path.read_text()) == {"verdict": "no verdict", "reason": "no framework", "level": "quick", **empty}
    outcome.of_report(Config(path), made(), None)
    assert json.loads(path.read_text())["report"] is None
