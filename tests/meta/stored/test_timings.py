"""Are the stored benchmarks complete, and does the README's table agree with them?"""

import json
from statistics import median

import pandas as pd
import pytest

from cnnspec.benchmarks import slowdowns, timings, variants
from cnnspec.benchmarks.timings import Key
from cnnspec.facts import notebook
from cnnspec.names import MODELS, hardware
from cnnspec.reports import markdown
from tests.benchmarks import test_epochs
from tests.plugin import benchmarks

STORED = sorted(path for path in benchmarks.FOLDER.glob("*/*") if path.suffix != ".lock")
README = (benchmarks.FOLDER / "README.md").read_text(encoding="utf-8")
SHOWN = [path for path in STORED if f"`{path.parent.name}/{path.name}`" in README]  # new files need no entry in the README
NOT_TRUSTED = "–"
# A slowdown in all models that the runs of a quiet machine must show, of these kinds. The Xeon's runs differ too much from
# each other; the README says what they detect.
USEFUL, QUIET = 0.2, ("amd-epyc-avx-512-2-cores-24-gib",)
SHARP = ("harness", "bare step", "inference by 1", "inference by 1024")
KEYS = [  # of all timings that a run can have
    *(Key(model, variant) for model in MODELS for variant in variants.VARIANTS),
    *(Key(model, f"inference by {batch}") for model in MODELS for batch in test_epochs.BATCHES),
    *(Key(None, what) for what in (test_epochs.DATA, *test_epochs.STARTS)),
]


def name(path):
    """A stored file's name in an id of a test: of several machines that stored the same stack, each has its own."""
    return f"{path.parent.name}/{path.stem}"


def each(runs, key, show):
    """`show` of a timing in each run, in one line; a timing that was not to be trusted is not stored."""
    return " ".join(show(run["timings"][key]) if key in run["timings"] else NOT_TRUSTED for run in runs)


def ratio(timing):
    """Median of a timing's ratios to plain fit; an empty text without ratios."""
    return f"{median(timing.ratios):.2f}" if timing.ratios else ""


def table(content):
    """The README's table of a stored file: a row per timing; a cell holds the medians of the runs."""
    runs = content["runs"]
    last = {key: timing for run in runs for key, timing in run["timings"].items()}
    rows = [
        {
            "": str(key),
            "seconds": each(runs, key, lambda timing: f"{timing.median:.3g}"),
            "images/s": f"{newest.images_per_second:.0f}" if newest.images else "",
            "GFLOP/s": f"{newest.gflops:.0f}" if newest.flops else "",
            "of limit": each(runs, key, lambda timing: f"{timing.share:.0%}") if newest.limit_gflops else "",
            "first": f"{newest.first:.3g}" if newest.first else "",
            "host MiB": f"{newest.host_mib:.0f}" if newest.host_mib else "",
            "relative to plain fit": each(runs, key, ratio) if newest.ratios else "",
        }
        for key, newest in sorted(last.items(), key=lambda item: KEYS.index(item[0]))
    ]
    return markdown.of_frame(pd.DataFrame(rows))


def test_something_is_stored():
    """At least one machine is stored and shown, with as many runs as a comparison needs."""
    assert max(len(timings.read(path)["runs"]) for path in SHOWN) >= slowdowns.LEAST_RUNS


@pytest.mark.parametrize("path", STORED, ids=name)
def test_stored_figures_are_whole(path):
    """A stored file is readable, lies in its hardware's folder, and has trusted timings, each model's plain fit too."""
    content = timings.read(path)
    assert path.parent.name == content["hardware"] == hardware(content["stack"])
    assert path.name == timings.file_name(content["stack"], content["dataset"])
    keys = {key for run in content["runs"] for key in run["timings"]}
    assert {Key(model, variants.PLAIN) for model in notebook.trained_models()} <= keys <= set(KEYS)
    assert all(timing.trusted for run in content["runs"] for timing in run["timings"].values())
    assert json.loads(path.read_text(encoding="utf-8"))["stack"]["cpu"]


@pytest.mark.parametrize("path", SHOWN, ids=name)
def test_the_table_is_in_the_readme(path):
    """baselines/benchmarks/README.md holds the table of each stored file that it names."""
    shown = table(timings.read(path))
    assert shown in README, f"the table is now\n{shown}"


def power(content):
    """The README's table of what is detected: a row per kind of timing; all models, the least and the most of one."""
    alone, together = {}, {}
    for key, slower in slowdowns.detectable([run["timings"] for run in content["runs"]]).items():
        if key.model == slowdowns.ALL_MODELS:
            together[key.what] = slower
        else:
            alone.setdefault(slowdowns.kind(key), []).append(slower)
    rows = [
        {
            "detects": kind,
            "in all models": f"{together[kind]:.0%}" if kind in together else "",
            "in one model": f"{min(alone[kind]):.0%} to {max(alone[kind]):.0%}",
        }
        for kind in sorted(alone, key=lambda kind: together.get(kind, min(alone[kind])))
    ]
    return markdown.of_frame(pd.DataFrame(rows))


@pytest.mark.parametrize("path", SHOWN, ids=name)
def test_the_readme_says_what_is_detected(path):
    """The smallest slowdown that is found in 95 of 100 runs stands there, of each kind."""
    shown = power(timings.read(path))
    assert shown in README, f"the table is now\n{shown}"


@pytest.mark.parametrize("folder", QUIET)
def test_what_is_detected_is_useful(folder):
    """A QUIET machine's runs show 20 % in all models of the kinds that are SHARP; the other kinds wait or differ more."""
    paths = [path for path in SHOWN if path.parent.name == folder]
    assert paths, f"baselines/benchmarks/README.md names no file of {folder}"
    for path in paths:
        found = slowdowns.detectable([run["timings"] for run in timings.read(path)["runs"]])
        together = {what: found[Key(slowdowns.ALL_MODELS, what)] for what in SHARP}
        assert {what: slower for what, slower in together.items() if slower > USEFUL} == {}, path.name
