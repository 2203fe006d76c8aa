"""Are the stored benchmarks whole, and the README's table what they say?"""

import json
from statistics import median

import pandas as pd
import pytest

from cnnspec import results
from cnnspec.benchmarks import slowdowns, timings, variants
from cnnspec.names import MODELS, hardware
from tests.benchmarks import test_epochs
from tests.plugin import benchmarks

STORED = sorted(benchmarks.FOLDER.glob("*/*"))
README = (benchmarks.FOLDER / "README.md").read_text(encoding="utf-8")
SHOWN = [path for path in STORED if f"`{path.parent.name}/{path.name}`" in README]  # whoever measures need not write there
NOT_TRUSTED = "–"
NAMES = [  # of all figures that a run can have
    *(f"{model}, {variant}" for model in MODELS for variant in variants.VARIANTS),
    *(f"{model}, inference by {batch}" for model in MODELS for batch in test_epochs.BATCHES),
    test_epochs.DATA,
    *test_epochs.STARTS,
]


def each(runs, name, show):
    """What `show` makes of a figure of each run, in a line; a figure that was not to be trusted is not stored."""
    return " ".join(show(run["figures"][name]) if name in run["figures"] else NOT_TRUSTED for run in runs)


def ratio(figure):
    """Median of a figure's ratios to plain fit, empty where it has none."""
    return f"{median(figure.ratios):.2f}" if figure.ratios else ""


def table(content):
    """The README's table of a stored file, one column of medians per kind of number with the runs side by side."""
    runs = content["runs"]
    last = {name: figure for run in runs for name, figure in run["figures"].items()}
    rows = [
        {
            "": name,
            "seconds": each(runs, name, lambda figure: f"{figure.median:.3g}"),
            "images/s": f"{newest.images_per_second:.0f}" if newest.images else "",
            "GFLOP/s": f"{newest.gflops:.0f}" if newest.flops else "",
            "of limit": each(runs, name, lambda figure: f"{figure.share:.0%}") if newest.limit_gflops else "",
            "first": f"{newest.first:.3g}" if newest.first else "",
            "host MiB": f"{newest.host_mib:.0f}" if newest.host_mib else "",
            "by plain fit": each(runs, name, ratio) if newest.ratios else "",
        }
        for name, newest in sorted(last.items(), key=lambda item: NAMES.index(item[0]))
    ]
    return results.as_markdown(pd.DataFrame(rows))


def test_something_is_stored():
    """One machine at least is stored and shown, with as many runs as a comparison needs."""
    assert max(len(timings.read(path)["runs"]) for path in SHOWN) >= slowdowns.LEAST_RUNS


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_figures_are_whole(path):
    """A stored file is read, lies in its hardware's folder, and has trusted figures, plain epochs of each model too."""
    content = timings.read(path)
    assert path.parent.name == content["hardware"] == hardware(content["stack"])
    assert path.name == timings.file_name(content["stack"], content["dataset"])
    names = {name for run in content["runs"] for name in run["figures"]}
    assert {f"{model}, {variants.PLAIN}" for model in MODELS} <= names <= set(NAMES)
    assert all(figure.trusted for run in content["runs"] for figure in run["figures"].values())
    assert json.loads(path.read_text(encoding="utf-8"))["stack"]["cpu"]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_the_table_is_in_the_readme(path):
    """baselines/benchmarks/README.md holds the table of each stored file that it names."""
    shown = table(timings.read(path))
    assert shown in README, f"the table is now\n{shown}"
