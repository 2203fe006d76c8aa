"""Files written whole or not at all, and one writer at a time where what is written depends on what was there."""

from __future__ import annotations

import csv
import io
import os
import platform
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PART = ".part"  # end of the name of a file that is being written
HERE = "".join(letter if letter.isalnum() else "_" for letter in platform.node())  # the machine, as its files name it


@contextmanager
def replaced_whole(path: str | Path) -> Iterator[Path]:
    """Path of a temporary file in the folder of `path`; it replaces `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part. After an error the old file is unchanged. A new file has the
    permissions that the umask leaves, an old one keeps its own; of a link, the file that it leads to is replaced. What a
    killed process left beside it is removed.
    """
    path = Path(os.path.realpath(str(path)))
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path)
    temporary = path.parent / f"{hidden(path)}{os.getpid()}-{secrets.token_hex(4)}{PART}"
    os.close(os.open(str(temporary), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # before the name: a machine that loses power has the old file or the new one
        if path.exists():
            os.chmod(str(temporary), path.stat().st_mode & 0o777)
        os.replace(str(temporary), str(path))
    finally:
        if temporary.exists():
            temporary.unlink()


def write_whole(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Keep other writers of `path` waiting while the block reads and writes it; a file `path`.lock stays beside it."""
    from filelock import FileLock  # what only reads, or writes one file whole, does without it

    path = Path(os.path.realpath(str(path)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def hidden(path: Path) -> str:
    """How the names of the temporary files of `path` begin on this machine."""
    return f".{path.name[:40]}.{HERE}-"


def remove_left_over(path: Path) -> None:
    """Remove temporary files of `path` whose process, on this machine, has ended: it was killed while it wrote."""
    begin = hidden(path)
    for other in path.parent.iterdir():
        process = other.name[len(begin) :].split("-")[0]
        if other.name.startswith(begin) and other.name.endswith(PART) and process.isdigit() and not runs(int(process)):
            try:
                other.unlink()
            except FileNotFoundError:  # another writer was faster
                continue


def runs(process: int) -> bool:
    """Whether a process of this machine runs; where that cannot be asked, it may."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def check_writable(path: str | Path, folder: bool = False) -> None:
    """Raise OSError where `path`, a file or a `folder`, cannot be written. Nothing is made and nothing is left."""
    path = Path(os.path.realpath(str(path)))
    if path.exists() and path.is_dir() != folder:
        raise (NotADirectoryError if folder else IsADirectoryError)(0, "it is a file" if folder else "it is a folder")
    place = path if folder else path.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(0, f"{place} is a file")
    with tempfile.TemporaryFile(dir=str(place)):
        pass


def with_row(text: str, row: Mapping[str, str]) -> str:
    """The text of a CSV with one row more, and its header where it is empty. A last line without its end gets one."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(row), lineterminator="\n")
    if not text:
        writer.writeheader()
    writer.writerow(row)
    return text + ("" if text.endswith("\n") or not text else "\n") + out.getvalue()
