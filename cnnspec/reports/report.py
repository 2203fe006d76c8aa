"""Reports of runs of the suite: one small JSON each, written by the suite and read by `python -m cnnspec report`.

Nothing here needs a framework, so that reports can be read where none is installed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

from cnnspec.errors import MalformedReport
from cnnspec.files import write_whole

FORMAT = "cnnspec report 1"
TIERS_WITH_MARGINS = ("numerics", "optimizer", "trajectory", "stochastic", "training", "results")

NUMBER, OPTIONAL_TEXT, OPTIONAL_NUMBER = (int, float), (str, type(None)), (int, float, type(None))
COUNTS = {"passed": int, "failed": int, "skipped": int, "xfailed": int}
REASONS = [{"test": str, "reason": str}]
BAND = {"low": [NUMBER], "mean": [NUMBER], "high": [NUMBER]}
RUN = {"history": {str: [NUMBER]}, "scores": {str: NUMBER}, "bands": {str: BAND}}
STACK = {
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
OPTIONS = {"dataset": str, "epochs": int, "seed": int, "runs": int, "device": str, "workers": int}


@dataclasses.dataclass
class Report:
    """One run of the suite on one stack. Shares of bounds above 1 failed; None stands for an infinite one.

    `tiers` counts outcomes by tier, `others` those of all other tests, of the suite itself. `verdict` is pass, fail, cannot
    tell or no verdict. `failed`, `not_run` and `known_differences` name each test with its reason. `margins` is
    {test: {what: share of its bound}}. `table` is {row: {model: loss}}, in nats. `trainings` has by model the first run's
    history and scores, and the bands of its ensemble, {metric: {low, mean, high}}, each with a loss per epoch. `seconds` is
    the whole run's duration.
    """

    environment: str | None
    cnnspec: str
    date: str
    options: dict
    stack: dict
    verdict: str
    tiers: dict
    others: dict
    failed: list
    not_run: list
    known_differences: list
    margins: dict
    precision: list
    table: dict
    trainings: dict
    seconds: float

    def __post_init__(self):
        self.label = self.environment or f"{self.stack['framework']}, Keras {self.stack['keras']}"

    def to_json(self, path):
        """Write the report to `path`, whole or not at all."""
        fields = {"format": FORMAT, **dataclasses.asdict(self)}
        write_whole(path, json.dumps(fields, indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path):
        """Read a report from `path`. Raises MalformedReport for a file that is missing, truncated or of another form."""
        remedy = "run the suite again, or leave the file out"
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise MalformedReport(f"{path} cannot be read ({error.strerror}); name reports that the suite wrote") from error
        except ValueError as error:
            raise MalformedReport(f"{path} is not a whole JSON file ({error}); {remedy}") from error
        form = fields.pop("format", None) if isinstance(fields, dict) else None
        if form != FORMAT:
            said = f"says that it is {form!r}" if form else "does not say that it is a report"
            raise MalformedReport(f"{path} {said}, expected {FORMAT!r}; {remedy}")
        fault = misfit(fields, FIELDS, "")
        if fault:
            raise MalformedReport(f"{path}: {fault}; {remedy}")
        return cls(**fields)

    @property
    def hardware(self):
        """What the seconds of this report may be compared on: device, processor and cores."""
        return hardware(self.stack)

    @property
    def settings(self):
        """Data set and epochs: what curves must share to be drawn into one band."""
        return f"{self.options['dataset']}, {self.options['epochs']} epochs"

    @property
    def good(self):
        """Whether the verdict is pass, and all other tests passed too."""
        return self.verdict == "pass" and not self.others["failed"]

    def total(self, outcome):
        """Tests of all tiers with an outcome."""
        return sum(count[outcome] for count in self.tiers.values())

    def used(self, tier):
        """(share, test, what) of the check of a tier that used most of its bound, None for a tier without margins."""
        shares = [
            (math.inf if share is None else share, test, what)
            for test, checks in self.margins.items()
            if tier_of(test) == tier
            for what, share in checks.items()
        ]
        return max(shares) if shares else None


FIELDS = {
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


def misfit(value, shape, place):
    """The first place where a value read from JSON has not the given shape, in words; None where it fits.

    A shape is a type or several, [shape] for a list, {str: shape} for a dict of any keys, or a dict with the keys that
    must be there; with `...` among them others may be there too.
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
                missing, unknown = sorted(due - set(value)), sorted(set(value) - due) if ... not in shape else []
                return f"{place or 'the file'} has missing fields {missing} and unknown ones {unknown}"
            parts = [(value[key], shape[key], f"{place}.{key}".lstrip(".")) for key in sorted(due)]
    else:
        fits = isinstance(value, shape) and not isinstance(value, bool)
        return None if fits else f"{place} is {value!r}, not {names(shape)}"
    return next((fault for fault in (misfit(*part) for part in parts) if fault), None)


def names(types):
    """Types in words."""
    words = {str: "a text", int: "a number", float: "a number", type(None): "null"}
    found = [words[kind] for kind in (types if isinstance(types, tuple) else (types,))]
    return " or ".join(dict.fromkeys(found))


def hardware(stack):
    """Device, processor and cores of a stack in words."""
    device = "" if stack["device"] == "CPU" else f"{stack['device']}, "
    return f"{device}{stack['cpu']}, {stack['cores']} cores"


def tier_of(test):
    """Name of a test's tier: numerics for tests/test_numerics.py::test_whole_model."""
    return re.sub(r"^test_", "", Path(test.split("::")[0]).stem)


def read_all(paths):
    """The reports at `paths`, ordered by framework, its version, Keras and environment, with a `label` each of its own.

    Raises MalformedReport.
    """
    found = [Report.from_json(path) for path in paths]

    def order(report):
        name, version = report.stack["framework"].split(" ", 1)
        return name != "tensorflow", name, numbers(version), numbers(report.stack["keras"]), numbers(report.label)

    found.sort(key=order)
    for fact in ("framework", "hardware", "settings", "date"):
        tell_apart(found, fact)
    return found


def tell_apart(reports, fact):
    """Add a fact to the labels that several reports share, where it sets them apart."""
    groups = {}
    for report in reports:
        groups.setdefault(report.label, []).append(report)
    for label, group in groups.items():
        facts = [getattr(report, fact, None) or report.stack[fact] for report in group]
        for report, value in zip(group, facts):
            report.label = f"{label} ({value})" if len(set(facts)) > 1 else label


def numbers(text):
    """A text as a key that sorts 2.9 before 2.12."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def missing(reports, expected):
    """Environments that were expected and have no report."""
    return [name for name in expected if name not in {report.environment for report in reports}]
