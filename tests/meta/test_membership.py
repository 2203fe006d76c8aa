"""Does the combined test of a run against a small ensemble keep its false-alarm rate, and does it detect a shift?"""

import functools
import math
import shutil

import numpy as np
import pytest

from cnnspec.ensembles import membership, store
from cnnspec.errors import EnsembleError
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


def two_models():
    """Runs at −1, 0, 1 and at −4, 0, 4, over two epochs of one metric: variances 1 and 16, g² = √(1 · 16) = 4."""
    made = {"model1": (-1.0, 0.0, 1.0), "model2": (-4.0, 0.0, 4.0)}
    return membership.Reference({model: [{"loss": np.full(2, end)} for end in ends] for model, ends in made.items()})


STANDARD_ERROR = math.sqrt(10 / 3)  # of a residual of model1: s² = (2 · 4 + 2 · 1) / 4 = 2.5, by 1 + 1/3


def test_residuals_by_hand():
    """A run one standard error from the mean in the first epoch and at the mean in the second; g weighs as 2 runs."""
    reference = two_models()
    found = reference.residuals({"loss": np.array([-STANDARD_ERROR, 0.0])}, reference.runs["model1"])
    assert found["loss"].tolist() == pytest.approx([-1.0, 0.0])
    assert membership.distance(found) == pytest.approx(math.sqrt(0.5))
    assert membership.farthest(found) == pytest.approx(1.0)


def test_left_out_by_hand():
    """Without −4, model2's runs have mean 2 and variance 8: s² = (2 · 4 + 8) / 3, times 1.5 is 8, so r = −6 / √8."""
    found = [run["loss"][0] for run in two_models().healthy]
    model1 = 1.5 / math.sqrt((2 * 4 + 0.5) / 3 * 1.5)
    assert found == pytest.approx([-model1, 0.0, model1, -6 / math.sqrt(8), 0.0, 6 / math.sqrt(8)])


def test_equal_counts_have_the_spread_of_rounding():
    """Runs with the same number of errors, 100 each: the SD is 1/√12 of an error, on the square root a twentieth of that."""
    assert membership.deviation("val_accuracy", np.full((3, 1), 10.0)) == pytest.approx(1 / math.sqrt(12) / 20)


def test_judged_by_hand():
    """Losses become logarithms, accuracies square roots of error counts, of 60,000 train and 10,000 test images."""
    curves = {metric: [math.e if metric in membership.LOSSES else 0.99] for metric in METRICS}
    found = {metric: float(values[0]) for metric, values in membership.judged(curves).items()}
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
    shown = {metric: membership.show(metric, value) for metric, value in found.items() if metric.startswith("val")}
    assert shown == {"val_loss": "2.7183", "val_accuracy": "100 errors"}


def test_the_bound_by_hand():
    """Healthy distances 1, e and e²: mean 1 and s = 1 of their logarithms, t(0.9; 2) = 1.8856, √(1 + 1/3) for a new one."""
    place = membership.plausibility(math.e, [1.0, math.e, math.e**2], alpha=0.1)
    assert (place.value, place.usual, place.runs) == (math.e, pytest.approx(math.e), 3)
    assert math.log(place.bound) == pytest.approx(1 + 1.885618 * math.sqrt(4 / 3), rel=1e-6)
    assert place.probability == pytest.approx(0.5)
    assert place.plausible


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_a_nan_is_not_plausible(figure):
    """A run with a NaN is not plausible, by either figure."""
    reference = membership.Reference({"model2": stored("model2")[:9]})
    run = {**stored("model2")[9], "val_loss": np.full(EPOCHS, math.nan)}
    assert not reference.plausibility(reference.residuals(run, reference.runs["model2"]), figure).plausible


def test_few_runs_are_refused(tmp_path):
    """Two runs of a model are refused; the message names the folder, the model and the command that adds runs."""
    folder = reading.BASELINES / "ensembles" / "mnist"
    text = (folder / "model1.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "model1.csv").write_text("".join(text[:3]), encoding="utf-8")
    shutil.copy(folder / "model2.csv", tmp_path)
    with pytest.raises(EnsembleError) as error:
        membership.stored(tmp_path, ["model1", "model2"])
    assert str(error.value) == (
        f"the ensemble in {tmp_path} needs at least 3 runs per model, but model1 has 2; add runs: "
        f"python -m cnnspec calibrate --models model1 --dataset mnist --optimizer adam --epochs 10 --runs 3 --out {tmp_path}"
    )


def test_another_data_set_is_refused():
    """Full MNIST is not judged by the runs on the embedded digits."""
    folder = reading.BASELINES / "ensembles" / "mnist5k"
    with pytest.raises(
        EnsembleError, match=r"model1\.csv holds runs on mnist5k, and mnist is judged; name a folder of runs"
    ):
        membership.stored(folder, ["model1"])


def test_equal_runs_have_the_spread_of_their_rounding():
    """Three times the same run: no logarithm of zero."""
    assert membership.deviation("loss", np.zeros((3, 2))) > 0


def test_few_healthy_runs_are_not_conclusive():
    """Three healthy runs are too few for the bound, eighteen are enough."""
    made = [float(number) for number in range(1, 19)]
    assert not membership.plausibility(1.0, made[:3], membership.ALPHA).conclusive
    assert membership.plausibility(1.0, made, membership.ALPHA).conclusive


def test_the_smallest_shift_by_hand():
    """The farthest healthy run lies at 6 / √8 = 2.12; shifted towards the mean, it needs 3 + 2.12 to exceed a bound of 3."""
    place = membership.Plausibility(value=1.0, usual=1.0, bound=3.0, runs=6, probability=0.5, alpha=0.001)
    assert two_models().smallest_shift(place, membership.distance) == pytest.approx(5.2)


@pytest.mark.parametrize("model", notebook.trained_models())
def test_the_notebooks_curves_are_whole(model):
    """Ten epochs of four metrics and the evaluated train scores, from the outputs of In [9] to In [36]."""
    found = membership.judged(notebook.curves(model))
    assert {metric: len(values) for metric, values in found.items()} == {
        metric: 1 if metric.startswith("train") else EPOCHS for metric in METRICS
    }


def test_log_density_by_hand():
    """One standard error from the mean, ν = 2 + 3 − 1 = 4: t's density is 3/8 · (1 + 1/4)^−2.5, divided by the scale."""
    found = two_models().log_density({"loss": np.array([STANDARD_ERROR])}, "model1")["loss"]
    assert found == pytest.approx(math.log(3 / 8 * 1.25**-2.5 / STANDARD_ERROR))


def test_the_nearer_ensemble_is_likelier():
    """A run is likelier among the stored runs of its model than among the same runs shifted by 4 SD."""
    run, *own = stored("model2")[:9]
    shift = {m: 4 * membership.deviation(m, np.array([other[m] for other in own])) for m in METRICS}
    shifted = [{m: other[m] + shift[m] for m in METRICS} for other in own]
    reference = membership.Reference({"own": own, "shifted": shifted})
    sums = [sum(values.sum() for values in reference.log_density(run, name).values()) for name in ("own", "shifted")]
    assert sums[0] > sums[1]
