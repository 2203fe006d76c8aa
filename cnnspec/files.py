"""Files written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced_whole(path: str | Path) -> Iterator[Path]:
    """Path of a temporary file in the folder of `path`; it replaces `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part. After an error the old file is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(name, 0o644)  # mkstemp makes files that only their owner reads
        os.replace(name, str(path))
    finally:
        if temporary.exists():
            temporary.unlink()


def write_whole(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with replaced_whole(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def with_row(text: str, row: Mapping[str, str]) -> str:
    """The text of a CSV with one row more, and its header where it is empty. A last line without its end gets one."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(row), lineterminator="\n")
    if not text:
        writer.writeheader()
    writer.writerow(row)
    return text + ("" if text.endswith("\n") or not text else "\n") + out.getvalue()
