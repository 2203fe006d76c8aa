"""After how many epochs does the training tier detect faults that only a training shows? Judged by stored runs with faults.

The runs under `baselines/ensembles/mnist5k-faults` were made by `python -m tests.meta.faults.training_faults`. They are
judged here without training again. A change of the bands or of the number of epochs thus shows which faults it would miss.
"""

import functools

import pandas as pd
import pytest
from scipy import stats

from cnnspec.ensembles import bands, distance, store
from cnnspec.ensembles.false_alarms import ALL
from cnnspec.facts import notebook, reading
from cnnspec.reports import markdown
from tests.meta.faults.training_faults import HEALTHY, STORED, TRAINING_FAULTS, folder_of
from tests.plugin.trainings import EPOCHS

ENSEMBLES = reading.BASELINES / "ensembles"
SHOWN = (1, 2, 3, 4)  # epochs
# Processor seconds of one training of all four models, from building them to the last evaluation: TensorFlow 2.21.0, 2
# cores of an AMD EPYC beside other jobs, one run; 1 and 4 epochs measured, 2 and 3 on the line between them.
SECONDS = {1: 41, 2: 60, 3: 79, 4: 98}
# Faults that a free training of plain pytest does not detect: those that move a loss by less than healthy runs differ.
MISSED = {"2 % wrong labels", "test data leaked"}


@functools.cache
def judges_of(model, epochs):
    """({quantity: (Quantity, Band)} of the judged quantities, Cloud) of a model after a number of epochs."""
    curves = store.curves(ENSEMBLES / "mnist5k" / f"{model}.csv", epochs)
    judged = {name: pair for name, pair in bands.by_quantity(curves, "mnist5k").items() if pair[1].judged}
    return judged, distance.cloud(curves, judged)


def curves(fault, model, epochs):
    """Curves of the stored run of a model with a fault, after some epochs; "one epoch short" is a healthy run cut.

    After one epoch it has trained nothing: its losses are those of before the training.
    """
    short = fault == "one epoch short"
    path = ENSEMBLES / "mnist5k-faults" / folder_of(HEALTHY if short else fault) / f"{model}.csv"
    (run,) = store.curves(path, epochs - 1 if short else epochs)
    return run


def margins(fault, epochs):
    """{(model, check): (distance in SD, share of the limit used)} of a fault after a number of epochs."""
    found = {}
    for model in STORED.get(fault, notebook.trained_models()):
        run = curves(fault, model, epochs)
        judged, cloud = judges_of(model, epochs)
        values = {name: quantity.measure(run) for name, (quantity, _) in judged.items()}
        for name, (_, band) in judged.items():
            found[model, name] = (values[name] - band.mean) / band.deviation, band.used(values[name])
        whole = cloud.distance(values)
        found[model, ALL] = whole, whole / cloud.limit
    return found


def detected(fault, epochs):
    """Whether any check of a fault's runs fails. A training of no epochs has no history, which always fails."""
    if fault == "one epoch short" and epochs == 1:
        return True
    return any(used > 1 for _, used in margins(fault, epochs).values())


def reliably_detected(fault, epochs):
    """Whether a fault is detected with 95 of 100 seeds, if its stored run is typical: 1.64 SD beyond a limit.

    A missing epoch is always detected, by the length of the history.
    """
    if fault == "one epoch short":
        return True
    room = stats.norm.ppf(bands.POWER)
    return any(abs(distance) - room >= abs(distance) / used for distance, used in margins(fault, epochs).values())


def fault_table():
    """The README's table: per fault and number of epochs, the check that used most of its limit; bold where detected."""
    rows = []
    for fault in TRAINING_FAULTS:
        row = {"fault": fault}
        for epochs in SHOWN:
            if fault == "one epoch short" and epochs == 1:
                row["1"] = "**no history**"
                continue
            (model, name), (far, used) = max(margins(fault, epochs).items(), key=lambda item: item[1][1])
            row[str(epochs)] = f"{'**' * (used > 1)}{far:+.1f}{'**' * (used > 1)} of {abs(far) / used:.1f}"
            if epochs == EPOCHS:
                row["check"] = f"{model}, {name}"
        rows.append({"fault": fault, "check": "", **row})
    counts = {epochs: sum(reliably_detected(fault, epochs) for fault in TRAINING_FAULTS) for epochs in SHOWN}
    rows.append({"fault": "number detected with 95 of 100 seeds", **{str(e): str(n) for e, n in counts.items()}})
    rows.append({"fault": "processor seconds of the trainings", **{str(e): f"{SECONDS[e]:.0f}" for e in SHOWN}})
    rows.append({"fault": "detected per minute", **{str(e): f"{60 * counts[e] / SECONDS[e]:.1f}" for e in SHOWN}})
    return markdown.of_frame(pd.DataFrame(rows, columns=["fault", *map(str, SHOWN), "check"]).fillna(""))


def test_the_table_is_in_the_readme():
    """baselines/ensembles/README.md holds the table that these files give."""
    table = fault_table()
    assert table in (ENSEMBLES / "README.md").read_text(encoding="utf-8"), f"the table is now\n{table}"


def test_which_faults_plain_pytest_detects():
    """Of the faults of a training those outside MISSED fail a check after the epochs of plain pytest, and no other."""
    assert {fault for fault in TRAINING_FAULTS if not detected(fault, EPOCHS)} == MISSED


@pytest.mark.parametrize("fault", TRAINING_FAULTS)
def test_four_epochs_detect_every_fault(fault):
    """With --epochs 4 every fault of a training fails a check."""
    assert detected(fault, 4), sorted(margins(fault, 4).items(), key=lambda item: -item[1][1])[:3]


@pytest.mark.parametrize("epochs", range(1, 11))
def test_a_healthy_run_is_not(epochs):
    """The same seed without a fault fails no check, after every number of epochs."""
    assert not detected(HEALTHY, epochs)
