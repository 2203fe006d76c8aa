"""Do the stored results tell of every fault of the catalogue, and is each caught, or missed for a reason that is written down?"""

import json
import subprocess
import sys

import pytest

from cnnspec.compat import KERAS_VERSION, backend
from cnnspec.facts import reading
from cnnspec.faults import power, store
from tests.meta.faults.made_rows import row
from tests.meta.faults.missed import SEEN_BY

NAMES = "import json; from tests.meta.faults import put; print(json.dumps({n: f.kind for n, f in put.loaded().items()}))"
NEXT = "python -m tests.meta.faults.run"
STORED = pytest.mark.skipif(not store.PATH.exists(), reason=f"nothing is stored; {NEXT} makes {store.PATH}")


@STORED
@pytest.mark.skipif(KERAS_VERSION < (3, 0) or backend() != "tensorflow", reason="the catalogue is for Keras 3 on TensorFlow")
def test_every_fault_is_stored():
    """The same faults, of the same kinds, in the catalogue and in the file."""
    command = [sys.executable, "-c", NAMES]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, check=True)
    catalogue = json.loads(ended.stdout.splitlines()[-1])
    stored = {row["fault"]: row["kind"] for row in power.faults(store.CATALOGUE.read(store.PATH))}
    assert stored == catalogue, NEXT


@STORED
def test_what_is_not_caught_has_a_reason():
    """Each fault is caught, or listed with the level that sees it; the suite without a fault was green."""
    rows = store.CATALOGUE.read(store.PATH)
    assert power.unexplained(rows, SEEN_BY) == []
    assert [each["result"] for each in rows if each["fault"] == store.HEALTHY] == [store.MISSED]


def test_a_fault_without_a_reason_is_seen():
    """The check above fails for a fault that is missed and not listed, and for one that is listed and caught."""
    rows = [row("a"), row("b", store.MISSED), row("c", store.ERROR)]
    assert power.unexplained(rows, {}) == ["b", "c"]
    assert power.unexplained(rows, {"b": "soak", "c": "soak", "a": "soak"}) == ["a"]
