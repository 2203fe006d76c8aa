"""One fault in one process: `python -m tests.meta.faults.child NAME RESULT LEVEL [TEST]` runs the suite with it.

`run.py` calls `judge` in a fork of a process that has imported the framework, or starts this module as a process of its own.
Both do the same: in the process that forks nothing of the framework has run, and no test module is imported.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from cnnspec.facts.reading import PROJECT
from cnnspec.faults.store import HEALTHY
from cnnspec.files import write_whole
from tests.meta import forking
from tests.meta.faults import put
from tests.meta.faults.watching import Watcher


def prepare() -> None:
    """Import the framework, as pytest would, into the process that will be forked. Raises RuntimeError if it has threads."""
    forking.import_framework()
    put.loaded()
    for name in [name for name in sys.modules if name.startswith(("tests.plugin", "tests.support"))]:
        del sys.modules[name]  # pytest imports them again, and rewrites their assertions
    forking.settle("; use --fresh")


def judge(name: str, result: Path, level: str, test: str = "") -> None:
    """Run the suite, or one test, with a fault in this process, and write what it showed to a file of JSON."""
    import pytest

    watcher = Watcher(put.loaded()[name].words if name != HEALTHY else ())
    os.environ[put.VARIABLE] = name
    os.chdir(PROJECT)
    with tempfile.TemporaryDirectory(prefix="cnnspec-fault-") as folder:
        places = [f"--report={folder}/report.json", f"--basetemp={folder}/tmp"]
        plugins = [watcher, put] if name != HEALTHY else [watcher]  # as objects: `-p` would read an imported module again
        code = pytest.main(["-p", "no:cacheprovider", f"--level={level}", *places, *filter(None, [test])], plugins=plugins)
    write_whole(result, json.dumps({"code": int(code), **watcher.found()}))


def tell_stack(result: Path) -> None:
    """Write the stack of this process to a file of JSON."""
    from cnnspec import stack

    write_whole(result, json.dumps(stack.current()))


if __name__ == "__main__":
    judge(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
