"""Does the stack build the notebook's models: the same layers in the same order, with the same shapes and parameters?"""

import functools
import re

import pytest
from keras import backend as K

from cnnspec.architectures import ARCHITECTURES
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from tests.support import checks

SUMMARY = [row for _, row in notebook.facts("summary").iterrows()]
TOTALS = [row for _, row in notebook.facts("totals").iterrows()]
FORMATS = ("channels_last", "channels_first")
WIDTH = 160  # columns of a printed summary: no cell is broken into two lines
PRINTED_ROW = re.compile(r"\((\w+)\)\W*(\(None[^)]*\))\W*([\d,]+)")  # class, output shape, parameters
PRINTED_TOTAL = re.compile(r"^\W*(Total|Trainable|Non-trainable) params: ([\d,]+)", re.MULTILINE)
NEXT = "compare cnnspec/architectures.py with the cell; then: pytest tests/test_architecture.py"


PLACES = {  # where a model must be registered -> the models that are
    "MODELS in cnnspec/names.py": list(MODELS),
    "ARCHITECTURES in cnnspec/architectures.py": list(ARCHITECTURES),
    **{
        f"baselines/notebook/{name}.csv": list(dict.fromkeys(notebook.facts(name)["model"]))
        for name in ("summary", "configuration", "totals")
    },
}


@functools.cache
def build(model, data_format):
    """The Keras model, built while Keras' image data format is `data_format`."""
    before = K.image_data_format()
    K.set_image_data_format(data_format)
    try:
        return ARCHITECTURES[model]()
    finally:
        K.set_image_data_format(before)


def in_format(shape, data_format):
    """An image shape of the notebook, (None, rows, columns, channels), in another data format; other shapes unchanged."""
    if len(shape) == 4 and data_format == "channels_first":
        return (shape[0], shape[3], shape[1], shape[2])
    return shape


def parameters(weights):
    """Number of scalars in a list of weights."""
    return sum(functools.reduce(lambda product, length: product * int(length), weight.shape, 1) for weight in weights)


def row_id(row):
    return f"{row['model']}-{row['row']}-{row['layer']}"


def test_every_model_is_registered():
    """A model that one place has is in all of them; one that is forgotten somewhere would not be tested."""
    models = dict.fromkeys(model for found in PLACES.values() for model in found)
    lines = [
        f"{model}: missing in {', '.join(place for place, found in PLACES.items() if model not in found)}"
        for model in models
        if not all(model in found for found in PLACES.values())
    ]
    if lines:
        checks.fail("models that are not registered everywhere", lines, next=notebook.ADD_A_MODEL)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("row", SUMMARY, ids=row_id)
def test_summary_row(row, data_format):
    """Each row of the printed summaries: layer class, output shape, number of parameters."""
    layers = build(row["model"], data_format).layers
    subject = f"{row['model']}, row {row['row']} ({row['layer']}), {data_format}"
    place = int(row["row"]) - 1
    if place >= len(layers):
        checks.fail(subject, [f"expected  a {row['class']}   (from {row['cell']})", "obtained  no layer"], next=NEXT)
    layer = layers[place]
    expected = {
        "class": row["class"],
        "output shape": in_format(notebook.literal(row["output_shape"]), data_format),
        "parameters": int(row["parameters"]),
    }
    obtained = {
        "class": type(layer).__name__,
        "output shape": tuple(layer.output.shape),
        "parameters": layer.count_params(),
    }
    checks.same_settings(subject, expected, obtained, sources=dict.fromkeys(expected, row["cell"]), next=NEXT)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("model", MODELS)
def test_no_layer_beyond_the_summary(model, data_format):
    """The stack's model has no layer that the summary does not print, and the layers stand in the summary's order."""
    expected = [row["class"] for row in SUMMARY if row["model"] == model]
    obtained = [type(layer).__name__ for layer in build(model, data_format).layers]
    checks.equal(
        f"{model}, {data_format}: the layers in order", expected, obtained, source="the notebook's summary", next=NEXT
    )


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("total", ["total", "trainable", "non_trainable"])
@pytest.mark.parametrize("row", TOTALS, ids=lambda row: row["model"])
def test_totals(row, total, data_format):
    """Total, trainable and non-trainable parameters, as printed under each summary."""
    model = build(row["model"], data_format)
    weights = {"total": model.weights, "trainable": model.trainable_weights, "non_trainable": model.non_trainable_weights}
    checks.equal(
        f"{row['model']}, {data_format}: {total} parameters",
        int(row[total]),
        parameters(weights[total]),
        source=row["cell"],
        next=NEXT,
    )


@pytest.mark.parametrize("model", MODELS)
def test_printed_summary(model, capsys, monkeypatch):
    """What `model.summary()` prints, as the notebook's cells do: a line for each layer, and the three totals."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    build(model, FORMATS[0]).summary(line_length=WIDTH)
    text = capsys.readouterr().out
    rows = [row for row in SUMMARY if row["model"] == model]
    (totals,) = (row for row in TOTALS if row["model"] == model)
    expected = [(row["class"], notebook.literal(row["output_shape"]), int(row["parameters"])) for row in rows]
    obtained = [(name, notebook.literal(shape), number(count)) for name, shape, count in PRINTED_ROW.findall(text)]
    checks.equal(f"{model}: the printed layers", expected, obtained, source=totals["cell"], next=NEXT)
    expected = {name: int(totals[name]) for name in ("total", "trainable", "non_trainable")}
    obtained = {name.lower().replace("-", "_"): number(count) for name, count in PRINTED_TOTAL.findall(text)}
    checks.equal(f"{model}: the printed totals", expected, obtained, source=totals["cell"], next=NEXT)


def number(text):
    """The integer of a printed number, with or without commas."""
    return int(text.replace(",", ""))


def test_input_shape():
    """One image is 28 × 28 with one channel (In [39]), last or first as In [4] says."""
    facts = notebook.globals_toml()["globals"]
    rows, columns, channels = (facts[name]["value"] for name in ("img_rows", "img_cols", "channels"))
    expected = {"channels_last": (None, rows, columns, channels), "channels_first": (None, channels, rows, columns)}
    for data_format, shape in expected.items():
        for model in MODELS:
            obtained = tuple(build(model, data_format).inputs[0].shape)
            checks.equal(f"{model}, {data_format}: input shape", shape, obtained, source="In [4] and In [39]", next=NEXT)
