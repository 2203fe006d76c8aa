"""Is what came of one side read rightly from the tests of a whole stack?"""

import pytest

from cnnspec.bisect.search import FAILS, PASSES, SKIPPED
from tests.meta.museum import visits
from tests.meta.museum.visits import Case

CASES = [
    Case("tests/test_a.py::test_a[1]", PASSES, "", 1.0),
    Case("tests/test_a.py::test_a[2]", FAILS, "too large", 2.0),
    Case("tests/test_a.py::test_a[3]", FAILS, "later", 4.0),
    Case("tests/test_a.py::test_ab", PASSES, "", 8.0),
    Case("tests/test_a.py::test_c", SKIPPED, "not here", 0.0),
]
RESULT = {
    "the first failure decides": ("test_a", (FAILS, "tests/test_a.py::test_a[2]", "too large", 3.0)),
    "one value of a parameter": ("test_a[1]", (PASSES, "", "1 passed", 1.0)),
    "a name is whole": ("test_ab", (PASSES, "", "1 passed", 8.0)),
    "a skipped test is no pass": ("test_c", (SKIPPED, "", "not here", 0.0)),
    "no test is no pass": ("test_d", (SKIPPED, "", "it crashed", 0.0)),
}


@pytest.mark.parametrize(("test", "expected"), RESULT.values(), ids=RESULT)
def test_what_came_of_a_side(test, expected):
    """Of its own tests alone the first failure, or that all passed; else there is no verdict."""
    found = visits.result([f"tests/test_a.py::{test}"], CASES, "it crashed")
    assert tuple(found[name] for name in ("verdict", "test", "message", "seconds")) == expected


def test_an_error_is_a_failure_too(tmp_path):
    """An error before the test is a failure; its text is kept where it has no message."""
    xml = tmp_path / "found.xml"
    cases = '<testcase classname="tests.test_state" name="test_a"/><testcase classname="tests.test_state" name="test_b">'
    xml.write_text(f"<testsuite>{cases}<error>no fixture</error></testcase></testsuite>", encoding="utf-8")
    assert visits.cases_of(xml) == [
        Case("tests/test_state.py::test_a", PASSES, "", 0.0),
        Case("tests/test_state.py::test_b", FAILS, "no fixture", 0.0),
    ]
    assert visits.shortened("a\n  b") == "a b"
    assert len(visits.shortened("a" * 3000)) == visits.LONGEST + 1


def test_a_report_that_cannot_be_read_names_no_stack(tmp_path):
    """A missing or damaged report gives no stack."""
    assert visits.imported(tmp_path / "none.json") == ""
    (tmp_path / "report.json").write_text("{", encoding="utf-8")
    assert visits.imported(tmp_path / "report.json") == ""
