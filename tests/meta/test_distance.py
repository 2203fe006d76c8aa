"""Does the distance of a whole model see what no single band sees, at the rate and with the power that it declares?"""

import dataclasses
import math

import numpy as np
import pytest
from scipy import special, stats

from cnnspec.ensembles import bands, distance, false_alarms, quantities, store
from cnnspec.facts import reading
from cnnspec.names import MODELS
from tests.plugin.trainings import EPOCHS
from tests.support import ensembles

FOLDER = reading.BASELINES / "ensembles" / "mnist5k"
NAMES = ["test loss, untrained", "loss, last epoch"]


def made(correlation, size=24, alpha=1e-4, runs=1):
    """A Cloud of two quantities of mean 0 and deviation 1."""
    band = bands.Band(0.0, 1.0, size, runs, alpha)
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


def test_the_rate_by_hand():
    """Half of 0.001 is shared by the four models; after more than one epoch a sixteenth of that."""
    assert [distance.alpha(epochs) for epochs in (1, 2)] == pytest.approx([0.000125, 0.000125 / 16])


def test_residuals_by_hand():
    """A residual is the distance from its own mean in its own standard deviations."""
    bands_of = {name: bands.Band(5.0, 2.0, 24, 1, 1e-4) for name in NAMES} | {NAMES[0]: bands.Band(1.0, 4.0, 24, 1, 1e-4)}
    cloud = dataclasses.replace(made(0.0), bands=bands_of)
    assert cloud.residuals(dict(zip(NAMES, (-1.0, 9.0), strict=True))) == dict(zip(NAMES, (-0.5, 2.0), strict=True))


def test_correlations_of_several_models_are_shrunk():
    """Each matrix of a stack: 0.7 of what was there, and 0.3 more on the diagonal."""
    found = distance.shrunk(np.ones((2, 4, 3, 3)))
    np.testing.assert_allclose(found, np.broadcast_to(np.full((3, 3), 0.7) + 0.3 * np.eye(3), (2, 4, 3, 3)))


def limit_of_two(size, alpha):
    """The limit of two quantities in closed form: F's upper tail for 2 and ν degrees of freedom is (1 + 2F/ν)^(−ν/2)."""
    freedom = size - 1
    return math.sqrt(freedom * (alpha ** (-2 / freedom) - 1))


@pytest.mark.parametrize("size", [2, 3, 24])
def test_the_limit_of_two_quantities_in_closed_form(size):
    """From two stored runs on there is a limit; fewer accept anything."""
    assert distance.limit(size, 2, 0.01) == pytest.approx(limit_of_two(size, 0.01))
    assert distance.limit(1, 2, 0.01) == distance.limit(0, 2, 0.01) == bands.LARGEST == 300


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("runs", [1, 4])
def test_how_many_runs_are_needed_in_closed_form(runs, alpha):
    """The limit is at most twice that of χ², whose upper tail for two quantities is exp(−x/2); three runs at least."""
    reach = math.sqrt(-2 * math.log(alpha) / runs)
    enough = [limit_of_two(size, alpha) * math.sqrt(1 / runs + 1 / size) <= 2 * reach for size in range(3, 100)]
    cloud = made(0.5, size=5, alpha=alpha, runs=runs)
    assert [cloud.of_size(size).large_enough for size in range(3, 100)] == enough
    assert not any(cloud.of_size(size).large_enough for size in (0, 1))
    assert cloud.runs_needed == 3 + enough.index(True)


@pytest.mark.parametrize(("count", "size", "alpha"), [(2, 24, 1e-4), (2, 24, 0.94), (2, 3, 0.01), (11, 3, 1e-4)])
def test_the_smallest_shift_is_detected_with_the_declared_power(count, size, alpha):
    """A noncentral F is a mixture of beta distributions with Poisson's weights: their upper tails add up to 0.95."""
    matrix = distance.shrunk(np.eye(count) / 2 + 0.5)
    band = bands.Band(0.0, 1.0, size, 2, alpha)
    cloud = distance.Cloud({f"quantity {number}": band for number in range(count)}, np.linalg.inv(matrix), alpha)
    off = cloud.smallest_shift**2 * cloud.inverse.sum() / (1 / 2 + 1 / size)
    freedom, terms = size - 1, np.arange(int(off) + 1000)
    part = freedom / (freedom + count * stats.f.isf(alpha, count, freedom))
    tails = special.betainc(freedom / 2, count / 2 + terms, part)
    assert tails @ stats.poisson.pmf(terms, off / 2) == pytest.approx(0.95, abs=1e-5)


def test_two_runs_detect_no_shift():
    """No shift is promised to be detected by two stored runs."""
    assert made(0.5, size=2).smallest_shift == math.inf


def test_one_run_has_no_distance():
    """Without a spread nothing is far; two stored runs have one."""
    values = dict.fromkeys(NAMES, 1.0)
    assert [made(0.8, size=size).distance(values) for size in (0, 1)] == [0.0, 0.0]
    assert made(0.8, size=2).distance(values) == pytest.approx(math.sqrt(2 / 1.56 / (1 + 1 / 2)))


def test_a_cloud_is_not_changed():
    """What a run is judged by stays as it was computed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        made(0.5).alpha = 0.5


METRICS = ("loss", "val_loss", "train_loss")
LOGARITHMS = np.array([[-9.0, -5.0, -7.0], [-8.0, -1.0, -7.5], [-7.0, -3.0, -8.0]])  # runs, metrics


def cloud_of(logarithms):
    """The Cloud of runs of one epoch from the logarithms of three losses; the last is not judged: it accepts chance."""
    runs = [{metric: [math.exp(value)] for metric, value in zip(METRICS, run, strict=True)} for run in logarithms]
    judged = {}
    for column, metric in enumerate(METRICS):
        quantity = quantities.log_loss(metric, -1)
        judged[metric] = quantity, bands.band(quantity, [run[column] for run in logarithms], 0.4)
    useless = dataclasses.replace(judged["train_loss"][1], size=100, chance=-100.0)
    return distance.cloud(runs, judged | {"train_loss": (judged["train_loss"][0], useless)})


def test_a_cloud_by_hand():
    """Deviations 1 and 2 and a covariance of 1: the correlation is 0.5, shrunk to 0.35; its inverse by hand."""
    cloud = cloud_of(LOGARITHMS)
    assert list(cloud.bands) == ["loss", "val_loss"]
    assert cloud.inverse == pytest.approx(np.array([[1, -0.35], [-0.35, 1]]) / (1 - 0.35**2))
    assert cloud.alpha == pytest.approx(0.000125)


def test_two_runs_are_wholly_correlated():
    """Of two runs all residuals are ±1/√2: the correlation is 1, shrunk to 0.7."""
    assert cloud_of(LOGARITHMS[:2]).inverse == pytest.approx(np.array([[1, -0.7], [-0.7, 1]]) / (1 - 0.7**2))


def test_one_run_has_no_correlation():
    """The cloud of one run is round."""
    np.testing.assert_array_equal(cloud_of(LOGARITHMS[:1]).inverse, np.eye(2))


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
