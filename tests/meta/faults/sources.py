"""Digests of the text of a fault and of the suite: a stored result holds as long as both are the same."""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cnnspec.facts.reading import PROJECT

CATALOGUE = PROJECT / "tests" / "meta" / "faults" / "catalogue"
SUITE = ("conftest.py", "pyproject.toml", "cnnspec", "tests/*.py", "tests/plugin", "tests/support", "baselines")
APART = ("baselines/faults", "baselines/benchmarks", "baselines/matrix", "cnnspec/faults", "cnnspec/reports")
LENGTH = 12


def of_suite(project: Path = PROJECT) -> str:
    """Digest of what decides the result of a run of the suite: its tests, the package and the baselines."""
    found = hashlib.sha256()
    for path in sorted(set(files(project))):
        found.update(path.relative_to(project).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:LENGTH]


def files(project: Path) -> Iterable[Path]:
    """The files of the suite, without documents and without what no tier reads."""
    for pattern in SUITE:
        for path in project.glob(pattern):
            for file in path.rglob("*") if path.is_dir() else [path]:
                place = file.relative_to(project).as_posix()
                if file.suffix in (".py", ".toml", ".csv") and not place.startswith(APART):
                    yield file


class Statement(NamedTuple):
    """A statement at the top of a module: its text, the names that it defines, and the faults that it may name."""

    text: str
    defines: frozenset[str]
    texts: frozenset[str]


def of_fault(name: str, folder: Path = CATALOGUE) -> str:
    """Digest of the statements that name a fault, and of all that these use of the catalogue."""
    modules = {path: statements(path) for path in sorted(folder.glob("*.py")) if path.name != "entries.py"}
    begin = [(path, s) for path, found in modules.items() for s in found if name in s.defines | s.texts]
    reached = list(begin)
    for path, statement in reached:
        for word in sorted(set(re.findall(r"\w+", statement.text))):
            here = [(path, s) for s in modules[path] if word in s.defines]
            there = [(other, s) for other in modules for s in modules[other] if word in s.defines]
            reached += [each for each in here or there if each not in reached]
    tables = {word for _, statement in begin for word in statement.defines}
    for path, found in modules.items():  # a loop over a table that names the fault
        reached += [(path, s) for s in found if not s.defines and tables & set(re.findall(r"\w+", s.text))]
    if not begin:
        raise KeyError(f"no module of {folder} names the fault {name}")
    texts = sorted(statement.text for _, statement in reached)
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:LENGTH]


@functools.cache
def statements(path: Path) -> tuple[Statement, ...]:
    """The statements at the top of a module, without its imports."""
    text = path.read_text(encoding="utf-8")
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        defines = {node.name} if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else set()
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defines |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        constants = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
        lines = [each.lineno for each in getattr(node, "decorator_list", [])] + [node.lineno]
        segment = "\n".join(text.splitlines()[min(lines) - 1 : node.end_lineno])
        found.append(Statement(segment, frozenset(defines), frozenset(constants)))
    return tuple(found)
