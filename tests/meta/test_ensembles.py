"""Are runs added to an ensemble whole and once, after an interruption too, and runs of another stack refused?"""

import dataclasses
import sys
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cnnspec import __main__ as command_line
from cnnspec.ensembles import calibrate, rows, store
from cnnspec.errors import EnsembleError, RunFailed
from cnnspec.runs import TrainingRun

STACK = dict.fromkeys(rows.STACK, "x") | {"cores": 2, "memory_gib": 8}


def run(seed, model="model1", epochs=2, **stack):
    """A healthy run, made up."""
    loss = [1.0 / (epoch + seed + 1) for epoch in range(epochs)]
    history = {metric: loss for metric in rows.PER_EPOCH}
    scores = dict.fromkeys(rows.SCORES, 0.5)
    return TrainingRun(model, "mnist5k", seed, epochs, 128, "adam", True, history, scores, STACK | stack, 2.4)


def test_rows_come_back(tmp_path):
    """Appended runs are read again in the same order, with numbers as numbers."""
    for seed in (4, 2):
        store.append(tmp_path / "model1.csv", run(seed))
    frame = store.read(tmp_path / "model1.csv")
    assert frame.seed.tolist() == [4, 2]
    assert frame.loss_2.tolist() == pytest.approx([1 / 6, 1 / 4])
    assert store.curves(tmp_path / "model1.csv", 1)[0]["val_loss"] == pytest.approx([1 / 5])


def test_a_seed_is_stored_once(tmp_path):
    """A seed that is already stored is not stored again."""
    for _ in range(2):
        store.append(tmp_path / "model1.csv", run(1))
    assert store.read(tmp_path / "model1.csv").seed.tolist() == [1]


def test_another_stack_is_refused(tmp_path):
    """A run from another stack, or of other settings, is refused, and the file is unchanged."""
    path = tmp_path / "model1.csv"
    store.append(path, run(1))
    before = path.read_bytes()
    with pytest.raises(EnsembleError, match=r"framework: x stored, torch 2 new\); choose another --out"):
        store.append(path, run(2, framework="torch 2"))
    with pytest.raises(EnsembleError, match="optimizer: adam stored, adadelta new"):
        store.append(path, dataclasses.replace(run(2), optimizer="adadelta"))
    with pytest.raises(EnsembleError, match="has other columns than a run of 3 epochs; choose another --out"):
        store.append(path, run(2, epochs=3))
    assert path.read_bytes() == before


def test_writers_at_once(tmp_path):
    """Eight writers at once: every row is stored, and whole."""
    path = tmp_path / "model1.csv"
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda seed: store.append(path, run(seed)), range(24)))
    assert sorted(store.read(path).seed) == list(range(24))


FOLDERS = {  # folder -> settings in the command that makes its ensembles
    "mnist5k": "--dataset mnist5k --optimizer adam",
    "mnist": "--dataset mnist --optimizer adam",
    "mnist-adadelta": "--dataset mnist --optimizer adadelta",
    "mnist-adamax": "--dataset mnist --optimizer adamax",
    "mnist-h100": "--dataset mnist --optimizer adam",
}


@pytest.mark.parametrize(("folder", "settings"), FOLDERS.items())
def test_the_remedy_is_a_command(tmp_path, folder, settings):
    """The command in the message is one that the command line takes, with the settings of the folder."""
    path = tmp_path / folder / "model2.csv"
    with pytest.raises(EnsembleError) as error:
        store.read(path)
    command = str(error.value).partition("python -m cnnspec ")[2]
    assert command == f"calibrate --models model2 {settings} --epochs 10 --runs 24 --out {path.parent}"
    assert command_line.parser().parse_args(command.split()).out == path.parent


def test_too_many_epochs_are_refused(tmp_path):
    """An ensemble of runs of two epochs cannot judge runs of three."""
    store.append(tmp_path / "model1.csv", run(1))
    with pytest.raises(EnsembleError, match="too few to judge 3; use --epochs 2"):
        store.curves(tmp_path / "model1.csv", 3)


class StubbornExecutor:
    """Answers with made-up runs instead of training, and fails from the `failing`th submission on."""

    def __init__(self, failing=1000):
        self.failing, self.submitted = failing, []

    def submit(self, function, model, dataset, seed, **settings):
        self.submitted.append((model, seed))
        future = Future()
        if len(self.submitted) < self.failing:
            future.set_result(run(seed, model, settings["epochs"]))
        else:
            future.set_exception(RunFailed("the power failed"))
        return future


def test_calibrate_resumes(tmp_path):
    """Interrupted and started again, calibrate trains the missing runs and none twice; it says how many."""
    lines = []
    arguments = {"out": tmp_path, "models": ["model1", "model2"], "dataset": "mnist5k", "seeds": range(3), "epochs": 2}
    with pytest.raises(RunFailed, match="power"):
        calibrate.calibrate(StubbornExecutor(failing=4), report=lines.append, **arguments)
    stored = {(model, seed) for model in ("model1", "model2") for seed in store.seeds(tmp_path / f"{model}.csv")}
    executor = StubbornExecutor()
    calibrate.calibrate(executor, report=lines.append, **arguments)
    everything = {(model, seed) for model in ("model1", "model2") for seed in range(3)}
    assert set(executor.submitted) == everything - stored
    assert all(store.seeds(tmp_path / f"{model}.csv") == {0, 1, 2} for model in ("model1", "model2"))
    assert lines[0] == f"6 runs to train, 0 already stored in {tmp_path}"
    assert "min left" in lines[-1]
    calibrate.calibrate(executor, report=lines.append, **arguments | {"seeds": range(4), "models": ["model1"]})
    assert lines[-2] == f"1 run to train, 3 already stored in {tmp_path}"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"stack": {"framework": "torch 2"}}, "framework: x stored, torch 2 new"),
        ({"stack": {"cpu": "another"}}, "cpu: x stored, another new"),
        ({"optimizer": "adadelta"}, "optimizer: adam stored, adadelta new"),
        ({"epochs": 3}, "epochs: 2 stored, 3 new"),
        ({"redraw": False}, "redrawn: True stored, False new"),
    ],
)
def test_calibrate_refuses_before_it_trains(tmp_path, other, told):
    """A run that could not be stored is not trained, and the file is unchanged. Nothing is asked where all are stored."""
    path = tmp_path / "model1.csv"
    store.append(path, run(0))
    before, executor = path.read_bytes(), StubbornExecutor()
    arguments = {"out": tmp_path, "models": ["model1"], "dataset": "mnist5k", "seeds": range(2), "epochs": 2}
    with pytest.raises(EnsembleError, match=rf"{told}\); choose another --out"):
        calibrate.calibrate(executor, **arguments | other)
    assert executor.submitted == []
    assert path.read_bytes() == before
    calibrate.calibrate(executor, **arguments | other | {"seeds": range(1)})
    assert executor.submitted == []


def test_calibrate_needs_the_lock_before_it_trains(tmp_path, monkeypatch):
    """Without the package that locks files nothing is trained: the run could not be stored."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    executor = StubbornExecutor()
    with pytest.raises(EnsembleError, match=r"model1\.csv cannot be locked .*: python -m pip install filelock"):
        calibrate.calibrate(executor, tmp_path, ["model1"], "mnist5k", range(2), 2)
    assert executor.submitted == []
