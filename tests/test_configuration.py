"""Are the settings that no summary shows those of 2019: strides, activations, initialisers, loss, optimizer, fit?

Every setting of every layer is compared, both ways: a default that changed in a new Keras fails, and so does a setting
that 2019 did not have and that is not switched off.
"""

import inspect

import keras
import numpy as np
import pytest
from keras import backend as K

from cnnspec import mnist, stack, training
from cnnspec.architectures import ARCHITECTURES
from cnnspec.facts import notebook
from tests.support import checks

SUMMARY = [row for _, row in notebook.facts("summary").iterrows()]
CONFIGURATION = notebook.facts("configuration")
LATER = notebook.facts("later_settings")
NEXT = "compare cnnspec/architectures.py and cnnspec/training.py with the cell; if they agree, read Keras' release notes"

# Not settings of the computation: a name; the precision policy, which `test_precision` checks; how TensorFlow
# compiles; the shape that Keras 2 keeps for rebuilding.
NOT_COMPARED = ("name", "dtype", "jit_compile", "is_legacy_optimizer", "batch_input_shape")


@pytest.fixture(scope="module")
def models():
    return {name: build() for name, build in ARCHITECTURES.items()}


def resolved(thing):
    """The settings of a layer or optimizer as a flat dict: each setting of an initialiser, activations by name.

    Keras calls the same initialiser HeUniform, he_uniform or VarianceScaling; scale, mode, distribution and seed identify
    it.
    """
    settings = {}
    for name, value in thing.get_config().items():
        if name in NOT_COMPARED:
            continue
        if name == "activation":
            function = thing.activation
            settings[name] = getattr(function, "__name__", type(function).__name__)
        elif name.endswith("_initializer"):
            settings.update(resolved_initializer(name, getattr(thing, name)))
        else:
            settings[name] = value
    return settings


def resolved_initializer(name, initializer):
    """An initialiser's settings under the names `name`, `name.scale` and so on."""
    if not hasattr(initializer, "scale"):
        settings = {f"{name}.{key}": value for key, value in initializer.get_config().items()}
        return {name: type(initializer).__name__, **settings}
    parts = {part: getattr(initializer, part) for part in ("scale", "mode", "distribution")}
    return {
        name: "VarianceScaling",
        **{f"{name}.{part}": value for part, value in parts.items()},
        f"{name}.seed": initializer.get_config().get("seed"),
    }


def later_settings(name):
    """Settings of a class that Keras added after 2019: setting -> (the value with 2019's behaviour, since which version)."""
    rows = LATER[LATER["class"].isin([name, "every layer"])]
    return {
        row.setting: (notebook.literal(row.value), f"the value without effect; new in {row.since}")
        for row in rows.itertuples()
    }


def with_later_settings(name, facts, obtained):
    """(expected values, sources) of the (value, source) facts and of the later settings that the stack has."""
    later = {setting: fact for setting, fact in later_settings(name).items() if setting in obtained}
    facts = {**later, **facts}
    return {key: value for key, (value, _) in facts.items()}, {key: source for key, (_, source) in facts.items()}


@pytest.mark.parametrize("row", SUMMARY, ids=lambda row: f"{row['model']}-{row['row']}-{row['layer']}")
def test_layer_settings(models, row):
    """Each layer's settings are the cell's, or Keras 2.2.4's defaults where the cell names none."""
    subject = f"{row['model']}, layer {row['row']} ({row['layer']}): settings"
    layers = models[row["model"]].layers
    if int(row["row"]) > len(layers):
        checks.fail(subject, [f"expected  {row['class']}   (from {row['cell']})", "obtained  no layer"], next=NEXT)
    layer = layers[int(row["row"]) - 1]
    mine = CONFIGURATION[(CONFIGURATION.model == row["model"]) & (CONFIGURATION.row == row["row"])]
    facts = {fact.setting: (notebook.literal(fact.value), fact.source) for fact in mine.itertuples()}
    obtained = {"class": type(layer).__name__, **resolved(layer)}
    facts["class"] = (row["class"], row["cell"])
    if "data_format" in obtained:
        facts["data_format"] = (K.image_data_format(), "Keras' image data format, which In [4] uses")
    if obtained.get("axis") == [len(layer.output.shape) - 1]:  # Keras 2 resolves the axis -1 when the layer is built
        obtained["axis"] = -1
    expected, sources = with_later_settings(row["class"], facts, obtained)
    checks.same_settings(subject, expected, obtained, sources=sources, next=NEXT)


@pytest.fixture(scope="module")
def compiled():
    """model2 compiled as the suite compiles every model."""
    model = ARCHITECTURES["model2"]()
    training.compile_model(model)
    return model


def test_precision():
    """Models compute in float32, as all of 2019's did: bfloat16 by default would widen every limit of the sharp tiers."""
    checks.equal(
        "Keras' dtype policy",
        "float32",
        stack.precision(),
        source="Keras 2.2.4: floatx",
        next="look for who sets it: keras.config.set_dtype_policy, keras.json; the sharp tiers judge by what they find",
    )


def test_optimizer(compiled):
    """The optimizer and all its hyperparameters are Keras 2.2.4's defaults."""
    facts = notebook.globals_toml()["compile"]
    mine = {name: (fact["value"], fact["cell"]) for name, fact in facts["optimizer_settings"].items()}
    mine["class"] = (facts["optimizer"]["value"], facts["optimizer"]["cell"])
    obtained = {"class": type(compiled.optimizer).__name__, **resolved(compiled.optimizer)}
    expected, sources = with_later_settings(obtained["class"], mine, obtained)
    checks.same_settings("the optimizer's settings", expected, obtained, sources=sources, next=NEXT)


def test_loss(compiled):
    """The loss is categorical cross-entropy of probabilities, without label smoothing."""
    facts = notebook.globals_toml()["compile"]
    expected = {name: fact["value"] for name, fact in facts["loss_settings"].items()}
    sources = {name: fact["cell"] for name, fact in facts["loss_settings"].items()}
    expected["name"], sources["name"] = facts["loss"]["value"], facts["loss"]["cell"]
    loss = compiled.loss
    if hasattr(loss, "get_config"):
        settings = {"name": loss.name, **{name: loss.get_config().get(name) for name in facts["loss_settings"]}}
    else:
        defaults = inspect.signature(loss).parameters
        settings = {"name": loss.__name__, **{name: defaults[name].default for name in facts["loss_settings"]}}
    checks.same_settings("the loss function's settings", expected, settings, sources=sources, next=NEXT)


class RecordingModel:
    """Replaces a Keras model and records how it is compiled, fitted and evaluated."""

    def __init__(self):
        self.calls = {}

    def compile(self, **arguments):
        self.calls["compile"] = arguments

    def fit(self, x, y, **arguments):
        self.calls["fit"] = {"x": x, "y": y, **arguments}

    def evaluate(self, x, y, **arguments):
        self.calls.setdefault("evaluate", []).append({"x": x, "y": y, **arguments})
        return 0.5, 0.9


@pytest.fixture
def recorded(monkeypatch):
    """(data set, calls) of one training of a RecordingModel with default settings.

    This is the notebook's own call of `fit`. `test_determinism.py` compares the batches of `cnnspec.pipeline` with it.
    """
    monkeypatch.setattr(training.pipeline, "available", lambda: False)
    monkeypatch.setattr(training, "make_variables", lambda model: None)
    digits = mnist.Dataset("mnist5k", *(np.full((2, 1), value, "float32") for value in (1, 2, 3, 4)))
    model = RecordingModel()
    monkeypatch.setitem(training.ARCHITECTURES, "model1", lambda: model)
    training.train("model1", digits)
    return digits, model.calls


def test_fit(recorded):
    """`fit` gets the train set, the notebook's batch size and epochs, and the test set for validation.

    It gets nothing that changes the order or the weight of samples.
    """
    digits, calls = recorded
    facts = notebook.globals_toml()
    obtained = dict(calls["fit"])
    names = {id(array): name for name, array in digits._asdict().items()}
    for name in ("x", "y"):
        obtained[name] = names.get(id(obtained[name]), "another array")
    obtained["validation_data"] = ", ".join(names.get(id(array), "another array") for array in obtained["validation_data"])
    default = inspect.signature(keras.Model.fit).parameters.get("shuffle")
    obtained["shuffle"] = obtained.get("shuffle", default.default if default else "no parameter of model.fit")
    obtained["callbacks"] = [type(callback).__name__ for callback in obtained["callbacks"]]
    expected = {
        "x": "x_train",
        "y": "y_train",
        "batch_size": facts["globals"]["batch_size"]["value"],
        "epochs": facts["globals"]["epochs"]["value"],
        "verbose": 1,
        "validation_data": facts["fit"]["validation_data"]["value"],
        "shuffle": facts["fit"]["shuffle"]["value"],
        "callbacks": ["EpochRecorder"],
    }
    sources = dict.fromkeys(expected, "In [9]") | {"batch_size": "In [39]", "epochs": "In [39]"}
    sources |= {"shuffle": facts["fit"]["shuffle"]["cell"], "callbacks": "cnnspec, whose callback only records"}
    checks.same_settings("arguments of model.fit", expected, obtained, sources=sources, next=NEXT)


def test_metrics(recorded):
    """The only metric is accuracy."""
    fact = notebook.globals_toml()["compile"]["metric"]
    checks.equal(
        "metrics of model.compile", [fact["value"]], recorded[1]["compile"]["metrics"], source=fact["cell"], next=NEXT
    )


def test_evaluate(recorded):
    """The whole test set, then the whole train set are evaluated (In [11], In [12]); the suite adds one before training."""
    digits, calls = recorded
    names = {id(array): name for name, array in digits._asdict().items()}
    obtained = [(names.get(id(call["x"])), names.get(id(call["y"]))) for call in calls["evaluate"]]
    expected = [("x_test", "y_test"), ("x_test", "y_test"), ("x_train", "y_train")]
    checks.equal(
        "arrays given to model.evaluate",
        expected,
        obtained,
        source="cnnspec before the first step, then In [11] and In [12]",
        next=NEXT,
    )
