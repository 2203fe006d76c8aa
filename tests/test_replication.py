"""Is the notebook of 2019 a plausible member of today's ensemble on full MNIST, and is a fresh run of this stack?

Asked for by `-m replication` or `--dataset mnist`: the fresh runs train ten epochs of full MNIST, whatever --epochs says.
"""

import dataclasses
import functools

import numpy as np
import pytest

from cnnspec import baselines, ensembles, notebook, replication, results, statistics
from tests import checks, trainings

pytestmark = pytest.mark.replication
FOLDER = baselines.BASELINES / "ensembles" / "mnist"
EPOCHS = 10
VALUES = 4 * (4 * EPOCHS + 4)  # of the notebook: four metrics per epoch and four scores, for four models
ROWS = results.ROWS.items()


@functools.lru_cache
def ensemble(model):
    """The stored runs of a model on full MNIST, as `replication.judged` gives them."""
    return [replication.judged(curves) for curves in ensembles.curves(FOLDER / f"{model}.csv", EPOCHS)]


@functools.lru_cache
def healthy():
    """Distances of all stored runs of all models, each from the others of its model."""
    return [distance for model in notebook.MODELS for distance in replication.left_out(ensemble(model))]


@pytest.fixture(scope="session")
def fresh(settings, trained):
    """fresh(model) -> a TrainingRun of ten epochs on full MNIST, trained once per run of the suite."""
    asked = settings
    if (settings.dataset, settings.epochs) != ("mnist", EPOCHS):
        asked = dataclasses.replace(settings, dataset="mnist", epochs=EPOCHS, folder=settings.folder / "replication")
        asked.folder.mkdir(exist_ok=True)
    return lambda model: trainings.trained_once(model, asked)


@pytest.mark.parametrize("metric", ["loss", "accuracy", "val_loss", "val_accuracy"])
@pytest.mark.parametrize("model", notebook.MODELS)
def test_every_epoch_of_the_notebook(model, metric):
    """Each epoch of each of the notebook's curves lies in the band of the stored runs at that epoch."""
    placed(model, metric, replication.judged(notebook.curves(model))[metric])


@pytest.mark.parametrize("score", ensembles.SCORES)
@pytest.mark.parametrize("model", notebook.MODELS)
def test_every_score_of_the_notebook(model, score):
    """Each evaluated score of the notebook, from which its final table was typed, lies in the band of the stored runs."""
    split, metric = score.split("_")
    row = notebook.facts("scores").query("model == @model and split == @split and metric == @metric")
    name = score if split == "train" else f"val_{metric}"
    curves = {**notebook.curves(model), name: [float(row.value.iloc[0])]}
    placed(model, name, replication.judged(curves)[name][-1:], "evaluated ")


def placed(model, metric, values, what=""):
    """Each of a run's values lies in the band of the stored runs; the last ones of a curve where there are fewer."""
    stored = np.array([run[metric][-len(values) :] for run in ensemble(model)])
    alpha = replication.ALPHA / VALUES
    lines = []
    for number, value in enumerate(values):
        band = statistics.Band(stored[:, number].mean(), stored[:, number].std(ddof=1), len(stored), 1, alpha)
        if not band.used(value) <= 1:
            epoch = EPOCHS - len(values) + number + 1
            lines.append(
                f"epoch {epoch}: {value:.4f}, the stored runs {band.mean:.4f} ± {band.half_width:.4f} (log nats or √errors)"
            )
    if lines:
        source = (FOLDER / f"{model}.csv").relative_to(baselines.BASELINES.parent)
        following = "compare baselines/notebook/ with the notebook; then ask what today's stack does differently"
        checks.fail(f"{model}: the notebook's {what}{metric} in {source}", lines, following)


@pytest.mark.parametrize("model", notebook.MODELS)
def test_the_notebook_is_a_plausible_member(model, record_property):
    """All the notebook's numbers of a model together lie no further from the stored runs than these from each other."""
    judge(model, "the notebook", notebook.curves(model), record_property)


@pytest.mark.parametrize("model", notebook.MODELS)
def test_a_fresh_run_is_a_plausible_member(model, fresh, record_property):
    """All numbers of a fresh run together lie no further from the stored runs than these from each other."""
    judge(model, "a fresh run", ensembles.run_curves(fresh(model)), record_property)


def judge(model, who, curves, record_property):
    """The combined test of a run."""
    found = replication.plausibility(replication.judged(curves), ensemble(model), healthy())
    said = f"{found.distance:.2f} s from the stored runs, usual is {found.usual:.2f}, accepted up to {found.bound:.2f}"
    record_property("replication", f"{model}, {who}: {said} (p = {found.probability:.2g})")
    if not found.plausible:
        worst = replication.residuals(replication.judged(curves), ensemble(model))
        lines = [f"{metric}: {' '.join(f'{value:+.1f}' for value in values)} s" for metric, values in worst.items()]
        following = f"look at the figures; stored runs: {FOLDER.relative_to(baselines.BASELINES.parent)}/{model}.csv"
        checks.fail(f"{model}: {who} lies {said}; by epoch:", lines, following)


@pytest.mark.parametrize(("row", "score"), ROWS)
@pytest.mark.parametrize("model", notebook.MODELS)
def test_a_fresh_run_beside_the_notebook(model, row, score, fresh):
    """The two losses of the final table are as near to the notebook's as one healthy run is to another."""
    name = {"test_loss": "val_loss", "train_loss": "train_loss"}[score]
    stored = np.array([run[name][-1] for run in ensemble(model)])
    band = statistics.Band(
        float(np.log(notebook.curves(model)[name][-1])),
        stored.std(ddof=1) * np.sqrt(2),
        len(stored),
        1,
        replication.ALPHA / 8,
    )
    accepted = band.half_width / np.sqrt(1 + 1 / band.size)  # the deviation of a difference of two runs is known as √2 s
    apart = float(np.log(fresh(model).scores[score])) - band.mean
    checks.at_most(
        f"{model}: {row}, distance of logarithms from the notebook's {np.exp(band.mean):.4f}",
        abs(apart),
        accepted,
        "two healthy runs of the stored ensemble",
        "look at the figures, then at the training tests",
    )


def test_the_tables(fresh, record_property):
    """The notebook's results table and a fresh one have the same rows and columns; both are shown with the verdict."""
    theirs = notebook.facts("results").drop(columns="cell").set_index("row").astype(float).rename_axis(None)
    ours = results.results_table([fresh(model) for model in notebook.MODELS])
    record_property("table", f"full MNIST, ten epochs, the notebook (2019)\n{theirs}")
    record_property("table", f"full MNIST, ten epochs, this stack\n{ours}")
    checks.equal("rows and columns", [*theirs.index, *theirs], "Out[46]", [*ours.index, *ours], "cnnspec/results.py")
