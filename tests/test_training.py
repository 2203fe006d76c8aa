"""Does each model reach the losses and accuracies of healthy runs?

Each model is trained once and compared with the runs of known-good stacks in `baselines/ensembles/`. The checks share the
suite's declared false-alarm rate evenly. A value that is too good fails too, because a leak of test data looks like success.
"""

import dataclasses

import pytest

from cnnspec.ensembles import bands, store
from cnnspec.facts import notebook, reading
from cnnspec.names import MODELS, SAMPLES
from tests.support import chance, checks, known_differences


@pytest.mark.parametrize("quantity", bands.QUANTITIES)
@pytest.mark.parametrize("model", MODELS)
def test_within_the_ensemble(trained, settings, model, quantity, record_property):
    """Each loss and each count of errors lies in the ensemble's prediction band."""
    path = settings.ensembles / f"{model}.csv"
    curves = store.curves(path, settings.epochs)
    judged, band = bands.by_quantity(curves, settings.dataset, settings.runs)[quantity]
    samples = SAMPLES[settings.dataset]
    runs = [store.run_curves(trained(model, number)) for number in range(settings.runs)]
    value = bands.mean(judged, runs, samples)
    record_property("check", chance.banded(model, quantity, judged, band, value))
    of_runs = f"mean of {settings.runs} runs from seed" if settings.runs > 1 else "seed"
    calibrate = f"python -m cnnspec calibrate --models {model} --dataset {settings.dataset} --runs {band.runs_needed}"
    chance.within_band(
        f"{model} on {settings.dataset}, {settings.epochs} epochs, {of_runs} {settings.seed}: {quantity}",
        judged,
        band,
        value,
        source=reading.shown(path),
        next=f"see {settings.folder / model}.png; then with another seed: {settings.command(settings.seed + settings.runs)}",
        enlarge=f"{calibrate} --out {reading.shown(settings.ensembles)}",
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_history_is_whole(trained, settings, model, record_property):
    """Every metric has one value per epoch, and the run records its model, data set, seed, epochs and batch size."""
    run = trained(model)
    record_property("run", dataclasses.asdict(run))
    metrics = ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    lengths = {metric: len(values) for metric, values in run.history.items()}
    next_step = "look at EpochRecorder and TrainingRun in cnnspec/training.py"
    checks.equal(
        f"{model}: recorded epochs of each metric",
        dict.fromkeys(metrics, settings.epochs),
        lengths,
        source="--epochs",
        next=next_step,
    )
    recorded = (run.model, run.dataset, run.seed, run.epochs, run.batch_size)
    batch_size = notebook.globals_toml()["globals"]["batch_size"]["value"]
    asked = (model, settings.dataset, settings.seed, settings.epochs, batch_size)
    checks.equal(
        f"{model}: recorded model, data set, seed, epochs and batch size",
        asked,
        recorded,
        source="the options, and In [39]",
        next=next_step,
    )


@known_differences.LOSS_OF_BATCHES
@pytest.mark.parametrize("model", MODELS)
def test_evaluate_agrees_with_validation(trained, settings, model):
    """The evaluated test loss is the last epoch's validation loss, as in all logs of the notebook."""
    run = trained(model)
    checks.close(
        f"{model} on {settings.dataset}: evaluated test loss",
        run.history["val_loss"][-1],
        run.scores["test_loss"],
        reading.tolerance("evaluate_agrees_with_validation"),
        source="the last epoch's val_loss of the same run",
        next="pytest tests/test_numerics.py -k evaluate; then compare how this Keras averages losses in fit and in evaluate",
    )
