"""Two reports side by side: what differs, and what differs by more than the bounds of the suite allow.

Beyond the bounds are: other verdicts, and one that is unknown in both; tiers that ran on one side only; tests and checks
that failed on one side only; losses of the judged epochs outside the other side's band, or without a band to judge them by.
Facts, numbers of tests, shares of tolerances and seconds are shown; they have no bound.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from cnnspec.names import MODELS
from cnnspec.reports.curves import METRICS
from cnnspec.reports.markdown import table
from cnnspec.reports.report import Report, tier_of
from cnnspec.reports.words import counted, outcome, percent, used, verdict

RAN = ("passed", "failed", "xfailed")  # outcomes of tests that ran
WORDS = {"passed": "passed", "failed": "failed", "skipped": "skipped", "xfailed": "known to differ"}
MISSING = "–"


def told(first: Report, second: Report, found: list[str]) -> str:
    """Both reports as Markdown: the differences beyond the bounds that were `found`, facts, tiers, losses and seconds."""
    same = "Nothing differs by more than the bounds of the suite allow."
    beyond = [f"**{counted(len(found), 'difference')} beyond the bounds**", "", *(f"- {line}" for line in found)]
    both = sorted({each["test"] for each in first.failed} & {each["test"] for each in second.failed})
    parts = [
        f"A: {first.label}, {first.date[:10]}\nB: {second.label}, {second.date[:10]}",
        "\n".join(beyond) if found else same,
        *(["\n".join(["**Failed in both**", "", *(f"- {test}" for test in both)])] if both else []),
        marked(("fact", "A", "B"), facts(first, second)),
        marked(("tier", "A", "B", "largest share, A", "largest share, B"), tiers(first, second)),
        *([table(("loss in nats", "A", "B", "B/A"), rows)] if (rows := list(losses(first, second))) else []),
        table(("seconds", "A", "B", "B/A"), list(seconds(first, second))),
    ]
    if first.hardware != second.hardware:
        parts.append("The hardware differs: seconds do not compare the stacks.")
    return "\n\n".join(parts) + "\n"


def differences(first: Report, second: Report) -> list[str]:
    """What differs by more than the bounds allow, a line each."""
    return [*verdicts(first, second), *tests(first, second), *checks(first, second), *trainings(first, second)]


def verdicts(first: Report, second: Report) -> Iterator[str]:
    """Other verdicts, a verdict that is unknown in both, and tiers that ran on one side only."""
    ends = outcome(first), outcome(second)
    if ends[0] != ends[1]:
        yield f"verdict: {verdict(first)} in A, {verdict(second)} in B"
    elif ends[0] not in ("pass", "fail"):
        yield f"verdict: {ends[0]} in both, so nothing is known of either; run the suite again"
    for tier in dict.fromkeys([*first.tiers, *second.tiers]):
        sides = ran(first.tiers.get(tier)), ran(second.tiers.get(tier))
        if sides[0] != sides[1]:
            yield f"tier {tier}: ran in {'A' if sides[0] else 'B'} only (level {levels(first, second)})"


def levels(first: Report, second: Report) -> str:
    """The level of both runs."""
    return " and ".join(dict.fromkeys((first.options["level"], second.options["level"])))


def ran(count: Mapping[str, int] | None) -> bool:
    """Whether any test of a tier ran."""
    return any(count[each] for each in RAN) if count else False


def tests(first: Report, second: Report) -> Iterator[str]:
    """Tests that failed on one side only, with the reason, and what became of them on the other side."""
    for test, reason in {each["test"]: each["reason"] for each in [*second.failed, *first.failed]}.items():
        states = state(first, test), state(second, test)
        if states[0] != states[1]:
            yield f"`{test}`: {states[0]} in A, {states[1]} in B: {reason}"


def state(report: Report, test: str) -> str:
    """What became of a test. A report names what failed, did not run or is known to differ; the others of a tier passed.

    Of the tests outside the tiers it names no more than those: the others may not have been collected.
    """
    named = {"failed": report.failed, "known to differ": report.known_differences, "not run": report.not_run}
    for word, entries in named.items():
        if any(each["test"] == test for each in entries):
            return word
    if tier_of(test) in report.tiers:
        return "passed" if ran(report.tiers[tier_of(test)]) else "not run"
    return "passed or not run" if ran(report.others) else "not run"


def checks(first: Report, second: Report) -> Iterator[str]:
    """Checks beyond their tolerance on one side only, in tests that failed on both or on neither."""
    for test, shares in first.margins.items():
        others = second.margins.get(test, {})
        for what in shares:
            if what in others and state(first, test) == state(second, test) and over(shares[what]) != over(others[what]):
                yield f"`{test}`, {what}: {percent(shares[what])} of the tolerance in A, {percent(others[what])} in B"


def over(share: float | None) -> bool:
    """Whether a share is a failure. None stands for an infinite share."""
    return share is None or share > 1


def trainings(first: Report, second: Report) -> Iterator[str]:
    """Losses outside the other side's band in the first and the last epoch, which the suite judges; what has no other."""
    if first.trainings and second.trainings and first.settings != second.settings:
        yield f"losses cannot be compared: A trained {first.settings}, B {second.settings}"
        return
    for model in MODELS:
        runs = first.trainings.get(model), second.trainings.get(model)
        if runs[0] and runs[1]:
            yield from outside(model, "A", runs[0], "B", runs[1])
            yield from outside(model, "B", runs[1], "A", runs[0])
        elif runs[0] or runs[1]:
            yield f"{model}: trained in {'A' if runs[0] else 'B'} only"


def outside(model: str, name: str, run: Mapping[str, Any], other_name: str, other: Mapping[str, Any]) -> Iterator[str]:
    """Losses of one side's run outside the other's band."""
    for metric, title in METRICS.items():
        values, band = run["history"].get(metric, []), other["bands"].get(metric)
        if not values or not band or len(band["low"]) != len(values):
            lack = f"{other_name} has no band to judge {name} by" if values else f"not recorded in {name}"
            yield f"{model}, {title}: {lack}"
            continue
        for epoch in sorted({0, len(values) - 1}):
            low, high = band["low"][epoch], band["high"][epoch]
            if not low <= values[epoch] <= high:
                place = f"{model}, {title}, epoch {epoch + 1}"
                yield f"{place}: {values[epoch]:.4f} in {name}, outside {other_name}'s band from {low:.4f} to {high:.4f}"


def marked(header: tuple[str, ...], rows: Iterator[list[str]]) -> str:
    """A Markdown table with a last column that marks the rows whose second and third cells differ."""
    return table((*header, "differs"), [[*row, "≠" if row[1] != row[2] else ""] for row in rows])


def facts(first: Report, second: Report) -> Iterator[list[str]]:
    """Verdict, version, options and stack of both sides, with everything that a stack tells of itself."""
    sides = [known(report) for report in (first, second)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        yield [name, *(str(side.get(name, MISSING)) for side in sides)]


def known(report: Report) -> dict[str, Any]:
    """The facts of one side."""
    precision = {name: found for name, _, found in (line.partition(": ") for line in report.precision)}
    head = {"verdict": verdict(report), "environment": report.environment or MISSING, "cnnspec": report.cnnspec}
    asked = {"--device" if name == "device" else name: value for name, value in report.options.items()}
    return head | asked | report.stack | precision


def tiers(first: Report, second: Report) -> Iterator[list[str]]:
    """Number of tests by outcome, and the largest share of a tolerance, by tier."""
    for tier in dict.fromkeys([*first.tiers, *second.tiers]):
        counts = [report.tiers.get(tier, {}) for report in (first, second)]
        words = [", ".join(f"{count[each]} {WORDS[each]}" for each in WORDS if count.get(each)) for count in counts]
        yield [tier, *(word or "not run" for word in words), used(first, tier), used(second, tier)]


def losses(first: Report, second: Report) -> Iterator[list[str]]:
    """The results table of both sides."""
    for name in dict.fromkeys([*first.table, *second.table]):
        for model in MODELS:
            one, other = (report.table.get(name, {}).get(model) for report in (first, second))
            yield beside(f"{name}, {model}", one, other, digits=4)


def seconds(first: Report, second: Report) -> Iterator[list[str]]:
    """Seconds of the whole run, and of an epoch after the first (median)."""
    yield beside("whole run", first.seconds, second.seconds, digits=0)
    for model in MODELS:
        yield beside(f"epoch of {model}", later(first, model), later(second, model), digits=2)


def later(report: Report, model: str) -> float | None:
    """Median of the seconds of the epochs after the first, None where there is no later epoch."""
    found = report.trainings.get(model, {}).get("history", {}).get("seconds", [])[1:]
    return statistics.median(found) if found else None


def beside(name: str, first: float | None, second: float | None, digits: int) -> list[str]:
    """A row of two numbers and their ratio."""
    ratio = f"{second / first:.3f}" if first and second is not None else MISSING
    return [name, *(MISSING if value is None else f"{value:.{digits}f}" for value in (first, second)), ratio]
