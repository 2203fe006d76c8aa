"""Do ensembles grow whole, resume where they stopped, and refuse what does not belong?"""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from cnnspec.ensembles import calibrate, store
from cnnspec.errors import EnsembleError, RunFailed
from cnnspec.training import TrainingRun

STACK = dict.fromkeys(store.STACK, "x") | {"cores": 2, "memory_gib": 8}


def run(seed, model="model1", epochs=2, **stack):
    """A healthy run, made up."""
    loss = [1.0 / (epoch + seed + 1) for epoch in range(epochs)]
    history = {metric: loss for metric in store.PER_EPOCH}
    scores = dict.fromkeys(store.SCORES, 0.5)
    return TrainingRun(model, "mnist5k", seed, epochs, 128, "adam", True, history, scores, STACK | stack, 2.4)


def test_rows_come_back(tmp_path):
    """What was appended is read again, in order, numbers as numbers."""
    for seed in (4, 2):
        store.append(tmp_path / "model1.csv", run(seed))
    frame = store.read(tmp_path / "model1.csv")
    assert frame.seed.tolist() == [4, 2]
    assert frame.loss_2.tolist() == pytest.approx([1 / 6, 1 / 4])
    assert store.curves(tmp_path / "model1.csv", 1)[0]["val_loss"] == pytest.approx([1 / 5])


def test_a_seed_counts_once(tmp_path):
    """A seed that is stored already is not stored again."""
    for _ in range(2):
        store.append(tmp_path / "model1.csv", run(1))
    assert store.read(tmp_path / "model1.csv").seed.tolist() == [1]


def test_another_stack_is_refused(tmp_path):
    """A run from another stack, or of other settings, is refused and the file stays as it was."""
    path = tmp_path / "model1.csv"
    store.append(path, run(1))
    before = path.read_bytes()
    with pytest.raises(EnsembleError, match=r"framework x there, torch 2 here\); choose another --out"):
        store.append(path, run(2, framework="torch 2"))
    with pytest.raises(EnsembleError, match="optimizer adam there, adadelta here"):
        store.append(path, dataclasses.replace(run(2), optimizer="adadelta"))
    with pytest.raises(EnsembleError, match="holds other columns than a run of 3 epochs"):
        store.append(path, run(2, epochs=3))
    assert path.read_bytes() == before


def test_writers_at_once(tmp_path):
    """Eight writers at once lose no row and tear none."""
    path = tmp_path / "model1.csv"
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda seed: store.append(path, run(seed)), range(24)))
    assert sorted(store.read(path).seed) == list(range(24))


def header(text):
    return text.splitlines()[0] + "\n"


MALFORMED = {
    "missing": (None, "is missing; make it with: python -m cnnspec calibrate --models model1 --dataset"),
    "empty": (lambda text: "", "is malformed"),
    "columns missing": (lambda text: "seed,loss_1\n1,0.5\n", "lacks the columns"),
    "row cut short": (lambda text: text[: text.rindex(",")], "has gaps or text where numbers belong"),
    "a word": (lambda text: text.replace("0.5", "half"), "has gaps or text where numbers belong"),
    "nan": (lambda text: text.replace("0.5", "nan"), "has gaps or text where numbers belong"),
    "seed twice": (lambda text: text + text.splitlines()[1] + "\n", r"counts the seeds \[1\] twice"),
}


@pytest.mark.parametrize(("spoil", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_ensemble_is_refused(tmp_path, spoil, message):
    """A damaged file gets one error that names it and the remedy."""
    path = tmp_path / "model1.csv"
    if spoil:
        store.append(path, run(1))
        path.write_text(spoil(path.read_text()))
    with pytest.raises(EnsembleError, match=message):
        store.read(path)


def test_too_many_epochs_are_refused(tmp_path):
    """An ensemble of two epochs cannot judge three."""
    store.append(tmp_path / "model1.csv", run(1))
    with pytest.raises(EnsembleError, match="too few to judge 3; ask for --epochs 2"):
        store.curves(tmp_path / "model1.csv", 3)


class StubbornExecutor:
    """Runs nothing but answers with made-up runs, and fails from the `failing`th submission on."""

    def __init__(self, failing=1000):
        self.failing, self.submitted = failing, []

    def submit(self, function, model, dataset, seed, **settings):
        self.submitted.append((model, seed))
        future = Future()
        if len(self.submitted) < self.failing:
            future.set_result(run(seed, model, settings["epochs"]))
        else:
            future.set_exception(RunFailed("the power went out"))
        return future


def test_calibrate_resumes(tmp_path):
    """Interrupted and started again, calibrate does what is missing and nothing twice."""
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
    assert "min left" in lines[-1]
