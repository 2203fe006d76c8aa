"""Does the run end in the notebook's results table and plots, and is the table the recorded one?"""

import xml.etree.ElementTree as ElementTree

import pytest

from cnnspec import results
from cnnspec.facts import notebook
from cnnspec.names import MODELS
from cnnspec.reports.words import counted
from cnnspec.runs import TrainingRun
from tests.support import checks
from tests.support.snapshots import check_results_table

NEXT = "look at cnnspec/results.py; then: pytest tests/test_results.py"


def test_results_table(trained, settings, snapshot, accepted_shift, pytestconfig, record_property):
    """The results table is the stored one, each loss as near to it as one healthy run is to another."""
    runs = [trained(model) for model in MODELS]
    title = f"{settings.dataset}, {counted(settings.epochs, 'epoch')}, seed {settings.seed}"
    record_property("table", f"{title}\n{results.results_table(runs).to_string()}")
    table = results.results_table(runs, cut=float)
    record_property("results", table.to_dict("index"))
    check_results_table(snapshot, table, settings, pytestconfig.option.update_snapshots, accepted_shift)


def test_the_notebooks_own_table():
    """From the notebook's evaluated scores comes the notebook's table, digit for digit: rows, columns, cut decimals."""
    expected = notebook.results_table()
    obtained = results.results_table([notebook_run(model) for model in notebook.trained_models()])
    checks.equal("rows of the table", list(expected.index), list(obtained.index), source="Out[46]", next=NEXT)
    checks.equal("columns of the table", list(expected.columns), list(obtained.columns), source="Out[46]", next=NEXT)
    for row, model in expected.stack().index:
        checks.equal(f"{row} of {model}", expected.at[row, model], obtained.at[row, model], source="Out[46]", next=NEXT)


@pytest.mark.parametrize("dataset", ["mnist5k", "mnist"])
def test_loss_curves(tmp_path, dataset):
    """The figure exists in both formats, with the notebook's axis labels; on full MNIST the notebook's curve is in it."""
    written = results.draw_loss_curves(notebook_run("model2", dataset), tmp_path / "model2")
    checks.equal(
        "files of the figure", ["model2.png", "model2.svg"], [p.name for p in written], source="the two formats", next=NEXT
    )
    png, svg = (path.read_bytes() for path in written)
    checks.equal("the PNG's signature", b"\x89PNG\r\n\x1a\n", png[:8], source="the PNG format", next=NEXT)
    texts = comments(svg)
    wanted = {"epoch", "Categorical Crossentropy Loss", "Train Loss", "CV Loss"}
    checks.equal("labels missing in the figure", set(), wanted - texts, source="In [10]", next=NEXT)
    behind = any("notebook" in text for text in texts)
    checks.equal(f"the notebook's curve is drawn on {dataset}", dataset == "mnist", behind, source="the data set", next=NEXT)


def comments(svg):
    """Texts of an SVG that Matplotlib wrote: it draws glyphs and keeps each text as a comment."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.fromstring(svg, parser)
    return {element.text.strip() for element in root.iter() if element.tag is ElementTree.Comment}


def notebook_run(model, dataset="mnist"):
    """The notebook's own training of a model as a TrainingRun."""
    scores = notebook.facts("scores").query("model == @model")
    log = notebook.history(model)
    return TrainingRun(
        model=model,
        dataset=dataset,
        seed=0,
        epochs=len(log),
        batch_size=128,
        optimizer="adam",
        redrawn=False,
        history={metric: log[metric].tolist() for metric in log},
        scores={f"{row.split}_{row.metric}": float(row.value) for row in scores.itertuples()},
        stack={"framework": "tensorflow 1.13", "device": "CPU"},
    )
