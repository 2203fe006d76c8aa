"""Reports of runs of the suite: a small JSON file per run, written by the suite and read by `python -m cnnspec report`.

Nothing here needs a framework: reports can be read where none is installed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cnnspec.errors import MalformedReport
from cnnspec.files import write_whole

FORMAT = "cnnspec report 1"
# Why a test of a tier did not run, although a whole run would have run it.
UNREACHED = "the run ended before this test: it was interrupted or stopped early, or a worker died"
DESELECTED = "deselected by -k, -m or --deselect"
TIERS_WITH_MARGINS = (
    "numerics",
    "modes",
    "optimizer",
    "trajectory",
    "lockstep",
    "repeats",
    "state",
    "stochastic",
    "dropout",
    "training",
    "results",
)

NUMBER, OPTIONAL_TEXT, OPTIONAL_NUMBER = (int, float), (str, type(None)), (int, float, type(None))
COUNTS = {"passed": int, "failed": int, "skipped": int, "xfailed": int}
REASONS = [{"test": str, "reason": str}]
BAND = {"low": [NUMBER], "mean": [NUMBER], "high": [NUMBER]}
RUN = {"history": {str: [NUMBER]}, "scores": {str: NUMBER}, "bands": {str: BAND}}
STACK: dict[Any, Any] = {
    "python": str,
    "platform": str,
    "keras": str,
    "framework": str,
    "numpy": str,
    "device": str,
    "cpu": str,
    "cores": int,
    "precision": str,
    ...: None,
}
OPTIONS = {"level": str, "dataset": str, "epochs": int, "seed": int, "runs": int, "device": str, "workers": int}


@dataclasses.dataclass
class Report:
    """One run of the suite on one stack.

    `tiers` counts outcomes by tier, `others` the outcomes of all other tests: those of the suite itself. `verdict` is pass,
    fail, cannot tell or no verdict. `failed`, `not_run` and `known_differences` name each test with its reason. `margins` is
    {test: {what: share of its tolerance}}; a share above 1 is a failure, None an infinite share. `table` is
    {row: {model: loss}}, in nats. `trainings` has, by model, history and scores of the first run and the bands of its
    ensemble: {metric: {low, mean, high}}, each with a loss per epoch. `seconds` is the duration of the whole run.
    """

    environment: str | None
    cnnspec: str
    date: str
    options: dict[str, Any]
    stack: dict[str, Any]
    verdict: str
    tiers: dict[str, dict[str, int]]
    others: dict[str, int]
    failed: list[dict[str, str]]
    not_run: list[dict[str, str]]
    known_differences: list[dict[str, str]]
    margins: dict[str, dict[str, float | None]]
    precision: list[str]
    table: dict[str, dict[str, float]]
    trainings: dict[str, dict[str, Any]]
    seconds: float

    def __post_init__(self) -> None:
        self.label: str = self.environment or f"{self.stack['framework']}, Keras {self.stack['keras']}"

    def to_json(self, path: str | Path) -> None:
        """Write the report to `path`, whole or not at all."""
        fields = {"format": FORMAT, **dataclasses.asdict(self)}
        write_whole(path, json.dumps(fields, indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | Path) -> Report:
        """Read a report from `path`. Raises MalformedReport if the file is missing, truncated or has another format."""
        remedy = "run the suite again, or leave the file out"
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise MalformedReport(
                f"{path} cannot be read ({error.strerror}); give the paths of reports that the suite wrote"
            ) from error
        except ValueError as error:
            raise MalformedReport(f"{path} is not valid JSON ({error}); {remedy}") from error
        form = fields.pop("format", None) if isinstance(fields, dict) else None
        if form != FORMAT:
            found = f"has format {form!r}" if form else "has no format"
            raise MalformedReport(f"{path} {found}, expected {FORMAT!r}; {remedy}")
        fault = misfit(fields, FIELDS, "")
        if fault:
            raise MalformedReport(f"{path}: {fault}; {remedy}")
        return cls(**fields)

    @property
    def hardware(self) -> str:
        """Device, processor and cores. Only seconds of the same hardware may be compared."""
        return hardware(self.stack)

    @property
    def settings(self) -> str:
        """Data set and epochs. Only curves of the same settings are drawn into one band."""
        epochs = self.options["epochs"]
        return f"{self.options['dataset']}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"

    @property
    def good(self) -> bool:
        """True where the verdict is pass and no other test failed."""
        return self.verdict == "pass" and not self.others["failed"]

    @property
    def whole(self) -> bool:
        """True where every tier ran, and no test was left out or not reached."""
        left_out = any(each["reason"] in (UNREACHED, DESELECTED) for each in self.not_run)
        return all(any(count.values()) for count in self.tiers.values()) and not left_out

    def total(self, outcome: str) -> int:
        """Number of tests of all tiers with an outcome."""
        return sum(count[outcome] for count in self.tiers.values())

    def used(self, tier: str) -> tuple[float, str, str] | None:
        """(share, test, what) of the check of a tier that used most of its tolerance; None for a tier without margins."""
        shares = [
            (math.inf if share is None else share, test, what)
            for test, checks in self.margins.items()
            if tier_of(test) == tier
            for what, share in checks.items()
        ]
        return max(shares) if shares else None


# {field of Report: shape}; `misfit` says what a shape is.
FIELDS: dict[Any, Any] = {
    "environment": OPTIONAL_TEXT,
    "cnnspec": str,
    "date": str,
    "options": OPTIONS,
    "stack": STACK,
    "verdict": str,
    "tiers": {str: COUNTS},
    "others": COUNTS,
    "failed": REASONS,
    "not_run": REASONS,
    "known_differences": REASONS,
    "margins": {str: {str: OPTIONAL_NUMBER}},
    "precision": [str],
    "table": {str: {str: NUMBER}},
    "trainings": {str: RUN},
    "seconds": NUMBER,
}


def misfit(value: Any, shape: Any, place: str) -> str | None:
    """Where a value read from JSON first differs from a shape, in words; None where it has that shape.

    A shape is a type or a tuple of types, [shape] for a list, {str: shape} for a dict with any keys, or a dict with the keys
    that must be there. With `...` among its keys, others may be there too.
    """
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{place} is not a list"
        parts = [(item, shape[0], f"{place}[{number}]") for number, item in enumerate(value)]
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{place or 'the file'} is not an object"
        if str in shape:
            parts = [(item, shape[str], f"{place}.{key}".lstrip(".")) for key, item in value.items()]
        else:
            due = {key for key in shape if key is not ...}
            if due - set(value) or (set(value) - due and ... not in shape):
                differ = {"missing": due - set(value), "unknown": set(value) - due if ... not in shape else set()}
                words = [f"{kind}: {', '.join(sorted(keys))}" for kind, keys in differ.items() if keys]
                return f"fields of {place or 'the file'} {'; '.join(words)}"
            parts = [(value[key], shape[key], f"{place}.{key}".lstrip(".")) for key in sorted(due)]
    else:
        fits = isinstance(value, shape) and not isinstance(value, bool)
        return None if fits else f"{place} is {value!r}, not {names(shape)}"
    return next((fault for fault in (misfit(*part) for part in parts) if fault), None)


def names(types: Any) -> str:
    """Types in words."""
    words = {str: "a text", int: "a number", float: "a number", type(None): "null"}
    found = [words[kind] for kind in (types if isinstance(types, tuple) else (types,))]
    return " or ".join(dict.fromkeys(found))


def hardware(stack: dict[str, Any]) -> str:
    """Device, processor and cores of a stack in words."""
    device = "" if stack["device"] == "CPU" else f"{stack['device']}, "
    return f"{device}{stack['cpu']}, {stack['cores']} {'core' if stack['cores'] == 1 else 'cores'}"


def tier_of(test: str) -> str:
    """Name of a test's tier: numerics for tests/test_numerics.py::test_whole_model."""
    return re.sub(r"^test_", "", Path(test.split("::")[0]).stem)


def read_all(paths: Iterable[str | Path]) -> list[Report]:
    """The reports at `paths`, ordered by framework, its version, Keras and environment. No two have the same `label`.

    Raises MalformedReport.
    """
    found = [Report.from_json(path) for path in paths]

    def order(report: Report) -> tuple[Any, ...]:
        name, version = report.stack["framework"].split(" ", 1)
        return name != "tensorflow", name, numbers(version), numbers(report.stack["keras"]), numbers(report.label)

    found.sort(key=order)
    for fact in ("framework", "hardware", "settings", "date"):
        tell_apart(found, fact)
    return found


def tell_apart(reports: Sequence[Report], fact: str) -> None:
    """Add a fact to a label that several reports have, where the fact differs between them."""
    groups: dict[str, list[Report]] = {}
    for report in reports:
        groups.setdefault(report.label, []).append(report)
    for label, group in groups.items():
        facts = [getattr(report, fact, None) or report.stack[fact] for report in group]
        for report, value in zip(group, facts, strict=True):
            report.label = f"{label} ({value})" if len(set(facts)) > 1 else label


def numbers(text: str) -> list[tuple[int, int, str]]:
    """A sort key of a text that puts 2.9 before 2.12."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def missing(reports: Sequence[Report], expected: Iterable[str]) -> list[str]:
    """Expected environments without a report."""
    return [name for name in expected if name not in {report.environment for report in reports}]
