"""The notebook's facts, read from `baselines/notebook/`, each with the cell it was transcribed from."""

from __future__ import annotations

import ast
import functools
from typing import Any

import pandas as pd

from cnnspec import content
from cnnspec.errors import BaselineError
from cnnspec.facts import schema
from cnnspec.facts.reading import BASELINES, read_csv, read_toml, restore
from cnnspec.names import MODELS

FOLDER = BASELINES / "notebook"
ADD_A_MODEL = "CONTRIBUTING.md says how, under Add a model"


def facts(name: str) -> pd.DataFrame:
    """One file of the notebook's facts as a frame of strings, as transcribed. Raises BaselineError."""
    path, (columns, key) = FOLDER / f"{name}.csv", schema.NOTEBOOK[name]
    rows = read_csv(path, columns, key, texts=True)
    with content.told_as(BaselineError, path, restore(path)):
        fault = schema.disagreement(name, rows)
        if fault:
            raise content.Fault(f": {fault}")
    return pd.DataFrame(rows, columns=list(columns))


def facts_of(model: str, name: str) -> pd.DataFrame:
    """The rows of one model in a file of facts. Raises BaselineError where it has none."""
    frame = facts(name)
    rows = frame[frame["model"] == model]
    if rows.empty:
        raise BaselineError(f"{FOLDER / f'{name}.csv'} has no rows of {model}; add them, {ADD_A_MODEL}")
    return rows


def globals_toml() -> dict[str, Any]:
    """`globals.toml` as nested dicts, every leaf a {value, cell}. Raises BaselineError."""
    path = FOLDER / "globals.toml"
    found = read_toml(path)
    with content.told_as(BaselineError, path, restore(path)):
        fault = schema.fault_of_globals(found)
        if fault:
            raise content.Fault(f": {fault}")
    return found


def literal(text: str) -> Any:
    """A transcribed value as Python: numbers, tuples, True, None; anything else is a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@functools.lru_cache(maxsize=None)
def layers(model: str) -> list[dict[str, Any]]:
    """The layers of a model as the notebook defines them: one dict per layer, {"class": …, setting: value, …}.

    The dicts are cached: copy one before you change it. Raises BaselineError.
    """
    configuration = facts_of(model, "configuration")
    return [
        {
            "class": row["class"],
            **{c.setting: literal(c.value) for c in configuration[configuration["row"] == row["row"]].itertuples()},
        }
        for _, row in facts_of(model, "summary").iterrows()
    ]


def normalised_models() -> list[str]:
    """The models with a BatchNormalization layer, whose inference depends on moving averages."""
    return [model for model in MODELS if any(layer["class"] == "BatchNormalization" for layer in layers(model))]


def trained_models() -> list[str]:
    """The models whose training the notebook shows, by its scores."""
    trained = set(facts("scores")["model"])
    return [model for model in MODELS if model in trained]


def history(model: str) -> pd.DataFrame:
    """The notebook's training log of a model: a frame of floats indexed by epoch (seconds, losses, accuracies)."""
    frame = facts_of(model, "history").drop(columns=["model", "cell"])
    return frame.astype(float).astype({"epoch": int}).set_index("epoch")


def results_table() -> pd.DataFrame:
    """Out[46]: the notebook's results table, losses in nats: rows Test Loss and Train Loss, a column per model."""
    table = facts("results").pivot(index="row", columns="model", values="value").astype(float)
    return table[trained_models()].rename_axis(index=None, columns=None)


def curves(model: str) -> dict[str, list[float]]:
    """The notebook's own run of a model in the form of `store.curves`: {metric: values after each epoch}.

    The train set was evaluated once, after the last epoch (In [12] and the corresponding cells).
    """
    log, scores = history(model), facts_of(model, "scores")
    trained = scores[scores["split"] == "train"].set_index("metric")["value"].astype(float)
    return {
        **{metric: log[metric].tolist() for metric in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "train_loss": [trained["loss"]],
        "train_accuracy": [trained["accuracy"]],
    }
