"""Reports of runs of the suite: a small JSON file per run, written by the suite and read by `python -m cnnspec report`.

Nothing here needs a framework: reports can be read where none is installed.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cnnspec.errors import MalformedReport
from cnnspec.files import write_whole
from cnnspec.reports import schema, verdicts

FORMAT = "cnnspec report 1"
# Why a test of a tier did not run, although a whole run would have run it.
UNREACHED = "the run ended before this test: it was interrupted or stopped early, or a worker died"
PARTIAL = "partial"  # folder, beside the reports of whole runs, of the reports of parts of the suite
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
    "paired",
    "training",
    "results",
)


@dataclasses.dataclass
class Report:
    """One run of the suite on one stack.

    `tiers` counts outcomes by tier, `others` the outcomes of all other tests: those of the suite itself. `verdict` is what
    the run stated: pass, fail, cannot tell or no verdict; `judged` is what the counts bear out. `failed`, `not_run` and
    `known_differences` name each test with its reason. `margins` is {test: {what: share of its tolerance}}; a share above 1
    is a failure, None an infinite share. `table` is {row: {model: loss}}, in nats. `trainings` has, by model, history and
    scores of the first run and the bands of its ensemble: {metric: {low, mean, high}}, each with a loss per epoch. `seconds`
    is the duration of the whole run. `digests` has the bits that equal machines have in common: of the exact tier and of the
    trainings with one thread, by what they are of; `drawn_again` names the trainings whose first value lay outside its band.
    Reports of earlier versions have neither.

    `label` names the report in a table, `file` is where it was read, and `newer_part` says which later report of a part of
    the suite stands beside its file.
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
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    drawn_again: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.label: str = self.environment or f"{self.stack['framework']}, Keras {self.stack['keras']}"
        self.newer_part: str = ""
        self.file: str = ""

    def to_json(self, path: str | Path) -> None:
        """Write the report to `path`, whole or not at all."""
        fields = {"format": FORMAT, **dataclasses.asdict(self)}
        write_whole(path, json.dumps(fields, indent=1, allow_nan=False) + "\n")

    @classmethod
    def from_json(cls, path: str | Path) -> Report:
        """Read a report from `path`. Raises MalformedReport if the file is missing, damaged, of another format, or not a
        report in every field."""
        return cls(**schema.read(path, FORMAT))

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
    def contradiction(self) -> str:
        """Why the stated verdict does not follow from the counts, in words; empty where it does."""
        level, elsewhere = self.options["level"], self.others["failed"]
        return verdicts.contradiction(self.verdict, level, self.tiers, elsewhere, self.failed, len(self.left_out))

    @property
    def judged(self) -> str:
        """The verdict where the counts bear it out, else no verdict."""
        return "no verdict" if self.contradiction else self.verdict

    @property
    def good(self) -> bool:
        """True where the verdict is pass, the counts bear it out, and no other test failed."""
        return self.judged == "pass" and not self.others["failed"]

    @property
    def left_out(self) -> list[dict[str, str]]:
        """Tests that a whole run would have run."""
        return [each for each in self.not_run if each["reason"] in (UNREACHED, DESELECTED)]

    @property
    def whole(self) -> bool:
        """True where every tier ran, and no test was left out or not reached."""
        return bool(self.tiers) and all(any(count.values()) for count in self.tiers.values()) and not self.left_out

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


def hardware(stack: dict[str, Any]) -> str:
    """Device, processor with its vector instructions where they are known, and cores of a stack in words."""
    device = "" if stack["device"] == "CPU" else f"{stack['device']}, "
    vectors = f" with {stack['instructions']}" if stack.get("instructions") else ""
    return f"{device}{stack['cpu']}{vectors}, {stack['cores']} {'core' if stack['cores'] == 1 else 'cores'}"


def tier_of(test: str) -> str:
    """Name of a test's tier: numerics for tests/test_numerics.py::test_whole_model."""
    return re.sub(r"^test_", "", Path(test.split("::")[0]).stem)


def read_all(paths: Iterable[str | Path]) -> list[Report]:
    """The reports at `paths`, files or folders of them, ordered by framework, its version, Keras and environment.

    No two have the same `label`.

    Raises MalformedReport.
    """
    files = [file for path in paths for file in files_of(Path(path))]
    found = [Report.from_json(path) for path in files]
    for report, path in zip(found, files, strict=True):
        report.file = str(path)
        part = path.parent / PARTIAL / path.name
        report.newer_part = "" if part in files else newer(report, part)

    def order(report: Report) -> tuple[Any, ...]:
        name, version = report.stack["framework"].split(" ", 1)
        return name != "tensorflow", name, numbers(version), numbers(report.stack["keras"]), numbers(report.label)

    found.sort(key=order)
    for fact in ("framework", "hardware", "settings", "date", "file"):
        tell_apart(found, fact)
    return found


def files_of(path: Path) -> list[Path]:
    """A report's file, or those of a folder. Raises MalformedReport for a folder without any."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.json"))
    if not found:
        raise MalformedReport(f"{path} is a folder without reports, files *.json; name reports that the suite wrote")
    return found


def newer(report: Report, part: Path) -> str:
    """What a report of a part of the suite, beside a whole one, says if it is the later of the two; else nothing."""
    try:
        other = Report.from_json(part)
    except MalformedReport:
        return ""
    if moment(other) <= moment(report):
        return ""
    ended = f"{other.judged}, {other.total('failed')} failed"
    return f"`{PARTIAL}/{part.name}`: {ended}, of {other.date[:16]}; the row is the whole run of {report.date[:16]}"


def moment(report: Report) -> datetime.datetime:
    """When a run ended; long ago where its date is none."""
    try:
        found = datetime.datetime.fromisoformat(report.date)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def tell_apart(reports: Sequence[Report], fact: str) -> None:
    """Add a fact to a label that several reports have, where the fact differs between them."""
    groups: dict[str, list[Report]] = {}
    for report in reports:
        groups.setdefault(report.label, []).append(report)
    for label, group in groups.items():
        facts = [getattr(report, fact) if hasattr(report, fact) else report.stack[fact] for report in group]
        for report, value in zip(group, facts, strict=True):
            report.label = f"{label} ({value})" if len(set(facts)) > 1 else label


def numbers(text: str) -> list[tuple[int, int, str]]:
    """A sort key of a text that puts 2.9 before 2.12."""
    parts = [part for part in re.split(r"([0-9]+)", text) if part]
    digits = [part.lstrip("0") if re.fullmatch("[0-9]+", part) else None for part in parts]
    return [(1, 0, part) if each is None else (0, len(each), each) for part, each in zip(parts, digits, strict=True)]


def missing(reports: Sequence[Report], expected: Iterable[str]) -> list[str]:
    """Expected environments without a report."""
    return [name for name in expected if name not in {report.environment for report in reports}]
