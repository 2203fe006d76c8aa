"""What do the stored runs on full MNIST say of the notebook, and of the optimizer that its page cut off?

The runs under `baselines/ensembles/mnist` were trained with Adam, those under `mnist-adadelta` with Adadelta(1.0).
"""

import pytest

from cnnspec import baselines, ensembles, notebook, replication, results

ENSEMBLES = baselines.BASELINES / "ensembles"
FOLDERS = {"adam": ENSEMBLES / "mnist", "adadelta": ENSEMBLES / "mnist-adadelta"}
FILES = [(optimizer, path) for optimizer, folder in FOLDERS.items() for path in sorted(folder.glob("*.csv"))]


@pytest.mark.parametrize(("optimizer", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_the_runs_are_the_notebooks_training(optimizer, path):
    """Ten epochs of full MNIST in batches of 128, with the folder's optimizer."""
    frame = ensembles.read(path)
    settings = frame[["dataset", "optimizer", "epochs", "batch_size"]].drop_duplicates().to_numpy().tolist()
    assert settings == [["mnist", optimizer, 10, 128]]


def test_the_placing_is_in_the_readme():
    """baselines/ensembles/README.md holds what `python -m cnnspec place` says of the notebook in the two ensembles."""
    table = results.as_markdown(replication.likelihood_table(notebook.curves, FOLDERS.values()))
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the table is now\n{table}"
