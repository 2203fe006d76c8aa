"""How often XLA compiled during a run, and how long that took: on JAX most of a first run's time. Told in the verdict.

JAX tells it by `jax.monitoring`. TensorFlow compiles by XLA in a few tests only, and has no public count; PyTorch compiles
nothing here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from cnnspec.shapes import counted

EVENT = "/jax/core/compile/backend_compile_duration"
NAME = "cnnspec compilations"  # of the workers' message
_seconds: list[float] = []  # of each compilation of this process, and of the workers that it hands its tests to


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen, where Keras' backend is JAX. By now Keras is imported, where this run needs it."""
    keras: Any = sys.modules.get("keras")
    if keras and keras.backend.backend() == "jax" and not session.config.option.collectonly:
        import jax

        jax.monitoring.register_event_duration_secs_listener(heard)


def heard(event: str, seconds: float, **_: Any) -> None:
    """Keep the seconds of a compilation."""
    if event == EVENT:
        _seconds.append(seconds)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells its compilations."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[NAME] = _seconds


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add a worker's compilations. One that died tells none."""
    _seconds.extend(getattr(node, "workeroutput", {}).get(NAME, []))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how often and how long XLA compiled, in all workers together; processes that tests start are not counted."""
    if _seconds:
        kept = ", kept in JAX_COMPILATION_CACHE_DIR" if os.environ.get("JAX_COMPILATION_CACHE_DIR") else ""
        terminalreporter.line(told(_seconds) + kept)


def told(seconds: list[float]) -> str:
    """Compilations in words."""
    return f"XLA compiled {counted(len(seconds), 'program')} in {sum(seconds):.0f} s, the longest in {max(seconds):.1f} s"
