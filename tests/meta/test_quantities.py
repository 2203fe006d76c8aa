"""Is every quantity of a run that is judged measured, moved and shown as its formula says?"""

import dataclasses
import math

import pytest

from cnnspec.ensembles import quantities

QUANTITIES = quantities.of("mnist5k", 2)
LOSS = QUANTITIES["loss, last epoch"]
ERRORS = QUANTITIES["test errors"]


@pytest.mark.parametrize("errors", [0, 1, 500, 1000])
def test_counts_are_measured_and_shown(errors):
    """The number of errors becomes its logit, finite at both ends, and is shown as itself; no value shows more than all."""
    value = ERRORS.measure({"val_accuracy": [1 - errors / 1000]})
    assert value == pytest.approx(math.log((errors + 0.5) / (1000.5 - errors)))
    assert ERRORS.show(value) == f"{errors:.1f}"
    assert (ERRORS.show(-40.0), ERRORS.show(40.0)) == ("0.0", "1000.0")


def test_chance_by_hand():
    """A uniform guess has a loss of ln 10 and 90 % errors; before training that is no fault."""
    assert {name for name, quantity in QUANTITIES.items() if quantity.chance == math.inf} == {"test loss, untrained"}
    assert LOSS.show(LOSS.chance) == "2.3026"
    assert float(ERRORS.show(ERRORS.chance)) == pytest.approx(900, abs=1)


CURVES = {
    "untrained_loss": [math.exp(2), 9.0, 9.0],
    "loss": [1.0, 0.7, 0.5],
    "val_loss": [0.8, 0.9, 0.2],
    "train_loss": [0.3, 0.2, 0.1],
    "accuracy": [0.5, 0.6, 0.9],
    "val_accuracy": [0.6, 0.7, 0.951],
    "train_accuracy": [0.7, 0.8, 0.99],
}
EXPECTED = {  # by hand, with 4,000 train and 1,000 test images
    "test loss, untrained": 2.0,
    "loss, first epoch": 0.0,
    "loss, last epoch": math.log(0.5),
    "loss, area under the log curve": (math.log(0.7) + math.log(0.5)) / 3,
    "test loss, first epoch": math.log(0.8),
    "test loss, last epoch": math.log(0.2),
    "test loss, area under the log curve": (math.log(0.8) + math.log(0.9) + math.log(0.2)) / 3,
    "train loss, evaluated": math.log(0.1),
    "errors while training, last epoch": math.log(400.5 / 3600.5),
    "test errors": math.log(49.5 / 951.5),
    "train errors, evaluated": math.log(40.5 / 3960.5),
}


def test_quantities():
    """Every quantity, from a run of three epochs."""
    obtained = {name: quantity.measure(CURVES) for name, quantity in QUANTITIES.items()}
    assert obtained == pytest.approx(EXPECTED)


def test_one_epoch_has_each_quantity_once():
    """After one epoch the first is the last, and the area its loss: no number is judged twice."""
    once = {metric: values[:1] for metric, values in CURVES.items()} | {"accuracy": [0.4]}
    obtained = [quantity.measure(once) for quantity in quantities.of("mnist5k", 1).values()]
    assert len(set(obtained)) == len(obtained) == 7
    assert {quantity.measure(once) for quantity in QUANTITIES.values()} == set(obtained)


def test_logarithms_of_any_loss():
    """A loss of 0 has the logarithm minus infinity; one below 0, which no training has, has none."""
    assert [quantities.logarithm(loss) for loss in (1.0, 0.5, 0.0)] == [0.0, math.log(0.5), -math.inf]
    assert math.isnan(quantities.logarithm(-0.5))


LOSSES = {0.5: "0.5000", 999_999.5: "999999.5000", 1e6: "1.0e+06", 1e130: "1.0e+130"}


@pytest.mark.parametrize(("loss", "text"), LOSSES.items())
def test_losses_are_shown(loss, text):
    """Four decimals, and from a million on powers of ten."""
    assert quantities.shown(loss) == text
    assert quantities.shown(math.exp(math.log(0.25))) == LOSS.show(math.log(0.25)) == "0.2500"


SHIFTS = {0.5: "-50%", 1.5: "+50%", 100.5: "+9950%", 100.99: ">+9999%", 101.5: ">+9999%"}


@pytest.mark.parametrize(("factor", "text"), SHIFTS.items())
def test_shifts_of_a_loss_are_shown(factor, text):
    """A loss times this factor, in per cent with a sign; none has more than four digits."""
    assert LOSS.show_shift(0.0, math.log(factor)) == text


def test_shifts_of_errors_are_shown():
    """From a tenth of 1,000 images, 100 of 1,001 but for the half that is added, to two tenths."""
    tenth, fifth = math.log(0.1 / 0.9), math.log(0.2 / 0.8)
    assert ERRORS.show_shift(tenth, fifth - tenth) == "+100 of 1000"
    assert ERRORS.show_shift(fifth, tenth - fifth) == "-100 of 1000"


def test_errors_are_moved_to_all_images_at_most():
    """From a tenth, a fifth more is three tenths; 95 % more is beyond all images, and infinite."""
    tenth = math.log(0.1 / 0.9)
    assert ERRORS.moved(tenth, 0.2) == pytest.approx(math.log(0.3 / 0.7))
    assert ERRORS.moved(tenth, 0.95) == math.inf


def test_a_quantity_by_its_defaults():
    """A loss may be equal in all runs: its least deviation is 0. No quantity is changed after it was made."""
    assert LOSS.least_deviation(0.3) == 0.0
    made = quantities.Quantity(LOSS.measure, LOSS.show, LOSS.moved, LOSS.show_shift)
    assert made.chance == math.inf
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.chance = 0.0
