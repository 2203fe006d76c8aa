"""Is what cannot be done told on one line, with exit code 2, before the framework is imported?"""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cnnspec import __main__ as command_line
from cnnspec.facts import reading
from cnnspec.names import LARGEST_SEED
from tests import test_replication
from tests.meta.test_small_ensembles import of_size
from tests.plugin import asked, verdict
from tests.support import trainings

FINE = {
    "seed": 0,
    "runs": 1,
    "recording": None,
    "mnist": None,
    "ensembles": None,
    "out": None,
    "report": None,
    "outcome": None,
    "dataset": "mnist5k",
    "level": "default",
    "markexpr": "not faults",
}
REFUSED = {  # options of pytest -> what is said
    "a seed below 0": ({"seed": -1}, "--seed=-1 is no seed; give a whole number from 0 to 4294967295"),
    "a seed too large": ({"seed": 2**32}, "--seed=4294967296 is no seed; give a whole number from 0 to 4294967295"),
    "a seed too large for its runs": (
        {"seed": LARGEST_SEED, "runs": 2},
        "--seed=4294967295 is no seed; give a whole number from 0 to 4294967295 less --runs - 1 = 1",
    ),
    "no recording": ({"recording": "no"}, "--recording=no is no folder; record one: tox run -e legacy -- no"),
    "a file for a recording": (
        {"recording": "file"},
        "--recording=file is no folder; record one: tox run -e legacy -- file",
    ),
    "no digits": (
        {"mnist": "no"},
        "--mnist=no does not exist; name an .npz file of MNIST or a folder of its four IDX files",
    ),
    "a name too long": (
        {"mnist": "x" * 300},
        f"--mnist={'x' * 300} does not exist; name an .npz file of MNIST or a folder of its four IDX files",
    ),
    "digits that no test reads": (
        {"mnist": "file"},
        "--mnist=file is full MNIST, which no test of this run reads; add --dataset mnist or --level full",
    ),
    "no ensembles": (
        {"ensembles": "no"},
        "holds no ensemble, a CSV per model such as model1.csv; python -m cnnspec calibrate --out no makes one",
    ),
    "a file for a folder": ({"out": "file"}, "--out=file cannot be written (it is a file); name a folder that can"),
    "below a file": ({"report": "file/a.json"}, "file is a file); name a file that can"),
    "a folder below a file": (
        {"report": "file/"},
        "--report=file/ cannot be written (it is a file); name a folder that can",
    ),
    "a folder for a file": (
        {"outcome": "folder"},
        "--outcome=folder cannot be written (it is a folder); name a file that can",
    ),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_pytest_cannot_do(place, options, words):
    """One line names the option, its value, what is wrong, and what to do."""
    found = asked.problem(SimpleNamespace(option=SimpleNamespace(**{**FINE, **options})))
    assert found.endswith(words)
    assert "\n" not in found


@pytest.mark.parametrize(
    "reader", [{"dataset": "mnist"}, {"level": "full"}, {"markexpr": "replication"}], ids=["trainings", "level", "marker"]
)
def test_a_file_of_full_mnist_has_a_reader(place, reader):
    """The trainings, or the comparison with the notebook, for which the trainings stay with the embedded digits."""
    assert asked.problem(SimpleNamespace(option=SimpleNamespace(**{**FINE, "mnist": "file", **reader}))) is None


def test_the_embedded_digits_need_no_file():
    """`--level full --mnist=FILE` trains on the embedded digits too: the file is not read for them."""
    assert trainings.data("mnist5k", "no such file").name == "mnist5k"


def test_what_pytest_can_do(place):
    """The largest seed, folders that are there, new places for what is written; nothing is made."""
    of_size(place / "folder", 3)
    right = {"seed": LARGEST_SEED, "recording": "folder", "mnist": "file", "level": "full"}
    right |= {"ensembles": "folder", "out": "new/er", "report": "new/report.json", "outcome": "outcome.json"}
    assert asked.problem(SimpleNamespace(option=SimpleNamespace(**{**FINE, **right}))) is None
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"]


ENDS = {  # words for Python -> the only line
    "a seed": (["-m", "pytest", "--seed=-1"], "error: --seed=-1 is no seed; give a whole number from 0 to 4294967295"),
    "python -O": (
        ["-O", "-m", "pytest"],
        "error: python -O leaves out the assertions of the tests; run without -O and PYTHONOPTIMIZE",
    ),
}


@pytest.mark.parametrize(("words", "line"), ENDS.values(), ids=ENDS)
def test_pytest_ends_with_2(tmp_path, words, line):
    """Where Keras cannot be imported the line is the same: nothing has tried."""
    (tmp_path / "keras.py").write_text("raise ImportError('it was imported')")
    command = [sys.executable, *words, "-p", "no:cacheprovider", "tests/test_stack.py"]
    variables = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{reading.PROJECT}"}
    ended = subprocess.run(command, cwd=reading.PROJECT, env=variables, capture_output=True, text=True)
    assert (ended.stdout + ended.stderr).splitlines() == [line]
    assert ended.returncode == 2


COMMANDS = {  # arguments of cnnspec -> exit code, how its last line ends
    "a seed below 0": (
        ["train", "model1", "--seed", "-1"],
        2,
        "--seed: -1 is no seed; give a whole number from 0 to 4294967295",
    ),
    "a seed too large": (["calibrate", "--out", "new", "--first-seed", "4294967296"], 2, "from 0 to 4294967295"),
    "too many seeds": (
        ["calibrate", "--out", "new", "--first-seed", "4294967290", "--runs", "7"],
        2,
        "error: the last seed would be 4294967296; --first-seed + --runs - 1 may be at most 4294967295",
    ),
    "no runs": (
        ["calibrate", "--out", "new", "--runs", "0"],
        2,
        "0 is not a positive number; give a whole number of at least 1",
    ),
    "a start below 0": (
        ["paired", "--out", "new", "--starts", "0", "-3"],
        2,
        "-3 is no seed; give a whole number from 0 to 4294967295",
    ),
    "a file for a folder": (
        ["train", "model1", "--out", "file"],
        2,
        "error: file cannot be written (it is a file); name a folder that you can write",
    ),
    "below a file": (["trajectory", "--out", "file/new"], 2, "file is a file); name a folder that you can write"),
    "a folder for a page": (
        ["report", "no.json", "--html", "folder"],
        2,
        "(it is a folder); name a file in a folder that you can write",
    ),
    "a name too long": (
        ["train", "model1", "--dataset", "mnist", "--mnist", "x" * 300],
        3,
        "x does not exist; name an .npz file of MNIST or a folder of its four IDX files",
    ),
    "no digits": (
        ["train", "model1", "--dataset", "mnist", "--mnist", "no"],
        3,
        "error: no does not exist; name an .npz file of MNIST or a folder of its four IDX files",
    ),
}


@pytest.mark.parametrize(("arguments", "code", "line"), COMMANDS.values(), ids=COMMANDS)
def test_what_cnnspec_cannot_do(place, monkeypatch, capsys, arguments, code, line):
    """The same for the commands; nothing was imported or made."""
    monkeypatch.setattr("cnnspec.frameworks.require", lambda: pytest.fail("it went on"))
    try:
        ended = command_line.main(arguments)
    except SystemExit as refused:
        ended = refused.code
    assert ended == code
    assert capsys.readouterr().err.splitlines()[-1].endswith(line)
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_replication_by_few_runs_cannot_tell(tmp_path, monkeypatch, size):
    """With fewer stored runs than three each test fails as `cannot tell`, with their number: that is no verdict `fail`."""
    for model in test_replication.TRAINED:
        stored = (test_replication.FOLDER / f"{model}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{model}.csv").write_text("".join(stored[: size + 1]), encoding="utf-8")
    monkeypatch.setattr(test_replication, "FOLDER", tmp_path)
    test_replication.reference.cache_clear()
    recorded = []
    try:
        if size == 3:
            test_replication.need_runs(lambda *found: recorded.append(found))
            assert recorded == []
            return
        with pytest.raises(pytest.fail.Exception, match=rf"^cannot tell: .* model1 has {size}.*; add runs: python"):
            test_replication.need_runs(lambda *found: recorded.append(found))
    finally:
        test_replication.reference.cache_clear()
    assert recorded == [(verdict.UNDECIDED, True)]
    counts = {module: dict.fromkeys(verdict.OUTCOMES, 0) for module in verdict.TIERS | verdict.ASKED_FOR}
    counts["test_replication"]["failed"] = 1
    assert verdict.judged(counts, recorded, "full") == "cannot tell"
    assert verdict.judged(counts, [], "full") == "fail"
