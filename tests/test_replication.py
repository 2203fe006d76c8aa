"""Do the notebook of 2019 and a fresh run of this stack lie within the stored runs of today's stack on full MNIST?

Selected with `-m replication` or `--dataset mnist`. The fresh runs train ten epochs of full MNIST, whatever --epochs is.
"""

import dataclasses
import functools

import numpy as np
import pytest
from scipy import stats

from cnnspec import results
from cnnspec.ensembles import membership, store
from cnnspec.errors import EnsembleError, TooFewRuns
from cnnspec.facts import notebook, reading
from cnnspec.names import RESULTS
from tests.plugin import verdict
from tests.support import checks, ensembles, trainings

pytestmark = pytest.mark.replication
TRAINED = notebook.trained_models()
FOLDER = reading.BASELINES / "ensembles" / "mnist"
EPOCHS = 10
METRIC_OF_SCORE = {
    "test_loss": "val_loss",
    "test_accuracy": "val_accuracy",
    "train_loss": "train_loss",
    "train_accuracy": "train_accuracy",
}


@functools.lru_cache
def reference():
    """The stored runs on full MNIST of all models."""
    try:
        return membership.stored(FOLDER, TRAINED, EPOCHS)
    except TooFewRuns:
        raise
    except EnsembleError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(autouse=True)
def enough(record_property):
    """Without three stored runs of each model no test can tell anything."""
    need_runs(record_property)


def need_runs(record_property):
    """Fail as `cannot tell` where there are fewer stored runs of a model than three."""
    try:
        reference()
    except TooFewRuns as error:
        record_property(verdict.UNDECIDED, True)
        pytest.fail(f"{ensembles.CANNOT_TELL}: {error}", pytrace=False)


@pytest.fixture(scope="session")
def fresh(settings, trained):
    """fresh(model) -> the TrainingRun of ten epochs on full MNIST, trained once per run of the suite."""
    asked = settings
    if (settings.dataset, settings.epochs) != ("mnist", EPOCHS):
        asked = dataclasses.replace(settings, dataset="mnist", epochs=EPOCHS, folder=settings.folder / "replication")
        asked.folder.mkdir(exist_ok=True)
    return lambda model: trainings.trained_once(model, asked)


@pytest.mark.parametrize("metric", ["loss", "accuracy", "val_loss", "val_accuracy"])
@pytest.mark.parametrize("model", TRAINED)
def test_every_epoch_of_the_notebook(model, metric):
    """Each value of the notebook's curves is within the limit for the farthest value of a healthy run."""
    placed(model, f"{metric} of the notebook", metric, notebook.curves(model)[metric])


@pytest.mark.parametrize("score", store.SCORES)
@pytest.mark.parametrize("model", TRAINED)
def test_every_score_of_the_notebook(model, score):
    """Each evaluated score of the notebook is within the same limit."""
    split, metric = score.split("_")
    row = notebook.facts("scores").query("model == @model and split == @split and metric == @metric")
    placed(model, f"evaluated {split} {metric} of the notebook", METRIC_OF_SCORE[score], [float(row.value.iloc[0])])


@pytest.mark.parametrize(("row", "score"), RESULTS.items())
@pytest.mark.parametrize("model", TRAINED)
def test_every_row_of_the_notebooks_table(model, row, score):
    """Each loss of the notebook's final table is within the same limit."""
    loss = notebook.results_table().at[row, model]
    placed(model, f"{row} of the notebook's results table", METRIC_OF_SCORE[score], [loss])


def placed(model, subject, metric, values):
    """The last values of a metric are within the limit for the farthest value of a healthy run."""
    curves = notebook.curves(model)
    curves[metric] = [*curves[metric][: -len(values)], *values]
    run, stored = membership.judged(curves), reference().runs[model]
    residuals = reference().residuals(run, stored)
    found, bound = residuals[metric], reference().plausibility(residuals, membership.farthest).bound
    lines = []
    for number in range(-len(values), 0):
        if not abs(found[number]) <= bound:
            there = sorted(other[metric][number] for other in stored)
            least, greatest = (membership.show(metric, end) for end in (there[0], there[-1]))
            lines.append(
                f"epoch {EPOCHS + 1 + number}: {membership.show(metric, run[metric][number])}; {len(stored)} stored runs: "
                f"{least} to {greatest}; distance {found[number]:+.1f} SD, limit {bound:.1f} SD"
            )
    if lines:
        next_step = (
            "compare baselines/notebook/ with the notebook; then run pytest: its tiers name what this stack does differently"
        )
        checks.fail(f"{model}: {subject}, compared with the runs in {source(model)}", lines, next=next_step)


def source(model):
    """The file of a model's stored runs."""
    return f"{FOLDER.relative_to(reading.PROJECT).as_posix()}/{model}.csv"


@pytest.mark.parametrize("figure", [membership.distance, membership.farthest], ids=lambda figure: figure.__name__)
@pytest.mark.parametrize("model", TRAINED)
def test_the_notebook_is_a_plausible_member(model, figure, record_property):
    """All of the notebook's numbers for a model together are as near to the stored runs as healthy runs are."""
    judge(model, verdict.NOTEBOOK, notebook.curves(model), figure, record_property)


@pytest.mark.parametrize("figure", [membership.distance, membership.farthest], ids=lambda figure: figure.__name__)
@pytest.mark.parametrize("model", TRAINED)
def test_a_fresh_run_is_a_plausible_member(model, figure, fresh, record_property):
    """All numbers of a fresh run together are as near to the stored runs as healthy runs are."""
    judge(model, verdict.FRESH, store.run_curves(fresh(model)), figure, record_property)


def judge(model, who, curves, figure, record_property):
    """Test one of the two figures of a run, and record it with the shift of all values that it would detect."""
    found = reference().residuals(membership.judged(curves), reference().runs[model])
    place = reference().plausibility(found, figure)
    detected = reference().smallest_shift(place, figure)
    what = {"distance": "distance of all values", "farthest": "farthest value"}[figure.__name__]
    summary = f"{what} {place.value:.2f} SD, usual {place.usual:.2f}, limit {place.bound:.2f} (p = {place.probability:.2g})"
    text = f"{model}, {who + ',':<13} {summary}; detects a shift of all values by {detected:.1f} SD"
    record_property("replication", {"model": model, "who": who, "text": text})
    lines = [f"{metric}: {' '.join(f'{value:+.1f}' for value in values)} SD" for metric, values in found.items()]
    if not place.plausible:
        checks.fail(
            f"{model}: {who}, compared with the runs in {source(model)}: {summary}; distances by epoch",
            lines,
            next="find the metric and epoch that differ; then run pytest: its tiers name what this stack does differently",
        )
    if not place.conclusive:
        record_property(verdict.UNDECIDED, True)
        next_step = "python -m cnnspec calibrate --dataset mnist --out baselines/ensembles/mnist with a larger --runs"
        lines = [f"{place.runs} stored runs of all models are too few for a false-alarm rate of {place.alpha:g}"]
        checks.fail(f"{ensembles.CANNOT_TELL}: {model}: {who}: {summary}", lines, next=next_step)


@pytest.mark.parametrize(("row", "score"), RESULTS.items())
@pytest.mark.parametrize("model", TRAINED)
def test_a_fresh_run_beside_the_notebook(model, row, score, fresh, record_property):
    """The two losses of the final table are as near to the notebook's as one healthy run is to another.

    The difference of two runs' logarithms has √2 times the SD of one run: the model's SD, or the pooled SD of all models
    if it is larger.
    """
    metric = METRIC_OF_SCORE[score]
    last = {each: np.array([run[metric][-1] for run in runs]) for each, runs in reference().runs.items()}
    freedom = sum(len(values) - 1 for values in last.values())
    pooled = np.sqrt(sum(values.var(ddof=1) * (len(values) - 1) for values in last.values()) / freedom)
    theirs, ours = notebook.curves(model)[metric][-1], fresh(model).scores[score]
    alpha = membership.ALPHA
    limit = stats.t.ppf(1 - alpha / 2, freedom) * max(pooled, last[model].std(ddof=1)) * np.sqrt(2)
    apart = np.log(ours / theirs)
    values = f"{ours:.4f}, the notebook's {theirs:.4f}, {np.expm1(apart):+.0%}"
    text = f"{model}, {row}: {values}; limit: a factor of {np.exp(limit):.2f}"
    record_property("replication", {"model": model, "who": None, "text": text})
    checks.at_most(
        f"{model}, full MNIST, {EPOCHS} epochs: {row} {values}: logarithm of the ratio",
        abs(apart),
        limit,
        source=f"the difference of two healthy runs, {freedom + len(last)} stored runs, false-alarm rate {alpha:.2g}",
        next=f"pytest tests/test_training.py --dataset mnist --epochs {EPOCHS}",
    )


def test_the_tables(fresh, record_property):
    """The notebook's results table and a fresh one have the same rows and columns; the verdict shows both."""
    theirs = notebook.results_table()
    ours = results.results_table([fresh(model) for model in TRAINED])
    record_property("table", f"full MNIST, ten epochs, the notebook (2019)\n{theirs}")
    record_property("table", f"full MNIST, ten epochs, this stack\n{ours}")
    checks.equal(
        "results table: rows and columns",
        [*theirs.index, *theirs],
        [*ours.index, *ours],
        source="Out[46]",
        next="look at results_table in cnnspec/results.py",
    )
