"""Is each fault of data-parallel training seen, and does the message name its cause? Replicas in float64 are made up."""

import numpy as np
import pytest

from cnnspec.facts import reading
from tests.support.replicas import judged, setting

NAME, REPLICAS = "a partial batch", 2
PLAIN = setting.Kind("an imitation", setting.SHARED, setting.FIRST)


@pytest.fixture
def bounds(monkeypatch):
    """The stored bounds, for replicas with statistics of their own."""
    monkeypatch.setattr(setting, "kind", lambda: PLAIN)
    return reading.tolerance("replicas")


def parts(name=NAME):
    """Gradients and losses of the two replicas, in float64."""
    return setting.of_parts(name, REPLICAS)


def summed(weights, each=None, losses=(0.5, 0.5)):
    """Replicas whose gradients are added with weights."""
    each = each or [part.gradients for part in parts()]
    gradients = [sum(w * array for w, array in zip(weights, arrays, strict=True)) for arrays in zip(*each, strict=True)]
    loss = sum(w * part.loss for w, part in zip(losses, parts(), strict=True))
    return setting.Numbers(loss, gradients, [])


def failure(bounds, obtained, name=NAME):
    """The message of a step that fails."""
    with pytest.raises(pytest.fail.Exception) as failed:
        judged.step(name, REPLICAS, obtained, setting.of_whole(name), bounds)
    return str(failed.value)


def test_equal_parts_make_the_whole(bounds):
    """The mean over the replicas is the whole batch's gradient, in float64 to 12 digits, and is within the bounds."""
    obtained = summed((0.5, 0.5))
    for array, whole in zip(obtained.gradients, setting.of_whole(NAME).gradients, strict=True):
        np.testing.assert_allclose(array, whole, rtol=0, atol=1e-12)
    judged.step(NAME, REPLICAS, obtained, setting.of_whole(NAME), bounds)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((1.0, 1.0), "divided by 1 instead of 2: averaged by the wrong count (weights 1, 1)"),
        ((0.25, 0.25), "divided by 4 instead of 2: averaged by the wrong count"),
        ((0.5, 0.0), "replica 2 is not in the sum, or was given the images of another one (weights 0.5, "),
        ((0.0, 1.0), "replica 1 is not in the sum"),
        ((0.7, 0.3), "the replicas have the weights 0.7, 0.3; each should be 0.5"),
    ],
)
def test_wrong_sums(bounds, weights, words):
    """A wrong count, a replica that is dropped and wrong weights are told apart."""
    told = failure(bounds, summed(weights))
    assert words in told
    assert "one device: right" in told
    assert "model2, a partial batch on 2 replicas by an imitation" in told
    assert "expected  float64 of the whole batch" in told


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("row", "words"), [(0, "rows of the batch shifted by 1"), (3, "its images shifted by 1 against")])
def test_a_shifted_batch(bounds, place, row, words):
    """A replica that was given the wrong rows, or images that do not belong to its labels, is named."""
    told = failure(bounds, shifted(place, row))
    assert f"cause: replica {place + 1} computed with {words}" in told


def shifted(place, row):
    """Replicas of which one has one of the shifts of `judged.shifts`."""
    each = [part.gradients for part in parts()]
    each[place] = judged.shifts(NAME, REPLICAS, place)[row][1]
    return summed((0.5, 0.5), each)


def test_what_looks_like_nothing(bounds):
    """Noise is not explained away."""
    random = np.random.RandomState(0)
    obtained = summed((0.5, 0.5))
    gradients = [array + 0.2 * np.abs(array).max() * random.randn(*array.shape) for array in obtained.gradients]
    assert "cause: not known" in failure(bounds, obtained._replace(gradients=gradients))


def test_a_wrong_loss_alone(bounds):
    """Right gradients with a loss of one replica alone."""
    told = failure(bounds, summed((0.5, 0.5), losses=(1.0, 0.0)))
    assert "loss: relative difference" in told
    assert "gradient 1" not in told


def test_a_missing_gradient_and_nan(bounds):
    """A variable without a gradient, and a NaN that nobody was given."""
    obtained = summed((0.5, 0.5))
    assert "number of gradients, 7 of 8" in failure(bounds, obtained._replace(gradients=obtained.gradients[1:]))
    spoiled = [array.copy() for array in obtained.gradients]
    spoiled[3][0] = np.nan
    assert "cause: NaN or infinity, which no replica was given" in failure(bounds, obtained._replace(gradients=spoiled))


def test_one_device_that_is_wrong_too(bounds):
    """Then it is not the replicas."""
    obtained = summed((1.0, 1.0))
    with pytest.raises(pytest.fail.Exception, match="one device: wrong as well, so that it is not the replicas"):
        judged.step(NAME, REPLICAS, obtained, obtained, bounds)


def test_nan_that_is_swallowed(bounds):
    """Finite numbers where the last label is NaN; a NaN everywhere passes."""
    due = setting.of_whole(NAME)
    nan = setting.Numbers(np.nan, [np.full_like(array, np.nan) for array in due.gradients], [])
    judged.nan(REPLICAS, nan, nan)
    with pytest.raises(pytest.fail.Exception) as failed:
        judged.nan(REPLICAS, due, nan)
    assert "gradient of the last layer's bias: 10 of 10 elements are finite" in str(failed.value)
    assert "cause: the last replica's NaN is swallowed when replicas are added" in str(failed.value)
    with pytest.raises(pytest.fail.Exception, match="lost on one device as well"):
        judged.nan(REPLICAS, due, due)
    with pytest.raises(pytest.fail.Exception, match="kernel"):
        judged.nan(REPLICAS, nan._replace(gradients=[*nan.gradients[:-2], due.gradients[-2], nan.gradients[-1]]), nan)


def test_a_fit(bounds, monkeypatch):
    """A loss of an epoch and a variable outside their bounds fail."""
    due = setting.Fitted([0.5, 0.4], [np.ones((2, 2)), np.ones(2)])
    monkeypatch.setattr(setting, "fit_expected", lambda: due)
    judged.fit(REPLICAS, due, due, bounds)
    with pytest.raises(pytest.fail.Exception, match=r"loss of epoch 2: relative difference 0\.0025, limit 2e-05"):
        judged.fit(REPLICAS, due._replace(losses=[0.5, 0.401]), due, bounds)
    with pytest.raises(pytest.fail.Exception, match=r"variable 2: relative error 0\.1"):
        judged.fit(REPLICAS, due._replace(weights=[np.ones((2, 2)), np.full(2, 1.1)]), due, bounds)


def test_statistics_of_each_kind():
    """The whole batch's statistics, the first replica's and the mean give three expectations of what is kept."""
    name = next(name for name, step in setting.STEPS.items() if step.model == setting.NORMALISED)
    each, whole = setting.of_parts(name, REPLICAS), setting.of_whole(name)
    first, mean, all_of_it = (
        setting.expected(name, REPLICAS, setting.Kind("", statistics, moving))
        for statistics, moving in (
            (setting.SHARED, setting.FIRST),
            (setting.SHARED, setting.MEAN),
            (setting.WHOLE, setting.WHOLE),
        )
    )
    assert first.moving[-2] is each[0].moving[-2]
    np.testing.assert_array_equal(mean.moving[-2], (each[0].moving[-2] + each[1].moving[-2]) / 2)
    assert all_of_it is whole
    limit = reading.tolerance("replicas")["moving"]
    for one, other in ((first, mean), (first, whole)):
        assert np.linalg.norm(one.moving[-2] - other.moving[-2]) > 2 * limit * np.linalg.norm(other.moving[-2])


def test_parts():
    """Equal parts in order; what does not divide goes to the first replicas."""
    assert setting.parts(128, 2) == [slice(0, 64), slice(64, 128)]
    assert setting.parts(7, 3) == [slice(0, 3), slice(3, 5), slice(5, 7)]
