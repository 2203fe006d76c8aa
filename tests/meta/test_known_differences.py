"""Does an expected failure fail when it is stale, and when something else than the difference is wrong?"""

import platform
import re

import keras
import pytest
from packaging.version import Version

from cnnspec import stack
from cnnspec.facts import reading
from tests.support import known_differences

TEST = """
from tests.support.known_differences import known
import pytest

{mark}
def test_it():
    {body}
"""
FAILS = 'pytest.fail("the difference")'
CASES = {  # mark, body -> outcome
    "the difference": ("@known(True, 'why')", FAILS, {"xfailed": 1}),
    "gone": ("@known(True, 'why')", "assert True", {"failed": 1}),
    "another failure": ("@known(True, 'why')", "raise TypeError", {"failed": 1}),
    "an error that is the difference": ("@known(True, 'why', raises=TypeError)", "raise TypeError", {"xfailed": 1}),
    "another version": ("@known(False, 'why')", FAILS, {"failed": 1}),
}


@pytest.mark.parametrize(("mark", "body", "outcome"), CASES.values(), ids=CASES)
def test_known(pytester, mark, body, outcome):
    """Only the difference itself, on the versions that have it, is an expected failure."""
    pytester.makepyfile(TEST.format(mark=mark, body=body))
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(**outcome)


def test_without_known_differences(pytester):
    """With --runxfail, as `cnnspec bisect` runs the suite, a test that is known to differ simply fails, and one that is
    not known to differ any more simply passes.
    """
    body = "\n".join(
        TEST.format(mark=mark, body=body).replace("test_it", f"test_{number}")
        for number, (mark, body, _) in enumerate([CASES["the difference"], CASES["gone"]])
    )
    pytester.makepyfile(body)
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--runxfail").assert_outcomes(failed=1, passed=1)


NEWEST_TENSORFLOW, NEWEST_KERAS = known_differences.NEWEST["tensorflow"], known_differences.NEWEST["Keras"]
STACKS = {  # framework, Keras, processor -> what of it was never measured
    "the newest": (f"tensorflow {NEWEST_TENSORFLOW}", NEWEST_KERAS, "x86_64", ""),
    "older": ("tensorflow 2.12.1", "2.12.0", "AMD64", ""),
    "a vendor's build": ("torch 2.13.0+cu130", "3.15.1", "x86_64", ""),
    "a newer Keras": ("jax 0.12.0", "4.0.0", "x86_64", f"Keras 4.0.0 is none of those up to {NEWEST_KERAS}"),
    "a newer framework": (
        "tensorflow 3.0.0",
        "3.15.1",
        "x86_64",
        f"tensorflow 3.0.0 is none of those up to {NEWEST_TENSORFLOW}",
    ),
    "no version": (
        "tensorflow 2.16-ours",
        "3.3.3",
        "x86_64",
        f"tensorflow 2.16-ours is none of those up to {NEWEST_TENSORFLOW}",
    ),
    "another processor": ("jax 0.12.0", "3.15.1", "aarch64", "no processor of the family aarch64 was measured"),
}


@pytest.mark.parametrize(("framework", "version", "machine", "told"), STACKS.values(), ids=STACKS)
def test_what_was_never_measured(monkeypatch, framework, version, machine, told):
    """Newer versions than the newest, versions that cannot be compared, and processors of other families."""
    monkeypatch.setattr(stack, "current", lambda: {"framework": framework})
    monkeypatch.setattr(keras, "__version__", version)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert known_differences.unmeasured() == told


def test_the_newest_versions_are_in_the_matrix():
    """They are the newest among the rows of results in baselines/matrix/README.md."""
    text = (reading.BASELINES / "matrix" / "README.md").read_text(encoding="utf-8")
    newest = dict.fromkeys(known_differences.NEWEST, Version("0"))
    for framework, its, of_keras in re.findall(r"\| (tensorflow|jax|torch) (\d\S+) \| (?:tf_keras )?(\d\S+) \|", text):
        for name, version in ((framework, its), ("Keras", of_keras)):
            newest[name] = max(newest[name], Version(Version(version).public))
    assert newest == {name: Version(version) for name, version in known_differences.NEWEST.items()}
