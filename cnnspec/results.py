"""The notebook's last cell and its plots: the results table and the loss curves. Runs on Python 3.7 and Matplotlib 3.4."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cnnspec.facts import notebook
from cnnspec.files import replaced_whole
from cnnspec.names import RESULTS

INK, TRAIN, TEST, NOTEBOOK = "#333333", "#1f77b4", "#ff7f0e", "#999999"


def truncate(loss: float) -> float:
    """A loss cut after four decimals, as the notebook's author typed it: 0.02459 became 0.0245."""
    return math.floor(loss * 10000 + 1e-9) / 10000


def results_table(runs: Iterable[Any], cut: Callable[[float], float] = truncate) -> pd.DataFrame:
    """In [46]: test and train loss of each model as a frame, rows Test Loss and Train Loss, a column per model.

    `runs` are TrainingRuns, one per model; `cut` shortens each loss for display.
    """
    model_results = {run.model: {row: cut(run.scores[score]) for row, score in RESULTS.items()} for run in runs}
    return pd.DataFrame(model_results, index=list(RESULTS))


def draw_loss_curves(run: Any, path: str | Path, ensemble: Sequence[Mapping[str, Sequence[float]]] = ()) -> list[Path]:
    """In [10]: train and test loss by epoch, drawn to `path`.png and `path`.svg; returns the two paths.

    `run` is a TrainingRun. Areas show the range of the runs of an `ensemble`, {metric: losses by epoch} each. On full MNIST
    grey lines show the notebook's own curves.
    """
    from matplotlib.figure import Figure  # not pyplot, which may need a screen
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, run.epochs + 1)
    figure = Figure(figsize=(6.4, 4.8), constrained_layout=True)  # layout="constrained" needs Matplotlib 3.5
    axes = figure.add_subplot()
    for metric, colour, label in (("loss", TRAIN, "Train Loss"), ("val_loss", TEST, "CV Loss")) if ensemble else ():
        stored = [curves[metric] for curves in ensemble]
        least, greatest = ([extreme(values) for values in zip(*stored)] for extreme in (min, max))
        label = f"{label}, {len(stored)} stored runs"
        axes.fill_between(epochs, least, greatest, color=colour, alpha=0.2, linewidth=0, label=label)
    if run.dataset == "mnist" and run.model in notebook.trained_models():
        recorded = notebook.history(run.model)
        axes.plot(recorded.index, recorded.loss, color=NOTEBOOK, linestyle="--", label="Train Loss, notebook (2019)")
        axes.plot(recorded.index, recorded.val_loss, color=NOTEBOOK, label="CV Loss, notebook (2019)")
    axes.plot(epochs, run.history["loss"], color=TRAIN, marker="o", markersize=3, label="Train Loss")
    axes.plot(epochs, run.history["val_loss"], color=TEST, marker="o", markersize=3, label="CV Loss")
    axes.set_xlabel("epoch")
    axes.set_ylabel("Categorical Crossentropy Loss")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_title(
        f"{run.model} on {run.dataset}, seed {run.seed}\n{run.stack['framework']}, {run.stack['device']}", fontsize=10
    )
    axes.legend(frameon=False)
    written = []
    for suffix in (".png", ".svg"):
        target = Path(f"{path}{suffix}")
        with replaced_whole(target) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=120, metadata={"Date": None} if suffix == ".svg" else None)
        written.append(target)
    return written
