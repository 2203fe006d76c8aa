"""Does each model train to the right place?

Each model is trained once and placed in the ensemble of runs on known-good stacks that `baselines/ensembles/` stores.
The checks share the suite's declared false-alarm rate evenly; both sides fail, because a leak of test data looks like
success.
"""

import dataclasses

import pytest

from cnnspec import baselines, ensembles, notebook, statistics
from tests import checks


@pytest.mark.parametrize("quantity", statistics.QUANTITIES)
@pytest.mark.parametrize("model", notebook.MODELS)
def test_within_the_ensemble(trained, settings, model, quantity, record_property):
    """Each loss and each count of errors lies in the ensemble's prediction band, neither above nor below."""
    path = settings.ensembles / f"{model}.csv"
    judged, band = statistics.bands(ensembles.curves(path, settings.epochs), settings.dataset)[quantity]
    value = judged.measure(ensembles.run_curves(trained(model)), statistics.SAMPLES[settings.dataset])
    record_property("check", checks.line(f"{model}, {quantity}", judged, band, value))
    checks.within_band(
        f"{model} on {settings.dataset}, {settings.epochs} epochs, seed {settings.seed}: {quantity}",
        judged,
        band,
        value,
        path.relative_to(baselines.BASELINES.parent),
        f"look at {settings.folder / model}.png; try another seed: {settings.command(seed=settings.seed + 1)}",
    )


@pytest.mark.parametrize("model", notebook.MODELS)
def test_the_history_is_whole(trained, settings, model, record_property):
    """Every metric has one finite value per epoch that was asked for, and the run says what it was."""
    run = trained(model)
    record_property("run", dataclasses.asdict(run))
    metrics = ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    lengths = {metric: len(values) for metric, values in run.history.items()}
    following = "look at EpochRecorder in cnnspec/training.py"
    checks.equal(f"{model}: epochs recorded", dict.fromkeys(metrics, settings.epochs), "--epochs", lengths, following)
    said = (run.model, run.dataset, run.seed, run.epochs, run.batch_size)
    asked = (model, settings.dataset, settings.seed, settings.epochs, 128)
    checks.equal(f"{model}: what the run says of itself", asked, "the options", said, following)


@pytest.mark.parametrize("model", notebook.MODELS)
def test_evaluate_agrees_with_validation(trained, model):
    """The evaluated test loss is the last epoch's validation loss, as in all four of the notebook's logs."""
    run = trained(model)
    checks.close(
        f"{model}: evaluated test loss",
        run.history["val_loss"][-1],
        "the last epoch's val_loss of the same run",
        run.scores["test_loss"],
        baselines.tolerance("evaluate_agrees_with_validation"),
        "compare how this Keras averages the losses of batches in fit and in evaluate",
    )
