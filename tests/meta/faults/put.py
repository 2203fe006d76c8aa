"""Put one fault of the catalogue into this process: `FAULT=name pytest -p tests.meta.faults.put`.

The fault is put in after the framework is imported and before a test module is. The processes that the suite starts get it
too: `python -m tests.meta.faults.put MODULE …` is `python -m MODULE …` with the fault.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.meta.faults import catalogue
from tests.meta.faults.catalogue.entries import CATALOGUE, Fault

VARIABLE = "FAULT"


def loaded() -> dict[str, Fault]:
    """The catalogue with the faults of all its modules, by name."""
    for module in pkgutil.iter_modules(catalogue.__path__):
        importlib.import_module(f"{catalogue.__name__}.{module.name}")
    return CATALOGUE


def put(name: str) -> None:
    """Put a fault into this process, and into the processes of the suite that it starts."""
    loaded()[name].put()
    subprocess.Popen.__init__ = with_the_fault(subprocess.Popen.__init__)  # type: ignore[method-assign]


def with_the_fault(original: Callable[..., None]) -> Callable[..., None]:
    """`Popen.__init__` whose processes `python -m tests.…` have the fault too."""

    def __init__(self: Any, args: Any, *more: Any, **given: Any) -> None:
        if (
            isinstance(args, (list, tuple))
            and list(args[:2]) == [sys.executable, "-m"]
            and str(args[2]).startswith("tests.")
        ):
            args = [*args[:2], __spec__.name, *args[2:]]
        original(self, args, *more, **given)

    return __init__


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get(VARIABLE, "")
    if not name:
        raise pytest.UsageError(f"-p {__name__} needs the name of a fault: {VARIABLE}=NAME")
    if name not in loaded():
        raise pytest.UsageError(f"{VARIABLE}={name} is not in the catalogue; python -m tests.meta.faults.run --list")
    put(name)


def main(module: str, *arguments: str) -> None:
    """Run a module as `python -m` does, with the fault."""
    loaded()[os.environ[VARIABLE]].put()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
