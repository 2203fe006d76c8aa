"""Does the combined test of a run against a small ensemble keep its false-alarm rate, and does it see what it should?"""

import math

import numpy as np
import pytest

from cnnspec import notebook, replication

EPOCHS = 10
METRICS = replication.LOSSES + replication.ERRORS


def made_up(generator, runs, shift=0.0):
    """Runs of normal values: a part that each run has as a whole, and one that each epoch has."""
    found = []
    for _ in range(runs):
        whole = generator.normal(scale=0.5)
        lengths = {metric: 1 if metric.startswith("train") else EPOCHS for metric in METRICS}
        found.append({metric: shift + whole + generator.normal(size=length) for metric, length in lengths.items()})
    return found


def test_distance_by_hand():
    """Two stored runs at 0 and 2 have μ = 1 and s = √2; a run at 4 lies 3 / (√2 √(3/2)) = √3 s away."""
    stored = [{"loss": np.array([0.0, 0.0])}, {"loss": np.array([2.0, 2.0])}]
    assert replication.distance({"loss": np.array([4.0, 4.0])}, stored) == pytest.approx(math.sqrt(3))


def test_judged_by_hand():
    """Losses become logarithms, accuracies roots of error counts: 60,000 train and 10,000 test images."""
    curves = {metric: [math.e if metric in replication.LOSSES else 0.99] for metric in METRICS}
    found = {metric: float(values[0]) for metric, values in replication.judged(curves).items()}
    assert found == pytest.approx(
        {
            "loss": 1.0,
            "val_loss": 1.0,
            "train_loss": 1.0,
            "accuracy": math.sqrt(600),
            "val_accuracy": 10.0,
            "train_accuracy": math.sqrt(600),
        }
    )


def verdicts(shift, trials=400, alpha=0.02):
    """Share of new runs that are called implausible: four models with 5, 5, 3 and 5 stored runs, the first is judged."""
    generator = np.random.default_rng(11)
    implausible = 0
    for _ in range(trials):
        models = [made_up(generator, runs) for runs in (5, 5, 3, 5)]
        healthy = [distance for model in models for distance in replication.left_out(model)]
        (new,) = made_up(generator, 1, shift)
        implausible += not replication.plausibility(new, models[0], healthy, alpha).plausible
    return implausible / trials


def test_false_alarms():
    """Of healthy runs about α are blamed: at most α plus four standard errors of a binomial count."""
    assert verdicts(0.0) <= 0.02 + 4 * math.sqrt(0.02 * 0.98 / 400)


def test_a_shifted_run_is_seen():
    """A run whose every value lies four deviations off is called implausible in eight of ten cases or more."""
    assert verdicts(4.0) >= 0.8


@pytest.mark.parametrize("model", notebook.MODELS)
def test_the_notebooks_curves_are_whole(model):
    """Ten epochs of four metrics and the evaluated train scores, as Out of In [9] to In [36] have them."""
    found = replication.judged(notebook.curves(model))
    assert {metric: len(values) for metric, values in found.items()} == {
        metric: 1 if metric.startswith("train") else EPOCHS for metric in METRICS
    }


def test_log_density_by_hand():
    """Two stored runs at 0 and 2, a run at 4: t = 3 / (√2 √1.5) = √3 with ν = 1, where the density is 1 / (π (1 + t²))."""
    stored = [{"loss": np.array([0.0])}, {"loss": np.array([2.0])}]
    (found,) = replication.log_density({"loss": np.array([4.0])}, stored)["loss"]
    assert found == pytest.approx(math.log(1 / (math.pi * (1 + 3)) / math.sqrt(2 * 1.5)))


def test_the_nearer_ensemble_is_likelier():
    """A run drawn as one of two ensembles is likelier in that one."""
    generator = np.random.default_rng(2)
    here, there = made_up(generator, 8), made_up(generator, 8, shift=2.0)
    (run,) = made_up(generator, 1)
    sums = [sum(values.sum() for values in replication.log_density(run, runs).values()) for runs in (here, there)]
    assert sums[0] > sums[1]
