"""Read the files of `baselines/`, the folder with every stored figure that a verdict is judged against."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cnnspec.calls import INSTALLED, PROJECT
from cnnspec.errors import BaselineError

BASELINES = PROJECT / "baselines"


def restore(path: str | Path) -> str:
    """What to do about a damaged file of the project, as the end of a message."""
    if INSTALLED:
        return "restore it: install cnnspec again, pip install --force-reinstall --no-deps"
    return f"restore it: git checkout HEAD -- {path}"


def shown(path: Path) -> str:
    """A path as messages have it: from the project's folder, or whole where it lies elsewhere."""
    return path.relative_to(PROJECT).as_posix() if PROJECT in path.parents else str(path)


def read_csv(path: str | Path, columns: Sequence[str], remedy: str | None = None) -> pd.DataFrame:
    """A CSV as a frame of strings with exactly `columns`.

    Raises BaselineError; its message ends with `remedy`, by default the command that restores the file.
    """
    remedy = remedy or restore(path)
    try:
        frame = pd.read_csv(str(path), dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise BaselineError(f"{path} is missing; {remedy}") from error
    except ValueError as error:  # pandas' parser errors and undecodable bytes
        raise BaselineError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error
    if list(frame.columns) != list(columns):
        raise BaselineError(f"{path} has columns {list(frame.columns)}, expected {list(columns)}; {remedy}")
    return frame


def read_table(path: str | Path, remedy: str | None = None) -> pd.DataFrame:
    """A CSV of finite numbers as a frame of floats. Raises BaselineError, see `read_csv`."""
    remedy = remedy or restore(path)
    try:
        frame = pd.read_csv(str(path)).astype(float)
    except FileNotFoundError as error:
        raise BaselineError(f"{path} is missing; {remedy}") from error
    except ValueError as error:  # parser errors, and words where numbers belong
        raise BaselineError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error
    if frame.isna().any().any():
        raise BaselineError(f"{path} has empty cells where numbers belong; {remedy}")
    return frame


def read_toml(path: Path, remedy: str | None = None) -> dict[str, Any]:
    """A TOML file as a dict. Raises BaselineError, see `read_csv`."""
    import tomllib  # Python 3.11; the package itself also runs on 2019's Python 3.7

    remedy = remedy or restore(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BaselineError(f"{path} is missing; {remedy}") from error
    except ValueError as error:
        raise BaselineError(f"{path} is malformed ({str(error).strip()}); {remedy}") from error


def digests(dataset: str) -> dict[str, str]:
    """SHA-256 of each raw uint8 array of a data set, {x_train: …, y_train: …, …}. Raises BaselineError."""
    return _table(BASELINES / "datasets.toml", dataset)["sha256"]


def tolerance(name: str) -> dict[str, Any]:
    """A limit and its reason, {relative: …, why: …}, from `tolerances.toml`. Raises BaselineError.

    `name` is the table's, with a dot before each part of it: "numerics.Conv2D".
    """
    return _table(BASELINES / "tolerances.toml", name)


def _table(path: Path, name: str) -> dict[str, Any]:
    """One table of a TOML file, by its dotted name."""
    table = _read_once(path)
    for part in name.split("."):
        if part not in table:
            raise BaselineError(f"{path} has no table [{name}]; add it, with the fields that its other tables have")
        table = table[part]
    return table


_read_once = functools.lru_cache(maxsize=None)(read_toml)  # a run of the suite looks up hundreds of limits
