"""Which runs of the suite are partial: what was left out, for which reason, and what their reports must not replace."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from cnnspec.errors import MalformedReport
from cnnspec.reports.report import DESELECTED, Report
from tests.plugin import verdict


def module_of(nodeid: str) -> str:
    """Name of the module of a test: test_exact of tests/test_exact.py::test_name."""
    return Path(nodeid.split("::")[0]).stem


def level_of(config: pytest.Config) -> str:
    """How much of the suite a run takes: the value of --level."""
    return getattr(config.option, "level", None) or "default"


def why_deselected(item: pytest.Item) -> str:
    """Why a test was left out. A mark that is registered as `asked for: -m NAME` is left out of every run but its own."""
    asked = {line.split(":")[0] for line in item.config.getini("markers") if re.search(r"asked for: -m \w+", line)}
    mark = next((mark.name for mark in item.iter_markers() if mark.name in asked), None)
    return f"runs when it is asked for: -m {mark}" if mark else DESELECTED


def by_level(config: pytest.Config, collected: Iterable[str], missed: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The tests that did not run. The reason of a module that a level leaves out as a whole is the level."""
    if level_of(config) == "default":
        return list(missed)
    taken = {module_of(test) for test in collected}
    left = f"not part of --level {level_of(config)}"
    return [
        {**each, "reason": left} if each["reason"] == DESELECTED and module_of(each["test"]) not in taken else each
        for each in missed
    ]


def all_asked_for(collected: Iterable[str], deselected: dict[str, str], broken: Collection[str]) -> bool:
    """Whether every tier was asked for, and the run ended because modules cannot be collected: that is all there is."""
    tiers = {module_of(test) for test in [*collected, *broken]}
    return bool(broken) and set(verdict.TIERS) <= tiers and DESELECTED not in deselected.values()


def holds_whole_report(path: Path) -> bool:
    """Whether a file holds the report of a whole run of the suite."""
    try:
        return Report.from_json(path).whole
    except MalformedReport:
        return False
