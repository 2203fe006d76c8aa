"""Does the distance of a whole model see what no single band sees, at the rate and with the power that it declares?"""

import dataclasses
import math

import numpy as np
import pytest

from cnnspec.ensembles import bands, distance, false_alarms, store
from cnnspec.facts import reading
from cnnspec.names import MODELS
from tests.plugin.trainings import EPOCHS
from tests.support import ensembles

FOLDER = reading.BASELINES / "ensembles" / "mnist5k"
NAMES = ["test loss, untrained", "loss, last epoch"]


def made(correlation, size=24, alpha=1e-4):
    """A Cloud of two quantities of mean 0 and deviation 1."""
    band = bands.Band(0.0, 1.0, size, 1, alpha)
    matrix = distance.shrunk(np.array([[1.0, correlation], [correlation, 1.0]]))
    return distance.Cloud(dict.fromkeys(NAMES, band), np.linalg.inv(matrix), alpha)


def stored(model, epochs):
    """(curves of the stored runs, their judged quantities and bands) of a model."""
    curves = store.curves(FOLDER / f"{model}.csv", epochs)
    return curves, bands.by_quantity(curves, "mnist5k")


def test_distance_by_hand():
    """With a correlation of 0.8, shrunk to 0.56, (1, 1) lies √(2 / 1.56) and (1, −1) √(2 / 0.44) SD away, by √(1 + 1/24)."""
    cloud = made(0.8)
    together, apart = (cloud.distance(dict(zip(NAMES, pair, strict=True))) for pair in ((1, 1), (1, -1)))
    assert together == pytest.approx(math.sqrt(2 / 1.56 / (1 + 1 / 24)))
    assert apart == pytest.approx(math.sqrt(2 / 0.44 / (1 + 1 / 24)))


def test_the_limit_by_hand():
    """F(0.95; 2, 23) = 3.4221 from a printed table: the limit of two quantities is the root of twice that."""
    assert distance.limit(24, 2, 0.05) == pytest.approx(math.sqrt(2 * 3.4221), rel=1e-4)


@pytest.mark.parametrize("epochs", [EPOCHS, 10])
@pytest.mark.parametrize("model", MODELS)
def test_the_simulation_computes_the_same(model, epochs):
    """The distance and the limits by which rates are measured are those by which a run is judged."""
    curves, judged = stored(model, epochs)
    cloud = distance.cloud(curves[1:], bands.by_quantity(curves[1:], "mnist5k"))
    many = false_alarms.Stored(FOLDER / f"{model}.csv", "mnist5k", epochs)
    if list(cloud.bands) == many.names:  # another run fewer may leave a quantity out
        values = {name: quantity.measure(curves[0]) for name, (quantity, _) in judged.items()}
        obtained = many.placed(many.values[1:], many.values[0]).distances()
        assert float(obtained) == pytest.approx(cloud.distance(values), rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_a_shift_of_all_is_detected(model):
    """Of simulated runs, shifted by the smallest shift in all quantities, nine in ten are detected, by their distance."""
    many = false_alarms.Stored(FOLDER / f"{model}.csv", "mnist5k", EPOCHS)
    cloud = distance.cloud(*stored(model, EPOCHS))
    drawn = false_alarms.normal(np.random.default_rng(2), many.values, (2000, 25))
    new = drawn[:, 24] + cloud.smallest_shift * many.values.std(axis=0, ddof=1)
    assert (many.placed(drawn[:, :24], new).distances() > cloud.limit).mean() > 0.9


def test_an_unlikely_pair_fails():
    """Two quantities that rise together in every run, and now lie 6 SD apart: no band fails, the pair does."""
    cloud, values = made(0.95), dict(zip(NAMES, (3.0, -3.0), strict=True))
    assert all(band.used(values[name]) <= 1 for name, band in cloud.bands.items())
    with pytest.raises(pytest.fail.Exception) as error:
        ensembles.within_cloud("model1", cloud, values, source="a.csv", next="do this", enlarge="more")
    lines = str(error.value).splitlines()
    assert lines[0] == "model1; farthest: test loss, untrained"
    assert lines[1] == f"  expected  a distance of at most {cloud.limit:.1f} SD   (from a.csv, 24 runs)"
    assert lines[2].startswith(f"  obtained  {cloud.distance(values):.1f} SD (false-alarm rate 0.0001)")
    assert lines[3:] == [
        "            +3.0 SD  test loss, untrained",
        "            -3.0 SD  loss, last epoch",
        "  next      do this",
    ]
    ensembles.within_cloud("model1", cloud, dict.fromkeys(NAMES, 1.0), source="a.csv", next="do this", enlarge="more")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_is_never_near(value):
    """A NaN or an infinity fails, and is named as the farthest."""
    cloud, values = made(0.5), {NAMES[0]: 0.0, NAMES[1]: value}
    with pytest.raises(pytest.fail.Exception, match=r"^model1; farthest: loss, last epoch"):
        ensembles.within_cloud("model1", cloud, values, source="a.csv", next="do this", enlarge="more")


def test_a_small_ensemble_cannot_tell():
    """With five runs a near value cannot pass; the message says how many runs are missing."""
    cloud = made(0.5, size=5)
    with pytest.raises(pytest.fail.Exception) as error:
        ensembles.within_cloud("model1", cloud, dict.fromkeys(NAMES, 0.0), source="a.csv", next="do this", enlarge="more")
    text = str(error.value)
    assert text.startswith("cannot tell: model1")
    assert f"missing   {cloud.runs_needed - 5} more runs in the ensemble" in text
    assert text.endswith("next      more")
    assert dataclasses.replace(cloud, alpha=0.2).large_enough
