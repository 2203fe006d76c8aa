"""Is each model trained once per run of the suite, and does every caller get the same result?"""

import contextlib
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnnspec import training
from cnnspec.ensembles import quantities, store
from cnnspec.errors import NonFiniteLoss
from cnnspec.facts import reading
from tests import test_training
from tests.meta.test_files import RUN
from tests.support import trainings


def settings(folder, out=None):
    return trainings.Settings("mnist5k", None, 1, 1000, 2, "auto", "as-shipped", folder, out)


def test_trained_once(tmp_path):
    """Eight simultaneous calls make one training; the run and its figures are stored, and copied to --out."""
    trained = []

    def train(model, settings, number):
        trained.append(model)
        time.sleep(0.2)
        return RUN

    asked = settings(tmp_path / "shared", out=tmp_path / "kept")
    asked.folder.mkdir()
    with ThreadPoolExecutor(8) as executor:
        runs = list(executor.map(lambda _: trainings.trained_once("model2", asked, train=train), range(8)))
    assert trained == ["model2"]
    assert runs == [RUN] * 8
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["model2.json", "model2.png", "model2.svg"]


def test_a_failed_training_fails_for_everyone(tmp_path):
    """Every caller gets the error of a training with a NaN, and the model is not trained again."""
    trained = []

    def train(model, settings, number):
        trained.append(model)
        raise NonFiniteLoss("model2: loss is nan in epoch 1")

    for _ in range(2):
        with pytest.raises(NonFiniteLoss, match="loss is nan in epoch 1"):
            trainings.trained_once("model2", settings(tmp_path), train=train)
    assert trained == ["model2"]


def test_every_run_is_a_draw_from_its_ensemble(tmp_path, monkeypatch):
    """Each run draws its kernels from its own seed, as the ensemble's do; run 2 has the next seed and separate files."""
    asked = []

    def train(model, data, **given):
        asked.append((given["seed"], given["redraw"]))
        return RUN

    monkeypatch.setattr(training, "train", train)
    for number in (0, 1, 1):
        trainings.trained_once("model2", settings(tmp_path), number)
    assert asked == [(1000, True), (1001, True)]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["model2-run2.json", "model2.json"]


def test_ensembles_of_ones_own(tmp_path):
    """--ensembles takes the place of the stored ensembles."""
    asked = settings(tmp_path)
    assert asked.ensembles == reading.BASELINES / "ensembles" / "mnist5k"
    own = dataclasses.replace(asked, own_ensembles=tmp_path)
    assert own.ensembles == tmp_path
    assert own.command().endswith(f" --ensembles={tmp_path}")
    assert reading.shown(own.ensembles / "model1.csv") == f"{tmp_path}/model1.csv"
    assert reading.shown(asked.ensembles / "model1.csv") == "baselines/ensembles/mnist5k/model1.csv"


def judged_once(settings, model, run, record=lambda name, value: None):
    """All checks of test_training.py of one model, of a given run."""
    for quantity in quantities.names(settings.epochs):
        with contextlib.suppress(pytest.skip.Exception):
            test_training.test_within_the_ensemble(lambda *_: run, settings, model, quantity, record)
    test_training.test_as_a_whole(lambda *_: run, settings, model, record)


def test_a_stored_run_passes_and_a_shifted_one_fails(tmp_path):
    """A run of the ensemble itself passes every check of its model; with a loss of twice the size it fails one."""
    asked = dataclasses.replace(settings(tmp_path), runs=1)
    stored = store.curves(asked.ensembles / "model2.csv", 1)[0]
    history = {metric: stored[metric] for metric in ("loss", "accuracy", "val_loss", "val_accuracy")}
    scores = {metric: stored[metric][0] for metric in ("train_loss", "train_accuracy")}
    run = dataclasses.replace(RUN, history=history, scores=scores, untrained_loss=stored["untrained_loss"][0])
    noted = []
    judged_once(asked, "model2", run, lambda name, value: noted.append(value["quantity"]))
    assert noted == [*quantities.names(1), "all quantities together"]
    far = dataclasses.replace(run, history=history | {"loss": [2 * history["loss"][0]]})
    with pytest.raises(pytest.fail.Exception, match="model2 on mnist5k, 1 epoch, seed 1000: loss, last epoch"):
        judged_once(asked, "model2", far)
    twice = "seed 1000 lies outside, seed 1001 outside as well"
    with pytest.raises(pytest.fail.Exception, match=f"all quantities together; {twice}; farthest: loss, last epoch"):
        test_training.test_as_a_whole(lambda *_: far, asked, "model2", lambda name, value: None)


def test_a_quantity_that_says_nothing_is_not_judged(tmp_path):
    """Model3's test errors after one epoch are skipped, without training; the reason is recorded for the verdict."""
    noted = {}
    asked = dataclasses.replace(settings(tmp_path), runs=1)
    with pytest.raises(pytest.skip.Exception, match=r"^not judged: model3, test errors: healthy runs spread so much"):
        test_training.test_within_the_ensemble(None, asked, "model3", "test errors", noted.__setitem__)
    assert set(noted) == {"not judged"}


def test_the_command_repeats_the_run():
    """The command in messages has every option that the user chose."""
    asked = trainings.Settings("mnist", "digits.npz", 2, 7, 1, "auto", "as-shipped", Path(), None)
    assert asked.command() == "pytest --dataset mnist --epochs 2 --seed 7 --mnist=digits.npz"
    assert asked.command(seed=8).split()[5:7] == ["--seed", "8"]
    assert "--runs 3" in dataclasses.replace(asked, runs=3).command()
    assert "--device gpu --tf32 off" in dataclasses.replace(asked, device="gpu", tf32="off").command()
