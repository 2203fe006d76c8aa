"""Options that move a baseline on purpose, or judge another one than the stored."""

from pathlib import Path

import pytest

from cnnspec.facts.reading import BASELINES
from tests.plugin import group

RECORDED_IN_2019 = BASELINES / "trajectories" / "2019"


def pytest_addoption(parser: pytest.Parser) -> None:
    group(parser).addoption(
        "--accept-shift",
        metavar="REASON",
        help="with --snapshot-update: store a results table although its bands call it a failure, and this reason with it",
    )
    group(parser).addoption(
        "--recording",
        metavar="DIR",
        help="judge this recording of the 2019 stack (tox run -e legacy makes one), not that in baselines/trajectories/2019",
    )


@pytest.fixture
def recording(pytestconfig: pytest.Config) -> Path:
    """Folder of the steps that 2019's stack took: the stored ones, or those of --recording."""
    return Path(pytestconfig.option.recording or RECORDED_IN_2019)


@pytest.fixture
def accepted_shift(pytestconfig: pytest.Config) -> str:
    """The reason that --accept-shift gives for storing a table outside its bands, on one line; empty without one."""
    return " ".join((pytestconfig.option.accept_shift or "").split())
