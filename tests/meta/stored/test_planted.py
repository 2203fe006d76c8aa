"""Do benchmarks find slowdowns that were planted, and blame no unchanged run? See `tests/benchmarks/planted.py`."""

import functools

import pandas as pd
import pytest

from cnnspec.benchmarks import slowdowns
from cnnspec.benchmarks.timings import Key
from cnnspec.names import MODELS
from cnnspec.reports import markdown
from tests.benchmarks import planted
from tests.plugin import benchmarks

PATH = benchmarks.FOLDER / "planted.csv"
README = (benchmarks.FOLDER / "README.md").read_text(encoding="utf-8")
KINDS = 11  # of a whole run, with 4 timings of each: one kind has its share of the rate
ALL = Key(slowdowns.ALL_MODELS, "harness")


@pytest.fixture(autouse=True)
def as_in_a_whole_run(monkeypatch):
    """The rate that the harness has where everything is measured."""
    monkeypatch.setattr(slowdowns, "FALSE_ALARM", slowdowns.FALSE_ALARM / KINDS)


@functools.cache
def runs():
    """[(slowdown, {Key: Timing})] in the order in which they were measured."""
    rows = planted.rows_of(PATH)
    return [
        (name, {timing.key: timing for timing in (planted.timing_of(row) for row in rows if row["run"] == str(number))})
        for number, name in planted.plan()
    ]


def unchanged(but=None):
    """The unchanged runs, but one."""
    return [run for name, run in runs() if name == planted.NONE and run != but]


def test_the_runs_are_whole():
    """Each run has every model, all by one stack on one machine, and is of the slowdown that is planned."""
    rows = planted.rows_of(PATH)
    found = [(row["run"], row["slowdown"], row["model"]) for row in rows]
    assert found == [(str(number), name, model) for number, name in planted.plan() for model in MODELS]
    assert len({(row["hardware"], row["framework"], row["keras"]) for row in rows}) == 1


def words(compared):
    """What is blamed, in words."""
    slower = [key.model for key, each in compared.items() if each.outcome == "slower"]
    return ", ".join(sorted(slower)) or "nothing"


def table():
    """The README's table: a row per slowdown, whose run is compared with the unchanged ones."""
    found = []
    for name, run in runs():
        compared = slowdowns.compare(run, unchanged(run))
        if name != planted.NONE:
            found.append(
                {
                    "planted": name,
                    "all models": compared[ALL].text.split(" than ")[0].split(": ")[1],
                    "blamed": words(compared),
                }
            )
    return markdown.of_frame(pd.DataFrame(found))


def test_no_unchanged_run_is_blamed():
    """Each unchanged run, compared with the others, is as before in every model and in all together."""
    for run in unchanged():
        assert words(slowdowns.compare(run, unchanged(run))) == "nothing"


def test_the_planted_slowdowns_are_in_the_readme():
    """baselines/benchmarks/README.md says of each slowdown how much slower all models were, and what was blamed."""
    shown = table()
    assert shown in README, f"the table is now\n{shown}"
    detects = slowdowns.detectable(unchanged())
    alone = [slower for key, slower in detects.items() if key != ALL]
    said = f"all models by {detects[ALL]:.0%}, one by {min(alone):.0%} to {max(alone):.0%}"
    assert said in " ".join(README.split()), said
