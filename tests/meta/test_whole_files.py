"""Does a file that is written keep its place, its permissions and its link, and is what a killed writer left cleared up?"""

import os
import platform
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec import files


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
        for own in (0o640, 0o755):
            (tmp_path / "a.csv").chmod(own)
            files.write_whole(tmp_path / "a.csv", "again")
            assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == own
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


UNWRITABLE = {  # path, is it to be a folder -> error and its words
    "a folder for a file": ("folder", False, IsADirectoryError, "it is a folder"),
    "a file for a folder": ("file", True, NotADirectoryError, "it is a file"),
    "below a file": ("file/below/a.json", False, NotADirectoryError, "{}/file is a file"),
    "a folder below a file": ("file/below", True, NotADirectoryError, "{}/file is a file"),
}


@pytest.mark.parametrize(("path", "folder", "kind", "words"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_path_that_cannot_be_written_is_noticed(tmp_path, path, folder, kind, words):
    """Before anything is written, and nothing is made or left."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(kind) as error:
        files.check_writable(tmp_path / path, folder)
    assert error.value.args == (0, words.format(tmp_path))
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize(
    ("path", "folder"), [("file", False), ("new/and/newer.json", False), ("folder", True), ("new", True)]
)
def test_a_path_that_can_be_written_is_fine(tmp_path, path, folder):
    """Whether it is there or new, and nothing is made or left."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    files.check_writable(tmp_path / path, folder)
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_path_is_a_file_where_nothing_else_is_said(tmp_path):
    """A folder takes the word `folder`."""
    with pytest.raises(IsADirectoryError):
        files.check_writable(tmp_path)


def test_folders_are_made(tmp_path):
    """Of a file and of its lock, with those above them; those that are there will do."""
    path, other = tmp_path / "new" / "and" / "a.csv", tmp_path / "other" / "new" / "b.csv"
    for _ in range(2):
        files.write_whole(path, "text")
        with files.locked(other):
            assert Path(f"{other}.lock").exists()
    assert path.read_text() == "text"


def test_the_name_of_a_temporary_file(tmp_path):
    """It is hidden, and tells the file by 40 characters at most, the machine, the process and one of its writes."""
    assert re.sub("[^0-9A-Za-z]", "_", platform.node()) == files.HERE
    assert files.hidden(Path("x" * 50)) == f".{'x' * 40}.{files.HERE}-"
    with files.replaced_whole(tmp_path / "a.csv") as temporary:
        assert re.fullmatch(rf"\.a\.csv\.{files.HERE}-{os.getpid()}-[0-9a-f]{{8}}\.part", temporary.name)


def test_another_writer_was_faster(tmp_path, monkeypatch):
    """A file that is gone when it is to be removed is no error, and those behind it are removed too."""
    monkeypatch.setattr(files, "runs", lambda process: False)
    for number in range(3):
        (tmp_path / f"{files.hidden(Path('a.csv'))}{number}-ab{files.PART}").touch()
    removed = Path.unlink

    def too_late(path):
        removed(path)
        raise FileNotFoundError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", too_late)
        files.remove_left_over(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [PermissionError, OverflowError])
def test_a_process_that_cannot_be_asked_may_run(monkeypatch, error):
    """One of another user, a number that is no process, and any on a system where asking would end it."""

    def refused(process, signal):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", refused)
        assert files.runs(1) is True
        patched.setattr(os, "name", "nt")
        patched.delattr(os, "kill")
        assert files.runs(1) is True
