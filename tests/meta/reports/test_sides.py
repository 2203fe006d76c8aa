"""Does `cnnspec compare A.json B.json` find what differs beyond the bounds, and only that?"""

import copy
import json
import subprocess
import sys

import pytest

from cnnspec import __main__ as command_line
from cnnspec.facts import reading
from cnnspec.reports import sides
from tests.meta.reports.made_reports import ADAM, LAYERS, made
from tests.meta.reports.test_report import written

FAILED = [{"test": LAYERS, "reason": "layer 1: relative error 0.4"}]
OTHER = [{"test": ADAM, "reason": "variable 1: relative error 0.2"}]
OUTSIDE = [{"test": "tests/meta/test_files.py::test_whole", "reason": "half a file"}]
VERDICTS = "verdict: pass in A, fail in B"
NOT_RUN = {"passed": 0, "failed": 0, "skipped": 3, "xfailed": 0}


def without(tier):
    """The counts of a run in which a tier did not run."""
    return {"tiers": made().tiers | {tier: NOT_RUN}}


def trained(model="model2", **changes):
    """Trainings of which one differs."""
    trainings = made().trainings
    trainings[model] = trainings[model] | changes
    return {"trainings": trainings}


def losses(first=0.4, last=0.21):
    """A history of model2 with these test losses."""
    return trained(history=made().trainings["model2"]["history"] | {"val_loss": [first, last]})


def other(**options):
    """Changed options."""
    return {"options": made().options | options}


def longer():
    """The trainings of three epochs."""
    trainings = made().trainings
    for run in trainings.values():
        for values in (*run["history"].values(), *(end for band in run["bands"].values() for end in band.values())):
            values.append(values[-1])
    return {"trainings": trainings}


BEYOND = {  # (changes of A, changes of B, the differences beyond the bounds)
    "a verdict": ({}, {"verdict": "no verdict"}, ["verdict: pass in A, no verdict in B"]),
    "a failure outside the tiers": (
        {"others": {"passed": 1, "failed": 1, "skipped": 0, "xfailed": 0}, "tiers": made().tiers, "failed": OUTSIDE},
        {},
        [
            "verdict: fail (1 test outside the tiers) in A, pass in B",
            "`tests/meta/test_files.py::test_whole`: failed in A, passed or not run in B: half a file",
        ],
    ),
    "a failure outside the tiers, of which one side ran none": (
        {"others": {"passed": 1, "failed": 1, "skipped": 0, "xfailed": 0}, "tiers": made().tiers, "failed": OUTSIDE},
        {"others": dict.fromkeys(NOT_RUN, 0)},
        [
            "verdict: fail (1 test outside the tiers) in A, pass in B",
            "`tests/meta/test_files.py::test_whole`: failed in A, not run in B: half a file",
        ],
    ),
    "nothing known of either": (
        {"verdict": "no verdict"},
        {"verdict": "no verdict"},
        ["verdict: no verdict in both, so nothing is known of either; run the suite again"],
    ),
    "a failed test": (
        {"failed": FAILED, "verdict": "fail"},
        {"failed": OTHER, "verdict": "fail"},
        [
            f"`{ADAM}`: passed in A, failed in B: variable 1: relative error 0.2",
            f"`{LAYERS}`: failed in A, passed in B: layer 1: relative error 0.4",
        ],
    ),
    "a failed test that the other did not run": (
        {"not_run": [{"test": LAYERS, "reason": "no GPU"}]},
        {"failed": FAILED, "verdict": "fail"},
        [VERDICTS, f"`{LAYERS}`: not run in A, failed in B: layer 1: relative error 0.4"],
    ),
    "a failed test that the other knows": (
        {"known_differences": [{"test": LAYERS, "reason": "oneDNN"}]},
        {"failed": FAILED, "verdict": "fail"},
        [VERDICTS, f"`{LAYERS}`: known to differ in A, failed in B: layer 1: relative error 0.4"],
    ),
    "a failed test of a tier that the other did not run": (
        {"failed": FAILED, "verdict": "fail"},
        without("numerics") | {"verdict": "no verdict"},
        [
            "verdict: fail in A, no verdict in B",
            "tier numerics: ran in A only (level default)",
            f"`{LAYERS}`: failed in A, not run in B: layer 1: relative error 0.4",
        ],
    ),
    "a check within a test that failed in both": (
        {"failed": FAILED, "verdict": "fail", "margins": {LAYERS: {"layer 1": None, "layer 2": 0.5}}},
        {"failed": FAILED, "verdict": "fail", "margins": {LAYERS: {"layer 1": 0.9, "layer 2": 1.5}}},
        [
            f"`{LAYERS}`, layer 1: >9999% of the tolerance in A, 90% in B",
            f"`{LAYERS}`, layer 2: 50% of the tolerance in A, 150% in B",
        ],
    ),
    "a tier": (
        {},
        without("training") | {"verdict": "no verdict"},
        ["verdict: pass in A, no verdict in B", "tier training: ran in A only (level default)"],
    ),
    "a tier of another level": (
        without("training") | other(level="quick"),
        {},
        ["tier training: ran in B only (level quick and default)"],
    ),
    "a tier that the other does not have": (
        {},
        {"tiers": made().tiers | {"replication": made().tiers["training"]}},
        ["tier replication: ran in B only (level default)"],
    ),
    "a loss above": (
        losses(last=0.55),
        {},
        ["model2, test loss, epoch 2: 0.5500 in A, outside B's band from 0.1000 to 0.4000"],
    ),
    "a loss below, of the first epoch": (
        {},
        losses(first=0.2),
        ["model2, test loss, epoch 1: 0.2000 in B, outside A's band from 0.3000 to 0.6000"],
    ),
    "no band": (
        trained(bands={"loss": made().trainings["model1"]["bands"]["loss"]}),
        {},
        ["model2, test loss: A has no band to judge B by"],
    ),
    "no losses": (
        trained(history={"loss": [0.5, 0.3], "seconds": [3.0, 2.0]}),
        {},
        ["model2, test loss: not recorded in A"],
    ),
    "no band of one loss, and another outside": (
        trained(bands={"loss": made().trainings["model1"]["bands"]["loss"]}),
        trained(history=made().trainings["model2"]["history"] | {"loss": [0.7, 0.3]}),
        [
            "model2, test loss: A has no band to judge B by",
            "model2, train loss, during training, epoch 1: 0.7000 in B, outside A's band from 0.3000 to 0.6000",
        ],
    ),
    "a training": ({"trainings": {}}, {}, [f"model{n}: trained in B only" for n in range(1, 5)]),
    "the other's training": ({}, {"trainings": {}}, [f"model{n}: trained in A only" for n in range(1, 5)]),
    "other epochs": (
        {},
        other(epochs=3) | longer(),
        ["losses cannot be compared: A trained mnist5k, 2 epochs, B mnist5k, 3 epochs"],
    ),
}


@pytest.mark.parametrize(("first", "second", "expected"), BEYOND.values(), ids=BEYOND)
def test_differences_beyond_the_bounds(tmp_path, capsys, first, second, expected):
    """Each is a line at the top, and the exit code is 1."""
    reports = [made(**copy.deepcopy(changes)) for changes in (first, second)]
    assert sides.differences(*reports) == expected
    assert command_line.main(["compare", *written(tmp_path, *reports)]) == 1
    _, title, *lines = capsys.readouterr().out.split("\n\n")
    assert title == f"**{len(expected)} {'difference' if len(expected) == 1 else 'differences'} beyond the bounds**"
    assert lines[0].splitlines() == [f"- {line}" for line in expected]


WITHIN = {
    "the same": {},
    "a share of a tolerance": {"share": 0.99},
    "the whole of a tolerance": {"share": 1.0},
    "a loss within the band": losses(last=0.39),
    "a loss at the upper end of the band": losses(last=0.4),
    "a loss at the lower end of the band": losses(last=0.1),
    "seconds": {"seconds": 20.0},
    "another framework": {"framework": "tensorflow 2.20.0", "environment": "tf220"},
    "a known difference": {"known_differences": [{"test": ADAM, "reason": "rounding"}]},
    "a skipped test": {"not_run": [{"test": ADAM, "reason": "no GPU"}]},
    "a check that one side lacks": {"margins": {LAYERS: {"layer 3": 0.9}}},
    "other hardware": {"stack": made().stack | {"cpu": "Other CPU"}},
}


@pytest.mark.parametrize("changes", WITHIN.values(), ids=WITHIN)
def test_differences_within_the_bounds(tmp_path, capsys, changes):
    """They are shown, and the exit code is 0."""
    assert command_line.main(["compare", *written(tmp_path, made(), made(**changes))]) == 0
    output = capsys.readouterr().out
    assert "\n\nNothing differs by more than the bounds of the suite allow.\n\n" in output
    assert ("The hardware differs: seconds do not compare the stacks." in output) == ("stack" in changes)


def test_two_failures_alike_are_named(tmp_path, capsys):
    """What failed in both is no difference between them, but is not silent."""
    assert command_line.main(["compare", *written(tmp_path, *[made(failed=FAILED, verdict="fail")] * 2)]) == 0
    assert f"**Failed in both**\n\n- {LAYERS}\n" in capsys.readouterr().out
    command_line.main(["compare", *written(tmp_path, *(made(failed=each, verdict="fail") for each in (FAILED, OTHER)))])
    assert "**Failed in both**" not in capsys.readouterr().out


def table(output, title):
    """The rows of the table whose first column has this title: {name: cells}."""
    (part,) = (part for part in output.split("\n\n") if part.startswith(f"| {title} "))
    lines = [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in part.splitlines()]
    return {name: cells for name, *cells in lines}


def test_everything_is_side_by_side(tmp_path, capsys):
    """Facts of any name, level, tiers with their largest shares, losses of the results table, seconds of run and epoch."""
    precision = "matrix product, TF32 off: 24 bits"
    first = made("tf219", "tensorflow 2.19.0", precision=[precision], stack=made().stack | {"digest": "abc"})
    second = made("tf220", share=0.5, seconds=3.0, **without("results"), **other(level="quick"))
    second.table["Test Loss"] = {"model1": 0.3}
    second.stack["driver"] = "570.1"
    command_line.main(["compare", *written(tmp_path, first, second)])
    output = capsys.readouterr().out
    assert output.startswith("A: tf219, 2026-01-02\nB: tf220, 2026-01-02\n\n")
    facts = table(output, "fact")
    assert facts["environment"] == ["tf219", "tf220", "≠"]
    assert facts["level"] == ["default", "quick", "≠"]
    assert facts["digest"] == ["abc", "–", "≠"]
    assert facts["driver"] == ["–", "570.1", "≠"]
    assert facts["keras"] == ["3.15.1", "3.15.1", ""]
    assert facts["--device"] == ["auto", "auto", ""]
    assert facts["matrix product, TF32 off"] == ["24 bits", "–", "≠"]
    assert set(facts) >= {*first.stack, "verdict", "cnnspec", "dataset", "epochs", "seed", "runs", "workers"}
    assert table(output, "tier")["numerics"] == ["3 passed", "3 passed", "25%", "50%", ""]
    assert table(output, "tier")["results"] == ["3 passed", "3 skipped", "–", "–", "≠"]
    assert table(output, "loss in nats")["Test Loss, model1"] == ["0.2109", "0.3000", "1.422"]
    assert table(output, "loss in nats")["Test Loss, model2"] == ["0.2109", "–", "–"]
    assert table(output, "seconds")["whole run"] == ["102", "102", "1.000"]
    assert table(output, "seconds")["epoch of model1"] == ["2.00", "3.00", "1.500"]


def test_runs_without_training_have_no_losses(tmp_path, capsys):
    """Two quick runs are compared by their tiers, and differ in nothing."""
    quick = made(trainings={}, table={}, **without("training"), **other(level="quick"))
    assert command_line.main(["compare", *written(tmp_path, quick, quick)]) == 0
    output = capsys.readouterr().out
    assert "loss in nats" not in output
    assert table(output, "seconds")["epoch of model1"] == ["–", "–", "–"]


def wrong(tmp_path):
    """Arguments, exit code and message of what cannot be compared."""
    (path,) = written(tmp_path, made())
    missing, folder, broken = str(tmp_path / "none.json"), str(tmp_path / "folder"), tmp_path / "broken"
    (tmp_path / "folder").mkdir()
    broken.write_text(json.dumps({"model": "model1"}), encoding="utf-8")
    beside = f"{path} is named as a report and {folder} as a folder of ensembles; name two reports or two folders"
    return [
        ([path, folder], 2, beside),
        ([folder, path], 2, beside),
        ([path, path, "--epochs", "3"], 2, "--epochs is for folders of ensembles; two reports are compared in the epochs"),
        ([path, missing], 3, f"{missing} is missing; give the paths of reports"),
        ([path, str(broken)], 3, f"{broken} has no format"),
        ([folder, folder], 3, f"{folder} and {folder} hold no model in common; name folders of one CSV per model"),
    ]


@pytest.mark.parametrize("case", range(6))
def test_what_cannot_be_compared(tmp_path, capsys, case):
    """One line says what is wrong and what to name; nothing is printed beside it."""
    arguments, code, message = wrong(tmp_path)[case]
    assert command_line.main(["compare", *arguments]) == code
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"error: {message}")
    assert errors.count("\n") == 1


def test_no_framework_is_needed(tmp_path):
    """Reports are compared without pandas, NumPy and any framework."""
    paths = written(tmp_path, made(), made())
    main = "import sys; from cnnspec.__main__ import main; main(sys.argv[1:])"
    code = f"{main}; print({{'keras', 'numpy', 'pandas'}} & {{*sys.modules}})"
    command = [sys.executable, "-c", code, "compare", *paths]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "set()"
