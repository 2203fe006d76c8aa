"""Does `python -m cnnspec report` read what the suite wrote, refuse anything else, and keep nothing silent?"""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cnnspec import __main__ as command_line
from cnnspec.facts import reading
from cnnspec.names import MODELS
from cnnspec.reports import markdown, report
from cnnspec.reports.verdicts import TIERS
from cnnspec.reports.words import percent, reasons
from tests.meta.reports.made_reports import COUNTS, LAYERS, made


def written(folder, *reports):
    """Paths of reports written to a folder."""
    paths = [folder / f"{number}.json" for number, _ in enumerate(reports)]
    for path, each in zip(paths, reports, strict=True):
        each.to_json(path)
    return [str(path) for path in paths]


def cells(text):
    """The rows of the first Markdown table, {environment: {column: cell}}."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_a_report_survives_its_file(tmp_path):
    """Every field is read as it was written, an infinite share (None) too."""
    first = made(share=None)
    (path,) = written(tmp_path, first)
    assert report.Report.from_json(path) == first
    assert Path(path).read_text().startswith('{\n "format": "cnnspec report 1",\n "environment"')  # a line for each field


def test_what_is_no_json_is_not_written(tmp_path):
    """A number that JSON does not have is an error of the suite: the report of an earlier run stays."""
    (path,) = written(tmp_path, made())
    with pytest.raises(ValueError, match="not JSON compliant"):
        made(seconds=float("nan")).to_json(path)
    assert report.Report.from_json(path) == made()


def test_a_file_that_is_not_there_is_exit_code_3(tmp_path, capsys):
    """A path that the shell did not expand (reports/*.json), or no path at all."""
    missing = str(tmp_path / "*.json")
    assert command_line.main(["report", missing]) == 3
    assert f"error: {missing} is missing; give the paths of reports" in capsys.readouterr().err
    assert command_line.main(["report"]) == 3
    assert "error: no report was named" in capsys.readouterr().err


def test_the_table(tmp_path, capsys):
    """One row per environment, versions in order, verdict, counts, the largest share of each tier and the test losses."""
    reports = [
        made("torch", "torch 2.9.0"),
        made("tf221"),
        made("tf29", "tensorflow 2.9.1", share=0.913, not_run=[{"test": LAYERS, "reason": "no GPU"}]),
    ]
    assert command_line.main(["report", *written(tmp_path, *reports), "--markdown", str(tmp_path / "table.md")]) == 0
    output = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() == output
    rows = cells(output)
    assert list(rows) == ["tf29", "tf221", "torch"]
    row = rows["tf29"]
    assert (row["verdict"], row["framework"], row["Keras"], row["Python"]) == (
        "pass",
        "tensorflow 2.9.1",
        "3.15.1",
        "3.12.1",
    )
    assert (row["passed"], row["failed"], row["not run"], row["known differences"]) == (str(3 * len(TIERS)), "0", "1", "0")
    assert (row["numerics"], row["optimizer"], row["trajectory"]) == ("91%", "12%", "–")
    assert row[f"test loss, {MODELS[0]} to {MODELS[-1]}"] == " ".join(["0.2109"] * len(MODELS))
    assert (row["seconds"], row["date"]) == ("102", "2026-01-02")
    assert output.startswith("3 environments: 3 passed.\n")
    assert "**Did not run**\n\n- tf29: `test_numerics.py::test_layer_outputs[model1]`: no GPU\n" in output


def test_an_environment_without_a_report_is_a_line_and_exit_code_1(tmp_path, capsys):
    """An expected environment without a report is named in the summary and has a row. One with a report is no fault."""
    paths = written(tmp_path, made("tf221"))
    assert command_line.main(["report", *paths, "--expect", "tf221"]) == 0
    capsys.readouterr()
    assert command_line.main(["report", *paths, "--expect", "tf221", "tf213", "--expect", "jax"]) == 1
    output = capsys.readouterr().out
    assert output.startswith("3 environments: 1 passed, 2 did not run (tf213, jax).\n")
    assert [cells(output)[name]["verdict"] for name in ("tf213", "jax")] == ["no report: did not run"] * 2
    assert command_line.main(["report", "--expect", "tf213"]) == 1
    assert capsys.readouterr().out.startswith("1 environment: 1 did not run (tf213).\n")


FAILURE = {"verdict": "fail", "failed": [{"test": LAYERS, "reason": "layer 1 is wrong"}]}


def elsewhere(failed):
    """Changes of a report whose failures are outside the tiers."""
    named = [{"test": f"tests/meta/test_a.py::test_{number}", "reason": "a word"} for number in range(failed)]
    return {"others": COUNTS | {"failed": failed}, "failed": named, "tiers": {tier: dict(COUNTS) for tier in TIERS}}


BAD = {
    "a failure": (FAILURE, "fail", "1 environment: 1 failed."),
    "an ensemble too small": (
        {"verdict": "cannot tell", "failed": [{"test": LAYERS, "reason": "cannot tell: model1, test errors"}]},
        "cannot tell",
        "1 environment: 1 cannot tell.",
    ),
    "no verdict": ({"verdict": "no verdict"}, "no verdict", "1 environment: 1 without a verdict."),
    "a failure elsewhere": (
        elsewhere(2),
        "fail (2 tests outside the tiers)",
        "1 environment: 1 failed.",
    ),
    "one failure elsewhere": (
        elsewhere(1),
        "fail (1 test outside the tiers)",
        "1 environment: 1 failed.",
    ),
}


@pytest.mark.parametrize(("changes", "word", "summary"), BAD.values(), ids=BAD)
def test_anything_but_a_pass_is_exit_code_1(tmp_path, capsys, changes, word, summary):
    """A failure, a run without a verdict, and a failure outside the tiers."""
    assert command_line.main(["report", *written(tmp_path, made(**changes))]) == 1
    output = capsys.readouterr().out
    assert cells(output)["tf221"]["verdict"] == word
    assert output.startswith(summary)


def test_reasons_are_gathered():
    """Tests of one module with one reason are one line, and environments with the same line share it."""
    skips = [{"test": f"tests/test_saving.py::test_{n}", "reason": "no h5py"} for n in range(3)]
    lines = reasons([made("a", not_run=skips), made("b", not_run=skips, known_differences=skips[:1])])
    assert lines == {
        "Did not run": {"`test_saving.py`, 3 tests: no h5py": ["a", "b"]},
        "Known differences": {"`test_saving.py::test_0`: no h5py": ["b"]},
    }


PARTS_BESIDE = {  # what stands in `partial` beside the report of 2026-01-02 -> whether it is told
    "newer": (made(date="2026-01-02T03:05:00+00:00", verdict="no verdict"), True),
    "newer, of another zone": (made(date="2026-01-02T02:30:00-01:00", verdict="no verdict"), True),
    "older": (made(date="2026-01-02T03:04:00+00:00", verdict="no verdict"), False),
    "older, of another zone": (made(date="2026-01-02T04:00:00+02:00", verdict="no verdict"), False),
    "of the same second": (made(verdict="no verdict"), False),
    "newer, of no zone": (made(date="2026-01-02T03:05:00", verdict="no verdict"), True),
    "older, of no zone": (made(date="2026-01-02T03:04:00", verdict="no verdict"), False),
    "without a date": (made(date="yesterday", verdict="no verdict"), False),
    "damaged": (None, False),
}


@pytest.mark.parametrize(("part", "is_told"), PARTS_BESIDE.values(), ids=PARTS_BESIDE)
def test_the_table_tells_of_a_newer_part(tmp_path, capsys, part, is_told):
    """A later report of a part is said below the table and on the page, with both dates; an older or damaged one is not."""
    made().to_json(tmp_path / "a.json")
    (tmp_path / "partial").mkdir()
    if part:
        part.to_json(tmp_path / "partial" / "a.json")
    else:
        (tmp_path / "partial" / "a.json").write_text("{", encoding="utf-8")
    assert command_line.main(["report", str(tmp_path / "a.json"), "--html", str(tmp_path / "page.html")]) == 0
    output, page = capsys.readouterr().out, (tmp_path / "page.html").read_text(encoding="utf-8")
    told = f"- tf221: `partial/a.json`: no verdict, 0 failed, of {part.date[:16]}; " if part else "partial/a.json"
    assert (told in output) == is_told
    assert ("**A newer report of a part of the suite**" in output) == is_told
    assert ("partial/a.json" in page) == is_told
    if is_told:
        assert "; the row is the whole run of 2026-01-02T03:04\n" in output


def test_a_part_that_is_named_itself_is_a_row(tmp_path, capsys):
    """It is then in the table, and no line of its own."""
    made().to_json(tmp_path / "a.json")
    made("a part", date="2026-02-02T03:05:00+00:00").to_json(tmp_path / "partial" / "a.json")
    command_line.main(["report", str(tmp_path / "a.json"), str(tmp_path / "partial" / "a.json")])
    output = capsys.readouterr().out
    assert "a part" in output
    assert "A newer report" not in output


def test_hardware_and_settings_in_words():
    """One core and one epoch are no plural; a device beside the CPU is named."""
    one = made(stack=made().stack | {"cores": 1}, options=made().options | {"epochs": 1})
    assert (one.hardware, one.settings) == ("Some CPU, 1 core", "mnist5k, 1 epoch")
    two = made(stack=made().stack | {"device": "Some GPU"})
    assert (two.hardware, two.settings) == ("Some GPU, Some CPU, 2 cores", "mnist5k, 2 epochs")


def test_versions_are_ordered_as_numbers():
    """2.9 comes before 2.12, numbers before words, and a leading zero counts for nothing."""
    ordered = ["2.9", "2.09.1", "2.12", "2.12.1", "2.x", "x"]
    assert sorted(reversed(ordered), key=report.numbers) == ordered


LABELS = {
    "hardware": (
        [made(), made(stack=made().stack | {"cpu": "Other"})],
        ["tf221 (Other, 2 cores)", "tf221 (Some CPU, 2 cores)"],
    ),
    "version": ([made(), made(framework="tensorflow 2.20.0")], ["tf221 (tensorflow 2.20.0)", "tf221 (tensorflow 2.21.0)"]),
    "no name": ([made(None), made("x")], ["tensorflow 2.21.0, Keras 3.15.1", "x"]),
}


@pytest.mark.parametrize(("reports", "labels"), LABELS.values(), ids=LABELS)
def test_two_reports_of_one_environment_are_told_apart(tmp_path, reports, labels):
    """By what differs between them; without an environment the versions are the name."""
    assert sorted(each.label for each in report.read_all(written(tmp_path, *reports))) == labels


SHARES = {
    **{0.0: "0%", 1e-9: "<1%", 0.005: "<1%", 0.0051: "1%", 0.126: "13%"},
    **{0.96: "96%", 0.995: ">99%", 0.996: ">99%", 1.0: "100%", 1.004: ">100%", 1.04: "104%", 1.5: "150%"},
    **{99.99: "9999%", 99.991: ">9999%", 100.0: ">9999%", None: ">9999%"},
}


@pytest.mark.parametrize(("share", "words"), SHARES.items())
def test_shares_in_words(share, words):
    """A small share is never 0%, and a failure never 100%."""
    assert percent(share) == words


MARKED = {
    "a|b\nc": "a\\|b c",
    "a\\|b": "a\\\\\\|b",
    "`a`": "\\`a\\`",
    "<b>": "\\<b>",
    "[a](b)": "[a]\\(b)",
    "\x1b[1m": " [1m",
}


@pytest.mark.parametrize(("text", "words"), [*MARKED.items(), ("<1%", "<1%"), ("f(x)[0]", "f(x)[0]")])
def test_markdown_shows_a_text_as_it_is(text, words):
    """In a cell, a label, an expected name and a reason: no code, HTML, link, or end of a cell or line."""
    table = markdown.of_reports([made(text, known_differences=[{"test": f"a.py::{text}", "reason": text}])], [f"no {text}"])
    lines = table.splitlines()
    assert f"did not run (no {words})." in lines[0]
    assert lines[4].startswith(f"| {words} ")
    assert lines[5].startswith(f"| no {words} ")
    assert lines[-1].startswith(f"- {words}: `a.py::")
    assert lines[-1].endswith(f"`: {words}")
    assert lines[-1].count("`") - lines[-1].count("\\`") == 2


TABLE = [("a", "b"), [["a long name", "1"], ["c", "22222"], ["", "3"]]]


def test_cells_are_padded_for_the_terminal_alone():
    """To the width of the longest of a column, three at least; without `padded` to none."""
    assert markdown.table(*TABLE).splitlines() == [
        "| a           | b     |",
        "| ----------- | ----- |",
        "| a long name | 1     |",
        "| c           | 22222 |",
        "|             | 3     |",
    ]
    bare = ["| a | b |", "| --- | --- |", "| a long name | 1 |", "| c | 22222 |", "|  | 3 |"]
    assert markdown.table(*TABLE, padded=False).splitlines() == bare
    frame = pd.DataFrame(TABLE[1], columns=TABLE[0])
    assert markdown.of_frame(frame).splitlines() == bare


def test_no_framework_is_imported(tmp_path):
    """The command imports neither a framework nor pandas, so it works without them and starts at once."""
    (path,) = written(tmp_path, made())
    heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "pandas", "matplotlib", "filelock"}
    code = f"import sys; from cnnspec.__main__ import main; main(sys.argv[1:]); print(sorted({heavy} & set(sys.modules)))"
    page = str(tmp_path / "page.html")
    command = [sys.executable, "-c", code, "report", path, "--html", page]
    ended = subprocess.run(command, cwd=reading.PROJECT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
