"""Does a run of a part of the suite leave the report of a whole run as it is, and does the outcome say why?"""

import json
import signal
import threading

import pytest
from xdist import workermanage

from cnnspec.reports.report import Report
from tests.meta.reports.made_reports import made
from tests.meta.reports.test_reporting import names
from tests.plugin import ending, places, verdict
from tests.support import two_processes

FINE = "def test_fine(): pass\ndef test_too(): pass\n"
MARKED = "import pytest\n\n@pytest.mark.slow\ndef test_slow(): pass\n\ndef test_fine(): pass\n"
PARTS = {
    "deselected": (["-k", "not too"], "deselected by -k, -m or --deselect"),
    "one file": (["test_data.py"], None),
    "stopped": (["--maxfail=1"], "the run ended before this test: it was interrupted or stopped early, or a worker died"),
}


@pytest.fixture
def whole(bare_project, monkeypatch):
    """A pytester project with every tier, two fast tests each."""
    monkeypatch.setattr(two_processes, "start_early", lambda session: None)
    monkeypatch.setenv("TOX_ENV_NAME", "tf999")
    bare_project.makepyfile(**dict.fromkeys(verdict.TIERS, FINE))
    return bare_project


def run(project, *arguments):
    return project.runpytest_inprocess("-p", "no:benchmark", "-p", "no:xdist", "--outcome=outcome.json", *arguments)


def reports(project):
    """{path below reports: verdict}."""
    folder = project.path / "reports"
    return {path.relative_to(folder).as_posix(): Report.from_json(path).verdict for path in folder.rglob("*.json")}


def outcome(project):
    return json.loads((project.path / "outcome.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("arguments", "reason"), PARTS.values(), ids=PARTS)
def test_a_part_never_replaces_the_whole(whole, arguments, reason):
    """A run with -k, of one file, or stopped early is no verdict or a failure, and its report lies in `partial`."""
    ended = run(whole)
    assert verdict.PASS in ended.outlines
    (path,) = reports(whole)
    assert outcome(whole)["report"] == str(whole.path / "reports" / path)
    assert (outcome(whole)["verdict"], outcome(whole)["reason"]) == ("pass", None)
    before = (whole.path / "reports" / path).read_bytes()
    if "--maxfail=1" in arguments:
        whole.makepyfile(test_data="def test_wrong(): assert False\n")
    ended = run(whole, *arguments)
    assert verdict.PASS not in ended.outlines
    expected = "fail" if "--maxfail=1" in arguments else "no verdict"
    assert reports(whole) == {path: "pass", f"partial/{path}": expected}
    assert (whole.path / "reports" / path).read_bytes() == before
    assert outcome(whole)["report"] == str(whole.path / "reports" / "partial" / path)
    if reason:
        report = Report.from_json(outcome(whole)["report"])
        assert reason in names(report.not_run).values()


def test_a_named_file_that_holds_a_whole_report(whole):
    """--report=FILE takes the report of a part; but once the report of a whole run is there, it stays."""
    run(whole, "--report=here.json", "test_data.py")
    assert Report.from_json(whole.path / "here.json").verdict == "no verdict"
    run(whole, "--report=here.json")
    assert Report.from_json(whole.path / "here.json").verdict == "pass"
    run(whole, "--report=here.json", "test_data.py")
    assert Report.from_json(whole.path / "here.json").verdict == "pass"
    assert Report.from_json(whole.path / "partial" / "here.json").verdict == "no verdict"


def test_a_folder_for_reports(whole):
    """--report=FOLDER/ is the folder of the default name, also if it is not there yet."""
    run(whole, "--report=some/where/")
    assert [path.name.startswith("tf999-") for path in (whole.path / "some" / "where").glob("*.json")] == [True]


def test_a_module_that_cannot_be_imported_does_not_make_a_part(whole):
    """All was asked for, and no more can be had from this stack: the failure replaces an older pass."""
    run(whole)
    whole.makepyfile(test_data="import nothing_of_that_name\n")
    run(whole)
    assert list(reports(whole).values()) == ["fail"]
    run(whole, "-k", "fine")
    assert sorted(reports(whole).values()) == ["fail", "fail"]


def test_tests_that_are_asked_for_by_a_mark_are_not_missing(whole):
    """What every run leaves out, because its mark says `asked for`, makes no run partial; another mark does."""
    lines = ["[pytest]", "markers =", "    slow: takes long (asked for: -m slow)", 'addopts = -m "not slow"']
    whole.makeini("\n".join(lines))
    whole.makepyfile(test_data=MARKED)
    run(whole)
    assert list(reports(whole).values()) == ["pass"]
    assert set(names(Report.from_json(outcome(whole)["report"]).not_run).values()) == {"runs when it is asked for: -m slow"}
    whole.makeini("\n".join([*lines[:2], "    slow: takes long", lines[3]]))
    run(whole)
    assert sorted(reports(whole).values()) == ["no verdict", "pass"]


def test_a_level_names_what_it_leaves_out(whole):
    """--level quick passes by its own tiers, says what it left out, and its report does not replace that of every tier."""
    run(whole)
    whole.makepyfile(test_exact=MARKED)
    ended = run(whole, "--level=quick")
    assert verdict.QUICK in ended.outlines
    assert (outcome(whole)["verdict"], outcome(whole)["level"]) == ("pass", "quick")
    assert sorted(reports(whole).values()) == ["pass", "pass"]
    quick = Report.from_json(outcome(whole)["report"])
    assert {"test_exact.py::test_slow", "test_training.py::test_fine"} <= set(names(quick.not_run))
    assert set(names(quick.not_run).values()) == {"not part of --level quick"}
    run(whole, "--level=quick", "-k", "not too")
    assert outcome(whole)["verdict"] == "no verdict"


def test_sigterm_is_told_and_keeps_the_whole_report(whole):
    """A run that is ended from outside has a verdict and a report of what ran; the whole one stays."""
    run(whole)
    (path,) = reports(whole)
    before = (whole.path / "reports" / path).read_bytes()
    whole.makepyfile(test_results="import os, signal\n\ndef test_end(): os.kill(os.getpid(), signal.SIGTERM)\n" + FINE)
    ended = whole.runpytest_subprocess("-p", "no:benchmark", "-p", "no:xdist", "--outcome=outcome.json")
    assert ended.ret == pytest.ExitCode.INTERRUPTED
    assert verdict.PARTIAL in ended.outlines
    assert (whole.path / "reports" / path).read_bytes() == before
    assert reports(whole) == {path: "pass", f"partial/{path}": "no verdict"}
    assert "the run ended before this test" in outcome(whole)["reason"]


def test_sigterm_does_not_wait_for_workers(monkeypatch):
    """The run is interrupted, a second signal ends it at once, and xdist's workers get a second in the place of ten."""
    monkeypatch.setattr(workermanage.NodeManager, "EXIT_TIMEOUT", 10)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt, match="SIGTERM: the run was ended from outside"):
            ending.interrupt(signal.SIGTERM, None)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert workermanage.NodeManager.EXIT_TIMEOUT == 1


def test_replication_that_was_not_reached(whole):
    """Where it was asked for and the run ended before it was through, there is no pass, although some of it passed."""
    whole.makepyfile(
        test_replication="import os, signal\n\ndef test_a(): pass\n"
        "def test_end(): os.kill(os.getpid(), signal.SIGTERM)\ndef test_b(): pass\n"
    )
    ended = whole.runpytest_subprocess("-p", "no:benchmark", "-p", "no:xdist", "--level=full")
    assert verdict.PARTIAL in ended.outlines
    assert set(reports(whole).values()) == {"no verdict"}


def test_workers_write_no_report_of_their_part(whole):
    """`pytest -n 2` leaves one report, of all tests; its workers, whose terminals nobody sees, leave none."""
    whole.runpytest_subprocess("-p", "no:benchmark", "-n2")
    assert list(reports(whole).values()) == ["pass"]


def test_two_reports_at_once(tmp_path):
    """Whichever of two runs ends first, the report of the part does not replace that of the whole."""
    for _ in range(20):
        writers = [threading.Thread(target=places.keep, args=(made(), placed(tmp_path), each)) for each in (True, False)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert Report.from_json(tmp_path / "a.json").whole
        assert (tmp_path / "partial" / "a.json").exists()
        for report in tmp_path.rglob("*.json"):
            report.unlink()


def placed(folder):
    """Where a report goes in a folder, as `Reporter.path` says."""
    return lambda whole=True: folder / "a.json" if whole else folder / "partial" / "a.json"


def test_an_outcome_without_tiers(whole):
    """A run of no tier has an outcome too: no verdict, and no report."""
    whole.makepyfile(test_others=FINE)
    run(whole, "test_others.py")
    told = outcome(whole)
    assert (told["verdict"], told["report"]) == ("no verdict", None)
    assert told["reason"] == f"in {len(verdict.TIERS)} of {len(verdict.TIERS)} tiers no test passed, the first is stack"
