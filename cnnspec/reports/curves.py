"""Sections of the page for loss curves: of a few stacks each curve; of more their range, and above it the chosen ones.

The page has no script: a radio button chooses, and the rules of `choosing` show the curve of the one that is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from cnnspec.names import MODELS
from cnnspec.reports import charts
from cnnspec.reports.html import Named, figure, section, table

METRICS = {"val_loss": "test loss", "loss": "train loss, during training"}
LEAD = (
    "One training per stack and model. Grey area: the band of the reference ensemble; a healthy run stays in it. Dotted"
    " line: the mean of the ensemble. Brackets: the epochs that the suite judges. The scale is logarithmic."
)
RANGE = " Blue area: from the lowest to the highest loss of all {} stacks. Choose below which of them is drawn above it."


def sections(named: Sequence[Named]) -> Iterator[str]:
    """A section for each data set and number of epochs."""
    for place, (settings, members) in enumerate(together(named).items()):
        figures = []
        for metric, title in METRICS.items():
            for model in MODELS:
                runs = [(n, label, r.trainings[model]) for n, label, r in members if model in r.trainings]
                lines = [(n, label, run["history"][metric]) for n, label, run in runs if run["history"].get(metric)]
                if lines:
                    band = next((run["bands"][metric] for _, _, run in runs if metric in run["bands"]), None)
                    name = f"{model}, {title}"
                    figures.append(figure(name, charts.loss_chart(name, lines, band), numbers(lines)))
        if figures:
            many = len(members) > charts.FEW
            lead = LEAD + (RANGE.format(len(members)) if many else "")
            choice = choices(place, members) if many else ""
            yield section(f"Loss curves: {settings}", lead, f'{choice}<div class="charts">{"".join(figures)}</div>')


def together(named: Sequence[Named]) -> dict[str, list[Named]]:
    """The stacks that trained, by data set and number of epochs."""
    found: dict[str, list[Named]] = {}
    for each in named:
        if each[2].trainings:
            found.setdefault(each[2].settings, []).append(each)
    return found


def choices(place: int, members: Sequence[Named]) -> str:
    """Radio buttons: one stack, all or none. At first the first stack that failed is chosen, else the first."""
    first = next((number for number, _, report in members if not report.good), members[0][0])

    def button(value: str, words: str, checked: bool = False) -> str:
        mark = " checked" if checked else ""
        return f'<label><input type="radio" name="curve-{place}" id="curve-{value}"{mark}>{words}</label>'

    items = [
        button(str(number), f"{charts.sample(number)} {escape(label)}", number == first) for number, label, _ in members
    ]
    items += [button(f"all-{place}", "all stacks"), button(f"none-{place}", "the range only")]
    return f'<fieldset class="legend"><legend>Drawn above the range</legend>{"".join(items)}</fieldset>'


def choosing(named: Sequence[Named]) -> str:
    """The rules that show the chosen curves."""
    rules = [f"body:has(#curve-{n}:checked) .many .s-{n}{{display:inline}}" for n, _, _ in named]
    for place, members in enumerate(together(named).values()):
        shown = ",".join(f".many .s-{n}" for n, _, _ in members)
        rules.append(f"body:has(#curve-all-{place}:checked) :is({shown}){{display:inline}}")
    return "".join(rules)


def numbers(lines: Sequence[charts.Curve]) -> str:
    """The losses of a chart as a table, a row per stack."""
    epochs = max(len(losses) for _, _, losses in lines)
    rows = [
        [escape(label), *(f"{loss:.4f}" for loss in losses), *["–"] * (epochs - len(losses))] for _, label, losses in lines
    ]
    return table("Losses by epoch, in nats", ("environment", *(f"epoch {epoch}" for epoch in range(1, epochs + 1))), rows)
