"""Do the bands of the stored ensembles keep the suite's declared false-alarm rate, and does normality hold?"""

import functools

import numpy as np
import pytest
from scipy import stats

from cnnspec.ensembles import bands, false_alarms, store
from cnnspec.facts import reading
from cnnspec.names import MODELS
from cnnspec.reports import markdown
from tests.plugin import trainings

FOLDER = reading.BASELINES / "ensembles" / "mnist5k"
EPOCHS = (trainings.EPOCHS, 10)  # of plain pytest and of `tox run -e verify`
SUITES = 20_000
NORMALITY = 0.01  # false-alarm rate of the test of normality, over all quantities together


@functools.cache
def stored(model, epochs):
    """Values of the judged quantities of a model's stored runs, (runs, quantities)."""
    return false_alarms.values(store.curves(FOLDER / f"{model}.csv", epochs), "mnist5k")


@pytest.mark.parametrize("epochs", EPOCHS)
def test_the_judged_quantities_look_normal(epochs):
    """Shapiro and Wilk's test rejects none of the 44 quantities of 24 runs, at 1 % for all together."""
    p = {
        f"{model}, {name}": stats.shapiro(values).pvalue
        for model in MODELS
        for name, values in zip(bands.QUANTITIES, stored(model, epochs).T, strict=True)
    }
    least = min(p, key=p.get)
    assert p[least] >= NORMALITY / len(p), f"{least}: p = {p[least]:.2g}"


@pytest.mark.parametrize("epochs", EPOCHS)
def test_no_stored_run_fails_by_the_others(epochs):
    """Each run judged by the bands of the others of its model: none of the 24 × 24 × 24 × 24 suites of them fails."""
    for model in MODELS:
        assert not false_alarms.left_out(stored(model, epochs), bands.ALPHA).any(), model


@pytest.mark.parametrize("epochs", EPOCHS)
def test_a_large_rate_is_kept_too(epochs):
    """At α = 0.05 a check fails about one left-out run in twenty: a rate that is large enough to be counted is kept.

    Quantities of a run are correlated, and left-out runs share an ensemble. The spread of the share is therefore taken from
    500 ensembles drawn from the normal distribution: the share must lie within the middle 99.9 % of theirs.
    """
    generator = np.random.default_rng(1)
    for model in MODELS:
        runs = stored(model, epochs)
        share = false_alarms.left_out(runs, 0.05).mean()
        others = [false_alarms.left_out(false_alarms.normal(generator, runs, len(runs)), 0.05).mean() for _ in range(500)]
        low, high = np.quantile(others, [0.0005, 0.9995])
        assert low <= share <= high, f"{model}: {share:.3f}, normal ensembles have {low:.3f} to {high:.3f}"


@pytest.mark.parametrize("draw", [false_alarms.normal, false_alarms.resampled], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("epochs", EPOCHS)
def test_the_suites_rate_is_kept(epochs, draw):
    """Of 20,000 simulated healthy suites, no more than 0.1 % fail."""
    models = [stored(model, epochs) for model in MODELS]
    assert false_alarms.simulated_suites(models, SUITES, draw=draw) <= bands.FALSE_ALARM_RATE


def test_the_table_is_in_the_readme():
    """baselines/ensembles/README.md holds the table of smallest shifts that these files give."""
    table = markdown.of_frame(false_alarms.smallest_shifts(FOLDER, "mnist5k", EPOCHS[0]))
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert table in readme, f"the table is now\n{table}"


def test_the_simulation_counts_alarms():
    """With a rate of 0.05 per check far more of the simulated suites fail: the count is not always zero."""
    models = [stored(model, 10) for model in MODELS]
    assert false_alarms.simulated_suites(models, 500, alpha=0.05) > 0.3


def test_left_out_by_hand():
    """Nine runs at −4 … 4 and one at 100: only the last is outside the band of the others."""
    runs = np.repeat(np.array([*range(-4, 5), 100.0])[:, None], len(bands.QUANTITIES), axis=1)
    outside = false_alarms.left_out(runs + 200, 0.001)
    assert outside.sum(axis=0).tolist() == [1] * len(bands.QUANTITIES)
    assert outside[-1].all()
