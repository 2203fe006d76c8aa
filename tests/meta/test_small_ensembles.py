"""Does an ensemble of any size, from no run to thirty, give a verdict or say that it cannot tell, and never an error?"""

import json
import math

import pytest

from cnnspec.ensembles import bands, distance, quantities, store
from cnnspec.facts.reading import BASELINES
from tests.plugin import report
from tests.support import ensembles

STORED = BASELINES / "ensembles" / "mnist5k" / "model1.csv"
TOLD = {"source": "a.csv", "next": "do this", "enlarge": "more runs"}
LOSSES = quantities.of("mnist5k", 4)


def of_size(folder, size):
    """A file with as many runs: those of the stored ensemble, and again with other seeds."""
    header, *lines = STORED.read_text(encoding="utf-8").splitlines()
    seed = header.split(",").index("seed")
    cells = [lines[number % len(lines)].split(",") for number in range(size)]
    made = [",".join([*each[:seed], str(number), *each[seed + 1 :]]) for number, each in enumerate(cells)]
    (folder / "model1.csv").write_text("\n".join([header, *made]) + "\n", encoding="utf-8")
    return folder / "model1.csv"


def verdicts(curves, epochs, run):
    """How each check of a run ended, by quantity and as a whole: None where it passed, else the message's first line."""
    judged = bands.by_quantity(curves, "mnist5k")
    values = {name: quantity.measure(run) for name, (quantity, _) in judged.items()}
    cloud = distance.cloud(curves, judged)
    assert math.isfinite(ensembles.placed("model1", cloud, values)["used"])
    checks = [(ensembles.within_cloud, "all", cloud, values)]
    for name in quantities.names(epochs):
        quantity, band = judged[name]
        if band.judged:
            assert math.isfinite(ensembles.banded("model1", name, quantity, band, values[name])["used"])
            checks.append((ensembles.within_band, name, quantity, band, values[name]))
    found = {}
    for check, name, *arguments in checks:
        message = ""
        try:
            check(name, *arguments, **TOLD)
        except pytest.fail.Exception as failure:
            message = str(failure)
        assert "nan" not in message
        assert max(map(len, message.splitlines()), default=0) < 250
        found[name] = message.splitlines()[0] if message else None
    return found


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("size", range(31))
def test_every_size(tmp_path, size, epochs):
    """A run of the ensemble passes, or the checks cannot tell. With fewer runs than three none of them can."""
    curves = store.curves(of_size(tmp_path, size), epochs)
    assert len(curves) == size
    found = verdicts(curves, epochs, store.curves(STORED, epochs)[0])
    assert [text for text in found.values() if text and not text.startswith("cannot tell: ")] == []
    if size < 3:
        assert None not in found.values()
    if size >= 24:
        assert set(found.values()) == {None}


@pytest.mark.parametrize("size", range(3))
def test_a_wrong_run_is_not_called_right(tmp_path, size):
    """A NaN fails whatever the ensemble; nothing passes by fewer runs than three."""
    curves = store.curves(of_size(tmp_path, size), 4)
    quantity, band = bands.by_quantity(curves, "mnist5k")["loss, last epoch"]
    assert band.used(math.nan) == math.inf
    with pytest.raises(pytest.fail.Exception, match=r"^cannot tell: loss|^loss"):
        ensembles.within_band("loss", quantity, band, 3.0, **TOLD)


@pytest.mark.parametrize("name", ["loss, last epoch", "loss, area under the log curve"])
def test_a_loss_of_zero_is_too_good(name):
    """A loss of exactly 0, which has no logarithm, lies below every band, and is told."""
    curves = store.curves(STORED, 4)
    quantity, band = bands.by_quantity(curves, "mnist5k")[name]
    value = quantity.measure({**curves[0], "loss": [0.0] * 4})
    with pytest.raises(pytest.fail.Exception, match=r"obtained  0\.0000   <  .*\n.*\n  distance  inf SD below the mean"):
        ensembles.within_band(name, quantity, band, value, **TOLD)
    assert math.isnan(quantity.measure({**curves[0], "loss": [-1.0] * 4}))


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize("size", range(31))
def test_every_size_has_a_report(tmp_path, size, epochs):
    """The bands of the report are numbers that JSON has, from low over mean to high."""
    found = report.bands_by_epoch(of_size(tmp_path, size), epochs)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for band in found.values():
        assert all(0 < low <= mean <= high for low, mean, high in zip(*band.values(), strict=True))


@pytest.mark.parametrize("size", range(31))
def test_how_many_runs_are_missing_is_told(tmp_path, size):
    """The number of runs that would be enough does not depend on how many there are."""
    band = bands.by_quantity(store.curves(of_size(tmp_path, size), 4), "mnist5k")["loss, last epoch"][1]
    enough = bands.by_quantity(store.curves(STORED, 4), "mnist5k")["loss, last epoch"][1].runs_needed
    assert band.runs_needed == enough
    assert band.large_enough == (size >= enough)


@pytest.mark.parametrize("loss", [0.5, 1e6, 1e130])
def test_huge_numbers_are_short(loss):
    """A band of two runs reaches far: its ends are not written with a hundred digits."""
    quantity = LOSSES["loss, last epoch"]
    assert len(quantity.show(math.log(loss))) <= 12
    assert len(quantity.show_shift(0.0, math.log(loss))) <= 12
