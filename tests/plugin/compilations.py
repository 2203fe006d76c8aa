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
_seconds: list[float] = []  # of each compilation of this process


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


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write how often and how long XLA compiled in this process; others, of pytest-xdist too, are not counted."""
    if _seconds:
        kept = ", kept in JAX_COMPILATION_CACHE_DIR" if os.environ.get("JAX_COMPILATION_CACHE_DIR") else ""
        terminalreporter.line(told(_seconds) + kept)


def told(seconds: list[float]) -> str:
    """Compilations in words."""
    return f"XLA compiled {counted(len(seconds), 'program')} in {sum(seconds):.0f} s, the longest in {max(seconds):.1f} s"
