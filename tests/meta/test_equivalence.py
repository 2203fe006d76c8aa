"""Is the comparison of two ensembles right: equivalent, different, or cannot tell, at the declared error rate?"""

import math

import numpy as np
import pandas as pd
import pytest

from cnnspec import __main__ as command_line
from cnnspec.ensembles import equivalence
from cnnspec.errors import EnsembleError
from cnnspec.facts.reading import BASELINES

MANY = "runs of each for 90%"


def sample(ratio, runs, spread, generator):
    return 0.1 * ratio * np.exp(generator.normal(scale=spread, size=runs))


CASES = {  # true ratio, runs, spread of the logarithm -> verdict
    "equal, narrow": (1.0, 24, 0.02, "equivalent"),
    "a difference within the margin": (1.05, 24, 0.01, "equivalent"),
    "far above": (1.3, 24, 0.02, "different"),
    "a smaller one within the margin": (0.95, 24, 0.01, "equivalent"),
    "far below": (0.7, 24, 0.02, "different"),
    "equal, wide": (1.0, 4, 0.5, "cannot tell"),
    "equal, not so wide": (1.0, 8, 0.2, "cannot tell"),
}


@pytest.mark.parametrize(("ratio", "runs", "spread", "verdict"), CASES.values(), ids=CASES)
def test_verdicts(ratio, runs, spread, verdict):
    """Each verdict, for two samples whose true ratio is known."""
    generator = np.random.default_rng(3)
    found = equivalence.compare(sample(1.0, runs, spread, generator), sample(ratio, runs, spread, generator))
    assert found[3] == verdict
    assert found[1] < found[0] < found[2]


def test_by_hand():
    """Logarithms 0, 2 and 1, 3, 5: means 1 and 3, variances 2 and 4; Welch's ν = 49 / 17; t(0.95; ν) from t's definition."""
    ratio, low, high, verdict = equivalence.compare(np.exp([0.0, 2.0]), np.exp([1.0, 3.0, 5.0]))
    error = math.sqrt(2 / 2 + 4 / 3)
    freedom = (2 / 2 + 4 / 3) ** 2 / ((2 / 2) ** 2 / 1 + (4 / 3) ** 2 / 2)
    assert freedom == pytest.approx(49 / 17)
    assert math.log(ratio) == pytest.approx(2.0)
    assert (math.log(high) - 2.0) / error == pytest.approx(
        2.40, abs=0.02
    )  # between t(0.95; 2) = 2.920 and t(0.95; 3) = 2.353
    assert math.log(low) + math.log(high) == pytest.approx(4.0)
    assert verdict == "cannot tell"


@pytest.mark.parametrize(("runs", "spread"), [((24, 24), 0.1), ((12, 24), 0.1), ((5, 7), 0.05), ((8, 8), 0.06)])
def test_the_power(runs, spread):
    """The power is how often equal stacks are found equivalent in a simulation, and the formula does not exceed it."""
    generator = np.random.default_rng(7)
    found = [
        equivalence.compare(*(sample(1.0, number, spread, generator) for number in runs))[3] == "equivalent"
        for _ in range(2000)
    ]
    power = equivalence.power(*(spread_exactly(number, spread) for number in runs))
    assert np.mean(found) - 0.04 < power < np.mean(found) + 0.02


def spread_exactly(runs, spread):
    """Losses whose logarithms have exactly this standard deviation."""
    logs = np.arange(runs) - (runs - 1) / 2
    return np.exp(logs / logs.std(ddof=1) * spread)


def test_the_runs_that_are_needed():
    """The least number with a power of 90 %, by the power itself; equal losses need two, and some spreads more than told."""
    samples = spread_exactly(6, 0.1), spread_exactly(9, 0.1)
    needed = equivalence.runs_needed(*samples)
    assert (
        equivalence.power(*(spread_exactly(needed, 0.1),) * 2)
        >= 0.9
        > equivalence.power(*(spread_exactly(needed - 1, 0.1),) * 2)
    )
    assert 24 <= needed <= 26  # 2 (0.1 / log 1.1)² (1.645 + 1.645)² = 23.8 with the normal distribution
    assert equivalence.runs_needed([0.1] * 2, [0.1] * 3) == 2
    assert equivalence.power([0.1] * 2, [0.1] * 3) == 1
    assert equivalence.runs_needed(spread_exactly(4, 5.0), spread_exactly(4, 5.0)) is None
    assert equivalence.power(spread_exactly(4, 5.0), spread_exactly(4, 5.0)) == 0


def test_the_limits_of_the_runs_that_are_needed(monkeypatch, tmp_path):
    """A number that is just the most is told, in the table too; beyond it stands `over`; a power that is just met counts."""
    assert equivalence.MOST_RUNS == 10_000
    first, _ = some_runs(tmp_path / "a", slice(2))
    told = [int(runs) for runs in equivalence.table(first, first, 10)[MANY]]
    assert min(told) > 2
    for most, expected in ((max(told), [*map(str, told)]), (min(told) - 1, [f"over {min(told) - 1}"] * 3)):
        monkeypatch.setattr(equivalence, "MOST_RUNS", most)
        assert equivalence.table(first, first, 10)[MANY].tolist() == expected
    monkeypatch.setattr(equivalence, "MOST_RUNS", 30)
    samples = (spread_exactly(25, 0.1),) * 2
    monkeypatch.setattr(equivalence, "POWER", equivalence.power(*samples))
    assert equivalence.runs_needed(*samples) == 25


def test_the_error_rate():
    """Two stacks that differ by exactly the margin are found equivalent in one case of twenty."""
    generator = np.random.default_rng(5)
    called = [
        equivalence.compare(sample(1.0, 24, 0.03, generator), sample(1.1, 12, 0.03, generator))[3] == "equivalent"
        for _ in range(2000)
    ]
    assert abs(np.mean(called) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(("ratio", "verdict"), [(1.05, "equivalent"), (1.3, "different")])
def test_losses_without_a_spread(ratio, verdict):
    """Equal losses in each sample: the interval is a point, not NaN."""
    found = equivalence.compare([0.1] * 3, [0.1 * ratio] * 2)
    assert found[:3] == pytest.approx((ratio, ratio, ratio))
    assert found[3] == verdict


def test_the_margin_itself_is_equivalent(monkeypatch):
    """With a margin of 100 %, losses that are twice the others are just equivalent."""
    monkeypatch.setattr(equivalence, "MARGIN", 1.0)
    assert equivalence.compare([1.0] * 2, [2.0] * 2)[3] == "equivalent"
    assert equivalence.compare([1.0] * 2, [2.1] * 2)[3] == "different"


def test_ratios_are_numbers_however_far_apart():
    """A ratio beyond e^±300 is told as that."""
    for first, second, expected in ((1e-200, 1e200, math.exp(300)), (1e200, 1e-200, math.exp(-300))):
        assert equivalence.compare([first] * 2, [second] * 2) == (*[pytest.approx(expected, rel=1e-12)] * 3, "different")


def some_runs(folder, lines):
    """A folder with some of the stored runs of model1 on mnist5k, and their frame."""
    folder.mkdir()
    header, *rows = (
        (BASELINES / "ensembles" / "mnist5k" / "model1.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    )
    (folder / "model1.csv").write_text(header + "".join(rows[lines]), encoding="utf-8")
    return folder, pd.read_csv(folder / "model1.csv")


@pytest.mark.parametrize("epochs", [1, 10])
def test_the_table_is_of_the_last_epoch(tmp_path, epochs):
    """A row per model that both folders hold and per loss: the ratio of the geometric means after as many epochs."""
    (first, some), (second, others) = some_runs(tmp_path / "a", slice(14)), some_runs(tmp_path / "b", slice(14, None))
    (second / "model2.csv").write_text("", encoding="utf-8")  # in one folder only: not read
    found = equivalence.table(first, str(second), epochs)
    assert found.model.tolist() == ["model1"] * 3
    assert found.runs.tolist() == ["14, 10"] * 3
    assert list(found.columns) == ["model", "loss", "runs", "ratio", "90% interval", "verdict", "power", MANY]
    columns = {"loss": f"loss_{epochs}", "val_loss": f"val_loss_{epochs}", "train_loss": f"train_loss_{epochs}"}
    for loss, column in columns.items():
        ratio = math.exp(np.log(others[column]).mean() - np.log(some[column]).mean())
        (row,) = found[found.loss == loss].to_dict("records")
        assert row["ratio"] == f"{ratio:.3f}"
        least, most = row["90% interval"].split(" to ")
        assert float(least) < ratio < float(most)


def test_folders_without_a_model_in_common_are_refused(tmp_path):
    """The message names both folders."""
    first, _ = some_runs(tmp_path / "a", slice(2))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "model2.csv").write_text("", encoding="utf-8")
    for folders in ((first, tmp_path / "b"), (tmp_path / "b", first)):
        with pytest.raises(EnsembleError, match=f"{folders[0]} and {folders[1]} hold no model in common; name folders of"):
            equivalence.table(*folders, 10)


def test_two_runs_are_enough(tmp_path):
    """Two runs have a spread."""
    first, _ = some_runs(tmp_path / "a", slice(2))
    assert equivalence.table(first, first, 10).ratio.tolist() == ["1.000"] * 3


def first_runs(folder, number):
    """A folder with the first stored runs of model1 on mnist5k."""
    folder.mkdir()
    lines = (BASELINES / "ensembles" / "mnist5k" / "model1.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "model1.csv").write_text("".join(lines[: number + 1]), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("number", "words"), [(0, "no run"), (1, "1 run")])
def test_too_few_runs_are_refused(tmp_path, capsys, number, words):
    """Not `nan to nan`: the message names the file, and a command with the settings of its runs."""
    few = first_runs(tmp_path / "few", number)
    for folders in ((few, BASELINES / "ensembles" / "mnist5k"), (BASELINES / "ensembles" / "mnist5k", few)):
        assert command_line.main(["compare", *map(str, folders)]) == 3
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.startswith(
            f"error: {few / 'model1.csv'} holds {words}, and at least 2 are needed; add runs: python -m"
        )
        assert " --runs 24 --out " in errors
    assert number == 0 or "--dataset mnist5k --optimizer adam --epochs 10 " in errors


def test_two_data_sets_are_refused(capsys):
    """Losses on other images are not compared; the message names both folders and what they hold."""
    small, full = (BASELINES / "ensembles" / name for name in ("mnist5k", "mnist"))
    assert command_line.main(["compare", str(small), str(full)]) == 3
    assert (
        capsys.readouterr().err == f"error: {small} holds runs on mnist5k, {full} on mnist; name folders of one data set\n"
    )


def test_another_data_set_is_not_placed(capsys):
    """`place` judges full MNIST, and refuses the runs on the embedded digits."""
    assert command_line.main(["place", str(BASELINES / "ensembles" / "mnist5k")]) == 3
    assert "holds runs on mnist5k, and mnist is judged; name a folder of runs on mnist\n" in capsys.readouterr().err
