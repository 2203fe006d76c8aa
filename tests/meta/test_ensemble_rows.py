"""Is every fault of a stored ensemble refused with its file, line and column, and with a remedy that works?"""

import csv
import io
import re

import pytest

from cnnspec import __main__ as command_line
from cnnspec.ensembles import rows, store
from cnnspec.errors import EnsembleError
from cnnspec.facts import reading
from tests.meta.test_ensembles import run

AGAIN = "python -m cnnspec calibrate --models model1 --dataset mnist5k --optimizer adam --epochs 2 --runs 24 --out"
WHOLE = "remove the file, and make it again with: python -m cnnspec calibrate --models model1 --dataset"


def cell(column, value, line=3):
    """Spoils the text of an ensemble by another value in a column of a line."""

    def spoil(text):
        table = list(csv.reader(io.StringIO(text)))
        table[line - 1][table[0].index(column)] = value
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(table)
        return out.getvalue()

    return spoil


def line(change, number=3):
    """Spoils the text of an ensemble by a change of one line, without its end."""

    def spoil(text):
        lines = text.splitlines()
        lines[number - 1] = change(lines[number - 1])
        return "\n".join(lines) + "\n"

    return spoil


IN_CELLS = {  # a column and what it holds in line 3 -> the end of "expected …"
    ("model", "model2"): "expected model1, found 'model2'",
    ("dataset", "cifar10"): "expected one of mnist5k, mnist, found 'cifar10'",
    ("optimizer", ""): "expected a text that is not empty, found ''",
    ("redrawn", "yes"): "expected one of True, False, found 'yes'",
    ("seed", "-1"): "expected a whole number from 0 to 4294967295, found '-1'",
    ("seed", "1.5"): "expected a whole number from 0 to 4294967295, found '1.5'",
    ("batch_size", "0"): "expected a whole number from 1 to 1000000, found '0'",
    ("epochs", "3"): "expected 2, found '3'",
    ("untrained_loss", "None"): "expected a number above 0, found 'None'",
    ("loss_1", "0"): "expected a number above 0, found '0'",
    ("loss_1", "-0.5"): "expected a number above 0, found '-0.5'",
    ("loss_2", "inf"): "expected a number above 0, found 'inf'",
    ("val_loss_1", "1e999"): "expected a number above 0, found '1e999'",
    ("val_loss_2", "nan"): "expected a number above 0, found 'nan'",
    ("train_loss_2", ""): "expected a number above 0, found ''",
    ("final_test_loss", "half"): "expected a number above 0, found 'half'",
    ("final_train_loss", "1_0"): "expected a number above 0, found '1_0'",
    ("seconds_1", "-2"): "expected a number above 0, found '-2'",
    ("accuracy_1", "1.01"): "expected a number from 0 to 1, found '1.01'",
    ("val_accuracy_2", "-0.1"): "expected a number from 0 to 1, found '-0.1'",
    ("final_test_accuracy", "inf"): "expected a number from 0 to 1, found 'inf'",
    ("dataset", "mnist"): "a run of another stack or setting, 'mnist', and line 2 has 'mnist5k'",
    ("optimizer", "adadelta"): "a run of another stack or setting, 'adadelta', and line 2 has 'adam'",
    ("batch_size", "64"): "a run of another stack or setting, '64', and line 2 has '128'",
    ("redrawn", "False"): "a run of another stack or setting, 'False', and line 2 has 'True'",
    **{(key, "other"): "a run of another stack or setting, 'other', and line 2 has" for key in rows.SAME_STACK},
    ("seed", "1"): "1 is in line 2 too",
}
MALFORMED = {
    "missing": (None, "is missing; make it with: python -m cnnspec calibrate --models model1 --dataset"),
    "empty": (lambda text: "", f"is malformed (it is empty); {WHOLE}"),
    "columns missing": (
        lambda text: "seed,loss_1\n1,0.5\n",
        f"lacks the columns 'model', 'dataset', 'optimizer', 'redrawn', 'batch_size' and 21 more; {WHOLE}",
    ),
    "no epoch": (
        line(lambda text: re.sub(r"_\d", "", text), 1),
        "lacks the columns 'loss_1', 'accuracy_1', 'val_loss_1', 'val_accuracy_1', 'seconds_1'; remove",
    ),
    "an epoch missing": (
        lambda text: text.replace("val_loss_2", "val_loss_3", 1),
        f"lacks the columns 'val_loss_2'; {WHOLE}",
    ),
    "an unknown column": (
        line(lambda text: text + ",colour", 1),
        f"has the unknown columns 'colour'; {WHOLE}",
    ),
    "a column twice": (line(lambda text: text + ",loss_1", 1), "lacks the columns 'loss_3'"),
    "a score twice": (line(lambda text: text + ",seed", 1), "has more than once the columns 'seed'"),
    "row cut short": (line(lambda text: text[: text.rindex(",")]), ", line 3 has 36 cells, the header 37; remove line 3;"),
    "two rows in one": (line(lambda text: text * 2), ", line 3 has 73 cells, the header 37; remove line 3;"),
    "an empty line": (line(lambda text: ""), ", line 3 has 0 cells, the header 37; remove line 3;"),
    "an open quote": (line(lambda text: '"' + text), ", line 3 is malformed (unexpected end of data); remove line 3;"),
    "no text": (lambda text: b"\xff\xfe" + text.encode(), "is malformed ('utf-8' codec can't decode byte 0xff"),
    **{
        f"{column} {value}": (cell(column, value), f", line 3, column {column}: {words}")
        for (column, value), words in IN_CELLS.items()
    },
}


@pytest.fixture
def path(tmp_path):
    """An ensemble of three made-up runs of two epochs, of the seeds 1 to 3."""
    for seed in (1, 2, 3):
        store.append(tmp_path / "model1.csv", run(seed))
    return tmp_path / "model1.csv"


@pytest.mark.parametrize(("spoil", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_ensemble_is_refused(path, spoil, message):
    """One error names file, line and column; to read it, and to add a run to it, give the same error."""
    text = path.read_text()
    path.unlink()
    if spoil:
        spoiled = spoil(text)
        path.write_bytes(spoiled if isinstance(spoiled, bytes) else spoiled.encode())
    with pytest.raises(EnsembleError) as error:
        store.read(path)
    assert str(error.value).startswith(f"{path}{message}" if message[0] == "," else f"{path} {message}")
    if spoil and text:
        before = path.read_bytes()
        if before:
            with pytest.raises(EnsembleError):
                store.append(path, run(4))
        assert path.read_bytes() == before


def test_the_remedy_works(path):
    """Without the line that is named, the file is read again, and the command that is named trains what it lacks."""
    path.write_text(cell("loss_1", "-1")(path.read_text()))
    with pytest.raises(EnsembleError) as error:
        store.read(path)
    number, command = re.search(r"remove line (\d+); .* trained by: python -m cnnspec (.*)", str(error.value)).groups()
    assert f"python -m cnnspec {command}" == f"{AGAIN} {path.parent}"
    assert command_line.parser().parse_args(command.split()).dataset == "mnist5k"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: int(number) - 1] + lines[int(number) :]))
    assert store.seeds(path) == {1, 3}


def test_a_baseline_is_restored(path, monkeypatch):
    """A damaged ensemble of the project's own is restored, not made again."""
    monkeypatch.setattr(reading, "BASELINES", path.parent)
    path.write_text(cell("loss_1", "-1")(path.read_text()))
    with pytest.raises(EnsembleError, match=re.escape(f"; restore it: git checkout HEAD -- {path}")):
        store.read(path)


EDITED = {
    "no last line end": lambda text: text[:-1],
    "two characters per line end": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
}


@pytest.mark.parametrize("change", EDITED.values(), ids=EDITED)
def test_text_of_other_editors_is_read(path, change):
    """Without the last line end, with two characters per line end, with a byte order mark: read, and added to, whole."""
    path.write_bytes(change(path.read_text()).encode())
    assert store.read(path).seed.tolist() == [1, 2, 3]
    store.append(path, run(4))
    assert store.read(path).seed.tolist() == [1, 2, 3, 4]


def test_a_file_with_its_first_line_only(path):
    """No run is an ensemble of none; runs are added to it, but not those of other columns."""
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    assert store.curves(path, 1) == []
    with pytest.raises(EnsembleError, match="has other columns than a run of 3 epochs"):
        store.append(path, run(1, epochs=3))
    store.append(path, run(1))
    assert store.seeds(path) == {1}


def test_a_run_that_could_not_be_read_is_not_stored(path):
    """A negative loss: the file is unchanged."""
    before, bad = path.read_bytes(), run(4)
    bad.history["loss"] = [0.5, -1.0]
    with pytest.raises(EnsembleError, match="the run of seed 4, column loss_2: expected a number above 0, found '-1'"):
        store.append(path, bad)
    assert path.read_bytes() == before


def test_a_folder_is_no_ensemble(tmp_path):
    """What cannot be opened is one error."""
    (tmp_path / "model1.csv").mkdir()
    with pytest.raises(EnsembleError, match=r"model1.csv cannot be read \(Is a directory\); name a folder of one CSV per"):
        store.read(tmp_path / "model1.csv")
