"""Lines of progress between pytest's dots, in a log without a terminal and from the processes of `pytest -n 2` as well."""

from __future__ import annotations

import contextlib
import sys

import pytest

from tests.support import progress


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(progress.told_to(lambda line: write(config, line)))
    if not hasattr(config, "workerinput"):  # workers send their reports to this process
        config.pluginmanager.register(Failures(config), "cnnspec-failures")


class Failures:
    """Names a failure when it happens: pytest tells it at the end, which a run that is killed does not reach."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            from tests.plugin.report import reason

            write(self.config, f"failed: {report.nodeid}: {reason('failed', report)}")


def write(config: pytest.Config, line: str) -> None:
    """Write a line to the terminal. A process of xdist writes to the error output that it shares with the others."""
    capture, terminal = (config.pluginmanager.get_plugin(name) for name in ("capturemanager", "terminalreporter"))
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if hasattr(config, "workerinput"):
            print(line, file=sys.stderr, flush=True)
        elif terminal:
            if config.get_terminal_writer().width_of_current_line:  # dots
                terminal.line("")
            terminal.line(line)
            terminal.flush()
        else:  # before the run starts there is none yet
            print(line, flush=True)
