"""Which defects do paired trainings detect, and do healthy runs stay within a quarter of the bounds? Judged by stored runs.

`python -m tests.meta.faults.paired_faults` made the faulty runs, `python -m cnnspec paired` the others. A change of a bound
thus shows which defects it would miss.
"""

import functools

import numpy as np
import pandas as pd
import pytest

from cnnspec.names import MODELS
from cnnspec.paired import setting, store
from cnnspec.reports import markdown
from tests.meta.faults import paired_faults
from tests.support import paired

README = paired.FOLDER / "README.md"
HELD_OUT = 4  # perturbed starts that no bound was taken from
STARTS = 6  # perturbed starts of this stack, from which bounds were taken
MOST = 0.25  # share of a bound that healthy runs may use: bounds are at least four times what was measured
LEAST_POWER = 10.0  # times its bound by which the best model sees each defect
USEFUL = 0.01  # the largest bound of a loss: a shift of 1 % is seen


@functools.cache
def references(model, keras_2):
    """The references of a model, and the rows that they come from."""
    frame = paired.healthy(model, keras_2)
    return paired.references(model, frame), frame


def judged(model, row):
    """{(epoch, kind): (share of the bound, the Quantity)} of a stored run."""
    keras_2 = row["keras"].startswith("2.")
    reference, _ = references(model, keras_2)
    return paired.shares(paired.quantities(model, reference, row, paired.bounds(model, keras_2)))


def rows(path, model):
    """The runs of a file, as dicts."""
    return store.read(path, model).to_dict("records")


@functools.cache
def faulty(model):
    """{defect: its largest share of a bound and that Quantity, its seconds}."""
    found = {}
    for row in rows(paired.FOLDER / "faults" / f"{model}.csv", model):
        found[row["fault"]] = (*max(judged(model, row).values(), key=lambda pair: pair[0]), float(row["seconds"]))
    return found


def times(share):
    """A share of a bound as text."""
    return "exact" if np.isinf(share) else f"{share:.1f}" if share < 10 else f"{share:,.0f}"


def fault_table():
    """The README's table: of each defect, by how many times its bound each model sees it, and by which quantity."""
    table = []
    for fault in paired_faults.STORED:
        row = {"defect": fault}
        for model in paired_faults.MODELS:
            share, quantity, _ = faulty(model)[fault]
            row[model] = f"{'**' * (share > 1)}{times(share)}{'**' * (share > 1)}, {quantity.name.replace('epoch ', '')}"
        table.append(row)
    return markdown.of_frame(pd.DataFrame(table))


def spread_table():
    """The README's table: largest deviation from the middle, of starts of one stack and of stacks, and bounds."""
    table = []
    for model in MODELS:
        _, frame = references(model, False)
        here = frame[(frame.framework == frame.framework[0]) & (frame.onednn == frame.onednn[0])]
        here = here[(here.cores == frame.cores[0]) & (here.xla == "off")]
        starts = here[here.start != str(setting.UNPERTURBED)]
        stacks = frame[frame.start == str(setting.UNPERTURBED)]
        bounds = paired.bounds(model, False)
        for epoch in range(1, setting.fit_of(model)[1] + 1):
            for kind in [name for name in bounds if isinstance(bounds[name], dict) and f"epoch_{epoch}" in bounds[name]]:
                names = [
                    name
                    for name in setting.quantities(model)
                    if (setting.split(name)[0], setting.kind(name)) == (epoch, kind)
                ]
                row = {"model": model, "quantity": f"{epoch}, {kind}"}
                for label, chosen in (("between starts", starts), ("between stacks", stacks)):
                    own = paired.references(model, chosen)
                    row[label] = f"{max(deviation(model, own, chosen, name) for name in names):.2g}"
                table.append({**row, "bound": f"{bounds[kind][f'epoch_{epoch}']:.3g}"})
    return markdown.of_frame(pd.DataFrame(table))


def deviation(model, reference, frame, name):
    """The largest deviation of a quantity from its reference: relative, of an accuracy in images."""
    middle = reference[name].middle
    scale = 1 / setting.images(model, name) if setting.kind(name) == "accuracy" else abs(middle)
    return float((frame[name] - middle).abs().max() / scale)


@pytest.mark.parametrize("table", [fault_table, spread_table], ids=lambda table: table.__name__)
def test_the_table_is_in_the_readme(table):
    """baselines/paired/README.md holds the tables that these files give."""
    made = table()
    assert made in README.read_text(encoding="utf-8"), f"the table is now\n{made}"


@pytest.mark.parametrize("fault", paired_faults.STORED)
def test_a_defect_is_detected(fault):
    """A model sees each defect that a paired training can have, by ten times its bound at least."""
    assert max(faulty(model)[fault][0] for model in paired_faults.MODELS) >= LEAST_POWER


def test_every_defect_is_accounted_for():
    """A defect is stored, or absent from a training whose weights and order are given, or has no numbers."""
    apart = {*paired_faults.STORED, *paired_faults.ABSENT, *paired_faults.UNSTORED}
    assert apart == set(paired_faults.PAIRED_FAULTS)
    for model in paired_faults.MODELS:
        assert set(faulty(model)) == set(paired_faults.STORED)


@pytest.mark.parametrize("model", MODELS)
def test_healthy_runs_use_a_quarter_of_the_bounds(model):
    """Every run that references were taken from, and perturbed starts that they were not, of both Keras."""
    held_out = rows(paired.FOLDER / "held-out" / f"{model}.csv", model)
    assert len(held_out) >= HELD_OUT
    assert not {row["start"] for row in held_out} & set(references(model, False)[1].start)
    stored = rows(paired.FOLDER / f"{model}.csv", model)
    assert len({(row["framework"], row["keras"]) for row in stored}) >= 5
    assert len({row["start"] for row in stored} - {str(setting.UNPERTURBED)}) >= STARTS
    for row in [*stored, *held_out]:
        share, quantity = max(judged(model, row).values(), key=lambda pair: pair[0])
        assert share <= MOST, f"{row['framework']}, start {row['start']}: {quantity.told()}"


@pytest.mark.parametrize("model", MODELS)
def test_bounds_are_useful(model):
    """No loss may be off by 1 %: a shift of all losses by that much is seen in every one of them."""
    bounds = paired.bounds(model, False)
    losses = [limit for kind in ("loss", "val_loss", "train_loss") for limit in bounds[kind].values()]
    assert max(losses) < USEFUL
    reference, _ = references(model, False)
    shifted = {name: each.middle * (1 + USEFUL * ("loss" in name)) for name, each in reference.items()}
    seen = {
        key for key, (share, _) in paired.shares(paired.quantities(model, reference, shifted, bounds)).items() if share > 1
    }
    assert {kind for _, kind in seen} == {"loss", "val_loss", "train_loss"}
