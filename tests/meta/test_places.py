"""Does plain pytest work in a clone that cannot be written, and is a place that was named tried before the run?"""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from cnnspec.reports.report import Report
from tests.meta.copies import POWERLESS, copy_project
from tests.meta.reports.made_reports import made
from tests.plugin import places

PARTS = ("cnnspec", "tests", "baselines", "conftest.py", "pyproject.toml", "tox.ini")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the project into which nothing can be written."""
    folder = tmp_path_factory.mktemp("read-only") / "clone"
    folder.mkdir()
    copy_project(folder, PARTS)
    every = [folder, *folder.rglob("*")]
    for path in every:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield folder
    for path in every:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def run(clone, temporary, *arguments):
    """A finished pytest in the clone, with a temporary folder of its own and without root's rights."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("root writes everywhere: setpriv takes its rights away (apt-get install util-linux), or be another user")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CNNSPEC_", "TOX_"))}
    command = [*(POWERLESS if root else []), sys.executable, "-m", "pytest", *arguments]
    variables = {**kept, "TMPDIR": str(temporary), "HOME": "/nonexistent"}
    return subprocess.run(command, cwd=clone, env=variables, capture_output=True, text=True)


def test_plain_pytest_in_a_read_only_clone(clone, tmp_path):
    """Its tests pass, and the report lies in a temporary folder that the last lines name."""
    ended = run(clone, tmp_path, "tests/test_stack.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (path,) = tmp_path.glob("cnnspec-reports-*/*.json")
    assert f"report: {path}; nothing can be written to {clone / 'reports'}" in ended.stdout
    assert Report.from_json(path).tiers["stack"]["passed"]
    assert "INTERNALERROR" not in ended.stdout
    assert not (clone / "reports").exists()


@pytest.mark.parametrize("option", ["report", "out", "outcome"])
def test_a_place_that_was_named(clone, tmp_path, option):
    """It is one line before anything is imported, with exit code 2, that of a folder that cannot be written."""
    told = [f"--outcome={tmp_path / 'told.json'}"] if option != "outcome" else []
    ended = run(clone, tmp_path, f"--{option}=new/place", *told)
    kind = "a folder" if option == "out" else "a file"
    error = f"--{option}=new/place cannot be written (Permission denied); name {kind} that can"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"error: {error}\n")
    if told:
        outcome = json.loads((tmp_path / "told.json").read_text(encoding="utf-8"))
        assert (outcome["verdict"], outcome["reason"]) == ("no verdict", error)


def test_a_report_finds_a_place(tmp_path, monkeypatch):
    """At the path, else in a temporary folder; where there is none either, the line says that there is no report."""
    assert places.keep(made(), lambda whole: tmp_path / "report.json", True) == (
        tmp_path / "report.json",
        f"report: {tmp_path / 'report.json'}",
    )
    (tmp_path / "file").touch()
    path, line = places.keep(made(), lambda whole: tmp_path / "file" / "report.json", True)
    assert Report.from_json(path) == made()
    assert line.startswith(f"report: {path}; nothing can be written to {tmp_path / 'file'} (")
    shutil.rmtree(path.parent)

    def nowhere(prefix):
        raise OSError("no temporary folder")

    monkeypatch.setattr("tempfile.mkdtemp", nowhere)
    path, line = places.keep(made(), lambda whole: tmp_path / "file" / "report.json", True)
    assert path is None
    assert line.startswith("no report: nothing can be written to ")
