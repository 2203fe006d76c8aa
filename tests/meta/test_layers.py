"""Does each part of the project import only what lies below it, so that a folder can be read, moved and trusted alone?"""

import ast
import subprocess
import sys

import pytest

from cnnspec.facts.reading import PROJECT

FRAMEWORKS = ("keras", "tensorflow", "jax", "torch")
STANDARD = sys.stdlib_module_names
HARNESS = {"compat", "stack", "mnist", "architectures", "pipeline", "training", "results"}
READING = {"content", "shapes"}
# Part of cnnspec/ -> the other parts that it may import. What is not here may import nothing of the project.
MAY_IMPORT = {
    "__init__": {"legacy_keras"},
    "legacy_keras": set(),
    "errors": {"calls"},
    "shapes": {"names"},
    "content": {"errors", "shapes"},
    "runs": {"files", "names", "errors", *READING},
    "facts": {"names", "errors", "calls", *READING},
    "oracle": set(),
    "architectures": {"compat", "errors", "mnist"},
    "compat": set(),
    "devices": set(),
    "memory": set(),
    "stack": {"compat", "devices", "errors"},
    "digit_files": {"errors"},
    "mnist": {"digit_files", "names", "errors"},
    "pipeline": {"compat"},
    "training": {"architectures", "compat", "mnist", "errors", "pipeline", "runs", "stack"},
    "results": {"facts", "files", "names"},
    "trajectory": {"architectures", "compat", "mnist", "training", "facts", "oracle", "files", "names", "shapes"},
    "ensembles": {"facts", "files", "names", "errors", "runs", *READING},
    "paired": {"trajectory", "ensembles", "facts", "files", "errors", *HARNESS, *READING},
    "benchmarks": {"facts", "files", "memory", "names", "errors", *HARNESS, *READING},
    "reports": {"benchmarks", "files", "names", "errors", *READING},
    "faults": {"facts", "files", "names", "errors", *READING},
    "frameworks": {"errors", "legacy_keras"},
    "verify": {"facts", "errors"},
    "each": {"verify", "reports", "devices", "facts", "errors", "calls", "shapes"},
    "soak": {"each", "devices", "errors", "calls"},
    "bisect": {"verify", "reports", "facts", "files", "names", "errors", "calls"},
    "command_options": {"devices", "memory", "names"},
    "command_checks": {"files", "names", "errors"},
    "commands": {
        *(
            "command_checks",
            "facts",
            "ensembles",
            "paired",
            "benchmarks",
            "faults",
            "reports",
            "trajectory",
            "files",
            "names",
            "errors",
            "calls",
            "frameworks",
            "verify",
            "each",
            "soak",
            "devices",
            "bisect",
        ),
        *HARNESS,
    },
    "__main__": {"command_checks", "command_options", "commands", "names", "errors"},
}
ENSEMBLES = ("rows", "store", "quantities", "bands", "distance", "false_alarms", "equivalence", "likelihood", "membership")
# Modules that read what is stored, on machines that have no framework.
WITHOUT_FRAMEWORK = [
    "names",
    "calls",
    "errors",
    "files",
    "memory",
    "devices.accelerators",
    "devices.asked",
    "devices.processor",
    "devices.versions",
    "devices.words",
    "digit_files",
    "shapes",
    "content",
    "runs",
    "facts.schema",
    "facts.notebook",
    "facts.reading",
    "oracle.layers",
    "oracle.network",
    "oracle.optimizers",
    "trajectory.start",
    "trajectory.recordings",
    "trajectory.in_float64",
    *(f"ensembles.{name}" for name in ENSEMBLES),
    "paired.setting",
    "paired.store",
    *(f"benchmarks.{name}" for name in ("flops", "timings", "slowdowns", "tables")),
    *(
        f"reports.{name}"
        for name in (
            *("report", "schema", "verdicts", "words", "markdown", "page", "charts", "curves", "speeds", "sides"),
            *("benchmarks", "html", "equals", "fleets"),
        )
    ),
    "results",
    "frameworks",
    "verify",
    *(f"each.{name}" for name in ("devices", "run", "command")),
    *(f"soak.{name}" for name in ("bound", "readings", "tally", "processes", "command")),
    *(f"bisect.{name}" for name in ("search", "releases", "fits", "state", "environments", "command")),
    *(f"faults.{name}" for name in ("store", "power")),
    "command_checks",
    "commands",
    "__main__",
]
NO_FRAMEWORK = f"""
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {FRAMEWORKS}:
            raise ImportError(name + " is a framework")

sys.meta_path.insert(0, Refuse())
"""
FILES = sorted((PROJECT / "cnnspec").rglob("*.py"))


def part(path):
    """The part of the package that a file belongs to: its folder, or the module at the top level."""
    first = path.relative_to(PROJECT / "cnnspec").parts[0]
    return first.removesuffix(".py")


def imported(path):
    """Every module that a file imports, at its top or inside a function, as `package.module` or `package`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def upward(path, modules):
    """What a file imports and may not: names of parts of the project, or of packages for the oracle."""
    here = part(path)
    parts = {module.split(".")[1] for module in modules if module.startswith("cnnspec.")} - {here, "__version__"}
    wrong = parts - MAY_IMPORT.get(here, set())
    if here == "oracle":
        wrong |= {module for module in modules if module.split(".")[0] not in STANDARD | {"numpy", "cnnspec"}}
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_module_imports_upward(path):
    """A file imports only parts below its own; the oracle no package but NumPy; nothing imports the tests."""
    modules = imported(path)
    assert upward(path, modules) == set()
    assert {module for module in modules if module.split(".")[0] in ("tests", "conftest")} == set()


def test_an_upward_import_is_seen():
    """The check above fails where facts would import the harness, or the oracle a framework."""
    assert upward(PROJECT / "cnnspec" / "facts" / "notebook.py", {"cnnspec.training"}) == {"training"}
    assert upward(PROJECT / "cnnspec" / "oracle" / "layers.py", {"numpy", "scipy.stats", "cnnspec.oracle.layers"}) == {
        "scipy.stats"
    }


def test_there_is_no_circle():
    """Parts in their order from the bottom: none may import one that may import it."""
    order: list[str] = []
    left = {name: set(below) for name, below in MAY_IMPORT.items()} | {name: set() for name in ("names", "calls", "files")}
    while free := [name for name, below in left.items() if below <= set(order)]:
        order += free
        left = {name: below for name, below in left.items() if name not in free}
    assert left == {}


def test_stored_results_are_read_without_a_framework():
    """What reads facts, ensembles, timings and reports imports where no framework is installed, and so does the command."""
    lines = [f"import cnnspec.{module}" for module in WITHOUT_FRAMEWORK]
    command = [sys.executable, "-c", "\n".join([NO_FRAMEWORK, *lines])]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert ended.stderr == ""
    assert ended.returncode == 0
    command[-1] = f"{NO_FRAMEWORK}\nimport cnnspec.training"
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert ended.stderr.endswith("ImportError: keras is a framework\n")
