"""Is every exhibit whole, does the suite have the tests that it names, and were all seen red and their neighbours green?"""

import ast
import re

import pytest

from cnnspec.errors import BaselineError
from cnnspec.facts import reading
from tests.meta.museum import __main__ as museum
from tests.meta.museum.exhibits import DUE, FILE, HEALTHY, ILL, exhibits, results, wrong

EVERY = exhibits()
ROWS = results()
EACH = pytest.mark.parametrize("exhibit", EVERY, ids=lambda exhibit: exhibit.name)
LEAST = 12  # exhibits


def missing(tests):
    """Of tests as pytest takes them, those whose function does not exist."""
    found = []
    for test in tests:
        module, _, name = test.partition("::")
        path = reading.PROJECT / module
        tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        found += [] if name.split("[")[0] in functions else [test]
    return found


@EACH
def test_the_suite_has_the_tests(exhibit):
    """Each exhibit names tests of the suite, and a public source or a file of the project."""
    assert missing(exhibit.sides[ILL].tests) == []
    source = re.match(r"[\w/.-]+\.md", exhibit.issue)
    assert exhibit.issue.startswith("https://github.com/") or (source and (reading.PROJECT / source.group()).is_file())


def test_a_missing_test_is_named():
    """A function or a module that does not exist is found."""
    wrong_ones = ["tests/test_state.py::test_gone[a]", "tests/test_gone.py::test_shapes"]
    assert missing([*wrong_ones, "tests/test_data.py::test_shapes[x_train]"]) == wrong_ones


@EACH
@pytest.mark.parametrize("which", DUE)
def test_it_was_seen(exhibit, which):
    """The stored result of each side is of today's row: red for the documented reason, or green."""
    fault = wrong(exhibit, which, ROWS.get((exhibit.name, which)))
    assert fault == "", f"{exhibit.name}, {which}: {fault}; run tox run -e museum -- --store {exhibit.name}"


@EACH
def test_the_sides_differ(exhibit):
    """An ill and a healthy stack run the same tests, and are two."""
    ill, healthy = exhibit.sides[ILL], exhibit.sides[HEALTHY]
    assert ill.digest != healthy.digest
    assert ill.tests == healthy.tests


def test_there_are_enough():
    """The museum has at least a dozen exhibits, each seen."""
    assert len(EVERY) >= LEAST
    assert len(ROWS) == 2 * len(EVERY)


def test_the_readme_has_the_results():
    """The table of the README is that of the stored results."""
    text = museum.README.read_text(encoding="utf-8")
    assert f"{museum.BEGIN}{museum.table(EVERY, ROWS)}{museum.END}" in text


def result(exhibit, **changes):
    """A right result of the ill side of an exhibit, with changes."""
    fields = {"asked": exhibit.sides[ILL].digest, "verdict": "fails", "message": " ".join(exhibit.words), "passed": 0}
    return {**fields, **changes}


def test_a_wrong_result_is_named():
    """No result, another row's, another verdict, another reason, and a neighbour that ran nothing are each told."""
    first = EVERY[0]
    assert wrong(first, ILL, result(first)) == ""
    assert wrong(first, ILL, None) == "was not run"
    assert wrong(first, ILL, result(first, asked="0")) == "was run with other versions or tests"
    assert wrong(first, ILL, result(first, verdict="passes", message="m")) == "passes, and must be one that fails: m"
    missing_words = ", ".join(map(repr, first.words))
    assert wrong(first, ILL, result(first, message="m")) == f"its message lacks {missing_words}: m"
    healthy = result(first, asked=first.sides[HEALTHY].digest, verdict="passes")
    assert wrong(first, HEALTHY, healthy) == "no test passed"
    assert wrong(first, HEALTHY, {**healthy, "passed": 1}) == ""


def test_a_damaged_file_is_told(tmp_path):
    """A row that lacks a field is an error that names it."""
    text = FILE.read_text(encoding="utf-8").replace("story = ", "tale = ", 1)
    (tmp_path / "exhibits.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BaselineError, match=f"fields of {EVERY[0].name} missing: story; unknown: tale"):
        exhibits(tmp_path / "exhibits.toml")
    (tmp_path / "results.csv").write_text("exhibit\n", encoding="utf-8")
    with pytest.raises(BaselineError, match="lacks the columns"):
        results(tmp_path / "results.csv")
    assert results(tmp_path / "none.csv") == {}
