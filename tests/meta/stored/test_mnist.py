"""What do the stored runs on full MNIST say of the notebook, and of the optimizer that its page cut off?

The runs under `baselines/ensembles/mnist` were trained with Adam, those under `mnist-adadelta` with Adadelta(1.0).
"""

import inspect
import re

import pytest

from cnnspec import training
from cnnspec.ensembles import membership, store
from cnnspec.facts import notebook, reading
from cnnspec.names import MODELS
from cnnspec.reports import markdown

ENSEMBLES = reading.BASELINES / "ensembles"
FOLDERS = {"adam": ENSEMBLES / "mnist", "adadelta": ENSEMBLES / "mnist-adadelta"}
# The fewest seeds that the figures in the READMEs stand on; model3 trains three times as long as the others.
SEEDS = {
    "adam": {"model1": 5, "model2": 5, "model3": 3, "model4": 5},
    "adadelta": {"model1": 8, "model2": 8, "model4": 8},
}
COUNTED = [(optimizer, model, least) for optimizer, models in SEEDS.items() for model, least in models.items()]
FILES = [(optimizer, path) for optimizer, folder in FOLDERS.items() for path in sorted(folder.glob("*.csv"))]


@pytest.mark.parametrize(("optimizer", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_the_runs_are_the_notebooks_training(optimizer, path):
    """Ten epochs of full MNIST in batches of 128, with the folder's optimizer."""
    frame = store.read(path)
    settings = frame[["dataset", "optimizer", "epochs", "batch_size"]].drop_duplicates().to_numpy().tolist()
    assert settings == [["mnist", optimizer, 10, 128]]


@pytest.mark.parametrize(("optimizer", "model", "least"), COUNTED)
def test_there_are_seeds_enough(optimizer, model, least):
    """No run that the verdicts on full MNIST need is missing, and none is there twice."""
    seeds = store.read(FOLDERS[optimizer] / f"{model}.csv").seed.tolist()
    assert len(seeds) == len(set(seeds))
    assert len(seeds) >= least


def nats(counted):
    """{optimizer: log-likelihood of the notebook's epochs in nats}, counting `every epoch` or `a curve as one` number."""
    table = membership.likelihood_table(notebook.curves, FOLDERS.values()).set_index("model")
    column = f"log-likelihood, {counted}"
    return {name: float(table.at["together", f"{folder.name}: {column}"]) for name, folder in FOLDERS.items()}


@pytest.mark.parametrize("counted", ["every epoch", "a curve as one"])
def test_the_notebook_is_likelier_under_the_optimizer_that_is_assumed(counted):
    """The likelihood of its epochs is largest with training's default, whether an epoch or a curve counts as one number.

    Else the optimizer in baselines/notebook/assumptions.toml has to be changed, and with it everything that trains.
    """
    found = nats(counted)
    assert max(found, key=found.get) == inspect.signature(training.train).parameters["optimizer"].default, f"nats: {found}"


@pytest.mark.parametrize("document", ["ensembles/README.md", "notebook/assumptions.toml"])
def test_how_much_likelier_is_in_the_documents(document):
    """Each document that names the optimizer says by how many nats, first by every epoch, then by a curve as one number."""
    by = [f"{found['adam'] - found['adadelta']:.1f}" for found in map(nats, ("every epoch", "a curve as one"))]
    text = " ".join((reading.BASELINES / document).read_text(encoding="utf-8").split())
    said = re.findall(r"([\d.]+) nats if epochs are independent, ([\d.]+) nats if each curve counts once", text)
    assert said == [tuple(by)]


def test_the_placing_is_in_the_readme():
    """baselines/ensembles/README.md holds what `python -m cnnspec place` says of the notebook in the two ensembles."""
    table = markdown.of_frame(membership.likelihood_table(notebook.curves, FOLDERS.values()))
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the table is now\n{table}"


def test_the_last_losses_are_in_the_readme():
    """baselines/ensembles/README.md holds the notebook's last losses beside the range of the stored runs with Adam."""
    lines = []
    for model in MODELS:
        stored, cells = store.read(FOLDERS["adam"] / f"{model}.csv"), [model]
        for metric, column in (("loss", "loss_10"), ("val_loss", "val_loss_10"), ("train_loss", "final_train_loss")):
            theirs = notebook.curves(model)[metric][-1]
            cells += [f"{theirs:.4f}", f"{stored[column].min():.4f} to {stored[column].max():.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the rows are now\n{table}"


def test_what_is_too_small_to_be_seen_is_in_the_readme():
    """baselines/ensembles/README.md says how near to the bounds the stored runs of model1 with the other optimizer come."""
    reference = membership.stored(FOLDERS["adam"])
    others = membership.stored(FOLDERS["adadelta"], ["model1"]).runs["model1"]
    said = []
    for what, figure in (("distance", membership.distance), ("farthest value", membership.farthest)):
        places = [reference.plausibility(reference.residuals(run, reference.runs["model1"]), figure) for run in others]
        least, *_, greatest = sorted(place.value for place in places)
        said.append(f"{what} {least:.1f} to {greatest:.1f} SD of {places[0].bound:.1f}")
        assert all(place.plausible for place in places)
    text = " ".join((ENSEMBLES / "README.md").read_text(encoding="utf-8").split())
    assert f"({said[0]} accepted, {said[1]})" in text, said
