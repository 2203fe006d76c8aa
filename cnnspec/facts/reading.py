"""Read the files of `baselines/`, the folder with every stored figure that a verdict is judged against."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec import content
from cnnspec.calls import INSTALLED, PROJECT
from cnnspec.errors import BaselineError
from cnnspec.facts import schema
from cnnspec.shapes import counted

BASELINES = PROJECT / "baselines"
LARGEST_TOML, DEEPEST = 2**18, 100  # bytes of a TOML, parts of a key: Python takes seconds for a larger one


def restore(path: str | Path) -> str:
    """What to do about a damaged file of the project, as the end of a message."""
    if INSTALLED:
        return "restore it: install cnnspec again, pip install --force-reinstall --no-deps"
    return f"restore it: git checkout HEAD -- {path}"


def shown(path: Path) -> str:
    """A path as messages have it: from the project's folder, or whole where it lies elsewhere."""
    return path.relative_to(PROJECT).as_posix() if PROJECT in path.parents else str(path)


def read_csv(
    path: str | Path,
    columns: Mapping[str, Any],
    key: tuple[str, ...] = (),
    remedy: str | None = None,
    texts: bool = False,
) -> list[dict[str, Any]]:
    """The rows of a CSV with exactly `columns`, {column: its Number or Text}, numbers as numbers, or as `texts`.

    No two rows have the same values in the columns `key`. Raises BaselineError; its message ends with `remedy`, by default
    the command that restores the file.
    """
    with content.told_as(BaselineError, path, remedy or restore(path)):
        return content.rows_of(content.text_of(path), columns, key, texts=texts)


def read_table(
    path: str | Path, columns: Mapping[str, Any], rows: int, remedy: str | None = None, first: str = ""
) -> np.ndarray:
    """A CSV of so many `rows` of numbers as an array (rows, columns). The column `first` counts the rows from 1.

    Raises BaselineError, see `read_csv`.
    """
    found = read_csv(path, columns, remedy=remedy)
    with content.told_as(BaselineError, path, remedy or restore(path)):
        if len(found) != rows:
            raise content.Fault(f" has {counted(len(found), 'row')}, expected {rows}")
        for number, row in enumerate(found, start=1):
            if first and row[first] != number:
                raise content.Fault(f": {first} is {row[first]} in row {number}")
    return np.array([list(row.values()) for row in found], dtype=float)


def read_toml(path: Path, shape: Any = None, remedy: str | None = None) -> dict[str, Any]:
    """A TOML file as a dict, of a shape where one is given. Raises BaselineError, see `read_csv`."""
    import tomllib  # Python 3.11; the package itself also runs on 2019's Python 3.7

    with content.told_as(BaselineError, path, remedy or restore(path)):
        text = content.text_of(path, LARGEST_TOML)
        if longest_key(text) > DEEPEST:
            raise content.Fault(" is nested too deeply")
        try:
            found = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise content.Fault(f" is malformed ({str(error).strip()})") from error
        if not found:
            raise content.Fault(" is malformed (it is empty)")
        if shape is not None:
            content.fitting(found, shape)
        return found


def longest_key(text: str) -> int:
    """Number of parts of the longest dotted key of a TOML, or more; Python takes the square of it in time."""
    longest = parts = 0
    for part in text.split("."):
        parts = parts + 1 if len(part) <= 100 and not set(part) & set("=,\n[]{}") else 1
        longest = max(longest, parts)
    return longest


def digests(dataset: str) -> dict[str, str]:
    """SHA-256 of each raw uint8 array of a data set, {x_train: …, y_train: …, …}. Raises BaselineError."""
    return _table(BASELINES / "datasets.toml", dataset)["sha256"]


def tolerance(name: str) -> dict[str, Any]:
    """A limit and its reason, {relative: …, why: …}, from `tolerances.toml`. Raises BaselineError.

    `name` is the table's, with a dot before each part of it: "numerics.Conv2D".
    """
    return _table(BASELINES / "tolerances.toml", name)


class Limits(dict):
    """A table of limits. A limit that is looked up and missing raises BaselineError."""

    def __init__(self, table: dict[str, Any], name: str, path: Path) -> None:
        super().__init__(
            {key: Limits(value, f"{name}.{key}", path) if isinstance(value, dict) else value for key, value in table.items()}
        )
        self.name, self.path = name, path

    def __missing__(self, key: str) -> Any:
        raise BaselineError(f"{self.path} has no {key} in [{self.name}]; add it, as its other tables have it")


def _table(path: Path, name: str) -> dict[str, Any]:
    """One table of a TOML file, by its dotted name."""
    table = _read_once(path)
    for part in name.split("."):
        if part not in table:
            raise BaselineError(f"{path} has no table [{name}]; add it, with the fields that its other tables have")
        table = table[part]
    return Limits(table, name, path)


SHAPES = {"tolerances.toml": schema.TOLERANCES, "datasets.toml": schema.DATASETS}


@functools.lru_cache(maxsize=None)  # a run of the suite looks up hundreds of limits
def _read_once(path: Path) -> dict[str, Any]:
    return read_toml(path, SHAPES[path.name])
