"""How much of the suite a run takes, and in which order: what is cheap or names a cause first, so that `-x` stops early.

Plain `pytest` collects the tiers alone; `pytest tests` and `pytest tests/meta` collect the tests of the suite itself too.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from cnnspec.reports import verdicts
from tests.plugin import group
from tests.plugin.asked import reads_mnist

LEVELS = {  # name -> what it says about itself in the verdict
    "quick": "quick: before anything trains. It cannot see what only a training, a saved model or another process shows.",
    "default": "default: every tier. It cannot see a fault that strikes less often than once in a few hundred steps.",
    "full": "full: every tier, and ten epochs of full MNIST beside the notebook.",
}
REPLICAS = "test_replicas"
QUICK = tuple(f"test_{tier}" for tier in verdicts.QUICK)


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--level",
        choices=LEVELS,
        default="default",
        help="quick: seconds, before anything trains; default: every tier; full: also ten epochs of full MNIST",
    )
    group(parser).addoption(
        "--replicas",
        type=replicas,
        default=1,
        metavar="N",
        help="also train data-parallel on N replicas, on N GPUs or on N parts of the CPU (default: 1, none)",
    )


def replicas(text: str) -> int:
    """The value of --replicas, for argparse."""
    if not re.fullmatch("[1-9][0-9]?", text):
        raise argparse.ArgumentTypeError(f"{text} is no number of replicas; give 2, or the number of GPUs")
    return int(text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not belongs(item, config.option.level, config)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        chosen = set(items) - set(left_out)
        items[:] = [item for item in items if item in chosen]
    items.sort(key=place)


def belongs(item: pytest.Item, level: str, config: pytest.Config) -> bool:
    """Whether a test is part of a level. Tests that are no tier's belong to every level: they were asked for by path."""
    from tests.plugin import verdict

    module = module_of(item.nodeid)
    if module == REPLICAS:
        return bool(config.option.replicas > 1)
    if item.get_closest_marker("replication"):
        return reads_mnist(config)
    if level != "quick" or module not in verdict.TIERS:
        return True
    return module in QUICK and not item.get_closest_marker("slow")


def place(item: pytest.Item) -> int:
    """Where a test's module stands in the order of a run: the verdict's, with all that is no tier behind it."""
    from tests.plugin import verdict

    order = [*verdict.TIERS, *verdict.ASKED_FOR]
    module = module_of(item.nodeid)
    return order.index(module) if module in order else len(order)


def power(level: str) -> str:
    """One line: how many of the stored faults a run of this level catches; empty where nothing is stored."""
    from cnnspec.errors import BaselineError
    from cnnspec.faults import power

    try:
        return power.line_of_level(level)
    except BaselineError as error:
        return f"power: unknown: {error}"


def module_of(nodeid: str) -> str:
    """Name of the module of a test: test_exact of tests/test_exact.py::test_name."""
    return Path(nodeid.split("::")[0]).stem


def tiers(level: str) -> tuple[str, ...]:
    """The modules that must have run for a verdict at a level."""
    from tests.plugin import verdict

    if level == "quick":
        return QUICK
    full = tuple(module for module in verdict.ASKED_FOR if module != REPLICAS)
    return (*verdict.TIERS, *full) if level == "full" else tuple(verdict.TIERS)
