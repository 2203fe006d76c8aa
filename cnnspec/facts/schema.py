"""What the files of `baselines/` must hold: columns with their shapes, tables with theirs, and what must agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnspec.names import RESULTS
from cnnspec.shapes import COUNT, LOSS, NAME, NUMBERS, SHARE, TEXT, Maybe, Number, Text, counted, inside, misfit

PLACE = Number(1, 1000, whole=True)
SHAPE = Text(form=(r"\(None(, [0-9]+)+\)", "a shape such as (None, 26, 26, 32)"))
# Files of baselines/notebook/: {name: (columns with their shapes, columns that tell a row from the others)}.
NOTEBOOK: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "summary": (
        {
            "model": NAME,
            "row": PLACE,
            "layer": NAME,
            "class": NAME,
            "output_shape": SHAPE,
            "parameters": COUNT,
            "cell": NAME,
        },
        ("model", "row"),
    ),
    "configuration": (
        {"model": NAME, "row": PLACE, "class": NAME, "setting": NAME, "value": NAME, "source": NAME},
        ("model", "row", "setting"),
    ),
    "totals": ({"model": NAME, "total": COUNT, "trainable": COUNT, "non_trainable": COUNT, "cell": NAME}, ("model",)),
    "history": (
        {
            "model": NAME,
            "epoch": PLACE,
            "seconds": Number(0, 1e6, above=True),
            "loss": LOSS,
            "accuracy": SHARE,
            "val_loss": LOSS,
            "val_accuracy": SHARE,
            "cell": NAME,
        },
        ("model", "epoch"),
    ),
    "scores": (
        {"model": NAME, "split": Text(("test", "train")), "metric": Text(("loss", "accuracy")), "value": LOSS, "cell": NAME},
        ("model", "split", "metric"),
    ),
    "results": ({"model": NAME, "row": Text(tuple(RESULTS)), "value": LOSS, "cell": NAME}, ("model", "row")),
    "later_settings": ({"class": NAME, "setting": NAME, "value": NAME, "since": NAME}, ("class", "setting")),
}
NUMBERED = {"summary": "row", "history": "epoch"}  # file -> column that counts from 1 in each model
ROWS = {"scores": 4, "results": len(RESULTS)}  # file -> rows of each model

LIMIT = Number(0, 1e6, above=True)
REASON = {"why": NAME, "measured": NAME}
BY_STEP = {"first": LIMIT, "growth": LIMIT, Maybe("most"): LIMIT}
BY_EPOCH = {Maybe("epoch_1"): LIMIT, Maybe("epoch_2"): LIMIT}
TRAJECTORIES: dict[Any, Any] = {str: {"loss": BY_STEP, "norm": BY_STEP, Maybe("probability"): LIMIT, **REASON}}
LIMITS: dict[Any, Any] = {**REASON, ...: LIMIT}
TRAININGS: dict[Any, Any] = {**REASON, ...: BY_EPOCH}
TOLERANCES: dict[Any, Any] = {
    "numerics": {str: LIMITS},
    "elements": {str: LIMITS},
    **dict.fromkeys(("trajectory", "trajectory_other_kernels", "trajectory_2019", "trajectory_2019_anew"), TRAJECTORIES),
    "lockstep": {"bookkeeping": LIMITS, ...: TRAININGS},
    **{name: {str: TRAININGS} for name in ("lockstep_keras_2", "paired", "paired_keras_2")},
    "bands": {str: {"shift": LIMIT, **REASON}},
    "mid_training": {str: LIMITS},
    ...: LIMITS,
}


def digest(digits: int) -> Text:
    """A number of `digits` hexadecimal digits."""
    return Text(form=(f"[0-9a-f]{{{digits}}}", f"{digits} hexadecimal digits"))


ARRAYS = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), digest(64))
DATASETS = {str: {"source": NAME, Maybe("split"): NAME, "sha256": ARRAYS}}
EXACT = {"source": NAME, "digests": {str: {str: digest(16)}}}
LEAF = {"value": (NUMBERS, TEXT, bool, [NUMBERS]), "cell": NAME}


def fault_of_globals(table: Mapping[str, Any], place: str = "") -> str | None:
    """What is wrong with a table of `globals.toml`, whose leaves have a value and its cell; None where nothing is."""
    if "value" in table or "cell" in table:
        return misfit(table, LEAF, place)
    if not table:
        return f"{place or 'the file'} is empty"
    for name, inner in table.items():
        if not isinstance(inner, dict):
            return f"{inside(place, name)} is not a table"
        fault = fault_of_globals(inner, inside(place, name))
        if fault:
            return fault
    return None


def disagreement(name: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What in a file of the notebook's facts does not agree with the rest of it, in words; None where all does."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.get("model", ""), []).append(int(row[NUMBERED[name]]) if name in NUMBERED else 1)
    for model, numbers in found.items():
        if name in NUMBERED and numbers != list(range(1, len(numbers) + 1)):
            return f"the {NUMBERED[name]}s of {model} are {', '.join(map(str, numbers))}, not 1 to {len(numbers)} in order"
        if name in ROWS and len(numbers) != ROWS[name]:
            return f"{model} has {counted(len(numbers), 'row')}, expected {ROWS[name]}"
    if name == "history" and len({len(numbers) for numbers in found.values()}) > 1:
        return "models have " + ", ".join(f"{counted(len(numbers), 'epoch')} ({model})" for model, numbers in found.items())
    return "it has no rows" if not rows else None
