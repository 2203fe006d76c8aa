"""Do the bands keep the error rates that they declare?"""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from cnnspec.ensembles import bands, distance, quantities
from cnnspec.ensembles.bands import Band, band
from cnnspec.facts import reading
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


def test_the_constants():
    """What is declared: the rate of a whole run of the suite, and what a band without a spread holds."""
    assert (bands.FALSE_ALARM_RATE, bands.POWER, bands.WIDEST, bands.LARGEST) == (0.001, 0.95, 2.0, 300.0)
    assert pytest.approx(1e-7 / 12**0.5, rel=1e-12) == bands.ROUNDING


def test_the_rate_of_a_band_by_hand():
    """Half of 0.001 for the bands and the table: 7 quantities after one epoch, 11 after more, and 2 cells, of 4 models."""
    assert [bands.alpha(epochs) for epochs in (1, 2)] == pytest.approx([0.0005 / (4 * 9), 0.0005 / 16 / (4 * 13)])


FACTORS = {(4, 8): 1 / 4 + 1 / 8, (1, 2): 1 + 1 / 2, (1, 1): 2.0, (1, 0): 2.0}  # new runs, stored runs -> square


@pytest.mark.parametrize(("counts", "square"), FACTORS.items())
def test_the_standard_error_by_hand(counts, square):
    """√(1/K + 1/N) times the deviation; no stored run counts as one."""
    runs, size = counts
    assert Band(0.0, 3.0, size, runs, 0.1).factor == pytest.approx(math.sqrt(square))
    assert Band(0.0, 3.0, size, runs, 0.1).scale == pytest.approx(3 * math.sqrt(square))


def test_two_runs_in_closed_form():
    """t of one degree of freedom is Cauchy's: tan(π (1 − α) / 2). One run has no t."""
    two = Band(0.0, 3.0, 2, 4, 0.1)
    assert two.critical == pytest.approx(math.tan(math.pi * 0.45))
    assert two.half_width == pytest.approx(math.tan(math.pi * 0.45) * 3 * math.sqrt(3 / 4))
    assert two.width == pytest.approx(math.tan(math.pi * 0.45) * math.sqrt(3 / 4) / (1.6448536 / 2))
    assert Band(0.0, 3.0, 1, 4, 0.1).critical == math.inf
    assert Band(0.0, 1.0, 2, 1, 0.9).runs_needed == 2  # tan(π / 20) · √1.5 / 0.12566 = 1.54


@pytest.mark.parametrize(("size", "alpha"), [(24, 1e-4), (24, 0.5), (3, 1e-4)])
def test_the_smallest_shift_is_detected_with_the_declared_power(size, alpha):
    """Integrated over the deviation s of the stored runs: the share of Φ(shift / scale − t s) is 0.95."""
    found = Band(0.0, 2.0, size, 4, alpha)
    off, freedom = found.smallest_shift / (2.0 * math.sqrt(1 / 4 + 1 / size)), size - 1
    critical = stats.t.isf(alpha / 2, freedom)
    s = (np.arange(400_000) + 0.5) / 1e5  # in σ: χ of the degrees of freedom, divided by their root
    weights = stats.chi.pdf(s * math.sqrt(freedom), freedom) * math.sqrt(freedom) / 1e5
    assert weights @ special.ndtr(off - critical * s) == pytest.approx(0.95, abs=1e-6)


def test_two_runs_detect_no_shift():
    """No shift that a training can have is promised to be detected by two stored runs."""
    assert Band(0.0, 1.0, 2, 1, 0.5).smallest_shift == bands.LARGEST


def test_the_ends_of_what_is_conclusive(monkeypatch):
    """A band as wide as allowed is large enough, one that ends at chance accepts it, the largest shift allowed is useful."""
    five = Band(0.0, 1.0, 5, 1, 0.01)
    monkeypatch.setattr(bands, "WIDEST", five.width)
    assert five.large_enough
    assert Band(0.0, 1.0, 1, 1, 0.01, chance=bands.LARGEST).accepts_chance
    assert Band(0.0, 1.0, 1, 1, 0.01, most=bands.LARGEST).useful


def test_few_values_by_hand():
    """The band of no value lies around 0, that of one around it, each with a deviation of 1 and no limit of a shift."""
    assert band(LOSS, [], alpha=0.01, shift=0.5) == Band(0.0, 1.0, 0, 1, 0.01, (), LOSS.chance)
    assert band(LOSS, [0.1], alpha=0.01, shift=0.5) == Band(0.1, 1.0, 1, 1, 0.01, (0.1,) * 5, LOSS.chance)
    two = band(LOSS, [1.0, 3.0], alpha=0.01)
    assert (two.mean, two.deviation, two.size) == (2.0, pytest.approx(math.sqrt(2)), 2)
    assert bands.weakness(LOSS, two).startswith("with 2 runs the band is ")


def test_quartiles_by_hand():
    """Least value, lower quartile, median, upper quartile and greatest value."""
    assert band(LOSS, [4, 3, 1, 2, 0], alpha=0.01).quartiles == (0, 1, 2, 3, 4)


def test_a_band_is_not_changed():
    """What a run is judged by stays as it was computed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        USEFUL.mean = 0.0


def run(loss, epochs):
    """The curves of a run whose loss and accuracy are the same in every epoch."""
    losses = dict.fromkeys(("untrained_loss", "loss", "val_loss", "train_loss"), [loss] * epochs)
    return losses | dict.fromkeys(("accuracy", "val_accuracy", "train_accuracy"), [0.9] * epochs)


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_bands_of_an_ensemble(epochs):
    """A band for each quantity after as many epochs, at their rate, with the shift that `tolerances.toml` states."""
    found = bands.by_quantity([run(0.1, epochs), run(0.4, epochs)], "mnist5k")
    assert list(found) == quantities.names(epochs)
    quantity, loss = found["loss, last epoch"]
    shift = reading.tolerance("bands.loss, last epoch")["shift"]
    assert loss == band(quantity, [math.log(0.1), math.log(0.4)], bands.alpha(epochs), 1, shift)
    assert loss.runs == 1
    assert bands.mean(quantity, [run(0.1, epochs), run(0.4, epochs)]) == pytest.approx(math.log(0.2))


def test_no_run_has_the_bands_of_two_epochs():
    """An ensemble without runs has every quantity, and none of its bands is conclusive."""
    found = bands.by_quantity([], "mnist5k")
    assert list(found) == quantities.names(2)
    assert not any(each.conclusive for _, each in found.values())


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


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_the_checks_share_the_declared_rate(epochs):
    """All bands, cells of the results table and distances together have the declared rate, divided by the reserve."""
    table = pd.read_csv(TABLE, index_col="row", comment="#")
    checks = len(MODELS) * len(quantities.names(epochs)) + table.size
    rate = checks * bands.alpha(epochs) + len(MODELS) * distance.alpha(epochs)
    assert rate * bands.reserve(epochs) == pytest.approx(bands.FALSE_ALARM_RATE)


def test_epochs_of_an_ensemble():
    """Those of its runs, of which there may be one; after two epochs there is every quantity."""
    assert bands.epochs_of([{"loss": [1.0, 0.5, 0.2]}]) == 3
    assert quantities.names(bands.epochs_of([])) == list(quantities.QUANTITIES)
