"""Are the stored figures complete, consistent with each other, and each with its source?"""

import re
import tomllib

import pytest

from cnnspec import mnist, results
from cnnspec.ensembles import bands, distance, quantities, store
from cnnspec.ensembles.rows import SAME_STACK
from cnnspec.facts import notebook, reading
from cnnspec.names import CLASSES, IMAGE, MODELS, SAMPLES
from cnnspec.trajectory import start
from tests.support import checks

NOTEBOOK = reading.BASELINES / "notebook"
ASSUMPTIONS = tomllib.loads((NOTEBOOK / "assumptions.toml").read_text(encoding="utf-8"))
ROWS = {"summary": 41, "totals": 4, "history": 40, "scores": 16, "results": 8}
ENSEMBLES = sorted((reading.BASELINES / "ensembles").glob("*/*.csv"))
OWN_DRAW = ("mnist-2019", "mnist-2019-draw")  # from the kernels that 2019's stack itself draws, as the notebook
JUDGED = ("mnist-h100",)  # folders of one run of the suite each, with its own seed: judged by an ensemble, and none


def of_the_notebook(frame):
    """The rows of the models that the notebook trains; a model that was added later has other sources."""
    return frame[frame["model"].isin(notebook.trained_models())]


@pytest.mark.parametrize(("name", "rows"), ROWS.items())
def test_every_row_is_there_with_its_cell(name, rows):
    """The transcribed files have the notebook's number of rows, and every row names its cell."""
    frame = of_the_notebook(notebook.facts(name))
    assert len(frame) == rows
    assert frame.cell.map(lambda cell: bool(re.fullmatch(r"(In|Out)( )?\[\d+\]", cell))).all()


def test_the_totals_are_the_sums():
    """The printed totals are the sums of the printed rows; BatchNormalization's moving statistics do not train."""
    totals = notebook.facts("totals").set_index("model")
    for model, rows in notebook.facts("summary").groupby("model"):
        parameters = rows.parameters.astype(int)
        moving = parameters[rows["class"] == "BatchNormalization"].sum() // 2
        assert parameters.sum() == int(totals.total[model])
        assert moving == int(totals.non_trainable[model])
        assert parameters.sum() - moving == int(totals.trainable[model])


def test_the_last_epoch_is_the_evaluated_score():
    """val_loss and val_acc of the tenth epoch are the evaluated test scores, rounded to four decimals."""
    for model in notebook.trained_models():
        scores = (
            notebook.facts("scores").query("model == @model and split == 'test'").set_index("metric").value.astype(float)
        )
        last = notebook.history(model).loc[10]
        assert round(scores["loss"], 4) == last.val_loss
        assert round(scores["accuracy"], 4) == last.val_accuracy


def test_accuracies_are_whole_counts():
    """Every evaluated accuracy is a whole number of images out of 10,000 or 60,000, so no digit was misread."""
    for row in notebook.facts("scores").query("metric == 'accuracy'").itertuples():
        samples = {"train": 60000, "test": 10000}[row.split]
        assert float(row.value) == round(float(row.value) * samples) / samples


def test_the_results_are_the_scores_cut():
    """The final table is the evaluated losses cut after four decimals."""
    table = notebook.results_table()
    for row in notebook.facts("scores").query("metric == 'loss'").itertuples():
        assert float(table.at[f"{row.split.title()} Loss", row.model]) == results.truncate(float(row.value))


def leaves(tree):
    """Every {value, cell} of globals.toml."""
    for node in tree.values():
        if "cell" in node:
            yield node
        else:
            yield from leaves(node)


def test_every_source_exists():
    """Each setting comes from a cell, from Keras 2.2.4's defaults or from an assumption in assumptions.toml."""
    sources = set(of_the_notebook(notebook.facts("configuration")).source) | {
        leaf["cell"] for leaf in leaves(notebook.globals_toml())
    }
    named = {assumption["name"] for assumption in ASSUMPTIONS["assumption"]}
    used = {source.removeprefix("assumption ") for source in sources if source.startswith("assumption ")}
    assert used == named
    rest = {source for source in sources if not source.startswith("assumption ")}
    assert {source for source in rest if not re.match(r"(Out of )?In \[\d+\]|Keras 2\.2\.4", source)} == set()


def test_every_assumption_has_evidence():
    """Each assumption names what was cut, what is assumed, the evidence, and what would change it."""
    for assumption in ASSUMPTIONS["assumption"]:
        assert set(assumption) == {"name", "cut", "assumed", "evidence", "changed_by"}
        assert all(assumption.values())


def test_layers_carry_their_settings():
    """The description that the oracle runs has every layer of the summary with its settings."""
    for model in MODELS:
        summary = notebook.facts("summary").query("model == @model")
        layers = notebook.layers(model)
        assert [layer["class"] for layer in layers] == summary["class"].tolist()
        assert all(len(layer) > 1 or layer["class"] == "Flatten" for layer in layers)
    assert notebook.layers("model4")[2]["kernel_size"] == (4, 4)


@pytest.mark.parametrize("path", ENSEMBLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_ensembles_are_whole(path):
    """Every stored ensemble is readable, of one stack and one setting, redrawn or not, without the suite's own seed."""
    frame = store.read(path)
    assert set(frame.model) == {path.stem}
    for column in (*SAME_STACK, "dataset", "optimizer", "epochs", "batch_size", "redrawn"):
        assert frame[column].nunique() == 1, f"{path} has several values of {column}"
    assert set(frame.redrawn) == {path.parent.name not in OWN_DRAW}
    if path.parent.name in JUDGED:
        assert frame.seed.tolist() == [1000]
    else:
        assert len(frame) >= 2
        assert 1000 not in set(frame.seed)


@pytest.mark.parametrize("model", MODELS)
def test_the_default_data_set_has_its_ensemble(model):
    """The ensemble that plain pytest uses is stored, large enough, and with the provenance of its runs."""
    path = reading.BASELINES / "ensembles" / "mnist5k" / f"{model}.csv"
    assert path in ENSEMBLES
    assert store.read(path).epochs.unique().tolist() == [10]
    for epochs in range(1, 11):
        judged = bands.by_quantity(store.curves(path, epochs), "mnist5k")
        assert all(band.large_enough for _, band in judged.values())
        assert all(band.conclusive for _, band in judged.values() if band.judged)
        assert distance.cloud(store.curves(path, epochs), judged).large_enough
    assert "python -m cnnspec calibrate" in (path.parents[1] / "README.md").read_text(encoding="utf-8")


def bounds(tree, name=""):
    """(name, table) of every table of limits in tolerances.toml."""
    if any(not isinstance(value, dict) for value in tree.values()):
        yield name, tree
    else:
        for key, value in tree.items():
            yield from bounds(value, f"{name}.{key}")


def numbers(table):
    """Every number of a table, at every level."""
    for value in table.values():
        if isinstance(value, dict):
            yield from numbers(value)
        elif not isinstance(value, str):
            yield value


def test_every_tolerance_has_its_reason():
    """Each limit has a reason and is a positive number."""
    tables = dict(bounds(reading.read_toml(reading.BASELINES / "tolerances.toml")))
    assert len(tables) > 20
    for name, table in tables.items():
        assert len(table["why"]) > 20, name
        assert all(number > 0 for number in numbers(table)), name


def test_every_quantity_has_the_shift_that_must_be_detected():
    """Each judged quantity has its bound in real units, and none is left over."""
    tables = reading.read_toml(reading.BASELINES / "tolerances.toml")["bands"]
    assert set(tables) == set(quantities.QUANTITIES)
    assert {name: bands.shift(name) for name in tables} == {name: table["shift"] for name, table in tables.items()}


def test_every_trajectory_judges_its_first_step():
    """No limit of a trajectory is too wide to judge the first step's loss and norms; every later step's follows from it."""
    tables = reading.read_toml(reading.BASELINES / "tolerances.toml")
    found = [table for name in tables for table in tables[name].values() if re.match("trajectory(_2019|_other|$)", name)]
    assert len(found) == 15
    assert all(checks.steps_judged(table[kind], start.STEPS) >= 1 for table in found for kind in ("loss", "norm"))


def test_the_shapes_are_the_notebooks():
    """60,000 and 10,000 images of 28 × 28."""
    facts = notebook.globals_toml()
    assert mnist.SHAPES["x_train"][0] == facts["data"]["train_samples"]["value"]
    assert mnist.SHAPES["x_test"][0] == facts["data"]["test_samples"]["value"]
    assert SAMPLES == {"mnist5k": (4000, 1000), "mnist": (60000, 10000)}
    assert tuple(facts["globals"][name]["value"] for name in ("img_rows", "img_cols", "channels")) == IMAGE
    assert facts["globals"]["num_classes"]["value"] == CLASSES
