"""Is nothing lost where two write at once, nor where a writer is killed, and is nothing left half-written?"""

import json
import subprocess
import sys

import pytest

from cnnspec.facts import reading
from tests.meta.damage.writers import WRITERS, left_over

KILLS = 100  # of each writer


def command(kind, folder, *words):
    """The command of `writers.py`."""
    return [sys.executable, "-W", "ignore", "-m", "tests.meta.damage.writers", kind, str(folder), *map(str, words)]


@pytest.mark.parametrize("kind", WRITERS)
def test_two_at_once(tmp_path, kind):
    """Two processes write 24 each: all are there, or the last of one of them where each replaces the one before."""
    processes = [subprocess.Popen(command(kind, tmp_path, first, 24), cwd=reading.PROJECT) for first in (0, 100)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    due = [[23], [123]] if WRITERS[kind].last else [[*range(24), *range(100, 124)]]
    assert sorted(WRITERS[kind].held(tmp_path)) in due
    assert left_over(tmp_path) == []


@pytest.mark.kills
@pytest.mark.parametrize("kind", WRITERS)
def test_kills(tmp_path, kind):
    """After each of a hundred `kill -9` all that was told as written is there, and whole; the next writer clears up."""
    ended = subprocess.run(command(kind, tmp_path, "kills", KILLS), cwd=reading.PROJECT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout)
    print(f"{kind}, {KILLS} kills: {found}")
    assert found["written"] >= KILLS
    assert (found["lost"], found["torn"], found["parts left"]) == (0, 0, 0)
