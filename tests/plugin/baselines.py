"""Options that change a baseline on purpose, or that take another one than the stored baseline."""

from pathlib import Path

import pytest

from cnnspec.facts.reading import BASELINES
from tests.plugin import group

RECORDED_IN_2019 = BASELINES / "trajectories" / "2019"


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--accept-shift",
        metavar="REASON",
        help="with --snapshot-update: store a results table that lies outside its bands, together with this reason",
    )
    group(parser).addoption(
        "--recording",
        metavar="DIR",
        help="use this recording of the 2019 stack (from tox run -e legacy) instead of baselines/trajectories/2019",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse --accept-shift where it would do nothing."""
    reason = config.option.accept_shift
    if reason is not None and not reason.split():
        raise pytest.UsageError("--accept-shift is empty; give the reason for the shift")
    if reason is not None and not config.getoption("update_snapshots", False):
        raise pytest.UsageError("--accept-shift does nothing without --snapshot-update; give both, or neither")


@pytest.fixture
def recording(pytestconfig: pytest.Config) -> Path:
    """Folder of the recorded steps of the 2019 stack: that of --recording, else the stored one."""
    return Path(pytestconfig.option.recording or RECORDED_IN_2019)


@pytest.fixture
def accepted_shift(pytestconfig: pytest.Config) -> str:
    """The reason of --accept-shift for storing a table outside its bands, on one line; empty without the option."""
    return " ".join((pytestconfig.option.accept_shift or "").split())
