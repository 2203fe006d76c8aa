"""The outcome of a run in one line, for programs: `cnnspec verify` reads it, and it is what its --json prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cnnspec.reports.report import DESELECTED, UNREACHED
from tests.plugin import group

if TYPE_CHECKING:
    from cnnspec.reports.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--outcome",
        metavar="FILE",
        help="write verdict, stack, device, level, seconds, first reason and path of the report to FILE, one line of JSON",
    )


def at_the_start(config: pytest.Config | None, verdict: str, reason: str) -> None:
    """Write the outcome of a run that ends before its first test. `config` is None where there is no run."""
    if config:
        write(config, {"verdict": verdict, "stack": None, "device": None, "seconds": None, "reason": reason, "report": None})


def of_report(config: pytest.Config, report: Report, path: Path | None) -> None:
    """Write the outcome of a run with a report, which is kept at `path`; None where no tier ran."""
    facts = report.stack
    failed_elsewhere = report.others["failed"] and report.verdict == "pass"
    write(
        config,
        {
            "verdict": "fail" if failed_elsewhere else report.verdict,
            "stack": f"{facts['framework']}, Keras {facts['keras']}, NumPy {facts['numpy']}, Python {facts['python']}",
            "device": facts["device"],
            "seconds": report.seconds,
            "reason": why(report),
            "report": str(path) if path else None,
        },
    )


def why(report: Report) -> str | None:
    """What failed first; where nothing failed, why there is no verdict. None for a pass."""
    if report.failed:
        return f"{report.failed[0]['test']}: {report.failed[0]['reason']}"
    if report.verdict == "pass":
        return None
    left_out = [each for each in report.not_run if each["reason"] in (UNREACHED, DESELECTED)]
    if left_out:
        others = f" (and {len(left_out) - 1} more)" if left_out[1:] else ""
        return f"{left_out[0]['test']}{others}: {left_out[0]['reason']}"
    tiers = [tier for tier, count in report.tiers.items() if not (count["passed"] or count["xfailed"])]
    return f"in {len(tiers)} of {len(report.tiers)} tiers no test passed, the first is {tiers[0]}"


def write(config: pytest.Config, fields: dict[str, Any]) -> None:
    """Write the outcome to the file of --outcome, if it was asked for."""
    if config.getoption("outcome", None) and not hasattr(config, "workerinput"):
        line = json.dumps({**fields, "level": config.option.level})
        Path(config.option.outcome).write_text(line + "\n", encoding="utf-8")
