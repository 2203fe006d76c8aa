"""Import the framework into a process that will be forked: once for many runs of pytest, each of which gets a fork."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from pathlib import Path

# What the suite imports and no fault or mutant changes. pytest's plugins are not among them: it reads them in its own way.
IMPORTED = ("keras", "matplotlib.pyplot", "mlxtend.data", "packaging", "pandas", "scipy.stats", "filelock")
THREADS = Path("/proc/self/task")


def import_framework() -> None:
    """Import what the runs have in common; the framework is the backend of Keras."""
    for name in IMPORTED:
        importlib.import_module(name)
    importlib.import_module(sys.modules["keras"].backend.backend())


def settle(advice: str = "") -> None:
    """Make the process ready for forks. Raises RuntimeError, with `advice`, if it has threads, which a fork would lose."""
    found = len(list(THREADS.iterdir())) if THREADS.exists() else threading.active_count()
    if found > 1:
        raise RuntimeError(f"{found} threads run after the framework is imported, and a fork would lose them{advice}")
    gc.freeze()  # a collection in a fork would copy every page of memory
