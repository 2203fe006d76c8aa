"""Are a run's residuals, its limits and its density in small ensembles those of the formulas?"""

import dataclasses
import math
import shutil
import types

import numpy as np
import pytest

from cnnspec.ensembles import bands, membership
from cnnspec.errors import EnsembleError
from cnnspec.facts import reading

METRICS = membership.LOSSES + membership.ERRORS


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


def test_log_density_by_hand():
    """One standard error from the mean, ν = 2 + 3 − 1 = 4: t's density is 3/8 · (1 + 1/4)^−2.5, divided by the scale."""
    found = two_models().log_density({"loss": np.array([STANDARD_ERROR])}, "model1")["loss"]
    assert found == pytest.approx(math.log(3 / 8 * 1.25**-2.5 / STANDARD_ERROR))


def test_the_declared_rate():
    """0.001 for a replication; a sixth of it sets the limits of sixteen checks."""
    assert membership.FALSE_ALARM_RATE == 0.001
    assert pytest.approx(0.001 / 6 / 16) == membership.ALPHA


DEVIATIONS = {  # metric, values (runs, epochs) -> deviation
    "pooled over the epochs": ("loss", [[0.0, 1.0], [2.0, 7.0], [4.0, 13.0]], math.sqrt((4 + 36) / 2)),
    "equal losses": ("loss", [[0.0], [0.0]], 1e-7 / math.sqrt(12)),
    "a quarter of an error": ("accuracy", [[0.5], [0.5]], 1 / math.sqrt(12) / 2),
    "sixteen errors": ("accuracy", [[4.0], [4.0]], 1 / math.sqrt(12) / 8),
}


@pytest.mark.parametrize(("metric", "values", "expected"), DEVIATIONS.values(), ids=DEVIATIONS)
def test_deviations_by_hand(metric, values, expected):
    """The root of the mean variance, at least that of rounding; fewer errors than one count as one."""
    assert membership.deviation(metric, np.array(values)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("runs", "words"),
    [({}, "there is no model"), ({"model3": [{}] * 2, "model1": [{}]}, "model3 has 2, model1 has 1")],
    ids=["none", "two models"],
)
def test_all_models_with_too_few_runs_are_told(runs, words):
    """One message has every model with fewer runs than three."""
    with pytest.raises(
        EnsembleError, match=f"the ensemble in FOLDER needs at least 3 runs per model, but {words}; add runs: "
    ):
        membership.Reference(runs)


def test_the_rate_of_a_figure():
    """A figure is judged at ALPHA unless another rate is given; the healthy runs are those of all models."""
    reference = two_models()
    run = reference.residuals({"loss": np.zeros(2)}, reference.runs["model1"])
    assert [reference.plausibility(run, lambda run: 1.0 + abs(run["loss"][0]), *rate).alpha for rate in ([], [0.1])] == [
        membership.ALPHA,
        0.1,
    ]
    assert reference.plausibility(run, lambda run: 1.0 + abs(run["loss"][0])).runs == 6


PLACE = membership.Plausibility(value=3.0, usual=1.0, bound=3.0, runs=6, probability=0.5, alpha=0.001)


def test_the_bound_itself_is_plausible():
    """A figure of exactly the bound is plausible. No verdict is changed after it was made."""
    assert PLACE.plausible
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLACE.bound = 4.0


def test_conclusive_by_hand():
    """t(0.9; 1) √1.5 = 3.77 and t(0.9; 2) √(4/3) = 2.18, against twice z(0.9) = 1.2816; at a rate of a half all are 0."""
    found = [dataclasses.replace(PLACE, runs=runs, alpha=0.1).conclusive for runs in (2, 3)]
    assert found == [False, True]
    assert dataclasses.replace(PLACE, alpha=0.5).conclusive


def test_the_probability_by_hand():
    """t's upper tail for two degrees of freedom is (1 − t / √(2 + t²)) / 2; e² is one of √(4/3) standard errors away."""
    t = 1 / math.sqrt(4 / 3)
    place = membership.plausibility(math.e**2, [1.0, math.e, math.e**2], alpha=0.1)
    assert place.probability == pytest.approx((1 - t / math.sqrt(2 + t**2)) / 2)
    assert place.alpha == 0.1


def stepped(run):
    """A figure that is 2 for a residual above 0, and else 1."""
    return 2.0 if run["loss"][0] > 0 else 1.0


def test_the_ends_of_the_smallest_shift(monkeypatch):
    """Shifts begin at 0.1 SD; the power itself is enough, and a figure of exactly the bound does not exceed it."""
    reference = two_models()
    assert reference.smallest_shift(dataclasses.replace(PLACE, bound=-1.0), membership.distance) == pytest.approx(0.1)
    monkeypatch.setattr(bands, "POWER", 0.5)
    # Of six runs four lie above 0 when shifted up by 0.1, and two when shifted down: six of twelve.
    assert reference.smallest_shift(dataclasses.replace(PLACE, bound=1.0), stepped) == pytest.approx(0.1)
    # All twelve lie beyond 2.5 once those at ±2.12, shifted towards the mean, are moved by 4.7.
    monkeypatch.setattr(bands, "POWER", 1.0)
    highest = lambda run: 2.0 if abs(run["loss"][0]) > 2.5 else 1.0  # noqa: E731
    assert reference.smallest_shift(dataclasses.replace(PLACE, bound=1.0), highest) == pytest.approx(4.7)


def test_ten_epochs_are_read():
    """The stored runs of a folder, of ten epochs by default and of all models that are asked for."""
    found = membership.stored(reading.BASELINES / "ensembles" / "mnist", ["model1", "model2"])
    assert list(found.runs) == ["model1", "model2"]
    assert {len(run["loss"]) for runs in found.runs.values() for run in runs} == {10}


def test_the_bound_of_another_spread():
    """Figures 1, 2 and 4: geometric mean 2, SD log 2; t(0.95; 2) = 2.9200 (tables), times √(1 + 1/3)."""
    place = membership.plausibility(3.0, [1.0, 2.0, 4.0], alpha=0.05)
    assert place.bound == pytest.approx(2 * 2 ** (2.9200 * math.sqrt(4 / 3)), rel=1e-4)


@pytest.mark.parametrize("side", [-1, 1])
def test_the_smallest_shift_goes_both_ways(side):
    """Two of ten runs lie at 5 on a side: shifted to the other they leave a limit of 3.05 behind at 8.1, others at 3.1."""
    runs = [{"loss": np.array([place])} for place in (side * 5.0, side * 5.0, *[0.0] * 8)]
    reference = types.SimpleNamespace(healthy=runs)
    place = types.SimpleNamespace(bound=3.05)
    assert membership.Reference.smallest_shift(reference, place, membership.farthest) == pytest.approx(8.1)


def test_the_common_spread_counts_by_its_square():
    """Variances 1 and 81, g² = √(1 · 81) = 9: model1's s² = (2 · 9 + 2 · 1) / 4 = 5, by 1 + 1/3 for a residual."""
    made = {"model1": (-1.0, 0.0, 1.0), "model2": (-9.0, 0.0, 9.0)}
    reference = membership.Reference({model: [{"loss": np.full(2, end)} for end in ends] for model, ends in made.items()})
    assert reference.scales(reference.runs["model1"]) == {"loss": pytest.approx(math.sqrt(5 * 4 / 3))}


def test_what_lies_beyond_the_bound_is_not_plausible():
    """Nor is a NaN."""
    places = [membership.plausibility(value, [1.0, 2.0, 4.0], alpha=0.05) for value in (1e9, math.nan)]
    assert [place.plausible for place in places] == [False, False]
