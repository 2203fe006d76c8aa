"""Is every damaged file refused in one line that says what to do, or read as it is written? No traceback, no silence.

`pytest tests/meta/damage -m damage` tries a thousand damages of each kind.
"""

import pytest

pytest.importorskip("hypothesis", reason="Hypothesis makes the damaged files: python -m pip install -e .[dev]")

from hypothesis import HealthCheck, given, settings

from tests.meta.damage import kinds
from tests.meta.damage.damages import EITHER, EQUAL, REFUSED, damages

FEW = settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=1000, derandomize=False)
BY_NAME = [pytest.param(kind, id=kind.name) for kind in kinds.KINDS]


def ended(kind, path, damage):
    """What became of a damaged file: refused or read. Fails where that is wrong."""
    path.write_bytes(damage.data)
    try:
        value = kind.read(path)
    except kind.error as error:
        message = str(error)
        assert message.startswith(str(path)), message
        assert "; " in message, message
        assert message.count("\n") == 0, message
        assert len(message) < len(str(path)) * 3 + 500, message
        assert damage.fate != EQUAL, message
        return REFUSED
    assert damage.fate != REFUSED, f"read in silence: {value!r:.300}"
    written = kind.parsed(damage.data if damage.fate == EITHER else kind.sound().encode())
    assert kinds.same(value, written), f"{value!r:.300}\nis not\n{written!r:.300}"
    assert kinds.finite(value)
    return "read"


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_sound_file_is_read(tmp_path, kind):
    """Every kind's own file is read as another parser reads it, and written again the same."""
    (tmp_path / kind.file).write_text(kind.sound(), encoding="utf-8")
    assert kinds.same(kind.read(tmp_path / kind.file), kind.parsed(kind.sound().encode()))


@pytest.mark.parametrize("kind", BY_NAME)
def test_a_damaged_file(tmp_path_factory, kind):
    """Some damages of every kind of file."""
    folder = tmp_path_factory.mktemp("damaged")

    @FEW
    @given(damages(kind))
    def every(damage):
        ended(kind, folder / kind.file, damage)

    every()


@pytest.mark.damage
@pytest.mark.parametrize("kind", BY_NAME)
def test_many_damaged_files(tmp_path_factory, kind):
    """A thousand, drawn anew in each run."""
    folder = tmp_path_factory.mktemp("damaged")

    @MANY
    @given(damages(kind))
    def every(damage):
        ended(kind, folder / kind.file, damage)

    every()
