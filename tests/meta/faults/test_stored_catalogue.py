"""Are the stored results those of faults of the catalogue, and is each caught, or missed for a stated reason?"""

import json
import subprocess
import sys

import pytest

from cnnspec.__main__ import main
from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.facts import reading
from cnnspec.faults import power, store
from tests.meta.faults.made_rows import row
from tests.meta.faults.missed import SEEN_BY

NAMES = "import json; from tests.meta.faults import put; print(json.dumps({n: f.kind for n, f in put.loaded().items()}))"
NEXT = "python -m tests.meta.faults.run"


@pytest.mark.skipif(KERAS_VERSION < (3, 0) or backend() != "tensorflow", reason="the catalogue is for Keras 3 on TensorFlow")
def test_what_is_stored_is_in_the_catalogue():
    """Every stored fault is one of the catalogue, of the same kind. The others wait for a run, which goes on with them."""
    command = [sys.executable, "-c", NAMES]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, check=True)
    catalogue = json.loads(ended.stdout.splitlines()[-1])
    stored = {row["fault"]: row["kind"] for row in power.faults(store.CATALOGUE.read(store.PATH))}
    assert stored, NEXT
    assert {name: catalogue.get(name) for name in stored} == stored, NEXT


def test_what_is_not_caught_has_a_reason():
    """Each fault is caught, or listed with the level that sees it; the suite without a fault was green."""
    rows = store.CATALOGUE.read(store.PATH)
    assert power.unexplained(rows, SEEN_BY) == []
    assert [each["result"] for each in rows if each["fault"] == store.HEALTHY] == [store.MISSED]


def test_a_fault_without_a_reason_is_seen():
    """The check above fails for a fault that is missed and not listed, and for one that is listed and caught."""
    rows = [row("a"), row("b", store.MISSED), row("c", store.ERROR)]
    assert power.unexplained(rows, {}) == ["b", "c"]
    assert power.unexplained(rows, {"b": "soak", "c": "soak", "a": "soak"}) == ["a", "c"]  # an error is never excused


def test_the_report_shows_them(tmp_path, capsys):
    """`cnnspec report --faults CSV` prints the table by kind; a damaged file is one line and exit code 3."""
    path = tmp_path / "catalogue.csv"
    path.write_text(store.CATALOGUE.written([row("a"), row("b", store.MISSED, kind="fit")]), encoding="utf-8")
    written = tmp_path / "report.md"
    assert main(["report", "--faults", str(path), "--markdown", str(written)]) == 0
    told = capsys.readouterr().out
    assert power.TITLE in told
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if line.startswith("|")]
    assert lines[0] == list(power.HEADER)
    assert lines[2:] == power.by_kind(store.CATALOGUE.read(path))
    assert power.TITLE in written.read_text(encoding="utf-8")
    path.write_text("fault\n", encoding="utf-8")
    assert main(["report", "--faults", str(path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1
