"""Does a simulated suite show shifts by bands, by distances and by both, as large as the README says?"""

import re

import numpy as np
import pytest
from scipy import stats

from cnnspec.ensembles import bands, distance, false_alarms, together
from cnnspec.facts import reading

FOLDER = reading.BASELINES / "ensembles" / "mnist5k"
ROW = re.compile(r"^\| (1|10) \| ([^|]+) \| ([\d.]+), ([\d.]+) \| ([\d.]+), ([\d.]+) \| ([\d.]+), ([\d.]+) \|$", re.M)
LIBRARIES = 0.15  # SD by which another linear algebra may move a figure of 600 suites, of which 30 do not show the shift


@pytest.mark.parametrize("epochs", [1, 10])
def test_the_readme_has_the_table(epochs):
    """Each figure of baselines/ensembles/README.md is what the simulation gives."""
    table = together.smallest_shifts(false_alarms.stored(FOLDER, "mnist5k", epochs))
    due = {row.pop("shift"): row for row in table.drop(columns="epochs").to_dict("records")}
    found = {row[1]: row[2:] for row in ROW.findall((FOLDER.parent / "README.md").read_text()) if row[0] == str(epochs)}
    assert list(found) == list(due)
    for kind, figures in found.items():
        expected = [float(figure) for way in together.WAYS for figure in due[kind][way].split(", ")]
        assert [float(figure) for figure in figures] == pytest.approx(expected, abs=LIBRARIES), kind


@pytest.fixture
def independent():
    """New runs of one model of two independent quantities, drawn from N(0, 1) among ensembles of a million runs."""
    residuals = np.random.default_rng(1).standard_normal((4000, 2))
    return together.Drawn(residuals, np.ones((4000, 2)), np.broadcast_to(np.eye(2), (4000, 2, 2)), 1_000_000)


@pytest.mark.parametrize("share", together.WAYS.values(), ids=together.WAYS)
def test_by_theory(independent, share):
    """The share of runs that fail after a shift of one quantity is that of the normal and the noncentral χ² distribution."""
    shift = np.array([4.5, 0.0])
    found = independent.outside(shift, 1, share).mean()
    band = stats.norm.isf(bands.alpha(1) / (1 - bands.DISTANCES) * (1 - share) / 2)
    by_band = stats.norm.sf(band - 4.5)
    by_distance = 0.0
    if share:
        by_distance = stats.ncx2.sf(stats.chi2.isf(distance.alpha(1) / bands.DISTANCES * share, 2), 2, 4.5**2)
    alone = {0.0: by_band, 1.0: by_distance}
    if share in alone:
        assert found == pytest.approx(alone[share], abs=0.03)
    else:  # both see nearly the same runs
        assert max(by_band, by_distance) - 0.03 <= found <= by_band + by_distance


def test_the_smallest_shift_by_theory(independent):
    """By bands alone, POWER of the runs show a shift of the limit and 1.645 SD."""
    limit = stats.norm.isf(bands.alpha(1) / (1 - bands.DISTANCES) / 2)
    assert together.smallest([independent], [np.array([1.0, 0.0])], 1, 0.0) == pytest.approx(limit + 1.645, abs=0.1)
