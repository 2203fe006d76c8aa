"""Does every check with a tolerance note the share that it used, whether it passes or fails?"""

import contextvars
import math

import numpy as np
import pytest
from scipy import stats

from cnnspec.ensembles import bands, quantities
from tests.support import chance, checks, ensembles, margins

BAND = bands.Band(mean=math.log(0.1), deviation=0.05, size=24, runs=1, alpha=1e-4, quartiles=(math.log(0.1),) * 5)
LOSS = quantities.log_loss("loss", -1)
TOLD = {"source": "here", "enlarge": "more"}
TOLERANCE = {"loss": {"first": 1e-3, "growth": 2.0, "most": 1.0}, "norm": {"first": 1e-2, "growth": 1.0, "most": 1.0}}
TOLERANCE |= {"probability": 0.1, "why": "why"}
WAS = (np.array([1.0, 1.0]), np.array([[1.0], [1.0]]), np.zeros((2, 2)))


def path(losses=(1.0, 1.0), norms=(1.0, 1.0), probability=0.0):
    """A trajectory of two steps with one variable."""
    return np.array(losses), np.array(norms)[:, None], np.full((2, 2), probability)


def same_path(*obtained):
    """The check of a trajectory against WAS."""
    return checks.same_path, ("path", ["kernel"], WAS, path(*obtained), TOLERANCE), {"source": "theory"}


def near(error, limit=1e-5):
    """The check of one tensor."""
    return checks.near_float64, ("layers", [checks.Finding("output", error, limit, "why")]), {}


CASES = {  # check and arguments, the margins that it must note
    "close": ((checks.close, ("loss", 2.0, 2.1, {"relative": 0.1, "why": "w"}), {"source": "theory"}), {"difference": 0.5}),
    "close, failed": (
        (checks.close, ("loss", 2.0, 3.0, {"relative": 0.1, "why": "w"}), {"source": "theory"}),
        {"difference": 5.0},
    ),
    "close to zero": (
        (checks.close, ("loss", 0.0, 0.0, {"relative": 0.1, "why": "w"}), {"source": "theory"}),
        {"difference": 0.0},
    ),
    "band": (
        (
            ensembles.within_band,
            ("loss", LOSS, BAND, BAND.mean - BAND.half_width / 4),
            TOLD,
        ),
        {"place in the band": 0.25},
    ),
    "band, failed": (
        (
            ensembles.within_band,
            ("loss", LOSS, BAND, BAND.mean + BAND.half_width * 3),
            TOLD,
        ),
        {"place in the band": 3.0},
    ),
    "band, NaN": (
        (ensembles.within_band, ("loss", LOSS, BAND, math.nan), TOLD),
        {"place in the band": math.inf},
    ),
    "float64": (near(5e-6), {"output": 0.5}),
    "float64, failed": (near(3e-5), {"output": 3.0}),
    "float64, NaN": (near(math.nan), {"output": math.inf}),
    "float64, exact": (near(0.0, 0), {"output": 0.0}),
    "float64, not exact": (near(1e-9, 0), {"output": math.inf}),
    "path": (  # the limit of the loss doubles with each step: 5e-4 of 1e-3, 4e-4 of 2e-3
        same_path((1.0005, 1.0004), (1.0, 1.001), 0.02),
        {"loss": 0.5, "norm": 0.1, "probabilities": 0.2},
    ),
    "path, failed": (same_path((1.004, 1.0), (1.0, 1.0), 0.3), {"loss": 4.0, "norm": 0.0, "probabilities": 3.0}),
    "path, without a bound of probabilities": (
        (
            checks.same_path,
            ("path", ["kernel"], WAS, path(probability=0.9), {k: v for k, v in TOLERANCE.items() if k != "probability"}),
            {"source": "theory"},
        ),
        {"loss": 0.0, "norm": 0.0},
    ),
    "proportion": (
        (chance.proportion, ("zeros", 60, 100, 0.5, 1e-6), {}),
        {"zeros": stats.norm.isf(stats.binomtest(60, 100, 0.5).pvalue / 2) / stats.norm.isf(0.5e-6)},
    ),
    "proportion, on the spot": ((chance.proportion, ("zeros", 50, 100, 0.5, 1e-6), {}), {"zeros": 0.0}),
    "correlation": (
        (chance.uncorrelated, ("series", [0, 1, 0, 1] * 25, [0, 1] * 50, 1e-6), {}),
        {"series": 1 / math.tanh(stats.norm.ppf(1 - 0.5e-6) / math.sqrt(97))},
    ),
}


@pytest.fixture
def noted():
    """The properties that the checks of this test are noted in."""
    properties = []
    with margins.collected_into(properties):
        yield properties


def test_margins_go_to_the_test_that_runs(noted):
    """A test inside a test has its own margins; after it those of the outer test are noted again. Outside, none are."""
    inner = []
    with margins.collected_into(inner):
        margins.note("inner", 0.5)
    margins.note("outer", 0.25)
    contextvars.Context().run(margins.note, "no test runs", 0.75)
    assert inner == [("margin", ("inner", 0.5))]
    assert noted == [("margin", ("outer", 0.25))]


@pytest.mark.parametrize(("case", "expected"), CASES.values(), ids=CASES)
def test_margins(noted, case, expected):
    """The share of its tolerance, above 1 exactly where the check fails; a NaN is infinite."""
    check, arguments, named = case
    if max(expected.values()) > 1:
        with pytest.raises(pytest.fail.Exception):
            check(*arguments, **named, next="next")
    else:
        check(*arguments, **named, next="next")
    assert {kind for kind, _ in noted} == {"margin"}
    assert dict(value for _, value in noted) == pytest.approx(expected)


def test_margins_of_draws(noted):
    """Mean, variance and Kolmogorov-Smirnov of draws: below 1 for good draws, above 1 for those of another distribution."""
    values = np.random.RandomState(0).uniform(size=5000)
    chance.drawn_from("draws", values, stats.uniform(0, 1), 1e-6, next="next")
    shares = dict(value for _, value in noted)
    assert list(shares) == ["mean", "variance", "Kolmogorov-Smirnov"]
    assert 0 < max(shares.values()) < 1
    noted.clear()
    with pytest.raises(pytest.fail.Exception):
        chance.drawn_from("draws", values**2, stats.uniform(0, 1), 1e-6, next="next")
    assert min(dict(value for _, value in noted).values()) > 1


@pytest.mark.parametrize("alpha", [1e-6, 1e-3])
def test_a_p_value_at_its_rate_uses_all_of_the_tolerance(alpha):
    """The share is 1 where the check begins to fail, 0 for a p-value of 1, infinite for a p-value of 0."""
    assert margins.share_of_p(alpha, alpha) == pytest.approx(1)
    assert margins.share_of_p(1.0, alpha) == 0
    assert margins.share_of_p(0.0, alpha) == math.inf
