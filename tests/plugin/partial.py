"""Which runs of the suite are partial: what was left out, for which reason, and what their reports must not replace."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from cnnspec.errors import MalformedReport
from cnnspec.reports.report import DESELECTED, Report
from tests.plugin import levels, verdict


def why_deselected(item: pytest.Item) -> str:
    """Why a test was left out: by the level, by a mark that is registered as `asked for: -m NAME`, or by the user."""
    level = item.config.option.level
    if levels.module_of(item.nodeid) == levels.REPLICAS and item.config.option.replicas < 2:
        return "runs when it is asked for: --replicas 2"
    if not levels.belongs(item, level, item.config):
        return f"not part of --level {level}"
    asked = {line.split(":")[0] for line in item.config.getini("markers") if re.search(r"asked for: -m \w+", line)}
    mark = next((mark.name for mark in item.iter_markers() if mark.name in asked), None)
    return f"runs when it is asked for: -m {mark}" if mark else DESELECTED


def all_asked_for(collected: Iterable[str], deselected: dict[str, str], broken: Collection[str]) -> bool:
    """Whether every tier was asked for, and the run ended because modules cannot be collected: that is all there is."""
    tiers = {levels.module_of(test) for test in [*collected, *broken]}
    return bool(broken) and set(verdict.TIERS) <= tiers and DESELECTED not in deselected.values()


def holds_whole_report(path: Path) -> bool:
    """Whether a file holds the report of a whole run of the suite."""
    try:
        return Report.from_json(path).whole
    except MalformedReport:
        return False
