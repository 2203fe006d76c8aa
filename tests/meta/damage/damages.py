"""What can happen to a file: one damage after the other, each with what a reader must do about it."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.meta.damage.kinds import Kind, Tree

REFUSED, EQUAL, EITHER = "refused", "equal", "either"  # either: refused, or read as it is written
DOUBLE = "\0double"  # a field of an object that is written twice
WRONG_CELLS = ("", " ", "nan", "inf", "-inf", "1e999", "x", "0x10", "1_0", "²", "1,0", "True", "a\nb", "9" * 400)
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))
OTHER_TYPES = ("1", "", 1, 0.5, True, [], {}, [[]], {"a": 1}, None)


class Damage(NamedTuple):
    """A damaged file: what was done, its bytes, and what a reader must do."""

    what: str
    data: bytes
    fate: str


def places(tree: Tree, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field and item below a tree."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*path, key)
        yield from places(tree[key], (*path, key))


def at(tree: Tree, path: tuple[Any, ...]) -> Any:
    """What lies at a path."""
    for key in path:
        tree = tree[key]
    return tree


def written(form: str, tree: Tree) -> bytes:
    """A tree as a file."""
    if form == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(tree)
        return out.getvalue().encode("utf-8", "surrogatepass")
    return (json_text(tree) if form == "json" else toml_text(tree)).encode("utf-8", "surrogatepass")


def json_text(tree: Tree) -> str:
    """A tree as JSON; NaN and infinities as Python writes them."""
    if isinstance(tree, dict):
        fields = [f"{json.dumps(key.removesuffix(DOUBLE))}: {json_text(value)}" for key, value in tree.items()]
        return f"{{{', '.join(fields)}}}"
    return f"[{', '.join(map(json_text, tree))}]" if isinstance(tree, list) else json.dumps(tree)


def toml_text(tree: Tree, inline: bool = False) -> str:
    """A tree as TOML, a line for each field of the outermost table."""
    if isinstance(tree, dict):
        fields = [f"{json.dumps(key.removesuffix(DOUBLE))} = {toml_text(value, True)}" for key, value in tree.items()]
        return f"{{ {', '.join(fields)} }}" if inline else "".join(f"{field}\n" for field in fields)
    if isinstance(tree, list):
        return f"[{', '.join(toml_text(value, True) for value in tree)}]"
    return {True: "true", False: "false"}[tree] if isinstance(tree, bool) else json.dumps(tree, ensure_ascii=False)


@st.composite
def damages(draw: Any, kind: Kind) -> Damage:
    """One damage of a sound file of a kind."""
    sound = kind.sound().encode("utf-8")
    group = draw(st.sampled_from(("text", "structure", "structure", "structure")))
    if group == "text":
        return draw(of_text(kind, sound))
    return draw((of_rows if kind.form == "csv" else of_fields)(kind, kind.parsed(sound)))


@st.composite
def of_text(draw: Any, kind: Kind, sound: bytes) -> Damage:
    """A damage of the text, whatever it says."""
    end = len(sound.rstrip()) - 1
    place = draw(st.integers(1, end - 1))
    what = draw(
        st.sampled_from(("empty", "blank", "BOM", "CRLF", "no line end", "cut", "byte", "UTF-16", "NUL", "more", "twice"))
    )
    done = {
        "empty": (b"", REFUSED),
        "blank": (b" \n\n", REFUSED),
        "BOM": (b"\xef\xbb\xbf" + sound, EQUAL),
        "CRLF": (sound.replace(b"\n", b"\r\n"), EQUAL),
        "no line end": (sound.rstrip(b"\n"), EQUAL),
        "cut": (sound[:place], REFUSED if kind.form == "json" else EITHER),
        "byte": (sound[:place] + b"\xff" + sound[place:], REFUSED),
        "UTF-16": (sound.decode().encode("utf-16"), REFUSED),
        "NUL": (sound[:place] + b"\0" + sound[place:], EITHER if kind.form == "csv" else REFUSED),
        "more": (sound + b"x\n", REFUSED),
        "twice": (sound + sound, REFUSED),
    }[what]
    return Damage(f"{what} at {place}", *done)


@st.composite
def of_fields(draw: Any, kind: Kind, tree: Tree) -> Damage:
    """A damage of an object of JSON or TOML."""
    path = draw(st.sampled_from(list(places(tree))))
    tree = copy.deepcopy(tree)
    inner, key, value = at(tree, path[:-1]), path[-1], at(tree, path)
    named = isinstance(key, str)
    free = any(name in kind.free for name in path)
    ways = ["drop", "other type", "other"]
    ways += ["double"] if named else []
    ways += ["unknown"] if isinstance(value, dict) else []
    ways += ["negate", "not finite", "too large"] if type(value) in (int, float) else []
    ways += ["identity"] if kind.identity else []
    what, fate = draw(st.sampled_from(ways)), REFUSED
    if what == "drop":
        fate = EITHER if not named or kind.may_lack(key) else REFUSED
        del inner[key]
    elif what == "double":
        inner[key + DOUBLE] = value
    elif what == "unknown":
        value["colour"] = {"a": [[]]}
    elif what == "negate":
        fate = REFUSED if value and not free else EITHER
        inner[key] = -value
    elif what == "not finite":
        inner[key] = draw(st.sampled_from(NOT_FINITE))
    elif what == "too large":
        inner[key] = draw(st.sampled_from((1e250, 10**30, 10**400)))
        fate = EITHER
    elif what == "identity":
        name, other = draw(st.sampled_from(kind.identity))
        path = draw(st.sampled_from([each for each in places(tree) if each[-1] == name]))
        at(tree, path[:-1])[name] = other
    elif what == "other type":
        other = draw(st.sampled_from([each for each in OTHER_TYPES if kind_of(each) != kind_of(value)]))
        fate = EITHER if free or other is None or value is None else REFUSED
        inner[key] = other if other is not None or kind.form == "json" else [None]
        if kind.form == "toml" and other is None:
            inner[key] = [{}]
            fate = REFUSED
    else:
        inner[key] = draw(st.sampled_from((0, 1e-320, "\ud800", "`|<b>\n\u2028", -1, [0.5, 0.5, 0.5], "x" * 2000)))
        fate = EITHER
    return Damage(f"{what} of {path}: {str(at(tree, path[:-1]))[:80]}", written(kind.form, tree), fate)


def kind_of(value: Any) -> str:
    """What JSON and TOML call a value; a number of either kind is a number."""
    return "number" if type(value) in (int, float) else type(value).__name__


@st.composite
def of_rows(draw: Any, kind: Kind, rows: Tree) -> Damage:
    """A damage of the rows of a CSV."""
    line = draw(st.integers(1, len(rows) - 1))
    place = draw(st.integers(0, len(rows[0]) - 1))
    column = rows[0][place]
    free = column in kind.free
    ways = ["column lost", "column twice", "column renamed", "columns swapped", "row lost", "row twice", "cell lost"]
    ways += ["cell more", "blank line", "cell", "cell", "cell", "negate", "open quote", "header twice"]
    ways += ["identity"] if kind.identity else []
    what, fate = draw(st.sampled_from(ways)), REFUSED
    if what == "column lost":
        fate = EITHER if kind.may_lack(column) else REFUSED
        rows = [[*row[:place], *row[place + 1 :]] for row in rows]
    elif what == "column twice":
        rows = [[*row, row[place]] for row in rows]
    elif what == "column renamed":
        fate = EITHER if kind.may_lack(column) else REFUSED
        rows[0] = [*rows[0][:place], "colour", *rows[0][place + 1 :]]
    elif what == "columns swapped":
        fate = EITHER if kind.may_lack(column) else REFUSED
        rows = [[*row[:place], *reversed(row[place : place + 2]), *row[place + 2 :]] for row in rows]
        fate = EQUAL if place == len(rows[0]) - 1 else fate
    elif what == "row lost":
        fate = REFUSED if kind.whole else EITHER
        del rows[line]
    elif what == "row twice":
        rows.insert(draw(st.integers(1, len(rows))), rows[line])
    elif what == "header twice":
        rows.insert(line, rows[0])
    elif what == "cell lost":
        rows[line] = rows[line][:-1]
    elif what == "cell more":
        rows[line] = [*rows[line], rows[line][-1]]
    elif what == "blank line":
        rows.insert(line, [])
    elif what == "negate":
        number = is_number(rows[line][place]) and float(rows[line][place])
        fate = EITHER if free or not number else REFUSED
        rows[line][place] = f"-{rows[line][place]}"
    elif what == "open quote":
        text = written("csv", rows).decode().splitlines(keepends=True)
        text[line] = '"' + text[line].replace('"', "")
        return Damage(f"{what} in line {line + 1}", "".join(text).encode(), REFUSED)
    elif what == "identity":
        column, other = draw(st.sampled_from(kind.identity))
        rows[line][rows[0].index(column)] = other
    else:
        other = draw(st.sampled_from(WRONG_CELLS))
        fate = EITHER if free or other == rows[line][place] else REFUSED
        rows[line][place] = other
    return Damage(
        f"{what} in line {line + 1}, column {column}: {str(rows[min(line, len(rows) - 1)])[:80]}", written("csv", rows), fate
    )


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
