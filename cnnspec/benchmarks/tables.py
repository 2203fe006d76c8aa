"""Figures of benchmarks as tables of text: one run, and stored runs of other stacks and machines beside it."""

from __future__ import annotations

from statistics import median

COLUMNS = (
    "",
    "seconds",
    "spread",
    "first",
    "images/s",
    "GFLOP/s",
    "of limit",
    "limit",
    "GB/s",
    "host MiB",
    "device MiB",
    "by plain fit",
)


def rows_of(figures):
    """Rows of a table of one run, {name: Figure}. Limit: GFLOP/s of a matrix product; GB/s: of an addition in memory."""
    rows = []
    for name, figure in figures.items():
        rows.append(
            (
                name,
                f"{figure.median:.4g}",
                f"{figure.spread:.1%}" + ("" if figure.trusted else " !"),
                number(figure.first, ".3g"),
                number(figure.images_per_second, ".0f"),
                number(figure.gflops, ".1f"),
                number(figure.share, ".0%"),
                number(figure.limit_gflops, ".0f"),
                number(figure.limit_gbytes, ".0f"),
                number(figure.host_mib, ".0f"),
                number(figure.device_mib, ".0f"),
                ratios(figure.ratios),
            )
        )
    return rows


def run(figures, dataset):
    """Lines of a table of one run, {name: Figure}, on a data set."""
    from cnnspec.names import SAMPLES  # with NumPy and SciPy, which the page of reports does without

    images, whole = SAMPLES[dataset][0], SAMPLES["mnist"][0]
    times = f"; full MNIST's {whole} are {whole / images:g} times as many" if images < whole else ""
    lines = [f"{dataset}: a whole epoch has {images} images{times}", *aligned([COLUMNS, *rows_of(figures)])]
    if not all(figure.trusted for figure in figures.values()):
        lines.append("!: the rounds differ so much that the figure cannot be trusted; leave the machine alone, try again")
    return lines


def ratios(values):
    """Least, median and greatest of ratios that were taken round by round."""
    return f"{min(values):.2f} {median(values):.2f} {max(values):.2f}" if values else ""


ACROSS = ("hardware", "stack", "data", "model", "seconds", "of limit", "by model2")


def rows_across(contents, of="plain fit"):
    """Rows of a table of stored files: epochs of every model on each machine and stack.

    Machines are compared by the share of their own limit and by the models' times as ratios to model2's, not by seconds.
    `contents` are files as `timings.read` gives them; `of` names the variant.
    """
    rows = []
    for content in contents:
        figures = content["runs"][-1]["figures"]
        base = figures.get(f"model2, {of}")
        for name, figure in figures.items():
            if name.endswith(f", {of}"):
                stack = f"{content['stack']['framework']}, Keras {content['stack']['keras']}"
                by = f"{figure.median / base.median:.2f}" if base else ""
                place = (content["hardware"], stack, content["dataset"], name.split(",")[0])
                rows.append((*place, f"{figure.median:.4g}", number(figure.share, ".0%"), by))
    return rows


def across(contents):
    """Lines of the table of stored files, none where nothing is stored."""
    rows = rows_across(contents)
    return aligned([ACROSS, *rows]) if rows else []


def number(value, form):
    """A number in a format; nothing for None."""
    return "" if value is None else format(value, form)


def aligned(rows):
    """Rows of text as lines with columns of equal width, the first to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            f"{cell:<{width}}" if not column else f"{cell:>{width}}" for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
