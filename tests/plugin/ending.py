"""A run that is ended by SIGTERM ends as by Ctrl-C: with its verdict, its outcome and the report of what did run.

A scheduler sends SIGTERM when the time is over, and kills what still runs a little later.
"""

from __future__ import annotations

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
    """End the run as by Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt("SIGTERM: the run was ended from outside, by a scheduler or by kill")
