"""Figures of a run of benchmarks as bars: GFLOP/s of each model's epochs, with the limit measured beside each."""

from __future__ import annotations

from pathlib import Path

from cnnspec.files import replaced_whole

INK = "#333333"


def bars(figures):
    """{model: {variant: (GFLOP/s, limit)}} of the epochs among {name: Figure}; inference and starts have no limit."""
    found = {}
    for name, figure in figures.items():
        model, _, variant = name.partition(", ")
        if figure.gflops and figure.limit_gflops:
            found.setdefault(model, {})[variant] = (figure.gflops, figure.limit_gflops)
    return found


def draw(figures, path, title):
    """Write the bars to `path` (its suffix chooses the format), a panel a model; returns whether there were any."""
    from matplotlib.figure import Figure  # no pyplot: a server without a screen draws as well

    models = bars(figures)
    if not models:
        return False
    sheet = Figure(figsize=(4.0 * len(models), 3.6), layout="constrained")
    panels = sheet.subplots(1, len(models), squeeze=False, sharex=True)[0]
    for axes, (model, variants) in zip(panels, models.items()):
        rows = range(len(variants))
        axes.barh(rows, [reached for reached, _ in variants.values()], color="#1f77b4")
        for row, (_, limit) in zip(rows, variants.values()):
            axes.plot([limit, limit], [row - 0.4, row + 0.4], color=INK, linewidth=2)
        axes.set_yticks(rows, list(variants))
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_title(model)
        axes.set_xlabel("GFLOP/s of an epoch; line: matrix product")
    sheet.suptitle(title, fontsize=10)
    with replaced_whole(Path(path)) as temporary:
        sheet.savefig(temporary, dpi=120)
    return True
