"""Is a training that lies outside drawn once more, and judged by the second draw?"""

from types import SimpleNamespace

import pytest

from tests import test_training

SETTINGS = SimpleNamespace(seed=1000, runs=2)


@pytest.fixture
def asked(monkeypatch):
    """Numbers of the runs that were asked for; a run's curves are its number."""
    numbers = []
    monkeypatch.setattr(test_training.store, "run_curves", lambda run: run)
    return numbers


@pytest.mark.parametrize(
    ("limit", "value", "numbers", "remark"),
    [
        (9, 0.5, [0, 1], ""),
        (1, 2.5, [0, 1, 2, 3], "seed 1000 lies outside, seed 1002 outside as well"),
        (0.7, 0.5, [0, 1], ""),
    ],
)
def test_two_draws(asked, limit, value, numbers, remark):
    """A value inside is judged as it is; one outside gives way to the mean of as many further runs."""

    def trained(model, number):
        asked.append(number)
        return number

    def outside(mean):
        return mean > 1 or limit == 1

    found = test_training.drawn(trained, SETTINGS, "model1", lambda runs: sum(runs) / len(runs), outside)
    assert found == (value, remark)
    assert asked == numbers


def test_a_late_starter_is_told(asked):
    """The second draw counts, and the remark says that the first lay outside."""
    found = test_training.drawn(
        lambda model, number: number, SETTINGS, "model1", lambda runs: sum(runs) / len(runs), lambda mean: mean < 1
    )
    assert found == (2.5, "seed 1000 lies outside, seed 1002 inside")
