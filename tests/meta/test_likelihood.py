"""Does the table of `likelihood` place a run in each ensemble, and add up what each metric and each model says?"""

import dataclasses

import numpy as np
import pytest

from cnnspec.ensembles import likelihood, membership, store
from cnnspec.errors import EnsembleError
from tests.meta.test_ensembles import run

SEEDS = {"near": (1, 2, 3, 4), "far": (11, 12, 13)}


@pytest.fixture
def folders(tmp_path):
    """Two folders with ensembles of made-up runs of ten epochs on full MNIST; one of them lacks model3."""
    for name, seeds in SEEDS.items():
        for model in ("model1", "model2", "model3")[: 2 if name == "far" else 3]:
            for seed in seeds:
                made = dataclasses.replace(run(seed, model, epochs=10), dataset="mnist")
                made.history["val_accuracy"] = [0.9 + seed / 1000] * 10
                store.append(tmp_path / name / f"{model}.csv", made)
    return [tmp_path / name for name in SEEDS]


def run_of(model):
    """The curves of a run: for model2 another one than for model1."""
    scale = {"model1": 0.9, "model2": 0.7, "model3": 0.5}[model]
    losses = [scale / (epoch + 3) for epoch in range(10)]
    curves = dict.fromkeys(("loss", "val_loss", "train_loss"), losses)
    return curves | dict.fromkeys(("accuracy", "val_accuracy", "train_accuracy"), [0.9] * 10)


def expected(folder, model, counted):
    """The log-likelihood of a run in nats: of each metric the sum over the epochs, or their mean; all metrics added up."""
    found = membership.stored(folder, ["model1", "model2", "model3"][: 3 if folder.name == "near" else 2])
    densities = found.log_density(membership.judged(run_of(model)), model)
    return sum(
        float(np.sum(values)) / (1 if counted == "epochs independent" else len(values)) for values in densities.values()
    )


def test_the_table(folders):
    """A row for each model that all folders hold, and one with their sums; runs and figures are of each model."""
    found = likelihood.table(run_of, map(str, folders)).set_index("model")
    assert list(found.index) == ["model1", "model2", "all models"]
    for folder in folders:
        assert found[f"{folder.name}: runs"].tolist() == [str(len(SEEDS[folder.name]))] * 2 + [""]
        for counted in ("epochs independent", "each curve once"):
            column = f"{folder.name}: log-likelihood, {counted}"
            values = [expected(folder, model, counted) for model in ("model1", "model2")]
            assert found[column].tolist() == [f"{value:.1f}" for value in (*values, sum(values))]
        for figure in ("distance", "farthest"):
            assert found[f"{folder.name}: {figure}"].str.fullmatch(r"\d+\.\d\d SD \(p = [\d.e-]+\)|").all()
            assert found[f"{folder.name}: {figure}"].tolist()[2] == ""


def test_epochs_and_models_may_be_fewer(folders):
    """Only the models that are asked for, after as many epochs as are asked for."""
    short = {key: values[:2] for key, values in run_of("model1").items()}
    found = likelihood.table(lambda model: short, folders, models=["model1"], epochs=2)
    assert found.model.tolist() == ["model1", "all models"]
    found = likelihood.table(run_of, folders, models=["model3", "model1"])  # one folder lacks the first
    assert found.model.tolist() == ["model1", "all models"]


def test_nothing_in_common_is_refused(folders, tmp_path):
    """Folders without an ensemble, and models that not all folders hold."""
    with pytest.raises(EnsembleError, match="near, far hold none of model3 in common; name folders that do"):
        likelihood.table(run_of, folders, models=["model3"])
    (tmp_path / "none").mkdir()
    with pytest.raises(EnsembleError, match="none holds no ensemble; name a folder with a CSV per model, such as "):
        likelihood.table(run_of, [tmp_path / "none"])


NATS = {-0.04: "0.0", 0.04: "0.0", -12.34: "-12.3", 5.66: "5.7"}


@pytest.mark.parametrize(("value", "text"), NATS.items())
def test_nats_have_one_decimal(value, text):
    """One decimal, and no sign before zero."""
    assert likelihood._nats(value) == text
