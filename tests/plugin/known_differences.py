"""A known difference that is gone: its test was expected to fail and passed. The message says so, and what to do.

It is a failure on the stacks on which the difference was measured. A newer stack may have mended it, and is not blamed.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

STALE = "stale known difference"  # the property of such a test: (name of its entry, stack that it passed on, excuse)
FILE = "tests/support/known_differences.py"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Replace pytest's `[XPASS(strict)] reason` by the whole message, or by a pass where nothing was measured."""
    report = yield
    if report.failed and isinstance(report.longrepr, str) and report.longrepr.startswith("[XPASS(strict)]"):
        from tests.support.known_differences import unmeasured

        reason = report.longrepr.removeprefix("[XPASS(strict)]").strip()
        name, on, excuse = entry(item), where(), unmeasured()
        if excuse:
            report.outcome, report.longrepr, report.wasxfail = "passed", None, f"reason: {reason}"
        else:
            report.longrepr = message(report.nodeid, name, on, reason)
        report.user_properties.append((STALE, (name, on, excuse)))
    return report


def message(test: str, name: str | None, on: str, reason: str) -> str:
    """Which test passed, which difference was expected, on what stack it is gone, and what to do."""
    remedy = f"narrow or remove the entry {name} in {FILE}" if name else "narrow or remove the mark xfail of the test"
    lines = (
        f"{test}: a known difference is gone",
        f"  expected  failure   (reason: {reason})",
        f"  obtained  pass on {on}",
        f"  next      {remedy}",
    )
    return "\n".join(lines)


def entry(item: pytest.Item) -> str | None:
    """Name of the entry of known_differences.py that marks a test; None for a mark from elsewhere."""
    from tests.support import known_differences

    marks = [mark for mark in item.iter_markers("xfail") if not mark.args or mark.args[0]]
    entries = {name: mark for name, mark in vars(known_differences).items() if isinstance(mark, pytest.MarkDecorator)}
    return next((name for name, decorator in entries.items() if decorator.mark in marks), None)


def where() -> str:
    """Name and version of framework and Keras."""
    from cnnspec import stack

    facts = stack.current()
    return f"{facts['framework']}, Keras {facts['keras']}"
