"""Does the combined test of a run against a small ensemble keep its false-alarm rate, and does it detect a shift?"""

import functools
import math

import numpy as np
import pytest

from cnnspec.ensembles import membership, store
from cnnspec.facts import notebook, reading
from cnnspec.names import RESULTS

EPOCHS = 10
SIZES = {"model1": 5, "model2": 5, "model3": 3, "model4": 5}  # runs of each stored ensemble on full MNIST
METRICS = membership.LOSSES + membership.ERRORS
FIGURES = [membership.distance, membership.farthest]


@functools.cache
def stored(model):
    """The stored runs of a model on mnist5k, as `membership.judged` gives them."""
    path = reading.BASELINES / "ensembles" / "mnist5k" / f"{model}.csv"
    return [membership.judged(curves, "mnist5k") for curves in store.curves(path, EPOCHS)]


def failed(trials, figure=membership.distance, alpha=membership.ALPHA, shift=0.0, seed=11):
    """Share of runs that fail: small ensembles are drawn from the stored runs, and a further stored run is judged by them.

    `shift`, in standard deviations of each metric over all stored runs, is added to every value of the judged run.
    """
    generator = np.random.default_rng(seed)
    scales = {
        model: {m: membership.deviation(m, np.array([run[m] for run in stored(model)])) for m in METRICS} for model in SIZES
    }
    count = 0
    for _ in range(trials):
        drawn = {model: [stored(model)[i] for i in generator.permutation(24)[: size + 1]] for model, size in SIZES.items()}
        reference = membership.Reference({model: runs[1:] for model, runs in drawn.items()})
        for model, runs in reference.runs.items():
            new = {metric: values + shift * scales[model][metric] for metric, values in drawn[model][0].items()}
            count += not reference.plausibility(reference.residuals(new, runs), figure, alpha).plausible
    return count / trials / len(SIZES)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_false_alarms(figure):
    """Of healthy runs a share of about α fails: at most α plus four standard errors of a binomial count."""
    assert failed(100, figure, 0.02) <= 0.02 + 4 * math.sqrt(0.02 * 0.98 / 400)


@pytest.mark.parametrize(("figure", "shift"), list(zip(FIGURES, (24.0, 48.0), strict=True)), ids=["distance", "farthest"])
def test_a_shifted_run_is_detected(figure, shift):
    """A run whose values are all shifted by 24 SD, for the farthest value by 48, fails in at least eight of ten cases."""
    assert failed(20, figure, shift=shift) >= 0.8


def test_one_replication_shares_one_rate():
    """Both figures of each model's fresh run, and the cells of the final table, have the declared rate together."""
    checks = len(notebook.trained_models()) * (len(FIGURES) + len(RESULTS))
    assert checks == membership.CHECKS == 16
    assert membership.ALPHA * checks * membership.RESERVE == pytest.approx(membership.FALSE_ALARM_RATE)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_a_nan_is_not_plausible(figure):
    """A run with a NaN is not plausible, by either figure."""
    reference = membership.Reference({"model2": stored("model2")[:9]})
    run = {**stored("model2")[9], "val_loss": np.full(EPOCHS, math.nan)}
    assert not reference.plausibility(reference.residuals(run, reference.runs["model2"]), figure).plausible


@pytest.mark.parametrize("model", notebook.trained_models())
def test_the_notebooks_curves_are_whole(model):
    """Ten epochs of four metrics and the evaluated train scores, from the outputs of In [9] to In [36]."""
    found = membership.judged(notebook.curves(model))
    assert {metric: len(values) for metric, values in found.items()} == {
        metric: 1 if metric.startswith("train") else EPOCHS for metric in METRICS
    }


def test_the_nearer_ensemble_is_likelier():
    """A run is likelier among the stored runs of its model than among the same runs shifted by 4 SD."""
    run, *own = stored("model2")[:9]
    shift = {m: 4 * membership.deviation(m, np.array([other[m] for other in own])) for m in METRICS}
    shifted = [{m: other[m] + shift[m] for m in METRICS} for other in own]
    reference = membership.Reference({"own": own, "shifted": shifted})
    sums = [sum(values.sum() for values in reference.log_density(run, name).values()) for name in ("own", "shifted")]
    assert sums[0] > sums[1]
