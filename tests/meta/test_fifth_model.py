"""Is a fifth model data and one function, and is whatever was forgotten named with the right remedy?

A made-up small model is added to a copy of the project, as CONTRIBUTING.md says under "Add a model".
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.meta import fifth_model

MOST_FILES = 12  # that a model may touch, without its stored runs: ensembles, and recordings that a command writes
JUDGED = ("architecture", "configuration", "numerics", "optimizer", "trajectory")  # the tiers that train no ensemble


def suite(project: Path, *arguments: str) -> tuple[int, str]:
    """Run the copy's tests: (exit code, output)."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--report=report.json", *arguments]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=600)
    return ended.returncode, ended.stdout


def test_a_fifth_model_is_data_and_one_function(tmp_path):
    """After the steps of CONTRIBUTING.md every tier that needs no ensemble judges the model, and passes."""
    project = fifth_model.copied(tmp_path)
    for step in fifth_model.STEPS.values():
        step(project)
    modules = [f"tests/test_{tier}.py" for tier in JUDGED]
    code, output = suite(project, *modules, "-k", "model5 or registered")
    assert code == 0, output
    for tier in JUDGED:
        (line,) = [line for line in output.splitlines() if line.startswith(tier)]
        assert " passed " in line
    touched = [path for path in fifth_model.touched(project) if path != "report.json"]
    by_hand = [path for path in touched if not path.startswith("baselines/trajectories/")]
    snapshots = 2  # the results table after four and after ten epochs, which --snapshot-update stores
    assert len(by_hand) + snapshots <= MOST_FILES, touched


class Omission(NamedTuple):
    """What was left out, the tests that must fail, and what their message must say."""

    steps: tuple[str, ...]
    arguments: tuple[str, ...]
    message: str


OMISSIONS = {
    "only the function": Omission(
        ("function",),
        ("tests/test_architecture.py", "-k", "registered"),
        "model5: missing in MODELS in cnnspec/names.py, baselines/notebook/summary.csv, ",
    ),
    "all but the function": Omission(
        ("name", "summary", "configuration", "totals"),
        ("tests/test_numerics.py", "-k", "model5 and outputs"),
        "model5 has no function in ARCHITECTURES of cnnspec/architectures.py; add it, CONTRIBUTING.md says how",
    ),
    "no summary": Omission(
        ("name", "function", "configuration", "totals"),
        ("tests/test_numerics.py",),
        "summary.csv has no rows of model5; add them, CONTRIBUTING.md says how, under Add a model",
    ),
    "no configuration": Omission(
        ("name", "function", "summary", "totals"),
        ("tests/test_configuration.py", "-k", "model5"),
        "model5, layer 1 (conv2d_9): settings",
    ),
    "no totals": Omission(
        ("name", "function", "summary", "configuration"),
        ("tests/test_architecture.py", "-k", "registered"),
        "model5: missing in baselines/notebook/totals.csv",
    ),
    "no trajectories": Omission(
        ("name", "function", "summary", "configuration", "totals", "tolerances"),
        ("tests/test_trajectory.py", "-k", "model5"),
        "model5-sgd.csv is missing; record it with: python -m cnnspec trajectory --by float64 --out",
    ),
    "no tolerances": Omission(
        ("name", "function", "summary", "configuration", "totals", "trajectories"),
        ("tests/test_trajectory.py", "-k", "model5"),
        "tolerances.toml has no table [trajectory.model5-sgd]; add it",
    ),
    "no ensemble": Omission(
        ("name", "function", "summary", "configuration", "totals"),
        ("tests/test_training.py", "-k", "model5 and untrained"),
        "model5.csv is missing; make it with: python -m cnnspec calibrate --models model5",
    ),
}
SILENT = ("only the function", "all but the function")  # these two were once noticed by nothing, or by a KeyError


@pytest.mark.parametrize(
    "omission",
    [pytest.param(case, id=name, marks=() if name in SILENT else pytest.mark.faults) for name, case in OMISSIONS.items()],
)
def test_what_was_forgotten_is_named(tmp_path, omission):
    """A step left out fails by the model's name, with what is to be added where."""
    project = fifth_model.copied(tmp_path)
    for step in omission.steps:
        fifth_model.STEPS[step](project)
    code, output = suite(project, *omission.arguments)
    assert code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED), output  # interrupted: while collecting
    assert omission.message in output, output


@pytest.mark.faults
def test_a_table_of_results_without_the_model_is_named(tmp_path):
    """A stored results table that lacks the model fails by its name; tests/meta/test_snapshots.py has the comparison."""
    project = fifth_model.copied(tmp_path)
    for step in ("name", "function", "summary", "configuration", "totals"):
        fifth_model.STEPS[step](project)
    code, output = suite(project, "tests/test_results.py", "-k", "results_table", "--epochs", "1")
    assert code == 1
    assert "model5" in output
