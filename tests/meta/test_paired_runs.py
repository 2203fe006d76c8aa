"""Are paired trainings set up as they say, and stored whole, once, and readable?"""

import re

import numpy as np
import pytest

from cnnspec.errors import EnsembleError
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.paired import on_stack, setting, store
from cnnspec.trajectory.watching import arrays_of

MODEL = "model2"
STACK = {"python": "3.12.1", "keras": "3.15.1", "framework": "tensorflow 2.21.0", "threads": 2, "memory_gib": 24}
VALUES = {"accuracy": 0.5, setting.STEPS: 32.0}
NUMBERS = {name: VALUES.get(setting.kind(name), 1.25 + place) for place, name in enumerate(setting.quantities(MODEL))}


def test_a_start_moves_each_weight_by_one_unit():
    """Up or down, as the seed draws it; the first start moves none, and another seed draws others."""
    first = [np.float32([[0.25, -3.0], [0.0, 7.5]])]
    (moved,), (other,) = setting.perturbed(first, 1), setting.perturbed(first, 2)
    neighbours = [np.nextafter(first[0], np.float32(way)) for way in (np.inf, -np.inf)]
    assert ((moved == neighbours[0]) | (moved == neighbours[1])).all()
    assert (moved == neighbours[0]).any()
    assert (moved == neighbours[1]).any()
    assert (moved != other).any()
    assert setting.perturbed(first, setting.UNPERTURBED)[0] is first[0]


def test_larger_weights_leave_the_outputs():
    """Model4 with larger weights before its normalisations predicts as it was drawn, but for their epsilon."""
    from cnnspec.trajectory import on_stack as drawn

    images = np.random.RandomState(1).uniform(size=(4, 28, 28, 1)).astype("float32")
    was, now = drawn.build("model4"), on_stack.build("model4", setting.UNPERTURBED)
    assert np.abs(now.predict(images, verbose=0) - was.predict(images, verbose=0)).max() < 5e-3
    factors = [array / other for array, other in zip(arrays_of(now), arrays_of(was), strict=True)]
    for name, factor in zip(setting.variables("model4"), factors, strict=True):
        scaled = name.startswith(("1-", "3-", "7-")) or name.endswith("moving_mean")
        due = 256 if name.endswith("moving_variance") else 16 if scaled else 1
        assert factor == pytest.approx(due, rel=1e-6), name


@pytest.mark.parametrize("model", [model for model in MODELS if model not in notebook.normalised_models()])
def test_nothing_is_larger_without_normalisation(model):
    """Where nothing divides by the size again, weights stay as drawn."""
    assert set(setting.factors(model)) == {1.0}


def test_the_order_shows_each_sample_once():
    """A part of the samples is the first of all; its last batch is partial, as the whole one's."""
    assert sorted(setting.order(setting.WHOLE)) == list(range(setting.WHOLE))
    for model in MODELS:
        samples, _ = setting.fit_of(model)
        assert (setting.order(samples) == setting.order(setting.WHOLE)[:samples]).all()
        assert samples % setting.BATCH == setting.WHOLE % setting.BATCH == 32


def test_every_quantity_has_a_kind():
    """Names lead back to epoch, quantity and variable, and kinds to bounds."""
    assert setting.split("epoch 2 movement of 3-Conv2D/kernel") == (2, "movement", "3-Conv2D/kernel")
    kinds = {setting.kind(name) for name in setting.quantities("model4")}
    assert kinds == {
        *("steps", "loss", "val_loss", "train_loss", "accuracy"),
        *(f"{what}_of_{of}" for what in ("movement", "norm") for of in ("kernels", "vectors", "statistics")),
    }
    assert setting.images("model3", "epoch 1 accuracy") == 1440
    assert setting.images("model3", "epoch 1 val_accuracy") == 1000
    assert setting.images("model3", "epoch 1 loss") == 1


def test_a_run_is_stored_once(tmp_path):
    """A second run with the same facts adds no row; another start, stack or fault does. Numbers are read as stored."""
    path = tmp_path / f"{MODEL}.csv"
    told = [
        store.facts(MODEL, STACK, 0, seconds=3.0),
        store.facts(MODEL, STACK, 0, seconds=4.0),
        store.facts(MODEL, STACK, 1),
        store.facts(MODEL, STACK | {"keras": "2.12.0"}, 1),
        store.facts(MODEL, STACK, 1, xla=True),
        store.facts(MODEL, STACK, 1, fault="beta_1 0.88"),
    ]
    for each in told:
        store.append(path, each, NUMBERS)
    frame = store.read(path, MODEL)
    assert list(frame.start) == ["0", "1", "1", "1", "1"]
    assert list(frame.seconds) == ["3.0", "0.0", "0.0", "0.0", "0.0"]
    assert (frame[setting.quantities(MODEL)] == list(NUMBERS.values())).all().all()
    assert store.has(path, told[2])
    assert not store.has(path, store.facts(MODEL, STACK, 7))


def test_other_columns_are_refused(tmp_path):
    """The file stays as it was where a run has other quantities."""
    path = tmp_path / f"{MODEL}.csv"
    store.append(path, store.facts(MODEL, STACK, 0), NUMBERS)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(EnsembleError, match="other columns than a paired training of model2; choose another --out"):
        store.append(path, store.facts(MODEL, STACK, 1), {"epoch 1 loss": 1.0})
    assert path.read_text(encoding="utf-8") == before


def test_damaged_files_are_told(tmp_path):
    """Missing, empty, of another model, a run twice, and a number that cannot be; any other damage: tests/meta/damage."""
    path = tmp_path / f"{MODEL}.csv"
    make = f"python -m cnnspec paired --models {MODEL} --out {tmp_path}"
    with pytest.raises(EnsembleError, match=re.escape(f"{path} is missing; make it with: {make}")):
        store.read(path, MODEL)
    store.append(path, store.facts(MODEL, STACK, 0), NUMBERS)
    whole = path.read_text(encoding="utf-8")
    with pytest.raises(EnsembleError, match=r"lacks the columns 'epoch 1 movement of 2-Conv2D/kernel', .*; remove the file"):
        store.read(path, "model1")
    spoilt = {
        "": f" is malformed (it is empty); remove the file; then make it with: {make}",
        whole + whole.splitlines()[1]: f"is in line 2 too; remove line 3; then train what is missing: {make}",
        whole.replace(
            ",2.25,", ",-2.25,"
        ): ", line 2, column epoch 1 loss: expected a number from 0 to 1e+200, found '-2.25'",
        whole.replace(",off,0,", ",off,-1,"): ", line 2, column start: expected a whole number from 0, found '-1'",
        whole.replace("model2,none", "model4,none"): ", line 2, column model: expected model2, found 'model4'",
    }
    for text, words in spoilt.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(EnsembleError, match=re.escape(words)):
            store.read(path, MODEL)
        if text:
            with pytest.raises(EnsembleError, match=re.escape(words)):
                store.append(path, store.facts(MODEL, STACK, 5), NUMBERS)
        assert path.read_text(encoding="utf-8") == text


def test_a_run_that_could_not_be_read_is_not_stored(tmp_path):
    """A loss that is not finite: the file is not made."""
    with pytest.raises(
        EnsembleError, match=r"with the run of start 0 added, line 2, column epoch 1 loss: .* 'nan'; it is not"
    ):
        store.append(tmp_path / "model2.csv", store.facts(MODEL, STACK, 0), {**NUMBERS, "epoch 1 loss": float("nan")})
    assert not (tmp_path / "model2.csv").exists()


def test_text_of_other_editors_is_read(tmp_path):
    """A byte order mark, two characters per line end, no last line end: read, and added to, whole."""
    path = tmp_path / f"{MODEL}.csv"
    store.append(path, store.facts(MODEL, STACK, 0), NUMBERS)
    path.write_bytes(("\ufeff" + path.read_text()[:-1].replace("\n", "\r\n")).encode())
    store.append(path, store.facts(MODEL, STACK, 1), NUMBERS)
    assert store.read(path, MODEL).start.tolist() == ["0", "1"]
