"""Do the checks of trainings keep the suite's declared false-alarm rate, after every number of epochs?"""

import functools
import re

import numpy as np
import pytest
from scipy import stats

from cnnspec.ensembles import bands, false_alarms, store
from cnnspec.facts import reading
from cnnspec.names import MODELS
from cnnspec.reports import markdown
from tests.plugin import trainings

FOLDER = reading.BASELINES / "ensembles" / "mnist5k"
README = FOLDER.parent / "README.md"
EVERY = range(1, 11)  # every number of epochs that can be asked for
SHOWN = (trainings.EPOCHS, 10)  # of plain pytest and of `tox run -e verify`
SUITES = 5000
NORMALITY = 0.01  # false-alarm rate of the test of normality, over all quantities together
DRAWS = [false_alarms.normal, false_alarms.resampled]


@functools.cache
def models(epochs):
    """The stored runs of each model in the judged quantities."""
    return false_alarms.stored(FOLDER, "mnist5k", epochs)


@pytest.mark.parametrize("epochs", SHOWN)
def test_the_judged_quantities_look_normal(epochs):
    """Shapiro and Wilk's test rejects none of the judged quantities of 24 runs, at 1 % for all together."""
    p = {
        f"{model}, {name}": stats.shapiro(values).pvalue
        for model, stored in zip(MODELS, models(epochs), strict=True)
        for name, values in zip(stored.names, stored.values.T, strict=True)
    }
    least = min(p, key=p.get)
    assert p[least] >= NORMALITY / len(p), f"{least}: p = {p[least]:.2g}"


@pytest.mark.parametrize("epochs", EVERY)
def test_no_stored_run_fails_by_the_others(epochs):
    """Each run judged by the others of its model: none of the 24 × 24 × 24 × 24 suites of them fails."""
    for model, stored in zip(MODELS, models(epochs), strict=True):
        assert not stored.left_out().any(), model


@pytest.mark.parametrize("epochs", SHOWN)
def test_a_large_rate_is_kept_too(epochs):
    """At α = 0.05 a check fails about one left-out run in twenty: a rate that is large enough to be counted is kept.

    Quantities of a run are correlated, and left-out runs share an ensemble. The spread of the share is therefore taken from
    500 ensembles drawn from the normal distribution: the share must lie within the middle 99.9 % of theirs.
    """
    generator = np.random.default_rng(1)

    def share(stored, runs):
        others = np.stack([np.delete(runs, number, axis=0) for number in range(len(runs))])
        return stored.placed(others, runs).outside(0.05).mean()

    for model, stored in zip(MODELS, models(epochs), strict=True):
        runs = stored.values
        others = [share(stored, false_alarms.normal(generator, runs, (len(runs),))) for _ in range(500)]
        low, high = np.quantile(others, [0.0005, 0.9995])
        found = share(stored, runs)
        assert low <= found <= high, f"{model}: {found:.3f}, normal ensembles have {low:.3f} to {high:.3f}"


def too_many(failed, suites):
    """Whether a count of failed suites is larger than the declared rate explains, in 999 of 1,000 cases."""
    return failed > stats.binom.ppf(0.999, suites, bands.FALSE_ALARM_RATE)


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("epochs", EVERY)
def test_the_suites_rate_is_kept(epochs, draw):
    """The failures of 5,000 simulated healthy suites are no more than a rate of 0.1 % gives.

    That many suites detect a rate of about 0.4 %; the README has the rates of 100,000.
    """
    assert not too_many(round(false_alarms.simulated_suites(models(epochs), SUITES, draw=draw) * SUITES), SUITES)


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_a_rate_that_is_not_kept_is_seen(draw):
    """With 300 times the rate of every check the simulated suites fail too often, by the same count."""
    assert too_many(round(false_alarms.simulated_suites(models(10), SUITES, draw=draw, times=300) * SUITES), SUITES)


def test_the_readme_has_the_rate_of_every_number_of_epochs():
    """baselines/ensembles/README.md has a row for 1 to 10 epochs, and no measured rate is above the declared one."""
    rows = re.findall(r"^\| (\d+)[^|]* \| (0\.\d+|0) \| (0\.\d+) \| (0\.\d+) \|$", README.read_text(encoding="utf-8"), re.M)
    assert [int(epochs) for epochs, *_ in rows] == list(EVERY)
    assert max(float(rate) for _, *rates in rows for rate in rates) <= bands.FALSE_ALARM_RATE


def test_the_table_is_in_the_readme():
    """baselines/ensembles/README.md holds the table of smallest shifts that these files give."""
    table = markdown.of_frame(false_alarms.smallest_shifts(FOLDER, "mnist5k", SHOWN[0]))
    assert table in README.read_text(encoding="utf-8"), f"the table is now\n{table}"


def not_judged(epochs):
    """What is not judged after a number of epochs: model and quantity."""
    curves = {model: store.curves(FOLDER / f"{model}.csv", epochs) for model in MODELS}
    found = false_alarms.not_judged(curves, "mnist5k")
    return [f"{model}, {name}" for model, names in found.items() for name in names]


def test_what_is_not_judged_is_in_the_readme():
    """baselines/ensembles/README.md names the quantities that are not judged, for every number of epochs."""
    table = "\n".join(f"| {epochs} | {'; '.join(not_judged(epochs))} |" for epochs in EVERY)
    assert table in README.read_text(encoding="utf-8"), f"the rows are now\n{table}"


def test_every_model_is_judged_after_every_number_of_epochs():
    """At least one loss while training, one of the test set or before training, and a count of errors are judged."""
    for epochs in EVERY:
        for model, stored in zip(MODELS, models(epochs), strict=True):
            kinds = {name.split(",")[0].split(" ")[0] for name in stored.names}
            assert {"loss", "test"} <= kinds, (epochs, model, stored.names)


def test_left_out_by_hand():
    """Nine runs at −4 … 4 and one at 100, in every quantity: only the last fails by the others."""
    stored = false_alarms.Stored(FOLDER / "model1.csv", "mnist5k", 1)
    stored.values = np.repeat(np.array([*range(-4, 5), 100.0])[:, None], len(stored.names), axis=1)
    assert stored.left_out().tolist() == [False] * 9 + [True]
