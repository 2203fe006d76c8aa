"""Is every fault of the catalogue told in full, put in where it should be, and watched as a person would read the run?"""

import os
import subprocess
import sys

import pytest

from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.facts import reading
from tests.meta.faults import put, watching
from tests.meta.faults.catalogue import entries

KERAS_3 = pytest.mark.skipif(
    KERAS_VERSION < (3, 0) or backend() != "tensorflow", reason="the catalogue is for Keras 3 on TensorFlow: tox run -e test"
)


def told(**other):
    """What `add` is told of a fault."""
    return {"kind": "layer", "story": "It is wrong.", "source": "made", "words": "Conv2D"} | other


def test_a_fault_is_told_in_full(monkeypatch):
    """Without a story, a source or a word, with an unknown kind or a name that is taken, nothing is added."""
    monkeypatch.setattr(entries, "CATALOGUE", {})
    entries.add("a", print, **told())
    for wrong in ({"story": " "}, {"source": ""}, {"words": ()}, {"words": ("x", "")}, {"kind": "other"}):
        with pytest.raises(ValueError, match=r"^b: "):
            entries.add("b", print, **told(**wrong))
    with pytest.raises(ValueError, match=r"^two faults are called a$"):
        entries.add("a", print, **told())
    assert list(entries.CATALOGUE) == ["a"]


@KERAS_3
def test_the_catalogue_loads():
    """All modules load beside each other, every story is a sentence, and what is listed as missed is there.

    `python -m tests.…` in a process with a fault is run with the fault, anything else as it is.
    """
    script = (
        "import os, subprocess, sys\n"
        "from tests.meta.faults import missed, put, sources\n"
        "found = put.loaded()\n"
        "assert all(sources.of_fault(name) for name in found)\n"
        "assert set(missed.SEEN_BY) <= set(found), set(missed.SEEN_BY) - set(found)\n"
        "put.put(os.environ['FAULT'])\n"
        "run = lambda *words: subprocess.run([sys.executable, *words], capture_output=True, text=True).stdout.strip()\n"
        "print(run('-m', 'tests.meta.faults.telling'), run('-c', 'print(1)'))\n"
        "print(len(found), *[name for name, fault in found.items() if not fault.story.endswith('.')])"
    )
    environment = {**os.environ, "FAULT": "normalization_momentum_default"}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr[-2000:]
    momentum, one, count, *unfinished = ended.stdout.split()
    assert (momentum, one) == ("0.9", "1")
    assert int(count) >= 80
    assert unfinished == []


@pytest.mark.parametrize(("name", "said"), [("", "needs the name of a fault"), ("nobody", "FAULT=nobody is not in")])
def test_a_name_is_needed(monkeypatch, pytestconfig, name, said):
    """The plugin refuses a run without a fault, and one with a fault that it does not know."""
    monkeypatch.setenv("FAULT", name)
    monkeypatch.setattr(put, "loaded", dict)
    with pytest.raises(pytest.UsageError, match=said):
        put.pytest_configure(pytestconfig)


CASES = {  # what fails in which module, with which message -> what is seen, what is named, how many tests pass
    "nothing": ({}, None, None, 3),
    "named at once, in a quick tier": ({"exact": "Conv2D is wrong"}, "exact", ("exact", "quick"), 0),
    "seen, and named later": (
        {"exact": "something is wrong", "lockstep": "Conv2D is wrong"},
        "exact",
        ("lockstep", "default"),
        1,
    ),
    "seen and never named": ({"exact": "something is wrong"}, "exact", None, 2),
    "named by a slow test, then by a quick one": (
        {"slow": "Conv2D is wrong", "numerics": "Conv2D is wrong"},
        "exact",
        ("numerics", "quick"),
        0,
    ),
    "seen by an error of the fault's own code": (
        {"exact": "TypeError: Conv2D.call() missing 1 required argument", "numerics": "Conv2D is wrong"},
        "exact",
        ("numerics", "quick"),
        0,
    ),
    "named by a slow test alone": ({"slow": "Conv2D is wrong"}, "exact", ("exact", "default"), 1),
}


def module(test, message, slow=False):
    """A module of one test that fails with a message, or passes where there is none."""
    mark = "@pytest.mark.slow\n" if slow else ""
    body = f"    pytest.fail({message!r}, pytrace=False)\n" if message else "    pass\n"
    return f"import pytest\n\n{mark}def test_{test}():\n{body}"


@pytest.mark.parametrize("case", CASES)
def test_a_run_ends_when_the_fault_is_named(bare_project, case):
    """Which failure is kept, at which level, and where the run stops."""
    failing, seen, named, passed = CASES[case]
    bare_project.makeini("[pytest]\nmarkers =\n    slow: slow")
    exact = module("exact", failing.get("slow") or failing.get("exact"), slow="slow" in failing)
    others = {f"test_{tier}": module(tier, failing.get(tier)) for tier in ("numerics", "lockstep")}
    bare_project.makepyfile(test_exact=exact, **others)
    watcher = watching.Watcher(("Conv2D",))
    bare_project.inline_run("-p", "no:cacheprovider", plugins=[watcher])
    assert (watcher.seen and watcher.seen.tier) == seen
    assert (watcher.named and (watcher.named.tier, watcher.named.level)) == named
    assert watcher.passed == passed


def test_a_message_is_told_without_its_source():
    """The first line and the line with the word; the test's own source, which may hold the word, is not part of it."""
    assert watching.told("first\n\n  second  Conv2D\nthird", ("Conv2D",)) == "first | second Conv2D"
    assert watching.told("Conv2D\nConv2D", ("Conv2D",)) == "Conv2D"
    assert watching.told("", ("Conv2D",)) == "no message"
    assert len(watching.told("x" * 1000, ())) == watching.LONGEST
