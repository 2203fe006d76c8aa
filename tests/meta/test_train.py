"""Does one training do what the notebook does, in its order, with its settings, and record what happened?"""

import inspect
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cnnspec import mnist, pipeline, training
from cnnspec.compat import backend, seed_everything
from cnnspec.errors import NonFiniteLoss

GENERATOR = np.random.default_rng(0)
LABELS = np.eye(10, dtype="float32")


def digits(number, name="mnist5k"):
    """A made-up Dataset of so many images in each part; the parts differ."""
    parts = [(GENERATOR.random((number, 28, 28, 1), "float32"), LABELS[GENERATOR.integers(0, 10, number)]) for _ in range(2)]
    return mnist.Dataset(name, *parts[0], *parts[1])


FEW = digits(160)


def small():
    """A made-up model whose first kernel has a seed, as the notebook's have, and whose second has none."""
    seeded = keras.layers.Dense(3, kernel_initializer=keras.initializers.HeUniform(seed=1), name="seeded")
    return keras.Sequential(
        [keras.Input(shape=(28, 28, 1)), keras.layers.Flatten(), seeded, keras.layers.Dense(10, activation="softmax")]
    )


@pytest.fixture
def made(monkeypatch):
    """The small model in the place of model2; the list of those that were made."""
    built = []

    def make():
        built.append(small())
        return built[-1]

    monkeypatch.setitem(training.ARCHITECTURES, "model2", make)
    return built


def test_the_settings_are_the_notebooks():
    """Batch size and epochs of In [39]; by default seed 0, Adam, the stack's own draw, and no further evaluation."""
    assert (training.batch_size, training.epochs) == (128, 10)
    given = {name: each.default for name, each in inspect.signature(training.train).parameters.items()}
    assert [given[name] for name in ("seed", "epochs", "optimizer", "redraw", "evaluate_train_each_epoch", "verbose")] == [
        0,
        10,
        "adam",
        False,
        False,
        1,
    ]
    assert inspect.signature(training.fitting).parameters["batch_size"].default == 128
    assert training.RESHUFFLED == ("mnist",)


def test_a_run_is_recorded(made, capfd):
    """What was trained, each epoch's metrics, and the scores of both parts at the end.

    Nothing is printed where `verbose` is 0.
    """
    lines = []
    run = training.train("model2", FEW, seed=3, epochs=2, optimizer="adamax", verbose=0, report=lines.append)
    assert capfd.readouterr().out == ""
    assert (run.model, run.dataset, run.seed, run.epochs, run.batch_size) == ("model2", "mnist5k", 3, 2, 128)
    assert (run.optimizer, run.redrawn, run.stack["keras"]) == ("adamax", False, keras.__version__)
    assert sorted(run.history) == ["accuracy", "loss", "seconds", "val_accuracy", "val_loss"]
    assert {len(values) for values in run.history.values()} == {2}
    (model,) = made
    assert type(model.optimizer).__name__.lower() == "adamax"
    for part, x, y in (("test", FEW.x_test, FEW.y_test), ("train", FEW.x_train, FEW.y_train)):
        right = model.predict(x, verbose=0).argmax(axis=1) == y.argmax(axis=1)
        assert run.scores[f"{part}_accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert run.scores["test_loss"] == pytest.approx(run.history["val_loss"][-1], rel=1e-5)
    assert run.scores["train_loss"] < run.history["loss"][-1] < run.history["loss"][0]
    assert [line.split(", about")[0] for line in lines] == [
        f"model2 on mnist5k with seed 3: epoch {epoch} of 2, loss {loss:.4f}"
        for epoch, loss in enumerate(run.history["loss"], 1)
    ]


def test_the_untrained_loss_is_of_the_test_set_before_the_first_step(made):
    """That of the model as the seed draws it, by the formula; the same seed trains to the same losses, another does not."""
    seed_everything(4)
    probabilities = small().predict(FEW.x_test, verbose=0).astype(float)
    due = -np.log(probabilities[FEW.y_test == 1]).mean()
    found = [training.train("model2", FEW, seed=4, epochs=1, verbose=0) for _ in range(2)]
    assert found[0].untrained_loss == found[1].untrained_loss == pytest.approx(due, rel=1e-5)  # sums of 160 in float32
    assert found[0].history["loss"] == pytest.approx(found[1].history["loss"], rel=1e-6)
    other = training.train("model2", FEW, seed=5, epochs=1, verbose=0)
    assert other.untrained_loss != found[0].untrained_loss


def test_the_train_set_is_evaluated_where_it_is_asked_for(made):
    """After each epoch: the last one's figures are the scores at the end."""
    run = training.train("model2", FEW, epochs=2, verbose=0, evaluate_train_each_epoch=True)
    for metric in ("train_loss", "train_accuracy"):
        assert len(run.history[metric]) == 2
        assert run.history[metric][-1] == pytest.approx(run.scores[metric], rel=1e-6)
    assert all(seconds > 0 for seconds in run.history["seconds"])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (1, "model2 on mnist5k with seed 0: the test loss is nan before the first step; compare the layers"),
        (2, "model2 on mnist5k with seed 0: the evaluated test_loss is nan after the last epoch; compare the layers"),
        (3, "model2 on mnist5k with seed 0: the evaluated train_loss is nan after the last epoch; compare the layers"),
    ],
)
def test_an_evaluation_that_is_not_finite_stops_the_run(made, monkeypatch, call, told):
    """Before the first step, and each of the two at the end."""
    calls, evaluate = [], training.evaluate

    def breaking(model, part, x, y):
        calls.append(part)
        found = evaluate(model, part, x, y)
        return {**found, f"{part}_loss": math.nan} if len(calls) == call else found

    monkeypatch.setattr(training, "evaluate", breaking)
    with pytest.raises(NonFiniteLoss, match=told):
        training.train("model2", FEW, epochs=1, verbose=0)


def test_a_variable_of_keras_2_is_named_as_one_of_keras_3():
    """Keras 2's names have the layer's before them and a number behind."""
    layer = SimpleNamespace(
        name="dense", weights=[SimpleNamespace(name="dense/kernel:0")], get_weights=lambda: [np.float32([np.nan])]
    )
    assert training.not_finite(SimpleNamespace(layers=[layer])) == "kernel of layer 1 (dense) is NaN in 1 of 1 elements"


def kernels(seed):
    """The weights of a small model before and after `redraw_kernels`."""
    keras.utils.set_random_seed(9)
    model = small()
    before = model.get_weights()
    training.redraw_kernels(model, seed)
    return before, model.get_weights()


def test_seeded_kernels_are_drawn_again():
    """Each from NumPy's old generator of the seed, by the layer's own initialiser; biases and other kernels stay."""
    before, after = kernels(4)
    due = keras.initializers.HeUniform(seed=2005877882)((784, 3))  # the first of NumPy's RandomState(4) below 2**31 - 1
    assert np.array_equal(after[0], keras.ops.convert_to_numpy(due))
    assert [np.array_equal(*pair) for pair in zip(before, after, strict=True)] == [False, True, True, True]
    assert np.array_equal(after[0], kernels(4)[1][0])
    assert not np.array_equal(after[0], kernels(8)[1][0])


def test_a_redrawn_run_says_so(made, monkeypatch):
    """Its kernel is another than the stack's own draw; both come from the run's seed. Nothing is trained here."""
    monkeypatch.setattr(training, "fitting", lambda *given, **settings: lambda **further: None)
    own, redrawn, again = (
        training.train("model2", FEW, seed=6, epochs=1, verbose=0, redraw=each) for each in (False, True, True)
    )
    assert (own.redrawn, redrawn.redrawn) == (False, True)
    assert own.untrained_loss != redrawn.untrained_loss == again.untrained_loss


def test_an_order_is_kept_without_the_pipeline(monkeypatch):
    """Keras' own fit gets the arrays in the order, unshuffled; without an order it gets them as they are, and shuffles."""
    monkeypatch.setattr(pipeline, "available", lambda: False)
    order, model = np.arange(160)[::-1], small()
    fit = training.fitting(model, FEW, order=order)
    assert fit.func == model.fit
    assert all(map(np.array_equal, fit.args, (FEW.x_train[::-1], FEW.y_train[::-1])))
    assert fit.keywords == {"batch_size": 128, "shuffle": False}
    plain = training.fitting(model, FEW, batch_size=32)
    assert all(given is due for given, due in zip(plain.args, (FEW.x_train, FEW.y_train), strict=True))
    assert plain.keywords == {"batch_size": 32}


@pytest.mark.skipif(
    not pipeline.available(), reason="the harness' batches are for Keras 3.15 on TensorFlow: tox run -e test"
)
def test_the_pipeline_gets_what_was_asked_for(monkeypatch):
    """Arrays, batch size, reshuffling and order; `fit` shuffles nothing more, and validates in the same batches."""
    asked = []
    monkeypatch.setattr(pipeline, "batches", lambda *given: asked.append(given) or "batches")
    model = small()
    fit = training.fitting(model, FEW, 64, reshuffle=5)
    assert asked == [(FEW.x_train, FEW.y_train, 64, 5, None)]
    assert (fit.func, fit.args) == (model.fit, ("batches",))
    assert fit.keywords == {"shuffle": False, "validation_batch_size": 64}


def test_seconds_that_are_left(monkeypatch):
    """The mean of the epochs that are done, times those that are left; nothing where none is left or known."""
    clock = iter([0.0, 4.0, 10.0, 12.0, 20.0, 21.0])
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    lines = []
    recorder = training.EpochRecorder("a model", report=lines.append)
    recorder.set_model(small())
    recorder.set_params({"epochs": 3})
    for epoch in range(2):
        recorder.on_epoch_begin(epoch)
        recorder.on_epoch_end(epoch, {"loss": 0.5})
    assert recorder.history["seconds"] == [4.0, 2.0]
    recorder.set_params(None)
    recorder.on_epoch_begin(2)
    recorder.on_epoch_end(2, {"loss": 0.25})
    assert lines == [
        "a model: epoch 1 of 3, loss 0.5000, about 8 s left",
        "a model: epoch 2 of 3, loss 0.5000, about 3 s left",
        "a model: epoch 3 of 3, loss 0.2500",
    ]


@pytest.mark.skipif(backend() != "tensorflow", reason="on other backends no step is traced for making variables")
def test_a_step_is_traced_once(monkeypatch):
    """A first step makes no variable and is traced once; where variables are not asked for, it makes them."""
    traced = []
    train_step = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda self, data: traced.append(data) or train_step(self, data))
    for variables, times in ((True, 1), (False, 2)):
        traced.clear()
        model = small()
        training.compile_model(model, variables=variables)
        assert model.optimizer.built == variables
        model.fit(np.ones((5, 28, 28, 1), "float32"), np.eye(10, dtype="float32")[:5], batch_size=5, verbose=0)
        assert len(traced) == times
    assert inspect.signature(training.compile_model).parameters["variables"].default is True


@pytest.mark.skipif(backend() != "tensorflow", reason="on other backends no variable is made before a step")
def test_variables_of_metrics_begin_at_zero():
    """Making them leaves nothing behind in the losses and accuracies of a first epoch."""
    model = small()
    training.compile_model(model)
    assert [float(np.asarray(variable)) for variable in model.metrics_variables] == [0.0] * 4


def test_every_optimizer_that_the_page_allows():
    """Keras 2.2.4's rates (baselines/notebook/assumptions.toml), and its Adagrad; sgd is for trajectories alone."""
    assert set(training.OPTIMIZERS) == {"adam", "adadelta", "adagrad", "adamax", "sgd"}
    rates = {name: float(np.asarray(make().learning_rate)) for name, make in training.OPTIMIZERS.items()}
    due = {"adam": 0.001, "adadelta": 1.0, "adagrad": 0.01, "adamax": 0.002, "sgd": 0.001}
    assert rates == pytest.approx(due, rel=1e-6)
    adagrad = training.OPTIMIZERS["adagrad"]().get_config()
    assert (adagrad["initial_accumulator_value"], adagrad["epsilon"]) == (0, 1e-14)
