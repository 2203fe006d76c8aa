"""Are mutants counted as they ran, are their scores stored whole, and do the stored ones fit the code of today?"""

import json

import pytest

from tests.meta.mutation import __main__ as command
from tests.meta.mutation import groups, scores

MODULE = "cnnspec/names.py"
DIFF = "--- mutation diff ---\n--- acnnspec/names.py\n+++ bcnnspec/names.py\n@@ -1,3 +1,3 @@\n a = 1\n-b = 2\n+b = 3\n c\n"
ABOUT = {"text": "0" * 12, "date": "2026-11-26", "python": "3.12.1", "cosmic_ray": "8.7.0"}


def item(operator, definition, result):
    """A line that `cosmic-ray dump` prints for a mutant."""
    mutation = {"module_path": MODULE, "operator_name": f"core/{operator}", "definition_name": definition}
    return json.dumps([{"job_id": "1", "mutations": [mutation]}, result])


def ran(outcome, worker="normal", diff=DIFF):
    """What became of a mutant."""
    return {"worker_outcome": worker, "test_outcome": outcome, "diff": diff, "output": ""}


DUMP = "\n".join(
    (
        item("NumberReplacer", "f", ran("survived")),
        item("NumberReplacer", "f", ran("killed")),
        item("AddNot", None, ran("incompetent")),
        item("NumberReplacer", "f", ran(None, "skipped")),
        item("NumberReplacer", "f", ran("survived")),
    )
)


def test_mutants_are_counted_as_they_ran():
    """What survived is not killed; all else is, but for what a filter left out, which is no mutant."""
    found = scores.mutants(MODULE, DUMP)
    assert [(mutant.name, mutant.killed) for mutant in found] == [
        (f"{MODULE}:f:NumberReplacer:1", False),
        (f"{MODULE}:f:NumberReplacer:2", True),
        (f"{MODULE}:module:AddNot:1", True),
        (f"{MODULE}:f:NumberReplacer:3", False),
    ]
    assert (found[0].before, found[0].after) == ("b = 2", "b = 3")
    for unknown in (None, ran(None, "abnormal"), ran(None, "exception")):
        with pytest.raises(ValueError, match="a mutant did not run"):
            scores.mutants(MODULE, item("AddNot", "f", unknown))


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("END = Number(1e-200, 1e200)", "END = Number(1e-200, 1e+200)", True),
        ("END = Number(1e-200, 1e12)", "END = Number(1e-200, 1000000000001.0)", False),
        ("for a, b in zip(c, d, strict=True):", "for a, b in zip(c, d, strict= False):", True),
        ("f(strict=True, whole=True)", "f(strict=True, whole= False)", False),
        ("path.resolve(strict=True)", "path.resolve(strict= False)", False),
        ("if a > b:", "if a >= b:", False),
        ("if a + 1:", "if a - 1:", False),
        ("a = b[1]", "a = b[ 2]", False),
    ],
)
def test_mutants_without_an_effect_are_none(before, after, same):
    """The same number in other digits, and `zip` without its check of lengths."""
    assert scores.without_effect(before, after) == same


def test_a_reason_stays_with_its_mutant(tmp_path):
    """A survivor that is found again keeps its reason, one that is killed goes, and other modules' rows stay."""
    found = scores.mutants(MODULE, DUMP)
    scores.store(MODULE, found, ABOUT, tmp_path)
    path = tmp_path / "survivors.csv"
    rows = scores.SURVIVORS.read(path)
    assert scores.unexplained(rows) == [f"{MODULE}:f:NumberReplacer:1", f"{MODULE}:f:NumberReplacer:3"]
    rows[0]["reason"] = "equivalent: b is not used"
    path.write_text(scores.SURVIVORS.written([*rows, {**rows[0], "mutant": "cnnspec/other.py:f:AddNot:1"}]))
    scores.store(MODULE, found[:1], ABOUT, tmp_path)
    assert [(row["mutant"], row["reason"]) for row in scores.SURVIVORS.read(path)] == [
        (f"{MODULE}:f:NumberReplacer:1", "equivalent: b is not used"),
        ("cnnspec/other.py:f:AddNot:1", "equivalent: b is not used"),
    ]
    (score,) = scores.SCORES.read(tmp_path / "scores.csv")
    assert (score["mutants"], score["killed"], score["survived"]) == ("1", "0", "1")


def test_groups_name_what_is_there():
    """Every module and every file of tests exists, and no module is judged twice."""
    assert groups.missing() == []
    named = [path for group in groups.GROUPS.values() for path in group.modules]
    assert len(named) == len(set(named))


def test_unknown_names_are_refused(capsys):
    """Exit code 2, and what shows the names; nothing runs."""
    assert command.main(["nothing"]) == 2
    assert "--list shows them" in capsys.readouterr().err


def test_stored_survivors_have_reasons_and_are_in_the_code():
    """Each stored survivor is explained, its line stands in the module, and the counts agree with the scores."""
    rows = scores.SURVIVORS.read(scores.FOLDER / "survivors.csv")
    assert scores.unexplained(rows) == []
    survivors = {}
    for row in rows:
        module = row["mutant"].partition(":")[0]
        survivors[module] = survivors.get(module, 0) + 1
        lines = [line.strip() for line in (groups.reading.PROJECT / module).read_text(encoding="utf-8").splitlines()]
        before = row["before"].split(scores.BREAK)
        assert set(before) <= set(lines), f"{row['mutant']} is of an older text: run {scores.MAKE} {module}"
    stored = {row["module"]: int(row["survived"]) for row in scores.SCORES.read(scores.FOLDER / "scores.csv")}
    assert {module: count for module, count in stored.items() if count} == survivors
