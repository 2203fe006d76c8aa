"""After how many epochs does the training tier detect faults that only a training shows? Judged by stored runs with faults.

The runs under `baselines/ensembles/mnist5k-faults` were made by `python -m tests.meta.faults.training_faults`. They are
judged here without training again. A change of the bands or of the number of epochs thus shows which faults it would miss.
"""

import functools

import pandas as pd
import pytest
from scipy import stats

from cnnspec.ensembles import bands, store
from cnnspec.facts import notebook, reading
from cnnspec.names import SAMPLES
from cnnspec.reports import markdown
from tests.meta.faults.training_faults import HEALTHY, STORED, TRAINING_FAULTS, folder_of
from tests.plugin.trainings import EPOCHS

ENSEMBLES = reading.BASELINES / "ensembles"
SHOWN = (1, 2, 3, 4, 10)  # epochs
IMAGES = SAMPLES["mnist5k"]


@functools.cache
def bands_of(model, epochs):
    """The bands of a model after a number of epochs."""
    return bands.by_quantity(store.curves(ENSEMBLES / "mnist5k" / f"{model}.csv", epochs), "mnist5k")


def curves(fault, model, epochs):
    """Curves of the stored run of a model with a fault, after some epochs; "one epoch short" is a healthy run cut."""
    short = fault == "one epoch short"
    path = ENSEMBLES / "mnist5k-faults" / folder_of(HEALTHY if short else fault) / f"{model}.csv"
    (run,) = store.curves(path, epochs - 1 if short else epochs)
    return run


def margins(fault, epochs):
    """{(model, quantity): (distance in SD, share of the band used)} of a fault after a number of epochs."""
    found = {}
    for model in STORED.get(fault, notebook.trained_models()):
        run = curves(fault, model, epochs)
        for name, (quantity, band) in bands_of(model, epochs).items():
            value = quantity.measure(run, IMAGES)
            found[model, name] = (value - band.mean) / band.deviation, band.used(value)
    return found


def detected(fault, epochs):
    """Whether any quantity of a fault's runs lies outside its band."""
    return any(used > 1 for _, used in margins(fault, epochs).values())


def reliably_detected(fault, epochs):
    """Whether a fault is detected with 95 of 100 seeds, if its stored run is typical: 1.64 SD outside a band.

    A missing epoch is always detected, by the length of the history.
    """
    if fault == "one epoch short":
        return epochs > 1
    room = stats.norm.ppf(bands.POWER)
    return any(abs(distance) - room >= abs(distance) / used for distance, used in margins(fault, epochs).values())


def fault_table():
    """The README's table: per fault and number of epochs, the largest distance from a mean in SD; bold where detected."""
    rows = []
    for fault in TRAINING_FAULTS:
        row = {"fault": fault}
        for epochs in SHOWN:
            if fault == "one epoch short" and epochs == 1:
                row["1"] = "trains nothing"
                continue
            (model, name), (distance, used) = max(margins(fault, epochs).items(), key=lambda item: item[1][1])
            row[str(epochs)] = f"{'**' * (used > 1)}{distance:+.1f}{'**' * (used > 1)} of {abs(distance) / used:.1f}"
            if epochs == EPOCHS:
                row["check"] = f"{model}, {name}"
        rows.append(row)
    counts = {str(epochs): str(sum(reliably_detected(fault, epochs) for fault in TRAINING_FAULTS)) for epochs in SHOWN}
    rows.append({"fault": "number detected with 95 of 100 seeds", **counts, "check": ""})
    return markdown.of_frame(pd.DataFrame(rows))


def test_the_table_is_in_the_readme():
    """baselines/ensembles/README.md holds the table that these files give."""
    table = fault_table()
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the table is now\n{table}"


@pytest.mark.parametrize("fault", TRAINING_FAULTS)
def test_a_fault_is_detected_in_plain_pytest(fault):
    """Every fault of a training lies outside a band after the number of epochs that plain pytest trains."""
    assert detected(fault, EPOCHS), sorted(margins(fault, EPOCHS).items(), key=lambda item: -item[1][1])[:3]


@pytest.mark.parametrize("epochs", range(1, 11))
def test_a_healthy_run_is_not(epochs):
    """The same seed without a fault lies in its bands, after every number of epochs."""
    assert not detected(HEALTHY, epochs)
