"""Do two ensembles train to the same losses? Two one-sided tests (TOST) on the logarithm of each loss.

Two stacks are equivalent in a loss if both hypotheses "the second's is larger by MARGIN or more" and "smaller by MARGIN or
more" are rejected at ALPHA. This is the same as: the 1 − 2 ALPHA confidence interval of the ratio lies within the margin
(Schuirmann, 1987). Welch's t is used, because the two stacks may have different spreads. An interval that leaves the margin
does not show a difference; one that does not contain 1 does.

The power is the probability that two stacks which differ by nothing are found equivalent, with the spread that the runs
have: where it is small, "cannot tell" speaks of the number of runs.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cnnspec.ensembles import bands, store
from cnnspec.errors import EnsembleError
from cnnspec.names import MODELS

MARGIN = 0.10  # of the loss; stated before the 2019 ensemble was made
ALPHA = 0.05
POWER = 0.9  # of the number of runs that is told
MOST_RUNS = 10_000  # more are not counted
LOSSES = ("loss", "val_loss", "train_loss")  # in the last epoch: while training, on the test set, on the train set


def compare(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float, str]:
    """(ratio second/first, its lower and upper confidence limit, verdict) of two samples of at least two positive losses."""
    logs = np.log(first), np.log(second)
    middle = float(logs[1].mean() - logs[0].mean())
    reach = _reach(*_error([values.var(ddof=1) for values in logs], [len(values) for values in logs]))
    low, high = middle - reach, middle + reach
    if max(abs(low), abs(high)) <= math.log1p(MARGIN):
        verdict = "equivalent"
    elif low > 0 or high < 0:
        verdict = "different"
    else:
        verdict = "cannot tell"
    ratio, least, most = (math.exp(min(max(each, -bands.LARGEST), bands.LARGEST)) for each in (middle, low, high))
    return ratio, least, most, verdict


def power(first: Sequence[float], second: Sequence[float]) -> float:
    """Probability that stacks with equal losses, which spread as these samples do, are found equivalent by as many runs."""
    variances = [np.log(values).var(ddof=1) for values in (first, second)]
    return _power(*_error(variances, [len(first), len(second)]))


def runs_needed(first: Sequence[float], second: Sequence[float]) -> int | None:
    """The least number of runs of each stack that have a power of POWER, by the spread of these; None above MOST_RUNS."""
    variances = [np.log(values).var(ddof=1) for values in (first, second)]
    numbers = range(2, MOST_RUNS + 1)  # the power grows with the number
    place = bisect.bisect_left(numbers, POWER, key=lambda runs: _power(*_error(variances, [runs, runs])))
    return numbers[place] if place < len(numbers) else None


def _error(variances: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """(standard error, Welch's degrees of freedom) of the difference of two means."""
    parts = [variance / size for variance, size in zip(variances, sizes, strict=True)]
    if not sum(parts):  # all losses of each sample are the same
        return 0.0, math.inf
    weights = sum((part / sum(parts)) ** 2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    return math.sqrt(sum(parts)), 1 / weights


def _reach(error: float, freedom: float) -> float:
    """How far the confidence interval of a difference reaches to either side."""
    return float(stats.t.ppf(1 - ALPHA, freedom)) * error if error else 0.0


def _power(error: float, freedom: float) -> float:
    """Power where the true difference is 0: both tests reject if |difference| is at most the margin less the reach.

    The standard error is taken as known, so that the difference has Student's t; of Phillips, 1990, less the correlation.
    """
    if not error:
        return 1.0
    room = (math.log1p(MARGIN) - _reach(error, freedom)) / error
    return max(0.0, float(2 * stats.t.cdf(room, freedom) - 1))


def stored_in_both(first: Path, second: Path) -> list[str]:
    """The models that both folders hold. Raises EnsembleError for folders without any."""
    models = [model for model in MODELS if (first / f"{model}.csv").exists() and (second / f"{model}.csv").exists()]
    if not models:
        raise EnsembleError(f"{first} and {second} hold no model in common; name folders of one CSV per model")
    return models


def enough(path: Path, epochs: int) -> list[dict[str, list[float]]]:
    """The curves of an ensemble that has a spread. Raises EnsembleError."""
    curves = store.curves(path, epochs)
    if len(curves) < 2:
        number = "1 run" if curves else "no run"
        command = store.command(path, runs=24, row=store.first_settings(store.text_of(path)))
        raise EnsembleError(f"{path} holds {number}, and at least 2 are needed; add runs: {command}")
    return curves


def table(first: str | Path, second: str | Path, epochs: int) -> pd.DataFrame:
    """A frame with a row per model and loss: two folders' ensembles compared after `epochs` epochs.

    Raises EnsembleError, also for two data sets, and for an ensemble of fewer runs than two, which has no spread.
    """
    rows = []
    for model in stored_in_both(Path(first), Path(second)):
        samples = [enough(Path(folder) / f"{model}.csv", epochs) for folder in (first, second)]
        on = [store.read(Path(folder) / f"{model}.csv").dataset.iloc[0] for folder in (first, second)]
        if on[0] != on[1]:
            raise EnsembleError(f"{first} holds runs on {on[0]}, {second} on {on[1]}; name folders of one data set")
        for loss in LOSSES:
            values = [[curves[loss][-1] for curves in runs] for runs in samples]
            ratio, low, high, verdict = compare(*values)
            needed = runs_needed(*values)
            rows.append(
                {
                    "model": model,
                    "loss": loss,
                    "runs": f"{len(values[0])}, {len(values[1])}",
                    "ratio": f"{ratio:.3f}",
                    f"{1 - 2 * ALPHA:.0%} interval": f"{low:.3f} to {high:.3f}",
                    "verdict": verdict,
                    "power": f"{power(*values):.0%}",
                    f"runs of each for {POWER:.0%}": f"over {MOST_RUNS}" if needed is None else str(needed),
                }
            )
    return pd.DataFrame(rows)
