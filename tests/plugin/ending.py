"""A run that is ended by SIGTERM ends as by Ctrl-C: with its verdict, its outcome and the report of what did run.

A scheduler sends SIGTERM when the time is over, and kills what still runs a little later. Docker waits ten seconds, as long
as pytest-xdist waits for its workers before the verdict: here they get one.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Take SIGTERM as an interruption, in the process that writes the report; a second one ends the process at once."""
    if hasattr(config, "workerinput") or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # somebody else waits for it
        return
    signal.signal(signal.SIGTERM, interrupt)
    config.add_cleanup(lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def interrupt(number: int, frame: FrameType | None) -> None:
    """End the run as by Ctrl-C, without waiting for the tests that run in workers."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(ImportError):  # pytest can do without xdist
        from xdist.workermanage import NodeManager

        NodeManager.EXIT_TIMEOUT = 1
    raise KeyboardInterrupt("SIGTERM: the run was ended from outside, by a scheduler or by kill")
