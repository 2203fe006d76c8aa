"""Do the commands of `python -m cnnspec` do what their help says, and end with the right exit codes?"""

import dataclasses
import functools
import re
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest

from cnnspec import __main__ as command_line
from cnnspec import errors, mnist, training
from cnnspec.ensembles import calibrate, likelihood
from cnnspec.errors import NonFiniteLoss
from cnnspec.facts import notebook
from cnnspec.facts.reading import BASELINES
from cnnspec.names import LARGEST_SEED, LEVELS, MODELS
from cnnspec.trajectory import in_float64, recordings, start
from tests.meta.test_files import RUN
from tests.plugin import levels


@pytest.fixture
def trainings(monkeypatch):
    """Replace `training.train` by a function that records its calls and returns a made-up run."""
    calls = []

    def train(model, data, **settings):
        calls.append((model, data.name, settings))
        scores = {"test_loss": 0.12345, "test_accuracy": 0.9, "train_loss": 0.05, "train_accuracy": 0.95}
        stack = RUN.stack | {key: "x" for key in ("keras", "numpy", "python", "platform", "device", "cpu", "precision")}
        stack["memory_gib"] = 1
        return dataclasses.replace(RUN, model=model, seed=settings["seed"], scores=scores, stack=stack)

    monkeypatch.setattr(training, "train", train)
    return calls


def test_train(trainings, tmp_path, capsys):
    """`train all` trains the four models, writes a JSON and two figures each, and prints the results table."""
    arguments = ["train", "all", "--dataset", "mnist5k", "--epochs", "1", "--seed", "3", "--out", str(tmp_path)]
    assert command_line.main(arguments) == 0
    assert [call[:2] for call in trainings] == [(model, "mnist5k") for model in MODELS]
    assert trainings[0][2]["epochs"] == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [
        suffix for suffix in (".json", ".png", ".svg") for _ in MODELS
    ]
    output = capsys.readouterr().out
    assert re.search(r"Test Loss" + r" +0\.1234" * len(MODELS), output)
    assert re.search(r"Train Loss +0\.05", output)


def not_finite(model, data, **settings):
    raise NonFiniteLoss("model1 on mnist5k with seed 0: loss is nan in epoch 2")


def test_a_nan_is_exit_code_4(monkeypatch, tmp_path, capsys):
    """A loss that is not finite ends the command with code 4, and nothing is written."""
    monkeypatch.setattr(training, "train", not_finite)
    assert command_line.main(["train", "model1", "--out", str(tmp_path)]) == 4
    assert "error: model1 on mnist5k with seed 0: loss is nan in epoch 2" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_bad_data_is_exit_code_3(tmp_path, capsys):
    """A missing file of data ends the command with code 3 and one line."""
    missing = str(tmp_path / "none.npz")
    assert command_line.main(["train", "model1", "--dataset", "mnist", "--mnist", missing]) == 3
    assert capsys.readouterr().err == (
        f"error: {missing} does not exist; name an .npz file of MNIST or a folder of its four IDX files\n"
    )


@pytest.mark.parametrize("command", [["train", "model1"], ["calibrate", "--out", "nowhere"]], ids=" ".join)
def test_a_missing_gpu_is_exit_code_5(monkeypatch, capsys, command):
    """--device gpu without a GPU ends a command that trains with code 5."""
    monkeypatch.setattr("cnnspec.stack.accelerators", list)
    monkeypatch.setattr("cnnspec.stack.used", lambda: None)
    assert command_line.main([*command, "--device", "gpu"]) == 5
    assert "finds no GPU" in capsys.readouterr().err


def test_the_trainings_of_calibrate_look_for_the_device(monkeypatch):
    """Each training gets --device: on a cluster only the worker knows its GPUs. A failed training names its command."""
    for device, expected in (("auto", False), ("gpu", True)):
        monkeypatch.setattr(calibrate, "run_and_tell", lambda command, report: (5, "no GPU"))
        with pytest.raises(errors.RunFailed, match="exit code 5") as failed:
            calibrate.train_in_fresh_process("model1", "mnist5k", 0, 1, "adam", device=device)
        assert ("--device gpu" in str(failed.value)) == expected


@pytest.mark.parametrize(("options", "drawn"), [([], True), (["--own-draw"], False)], ids=["by default", "--own-draw"])
def test_calibrate_redraws_unless_told_not_to(monkeypatch, tmp_path, options, drawn):
    """Each training redraws the kernels that the notebook seeds with 1, or leaves them as the stack draws them."""
    commands = []
    monkeypatch.setattr(calibrate, "run_and_tell", lambda command, report: (commands.append(command), (5, ""))[1])
    command = ["calibrate", "--models", "model2", "--runs", "1", "--out", str(tmp_path), *options]
    assert command_line.main(command) == 7
    assert ("--redraw" in commands[0]) == drawn


def test_calibrate_says_how_to_judge_by_it(monkeypatch, tmp_path, capsys):
    """The last line is the command that judges a stack by the new ensemble."""
    monkeypatch.setattr(calibrate, "calibrate", lambda *arguments, **settings: None)
    assert command_line.main(["calibrate", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"to judge a stack by these runs: pytest --dataset mnist5k --ensembles={tmp_path}\n"


def test_the_largest_seed_is_numpys():
    """The next one is none for NumPy."""
    np.random.RandomState(LARGEST_SEED)
    with pytest.raises(ValueError, match="Seed must be between 0 and"):
        np.random.RandomState(LARGEST_SEED + 1)


def test_the_levels_are_those_of_pytest():
    """`verify --level` takes what pytest takes."""
    assert tuple(levels.LEVELS) == LEVELS


def test_place(capsys):
    """`place` compares the notebook with an ensemble, model by model, and adds up the log-likelihoods."""
    assert command_line.main(["place", str(BASELINES / "ensembles" / "mnist")]) == 0
    header, _, *rows = (line.split(" | ") for line in capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == [*(f"| {model}" for model in notebook.trained_models()), "| all models"]
    summed = header.index(likelihood.column("mnist", likelihood.INDEPENDENT))
    assert float(rows[-1][summed]) == pytest.approx(sum(float(row[summed]) for row in rows[:-1]), abs=0.25)


def test_an_empty_folder_is_exit_code_3(tmp_path, capsys):
    """`place` of a folder without ensembles ends with code 3 and one line."""
    assert command_line.main(["place", str(tmp_path)]) == 3
    assert capsys.readouterr().err == (
        f"error: {tmp_path} holds no ensemble; name a folder with a CSV per model, such as model1.csv\n"
    )


def test_trajectory(monkeypatch, tmp_path, capsys):
    """`trajectory --models model1` records model1 only; its steps, here two, are the stored ones."""
    monkeypatch.setattr(in_float64, "run", functools.partial(in_float64.run, steps=2))
    assert command_line.main(["trajectory", "--by", "float64", "--models", "model1", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["recorded model1, adam", "recorded model1, sgd"]
    files = [f"model1-{optimizer}{kind}.csv" for optimizer in start.OPTIMIZERS for kind in ("", "-probabilities")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*files, "provenance.toml"])
    for optimizer in start.OPTIMIZERS:
        names, steps = recordings.recorded(tmp_path, "model1", optimizer, steps=2)
        stored_names, stored = recordings.recorded(BASELINES / "trajectories" / "float64", "model1", optimizer)
        assert names == stored_names
        np.testing.assert_allclose(steps.losses, stored.losses[:2], rtol=1e-7)
        np.testing.assert_allclose(steps.norms, stored.norms[:2], rtol=1e-7)
        assert steps.probabilities.shape == stored.probabilities.shape
        np.testing.assert_allclose(steps.probabilities.sum(axis=1), 1, rtol=1e-7)
    provenance = tomllib.loads((tmp_path / "provenance.toml").read_text(encoding="utf-8"))
    assert provenance["command"] == f"python -m cnnspec trajectory --by float64 --models model1 --out {tmp_path.as_posix()}"
    assert provenance["stack"]["keras"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(value):
    """The recorder stops at the end of the epoch; its message names model, metric and epoch."""
    recorder = training.EpochRecorder("model1 on mnist5k with seed 0")
    recorder.set_model(SimpleNamespace(layers=[]))
    recorder.set_params({"epochs": 2})
    recorder.on_epoch_begin(0)
    recorder.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.4})
    with pytest.raises(NonFiniteLoss, match=r"model1 on mnist5k with seed 0: val_loss is (nan|inf) in epoch 2"):
        recorder.on_epoch_end(1, {"loss": 0.5, "val_loss": value})


def test_2019s_metric_names_are_translated():
    """Keras 2.2.4 logs `acc`; the record has `accuracy`."""
    recorder = training.EpochRecorder("model1")
    recorder.set_model(SimpleNamespace(layers=[]))
    recorder.set_params({"epochs": 2})
    recorder.on_epoch_end(0, {"loss": 1.5, "acc": 0.5, "val_acc": 0.25})
    assert {name: recorder.history[name] for name in ("accuracy", "val_accuracy")} == {
        "accuracy": [0.5],
        "val_accuracy": [0.25],
    }


def test_a_model_that_diverges(monkeypatch):
    """A real training whose loss overflows ends with NonFiniteLoss in the epoch where it happens."""
    keras = training.keras
    digits = mnist.load("mnist5k")
    few = mnist.Dataset("mnist5k", *(array[:64] for array in digits[1:]))
    monkeypatch.setitem(training.OPTIMIZERS, "adam", lambda: keras.optimizers.SGD(1e30))
    with pytest.raises(NonFiniteLoss, match=r"model4 on mnist5k with seed 0: \w+ is (nan|inf) in epoch \d"):
        training.train("model4", few, epochs=3, verbose=0)
