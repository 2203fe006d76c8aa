"""Reports in words: each thing that both the table and the page say of a report is written here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnspec.names import MODELS
from cnnspec.reports.report import Report
from cnnspec.shapes import counted as counted
from cnnspec.shapes import one_line

COUNTED = ("passed", "failed", "not run", "known differences")
COLUMNS = ("environment", "verdict", "level", "framework", "Keras", "Python", *COUNTED)
NO_REPORT = "no report: did not run"
NEWER = "A newer report of a part of the suite"
ENDED = {"pass": "passed", "fail": "failed", "cannot tell": "cannot tell", "no verdict": "without a verdict"}


def outcome(report: Report) -> str:
    """The verdict as far as the counts bear it out, but fail where a test outside the tiers failed."""
    return "fail" if report.others["failed"] else report.judged


def verdict(report: Report) -> str:
    """The outcome in words. Failures outside the tiers do not change the verdict; here they take its place.

    Where the counts contradict the verdict, or it is none, the words say what the report states and what speaks against it.
    """
    if report.contradiction:
        return f"no verdict (the report says {one_line(report.verdict)}, but {report.contradiction})"
    others = report.others["failed"]
    return f"fail ({counted(others, 'test')} outside the tiers)" if others and report.verdict != "fail" else report.verdict


def percent(share: float | None) -> str:
    """A share of a tolerance in percent; never rounded to 0% from above, nor to 100% from either side.

    None stands for an infinite share.
    """
    if share is None or share > 99.99:
        return ">9999%"
    rounded = f"{share:.0%}"
    if rounded == "0%" and share > 0:
        return "<1%"
    if rounded == "100%" and share != 1:
        return ">100%" if share > 1 else ">99%"
    return rounded


def row(report: Report) -> list[str]:
    """Cells of the first columns."""
    return [
        report.label,
        verdict(report),
        report.options["level"],
        report.stack["framework"],
        report.stack["keras"],
        report.stack["python"],
        *(str(report.total(outcome)) for outcome in ("passed", "failed")),
        str(len(report.not_run)),
        str(report.total("xfailed")),
    ]


def used(report: Report, tier: str) -> str:
    """Largest share of its tolerance that a check of a tier used, in percent."""
    most = report.used(tier)
    return percent(most[0]) if most else "–"


def losses(report: Report, name: str = "Test Loss") -> list[str]:
    """A row of the results table, a cell per model."""
    found = report.table.get(name, {})
    return [f"{found[model]:.4f}" if model in found else "–" for model in MODELS]


def summary(reports: Sequence[Report], absent: Sequence[str]) -> str:
    """How many environments there are and how they ended, in one line."""
    outcomes = [outcome(report) for report in reports]
    words = [f"{outcomes.count(each)} {ended}" for each, ended in ENDED.items() if each in outcomes]
    words += [f"{len(absent)} did not run ({', '.join(absent)})"] if absent else []
    return f"{counted(len(reports) + len(absent), 'environment')}: {', '.join(words)}."


def reasons(reports: Sequence[Report]) -> dict[str, dict[str, list[str]]]:
    """What failed, did not run, is known to differ or was drawn again: {title: {"test: reason": [environments]}}.

    And which later report of a part of the suite stands beside a report, as it does not replace it. No title is empty.
    """
    kinds = {
        "Failed": "failed",
        "Did not run": "not_run",
        "Known differences": "known_differences",
        "Trained again, the first draw outside its band": "drawn_again",
    }
    found: dict[str, dict[str, list[str]]] = {}
    for title, field in kinds.items():
        for report in reports:
            for line in gathered(getattr(report, field)):
                found.setdefault(title, {}).setdefault(line, []).append(report.label)
    for report in reports:
        if report.newer_part:
            found.setdefault(NEWER, {}).setdefault(report.newer_part, []).append(report.label)
    return found


def gathered(entries: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines "test: reason". Tests of one module with the same reason become one line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        module = entry["test"].split("::")[0]
        groups.setdefault((module, entry["reason"]), []).append(entry["test"])
    lines = []
    for (module, reason), tests in groups.items():
        name, count = (tests[0], "") if len(tests) == 1 else (module, f", {counted(len(tests), 'test')}")
        named = " ".join(name.split("/")[-1].split()).replace("`", "'")  # it ends at the next backtick
        lines.append(f"`{named or '–'}`{count}: {reason}")
    return lines
