"""The verdict at the end of a run: what each tier found, the trainings in their bands, the results table."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cnnspec.calls import as_called
from cnnspec.facts import notebook
from cnnspec.reports.report import DESELECTED, UNREACHED
from cnnspec.reports.words import counted
from tests.plugin import facts, levels
from tests.plugin.known_differences import STALE

Property = tuple[str, Any]  # name and value of what a test recorded
Counts = Mapping[str, Mapping[str, int]]  # tests by module and outcome

TIERS = {  # test module -> the question it answers; in the order of a run: what is cheap or names a cause comes first
    "test_stack": "the requested versions, installed once, compute where they say",
    "test_architecture": "the same layers, shapes and parameters",
    "test_configuration": "the same settings, loss and optimizer",
    "test_data": "the real digits, prepared as in the notebook",
    "test_dropout": "rate, scale and new masks, in compiled steps",
    "test_exact": "every bit of each layer and gradient, in integer arithmetic",
    "test_optimizer": "each update against its formula",
    "test_numerics": "each layer and gradient against float64",
    "test_stochastic": "initialisers and shuffling against theory",
    "test_nonfinite": "NaN and infinity arrive where they must",
    "test_state": "moving statistics and variables after unusual steps",
    "test_modes": "whole models by every call, compiled, eager and XLA",
    "test_repeats": "one step repeated: always the same gradients",
    "test_lockstep": "two epochs of fit against float64",
    "test_trajectory": "the first thirty steps, beside float64 and 2019",
    "test_saving": "saved models predict and train on unchanged",
    "test_determinism": "one seed, one result",
    "test_paired": "an epoch of fit beside known-good stacks",
    "test_training": "each model reaches the expected losses",
    "test_results": "the results table and the plots",
}
ASKED_FOR = {
    "test_replicas": "several replicas train as one device does",
    "test_replication": "the notebook and a fresh run among stored runs on full MNIST",
}
NOTEBOOK, FRESH = "the notebook", "a fresh run"  # whose training is placed among stored runs on full MNIST
UNDECIDED = "undecided"  # what a test records that had too few stored runs, beside those of a band
OUTCOMES = ("passed", "failed", "skipped", "xfailed")
# pytest's category -> outcome. A test that may differ on this stack, and does not, passed: a strict one has failed.
CATEGORIES = {**{outcome: outcome for outcome in OUTCOMES}, "error": "failed", "xpassed": "passed"}
WORDS = {"xfailed": "known difference"}
SHOWN = (
    "test loss, last epoch",
    "train loss, evaluated",
    "all quantities together",
)  # of each model's quantities, in every verdict
FAIL = "FAIL: {} failed. Each message above says what to do next."
PASS = "PASS: this stack builds, computes and trains the models as the notebook did, as far as the tests above can tell."
QUICK = as_called("PASS, quick: this stack builds and computes the models as the notebook did. `pytest` trains them too.")
UNKNOWN = "CANNOT TELL: {} cannot be judged: too few runs in the ensemble. Each message above says how many are missing."
PARTIAL = as_called("NO VERDICT: some tests did not run. `pytest` without arguments runs all of them.")
REPLICATED = "REPLICATED: the notebook and fresh runs of this stack are plausible among the stored runs on full MNIST."


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the verdict of this run, from what the tests reported."""
    if config.option.collectonly or hasattr(config, "workerinput"):
        return  # a worker of xdist has a terminal too, which nobody sees
    terminal = terminalreporter
    counts, properties, seen = found(terminal)
    if not any(sum(count.values()) for count in counts.values()):
        return
    terminal.section("verdict")
    for line in facts.described(config):
        terminal.line(line)
    terminal.line("")
    for module, question in (TIERS | ASKED_FOR).items():
        if module in TIERS or any(counts[module].values()):
            terminal.line(f"{module.removeprefix('test_'):<14} {told(counts[module]):<30} {question}")
    for line in sorted(value for name, value in properties if name in ("precision", "path")):
        terminal.line(f"  {line}")
    for line, excused in stale(properties):
        terminal.line(line, yellow=excused, red=not excused)
    checks = [value for name, value in properties if name == "check"]
    unused = [value for name, value in properties if name == "not judged"]
    again = [value for name, value in properties if name == "drawn again"]
    write_trainings(terminal, sorted(checks, key=lambda check: (check["model"], check["quantity"])), unused, again)
    for line in sorted(value["text"] for name, value in properties if name == "replication"):
        terminal.line(line)
    for table in [value for name, value in properties if name == "table"]:
        terminal.line(f"\nresults table: {table}")
    terminal.line("")
    unknown = undecided(properties)
    failed = sum(count["failed"] for count in counts.values()) - unknown
    level = config.option.level
    for line in filter(None, (f"level {levels.LEVELS[level]}", levels.power(level))):
        terminal.line(line)
    reporter = config.pluginmanager.get_plugin("cnnspec-report")
    reached = judged(counts, properties, level, reporter.missed(seen) if reporter else ())
    if reached == "fail":
        terminal.line(FAIL.format(counted(failed, "check")), red=True)
    elif reached == "cannot tell":
        terminal.line(UNKNOWN.format(counted(unknown, "check")), yellow=True)
    elif reached == "no verdict":
        tiers_ran = any(sum(counts[module].values()) for module in TIERS)
        terminal.line(REPLICATED if replicated(properties) and not tiers_ran else PARTIAL)
    else:
        terminal.line(QUICK if level == "quick" else PASS, green=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Where failures say only that an ensemble has too few runs, the exit code is 2, that of a run without a verdict."""
    yield  # other plugins add bits to the exit code
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal and session.exitstatus == pytest.ExitCode.TESTS_FAILED:
        elsewhere = any(outcome == "failed" and module not in TIERS | ASKED_FOR for module, outcome, _ in outcomes(terminal))
        if judged(*found(terminal)[:2], session.config.option.level) == "cannot tell" and not elsewhere:
            session.exitstatus = pytest.ExitCode.INTERRUPTED


def found(terminal: pytest.TerminalReporter) -> tuple[dict[str, dict[str, int]], list[Property], set[str]]:
    """Outcomes by module, what its tests recorded, and the names of all tests with an outcome."""
    counts = {module: dict.fromkeys(OUTCOMES, 0) for module in TIERS | ASKED_FOR}
    properties: list[Property] = []
    seen = set()
    for module, outcome, report in outcomes(terminal):
        seen.add(report.nodeid)
        if module in counts:
            counts[module][outcome] += 1
            properties += properties_of(report)
    return counts, properties, seen


def outcomes(terminal: pytest.TerminalReporter) -> Iterator[tuple[str, str, Any]]:
    """(module, outcome, report) of every test that pytest reported, and of every module that could not be collected."""
    for category, outcome in CATEGORIES.items():
        for report in terminal.getreports(category):
            if report.when == "call" or outcome != "passed":
                yield Path(report.nodeid.split("::")[0]).stem, outcome, report


def properties_of(report: Any) -> list[Property]:
    """What a test recorded. A module that could not be collected recorded nothing."""
    return getattr(report, "user_properties", [])


def margins_of(report: Any) -> dict[str, dict[str, float | None]]:
    """{test: {what: share of its tolerance}} of one test, to three digits. Of several shares of one name, the largest."""
    found: dict[str, float] = {}
    for what, share in (value for name, value in properties_of(report) if name == "margin"):
        found[what] = max(share, found.get(what, 0.0))
    rounded = {what: float(f"{share:.3g}") if math.isfinite(share) else None for what, share in found.items()}
    return {report.nodeid: rounded} if rounded else {}


def digests_of(report: Any) -> dict[str, str]:
    """{what: digest} of one test; none where an inexact algorithm was excused, whose bits may differ between equal GPUs."""
    properties = properties_of(report)
    if any(name == "inexact" for name, _ in properties):
        return {}
    return {what: digest for name, value in properties if name == "digest" for what, digest in value.items()}


def drawn_again(report: Any) -> list[str]:
    """What a test says of trainings whose first value lay outside its band."""
    again = [value for name, value in properties_of(report) if name == "drawn again"]
    return [f"{each['model']}, {each['quantity']}: {each['remark']}" for each in again]


def stale(properties: Iterable[Property]) -> list[tuple[str, bool]]:
    """(a line, whether it is excused) for each entry of the known differences whose tests passed."""
    found = {(value[0] or "a mark xfail", *value[1:]) for name, value in properties if name == STALE}
    return [
        (f"  stale known difference: {entry}, gone on {on}" + (f"; no failure: {excuse}" if excuse else ""), bool(excuse))
        for entry, on, excuse in sorted(found)
    ]


def undecided(properties: Iterable[Property]) -> int:
    """Number of checks with too few runs to judge by, although their value is inside its band. Their tests have failed."""
    within = sum(not check["conclusive"] and check["used"] <= 1 for name, check in properties if name == "check")
    return within + sum(name == UNDECIDED for name, _ in properties)


def judged(counts: Counts, properties: Sequence[Property], level: str, missed: Iterable[Mapping[str, str]] = ()) -> str:
    """The verdict at a level: fail, cannot tell, no verdict or pass. `missed` names tests that did not run, and why."""
    if sum(count["failed"] for count in counts.values()) > undecided(properties):
        return "fail"
    if undecided(properties):
        return "cannot tell"
    ran = all(counts[module]["passed"] or counts[module]["xfailed"] for module in levels.tiers(level))
    whole = not any(each["reason"] in (UNREACHED, DESELECTED) for each in missed)
    return "pass" if ran and whole else "no verdict"


def replicated(properties: Iterable[Property]) -> bool:
    """Whether the notebook and a fresh run of every model were placed among the stored runs on full MNIST."""
    placed = {(value["model"], value["who"]) for name, value in properties if name == "replication"}
    return placed >= {(model, who) for model in notebook.trained_models() for who in (NOTEBOOK, FRESH)}


def told(count: Mapping[str, int]) -> str:
    """Outcomes of one tier in words."""
    words = [
        counted(count[each], WORDS[each]) if each in WORDS else f"{count[each]} {each}" for each in count if count[each]
    ]
    return ", ".join(words) or "not run"


def write_trainings(
    terminal: pytest.TerminalReporter,
    checks: Sequence[Mapping[str, Any]],
    unused: Sequence[Mapping[str, str]],
    again: Sequence[Mapping[str, str]],
) -> None:
    """Write the final test and train losses in their bands, the distance of each model, the check that used most of its
    tolerance, what was drawn again, and the quantities that are not judged, with the reason.
    """
    if not checks:
        return
    from cnnspec.ensembles import bands

    terminal.line("\ntrainings: each loss in the band of the reference ensemble, and each model as a whole")
    for check in checks:
        if check["quantity"] in SHOWN or check["used"] > 1:
            terminal.line(f"  {check['model'] + ', ' + check['quantity']:<44} {check['text']}")
    for each in sorted(again, key=lambda each: (each["model"], each["quantity"])):
        terminal.line(f"  drawn again: {each['model']}, {each['quantity']}: {each['remark']}")
    for each in unused:
        terminal.line(f"  not judged: {each['model']}, {each['quantity']}: {each['why']}")
    tightest = max(checks, key=lambda check: check["used"])
    terminal.line(
        f"  tightest check of {len(checks)}: {tightest['model']}, {tightest['quantity']} "
        f"({tightest['used']:.0%} of tolerance)"
    )
    terminal.line(
        f"  These checks are calibrated to fail a healthy stack in at most {bands.FALSE_ALARM_RATE * 1000:g} of 1000 runs."
    )
    terminal.line(
        f"  One draw shows the given shift in {bands.POWER:.0%} of cases, a failure needs two (SD: standard deviation from "
        "seed to seed)."
    )
