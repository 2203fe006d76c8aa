"""Does every report with one field changed end in one line or in a whole table and page?"""

import copy
import json

import pytest

from cnnspec import __main__ as command_line
from tests.meta.reports.made_reports import made
from tests.meta.reports.test_report import written

VALUES = (None, True, -1, 0, 0.5, 1e-250, 1e250, 10**30, "", "`|<b>\n\u2028", "pass", [], [0.5, 0.5, 0.5], [[]], {}, {"": 0})


def small(environment):
    """A report with the trainings of one model."""
    report = made(environment, known_differences=[{"test": "a.py::b", "reason": "c"}])
    report.trainings = {"model1": report.trainings["model1"]}
    report.table = {"Test Loss": {"model1": 0.2}}
    return report


def places(value, path=()):
    """The path of every field and item below a value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


def damaged(fields):
    """(what was done, fields): each place removed, doubled in its list, and given each of VALUES."""
    for path in places(fields):
        if (path[0] == "tiers" and path[1:2] not in ((), ("numerics",))) or path[-1] == 1:
            continue  # all tiers are alike, and all items of a list
        for change in ("removed", "doubled", *VALUES):
            changed = copy.deepcopy(fields)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if change == "removed":
                del inner[path[-1]]
            elif change == "doubled":
                if not isinstance(inner, list):
                    continue
                inner.append(inner[path[-1]])
            else:
                inner[path[-1]] = change
            yield f"{path}: {change!r}", changed


def test_any_field_may_be_anything(tmp_path, capsys):
    """Beside a sound report: exit code 3 and one line that names the file, or a table and a page of both reports."""
    sound, path = written(tmp_path, small("sound"), small("tf221"))
    fields = json.loads((tmp_path / "1.json").read_text())
    ended = {0: 0, 1: 0, 3: 0}
    for what, changed in damaged(fields):
        (tmp_path / "1.json").write_text(json.dumps(changed))
        try:
            code = command_line.main(["report", sound, path, "--html", str(tmp_path / "a.html")])
        except Exception as error:
            pytest.fail(f"{what}: {error!r}")
        output, errors = capsys.readouterr()
        ended[code] += 1
        if code == 3:
            assert errors.startswith(f"error: {path}"), what
            assert errors.count("\n") == 1, what
        else:
            assert len([line for line in output.splitlines() if line.startswith("| ")]) == 4, what
    assert ended[3] > 500
    assert min(ended.values()) > 0
