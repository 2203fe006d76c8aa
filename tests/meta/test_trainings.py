"""Is each model trained once per run of the suite, and does every caller get the same result?"""

import dataclasses
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cnnspec import training
from cnnspec.errors import NonFiniteLoss
from cnnspec.facts import reading
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


def test_further_runs_draw_anew(tmp_path, monkeypatch):
    """Run 2 has the next seed, separate files and newly drawn kernels; run 1 keeps the notebook's kernels."""
    asked = []

    def train(model, data, **given):
        asked.append((given["seed"], given["redraw"]))
        return RUN

    monkeypatch.setattr(training, "train", train)
    for number in (0, 1, 1):
        trainings.trained_once("model2", settings(tmp_path), number)
    assert asked == [(1000, False), (1001, True)]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["model2-run2.json", "model2.json"]


def test_ensembles_of_ones_own(pytester, tmp_path):
    """--ensembles takes the place of the stored ensembles; a folder without one is refused with the way to make it."""
    asked = settings(tmp_path)
    assert asked.ensembles == reading.BASELINES / "ensembles" / "mnist5k"
    own = dataclasses.replace(asked, own_ensembles=tmp_path)
    assert own.ensembles == tmp_path
    assert own.command().endswith(f" --ensembles={tmp_path}")
    assert reading.shown(own.ensembles / "model1.csv") == f"{tmp_path}/model1.csv"
    assert reading.shown(asked.ensembles / "model1.csv") == "baselines/ensembles/mnist5k/model1.csv"
    pytester.makeconftest('pytest_plugins = ["tests.plugin.trainings"]')
    pytester.makepyfile("def test_settings(settings, tmp_path_factory): assert str(settings.ensembles).endswith('own')")
    given = ("-p", "no:benchmark", "-p", "no:xdist", "--ensembles=own")
    refused = pytester.runpytest_inprocess(*given)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        ["ERROR: --ensembles=own holds no ensemble, *; python -m cnnspec calibrate --out own makes one"]
    )
    pytester.mkdir("own")
    shutil.copy(asked.ensembles / "model1.csv", pytester.path / "own" / "model1.csv")
    taken = pytester.runpytest_inprocess(*given)
    assert taken.ret != pytest.ExitCode.USAGE_ERROR


def test_the_command_repeats_the_run():
    """The command in messages has every option that the user chose."""
    asked = trainings.Settings("mnist", "digits.npz", 2, 7, 1, "auto", "as-shipped", Path(), None)
    assert asked.command() == "pytest --dataset mnist --epochs 2 --seed 7 --mnist=digits.npz"
    assert asked.command(seed=8).split()[5:7] == ["--seed", "8"]
    assert "--runs 3" in dataclasses.replace(asked, runs=3).command()
    assert "--device gpu --tf32 off" in dataclasses.replace(asked, device="gpu", tf32="off").command()
