"""The content of a stored file, read without trust: text, JSON, and a CSV whose columns have shapes.

A fault is told by `Fault`, in words that follow the file's name; `told_as` makes it an error of the project, which says what
to do.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from cnnspec.errors import CnnspecError
from cnnspec.shapes import misfit, one_line, shown

LARGEST = 16 * 2**20  # bytes; the largest file that is stored or written has less than one MiB

MOST_COLUMNS = 10_000


class Fault(Exception):
    """What is wrong with a file, in words that follow its name; `line` where it is in one line."""

    def __init__(self, words: str, line: int | None = None) -> None:
        super().__init__(words)
        self.line = line


@contextmanager
def told_as(
    kind: type[CnnspecError], path: str | Path, remedy: str | Callable[[int | None], str], missing: str | None = None
) -> Iterator[None]:
    """Raise what is wrong with the file at `path` as an error of the project. It ends with what to do: `remedy`.

    That is a text, or a function of the line with the fault, None for the whole file. `missing` is what to do where there
    is no file.
    """

    def what(line: int | None) -> str:
        return remedy(line) if callable(remedy) else remedy

    try:
        yield
    except FileNotFoundError as error:
        raise kind(f"{path} is missing; {missing or what(None)}") from error
    except OSError as error:
        raise kind(f"{path} cannot be read ({error.strerror}); {missing or what(None)}") from error
    except Fault as fault:
        words = "".join(letter if letter.isprintable() else "?" for letter in str(fault))
        raise kind(f"{path}{words}; {what(fault.line)}") from fault


def text_of(path: str | Path, most: int | None = None) -> str:
    """The text of a file in UTF-8 of at most `most` bytes, without a byte order mark. Raises Fault and OSError."""
    most = most or LARGEST
    with Path(path).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Fault(f" has more than {most // 1024} KiB, too much for such a file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault(f" is malformed ({error})") from error


def json_of(path: str | Path, shape: Any = None) -> Any:
    """What a file of JSON holds, of a shape where one is given. Raises Fault and OSError.

    NaN, infinities and a field that stands twice are faults: Python reads them, and JSON does not have them.
    """
    text = text_of(path)
    try:
        value = json.loads(text, parse_constant=no_number, object_pairs_hook=without_repeats)
    except RecursionError as error:
        raise Fault(" is nested too deeply") from error
    except ValueError as error:
        raise Fault(f" is not valid JSON ({error})") from error
    if shape is not None:
        fitting(value, shape)
    return value


def fitting(value: Any, shape: Any) -> None:
    """Raise Fault unless what a file holds has a shape."""
    try:
        fault = misfit(value, shape, "")
    except RecursionError as error:
        raise Fault(" is nested too deeply") from error
    if fault:
        raise Fault(f": {fault}")


def no_number(word: str) -> NoReturn:
    """Refuse NaN and infinities, which Python's JSON reads and JSON does not have."""
    raise ValueError(f"it has {word} where a number belongs")


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError for a repeated field, of which Python's JSON silently keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"it has the field {shown(name)} more than once")
    return found


def lines_of(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row of a CSV, the header first; a row may take several lines. Raises Fault."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for cells in reader:
            if len(cells) > MOST_COLUMNS:
                raise Fault(f", line {begin} has more than {MOST_COLUMNS} cells", begin)
            yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise Fault(f", line {begin} is malformed ({error})", begin) from error
    if begin == 1:
        raise Fault(" is malformed (it is empty)")


def rows_of(
    text: str,
    columns: Mapping[str, Any],
    key: tuple[str, ...] = (),
    same: tuple[str, ...] = (),
    texts: bool = False,
) -> list[dict[str, Any]]:
    """The rows of a CSV with exactly `columns`, {column: its Number or Text}. Raises Fault.

    Numbers are numbers, or, with `texts`, as they are written. No two rows have the same values in the columns `key`, where
    there are any, and all rows have the same in those of `same`.
    """
    lines = lines_of(text)
    header = next(lines)[1]
    check_header(header, list(columns))
    rows: list[dict[str, Any]] = []
    first: dict[str, str] = {}
    begin = 0
    places: dict[tuple[str, ...], int] = {}
    for line, cells in lines:
        if len(cells) != len(header):
            raise Fault(f", line {line} has {len(cells)} cells, the header {len(header)}", line)
        if cells == header:
            raise Fault(f", line {line} is the header once more", line)
        row = dict(zip(columns, cells))
        fault = fault_of_cells(cells, columns)
        other = [column for column in same if first and row[column] != first[column]]
        if other:
            found, was = (each[other[0]][:60] for each in (row, first))
            fault = fault or (
                f"column {other[0]}: a run of another stack or setting, {found!r}, and line {begin} has {was!r}"
            )
        identity = tuple(row[column] for column in key)
        if not fault and key and identity in places:
            fault = f"column {', '.join(key)}: {', '.join(identity)} is in line {places[identity]} too"
        if fault:
            raise Fault(f", line {line}, {fault}", line)
        first, begin = first or row, begin or line
        places[identity] = line
        rows.append(row if texts else {column: shape.read(row[column]) for column, shape in columns.items()})
    return rows


def fault_of_cells(cells: Iterable[str], columns: Mapping[str, Any]) -> str:
    """The first cell of a row that does not have the shape of its column, in words; empty where every cell has."""
    for (column, shape), cell in zip(columns.items(), cells):
        if shape.read(cell) is None:
            return f"column {column}: expected {shape}, found {cell[:60]!r}"
    return ""


def check_header(header: list[str], columns: list[str]) -> None:
    """Raise Fault unless the first line of a CSV has exactly `columns`, in this order."""
    if header == columns:
        return
    times, due = Counter(header), set(columns)
    for words, names in (
        ("lacks the columns", [name for name in columns if name not in times]),
        ("has the unknown columns", [name for name in times if name not in due]),
        ("has more than once the columns", sorted(name for name in times if times[name] > 1)),
    ):
        if names:
            raise Fault(f" {words} {some(names)}")
    raise Fault(f" has its columns in another order; expected {some(columns)}")


def some(columns: list[str]) -> str:
    """The first names of columns in words."""
    more = f" and {len(columns) - 5} more" if columns[5:] else ""
    return ", ".join(repr(one_line(column)) for column in columns[:5]) + more
