"""Does the results table's snapshot live as a baseline should: missing fails, made, compared within tolerance, rewritten?"""

import dataclasses
import math
import re
import shutil
import types

import numpy as np
import pandas as pd
import pytest
import syrupy
from scipy import stats

from cnnspec.ensembles import store
from cnnspec.facts import reading
from tests.meta.test_ensembles import run as run_of
from tests.support.snapshots import differences, outside_the_bands

# A project of one test, whose table comes from table.csv. It judges by the real extension and the real ensembles.
CONFTEST = """
import dataclasses, pathlib, pytest
from cnnspec.facts import reading

pytest_plugins = ["tests.plugin.baselines"]

@dataclasses.dataclass
class Settings:
    dataset: str = "mnist5k"
    epochs: int = 2
    seed: int = 1000
    ensembles: pathlib.Path = pathlib.Path({ensembles!r})

@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setattr(reading, "BASELINES", pathlib.Path({folder!r}))
    return Settings()
"""
TEST = """
import pandas as pd
from tests.support.snapshots import check_results_table

def test_table(snapshot, settings, pytestconfig, accepted_shift):
    table = pd.read_csv("table.csv", index_col="row")
    check_results_table(snapshot, table, settings, pytestconfig.option.update_snapshots, accepted_shift)

def test_other():
    assert True
"""
# In made-up ensembles of 24 runs around 0.16 and 0.12 whose logarithm has a deviation of 0.1, bands reach from 0.49 to
# 2.0 times those, and two runs differ by a factor of 2.7 at most.
TABLE = "row,model1,model2\nTest Loss,0.16,0.105\nTrain Loss,0.12,0.13\n"
MOVED = TABLE.replace("0.105", "0.29")  # inside its band, and further from the stored table than two runs are apart
FAILED = TABLE.replace("0.105", "0.9")  # outside its band


def made_up_run(model, seed, factor):
    """A run of two epochs whose losses are `factor` times the ensemble's middle."""
    history = {metric: [0.2 * factor, 0.16 * factor] for metric in store.PER_EPOCH}
    history["train_loss"] = [0.15 * factor, 0.12 * factor]
    return dataclasses.replace(run_of(seed, model), history=history)


@pytest.fixture
def project(pytester, monkeypatch):
    """A pytester project whose snapshots lie outside its tests, in `stored`."""
    monkeypatch.setattr(syrupy, "_syrupy", syrupy._syrupy)  # the inner runs' session must not replace the outer run's
    stored = pytester.path / "stored"
    for model in ("model1", "model2"):
        for seed, z in enumerate(stats.norm.ppf((np.arange(24) + 0.5) / 24)):
            store.append(pytester.path / "ensembles" / f"{model}.csv", made_up_run(model, seed, math.exp(0.1 * z)))
    stored.mkdir()
    shutil.copy(reading.BASELINES / "tolerances.toml", stored)
    pytester.makeconftest(CONFTEST.format(folder=str(stored), ensembles=str(pytester.path / "ensembles")))
    (pytester.path / "suite").mkdir()
    (pytester.path / "suite" / "test_it.py").write_text(TEST)
    (pytester.path / "table.csv").write_text(TABLE)
    pytester.makeini("[pytest]\npythonpath = .")
    return pytester


def run(project, *arguments):
    return project.runpytest_inprocess("-p", "no:benchmark", "-p", "no:xdist", *arguments)


def stored(project):
    """The stored table; its first line says where it is from."""
    first, rest = snapshot_file(project).read_text().split("\n", 1)
    assert re.fullmatch(
        r"# stack \S+ \S+, Keras \S+, .+; seed 1000; \d{4}-\d\d-\d\d; command: pytest .*--snapshot-update", first
    )
    return rest


def snapshot_file(project):
    return project.path / "stored" / "snapshots" / "mnist5k-2-epochs" / "test_table.csv"


def test_the_life_of_a_snapshot(project):
    """Missing fails; made; passes; changed beyond tolerance fails; updated; passes."""
    missing = run(project)
    missing.assert_outcomes(passed=1, failed=1)
    missing.stdout.fnmatch_lines(["*does not exist*", "*next * --snapshot-update*"])
    run(project, "--snapshot-update").assert_outcomes(passed=2)
    assert stored(project) == TABLE
    run(project).assert_outcomes(passed=2)
    (project.path / "table.csv").write_text(MOVED)
    changed = run(project)
    changed.assert_outcomes(passed=1, failed=1)
    changed.stdout.fnmatch_lines(["*Test Loss of model2: expected 0.1050 (from the stored table), obtained 0.2900, +176%*"])
    assert stored(project) == TABLE
    run(project, "--snapshot-update").assert_outcomes(passed=2)
    assert stored(project) == MOVED
    run(project).assert_outcomes(passed=2)


def test_a_table_outside_its_bands_takes_a_reason(project):
    """--snapshot-update refuses what the bands call a failure; --accept-shift stores it, and its reason; then it passes."""
    run(project, "--snapshot-update")
    (project.path / "table.csv").write_text(FAILED)
    refused = run(project, "--snapshot-update")
    refused.assert_outcomes(passed=1, failed=1)
    refused.stdout.fnmatch_lines(["*Test Loss of model2: 0.9000, its band is *", '*next *--accept-shift "reason"*'])
    assert stored(project) == TABLE
    empty = run(project, "--snapshot-update", "--accept-shift", "  ")
    assert empty.ret == pytest.ExitCode.USAGE_ERROR
    empty.stderr.fnmatch_lines(["ERROR: --accept-shift is empty; give the reason for the shift"])
    alone = run(project, "--accept-shift", "another loss")
    assert alone.ret == pytest.ExitCode.USAGE_ERROR
    alone.stderr.fnmatch_lines(["ERROR: --accept-shift does nothing without --snapshot-update; *"])
    run(project, "--snapshot-update", "--accept-shift", "another\nloss").assert_outcomes(passed=2)
    assert stored(project) == "# accepted outside its bands: another loss\n" + FAILED
    run(project).assert_outcomes(passed=2)


@pytest.mark.parametrize(("loss", "fails"), [("4.0", False), ("0.001", False), ("nan", True), ("0", True), ("-1", True)])
def test_a_cell_that_says_nothing_need_only_be_a_number(loss, fails):
    """Model3's test loss after ten epochs is not judged; no number, and a loss that cannot be, fail all the same."""
    asked = types.SimpleNamespace(ensembles=reading.BASELINES / "ensembles" / "mnist5k", dataset="mnist5k", epochs=10)
    expected = "row,model3\nTest Loss,0.22\n"
    assert bool(differences(expected.replace("0.22", loss), expected, asked)) is fails
    table = pd.DataFrame({"model3": {"Test Loss": float(loss)}})
    assert bool(outside_the_bands(table, asked)) is fails


def test_the_real_snapshots_are_left_alone(project):
    """What these tests update and clean up lies in their own folder."""
    folder = reading.BASELINES / "snapshots"
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    run(project, "--snapshot-update")
    run(project, "--snapshot-update", "suite/test_it.py::test_other")
    assert before
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == before


def test_within_tolerance_passes_and_is_rewritten_on_request(project):
    """A table that moved within its tolerance passes and stays stored as it was; --snapshot-update rewrites it."""
    run(project, "--snapshot-update")
    (project.path / "table.csv").write_text(TABLE.replace("0.105", "0.106"))
    run(project).assert_outcomes(passed=2)
    assert stored(project) == TABLE
    run(project, "--snapshot-update").assert_outcomes(passed=2)
    assert "0.106" in snapshot_file(project).read_text()


@pytest.mark.parametrize("arguments", [["suite/test_it.py::test_table"], ["suite/test_it.py::test_other"], ["-k", "table"]])
def test_no_snapshot_is_left_over(project, arguments):
    """Running one node, or a part, neither fails for unused snapshots nor deletes the stored one."""
    run(project, "--snapshot-update")
    result = run(project, *arguments)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*snapshot* unused*")
    run(project, "--snapshot-update", *arguments)
    assert snapshot_file(project).exists()


def test_other_settings_do_not_disturb(project):
    """A table stored for other epochs is neither compared nor reported unused nor deleted."""
    run(project, "--snapshot-update")
    other = snapshot_file(project).parent.with_name("mnist5k-10-epochs") / "test_table.csv"
    other.parent.mkdir()
    shutil.copy(snapshot_file(project), other)
    result = run(project)
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*snapshot* unused*")
    run(project, "--snapshot-update")
    assert other.exists()


SPOILT = {  # what the table becomes -> what the failure says
    "model missing": (
        "row,model1\nTest Loss,0.16\nTrain Loss,0.12\n",
        "*model model2: in the stored table, not in this run's*",
    ),
    "row missing": ("row,model1,model2\nTest Loss,0.16,0.105\n", "*row Train Loss: in the stored table, not in this run's*"),
    "a further model": (
        "row,model1,model2,model5\nTest Loss,0.16,0.105,0.2\nTrain Loss,0.12,0.13,0.2\n",
        "*model model5: in this run's table, not in the stored one*",
    ),
    "nan": (TABLE.replace("0.105", "nan"), "*Test Loss of model2: expected 0.1050*obtained nan*"),
    "zero": (TABLE.replace("0.105", "0"), "*Test Loss of model2: expected 0.1050*obtained 0.0000*"),
}


@pytest.mark.parametrize(("table", "message"), SPOILT.values(), ids=SPOILT)
def test_a_different_table_fails(project, table, message):
    """Rows and columns are compared both ways, and no number is not a number within tolerance."""
    run(project, "--snapshot-update")
    (project.path / "table.csv").write_text(table)
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([message])
