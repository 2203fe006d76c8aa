"""Do the comparisons of `fit` and of repeated steps fail where they should, and do their messages say what happened?"""

import re

import numpy as np
import pytest

from cnnspec import pipeline
from cnnspec.trajectory import fitted
from tests import test_lockstep
from tests.support import bookkeeping, lockstep, repeats

MODEL = "model4"  # it has moving statistics
LOSS, ACCURACY, VAL_LOSS, _, TRAIN_LOSS, TRAIN_ACCURACY = range(len(fitted.METRICS))
BOUNDS = {
    "why": "as measured",
    **{kind: {"epoch_1": 1e-3, "epoch_2": 1e-3} for kind in ("loss", "val_loss", "slot", "movement", "norm")},
    "accuracy": {"epoch_1": 0.5, "epoch_2": 0.5},
}


def healthy():
    """What a stack without rounding would give."""
    expected = test_lockstep.expected(MODEL)
    numbers = expected._replace(**{name: getattr(expected, name).copy() for name in ("metrics", "norms", "moved", "slots")})
    last = expected.metrics[-1]
    scores = dict(zip(("test_loss", "test_accuracy", "train_loss", "train_accuracy"), last[VAL_LOSS:], strict=True))
    steps = expected.steps.shape[1]
    return lockstep.Watched(numbers, [steps, 2 * steps], [steps, steps], scores, {}, {})


def compare(watched):
    """The check of tests/test_lockstep.py."""
    names, expected = test_lockstep.names(MODEL), test_lockstep.expected(MODEL)
    lockstep.judged("subject", names, expected, watched, BOUNDS, source="float64", next="next")


def test_a_healthy_fit_passes():
    """Float64's own numbers are within any bound."""
    compare(healthy())


def metric(place, epoch, value):
    """A change of one metric, from what is stored."""

    def change(watched):
        watched.numbers.metrics[epoch, place] = value(test_lockstep.expected(MODEL))
        return watched

    return change


def scaled(field, factor, epochs=slice(None)):
    """A change of a field of numbers by a factor."""

    def change(watched):
        getattr(watched.numbers, field)[epochs] *= factor
        return watched

    return change


def still(watched):
    """No moving statistic moved."""
    for place, name in enumerate(test_lockstep.names(MODEL)):
        if "/moving_" in name:
            watched.numbers.moved[:, place] = 0
    return watched


def last_images(stored):
    """Mean loss of the last of evaluate's batches."""
    return stored.images[-1][-8:].mean()


CHANGES = {
    "an epoch less": (lambda w: w._replace(iterations=[3]), "fit ended 1 epoch early"),
    "a batch less": (lambda w: w._replace(iterations=[2, 4]), "last, partial batch of each epoch is left out"),
    "batches weighted alike": (metric(LOSS, 0, lambda s: s.steps[0].mean()), "epoch 1, loss: .* counts as a whole one"),
    "the last batch's loss": (metric(LOSS, 1, lambda s: s.steps[1][-1]), r"last batch's loss alone \(a batch of 32\)"),
    "NaN": (metric(LOSS, 0, lambda s: np.nan), "epoch 1, loss: expected .*, obtained nan"),
    "another accuracy": (
        metric(ACCURACY, 0, lambda s: s.metrics[0][ACCURACY] + 1 / 288),
        "epoch 1, accuracy: .* difference",
    ),
    "validation on the train set": (
        metric(VAL_LOSS, 0, lambda s: s.metrics[0][TRAIN_LOSS]),
        "validation runs on the train set",
    ),
    "evaluate": (
        lambda w: w._replace(scores=w.scores | {"test_loss": last_images(test_lockstep.expected(MODEL))}),
        r"evaluate on the test set, loss is the last batch's loss alone \(a batch of 8\)",
    ),
    "shorter steps": (scaled("moved", 0.95), "moved 0.95 times as far"),
    "slots": (scaled("slots", 0.9, 1), "epoch 2, norm of Adam's first moment .* a state was lost or changed"),
    "gradients": (scaled("slots", 0.9), "epoch 1, norm of Adam's .* gradients or the update rule"),
    "still": (still, r"the moving statistics are not updated \(6 arrays did not move\)"),
    "norm": (scaled("norms", 1.01), "epoch 1, norm of 1-Conv2D/kernel"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_and_named(change):
    """The message names the first quantity that differs, and what it looks like."""
    alter, words = CHANGES[change]
    with pytest.raises(pytest.fail.Exception, match=f"(?s){words}"):
        compare(alter(healthy()))


@pytest.mark.parametrize("blocks", [False, True])
def test_moments_are_paired(monkeypatch, blocks):
    """Adam's moments are found variable by variable, whether a Keras keeps them in pairs or all first ones first."""
    shapes = [(3, 2), (2,), (2, 4), (4,)]
    pairs = [np.full(shape, place + part / 2) for place, shape in enumerate(shapes) for part in (0, 1)]

    class Model:
        optimizer = None
        trainable_variables = [np.zeros(shape) for shape in shapes]  # noqa: RUF012

    kept = [*pairs[::2], *pairs[1::2]] if blocks else pairs
    monkeypatch.setattr(lockstep.probes, "optimizer_arrays", lambda optimizer: kept)
    assert [array.flat[0] for array in lockstep.moments(Model)] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]


def reckon(case, **changes):
    """The check of samples on what `fit` with a defect gives."""
    outcome = bookkeeping.computed(case, **changes)
    bookkeeping.judged("subject", case, outcome._replace(weights=outcome.weights.astype("float32")), next="next")


MOMENTUM, JOINED, _ = bookkeeping.CASES


@pytest.mark.parametrize("case", bookkeeping.CASES, ids=lambda case: case.name)
def test_exact_weights_pass(case):
    """Weights, in float32 without any rounding, and losses."""
    reckon(case)


SHOWN = {
    words: case
    for case in bookkeeping.CASES
    for words in bookkeeping.hypotheses(case)
    if ("joined" in words) == (case == JOINED) and (case.epochs > 2 or "put back" not in words)
}


@pytest.mark.parametrize("words", SHOWN)
def test_each_hypothesis_is_told_from_the_others(words):
    """Weights that a hypothesis gives are recognised as that, in the case that can show it."""
    case = SHOWN[words]
    with pytest.raises(pytest.fail.Exception, match=f"looks like: {re.escape(words)}"):
        reckon(case, **bookkeeping.hypotheses(case)[words])


def twice(batches):
    """The second sample in place of the first."""
    first = batches[0].copy()
    first[0] = first[1]
    return [first, *batches[1:]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": 0.95}, "another learning rate, 0.95 times the one given"),
        ({"change": twice}, "never shown: 1 sample.* place 0"),
    ],
)
def test_wrong_weights_are_explained(changes, words):
    """A rate is found from the weights, and so is a sample that was never shown."""
    with pytest.raises(pytest.fail.Exception, match=f"(?s){words}"):
        reckon(MOMENTUM, **changes)


def test_exchanged_labels_are_explained():
    """The labels of one batch are rolled by one, so that each sample has its neighbour's."""
    outcome = bookkeeping.computed(MOMENTUM)
    weights = outcome.weights.astype("float32")
    weights[256:] = np.roll(weights[256:], 1)
    with pytest.raises(pytest.fail.Exception, match=r"changed places \(in batch 3 of an epoch\)"):
        bookkeeping.judged("subject", MOMENTUM, outcome._replace(weights=weights), next="next")


def test_wrong_losses_are_explained():
    """Right weights and a wrong mean: validation on the train set, and evaluate's last batch alone."""
    outcome = bookkeeping.computed(MOMENTUM)
    outcome = outcome._replace(weights=outcome.weights.astype("float32"))
    data, rows = bookkeeping.dataset(MOMENTUM)
    own = float(-(data.y_train[rows, 0] * outcome.weights).mean())
    with pytest.raises(pytest.fail.Exception, match=r"(?s)epoch 2, val_loss: .*validation runs on the train set"):
        bookkeeping.judged("s", MOMENTUM, outcome._replace(val_losses=[outcome.val_losses[0], own]), next="n")
    last = float(-(data.y_test[64:, 0] * outcome.weights[64:72]).mean())
    with pytest.raises(pytest.fail.Exception, match=r"evaluate returns the last batch's loss alone \(a batch of 8\)"):
        bookkeeping.judged("s", MOMENTUM, outcome._replace(evaluated=last), next="n")


def repeated(steps=20):
    """Steps that all give the same."""
    drawn = np.random.RandomState(1).normal(size=(3, 4)).astype("float32")
    return repeats.Repeated(["layer 1 (Conv2D) kernel gradient"], [2.0] * steps, [[drawn.copy()] for _ in range(steps)])


STRICT = {"gradient": 1e-4, "gradient_on_gpu": 1e-4, "loss": 1e-4, "why": "as measured"}


def test_equal_steps_pass(monkeypatch):
    """The same bits, and differences in the last bit where several threads add up."""
    steps = repeated()
    repeats.judged("subject", steps, STRICT, next="next")
    steps.gradients[3][0] *= np.float32(1 + 2**-22)
    monkeypatch.setattr(repeats.stack, "current", lambda: {"device": "CPU", "threads": 2})
    repeats.judged("subject", steps, STRICT, next="next")


@pytest.mark.parametrize("step", [0, 16])
def test_a_step_that_differs_is_called_intermittent(step):
    """Also where it is the first one, with which the others are compared."""
    steps = repeated()
    steps.gradients[step][0] *= 2
    words = (
        rf"intermittent: step {step + 1} of 20 \(1 of 20 in all\), layer 1 \(Conv2D\) kernel gradient, relative difference 1"
    )
    with pytest.raises(pytest.fail.Exception, match=words):
        repeats.judged("subject", steps, STRICT, next="next")


def test_a_bit_is_seen_where_bits_are_promised(monkeypatch):
    """On one thread of a CPU the last bit of one element counts."""
    monkeypatch.setattr(repeats.stack, "current", lambda: {"device": "CPU", "threads": 1})
    steps = repeated()
    steps.gradients[5][0][0, 0] = np.nextafter(steps.gradients[5][0][0, 0], np.float32(9))
    with pytest.raises(pytest.fail.Exception, match=r"(?s)step 6 of 20 .* the same bits"):
        repeats.judged("subject", steps, STRICT, next="next")


def test_a_loss_that_differs_is_seen():
    """The gradients are right, the loss is not."""
    steps = repeated()
    steps.losses[2] = np.nan
    with pytest.raises(
        pytest.fail.Exception, match=r"step 3 of 20 \(1 of 20 in all\), gradients as .* loss nan instead of 2"
    ):
        repeats.judged("subject", steps, STRICT, next="next")


@pytest.mark.skipif(not pipeline.available(), reason="the harness' batches are for Keras 3.15 on TensorFlow")
def test_the_pipeline_follows_a_given_order():
    """Every epoch shows the rows that were asked for, in their order, also where they are fewer than the samples."""
    numbers = np.arange(10, dtype="float32")[:, None]
    order = np.array([7, 1, 1, 9, 0])
    batches = pipeline.batches(numbers, numbers, 2, order=order)
    for _ in range(2):
        assert [x.numpy()[:, 0].tolist() for x, _ in batches] == [[7, 1], [1, 9], [0]]
    assert int(batches.cardinality()) == 3
