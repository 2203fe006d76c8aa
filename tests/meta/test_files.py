"""Are files written whole or not at all, and malformed ones refused with one error that says what to do?"""

import dataclasses
import json
import re

import pytest

from cnnspec.errors import BaselineError, MalformedRun
from cnnspec.facts import notebook, reading
from cnnspec.files import replaced_whole, with_row, write_whole
from cnnspec.runs import TrainingRun
from cnnspec.shapes import COUNT, LOSS, NAME, Maybe, Number

RUN = TrainingRun(
    model="model2",
    dataset="mnist5k",
    seed=3,
    epochs=1,
    batch_size=128,
    optimizer="adam",
    redrawn=False,
    history={"loss": [0.1], "accuracy": [0.9], "val_loss": [0.30000000000000004], "val_accuracy": [0.8], "seconds": [1.5]},
    scores={"test_loss": 0.2, "test_accuracy": 0.9, "train_loss": 0.0, "train_accuracy": 1.0},
    stack={
        **dict.fromkeys(("python", "platform", "keras", "numpy", "cpu", "precision"), "x"),
        "framework": "tensorflow 0",
        "device": "CPU",
        "cores": 2,
    },
)


def test_an_error_leaves_the_old_file(tmp_path):
    """A write that fails midway leaves the old file unchanged, and no other file."""
    path = tmp_path / "a.json"
    write_whole(path, "old")

    def fail_midway():
        with replaced_whole(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_survives_its_file(tmp_path):
    """A TrainingRun that is written as JSON and read again is equal to the last bit."""
    RUN.to_json(tmp_path / "run.json")
    assert TrainingRun.from_json(tmp_path / "run.json") == RUN


BAD_RUN = {
    "a missing file": (None, " is missing; train again: python -m cnnspec train"),
    "unknown field": (lambda run: run.update(colour=1), ": fields of the file unknown: colour; train again"),
    "a loss left out": (
        lambda run: run["history"].update(loss=[]),
        ": history.loss has 0 values, and the seconds are those",
    ),
    "other epochs": (lambda run: run.update(epochs=2), ": history has 1 epoch, epochs is 2; train again"),
    "a seed below 0": (lambda run: run.update(seed=-1), ": seed is -1, not a whole number from 0 to 4294967295; train"),
    "no flag": (lambda run: run.update(redrawn=1), ": redrawn is 1, not true or false; train again"),
}


@pytest.mark.parametrize(("spoil", "words"), BAD_RUN.values(), ids=BAD_RUN)
def test_a_malformed_run_is_refused(tmp_path, spoil, words):
    """One error that names the file and what is wrong with it; any other damage: tests/meta/damage."""
    path = tmp_path / "run.json"
    if spoil:
        run = dataclasses.asdict(RUN)
        spoil(run)
        path.write_text(json.dumps(run))
    with pytest.raises(MalformedRun) as error:
        TrainingRun.from_json(path)
    assert str(error.value).startswith(f"{path}{words}")


COLUMNS = {"step": COUNT, "loss": LOSS}
BAD_CSV = {
    "missing": (None, " is missing"),
    "other columns": ("step,length\n1,2\n", " lacks the columns 'loss'"),
    "another order": ("loss,step\n1,2\n", " has its columns in another order; expected 'step', 'loss'"),
    "a column more": ("step,loss,x\n1,2,3\n", " has the unknown columns 'x'"),
    "a column twice": ("step,loss,loss\n1,2,2\n", " has more than once the columns 'loss'"),
    "empty": ("", " is malformed (it is empty)"),
    "ragged": ("step,loss\n1,2\n1,2,3,4\n", ", line 3 has 4 cells, the header 2"),
    "an open quote": ('step,loss\n1,2\n"1,2\n', ", line 3 is malformed (unexpected end of data)"),
    "no text": (b"step,loss\n\xff,2\n", " is malformed ('utf-8' codec can't decode byte 0xff"),
    "an empty cell": ("step,loss\n1,\n", ", line 2, column loss: expected a number from 0 to 1e+200, found ''"),
    "a word": ("step,loss\n1,x\n", ", line 2, column loss: expected a number from 0 to 1e+200, found 'x'"),
    "infinity": ("step,loss\n1,1e999\n", ", line 2, column loss: expected a number from 0 to 1e+200, found '1e999'"),
    "half a step": ("step,loss\n0.5,1\n", ", line 2, column step: expected a whole number from 0 to 1000000000, found"),
    "a row left out": ("step,loss\n1,2\n", " has 1 row, expected 2"),
    "a row twice": ("step,loss\n1,2\n1,2\n", ": step is 1 in row 2"),
}


@pytest.mark.parametrize(("text", "words"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_malformed_table_is_refused(tmp_path, text, words):
    """One error that names file, line and column, and ends with what to do."""
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BaselineError) as error:
        reading.read_table(path, COLUMNS, 2, "record it again", first="step")
    assert str(error.value).startswith(f"{path}{words}")
    assert str(error.value).endswith("; record it again")


TABLE = {"why": NAME, Maybe("most"): Number(0, 1, above=True), ...: [COUNT]}
BAD_TOML = {
    "missing": (None, " is missing"),
    "malformed": ("a = ", " is malformed (Invalid value"),
    "no reason": ("most = 0.5", ": fields of the file missing: why"),
    "no number": ('why = "a"\nmost = nan', ": most is nan, not a number above 0"),
    "zero": ('why = "a"\nmost = 0', ": most is 0, not a number above 0"),
    "a list of others": ('why = "a"\nb = [1, -1]', ": b[1] is -1, not a whole number from 0"),
    "nested deeply": ("a = " + "[" * 9999, " is malformed ("),
}


@pytest.mark.parametrize(("text", "words"), BAD_TOML.values(), ids=BAD_TOML)
def test_a_malformed_toml_is_refused(tmp_path, text, words):
    """The same for TOML; by default the message ends with the command that restores the file."""
    path = tmp_path / "a.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BaselineError) as error:
        reading.read_toml(path, TABLE)
    assert str(error.value).startswith(f"{path}{words}")
    assert str(error.value).endswith(f"; restore it: git checkout HEAD -- {path}")


def test_a_limit_that_is_missing_is_named():
    """A limit that a table lacks, also one inside another, raises an error that names file, table and limit."""
    table = reading.tolerance("paired.model1")
    assert table["loss"]["epoch_1"] > 0
    with pytest.raises(BaselineError, match=r"tolerances.toml has no gradient in \[paired.model1\]; add it"):
        table["gradient"]
    with pytest.raises(BaselineError, match=r"tolerances.toml has no epoch_2 in \[paired.model1.loss\]; add it"):
        table["loss"]["epoch_2"]


FACTS = {  # file of the notebook's facts, what is replaced in it by what -> what is said of it
    "history, an epoch left out": ("history", r"model2,10,.*\n", "", "models have 10 epochs (model1), 9 epochs (model2)"),
    "history, epochs in another order": ("history", "model1,1,", "model1,11,", "the epochs of model1 are 11, 2, 3"),
    "summary, a layer twice": ("summary", "model1,2,", "model1,1,", ", line 3, column model, row: model1, 1 is in line 2"),
    "scores, one left out": ("scores", r"model1,test,loss.*\n", "", ": model1 has 3 rows, expected 4"),
    "results, an unknown row": ("results", "Test Loss", "Loss", ", line 2, column row: expected one of Test Loss, Train"),
    "summary, a shape": ("summary", r"\(None, 26", "(26", ", line 2, column output_shape: expected a shape such as (None,"),
    "totals, none": ("totals", r"(?s)\nmodel.*", "\n", ": it has no rows"),
}


@pytest.mark.parametrize(("name", "before", "after", "words"), FACTS.values(), ids=FACTS)
def test_facts_agree_with_each_other(tmp_path, monkeypatch, name, before, after, words):
    """A file of the notebook's facts in which something was left out or changed is refused."""
    text = (notebook.FOLDER / f"{name}.csv").read_text(encoding="utf-8")
    monkeypatch.setattr(notebook, "FOLDER", tmp_path)
    (tmp_path / f"{name}.csv").write_text(re.sub(before, after, text, count=1), encoding="utf-8")
    with pytest.raises(BaselineError) as error:
        notebook.facts(name)
    assert words in str(error.value)


def test_globals_have_values_with_their_cells(tmp_path, monkeypatch):
    """A value without its cell, and a number beside the tables."""
    monkeypatch.setattr(notebook, "FOLDER", tmp_path)
    for text, words in {
        "[a]\nb = { value = 1 }": ": fields of a.b missing: cell;",
        "[a]\nb = 1": ": a.b is not a table;",
        "[a]": ": a is empty;",
    }.items():
        (tmp_path / "globals.toml").write_text(text)
        with pytest.raises(BaselineError, match=re.escape(f"globals.toml{words}")):
            notebook.globals_toml()


@pytest.mark.parametrize(("look_up", "file"), [(reading.tolerance, "tolerances"), (reading.digests, "datasets")])
def test_an_unknown_name_is_refused(look_up, file):
    """A limit or a data set that a file does not have raises one error that names both."""
    with pytest.raises(BaselineError, match=rf"{file}.toml has no table \[gone\]; add it"):
        look_up("gone")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "a,b\n1,2"])
def test_a_row_is_added_on_a_line_of_its_own(text):
    """A header where the text is empty; a line end where the last line lacks it, so that no two rows become one."""
    added = with_row(text, {"a": "3", "b": "x, y"})
    assert added == ("a,b\n1,2\n" if text else "a,b\n") + '3,"x, y"\n'
