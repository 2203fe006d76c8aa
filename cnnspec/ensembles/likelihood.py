"""Which of several ensembles does a run fit best? Its distance and its likelihood in each, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cnnspec.ensembles import bands, membership
from cnnspec.errors import EnsembleError
from cnnspec.names import MODELS

# The epochs of a run are correlated, so the evidence lies between these two ways to add up the logarithms of its densities.
INDEPENDENT, ONCE = "epochs independent", "each curve once"
COUNTED: dict[str, Callable[[np.ndarray], float]] = {  # how -> number of one metric, from the values of its epochs
    INDEPENDENT: lambda values: float(values.sum()),
    ONCE: lambda values: float(values.mean()),
}


def column(folder: str, counted: str) -> str:
    """Name of a column of `table` with log-likelihoods; `counted` is a key of COUNTED."""
    return f"{folder}: log-likelihood, {counted}"


def table(
    run_of: Callable[[str], bands.Curves], folders: Iterable[str | Path], models: Sequence[str] = MODELS, epochs: int = 10
) -> pd.DataFrame:
    """A frame with a row for each of `models` that all folders hold: its run (curves) compared with each ensemble.

    Columns of each folder: number of runs; distance and farthest value in standard deviations (SD), each with the
    probability that a healthy run's is as large; the log-likelihood in nats, counted in the two ways of COUNTED and added up
    over the metrics. The last row adds up the models' log-likelihoods. Raises EnsembleError.
    """
    references = {folder.name: _reference(folder, epochs) for folder in map(Path, folders)}
    rows: list[dict[str, str]] = []
    sums: dict[str, float] = {}
    for model in models:
        if not all(model in reference.runs for reference in references.values()):
            continue
        row, run = {"model": model}, membership.judged(run_of(model))
        for name, reference in references.items():
            found = reference.residuals(run, reference.runs[model])
            row[f"{name}: runs"] = str(len(reference.runs[model]))
            for figure in (membership.distance, membership.farthest):
                place = reference.plausibility(found, figure)
                row[f"{name}: {figure.__name__}"] = f"{place.value:.2f} SD (p = {place.probability:.2g})"
            densities = reference.log_density(run, model).values()
            for counted, number in COUNTED.items():
                key, value = column(name, counted), sum(number(values) for values in densities)
                row[key] = _nats(value)
                sums[key] = sums.get(key, 0.0) + value
        rows.append(row)
    if not rows:
        raise EnsembleError(f"{', '.join(references)} hold none of {', '.join(models)} in common; name folders that do")
    rows.append({"model": "all models", **{key: _nats(value) for key, value in sums.items()}})
    return pd.DataFrame(rows).fillna("")


def _reference(folder: Path, epochs: int) -> membership.Reference:
    """Reference of the models that a folder holds."""
    models = [model for model in MODELS if (folder / f"{model}.csv").exists()]
    if not models:
        raise EnsembleError(f"{folder} holds no ensemble; name a folder with a CSV per model, such as model1.csv")
    return membership.stored(folder, models, epochs)


def _nats(value: float) -> str:
    """A log-likelihood with one decimal; adding 0.0 takes the sign from a zero."""
    return f"{round(value, 1) + 0.0:.1f}"
