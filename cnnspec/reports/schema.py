"""What a report's file must hold: its fields with types, ranges and lengths, and what must agree between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnspec import content
from cnnspec.content import Fault
from cnnspec.errors import MalformedReport
from cnnspec.names import DATASETS, LEVELS
from cnnspec.shapes import (
    COUNT,
    EPOCHS,
    LOSS,
    NUMBERS,
    SEED,
    SHARE,
    STACK,
    TEXT,
    Maybe,
    Number,
    Text,
    counted,
    fault_of_framework,
    fault_of_history,
    inside,
    other_length,
    shown,
)

REMEDY = "run the suite again, or leave the file out"
NO_FILE = "give the paths of reports that the suite wrote"
COUNTS = dict.fromkeys(("passed", "failed", "skipped", "xfailed"), COUNT)
REASONS = [{"test": TEXT, "reason": TEXT}]
END = Number(1e-200, 1e200)  # of a band, whose scale is logarithmic
BAND = {"low": [END], "mean": [END], "high": [END]}
SCORES = {
    Maybe(f"{split}_{metric}"): shape
    for split in ("test", "train")
    for metric, shape in (("loss", LOSS), ("accuracy", SHARE))
}
RUN = {"history": {str: [NUMBERS]}, "scores": SCORES, "bands": {str: BAND}}
OPTIONS = {
    "level": Text(LEVELS),
    "dataset": Text(DATASETS),
    "epochs": EPOCHS,
    "seed": SEED,
    "runs": COUNT,
    "device": TEXT,
    "workers": COUNT,
}
# {field of Report: shape}; `misfit` says what a shape is.
FIELDS: dict[Any, Any] = {
    "environment": Text(null=True),
    "cnnspec": TEXT,
    "date": TEXT,
    "options": OPTIONS,
    "stack": STACK,
    "verdict": TEXT,
    "tiers": {str: COUNTS},
    "others": COUNTS,
    "failed": REASONS,
    "not_run": REASONS,
    "known_differences": REASONS,
    "margins": {str: {str: Number(0, null=True)}},
    "precision": [TEXT],
    "table": {str: {str: LOSS}},
    "trainings": {str: RUN},
    "seconds": Number(0, 1e12),
    Maybe("digests"): {str: TEXT},
    Maybe("drawn_again"): REASONS,
}


def read(path: str | Path, form: str) -> dict[str, Any]:
    """The fields of the report at `path`, without its format, which must be `form`. Raises MalformedReport."""
    with content.told_as(MalformedReport, path, REMEDY, NO_FILE):
        fields = content.json_of(path)
        found = fields.pop("format", None) if isinstance(fields, dict) else None
        if found != form:
            raise Fault(f" {f'has format {shown(found)}' if found else 'has no format'}, expected {form!r}")
        content.fitting(fields, FIELDS)
        fault = disagreement(fields)
        if fault:
            raise Fault(f": {fault}")
        return fields


def disagreement(fields: Mapping[str, Any]) -> str | None:
    """The first of a report's fields that does not agree with another, in words; `fields` have the shape FIELDS."""
    fault = fault_of_framework(fields["stack"])
    if fault:
        return fault
    for model, run in fields["trainings"].items():
        place = inside("trainings", model)
        fault = fault_of_history(run["history"], f"{place}.history")
        if fault:
            return fault
        epochs = len(run["history"]["seconds"])
        if epochs != fields["options"]["epochs"]:
            return f"{place}.history has {counted(epochs, 'epoch')}, options.epochs is {fields['options']['epochs']}"
        for metric, band in run["bands"].items():
            here = inside(f"{place}.bands", metric)
            fault = next(filter(None, (other_length(f"{here}.{end}", band[end], epochs) for end in BAND)), None)
            if fault:
                return fault
            ends = list(zip(band["low"], band["mean"], band["high"], strict=True))
            crossed = next((number for number, (low, mean, high) in enumerate(ends) if not low <= mean <= high), None)
            if crossed is not None:
                return f"{here} is crossed in epoch {crossed + 1}: low, mean and high are {ends[crossed]}"
    return None
