"""Does the verdict say, line by line, what the tests recorded?"""

import types

import pytest

from tests.meta.made_runs import CHECK, FEW, Terminal, passed, reported
from tests.plugin import facts, levels, verdict


def test_outcomes_in_words():
    """None is told; known differences in words of their own."""
    assert verdict.told(dict.fromkeys(verdict.OUTCOMES, 0)) == "not run"
    assert verdict.told({"passed": 3, "failed": 0, "skipped": 1, "xfailed": 1}) == "3 passed, 1 skipped, 1 known difference"
    assert verdict.told({"passed": 0, "failed": 2, "skipped": 0, "xfailed": 2}) == "2 failed, 2 known differences"


def said(monkeypatch, terminal, level="default", **options):
    """Lines, with their colours, of the verdict on what a terminal reporter has."""
    monkeypatch.setattr(facts, "described", lambda config: ["the stack"])
    monkeypatch.setattr(levels, "power", lambda level: f"power of {level}")
    option = types.SimpleNamespace(**{"collectonly": False, "level": level} | options)
    plugins = types.SimpleNamespace(get_plugin=lambda name: None)
    verdict.pytest_terminal_summary(terminal, types.SimpleNamespace(option=option, pluginmanager=plugins))
    return terminal.lines


def test_the_verdict_is_written(monkeypatch):
    """The stack, a line for each tier, what was recorded in order, the level with its power, and the verdict, in colour."""
    tests = passed(*verdict.TIERS)
    tests[5].user_properties += [("precision", "b"), ("path", "a"), ("table", "of results"), ("other", "c")]
    tests[6].user_properties.append((verdict.STALE, ("oneDNN", "keras 3", "")))
    tests[7].user_properties.append((verdict.STALE, ("SHUFFLE", "keras 4", "none up to 3")))
    lines = said(monkeypatch, Terminal(passed=tests))
    assert lines[:3] == [("== verdict", ""), ("the stack", ""), ("", "")]
    tiers = [text for text, _ in lines[3 : 3 + len(verdict.TIERS)]]
    assert tiers[0] == f"{'stack':<14} {'1 passed':<30} {verdict.TIERS['test_stack']}"
    assert [text.split()[0] for text in tiers] == [module.removeprefix("test_") for module in verdict.TIERS]
    assert lines[3 + len(verdict.TIERS) :] == [
        ("  a", ""),
        ("  b", ""),
        ("  stale known difference: SHUFFLE, gone on keras 4; no failure: none up to 3", "yellow"),
        ("  stale known difference: oneDNN, gone on keras 3", "red"),
        ("\nresults table: of results", ""),
        ("", ""),
        (f"level {levels.LEVELS['default']}", ""),
        ("power of default", ""),
        (verdict.PASS, "green"),
    ]


ENDS = {  # outcomes of tests -> the last line and its colour
    "quick": ({"passed": passed(*levels.QUICK)}, "quick", (verdict.QUICK, "green")),
    "a part": ({"passed": passed("test_exact")}, "default", (verdict.PARTIAL, "")),
    "a failure": (
        {"passed": passed("test_exact"), "failed": [reported("tests/test_modes.py::test_a")]},
        "default",
        (verdict.FAIL.format("1 check"), "red"),
    ),
    "two failures, one for too few runs": (
        {"failed": [reported("tests/test_training.py::test_a", FEW), *passed("test_modes", "test_exact")]},
        "default",
        (verdict.FAIL.format("2 checks"), "red"),
    ),
    "too few runs": (
        {"failed": [reported("tests/test_training.py::test_a", FEW)]},
        "default",
        (verdict.UNKNOWN.format("1 check"), "yellow"),
    ),
}


@pytest.mark.parametrize(("reports", "level", "last"), ENDS.values(), ids=ENDS)
def test_the_last_line(monkeypatch, reports, level, last):
    """It is the verdict, with how many checks failed, or have too few runs."""
    assert said(monkeypatch, Terminal(**reports), level)[-1] == last


def test_nothing_is_said_of_nothing(monkeypatch):
    """Of a run that only collects, and of one without a tier."""
    assert said(monkeypatch, Terminal(passed=passed("test_exact")), collectonly=True) == []
    assert said(monkeypatch, Terminal(passed=[reported("tests/meta/test_a.py::test_b")])) == []


def test_a_module_that_is_asked_for_has_a_line_where_it_ran(monkeypatch):
    """Replicas and replication are no tiers of a default run."""
    names = [text.split()[0] for text, _ in said(monkeypatch, Terminal(passed=passed("test_exact"))) if text.strip()]
    assert "replicas" not in names
    ran = said(monkeypatch, Terminal(passed=passed("test_exact", "test_replicas")))
    assert f"{'replicas':<14} {'1 passed':<30} {verdict.ASKED_FOR['test_replicas']}" in [text for text, _ in ran]


def test_trainings_in_words():
    """Losses and distances by model, whatever lies outside, and the check that used most of its tolerance."""
    terminal = Terminal()
    checks = [
        CHECK | {"quantity": "test loss, last epoch", "text": "A"},
        CHECK | {"quantity": "train errors", "used": 1.5, "text": "B"},
        CHECK | {"quantity": "test errors", "used": 1.0, "text": "C"},
        CHECK | {"model": "model2", "quantity": "all quantities together", "used": 0.1, "text": "D"},
    ]
    verdict.write_trainings(terminal, checks, [], [])
    lines = [text for text, _ in terminal.lines]
    assert lines[:4] == [
        "\ntrainings: each loss in the band of the reference ensemble, and each model as a whole",
        f"  {'model1, test loss, last epoch':<44} A",
        f"  {'model1, train errors':<44} B",
        f"  {'model2, all quantities together':<44} D",
    ]
    assert lines[4] == "  tightest check of 4: model1, train errors (150% of tolerance)"
    assert "fail a healthy stack in at most 1 of 1000 runs" in lines[5]
    assert "in 95% of cases" in lines[6]
    empty = Terminal()
    verdict.write_trainings(empty, [], [], [])
    assert empty.lines == []


def test_what_is_not_judged_is_told():
    """The verdict names each quantity that is not judged, with the reason, and each that was drawn again, in order."""
    terminal = Terminal()
    unused = [{"model": "model3", "quantity": "test errors", "why": "it accepts chance"}]
    again = [{"model": model, "quantity": "test errors", "remark": "seed 2 inside"} for model in ("model4", "model2")]
    verdict.write_trainings(terminal, [CHECK], unused, again)
    assert [text for text, _ in terminal.lines][1:4] == [
        "  drawn again: model2, test errors: seed 2 inside",
        "  drawn again: model4, test errors: seed 2 inside",
        "  not judged: model3, test errors: it accepts chance",
    ]


def test_a_replication_alone_has_its_own_last_line(monkeypatch):
    """Where all of it ran, and no tier."""
    placed = [
        ("replication", {"model": model, "who": who, "text": f"{model}, {who}"})
        for model in ("model4", "model3", "model2", "model1")
        for who in (verdict.NOTEBOOK, verdict.FRESH)
    ]
    ran = [reported("tests/test_replication.py::test_member", *placed)]
    lines = said(monkeypatch, Terminal(passed=ran))
    assert lines[-1] == (verdict.REPLICATED, "")
    told = [text for text, _ in lines if text.startswith("model")]
    assert told == sorted(told)
    assert len(told) == 8
    assert said(monkeypatch, Terminal(passed=[*ran, *passed("test_exact")]))[-1] == (verdict.PARTIAL, "")


def test_stale_known_differences():
    """Each entry whose tests passed, with what it is gone on, and why it is no failure; a test's own mark has no name."""
    found = [(verdict.STALE, value) for value in (("A", "keras 4", ""), ("A", "keras 4", ""), ("", "keras 4", "a new one"))]
    assert verdict.stale([*found, ("other", ("B", "c", ""))]) == [
        ("  stale known difference: A, gone on keras 4", False),
        ("  stale known difference: a mark xfail, gone on keras 4; no failure: a new one", True),
    ]
