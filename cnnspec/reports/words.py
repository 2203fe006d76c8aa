"""Reports in words: what the table and the page say of a report, each in one place."""

from __future__ import annotations

from cnnspec.names import MODELS

COLUMNS = ("environment", "verdict", "framework", "Keras", "Python", "passed", "failed", "not run", "known differences")
NO_REPORT = "no report: did not run"


def verdict(report):
    """The verdict in words; failures outside the tiers, which do not change it, are told in its place."""
    others = report.others["failed"]
    return f"fail ({others} outside the tiers)" if others and report.verdict != "fail" else report.verdict


def percent(share):
    """A share of a bound in words, rounded without hiding that it is above none or above the bound."""
    if share is None or share > 99.99:
        return "beyond"
    if 0 < share < 0.005:
        return "<1%"
    if share != 1 and round(share, 2) == 1:
        return ">100%" if share > 1 else ">99%"
    return f"{share:.0%}"


def row(report):
    """Cells of the first columns."""
    return [
        report.label,
        verdict(report),
        report.stack["framework"],
        report.stack["keras"],
        report.stack["python"],
        *(str(report.total(outcome)) for outcome in ("passed", "failed")),
        str(len(report.not_run)),
        str(report.total("xfailed")),
    ]


def used(report, tier):
    """Largest share of its bound that a check of a tier used, in words."""
    most = report.used(tier)
    return percent(most[0]) if most else "–"


def losses(report, name="Test Loss"):
    """A row of the results table, a cell per model."""
    found = report.table.get(name, {})
    return [f"{found[model]:.4f}" if model in found else "–" for model in MODELS]


def summary(reports, absent):
    """How many environments there are and how they ended, in a line."""
    ended = {}
    for report in reports:
        word = verdict(report).split(" (")[0]
        ended[word] = ended.get(word, 0) + 1
    words = [f"{ended[word]} {word}" for word in ("pass", "fail", "cannot tell", "no verdict") if word in ended]
    words += [f"{len(absent)} did not run ({', '.join(absent)})"] if absent else []
    total = len(reports) + len(absent)
    return f"{total} environment{'s' if total != 1 else ''}: {', '.join(words)}."


def reasons(reports):
    """What failed, did not run or is known to differ: {title: {"test: reason": [environments]}}, only what there is."""
    kinds = {"Failed": "failed", "Did not run": "not_run", "Known differences": "known_differences"}
    found = {}
    for title, field in kinds.items():
        for report in reports:
            for entry in gathered(getattr(report, field)):
                found.setdefault(title, {}).setdefault(entry, []).append(report.label)
    return found


def gathered(entries):
    """Lines "test: reason"; many tests of one module with one reason become one line."""
    groups = {}
    for entry in entries:
        module = entry["test"].split("::")[0]
        groups.setdefault((module, entry["reason"]), []).append(entry["test"])
    lines = []
    for (module, reason), tests in groups.items():
        name, count = (tests[0], "") if len(tests) == 1 else (module, f", {len(tests)} tests")
        lines.append(f"`{name.split('/')[-1]}`{count}: {reason}")
    return lines
