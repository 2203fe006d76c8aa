"""Machines of a fleet: those with equal stacks and hardware must give equal digests and pass the same checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.reports import equals
from cnnspec.reports.report import Report
from cnnspec.shapes import counted

MAY_DIFFER = ("memory_gib", "unused")  # of equal stacks: a number that is rounded, and devices that compute nothing
TITLE = "equal machines with equal stacks"
NEXT = "next: on the odd one `cnnspec soak --minutes 10`, and the check that differs; then compare driver and firmware"


def groups(reports: Sequence[Report]) -> list[list[Report]]:
    """Reports of equal stacks on equal hardware, in their order; a report without an equal is in none."""
    found: dict[Any, list[Report]] = {}
    for report in reports:
        facts = {name: value for name, value in report.stack.items() if name not in MAY_DIFFER}
        found.setdefault((report.cnnspec, *sorted(facts.items(), key=str)), []).append(report)
    return [group for group in found.values() if len(group) > 1]


def members(group: Sequence[Report]) -> list[equals.Member]:
    """The reports of a group as equals, by their labels."""
    return [equals.Member(each.label, {row["test"]: row["reason"] for row in each.failed}, each.digests) for each in group]


def differ(reports: Sequence[Report]) -> bool:
    """Whether a machine differs from its equals."""
    return any(equals.told(members(group)) for group in groups(reports))


def paragraphs(reports: Sequence[Report]) -> list[tuple[str, list[str]]]:
    """For each group what was compared, in a line, and lines on who is the odd one out: none where all agree."""
    parts = []
    for group in groups(reports):
        equal, first = members(group), group[0]
        lines = equals.told(equal)
        same = counted(len(equals.shared(equal)), "digest")
        without = sum(not report.digests for report in group)
        lack = f", {without} of them without digests: written by an earlier version, or stopped" if without else ""
        named = f"{first.stack['framework']}, Keras {first.stack['keras']} on {first.hardware}"
        verdict = "" if lines else ": all agree" if equals.shared(equal) else ": there is nothing to compare"
        parts.append((f"{named}: {len(group)} reports{lack}, {same} compared{verdict}", lines))
    return parts


def told(reports: Sequence[Report]) -> str:
    """The paragraphs as Markdown; empty where no report has an equal."""
    parts = []
    for compared, lines in paragraphs(reports):
        parts.append(compared)
        parts += [f"- {line}" if not line.startswith(" ") else f"  - {line.strip()}" for line in lines]
        parts += [NEXT] if lines else []
    return "\n".join([f"**{TITLE}**", "", *parts]) if parts else ""
