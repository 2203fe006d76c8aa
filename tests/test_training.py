"""Does each model reach the losses and accuracies of healthy runs?

Each model is trained once, as the notebook does it, and compared with the runs of known-good stacks in
`baselines/ensembles/`. Like those it draws every kernel from its own seed: where the stack computes and draws as those did,
it is one more draw from the same ensemble. The checks share the suite's declared false-alarm rate. A value that is too good
fails too, because a leak of test data looks like success.

A draw may be a late starter, of which the stored runs have none. So a value outside is drawn once more, with the next seed:
what is wrong with a stack is wrong in every draw.
"""

import dataclasses
import functools

import pytest

from cnnspec.calls import as_called
from cnnspec.ensembles import bands, distance, quantities, store
from cnnspec.facts import notebook, reading
from cnnspec.names import MODELS
from tests.support import checks, ensembles, known_differences, numerics


def pytest_generate_tests(metafunc):
    """A test for each quantity that a run of --epochs has."""
    if "quantity" in metafunc.fixturenames:
        metafunc.parametrize("quantity", quantities.names(metafunc.config.option.epochs))


@functools.cache
def place(settings, model):
    """(the file of a model's ensemble, the curves of its runs, {quantity: (Quantity, Band)})."""
    path = settings.ensembles / f"{model}.csv"
    curves = store.curves(path, settings.epochs, settings.dataset)
    return path, curves, bands.by_quantity(curves, settings.dataset, settings.runs)


def words(settings, model, path, runs_needed):
    """What a message says of a training of `settings`: its subject, source, next command, and what enlarges the ensemble."""
    of_runs = f"mean of {settings.runs} runs from seed" if settings.runs > 1 else "seed"
    epochs = "1 epoch" if settings.epochs == 1 else f"{settings.epochs} epochs"
    calibrate = f"python -m cnnspec calibrate --models {model} --dataset {settings.dataset} --runs {runs_needed}"
    again = settings.command(settings.seed + 2 * settings.runs)  # this one and the next have been trained
    return f"{model} on {settings.dataset}, {epochs}, {of_runs} {settings.seed}", {
        "source": reading.shown(path),
        "next": f"see {settings.folder / model}.png; then with another seed: {again}",
        "enlarge": f"{calibrate} --out {reading.shown(settings.ensembles)}",
    }


def drawn(trained, settings, model, measure, outside):
    """(value, remark): what `measure` makes of a model's runs, or, where that lies outside, of as many further ones.

    `measure` takes the curves of runs, `outside` what it returns. The remark tells of the first value that lay outside.
    """

    def runs(first):
        return [store.run_curves(trained(model, number)) for number in range(first, first + settings.runs)]

    value = measure(runs(0))
    if not outside(value):
        return value, ""
    again = settings.seed + settings.runs
    verdict = "outside as well" if outside(second := measure(runs(settings.runs))) else "inside"
    return second, f"seed {settings.seed} lies outside, seed {again} {verdict}"


@pytest.mark.parametrize("model", MODELS)
def test_within_the_ensemble(trained, settings, model, quantity, record_property):
    """Each loss and each count of errors lies in the ensemble's prediction band."""
    path, _, judged = place(settings, model)
    of_quantity, band = judged[quantity]
    if not band.judged:
        why = bands.weakness(of_quantity, band)
        record_property("not judged", {"model": model, "quantity": quantity, "why": why})
        pytest.skip(as_called(f"not judged: {model}, {quantity}: {why}; with more runs: pytest --runs 5"))
    measure = functools.partial(bands.mean, of_quantity)
    value, remark = drawn(trained, settings, model, measure, lambda value: not band.used(value) <= 1)
    record_property("check", ensembles.banded(model, quantity, of_quantity, band, value))
    if remark:
        record_property("drawn again", {"model": model, "quantity": quantity, "remark": remark})
    subject, told = words(settings, model, path, band.runs_needed)
    ensembles.within_band("; ".join(filter(None, (f"{subject}: {quantity}", remark))), of_quantity, band, value, **told)


@pytest.mark.parametrize("model", MODELS)
def test_as_a_whole(trained, settings, model, record_property):
    """All judged quantities of a model together are as near to the stored runs as those are correlated among each other."""
    path, curves, judged = place(settings, model)
    cloud = distance.cloud(curves, judged)

    def measure(runs):
        return {name: bands.mean(quantity, runs) for name, (quantity, _) in judged.items()}

    values, remark = drawn(trained, settings, model, measure, lambda values: not cloud.distance(values) <= cloud.limit)
    record_property("check", ensembles.placed(model, cloud, values))
    if remark:
        record_property("drawn again", {"model": model, "quantity": "all quantities together", "remark": remark})
    subject, told = words(settings, model, path, cloud.runs_needed)
    ensembles.within_cloud("; ".join(filter(None, (f"{subject}: all quantities together", remark))), cloud, values, **told)


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
        numerics.with_products(reading.tolerance("evaluate_agrees_with_validation")),
        source="the last epoch's val_loss of the same run",
        next="pytest tests/test_lockstep.py; then compare how this Keras averages losses in fit and in evaluate",
    )
