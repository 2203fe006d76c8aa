"""Is a stored file read to its last byte, and is every fault told with its line?"""

import json

import pytest

from cnnspec import content
from cnnspec.content import Fault
from cnnspec.errors import BaselineError
from cnnspec.shapes import COUNT, LOSS, NAME


def told(read, *arguments, **named):
    """(words, line) of the fault that a reader raises."""
    with pytest.raises(Fault) as fault:
        read(*arguments, **named)
    return str(fault.value), fault.value.line


def raising(error):
    """What a block that raises an error is told as: two remedies, one for a fault in a line."""
    with pytest.raises(BaselineError) as raised, content.told_as(BaselineError, "a.csv", lambda line: f"mend line {line}"):
        raise error
    return str(raised.value)


def test_a_fault_becomes_an_error_of_the_project():
    """Its file, its words without control characters, and what to do, which may depend on the line."""
    assert raising(Fault(" is\nwrong", 3)) == "a.csv is?wrong; mend line 3"
    assert raising(Fault(" is wrong")) == "a.csv is wrong; mend line None"
    assert raising(FileNotFoundError()) == "a.csv is missing; mend line None"
    assert raising(PermissionError(13, "Permission denied")) == "a.csv cannot be read (Permission denied); mend line None"


def test_a_file_that_is_missing_has_a_remedy_of_its_own():
    """Where one is given; a fault inside the file has the other."""
    for error, words in {
        FileNotFoundError(): "a.csv is missing; make it",
        PermissionError(13, "Permission denied"): "a.csv cannot be read (Permission denied); make it",
        Fault(" is wrong", 3): "a.csv is wrong; mend it",
    }.items():
        with pytest.raises(BaselineError) as raised, content.told_as(BaselineError, "a.csv", "mend it", "make it"):
            raise error
        assert str(raised.value) == words


def test_a_file_of_the_largest_size_is_read(tmp_path):
    """16 MiB, or the bytes that are given; a byte more is refused. A byte order mark is no part of the text."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * (2**24 - 3))
    assert content.text_of(path) == "x" * (2**24 - 3)
    path.write_bytes(b"x" * (2**24 + 1))
    assert told(content.text_of, path) == (" has more than 16384 KiB, too much for such a file", None)
    path.write_bytes(b"x" * 2049)
    assert content.text_of(path, 2049) == "x" * 2049
    assert told(content.text_of, path, 2048) == (" has more than 2 KiB, too much for such a file", None)
    path.write_bytes(b"\xff")
    assert told(content.text_of, path)[0].startswith(" is malformed ('utf-8' codec can't decode byte 0xff")


BAD_JSON = {
    "no JSON": ("{", " is not valid JSON (Expecting property name"),
    "NaN": ('{"a": NaN}', " is not valid JSON (it has NaN where a number belongs)"),
    "infinity": ("[-Infinity]", " is not valid JSON (it has -Infinity where a number belongs)"),
    "a field twice": ('{"b": 1, "a": 1, "a": 2}', " is not valid JSON (it has the field 'a' more than once)"),
    "nested deeply": ("[" * 100_000, " is nested too deeply"),
    "another shape": ("[-1]", ": [0] is -1, not a whole number from 0 to 1000000000"),
}


@pytest.mark.parametrize(("text", "words"), BAD_JSON.values(), ids=BAD_JSON)
def test_malformed_json(tmp_path, text, words):
    """What Python reads and JSON does not have is refused too."""
    (tmp_path / "a.json").write_text(text)
    found, line = told(content.json_of, tmp_path / "a.json", [COUNT])
    assert found.startswith(words)
    assert line is None


def test_json_is_read(tmp_path):
    """Of its shape, or of any where none is given."""
    for value, shapes in {"[1, 2]": [[COUNT]], '{"a": {"b": null}}': []}.items():
        (tmp_path / "a.json").write_text(value)
        for shape in [None, *shapes]:
            assert content.json_of(tmp_path / "a.json", shape) == json.loads(value)


def test_a_value_that_is_nested_more_deeply_than_can_be_looked_through():
    """One fault, as where the file itself cannot be read."""
    shape, value = [], []
    shape.append(shape)
    for _ in range(100_000):
        value = [value]
    assert told(content.fitting, value, shape) == (" is nested too deeply", None)


def test_rows_are_named_by_the_line_where_they_begin():
    """The header first; a row may take several lines."""
    text = 'a,b\n1,"x\ny"\n\n2,z'
    assert list(content.lines_of(text)) == [(1, ["a", "b"]), (2, ["1", "x\ny"]), (4, []), (5, ["2", "z"])]
    assert list(content.lines_of("a\n")) == [(1, ["a"])]


def listed(text):
    """All lines of a CSV."""
    return list(content.lines_of(text))


def test_malformed_lines():
    """Nothing at all, a quote without its end, and more cells than any file has."""
    assert told(listed, "") == (" is malformed (it is empty)", None)
    assert told(listed, 'a\n"b') == (", line 2 is malformed (unexpected end of data)", 2)
    assert listed("a\n" + "," * 9_999)[1] == (2, [""] * 10_000)
    assert told(listed, "a\n" + "," * 10_000) == (", line 2 has more than 10000 cells", 2)


COLUMNS = {"name": NAME, "step": COUNT, "loss": LOSS}
HEADER = "name,step,loss\n"
LONG = "x" * 70
BAD_ROWS = {  # rows, columns of the key, columns that are the same in all -> words, line
    "a cell more": ("a,1,2\nb,1,2,3\n", (), (), ", line 3 has 4 cells, the header 3", 3),
    "a cell less": ("a,1\n", (), (), ", line 2 has 2 cells, the header 3", 2),
    "the header again": (f"a,1,2\n{HEADER}", (), (), ", line 3 is the header once more", 3),
    "a cell": (
        f"a,1,{LONG}\n",
        (),
        (),
        f", line 2, column loss: expected a number from 0 to 1e+200, found '{LONG[:60]}'",
        2,
    ),
    "the first of two cells": (
        "a,b,c\n",
        (),
        (),
        ", line 2, column step: expected a whole number from 0 to 1000000000, found 'b'",
        2,
    ),
    "the first of two settings": (
        "a,1,2\na,1,2\na,3,4\n",
        (),
        ("step", "loss"),
        ", line 4, column step: a run of another stack or setting, '3', and line 2 has '1'",
        4,
    ),
    "a long setting": (
        f"{LONG},1,2\ny{LONG},1,2\n",
        (),
        ("name",),
        f", line 3, column name: a run of another stack or setting, 'y{LONG[:59]}', and line 2 has '{LONG[:60]}'",
        3,
    ),
    "a cell before a setting": (
        "a,1,2\nb,x,2\n",
        (),
        ("name",),
        ", line 3, column step: expected a whole number from 0 to 1000000000, found 'x'",
        3,
    ),
    "a key": ("a,1,2\na,2,2\na,1,3\n", ("name", "step"), (), ", line 4, column name, step: a, 1 is in line 2 too", 4),
    "a cell before a key": (
        "a,1,2\na,1,x\n",
        ("name", "step"),
        (),
        ", line 3, column loss: expected a number from 0 to 1e+200, found 'x'",
        3,
    ),
}


@pytest.mark.parametrize(("text", "key", "same", "words", "line"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_malformed_row(text, key, same, words, line):
    """One fault, with the line, and what the row has against another one."""
    assert told(content.rows_of, HEADER + text, COLUMNS, key, same) == (words, line)


def test_rows_are_read():
    """Numbers as numbers, or as they are written; rows may be the same where no key is given."""
    text = HEADER + "a,1,0.50\na,1,0.50\n"
    assert content.rows_of(text, COLUMNS) == [{"name": "a", "step": 1, "loss": 0.5}] * 2
    assert (
        content.rows_of(text, COLUMNS, same=("name", "loss"), texts=True) == [{"name": "a", "step": "1", "loss": "0.50"}] * 2
    )
    assert content.rows_of(HEADER + "a,1,2\na,2,2\n", COLUMNS, key=("name", "step"), same=("loss",)) == [
        {"name": "a", "step": 1, "loss": 2.0},
        {"name": "a", "step": 2, "loss": 2.0},
    ]
    assert content.rows_of(HEADER, COLUMNS) == []


HEADERS = {
    "lacks": (["a"], " lacks the columns 'b'"),
    "unknown": (["a", "b", "c\n"], " has the unknown columns 'c?'"),
    "twice": (["b", "a", "b", "a"], " has more than once the columns 'a', 'b'"),
    "another order": (["b", "a"], " has its columns in another order; expected 'a', 'b'"),
}


@pytest.mark.parametrize(("header", "words"), HEADERS.values(), ids=HEADERS)
def test_another_header(header, words):
    """What is missing is told first, then what is unknown, what stands twice, and the order."""
    assert told(content.check_header, header, ["a", "b"]) == (words, None)


@pytest.mark.parametrize(
    ("number", "words"),
    [(5, "'0', '1', '2', '3', '4'"), (6, "'0', '1', '2', '3', '4' and 1 more"), (7, "'0', '1', '2', '3', '4' and 2 more")],
)
def test_five_columns_are_named(number, words):
    """Of more, how many."""
    assert content.some([str(column) for column in range(number)]) == words
