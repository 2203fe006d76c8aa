"""What is known of the stack under test, also in a process that does not import it.

Under pytest-xdist the process that hands out the tests computes nothing. Importing the framework there would cost seconds
before any test can start, so the workers tell it what they found.
"""

from __future__ import annotations

from typing import Any

import pytest

TOLD = pytest.StashKey[dict[str, Any]]()
MISSING = pytest.StashKey[bool]()
NAME = "cnnspec stack"  # of the workers' message


def hands_out(config: pytest.Config) -> bool:
    """Whether this process hands its tests to others, pytest-xdist's workers, and runs none."""
    option = config.option
    others = getattr(option, "numprocesses", None) or getattr(option, "tx", None)
    return bool(others) and not hasattr(config, "workerinput")


def current(config: pytest.Config) -> dict[str, Any]:
    """`cnnspec.stack.current()` of the processes that run the tests. The framework is imported where none has told it."""
    if TOLD in config.stash:
        return config.stash[TOLD]
    from cnnspec import stack

    return stack.current()


def missing(config: pytest.Config) -> bool:
    """Whether the workers ended because they have no framework: then nothing is known, and nothing was run."""
    return config.stash.get(MISSING, False)


def described(config: pytest.Config) -> list[str]:
    """Lines that describe the stack under test."""
    from cnnspec.devices.words import describe

    return [*describe(current(config))]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[NAME] = current(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {}).get(NAME)
    if told:
        node.config.stash[TOLD] = told
