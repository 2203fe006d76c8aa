"""Does an expected failure fail when it is stale, and when something else than the difference is wrong?"""

import pytest

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
