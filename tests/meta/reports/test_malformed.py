"""Is every file that is no report refused in one line, and is no verdict believed that the counts do not bear out?"""

import json
import os
import subprocess
import sys

import pytest

from cnnspec import __main__ as command_line
from cnnspec import content
from cnnspec.errors import MalformedReport
from cnnspec.facts import reading
from cnnspec.names import LEVELS
from cnnspec.reports import schema, verdicts
from cnnspec.reports.report import DESELECTED, FORMAT, UNREACHED, Report
from tests.meta.reports.made_reports import COUNTS, LAYERS, made
from tests.meta.reports.test_report import written
from tests.plugin import levels


def changed(place, value):
    """Writes the fields of a report with another value at a place, such as ("stack", "cores")."""

    def spoil(fields):
        *path, last = place
        inner = fields
        for key in path:
            inner = inner[key]
        inner[last] = value
        return json.dumps(fields)

    return spoil


HISTORY, BAND = ("trainings", "model1", "history"), ("trainings", "model1", "bands", "loss")
MALFORMED = {
    "truncated": (lambda fields: json.dumps(fields)[:-20], "is not valid JSON"),
    "a list": (lambda fields: "[]", "has no format, expected 'cnnspec report 1'"),
    "a training run": (lambda fields: '{"model": "model1"}', "has no format"),
    "another version": (
        lambda fields: json.dumps(fields | {"format": "cnnspec report 2"}),
        "has format 'cnnspec report 2', expected 'cnnspec report 1'",
    ),
    "a missing field": (
        lambda fields: json.dumps({key: value for key, value in fields.items() if key != "margins"}),
        "fields of the file missing: margins;",
    ),
    "an unknown field": (lambda fields: json.dumps(fields | {"margin": 1}), "fields of the file unknown: margin;"),
    "a field of another name": (
        lambda fields: json.dumps({{"margins": "margin"}.get(key, key): value for key, value in fields.items()}),
        "fields of the file missing: margins; unknown: margin;",
    ),
    "text for a number": (lambda fields: json.dumps(fields | {"seconds": "1"}), "seconds is '1', not a number"),
    "a bool for a number": (lambda fields: json.dumps(fields | {"seconds": True}), "seconds is True, not a number"),
    "deep inside": (
        lambda fields: json.dumps(fields | {"margins": {"a::b": {"layer 1": "0.5"}}}),
        "margins.a::b.layer 1 is '0.5', not a number of at least 0 or null",
    ),
    "a list for an object": (lambda fields: json.dumps(fields | {"trainings": []}), "trainings is not an object"),
    "an object for a list": (lambda fields: json.dumps(fields | {"failed": {}}), "failed is not a list"),
    "a half stack": (
        lambda fields: json.dumps(fields | {"stack": {"python": "3.12"}}),
        "fields of stack missing: cores, cpu, device, framework, keras, numpy, platform, precision;",
    ),
    "an empty file": (lambda fields: "", "is not valid JSON"),
    "a word": (lambda fields: '"pass"', "has no format"),
    "nested deeply": (lambda fields: "[" * 100_000, "is nested too deeply"),
    "nested inside": (changed(["date"], json.loads("[" * 500 + "]" * 500)), "date is [[[[[[[...]]]]]]], not a text"),
    "another format": (changed(["format"], {"a": ["b\n"]}), "has format {'a': ['b\\n']}, expected"),
    "a field twice": (
        lambda fields: json.dumps(fields)[:-1] + ', "verdict": "pass"}',
        "has the field 'verdict' more than once",
    ),
    "NaN": (changed(["seconds"], float("nan")), "it has NaN where a number belongs"),
    "infinity": (changed([*HISTORY, "loss"], [0.5, float("inf")]), "it has Infinity where a number belongs"),
    "a number too large": (
        lambda fields: json.dumps(fields).replace("101.5", "1e999"),
        "seconds is inf, not a number from 0 to 1e+12",
    ),
    "many digits": (changed(["stack", "cores"], 10**400), "stack.cores is a number of 401 digits, not a whole number"),
    "half a pair": (changed(["date"], "\ud800"), "date is '\\ud800', not a text"),
    "half a pair in a name": (changed(["table"], {"\ud800": {}}), "table has the field '\\ud800', whose name is not a text"),
    "a line break in a name": (changed(["table"], {"a\nb": 1}), "table.a?b is not an object"),
    "a negative count": (changed(["others", "failed"], -1), "others.failed is -1, not a whole number from 0"),
    "half a test": (changed(["tiers", "data", "passed"], 0.5), "tiers.data.passed is 0.5, not a whole number from 0"),
    "a level of another version": (
        changed(["options", "level"], "fast"),
        "options.level is 'fast', not one of quick, default, full",
    ),
    "no epoch": (changed(["options", "epochs"], 0), "options.epochs is 0, not a whole number from 1"),
    "framework without version": (changed(["stack", "framework"], "torch"), "stack.framework is 'torch', not a name and a"),
    "a negative margin": (
        changed(["margins", LAYERS, "layer 1"], -0.5),
        "layer 1 is -0.5, not a number of at least 0",
    ),
    "an empty history": (changed([*HISTORY, "loss"], []), "history.loss has 0 values, and the seconds are those of 2"),
    "no epoch in a history": (changed([*HISTORY, "seconds"], []), "trainings.model1.history.seconds is empty"),
    "a short history": (changed([*HISTORY, "loss"], [0.5]), "history.loss has 1 value, and the seconds are those of 2"),
    "a loss below zero": (changed([*HISTORY, "loss"], [-1, 0.5]), "history.loss[0] is -1, not a number from 0"),
    "epochs that were not asked for": (
        changed(["options", "epochs"], 3),
        "trainings.model1.history has 2 epochs, options.epochs is 3",
    ),
    "another backend": (
        changed(["stack", "backend"], "jax"),
        "stack.backend is 'jax', stack.framework 'tensorflow 2.21.0'",
    ),
    "a seed that no stack takes": (
        changed(["options", "seed"], 2**32),
        "options.seed is 4294967296, not a whole number from",
    ),
    "an accuracy in percent": (changed([*HISTORY, "accuracy"], [0.5, 98]), "accuracy[1] is 98, not a number from 0 to 1"),
    "no time": (changed([*HISTORY, "seconds"], [0, 0]), "history.seconds[0] is 0, not a number from 1e-09"),
    "no seconds": (changed(HISTORY, {"loss": [0.5, 0.3]}), "fields of trainings.model1.history missing: seconds"),
    "a short band": (changed([*BAND, "low"], [0.1]), "bands.loss.low has 1 value, and the seconds are those of 2"),
    "a band of zero": (changed([*BAND, "low"], [0.1, 0.0]), "bands.loss.low[1] is 0.0, not a number from 1e-200"),
    "a crossed band": (changed([*BAND, "low"], [0.1, 0.3]), "bands.loss is crossed in epoch 2: low, mean and high are"),
}


@pytest.mark.parametrize(("spoil", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_report_is_exit_code_3(tmp_path, capsys, spoil, message):
    """One line names the file and its fault; no table is printed."""
    good, bad = written(tmp_path, made(), made())
    fields = json.loads((tmp_path / "1.json").read_text())
    (tmp_path / "1.json").write_text(spoil(fields))
    assert command_line.main(["report", good, bad]) == 3
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"error: {bad}")
    assert message in errors
    assert errors.count("\n") == 1


def test_a_large_file_is_not_read_whole(tmp_path, monkeypatch):
    """A file of more bytes than any report has is refused, an endless one too."""
    monkeypatch.setattr(content, "LARGEST", 2**20)
    path = tmp_path / "a.json"
    path.write_bytes(b" " * (2**20 + 1))
    for each in (path, "/dev/zero"):
        with pytest.raises(MalformedReport, match="has more than 1024 KiB, too much for such a file; run the suite again"):
            schema.read(each, FORMAT)


def test_versions_of_any_text_are_ordered(tmp_path):
    """Long versions, and digits that are no decimal numbers."""
    for version in ("²", "1" * 5000, "٣.1", "2.21.0 of a vendor"):
        paths = written(tmp_path, made("a", f"tensorflow {version}"), made("b", "tensorflow 2.9"), made("c", "tensorflow x"))
        assert command_line.main(["report", *paths]) == 0


def failures(*reasons, **tiers):
    """Changes of a report: failed tests with these reasons, and by tier how many failed."""
    named = [{"test": LAYERS, "reason": reason} for reason in reasons]
    counts = {tier: COUNTS | {"failed": tiers.get(tier, 0)} for tier in verdicts.TIERS}
    return {"failed": named, "tiers": counts}


FEW, WRONG = "cannot tell: model1: test errors", "layer 1 is wrong"


def without(*absent):
    """Counts of all tiers but these."""
    return {tier: COUNTS for tier in verdicts.TIERS if tier not in absent}


SOME = without("paired", "training")
UNBELIEVABLE = {  # what a report states beside its counts -> what speaks against it
    "another word": ({"verdict": "fine"}, "that is not a verdict"),
    "upper case": ({"verdict": "PASS"}, "that is not a verdict"),
    "no tiers": ({"tiers": {}}, "nothing passed in stack, architecture, configuration and 17 more"),
    "tiers missing": ({"tiers": SOME}, "nothing passed in paired, training"),
    "three tiers missing": (
        {"tiers": without("saving", "paired", "training")},
        "nothing passed in saving, paired, training",
    ),
    "four tiers missing": (
        {"tiers": without("state", "saving", "paired", "training")},
        "nothing passed in state, saving, paired and 1 more",
    ),
    "nothing ran": ({"tiers": SOME | {"paired": dict.fromkeys(COUNTS, 0)}}, "nothing passed in paired, training"),
    "all skipped": (
        {"tiers": SOME | dict.fromkeys(["paired", "training"], COUNTS | {"passed": 0, "skipped": 9})},
        "nothing passed in paired, training",
    ),
    "full without replication": (
        {"options": made().options | {"level": "full"}},
        "nothing passed in replication",
    ),
    "failed": (failures(WRONG, WRONG, training=2), "2 failed"),
    "failed, not named": (failures(training=2), "it counts 2 failed and names 0"),
    "failed, not counted": (failures(WRONG), "it counts 0 failed and names 1"),
    "left out": ({"not_run": [{"test": LAYERS, "reason": DESELECTED}]}, "1 left out"),
    "not reached": ({"not_run": [{"test": LAYERS, "reason": UNREACHED}]}, "1 left out"),
    "a failure without one": ({"verdict": "fail"}, "no check failed"),
    "few runs without one": ({"verdict": "cannot tell"}, "0 failed, 0 of them for too few runs"),
    "few runs beside a fault": (
        {"verdict": "cannot tell", **failures(FEW, WRONG, training=1, numerics=1)},
        "2 failed, 1 of them for too few runs",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), UNBELIEVABLE.values(), ids=UNBELIEVABLE)
def test_a_verdict_that_the_counts_contradict_is_none(tmp_path, capsys, changes, reason):
    """The table says what the report states and what speaks against it; the exit code is 1, as without a verdict."""
    report = made(**changes)
    assert (report.judged, report.good) == ("no verdict", False)
    assert command_line.main(["report", *written(tmp_path, report), "--html", str(tmp_path / "a.html")]) == 1
    output = capsys.readouterr().out
    assert output.startswith("1 environment: 1 without a verdict.\n")
    told = f"no verdict (the report says {report.verdict}, but {reason})"
    assert told in output
    assert told in (tmp_path / "a.html").read_text()


BELIEVED = {
    "pass": {},
    "pass, quick": {"options": made().options | {"level": "quick"}, "tiers": dict.fromkeys(verdicts.QUICK, COUNTS)},
    "fail": {"verdict": "fail", **failures(WRONG, FEW, training=2)},
    "cannot tell": {"verdict": "cannot tell", **failures(FEW, FEW, training=2)},
    "no verdict": {"verdict": "no verdict"},
}


@pytest.mark.parametrize("changes", BELIEVED.values(), ids=BELIEVED)
def test_a_verdict_that_the_counts_bear_out_is_believed(changes):
    """Nothing is added to what the report states. A report that claims less than its counts show is not promoted."""
    assert made(**changes).judged == changes.get("verdict", "pass")
    assert made(**changes).good == ("verdict" not in changes)


@pytest.mark.parametrize("level", LEVELS)
def test_the_reader_knows_the_tiers_of_each_level(level):
    """The same as the run that writes the report: both lists name every tier that a pass must have run."""
    assert verdicts.NEEDED[level] == tuple(module.removeprefix("test_") for module in levels.tiers(level))


def test_failures_outside_the_tiers_are_counted():
    """Those of the suite itself have to be named too."""
    assert made(others=COUNTS | {"failed": 2}).contradiction == "it counts 2 failed and names 0"


def test_what_every_device_runs():
    """--device each ends before what is saved, compared between processes, or trained."""
    assert verdicts.TIERS[len(verdicts.SHARP) - 1 :] == (
        "trajectory",
        "saving",
        "determinism",
        "paired",
        "training",
        "results",
    )


def test_a_report_without_tiers_is_not_whole():
    """So that it does not stand in the way of a whole one."""
    assert made().whole
    assert not made(tiers={}).whole


def test_a_loss_of_zero_is_read_and_drawn(tmp_path, capsys):
    """The loss of a training can be exactly 0: table and page have it, at the lower edge of the chart."""
    report = made()
    for metric in ("loss", "val_loss"):
        report.trainings["model1"]["history"][metric] = [0.5, 0.0] if metric == "loss" else [0.0, 0.0]
    assert command_line.main(["report", *written(tmp_path, report), "--html", str(tmp_path / "a.html")]) == 0
    assert "tf221 0.0000" in (tmp_path / "a.html").read_text()


def test_a_band_of_one_value_is_read(tmp_path):
    """Low, mean and high may be the same: an ensemble whose runs all ended in one place."""
    report = made()
    for end in ("low", "mean", "high"):
        report.trainings["model1"]["bands"]["loss"][end] = [0.5, 0.2]
    assert Report.from_json(written(tmp_path, report)[0]) == report


@pytest.mark.parametrize("option", ["--html", "--markdown"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys, option):
    """A folder, and a path below a file. Nothing else is left there."""
    paths = written(tmp_path, made())
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "0.json" / "page"):
        assert command_line.main(["report", *paths, option, str(place)]) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.startswith(f"error: {place} cannot be written (")
        assert errors.endswith("; name a file in a folder that you can write\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "folder"]


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    """As `| head -1` does: no traceback, the exit code is that of the reports, and the page is written."""
    paths = written(tmp_path, *(made(str(number)) for number in range(300)))
    page = tmp_path / "page.html"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "cnnspec", "report", *paths, "--html", str(page)]
    ended = subprocess.run(command, cwd=reading.PROJECT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert page.exists()


def test_every_field_of_a_report_has_a_shape():
    """A new field of Report is read only with its shape."""
    assert set(schema.FIELDS) == set(Report.__dataclass_fields__)
