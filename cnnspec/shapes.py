"""What a stored file must hold: shapes of numbers, texts, lists and objects, and what in a value differs from its shape.

The same Number and Text describe a value of JSON, a value of TOML and a cell of a CSV.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from typing import Any

from cnnspec.names import LARGEST_SEED

WHOLE = re.compile(r"-?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`, an integer where `whole`, above `low` where `above`, or null where `null`."""

    low: float = -1e300
    high: float = 1e300
    whole: bool = False
    null: bool = False
    above: bool = False

    def __str__(self) -> str:
        low, high = (f"{end:.10g}" if self.whole else f"{end:g}" for end in (self.low, self.high))
        least = f" above {low}" if self.above else f" of at least {low}" if self.low > -1e300 else ""
        limits = f" from {low} to {high}" if self.high < 1e300 and not self.above else least
        return f"{'a whole number' if self.whole else 'a number'}{limits}{' or null' if self.null else ''}"

    def fits(self, value: Any) -> bool:
        """Whether a value read from JSON or TOML is such a number."""
        if value is None:
            return self.null
        kinds = (int,) if self.whole else (int, float)
        inside = isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high
        return inside and not (self.above and value == self.low)

    def read(self, cell: str) -> Any:
        """The number that a cell of a CSV holds; None where it holds none of these."""
        if not (WHOLE if self.whole else NUMBER).fullmatch(cell):
            return None
        value = int(cell) if self.whole else float(cell)
        return value if self.fits(value) else None


@dataclasses.dataclass(frozen=True)
class Text:
    """A text: one of `choices` where there are any, of the `form` where there is one (a regular expression and its name)."""

    choices: tuple[str, ...] = ()
    null: bool = False
    empty: bool = True
    form: tuple[str, str] = ("", "")

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}" if len(self.choices) > 1 else self.choices[0]
        return f"{self.form[1] or ('a text' if self.empty else 'a text that is not empty')}{' or null' if self.null else ''}"

    def fits(self, value: Any) -> bool:
        """Whether a value read from JSON or TOML is such a text. Half of a pair of surrogates cannot be printed: no text."""
        if value is None:
            return self.null
        if not isinstance(value, str) or not printable(value) or (not value and not self.empty):
            return False
        return (not self.choices or value in self.choices) and (not self.form[0] or bool(re.fullmatch(self.form[0], value)))

    def read(self, cell: str) -> Any:
        """A cell of a CSV; None where it is not such a text."""
        return cell if self.fits(cell) else None


class Maybe(str):
    """The name of a field of an object that need not be there."""


TEXT, NAME, NUMBERS, COUNT = Text(), Text(empty=False), Number(), Number(0, 1e9, whole=True)
LOSS = Number(0, 1e200)  # a mean in float32 can be 0
SHARE = Number(0, 1.000001)  # a mean in float32 can be a little above 1
SECONDS = Number(1e-9, 1e9)
SEED = Number(0, LARGEST_SEED, whole=True)
EPOCHS = Number(1, 1e6, whole=True)
# What `cnnspec.stack.current` tells. Others may be there too: threads, cuda, …
STACK: dict[Any, Any] = {
    **dict.fromkeys(("python", "platform", "keras", "framework", "numpy", "device", "cpu", "precision"), TEXT),
    "cores": COUNT,
    ...: (Text(null=True), NUMBERS),
}


def misfit(value: Any, shape: Any, place: str) -> str | None:
    """Where a value read from JSON or TOML first differs from a shape, in words; None where it has that shape.

    A shape is a Number, a Text or bool, a tuple of shapes for any one of them, [shape] for a list, {str: shape} for a dict
    with any keys, or a dict with the keys that must be there. A key that is Maybe need not be there; with `...` among
    the keys others may be there too, of the shape that it stands for.
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
            due = {key for key in shape if key is not ... and not isinstance(key, Maybe)}
            known = {str(key): inner for key, inner in shape.items() if key is not ...}
            more = set(value) - set(known)
            if due - set(value) or (more and ... not in shape):
                differ = {"missing": due - set(value), "unknown": more if ... not in shape else set()}
                words = [
                    f"{kind}: {', '.join(one_line(key) for key in sorted(keys))}" for kind, keys in differ.items() if keys
                ]
                return f"fields of {place or 'the file'} {'; '.join(words)}"
            parts = [(value[key], inner, inside(place, key)) for key, inner in sorted(known.items()) if key in value]
            parts += [(value[key], shape[...], inside(place, key)) for key in sorted(more)]
    elif shape is bool:
        return None if isinstance(value, bool) else f"{place} is {shown(value)}, not true or false"
    elif isinstance(shape, tuple):
        if any(misfit(value, one, place) is None for one in shape):
            return None
        return f"{place} is {shown(value)}, not {' or '.join(map(described, shape))}"
    else:
        return None if shape.fits(value) else f"{place} is {shown(value)}, not {shape}"
    return next((fault for fault in (misfit(*part) for part in parts) if fault), None)


def described(shape: Any) -> str:
    """A Number, a Text, bool or a list of one of them in words."""
    return "true or false" if shape is bool else f"a list of {shape[0]}" if isinstance(shape, list) else str(shape)


def other_length(place: str, values: list[Any], epochs: int) -> str | None:
    """In words, that a list has not a value for each epoch; None where it has."""
    if len(values) == epochs:
        return None
    return f"{place} has {counted(len(values), 'value')}, and the seconds are those of {counted(epochs, 'epoch')}"


def limits(metric: str) -> Number:
    """What values a metric of a training can have."""
    if metric == "seconds":
        return SECONDS
    return SHARE if "accuracy" in metric else LOSS if "loss" in metric else NUMBERS


def fault_of_framework(stack: dict[str, Any]) -> str | None:
    """In words, that a stack does not name its framework with a version, or another one than its backend; else None."""
    name, _, version = stack["framework"].partition(" ")
    if not (name and version):
        return f"stack.framework is {shown(stack['framework'])}, not a name and a version such as 'tensorflow 2.21.0'"
    if stack.get("backend", name) != name:
        return f"stack.backend is {shown(stack['backend'])}, stack.framework {shown(stack['framework'])}"
    return None


def fault_of_history(history: dict[str, list[Any]], place: str) -> str | None:
    """What is wrong with the metrics of a training by epoch, in words: lengths and ranges; None where nothing is."""
    if "seconds" not in history:
        return f"fields of {place} missing: seconds"
    epochs = len(history["seconds"])
    if not epochs:
        return f"{place}.seconds is empty"
    for metric, values in history.items():
        here = inside(place, metric)
        fault = other_length(here, values, epochs) or misfit(values, [limits(metric)], here)
        if fault:
            return fault
    return None


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 check, 2 checks."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
