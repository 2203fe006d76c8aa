"""What the tests of the suite itself share."""

import shutil
from pathlib import Path

import pytest
import syrupy

from cnnspec.facts import reading

# Kinds of pytest's own warnings: tests that it cannot collect or judge, and what fails late.
KINDS = ["Collection", "ReturnNotNone", "AssertRewrite", "UnknownMark", "UnraisableException", "UnhandledThreadException"]


LONGEST = "test_wheel.py"  # by far: it builds environments, and as the last module it would keep one process alone


def pytest_collection_modifyitems(items):
    """Of these modules the longest is run, or handed to a process of `pytest -n 2`, first."""
    places = [place for place, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ordered = sorted((items[place] for place in places), key=lambda item: item.path.name != LONGEST)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def pytest_configure(config):
    """Make every warning that points at a line of this project an error, in the tiers of the same run too, and some of
    pytest's own.
    """
    for filter_ in ("error:::(cnnspec|tests)[.]", *(f"error::pytest.Pytest{kind}Warning" for kind in KINDS)):
        config.addinivalue_line("filterwarnings", filter_)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a file and a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def bare_project(pytester, monkeypatch):
    """A pytester project with this project's conftest.py, no configuration and no tests."""
    monkeypatch.setattr(syrupy, "_syrupy", syrupy._syrupy)  # the inner runs' session must not replace the outer run's
    monkeypatch.delenv("CNNSPEC_ENVIRONMENT", raising=False)
    monkeypatch.delenv("TOX_ENV_NAME", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(reading.PROJECT))  # for the processes of xdist
    shutil.copy(reading.PROJECT / "conftest.py", pytester.path / "conftest.py")
    pytester.makeini("[pytest]")
    return pytester
