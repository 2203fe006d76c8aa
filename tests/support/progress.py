"""A line now and then for whoever waits: what runs, and how long is left. The plugin says where the lines go."""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[str], None]] = []


def told_to(listener: Callable[[str], None]) -> Callable[[], None]:
    """Call `listener` with each line from now on; returns the function that ends it."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def say(line: str) -> None:
    """Tell a line to the run that listens, the last one where runs are nested; nobody is told outside a run."""
    if _listeners:
        _listeners[-1](line)
