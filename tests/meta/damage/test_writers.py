"""Is nothing lost where two write at once, nor where a writer is killed, and is nothing left half-written?"""

import json
import os
import stat
import subprocess
import sys

import pytest

from cnnspec import files
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


def test_what_a_killed_writer_left_is_removed(tmp_path):
    """A temporary file of a process that has ended goes with the next write; that of one that runs stays."""
    path = tmp_path / "a.json"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine, theirs = (f"{files.hidden(path)}{process}-ab{files.PART}" for process in (os.getpid(), ended.pid))
    for name in (mine, theirs, ".a.json.elsewhere-1-ab.part", "b.json"):
        (tmp_path / name).write_text("half")
    files.write_whole(path, "whole")
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"a.json", mine, ".a.json.elsewhere-1-ab.part", "b.json"}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct)
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path, mask, mode):
    """As `open` makes it; a file that was there keeps its own."""
    before = os.umask(mask)
    try:
        files.write_whole(tmp_path / "a.csv", "new")
        assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == mode
        (tmp_path / "a.csv").chmod(0o640)
        files.write_whole(tmp_path / "a.csv", "again")
        assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_a_link_is_followed(tmp_path):
    """What a link leads to is replaced; the link stays. A link to nothing makes the file. The lock is that of the file."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "there" / "a.csv")
    for text in ("new", "again"):
        with files.locked(tmp_path / "link.csv"):
            files.write_whole(tmp_path / "link.csv", text)
        assert (tmp_path / "there" / "a.csv").read_text() == text
        assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "there" / "a.csv.lock").exists()


UNWRITABLE = {
    "a folder for a file": ("folder", False),
    "a file for a folder": ("file", True),
    "below a file": ("file/below/a.json", False),
    "a folder below a file": ("file/below", True),
}


@pytest.mark.parametrize(("path", "folder"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_path_that_cannot_be_written_is_noticed(tmp_path, path, folder):
    """Before anything is written, and nothing is made or left; paths that can be written, also new ones, are fine."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"it is a|is a file"):
        files.check_writable(tmp_path / path, folder)
    files.check_writable(tmp_path / "new" / "and" / "newer.json")
    files.check_writable(tmp_path / "folder", folder=True)
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["file", "folder"]
