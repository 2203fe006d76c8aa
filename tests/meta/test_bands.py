"""Do the bands keep the error rates that they declare?"""

import math

import numpy as np
import pandas as pd
import pytest

from cnnspec.ensembles import bands
from cnnspec.ensembles.bands import QUANTITIES, Band, band
from cnnspec.facts.reading import BASELINES
from tests import test_training

TABLE = BASELINES / "snapshots" / "mnist5k-4-epochs" / "test_results_table.csv"
LOSS = QUANTITIES["loss, last epoch"]
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
    shifts = [Band(0.0, 1.0, 24, runs, bands.ALPHA).smallest_shift for runs in (1, 3, 5)]
    assert shifts == sorted(shifts, reverse=True)
    assert len(set(shifts)) == 3


def test_one_run_has_no_spread():
    """An ensemble of one run has no band; the message counts the runs."""
    for values, number in (([], "0 runs"), ([0.1], "1 run")):
        with pytest.raises(ValueError, match=f"an ensemble of {number} has no spread; at least 2 runs are needed"):
            band(LOSS, values, alpha=0.01)


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
    """Eight errors in every run: log 9, where a rounding of 1/√12 errors is 1/√12 / 9."""
    reference = band(QUANTITIES["test errors"], [math.log(9)] * 8, alpha=0.01)
    assert reference.deviation == pytest.approx(1 / math.sqrt(12) / 9)


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
    "errors while training, last epoch": math.log(401),
    "test errors": math.log(50),
    "train errors, evaluated": math.log(41),
}


def test_quantities():
    """Every quantity, from a run of two epochs."""
    obtained = {name: quantity.measure(CURVES, (4000, 1000)) for name, quantity in QUANTITIES.items()}
    assert obtained == pytest.approx(EXPECTED)


def test_the_checks_share_the_declared_rate():
    """Every parameter of the training tier and every cell of the stored results table is one check of the rate."""
    (marks,) = [mark for mark in test_training.test_within_the_ensemble.pytestmark if mark.args[0] == "model"]
    (others,) = [mark for mark in test_training.test_within_the_ensemble.pytestmark if mark.args[0] == "quantity"]
    table = pd.read_csv(TABLE, index_col="row", comment="#")
    checks = len(marks.args[1]) * len(others.args[1]) + table.size
    assert checks == bands.CHECKS >= 52
    assert checks * bands.ALPHA * bands.RESERVE == pytest.approx(bands.FALSE_ALARM_RATE)
