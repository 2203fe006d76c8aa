"""Are files written whole or not at all, and malformed ones refused with one error that says what to do?"""

import json

import pytest

from cnnspec import training
from cnnspec.errors import BaselineError, MalformedRun
from cnnspec.facts import reading
from cnnspec.files import replaced_whole, with_row, write_whole

RUN = training.TrainingRun(
    model="model2",
    dataset="mnist5k",
    seed=3,
    epochs=1,
    batch_size=128,
    optimizer="adam",
    redrawn=False,
    history={"loss": [0.1], "val_loss": [0.30000000000000004]},
    scores={"test_loss": 0.2},
    stack={"framework": "tensorflow 0", "device": "CPU", "cores": 2},
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
    assert training.TrainingRun.from_json(tmp_path / "run.json") == RUN


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-20], "is not a whole JSON file"),
        (lambda text: "[]", "is not a training run: missing"),
        (lambda text: json.dumps(json.loads(text) | {"colour": 1}), r"unknown \['colour'\]"),
    ],
    ids=["truncated", "no run", "unknown field"],
)
def test_a_malformed_run_is_refused(tmp_path, spoil, message):
    """A damaged or foreign JSON file raises one error that says what is wrong."""
    path = tmp_path / "run.json"
    RUN.to_json(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(MalformedRun, match=message):
        training.TrainingRun.from_json(path)


BAD_CSV = {
    "missing": (None, "is missing; restore it"),
    "other columns": ("a,c\n1,2\n", r"has columns \['a', 'c'\], expected \['a', 'b'\]; restore it"),
    "empty": ("", "is malformed .*; restore it"),
    "ragged": ("a,b\n1,2\n1,2,3,4\n", "is malformed .*; restore it"),
}


@pytest.mark.parametrize(("text", "message"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_malformed_baseline_is_refused(tmp_path, text, message):
    """A missing or malformed CSV raises one error that ends with what to do."""
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BaselineError, match=message):
        reading.read_csv(path, ("a", "b"), "restore it")


@pytest.mark.parametrize(("text", "message"), [(None, "is missing"), ("a = ", "is malformed")], ids=["missing", "malformed"])
def test_a_malformed_toml_is_refused(tmp_path, text, message):
    """The same for TOML; by default the message ends with the command that restores the file."""
    path = tmp_path / "a.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BaselineError, match=message) as error:
        reading.read_toml(path)
    assert str(error.value).endswith(f"; restore it: git checkout HEAD -- {path}")


@pytest.mark.parametrize("text", ["a,b\n1,\n", "a,b\n1,x\n"], ids=["empty cell", "word"])
def test_a_table_of_numbers_holds_numbers(tmp_path, text):
    """An empty cell or a word in a table of numbers raises one error that names the file."""
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(
        BaselineError, match=f"{path} (has empty cells where numbers belong|is malformed .*); record it again"
    ):
        reading.read_table(path, "record it again")


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
