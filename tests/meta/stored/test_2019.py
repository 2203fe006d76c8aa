"""Do runs of 2019's stack lie in today's bands, in all quantities that do not depend on moving averages?

The runs under `baselines/ensembles/mnist5k-2019` were trained by TensorFlow 1.13.1 and Keras 2.2.4; nothing trains here.
"""

import functools

import pytest

from cnnspec.ensembles import bands, equivalence, store
from cnnspec.facts import notebook, reading
from cnnspec.reports import markdown
from tests.plugin.trainings import EPOCHS

ENSEMBLES = reading.BASELINES / "ensembles"
OF_2019 = ENSEMBLES / "mnist5k-2019"

# Keras 2.2.4 removes the initial values from BatchNormalization's moving averages: after the same training, inference is
# another function (baselines/trajectories/README.md). The names of the quantities say which depend on it.
NORMALISED = notebook.normalised_models()
UNTRAINED = "test loss, untrained"  # both stacks infer with the initial averages


def by_moving_averages(model, quantity):
    """Whether a quantity of a model depends on moving averages that the training changed."""
    return model in NORMALISED and quantity != UNTRAINED and (quantity.startswith("test") or quantity.endswith("evaluated"))


@functools.cache
def todays_bands(model, epochs):
    """The bands of today's stack for a model after a number of epochs."""
    return bands.by_quantity(store.curves(ENSEMBLES / "mnist5k" / f"{model}.csv", epochs), "mnist5k")


def used(model, epochs):
    """{(seed, quantity): share of today's band} of 2019's runs of a model after a number of epochs."""
    path = OF_2019 / f"{model}.csv"
    return {
        (seed, name): band.used(quantity.measure(run))
        for seed, run in zip(store.read(path).seed, store.curves(path, epochs), strict=True)
        for name, (quantity, band) in todays_bands(model, epochs).items()
    }


@pytest.mark.parametrize("model", notebook.trained_models())
def test_the_stack_is_2019s(model):
    """Twelve runs are stored of each model, all of TensorFlow 1.13.1 and Keras 2.2.4 on two cores."""
    frame = store.read(OF_2019 / f"{model}.csv")
    assert sorted(frame.seed) == list(range(12))
    stacks = frame[["framework", "keras", "cores"]].drop_duplicates().to_numpy().tolist()
    assert stacks == [["tensorflow 1.13.1", "2.2.4", "2"]]


@pytest.mark.parametrize("epochs", [EPOCHS, 10])
@pytest.mark.parametrize("model", notebook.trained_models())
def test_2019_stays_in_todays_bands(model, epochs):
    """Every run of 2019's stack lies in today's bands, in each quantity that does not depend on moving averages."""
    judged = {key: share for key, share in used(model, epochs).items() if not by_moving_averages(model, key[1])}
    assert [f"{key}: {share:.2f} of its band" for key, share in judged.items() if not share <= 1] == []


@pytest.mark.parametrize("epochs", [EPOCHS, 10])
@pytest.mark.parametrize("model", NORMALISED)
def test_2019_agrees_with_itself(model, epochs):
    """Every run of 2019's stack lies in the bands of its other eleven runs, in every quantity."""
    runs = store.curves(OF_2019 / f"{model}.csv", epochs)
    for number, run in enumerate(runs):
        others = bands.by_quantity(runs[:number] + runs[number + 1 :], "mnist5k")
        left = {name: band.used(quantity.measure(run)) for name, (quantity, band) in others.items()}
        assert {name: share for name, share in left.items() if not share <= 1} == {}


@pytest.mark.parametrize("model", NORMALISED)
def test_the_moving_averages_differ(model):
    """In the quantities that depend on moving averages, every run of 2019's stack lies outside one of today's bands."""
    left_out = {key: share for key, share in used(model, EPOCHS).items() if by_moving_averages(model, key[1])}
    assert {seed for (seed, _), share in left_out.items() if share > 1} == set(range(12))


def test_the_comparison_is_in_the_readme():
    """baselines/ensembles/README.md holds what `python -m cnnspec compare` says of the two stacks."""
    table = markdown.of_frame(equivalence.table(ENSEMBLES / "mnist5k", OF_2019, 10))
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the table is now\n{table}"
