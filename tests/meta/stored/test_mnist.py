"""What do the stored runs on full MNIST show about the notebook, and about the optimizer that its page cut off?

The runs under `baselines/ensembles/mnist` were trained with Adam, those under `mnist-adadelta`, `mnist-adagrad` and
`mnist-adamax` with that optimizer as Keras 2.2.4 makes it, those under `mnist-h100` and `mnist-h200` with Adam on a GPU, and
those under `mnist-2019` by the notebook's own stack.
"""

import hashlib
import inspect
import itertools
import re

import numpy as np
import pytest
from scipy import stats

from cnnspec import training
from cnnspec.ensembles import equivalence, likelihood, membership, store
from cnnspec.facts import notebook, reading
from cnnspec.names import OPTIMIZERS
from cnnspec.reports import markdown
from tests.meta.stored import draw_of_2019

ENSEMBLES = reading.BASELINES / "ensembles"
FOLDERS = {"adam": ENSEMBLES / "mnist", **{name: ENSEMBLES / f"mnist-{name}" for name in OPTIMIZERS[1:]}}
COMPARED = {name: FOLDERS[name] for name in ("adam", "adadelta")}  # by all models but model3; the others by model2
# The least number of seeds behind the figures in the READMEs; model3 trains three times as long as the others.
SEEDS = {
    "adam": {"model1": 5, "model2": 5, "model3": 3, "model4": 5},
    "adadelta": {"model1": 8, "model2": 8, "model4": 8},
    "adagrad": {"model2": 3},
    "adamax": {"model2": 3},
}
COUNTED = [(optimizer, model, least) for optimizer, models in SEEDS.items() for model, least in models.items()]
H100 = ENSEMBLES / "mnist-h100"
H200 = ENSEMBLES / "mnist-h200"
OF_2019 = ENSEMBLES / "mnist-2019"  # the notebook's own stack, from its own draw
DRAW_OF_2019 = ENSEMBLES / "mnist-2019-draw"  # today's stack from that draw
STACKS = {
    "its own stack": OF_2019,
    "today's stack from the same kernels": DRAW_OF_2019,
    "today's stack, a draw each": ENSEMBLES / "mnist",
}
FILES = [
    (optimizer, path)
    for optimizer, folder in [*FOLDERS.items(), ("adam", H100), ("adam", H200), ("adam", OF_2019), ("adam", DRAW_OF_2019)]
    for path in sorted(folder.glob("*.csv"))
]


@pytest.mark.parametrize(("optimizer", "path"), FILES, ids=[f"{path.parent.name}-{path.stem}" for _, path in FILES])
def test_the_runs_are_the_notebooks_training(optimizer, path):
    """Ten epochs of full MNIST in batches of 128, with the folder's optimizer."""
    frame = store.read(path)
    settings = frame[["dataset", "optimizer", "epochs", "batch_size"]].drop_duplicates().to_numpy().tolist()
    assert settings == [["mnist", optimizer, 10, 128]]


@pytest.mark.parametrize(("optimizer", "model", "least"), COUNTED)
def test_there_are_seeds_enough(optimizer, model, least):
    """No run that the verdicts on full MNIST need is missing, and none is stored twice."""
    seeds = store.read(FOLDERS[optimizer] / f"{model}.csv").seed.tolist()
    assert len(seeds) == len(set(seeds))
    assert len(seeds) >= least


def log_likelihoods(counted):
    """{optimizer: log-likelihood of the notebook's epochs in nats}; `counted` is a key of likelihood.COUNTED."""
    table = likelihood.table(notebook.curves, COMPARED.values(), notebook.trained_models()).set_index("model")
    return {
        name: float(table.at["all models", likelihood.column(folder.name, counted)]) for name, folder in COMPARED.items()
    }


@pytest.mark.parametrize("counted", likelihood.COUNTED)
def test_the_notebook_is_likelier_under_the_optimizer_that_is_assumed(counted):
    """The likelihood of the notebook's epochs is largest with the default optimizer of `training.train`.

    If this fails, change the optimizer in baselines/notebook/assumptions.toml and in everything that trains.
    """
    found = log_likelihoods(counted)
    assumed = inspect.signature(training.train).parameters["optimizer"].default
    assert max(found, key=found.get) == assumed, f"log-likelihoods in nats, {counted}: {found}"


@pytest.mark.parametrize("document", ["ensembles/README.md", "notebook/assumptions.toml"])
def test_the_log_likelihood_ratio_is_in_the_documents(document):
    """Each document that names the optimizer gives the log-likelihood ratio, counted in the two ways."""
    by = [f"{found['adam'] - found['adadelta']:.1f}" for found in map(log_likelihoods, likelihood.COUNTED)]
    text = " ".join((reading.BASELINES / document).read_text(encoding="utf-8").split())
    said = re.findall(r"([\d.]+) nats if epochs are independent, ([\d.]+) nats if each curve counts once", text)
    assert said == [tuple(by)]


def positions(run, others):
    """Normal scores of every column (an epoch of a metric) of a run among others, by Student's t."""
    values, *stored = ([value for metric in sorted(run) for value in each[metric]] for each in (run, *others))
    size, scale = len(stored), np.std(stored, axis=0, ddof=1) * np.sqrt(1 + 1 / len(stored))
    return stats.norm.ppf(stats.t.cdf((values - np.mean(stored, axis=0)) / scale, size - 1))


def together(scores):
    """Two-sided p of each column over the models, by Stouffer's sum."""
    return 2 * stats.norm.sf(np.abs(np.sum(scores, axis=0)) / np.sqrt(len(scores)))


def test_the_most_extreme_column_is_no_finding():
    """baselines/ensembles/README.md says how extreme the notebook's farthest column is, and how often some column is."""
    runs = membership.stored(FOLDERS["adam"], notebook.trained_models()).runs
    notebooks = together([positions(membership.judged(notebook.curves(model)), stored) for model, stored in runs.items()])
    left_out = [
        [positions(run, stored[:number] + stored[number + 1 :]) for number, run in enumerate(stored)]
        for stored in runs.values()
    ]
    least = np.array([together(choice).min() for choice in itertools.product(*left_out)])
    share = (least <= notebooks.min()).mean()
    text = " ".join((ENSEMBLES / "README.md").read_text(encoding="utf-8").split())
    assert f"together p = {notebooks.min():.3f} (" in text, notebooks.min()
    assert f"most extreme of {len(notebooks)} columns" in text
    assert f"as extreme in {100 * share:.0f} % of the {len(least)} choices" in text, share
    train_loss = sum(len(values) for metric, values in sorted(runs["model1"][0].items()) if metric < "train_loss")
    assert int(notebooks.argmin()) == train_loss


def test_the_placing_is_in_the_readme():
    """baselines/ensembles/README.md holds what `python -m cnnspec place` prints for the two ensembles."""
    table = markdown.of_frame(likelihood.table(notebook.curves, COMPARED.values(), notebook.trained_models()))
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the table is now\n{table}"


LAST = {"loss": "loss_10", "val_loss": "val_loss_10", "train_loss": "final_train_loss"}  # a curve -> the column of its end


def test_every_candidate_is_in_the_readme():
    """baselines/ensembles/README.md holds the losses of model2 by each optimizer that the page's cut allows.

    With Adagrad and Adamax every run's last training loss and evaluated train loss are larger than the notebook's.
    """
    curves, lines, nats, above = notebook.curves("model2"), [], [], []
    for name, folder in FOLDERS.items():
        stored = store.read(folder / "model2.csv")
        columns = [stored["loss_1"], *(stored[column] for column in LAST.values())]
        cells = [name, str(len(stored)), *(f"{each.min():.4f} to {each.max():.4f}" for each in columns)]
        lines.append("| " + " | ".join(cells) + " |")
        table = likelihood.table(notebook.curves, [folder], ["model2"]).set_index("model")
        found = [table.at["model2", likelihood.column(folder.name, counted)] for counted in likelihood.COUNTED]
        nats.append(f"{' and '.join(found)} with {name.capitalize()}")
        above.append({metric: float(stored[column].min() / curves[metric][-1] - 1) for metric, column in LAST.items()})
    theirs = [curves["loss"][0], *(curves[metric][-1] for metric in LAST)]
    lines.append("| " + " | ".join(["notebook", "1", *(f"{value:.4f}" for value in theirs)]) + " |")
    text = (ENSEMBLES / "README.md").read_text(encoding="utf-8")
    rows = "\n".join(lines)
    assert rows in text, f"the rows are now\n{rows}"
    flat = " ".join(text.split())
    for each in (nats[0], *nats[2:]):
        assert each in flat, each
    least = [f"{100 * min(by[metric] for by in above[2:]):.0f} %" for metric in ("loss", "train_loss")]
    assert f"by {' and '.join(least)} at least" in flat, least


def test_the_last_losses_are_in_the_readme():
    """baselines/ensembles/README.md holds the notebook's last losses and the range of the stored runs with Adam."""
    lines = []
    for model in notebook.trained_models():
        stored, cells = store.read(FOLDERS["adam"] / f"{model}.csv"), [model]
        for metric, column in LAST.items():
            theirs = notebook.curves(model)[metric][-1]
            cells += [f"{theirs:.4f}", f"{stored[column].min():.4f} to {stored[column].max():.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the rows are now\n{table}"


def test_a_difference_that_is_not_detected_is_in_the_readme():
    """baselines/ensembles/README.md gives the figures of model1's stored runs with Adadelta among those with Adam."""
    reference = membership.stored(FOLDERS["adam"], notebook.trained_models())
    others = membership.stored(FOLDERS["adadelta"], ["model1"]).runs["model1"]
    said = []
    for what, figure in (("distance", membership.distance), ("farthest value", membership.farthest)):
        places = [reference.plausibility(reference.residuals(run, reference.runs["model1"]), figure) for run in others]
        least, *_, greatest = sorted(place.value for place in places)
        said.append(f"{what} {least:.1f} to {greatest:.1f} SD, limit {places[0].bound:.1f} SD")
        assert all(place.plausible for place in places)
    text = " ".join((ENSEMBLES / "README.md").read_text(encoding="utf-8").split())
    assert f"({'; '.join(said)})" in text, said


def test_a_gpu_is_in_the_readme():
    """baselines/ensembles/README.md holds the last losses of the runs on an H100, and their distance from the stored runs.

    Each is a plausible member of the runs on a CPU, by its distance and by its farthest value.
    """
    reference, rows = membership.stored(FOLDERS["adam"], notebook.trained_models()), []
    for model in notebook.trained_models():
        path = H100 / f"{model}.csv"
        (curves,), (row,) = store.curves(path, 10, "mnist"), store.read(path).itertuples()
        residuals = reference.residuals(membership.judged(curves), reference.runs[model])
        places = [reference.plausibility(residuals, figure) for figure in (membership.distance, membership.farthest)]
        assert all(place.plausible for place in places)
        losses = f"{row.final_test_loss:.4f} | {row.final_train_loss:.4f}"
        rows.append(f"| {model} | {losses} | {places[0].value:.2f} SD | {places[1].value:.2f} SD |")
    table = "\n".join(rows)
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the rows are now\n{table}"


def test_an_ensemble_of_a_gpu_is_in_the_readme():
    """baselines/ensembles/README.md holds the comparison of the runs on an H200 with those on a CPU, and their farthest.

    Each is a plausible member of the runs on a CPU.
    """
    reference, farthest = membership.stored(FOLDERS["adam"], notebook.trained_models()), []
    for model in notebook.trained_models():
        for curves in store.curves(H200 / f"{model}.csv", 10, "mnist"):
            residuals = reference.residuals(membership.judged(curves), reference.runs[model])
            places = [reference.plausibility(residuals, figure) for figure in (membership.distance, membership.farthest)]
            assert all(place.plausible for place in places)
            farthest.append([place.value for place in places])
    table = markdown.of_frame(equivalence.table(FOLDERS["adam"], H200, 10))
    text = (ENSEMBLES / "README.md").read_text(encoding="utf-8")
    assert table in text, f"the table is now\n{table}"
    distance, value = np.max(farthest, axis=0)
    said = f"trained {len(farthest)} runs", f"no distance above {distance:.2f} SD, no value farther out than {value:.2f} SD"
    for words in said:
        assert words in " ".join(text.split()), words


def scores_above(value, stored):
    """How far a loss lies above stored ones, on the log scale, in standard deviations of one further run."""
    logs = np.log(stored)
    return (np.log(value) - logs.mean()) / (logs.std(ddof=1) * np.sqrt(1 + 1 / len(logs)))


def test_the_notebooks_own_stack_is_in_the_readme():
    """baselines/ensembles/README.md says how the notebook lies among runs of its own stack, and gives model2's losses."""
    stored, theirs = store.read(OF_2019 / "model2.csv"), notebook.curves("model2")
    assert set(stored.framework) == {"tensorflow 1.13.1"}
    assert stored.untrained_loss.nunique() == 1  # one draw of weights
    found = membership.stored(OF_2019, ["model2"])
    residuals = found.residuals(membership.judged(theirs), found.runs["model2"])
    places = [found.plausibility(residuals, figure) for figure in (membership.distance, membership.farthest)]
    assert all(place.plausible for place in places)
    nats = [
        likelihood.table(notebook.curves, [folder], ["model2"])
        .set_index("model")
        .at["model2", likelihood.column(folder.name, likelihood.ONCE)]
        for folder in (OF_2019, FOLDERS["adam"])
    ]
    said = (
        f"(`mnist-2019`, {len(stored)} runs)",
        f"distance {places[0].value:.2f} SD (p = {places[0].probability:.2g}), farthest value {places[1].value:.2f} SD "
        f"(p = {places[1].probability:.2g}).",
        f"Each curve counted once its log-likelihood is {nats[0]} nats, and {nats[1]} among the runs of today's stack.",
    )
    above = [scores_above(value, stored[f"loss_{epoch}"]) for epoch, value in enumerate(theirs["loss"], 1)]
    said += (f"in each of the ten epochs, by {min(above):.1f} to {max(above):.1f} SD",)
    assert min(above) > 0
    text = (ENSEMBLES / "README.md").read_text(encoding="utf-8")
    for words in said:
        assert words in " ".join(text.split()), words
    table = losses_of("model2", ["its own stack", "today's stack from the same kernels", "today's stack, a draw each"])
    assert table in text, f"the rows are now\n{table}"
    assert stored["final_train_loss"].min() < theirs["train_loss"][-1] < stored["final_train_loss"].max()


def losses_of(model, stacks):
    """Rows of baselines/ensembles/README.md: a model's first and last losses in the notebook and in runs of STACKS."""
    theirs, columns = notebook.curves(model), ["loss_1", *LAST.values()]
    values = [theirs["loss"][0], *(theirs[metric][-1] for metric in LAST)]
    rows = ["| notebook | " + " | ".join(f"{value:.4f}" for value in values) + " |"]
    for name in stacks:
        runs = store.read(STACKS[name] / f"{model}.csv")
        cells = [f"{runs[column].min():.4f} to {runs[column].max():.4f}" for column in columns]
        rows.append(f"| {name}, {len(runs)} runs | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def test_model4_among_runs_of_its_own_stack_is_in_the_readme():
    """baselines/ensembles/README.md says how the notebook lies among its own stack's runs of model4, with their losses."""
    found = membership.stored(OF_2019, ["model2", "model4"])
    residuals = found.residuals(membership.judged(notebook.curves("model4")), found.runs["model4"])
    distance, farthest = (found.plausibility(residuals, figure) for figure in (membership.distance, membership.farthest))
    assert distance.plausible
    assert farthest.plausible
    said = (
        f"distance {distance.value:.2f} SD (p = {distance.probability:.2g}), farthest value {farthest.value:.2f} SD "
        f"(p = {farthest.probability:.2g}); {len(found.runs['model4'])} runs"
    )
    text = (ENSEMBLES / "README.md").read_text(encoding="utf-8")
    assert said in " ".join(text.split()), said
    table = losses_of("model4", ["its own stack", "today's stack, a draw each"])
    assert table in text, f"the rows are now\n{table}"


def test_two_stacks_from_one_draw_are_in_the_readme():
    """baselines/ensembles/README.md compares 2019's stack with today's from the same kernels, to the last digit of a loss.

    The ratio of the first epoch's training loss, in which they differ, stands there with its interval.
    """
    ours, theirs = (store.read(folder / "model2.csv") for folder in (DRAW_OF_2019, OF_2019))
    assert set(ours.framework) == {"tensorflow 2.21.0"}
    assert set(ours.untrained_loss) == set(theirs.untrained_loss)
    table = markdown.of_frame(equivalence.table(DRAW_OF_2019, OF_2019, 10))
    text = (ENSEMBLES / "README.md").read_text(encoding="utf-8")
    assert table in text, f"the table is now\n{table}"
    ratio, low, high, verdict = equivalence.compare(list(ours["loss_1"]), list(theirs["loss_1"]))
    said = f"in the first epoch {ratio:.3f} (90% interval {low:.3f} to {high:.3f}, {verdict})"
    assert said in " ".join(text.split()), said
    notebooks = notebook.curves("model2")["loss"]
    for epoch in (1, 10):
        assert notebooks[epoch - 1] > max(ours[f"loss_{epoch}"].max(), theirs[f"loss_{epoch}"].max())
    last = equivalence.compare(list(theirs["loss_10"]), list(ours["loss_10"]))[0]
    found = membership.stored(OF_2019, ["model2"])
    residuals = found.residuals(membership.judged(notebook.curves("model2")), found.runs["model2"])
    p = found.plausibility(residuals, membership.distance).probability
    page = (reading.PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"today's stack reaches {last:.3f} of the training loss of [2019's]" in page, last
    assert f"the notebook lies at the edge of {len(theirs)} runs of that stack (p = {p:.2g})" in page, p


def test_the_kernels_are_those_of_2019():
    """The digests that TensorFlow 1.13.1 with Keras 2.2.4 printed of its own `he_uniform(seed=1)` kernels of model2."""
    pytest.importorskip("tensorflow")
    drawn = {
        (3, 3, 1, 32): "25fbee34dddbcc5d",
        (3, 3, 32, 32): "02a53a4c243a41ab",
        (1568, 100): "50f631482a593899",
        (100, 10): "813d87f003df8e74",
    }
    for shape, digest in drawn.items():
        assert hashlib.sha256(draw_of_2019.he_uniform(shape).tobytes()).hexdigest()[:16] == digest
