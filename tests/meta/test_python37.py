"""Does the part of the package that 2019's stack runs stay within Python 3.7, and is every such file marked?

pyproject.toml marks the files, `[tool.ruff] per-file-target-version`. `tox run -e lint` holds them to Python 3.7's library
as well, by vermin; `tox run -e legacy` runs them there.
"""

import ast
import tomllib

import pytest

from cnnspec.facts.reading import PROJECT

MARKED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["per-file-target-version"]
ENTRIES = ("cnnspec.__main__", "cnnspec.benchmarks.worker")
# Of these modules only the functions named here run on Python 3.7; what the others import is not followed.
FUNCTIONS = {"cnnspec.commands": {"train", "trajectory", "calibrate"}}
# Imported by one of those functions, but not there: 2019's stack records `trajectory --by stack` only.
NOT_THERE = {"cnnspec.trajectory.in_float64"}
REFUSED = {  # newer than 3.7 -> a line of it
    "walrus": "if (size := 3) > 2: pass",
    "positional-only parameter": "def half(number, /): return number / 2",
    "zip strict": "pairs = zip('ab', 'cd', strict=True)",
    "annotations evaluated": "def half(number: float | None): return number",
    "annotations of a variable evaluated": "half: float | None = None",
}


def run_time(node, functions=None):
    """Every node below `node`, without blocks for type checkers and without functions other than those named."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if functions is not None and isinstance(child, ast.FunctionDef) and child.name not in functions:
            continue
        yield child
        yield from run_time(child)


def imported(source, functions=None):
    """What a source imports at run time: modules, and for `from module import name` also `module.name`."""
    found = set()
    for node in run_time(ast.parse(source), functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def file_of(module, root):
    """The file of a module below `root`; None for a name that is no module there."""
    path = root.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def reached(entries, root, functions=FUNCTIONS, not_there=NOT_THERE):
    """Files, as text relative to `root`, that modules need at run time: their imports, those imports' and all packages."""
    found, left = {}, list(entries)
    while left:
        module = left.pop()
        file = file_of(module, root)
        if file is None or module in found or module in not_there:
            continue
        found[module] = file.relative_to(root).as_posix()
        left += imported(file.read_text(encoding="utf-8"), functions.get(module))
        left += [module.rpartition(".")[0]] if "." in module else []
    return sorted(found.values())


def newer(source):
    """What in a source is newer than Python 3.7, as texts: its syntax, zip(strict=), evaluated annotations."""
    try:
        tree = ast.parse(source, feature_version=(3, 7))
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "zip"]
    found = [f"line {call.lineno}: zip with strict" for call in calls if any(word.arg == "strict" for word in call.keywords)]
    annotated = [
        node.lineno
        for node in ast.walk(tree)
        if getattr(node, "annotation", None) is not None or getattr(node, "returns", None) is not None
    ]
    if annotated and "__future__.annotations" not in imported(source):
        found.append(f"line {min(annotated)}: an annotation, without `from __future__ import annotations`")
    return found


def mentions(node, names):
    """Whether code mentions one of `names`, alone or as an attribute or an import."""
    kinds = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
    return any(getattr(each, kinds[type(each)]) in names for each in ast.walk(node) if type(each) in kinds)


def test_every_file_that_runs_there_is_marked():
    """The marked files are those that the commands and the worker import, no more and no less; all for Python 3.7."""
    assert list(MARKED) == reached(ENTRIES, PROJECT)
    assert set(MARKED.values()) == {"py37"}


def test_what_is_not_there_is_imported_elsewhere():
    """The exceptions of that list are real: without them it is longer."""
    everything = reached(ENTRIES, PROJECT, functions={}, not_there=set())
    assert {"cnnspec/trajectory/in_float64.py", "cnnspec/reports/page.py"} <= set(everything) - set(MARKED)


def test_imports_are_followed(tmp_path):
    """Imports at the top, inside functions and of packages count; those for type checkers and of other functions do not."""
    files = {
        "made/__init__.py": "",
        "made/start.py": "import os\nfrom made import top\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from made import types_only\n"
        "def taken():\n    from made.inner.deep import value\ndef left():\n    from made import other\n",
        "made/top.py": "def any_function():\n    import made.late\n",
        "made/inner/__init__.py": "",
        **dict.fromkeys(("made/inner/deep.py", "made/late.py", "made/types_only.py", "made/other.py"), ""),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = reached(["made.start"], tmp_path, functions={"made.start": {"taken"}}, not_there=set())
    assert found == sorted(set(files) - {"made/types_only.py", "made/other.py"})


@pytest.mark.parametrize("file", MARKED)
def test_marked_files_stay_within_python_37(file):
    """No syntax, no strict zip and no evaluated annotation that Python 3.7 lacks."""
    assert newer((PROJECT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_what_is_newer_is_refused(line):
    """The check above names the line of each; annotations that stay text are fine."""
    ast.parse(line)
    assert [text.split(":")[0] for text in newer(f"pass\n{line}")] == ["line 2"]
    assert newer(f"from __future__ import annotations\n{REFUSED['annotations evaluated']}") == []


def test_no_toml_is_read_there():
    """tomllib came with Python 3.11: what imports it, and whatever calls that, is used by no marked file outside facts/."""
    trees = {file: ast.parse((PROJECT / file).read_text(encoding="utf-8")) for file in MARKED}
    readers = {"tomllib"}
    definitions = [node for file, tree in trees.items() if file.startswith("cnnspec/facts/") for node in tree.body]
    for _ in definitions:  # once more than any chain of calls is long
        for node in definitions:
            if isinstance(node, ast.FunctionDef) and mentions(node, readers):
                readers.add(node.name)
            elif isinstance(node, ast.Assign) and mentions(node.value, readers):
                readers |= {target.id for target in node.targets}
    assert {"read_toml", "tolerance", "digests", "globals_toml"} <= readers
    assert [file for file, tree in trees.items() if not file.startswith("cnnspec/facts/") and mentions(tree, readers)] == []
