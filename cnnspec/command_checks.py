"""What a command can see before anything is imported: seeds, missing files, places that cannot be written."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from cnnspec.errors import DataError, OutUnusable, WrongArguments
from cnnspec.files import check_writable, write_whole
from cnnspec.names import LARGEST_SEED


def check(options: Namespace) -> None:
    """What can be seen before anything is imported and run. Raises WrongArguments, DataError and OutUnusable."""
    last = getattr(options, "first_seed", 0) + getattr(options, "runs", 1) - 1
    if last > LARGEST_SEED:
        raise WrongArguments(f"the last seed would be {last}; --first-seed + --runs - 1 may be at most {LARGEST_SEED}")
    mnist = getattr(options, "mnist", None)
    if (
        mnist and not os.path.exists(mnist) and not getattr(options, "dask", None)
    ):  # workers of a cluster have files of their own
        raise DataError(f"{mnist} does not exist; name an .npz file of MNIST or a folder of its four IDX files")
    if options.command.__name__ in ("verify", "bench"):  # they look at --out themselves, and tell it in their own way
        return
    for name, folder in (("out", True), ("html", False), ("markdown", False)):
        path = getattr(options, name, None)
        if not path:
            continue
        try:
            check_writable(path, folder)
        except OSError as error:
            raise OutUnusable(unusable(path, error, folder)) from error


def unusable(path: Path, error: OSError, folder: bool = False) -> str:
    """What to say of a path that cannot be written."""
    remedy = "name a folder that you can write" if folder else "name a file in a folder that you can write"
    return f"{path} cannot be written ({error.strerror}); {remedy}"


def write_result(path: Path, text: str) -> None:
    """Write a file that the user named. Raises OutUnusable."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise OutUnusable(unusable(path, error)) from error
