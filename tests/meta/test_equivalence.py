"""Is the comparison of two ensembles right: equivalent, different, or cannot tell, at the declared error rate?"""

import math

import numpy as np
import pytest

from cnnspec.ensembles import equivalence


def sample(ratio, runs, spread, generator):
    return 0.1 * ratio * np.exp(generator.normal(scale=spread, size=runs))


CASES = {  # true ratio, runs, spread of the logarithm -> verdict
    "equal, narrow": (1.0, 24, 0.02, "equivalent"),
    "a difference within the margin": (1.05, 24, 0.01, "equivalent"),
    "far apart": (1.3, 24, 0.02, "different"),
    "equal, wide": (1.0, 4, 0.5, "cannot tell"),
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


def test_the_error_rate():
    """Two stacks that differ by exactly the margin are found equivalent in one case of twenty."""
    generator = np.random.default_rng(5)
    called = [
        equivalence.compare(sample(1.0, 24, 0.03, generator), sample(1.1, 12, 0.03, generator))[3] == "equivalent"
        for _ in range(2000)
    ]
    assert abs(np.mean(called) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)
