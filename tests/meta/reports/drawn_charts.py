"""`python -m tests.meta.reports.drawn_charts` draws a chart of each kind anew into drawn_charts.txt, an element a line.

The stored ones were looked at: after a change of a layout draw them again, and look at what has moved.
"""

import re
from pathlib import Path

from cnnspec.benchmarks.history import Change
from cnnspec.reports import charts, history

STORED = Path(__file__).with_suffix(".txt")
BAND = {"low": [0.1, 0.05], "mean": [0.2, 0.1], "high": [0.4, 0.2]}
ENDLESS = {"low": [1e-130] * 2, "mean": [0.2] * 2, "high": [1e130] * 2}
MANY = [(number, f"s{number}", [0.2 + number / 10, 0.1 + number / 20][: 2 - (number == 0)]) for number in range(5)]
DRAWN = {
    "axis": charts.axis(lambda value: 4 + 10 * value, 2, 5, "seconds"),
    "axis of shares": charts.share_axis(),
    "shares": charts.strip([(0, "a", 0.5), (1, "b", float("inf"))]),
    "speeds": charts.speed_chart("model1", [(0, "a", 3.0, 2.0), (9, "b", 2.38, None)]),
    "limits": charts.limit_chart("model1", [("fit", 100.0, 300.0, "100 of 300"), ("half", 50.0, 2000.0, "50 of 2000")]),
    "history": history.history_chart(
        "harness",
        ["a", "a", "a", "b"],
        [(0, "model1", [2.0, None, 3.0, 3.2], Change(2, 1.55)), (1, "model2", [1.0] * 4, None)],
    ),
    "history of one run of a timing": history.history_chart("XLA on", ["a", "a"], [(2, "model3", [None, 100.0], None)]),
    "history of a timing that became far slower": history.history_chart(
        "a", ["a", "a"], [(0, "model1", [1.0, 700.0], None)]
    ),
    "losses": charts.loss_chart("model1", [(0, "a", [0.2, 0.1]), (9, "b", [0.4, 0])], BAND),
    "losses of one epoch": charts.loss_chart("model1", [(0, "a", [0.2])], None),
    "losses of many stacks": charts.loss_chart("model1", MANY, None),
    "losses in a band without end": charts.loss_chart("model1", [(0, "a", [0.2, 0.1])], ENDLESS),
}


def elements(chart: str) -> list[str]:
    """The elements of a chart, each with the words in it."""
    return re.findall(r"<[^/][^>]*>[^<]*", chart)


def told() -> str:
    """The text of drawn_charts.txt."""
    return "\n".join(line for name, chart in DRAWN.items() for line in (f"{name}:", *elements(chart), ""))


if __name__ == "__main__":
    STORED.write_text(told(), encoding="utf-8")
