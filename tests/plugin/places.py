"""Where a report lies: in its place or, where nothing can be written there, in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.files import locked

if TYPE_CHECKING:
    from cnnspec.reports.report import Report


def keep(report: Report, path_of: Callable[[bool], Path], whole: bool) -> tuple[Path | None, str]:
    """Write a report to `path_of(whole)`, else to a new temporary folder: its path, and a line that names it.

    Of two runs that end at once, none overlooks the report of the other.
    """
    path = path_of(whole)
    try:
        with locked(path_of(True)):
            path = path_of(whole)
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
