"""The notebook's facts, read from `baselines/notebook/`, each with the cell it was transcribed from."""

from __future__ import annotations

import ast
import functools

from cnnspec.facts.reading import BASELINES, read_csv, read_toml
from cnnspec.names import MODELS

_COLUMNS = {
    "summary": ("model", "row", "layer", "class", "output_shape", "parameters", "cell"),
    "configuration": ("model", "row", "class", "setting", "value", "source"),
    "totals": ("model", "total", "trainable", "non_trainable", "cell"),
    "history": ("model", "epoch", "seconds", "loss", "accuracy", "val_loss", "val_accuracy", "cell"),
    "scores": ("model", "split", "metric", "value", "cell"),
    "results": ("row", *MODELS, "cell"),
    "later_settings": ("class", "setting", "value", "since"),
}


def facts(name):
    """One file of the notebook's facts as a frame of strings, as transcribed. Raises BaselineError."""
    return read_csv(BASELINES / "notebook" / f"{name}.csv", _COLUMNS[name])


def globals_toml():
    """`globals.toml` as nested dicts, every leaf a {value, cell}. Raises BaselineError."""
    return read_toml(BASELINES / "notebook" / "globals.toml")


def literal(text):
    """A transcribed value as Python: numbers, tuples, True, None; anything else is a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


@functools.lru_cache(maxsize=None)
def layers(model):
    """The layers of a model as the notebook defines them: one dict a layer, {"class": …, setting: value, …}.

    They are read once; whoever wants other layers copies them.
    """
    summary = facts("summary").query("model == @model")
    configuration = facts("configuration").query("model == @model")
    return [
        {
            "class": row["class"],
            **{c.setting: literal(c.value) for c in configuration[configuration.row == row["row"]].itertuples()},
        }
        for _, row in summary.iterrows()
    ]


def history(model):
    """The notebook's training log of a model: a frame of floats indexed by epoch (seconds, losses, accuracies)."""
    frame = facts("history").query("model == @model").drop(columns=["model", "cell"])
    return frame.astype(float).astype({"epoch": int}).set_index("epoch")


def curves(model):
    """The notebook's own run of a model as `store.curves` gives a stored one: {metric: values after each epoch}.

    The train set was evaluated once, after the last epoch (In [12] and its like).
    """
    log = history(model)
    scores = facts("scores").query("model == @model and split == 'train'").set_index("metric").value.astype(float)
    return {
        **{metric: log[metric].tolist() for metric in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "train_loss": [scores["loss"]],
        "train_accuracy": [scores["accuracy"]],
    }
