"""What a report's file must hold: its fields with types, ranges and lengths, and what must agree between them."""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from cnnspec.errors import MalformedReport
from cnnspec.names import DATASETS, LEVELS

REMEDY = "run the suite again, or leave the file out"
LARGEST_FILE = 64 * 2**20  # bytes; the report of a whole run has about 100,000


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`, an integer where `whole`, or null where `null`."""

    low: float = -1e300
    high: float = 1e300
    whole: bool = False
    null: bool = False

    def __str__(self) -> str:
        least = f" of at least {self.low:g}" if self.low > -1e300 else ""
        limits = f" from {self.low:g} to {self.high:g}" if self.high < 1e300 else least
        return f"{'a whole number' if self.whole else 'a number'}{limits}{' or null' if self.null else ''}"

    def fits(self, value: Any) -> bool:
        """Whether a value read from JSON is such a number."""
        if value is None:
            return self.null
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Text:
    """A text, one of `choices` where there are any, or null where `null`."""

    choices: tuple[str, ...] = ()
    null: bool = False

    def __str__(self) -> str:
        return f"one of {', '.join(self.choices)}" if self.choices else f"a text{' or null' if self.null else ''}"

    def fits(self, value: Any) -> bool:
        """Whether a value read from JSON is such a text. Half of a pair of surrogates is no text: it cannot be printed."""
        if value is None:
            return self.null
        return isinstance(value, str) and printable(value) and (not self.choices or value in self.choices)


TEXT, NUMBER, COUNT = Text(), Number(), Number(0, 1e9, whole=True)
LOSS = Number(1e-200, 1e200)  # drawn on a logarithmic scale
SHARE = Number(0, 1.000001)  # a mean in float32 can be a little above 1
COUNTS = dict.fromkeys(("passed", "failed", "skipped", "xfailed"), COUNT)
REASONS = [{"test": TEXT, "reason": TEXT}]
BAND = {"low": [LOSS], "mean": [LOSS], "high": [LOSS]}
RUN = {"history": {str: [NUMBER]}, "scores": {str: NUMBER}, "bands": {str: BAND}}
STACK: dict[Any, Any] = {
    **dict.fromkeys(("python", "platform", "keras", "framework", "numpy", "device", "cpu", "precision"), TEXT),
    "cores": COUNT,
    ...: None,
}
OPTIONS = {
    "level": Text(LEVELS),
    "dataset": Text(DATASETS),
    "epochs": Number(1, 1e6, whole=True),
    "seed": Number(whole=True),
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
    "table": {str: {str: NUMBER}},
    "trainings": {str: RUN},
    "seconds": Number(0, 1e12),
}


def read(path: str | Path, form: str) -> dict[str, Any]:
    """The fields of the report at `path`, without its format, which must be `form`. Raises MalformedReport."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise MalformedReport(
            f"{path} cannot be read ({error.strerror}); give the paths of reports that the suite wrote"
        ) from error
    if len(content) > LARGEST_FILE:
        raise MalformedReport(f"{path} has more than {LARGEST_FILE // 2**20} MiB, too much for a report; {REMEDY}")
    try:
        fields = json.loads(content.decode("utf-8"), parse_constant=no_number, object_pairs_hook=without_repeats)
    except RecursionError as error:
        raise MalformedReport(f"{path} is nested too deeply for a report; {REMEDY}") from error
    except ValueError as error:
        raise MalformedReport(f"{path} is not valid JSON ({error}); {REMEDY}") from error
    found = fields.pop("format", None) if isinstance(fields, dict) else None
    if found != form:
        words = f"has format {shown(found)}" if found else "has no format"
        raise MalformedReport(f"{path} {words}, expected {form!r}; {REMEDY}")
    fault = misfit(fields, FIELDS, "") or disagreement(fields)
    if fault:
        raise MalformedReport(f"{path}: {fault}; {REMEDY}")
    return fields


def no_number(word: str) -> NoReturn:
    """Refuse NaN and infinities, which Python's JSON reads and JSON does not have."""
    raise ValueError(f"it has {word} where a number belongs")


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError for a repeated field, of which Python's JSON silently keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has the field {shown(next(n for n in names if names.count(n) > 1))} more than once")
    return found


def misfit(value: Any, shape: Any, place: str) -> str | None:
    """Where a value read from JSON first differs from a shape, in words; None where it has that shape.

    A shape is a Number or a Text, [shape] for a list, {str: shape} for a dict with any keys, or a dict with the keys that
    must be there. With `...` among its keys, others may be there too.
    """
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is not a list"
        parts = [(item, shape[0], f"{place}[{number}]") for number, item in enumerate(value)]
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{place or 'the file'} is not an object"
        bad = next((key for key in value if not printable(key)), None)
        if bad is not None:
            return f"{place or 'the file'} has the field {shown(bad)}, whose name is not a text"
        if str in shape:
            parts = [(item, shape[str], inside(place, key)) for key, item in value.items()]
        else:
            due = {key for key in shape if key is not ...}
            if due - set(value) or (set(value) - due and ... not in shape):
                differ = {"missing": due - set(value), "unknown": set(value) - due if ... not in shape else set()}
                words = [
                    f"{kind}: {', '.join(one_line(key) for key in sorted(keys))}" for kind, keys in differ.items() if keys
                ]
                return f"fields of {place or 'the file'} {'; '.join(words)}"
            parts = [(value[key], shape[key], inside(place, key)) for key in sorted(due)]
    else:
        return None if shape.fits(value) else f"{place} is {shown(value)}, not {shape}"
    return next((fault for fault in (misfit(*part) for part in parts) if fault), None)


def disagreement(fields: Mapping[str, Any]) -> str | None:
    """The first of a report's fields that does not agree with another, in words; `fields` have the shape FIELDS."""
    framework = fields["stack"]["framework"]
    if not all(framework.partition(" ")[::2]):
        return f"stack.framework is {shown(framework)}, not a name and a version such as 'tensorflow 2.21.0'"
    for model, run in fields["trainings"].items():
        place = inside("trainings", model)
        if "seconds" not in run["history"]:
            return f"fields of {place}.history missing: seconds"
        epochs = len(run["history"]["seconds"])
        if not epochs:
            return f"{place}.history.seconds is empty"
        for metric, values in run["history"].items():
            here = inside(f"{place}.history", metric)
            fault = other_length(here, values, epochs) or misfit(values, [limits(metric)], here)
            if fault:
                return fault
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


def other_length(place: str, values: list[Any], epochs: int) -> str | None:
    """In words, that a list has not a value for each epoch; None where it has."""
    values_of = f"{len(values)} value{'' if len(values) == 1 else 's'}"
    return None if len(values) == epochs else f"{place} has {values_of}, and the seconds are those of {epochs} epochs"


def limits(metric: str) -> Number:
    """What values a metric of a training can have."""
    if metric == "seconds":
        return Number(1e-9, 1e9)
    return SHARE if "accuracy" in metric else LOSS if "loss" in metric else NUMBER


def inside(place: str, key: str) -> str:
    """The place of a field of an object."""
    return f"{place}.{one_line(key)}".lstrip(".")


def one_line(text: str) -> str:
    """A text without line breaks and control characters, cut to 80 characters: for a message."""
    words = "".join(letter if letter.isprintable() else "?" for letter in text)
    return words if len(words) <= 80 else f"{words[:79]}…"


def printable(text: str) -> bool:
    """Whether a text can be written in UTF-8: without halves of a pair of surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def shown(value: Any) -> str:
    """A value as Python writes it, shortened: for a message."""
    if isinstance(value, int) and abs(value) > 10**30:
        return f"a number of {math.floor(value.bit_length() * math.log10(2)) + 1} digits"
    return one_line(reprlib.repr(value))
