"""Where a run writes: a place that was named is tried before the run, and a report that cannot lie here lies elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin import outcome

if TYPE_CHECKING:
    from cnnspec.reports.report import Report

NAMED = ("report", "out", "outcome")  # options that name a file or a folder to write


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Before the framework is imported: a place that was named and cannot be written is one line and exit code 2."""
    from cnnspec.errors import OutUnusable

    for option in NAMED:
        place = config.getoption(option, None)
        refused = why_not(Path(place), place.endswith(os.sep)) if place and not hasattr(config, "workerinput") else None
        if refused:
            error = OutUnusable(f"nothing can be written to {refused}; name another place: --{option}=PATH")
            if option != "outcome":
                outcome.at_the_start(config, "no verdict", str(error))
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return None


def why_not(place: Path, folder: bool = False) -> str | None:
    """The folder and the reason why `place` cannot be written; None if it can. Folders that are missing are not made."""
    place = place.absolute()
    near = place if folder or place.is_dir() else place.parent
    while not near.exists() and near != near.parent:
        near = near.parent
    try:
        with tempfile.TemporaryFile(dir=near):
            return None
    except OSError as error:
        return f"{near} ({error.strerror})"


def keep(report: Report, path: Path) -> tuple[Path | None, str]:
    """Write a report to `path`, or to a new temporary folder if nothing can be written there: its path, and a line."""
    try:
        report.to_json(path)
        return path, f"report: {path}"
    except OSError as error:
        refused = f"nothing can be written to {path.parent} ({error.strerror}); --report=PATH names another place"
    try:
        path = Path(tempfile.mkdtemp(prefix="cnnspec-reports-")) / path.name
        report.to_json(path)
        return path, f"report: {path}; {refused}"
    except OSError:
        return None, f"no report: {refused}"
