"""Reports with made-up figures, for the tests of what reads them."""

import copy

from cnnspec.names import MODELS
from cnnspec.reports.report import Report
from cnnspec.reports.verdicts import TIERS

COUNTS = {"passed": 3, "failed": 0, "skipped": 0, "xfailed": 0}
LAYERS, ADAM = "tests/test_numerics.py::test_layer_outputs[model1]", "tests/test_optimizer.py::test_adam[model1-1]"
BAND = {"low": [0.3, 0.1], "mean": [0.4, 0.2], "high": [0.6, 0.4]}
STACK = {
    "python": "3.12.1",
    "platform": "Linux x86_64",
    "keras": "3.15.1",
    "backend": "tensorflow",
    "framework": "tensorflow 2.21.0",
    "numpy": "2.4.6",
    "device": "CPU",
    "cpu": "Some CPU",
    "cores": 2,
    "memory_gib": 24,
    "precision": "float32",
}


def made(environment="tf221", framework="tensorflow 2.21.0", share=0.25, seconds=2.0, **changes):
    """A whole Report; `share` is that of one check of numerics, `seconds` those of the later epoch.

    Tests named in `failed` are counted as failed in numerics, where `changes` has no tiers of its own.
    """
    run = {
        "history": {"loss": [0.5, 0.3], "val_loss": [0.4, 0.21], "seconds": [3.0, seconds]},
        "scores": {"test_loss": 0.21, "train_loss": 0.11},
        "bands": {"loss": copy.deepcopy(BAND), "val_loss": copy.deepcopy(BAND)},
    }
    fields = {
        "environment": environment,
        "cnnspec": "0.1.0",
        "date": "2026-01-02T03:04:05+00:00",
        "options": {
            "level": "default",
            "dataset": "mnist5k",
            "epochs": 2,
            "seed": 1000,
            "runs": 1,
            "device": "auto",
            "workers": 1,
        },
        "stack": {**STACK, "framework": framework, "backend": framework.split()[0]},
        "verdict": "pass",
        "tiers": {tier: dict(COUNTS) for tier in TIERS},
        "others": dict(COUNTS),
        "failed": [],
        "not_run": [],
        "known_differences": [],
        "margins": {LAYERS: {"layer 1": share, "layer 2": 0.02}, ADAM: {"variable 1": 0.125}},
        "precision": [],
        "table": {"Test Loss": dict.fromkeys(MODELS, 0.2109), "Train Loss": dict.fromkeys(MODELS, 0.1101)},
        "trainings": {model: copy.deepcopy(run) for model in MODELS},
        "seconds": 101.5,
    }
    fields["tiers"]["numerics"]["failed"] = len(changes.get("failed", []))
    return Report(**{**fields, **changes})
