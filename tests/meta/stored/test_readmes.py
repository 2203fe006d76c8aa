"""Does every folder of `baselines/` say what each file holds, and does every fact of the notebook lead to its tests?"""

import ast
import functools
import re
from fnmatch import fnmatchcase

import pytest

from cnnspec.facts import reading

FOLDERS = [reading.BASELINES, *sorted(path for path in reading.BASELINES.iterdir() if path.is_dir())]
NOTEBOOK = reading.BASELINES / "notebook"
CELL = r"(In|Out) ?\[(\d+)\]"


def text_of(folder):
    """The README of a folder, empty where it has none."""
    path = folder / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def unnamed(text, files):
    """The files, relative to the README's folder, that no `name` or `pattern` of its text matches."""
    patterns = [pattern.split("/") for pattern in re.findall(r"`([^`\s]+)`", text)]
    return [
        "/".join(parts)
        for parts in files
        if not any(len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern)) for pattern in patterns)
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_is_in_the_readme_of_its_folder(folder):
    """Each folder has a README, which names every stored file below it, by its path or by a pattern."""
    assert text_of(folder), f"baselines/{folder.name} has no README.md"
    stored = (path for path in sorted(folder.rglob("*.*")) if path.name != "README.md" and path.suffix != ".lock")
    files = [path.relative_to(folder).parts for path in stored]
    assert unnamed(text_of(folder), files) == []


@pytest.mark.parametrize("path", sorted(reading.BASELINES.glob("snapshots/*/*")), ids=lambda path: path.parent.name)
def test_a_snapshot_says_what_made_it(path):
    """Each stored results table has one comment line with its stack, seed, date and command."""
    said = re.findall(r"^# stack .+; seed \d+; \d{4}-\d\d-\d\d; command: pytest .+$", path.read_text(encoding="utf-8"), re.M)
    assert len(said) == 1


def test_an_unnamed_file_is_seen():
    """A pattern matches files of its own depth only, and words outside backticks match none."""
    files = [("a.csv",), ("x", "a.csv"), ("x", "b.toml"), ("c.csv",)]
    assert unnamed("`*.csv`, `x/*.toml`, x/a.csv", files) == ["x/a.csv"]


def cells(text):
    """The cells that a text names, as `In [5]` or `Out [46]`."""
    return {f"{kind} [{number}]" for kind, number in re.findall(CELL, text)}


def rows():
    """(cells, file, tests) of each row of the notebook's README."""
    found = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([^`|]+)` \| ([^|]+) \|$", text_of(NOTEBOOK), re.MULTILINE)
    return [(cells(named), file, re.findall(r"`([^`]+)`", tests)) for named, file, tests in found]


@functools.cache
def functions_of(module):
    """Names of the test functions of a module; none if there is no such file."""
    path = reading.PROJECT / module
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def missing_tests(names):
    """The names `module::function` that are not those of a test."""
    return [name for name in names if name.partition("::")[2] not in functions_of(name.partition("::")[0])]


@pytest.mark.parametrize("path", sorted(NOTEBOOK.glob("*.*[lv]")), ids=lambda path: path.name)
def test_every_file_of_the_notebook_has_its_cells_in_the_table(path):
    """Each CSV and TOML has a row, and its rows name the cells that the file names: no other, and all of them."""
    mine = [named for named, file, _ in rows() if file == path.name]
    assert mine, f"{path.name} has no row in baselines/notebook/README.md"
    assert set().union(*mine) == cells(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("file", "tests"), [(file, tests) for _, file, tests in rows()])
def test_the_tests_of_a_fact_exist(file, tests):
    """Each row names a stored file and at least one test, and these exist."""
    assert (NOTEBOOK / file).is_file()
    assert tests
    assert missing_tests(tests) == []


def test_a_missing_test_is_seen():
    """A function or a module that does not exist is named; a helper is not a test."""
    here = "tests/meta/stored/test_readmes.py"
    assert missing_tests([f"{here}::test_a_missing_test_is_seen"]) == []
    wrong = [f"{here}::test_that_was_renamed", f"{here}::cells", "tests/test_gone.py::test_shapes", here]
    assert missing_tests(wrong) == wrong


def test_the_table_is_read_whole():
    """Every line of the table of facts is read as a row by these tests."""
    lines = [line for line in text_of(NOTEBOOK).splitlines() if line.startswith("| ") and not line.startswith("| fact |")]
    assert len(rows()) == len(lines)
    assert lines
