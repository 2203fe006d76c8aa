"""Do the bands keep the error rates that they declare?"""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from cnnspec.ensembles import bands, distance, quantities
from cnnspec.ensembles.bands import Band, band
from cnnspec.facts.reading import BASELINES
from cnnspec.names import MODELS
from tests.plugin.trainings import EPOCHS

QUANTITIES = quantities.of("mnist5k", 2)
LOSS = QUANTITIES["loss, last epoch"]
ERRORS = QUANTITIES["test errors"]
SUITES = 20_000


def simulated(runs, size, shift=0.0):
    """SUITES ensembles of standard normal values and, for each, the mean of `runs` new values moved by `shift`."""
    generator = np.random.default_rng(7)
    return generator.normal(size=(SUITES, size)), generator.normal(shift, size=(SUITES, runs)).mean(axis=1)


@pytest.mark.parametrize("runs", [1, 3, 5])
@pytest.mark.parametrize("size", [8, 24])
def test_false_alarm_rate(runs, size):
    """Of healthy runs, α fail: within four standard errors of a binomial count."""
    alpha = 0.02
    factor = Band(0.0, 1.0, size, runs, alpha).half_width
    ensembles, news = simulated(runs, size)
    failed = np.abs(news - ensembles.mean(axis=1)) > factor * ensembles.std(axis=1, ddof=1)
    assert abs(failed.mean() - alpha) < 4 * math.sqrt(alpha * (1 - alpha) / SUITES)


@pytest.mark.parametrize("runs", [1, 3])
def test_smallest_shift(runs):
    """The smallest shift is detected in 95 % of all cases. σ is 1 here, so the shift in SD is the shift itself."""
    reference = Band(0.0, 1.0, 24, runs, 1e-3)
    ensembles, news = simulated(runs, 24, shift=reference.smallest_shift)
    detected = np.abs(news - ensembles.mean(axis=1)) > reference.half_width * ensembles.std(axis=1, ddof=1)
    assert abs(detected.mean() - bands.POWER) < 4 * math.sqrt(0.05 * 0.95 / SUITES)


def test_half_width_by_hand():
    """t(0.975; 7) = 2.364624 from a printed table: the band of one new run against eight is 2.364624 · s · √(1 + 1/8)."""
    reference = band(LOSS, [0, 1, 2, 3, 4, 5, 6, 7], alpha=0.05)
    assert reference.mean == 3.5
    assert reference.deviation == pytest.approx(math.sqrt(6))
    assert reference.half_width == pytest.approx(2.364624 * math.sqrt(6) * math.sqrt(1 + 1 / 8), rel=1e-6)


def test_more_runs_detect_smaller_shifts():
    """K = 3 and K = 5 new runs detect smaller shifts than K = 1."""
    shifts = [Band(0.0, 1.0, 24, runs, bands.alpha(4)).smallest_shift for runs in (1, 3, 5)]
    assert shifts == sorted(shifts, reverse=True)
    assert len(set(shifts)) == 3


@pytest.mark.parametrize(("values", "number"), [([], "0 runs"), ([0.1], "1 run")])
def test_one_run_has_no_spread(values, number):
    """Fewer runs than two hold any value and decide nothing; the reason counts the runs."""
    found = band(LOSS, values, alpha=0.01)
    assert found.half_width == bands.LARGEST
    assert not found.conclusive
    assert bands.weakness(LOSS, found) == f"an ensemble of {number} has no spread; at least 2 runs are needed"


def test_equal_losses_have_the_spread_of_their_rounding():
    """Losses are stored to seven digits; equal ones divide by no zero, and another loss is outside."""
    found = band(LOSS, [0.1] * 30, alpha=0.01)
    assert found.deviation == bands.ROUNDING
    assert (found.used(0.1) <= 1, found.used(0.1001) <= 1) == (True, False)


def test_a_small_ensemble_is_not_conclusive():
    """t(0.995; N − 1) √(1 + 1/N) from a printed table, against twice z(0.995) = 2.5758: N = 4 is too few, N = 5 enough."""
    four, five = (Band(0.0, 1.0, size, 1, 0.01) for size in (4, 5))
    assert four.width == pytest.approx(5.8409 * math.sqrt(1 + 1 / 4) / 2.5758, rel=1e-4)
    assert five.width == pytest.approx(4.6041 * math.sqrt(1 + 1 / 5) / 2.5758, rel=1e-4)
    assert [four.conclusive, five.conclusive] == [False, True]
    assert four.runs_needed == five.runs_needed == 5


def test_a_smaller_error_rate_takes_a_larger_ensemble():
    """The lower the false-alarm rate, the more stored runs a verdict needs."""
    needed = [Band(0.0, 1.0, 2, 1, alpha).runs_needed for alpha in (0.05, 1e-3, 2e-5)]
    assert needed == sorted(set(needed))


def test_a_count_that_never_varies_keeps_a_spread():
    """Eight errors of 1,000 in every run: p = 8.5 / 1001, where a rounding of 1/√12 errors is 1/√12 / (1001 p (1 − p))."""
    p = 8.5 / 1001
    reference = band(ERRORS, [math.log(p / (1 - p))] * 8, alpha=0.01)
    assert reference.deviation == pytest.approx(1 / math.sqrt(12) / (1001 * p * (1 - p)))


@pytest.mark.parametrize("errors", [0, 1, 500, 1000])
def test_counts_are_measured_and_shown(errors):
    """The number of errors becomes its logit, finite at both ends, and is shown as itself; no value shows more than all."""
    value = ERRORS.measure({"val_accuracy": [1 - errors / 1000]})
    assert value == pytest.approx(math.log((errors + 0.5) / (1000.5 - errors)))
    assert ERRORS.show(value) == f"{errors:.1f}"
    assert (ERRORS.show(-40.0), ERRORS.show(40.0)) == ("0.0", "1000.0")


TABLE = BASELINES / "snapshots" / f"mnist5k-{EPOCHS}-epochs" / "test_results_table.csv"
USEFUL = Band(mean=math.log(0.5), deviation=0.1, size=24, runs=1, alpha=1e-4, chance=LOSS.chance, most=math.log1p(2.5))
WEAK = {  # what makes a band of a loss useless -> the change, and the reason in words
    "chance": ({"mean": math.log(1.6)}, "healthy runs spread so much that the band reaches 2.5831, and chance gives 2.3026"),
    "shift": (
        {"most": math.log1p(0.5)},
        "healthy runs spread so much that only a shift of +97% is detected; one of +50% must be",
    ),
    "few runs": ({"size": 6}, "with 6 runs the band is 3.1 times as wide as with infinitely many, limit 2"),
}


@pytest.mark.parametrize(("change", "reason"), WEAK.values(), ids=WEAK)
def test_a_band_that_says_nothing_is_not_conclusive(change, reason):
    """A band that accepts chance, that detects large shifts only, or of few runs is not conclusive, and says why."""
    assert USEFUL.conclusive
    assert bands.weakness(LOSS, USEFUL) == ""
    weak = dataclasses.replace(USEFUL, **change)
    assert not weak.conclusive
    assert weak.judged == ("size" in change)
    assert bands.weakness(LOSS, weak) == reason


def test_chance_by_hand():
    """A uniform guess has a loss of ln 10 and 90 % errors; before training that is no fault."""
    assert {name for name, quantity in QUANTITIES.items() if quantity.chance == math.inf} == {"test loss, untrained"}
    assert LOSS.show(LOSS.chance) == "2.3026"
    assert float(ERRORS.show(ERRORS.chance)) == pytest.approx(900, abs=1)


def test_the_largest_useful_shift_is_in_real_units():
    """A shift of 0.5 is half more of a loss, and half of all images for errors."""
    losses = band(LOSS, [0.0, 0.1], alpha=0.01, shift=0.5)
    assert losses.most == pytest.approx(math.log(1.5))
    tenth = math.log(0.1 / 0.9)
    errors = band(ERRORS, [tenth, tenth], alpha=0.01, shift=0.5)
    assert tenth + errors.most == pytest.approx(math.log(0.6 / 0.4))


def test_nan_is_never_within():
    """A NaN lies outside every band."""
    assert Band(0.0, 1.0, 24, 1, 0.01).used(math.nan) == math.inf


CURVES = {
    "untrained_loss": [math.exp(2)],
    "loss": [1.0, 0.5],
    "val_loss": [0.8, 0.2],
    "train_loss": [0.1],
    "accuracy": [0.5, 0.9],
    "val_accuracy": [0.6, 0.951],
    "train_accuracy": [0.99],
}
EXPECTED = {  # by hand, with 4,000 train and 1,000 test images
    "test loss, untrained": 2.0,
    "loss, first epoch": 0.0,
    "loss, last epoch": math.log(0.5),
    "loss, area under the log curve": math.log(0.5) / 2,
    "test loss, first epoch": math.log(0.8),
    "test loss, last epoch": math.log(0.2),
    "test loss, area under the log curve": (math.log(0.8) + math.log(0.2)) / 2,
    "train loss, evaluated": math.log(0.1),
    "errors while training, last epoch": math.log(400.5 / 3600.5),
    "test errors": math.log(49.5 / 951.5),
    "train errors, evaluated": math.log(40.5 / 3960.5),
}


def test_quantities():
    """Every quantity, from a run of two epochs."""
    obtained = {name: quantity.measure(CURVES) for name, quantity in QUANTITIES.items()}
    assert obtained == pytest.approx(EXPECTED)


def test_one_epoch_has_each_quantity_once():
    """After one epoch the first is the last, and the area its loss: no number is judged twice."""
    once = {metric: values[:1] for metric, values in CURVES.items()} | {"accuracy": [0.4]}
    obtained = [quantity.measure(once) for quantity in quantities.of("mnist5k", 1).values()]
    assert len(set(obtained)) == len(obtained) == 7
    assert {quantity.measure(once) for quantity in QUANTITIES.values()} == set(obtained)


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_the_checks_share_the_declared_rate(epochs):
    """All bands, cells of the results table and distances together have the declared rate, divided by the reserve."""
    table = pd.read_csv(TABLE, index_col="row", comment="#")
    checks = len(MODELS) * len(quantities.names(epochs)) + table.size
    rate = checks * bands.alpha(epochs) + len(MODELS) * distance.alpha(epochs)
    assert rate * bands.reserve(epochs) == pytest.approx(bands.FALSE_ALARM_RATE)
