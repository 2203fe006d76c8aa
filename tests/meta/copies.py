"""Copies of the project, for tests that change it, install it, or take the right to write away."""

import shutil
from pathlib import Path

from cnnspec.facts import reading

# Root may write everywhere; without its capabilities it may write what its permissions say.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
SUITE = ("conftest.py", "pyproject.toml", "cnnspec", "tests", "baselines")  # what pytest needs


def copy_project(folder: Path, parts: tuple[str, ...] = SUITE) -> Path:
    """Copy files and folders of the project into an existing folder, without what was cached; returns the folder."""
    for part in parts:
        source = reading.PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder
